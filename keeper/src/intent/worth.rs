//! Whether a transaction is worth its cost: the one rule by which strategies decide and the sender offers fees, so that
//! what is decided to be sent is not declined at the same head.

use alloy::primitives::{U256, ruint::UintTryTo};
use plimsoll_contracts::market::BPS;

use crate::math::wide::mul_div_down;

/// What a transaction brings and what it is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worth {
    /// Expected gain before costs, in wei.
    pub gain: U256,
    /// Gas that is charged.
    pub gas: u64,
    /// Fees besides gas, in wei.
    pub extra_wei: U256,
    /// Profit margin: by how much the gain must exceed the cost, in basis points of the cost.
    pub margin_bps: u32,
}

impl Worth {
    /// Returns the highest price per gas, in wei, at which the transaction is worth its cost; `None` where it is at none.
    #[must_use]
    pub fn max_gas_price(&self) -> Option<u128> {
        let for_gas = max_cost(self.gain, self.margin_bps)?.checked_sub(self.extra_wei)?;
        Some((for_gas / U256::from(self.gas.max(1))).uint_try_to().unwrap_or(u128::MAX))
    }

    /// Returns whether the transaction is worth its cost at a price per gas, in wei.
    #[must_use]
    pub fn pays_at(&self, gas_price: u128) -> bool {
        self.max_gas_price().is_some_and(|most| gas_price <= most)
    }

    /// Returns the cost at a price per gas, in wei.
    #[must_use]
    pub fn cost_at(&self, gas_price: u128) -> U256 {
        U256::from(self.gas).saturating_mul(U256::from(gas_price)).saturating_add(self.extra_wei)
    }
}

/// Returns the highest cost, in wei, that a gain exceeds, and by at least the margin; `None` without a gain.
#[must_use]
pub fn max_cost(gain: U256, margin_bps: u32) -> Option<U256> {
    let below = gain.checked_sub(U256::ONE)?;
    let with_margin = U256::from(u64::from(BPS) + u64::from(margin_bps));
    Some(below.min(mul_div_down(gain, U256::from(BPS), with_margin)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_gain_exceeds_its_cost_by_the_margin_up_to_the_highest_price_and_not_above(
            gain in 0..u128::MAX >> 32, gas in 1..30_000_000_u64, extra in 0..1_u128 << 60, margin_bps in 0..50_000_u32,
            price in any::<u64>(),
        ) {
            let worth = Worth { gain: U256::from(gain), gas, extra_wei: U256::from(extra), margin_bps };
            let exceeds = |price: u128| {
                let cost = worth.cost_at(price);
                worth.gain > cost && worth.gain * U256::from(BPS) >= cost * U256::from(u64::from(BPS + margin_bps))
            };
            let most = worth.max_gas_price();
            prop_assert!(most.map_or(!exceeds(0), |most| exceeds(most) && !exceeds(most + 1)));
            prop_assert_eq!(worth.pays_at(price.into()), exceeds(price.into()));
        }
    }

    #[test]
    fn nothing_is_worth_a_cost_that_equals_its_gain() {
        let worth = Worth { gain: U256::from(100), gas: 10, extra_wei: U256::ZERO, margin_bps: 0 };
        assert!(worth.pays_at(9) && !worth.pays_at(10));
        assert!(!Worth { gain: U256::ZERO, gas: 0, ..worth }.pays_at(0));
        // However much is wanted, some gain suffices.
        assert!(Worth { margin_bps: 20_000, ..worth }.pays_at(3));
        assert_eq!(Worth { gain: U256::MAX, margin_bps: 1_000, ..worth }.max_gas_price(), Some(u128::MAX));
    }
}
