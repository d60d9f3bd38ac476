//! The minimum debt of a market below which nobody liquidates on a bad day: the liquidation incentive of the smallest loan
//! must pay for the gas, also at its lowest, where a price stops just after the loan became liquidatable.

use alloy::primitives::{U256, U512};
use plimsoll_contracts::Risk;

use crate::manifest::units::GasPrice;

/// Price of gas in a crash, in wei: the default of `bad_day_gas_price`.
pub const BAD_DAY_GAS_PRICE: GasPrice = GasPrice(200_000_000_000);
/// Gas of a liquidation that sells the collateral through one pool.
pub const LIQUIDATION_GAS: u64 = 300_000;

const WAD: u64 = 1_000_000_000_000_000_000;

/// Returns the debt whose bonus pays for its liquidation, in units of the loan token, rounded up. `native_price` is the
/// price of a whole native coin in these units.
#[must_use]
pub fn needed(gas_price: GasPrice, native_price: U256, risk: Risk) -> U256 {
    // gas · price of gas ÷ 1e18 · native price ÷ (bonus ÷ 1e18): the two scales are equal.
    let cost = U512::from(LIQUIDATION_GAS) * U512::from(gas_price.0) * U512::from(native_price);
    // At its lowest; a liquidation LTV is below 1, so it is above 0.
    let bonus = U512::from(risk.min_incentive_factor() - WAD);
    U256::saturating_from(cost.div_ceil(bonus))
}

/// Rounds an amount up to three digits, as people write it.
#[must_use]
pub fn rounded_up(units: U256) -> U256 {
    let digits = units.to_string().len();
    let unit = U256::from(10).pow(U256::from(digits.saturating_sub(3)));
    units.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn risk(liquidation_ltv_bps: u16) -> Risk {
        Risk::new(1, liquidation_ltv_bps, 10_000).unwrap()
    }

    fn usdc(whole: u64) -> U256 {
        U256::from(whole) * U256::from(1_000_000)
    }

    #[test]
    fn the_bonus_of_the_minimum_debt_pays_for_a_liquidation_at_the_price_of_gas_of_a_bad_day() {
        // 300,000 gas at 200 gwei are 0.06 coins, 120 USDC at 2,000; a quarter of 1 ÷ 0.958 - 1 of 10,948.57 USDC is 120.
        let debt = needed(BAD_DAY_GAS_PRICE, usdc(2_000), risk(8_600));
        assert!((usdc(10_948)..usdc(10_949)).contains(&debt), "{debt}");
        let bonus = |debt: U256| debt * U256::from(risk(8_600).min_incentive_factor() - WAD) / U256::from(WAD);
        assert!(bonus(debt) >= usdc(120) - U256::from(1) && bonus(debt - U256::from(1_000)) < usdc(120));
        assert_eq!(rounded_up(debt), usdc(11_000));

        // It grows with the price of gas and with the liquidation LTV, whose bonus shrinks.
        assert_eq!(needed(GasPrice(0), usdc(2_000), risk(8_600)), U256::ZERO);
        let dear = needed(GasPrice(400_000_000_000), usdc(2_000), risk(8_600));
        assert!(dear > debt * U256::from(2) - U256::from(2), "{dear}");
        assert!(needed(BAD_DAY_GAS_PRICE, usdc(2_000), risk(9_450)) > debt * U256::from(2));
        assert_eq!(needed(GasPrice(u128::MAX), U256::MAX, risk(9_800)), U256::MAX);
    }

    #[test]
    fn amounts_are_rounded_up_to_three_digits() {
        for (units, rounded) in [(0_u64, 0_u64), (7, 7), (999, 999), (1_001, 1_010), (9_991, 10_000)] {
            assert_eq!(rounded_up(U256::from(units)), U256::from(rounded), "{units}");
        }
    }
}
