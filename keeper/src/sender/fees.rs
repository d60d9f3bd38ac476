//! What a transaction offers: enough for the next blocks, never more than what it brings leaves for gas.

use alloy::primitives::{U256, ruint::UintTryTo};

use super::journal::Fees;
use crate::intent::{Intent, Urgency};

/// A whole, in basis points.
const BASIS_POINTS: u32 = 10_000;

/// How many replacements a first offer leaves room for below its ceiling, where that is possible.
const ROOM_FOR_REPLACEMENTS: u32 = 3;

/// How a chain's transactions name their price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceStyle {
    /// By a maximum and a tip (EIP-1559). What the maximum has beyond base fee and tip is not paid.
    MaximumAndTip,
    /// By one gas price, which is paid in full.
    GasPrice,
}

/// How prices are found. Every figure is the chain's or the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeePolicy {
    /// How prices are named.
    pub style: PriceStyle,
    /// The least tip that block makers take, in wei.
    pub least_tip: u128,
    /// The most that is offered for a unit of gas whatever it brings, in wei; cancellations have no other limit.
    pub most_per_gas: u128,
    /// How many percent of the present base fee an offer covers: 200 lasts for five full blocks under Ethereum's rules.
    pub base_fee_percent: u32,
    /// How much of the expected gain is not spent on gas, in basis points.
    pub kept_bps: u32,
    /// How much of what is left beyond the base fee an urgent intent offers as a tip, in basis points.
    pub urgent_tip_bps: u32,
    /// By how many percent both fields of a replacement are higher: at least geth's 10.
    pub bump_percent: u32,
}

/// An intent is not worth its gas now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a unit of gas would have to be paid with {needed} wei, and what it brings leaves {ceiling}")]
pub struct TooDear {
    /// The least offer that makes sense.
    pub needed: u128,
    /// The most that may be offered.
    pub ceiling: u128,
}

impl Default for FeePolicy {
    /// Ethereum's.
    fn default() -> Self {
        Self {
            style: PriceStyle::MaximumAndTip,
            least_tip: 10_000_000,
            most_per_gas: 2_000_000_000_000,
            base_fee_percent: 200,
            kept_bps: 1_000,
            urgent_tip_bps: 1_000,
            bump_percent: 10,
        }
    }
}

impl FeePolicy {
    /// The most that an intent may pay for a unit of gas: its gain, less what is kept, over the gas it is expected to use.
    #[must_use]
    pub fn ceiling(&self, intent: &Intent) -> u128 {
        let spendable = BASIS_POINTS.saturating_sub(self.kept_bps);
        // Divided first, so that it cannot overflow; what is lost is less than 10,000 wei.
        let budget = intent.expected_gain / U256::from(BASIS_POINTS) * U256::from(spendable);
        let per_gas = budget / U256::from(intent.expected_gas.max(1));
        let per_gas: u128 = per_gas.uint_try_to().unwrap_or(u128::MAX);
        per_gas.min(self.most_per_gas)
    }

    /// What to offer for an intent. `floor` is what a pool may hold for the same nonce, or has refused as too little.
    pub fn offer(&self, intent: &Intent, base_fee: u64, floor: Option<Fees>) -> Result<Fees, TooDear> {
        self.within(self.ceiling(intent), intent.urgency, base_fee, floor)
    }

    /// What to offer for using up a nonce.
    pub fn offer_for_cancelling(&self, base_fee: u64, floor: Option<Fees>) -> Result<Fees, TooDear> {
        self.within(self.most_per_gas, Urgency::Patient, base_fee, floor)
    }

    /// Whether an offer no longer reaches into a block with this base fee.
    #[must_use]
    pub fn is_outbid(&self, fees: Fees, base_fee: u64) -> bool {
        fees.max_fee < self.least_for(base_fee)
    }

    fn within(&self, ceiling: u128, urgency: Urgency, base_fee: u64, floor: Option<Fees>) -> Result<Fees, TooDear> {
        let least = self.least_for(base_fee);
        let bumped = floor.map(|floor| Fees { max_fee: self.bumped(floor.max_fee), tip: self.bumped(floor.tip) });
        let needed = bumped.map_or(least, |bumped| least.max(bumped.max_fee).max(bumped.tip));
        if needed > ceiling {
            return Err(TooDear { needed, ceiling });
        }
        let fresh = self.fresh(ceiling, urgency, base_fee);
        let fees = bumped.map_or(fresh, |bumped| Fees {
            max_fee: fresh.max_fee.max(bumped.max_fee),
            tip: fresh.tip.max(bumped.tip),
        });
        // A tip may have been raised beyond a fresh maximum, or to it.
        let fees = Fees { max_fee: fees.max_fee.max(fees.tip), tip: fees.tip };
        Ok(match self.style {
            PriceStyle::MaximumAndTip => fees,
            PriceStyle::GasPrice => Fees { max_fee: fees.max_fee, tip: fees.max_fee },
        })
    }

    /// A first offer. At least what a block takes now, at most the ceiling, which the caller has compared.
    fn fresh(&self, ceiling: u128, urgency: Urgency, base_fee: u64) -> Fees {
        let base_fee = u128::from(base_fee);
        let left = ceiling.saturating_sub(base_fee);
        let bid = match urgency {
            Urgency::Patient => 0,
            Urgency::Urgent => share(left, self.urgent_tip_bps),
        };
        let tip = self.least_tip.max(bid);
        let wanted = percent(base_fee, self.base_fee_percent).saturating_add(tip);
        let with_room = (0..ROOM_FOR_REPLACEMENTS).fold(ceiling, |price, _| self.lowered(price));
        let needed = base_fee.saturating_add(tip);
        let max_fee = wanted.min(with_room).max(needed).min(ceiling);
        Fees { max_fee, tip: tip.min(max_fee) }
    }

    fn least_for(&self, base_fee: u64) -> u128 {
        u128::from(base_fee).saturating_add(self.least_tip)
    }

    /// More by the bump, and by 1 at least.
    fn bumped(&self, price: u128) -> u128 {
        percent(price, self.bump_percent.saturating_add(100)).max(price.saturating_add(1))
    }

    /// What is no more than the price after a bump.
    fn lowered(&self, price: u128) -> u128 {
        let divisor = u128::from(self.bump_percent.saturating_add(100));
        price / divisor * 100
    }
}

/// Rounded up.
fn percent(price: u128, percent: u32) -> u128 {
    price.saturating_mul(u128::from(percent)).div_ceil(100)
}

/// Rounded down.
fn share(amount: u128, bps: u32) -> u128 {
    amount / u128::from(BASIS_POINTS) * u128::from(bps.min(BASIS_POINTS))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};
    use proptest::prelude::*;

    use super::*;
    use crate::intent::Purpose;

    const GWEI: u128 = 1_000_000_000;

    fn intent(urgency: Urgency, expected_gas: u64, gain: u128) -> Intent {
        Intent {
            purpose: Purpose::Liquidate { market: B256::ZERO, borrowers: Vec::new() },
            urgency,
            to: Address::ZERO,
            data: Vec::new().into(),
            gas_limit: expected_gas * 2,
            expected_gas,
            expected_gain: U256::from(gain),
            deadline: u64::MAX,
        }
    }

    #[test]
    fn a_first_offer_covers_twice_the_base_fee_and_an_urgent_one_bids_for_its_place() {
        let policy = FeePolicy::default();
        let gain = 100_000 * 1_000 * GWEI;
        let patient = policy.offer(&intent(Urgency::Patient, 100_000, gain), 10_000_000_000, None).unwrap();
        assert_eq!(patient, Fees { max_fee: 20 * GWEI + GWEI / 100, tip: GWEI / 100 });
        // 900 gwei may be spent on a unit of gas; a tenth of the 890 beyond the base fee is bid.
        let urgent = policy.offer(&intent(Urgency::Urgent, 100_000, gain), 10_000_000_000, None).unwrap();
        assert_eq!(urgent, Fees { max_fee: 109 * GWEI, tip: 89 * GWEI });
    }

    #[test]
    fn what_does_not_pay_for_its_gas_is_refused_with_both_figures() {
        let refused =
            FeePolicy::default().offer(&intent(Urgency::Urgent, 100_000, 100_000 * GWEI), 10_000_000_000, None);
        assert_eq!(refused, Err(TooDear { needed: 10_010_000_000, ceiling: 900_000_000 }));
    }

    #[test]
    fn a_small_gain_leaves_room_for_three_replacements() {
        let policy = FeePolicy::default();
        let small = intent(Urgency::Patient, 100_000, 100_000 * 20 * GWEI);
        let mut fees = policy.offer(&small, 10_000_000_000, None).unwrap();
        for _ in 0..3 {
            fees = policy.offer(&small, 10_000_000_000, Some(fees)).unwrap();
        }
        assert!(fees.max_fee <= 18 * GWEI, "{fees:?}");
    }

    proptest! {
        #[test]
        fn an_offer_never_pays_more_than_what_is_left_of_the_gain(
            gain in 0..u128::MAX, gas in 1..u64::MAX / 4, base_fee in 0..u64::MAX, urgent: bool, legacy: bool,
            floor in prop::option::of((0..1u128 << 60, 0..1u128 << 60)),
        ) {
            let style = if legacy { PriceStyle::GasPrice } else { PriceStyle::MaximumAndTip };
            let policy = FeePolicy { style, most_per_gas: u128::MAX, ..FeePolicy::default() };
            let urgency = if urgent { Urgency::Urgent } else { Urgency::Patient };
            let floor = floor.map(|(max_fee, tip)| Fees { max_fee: max_fee.max(tip), tip });
            if let Ok(fees) = policy.offer(&intent(urgency, gas, gain), base_fee, floor) {
                let most = U256::from(gain) / U256::from(10) * U256::from(9);
                prop_assert!(U256::from(fees.max_fee) * U256::from(gas) <= most.max(U256::ONE) + U256::from(9));
                prop_assert!(fees.tip <= fees.max_fee);
                prop_assert!(fees.max_fee >= u128::from(base_fee) + policy.least_tip);
                if let Some(floor) = floor {
                    prop_assert!(U256::from(fees.max_fee) * U256::from(100) >= U256::from(floor.max_fee) * U256::from(110));
                    prop_assert!(U256::from(fees.tip) * U256::from(100) >= U256::from(floor.tip) * U256::from(110));
                    prop_assert!(fees.max_fee > floor.max_fee && fees.tip > floor.tip);
                }
            }
        }
    }
}
