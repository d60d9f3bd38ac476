//! The minimum debt of a market below which nobody liquidates on a bad day: the liquidation incentive of the smallest loan
//! must pay for the gas, also at its lowest, where a price stops just after the loan became liquidatable.

use alloy::primitives::{U256, U512};

use crate::manifest::units::GasPrice;

/// Price of gas in a crash, in wei: the default of `bad_day_gas_price`.
pub const BAD_DAY_GAS_PRICE: GasPrice = GasPrice(200_000_000_000);
/// Gas of a liquidation that sells the collateral through one pool.
pub const LIQUIDATION_GAS: u64 = 300_000;

const WAD: u64 = 1_000_000_000_000_000_000;
const BPS: u128 = 10_000;
/// Highest bonus of any market, 1e18-scaled.
const MAX_BONUS_WAD: u64 = 150_000_000_000_000_000;

/// Returns the debt whose bonus pays for its liquidation, in units of the loan token, rounded up. `native_price` is the
/// price of a whole native coin in these units.
#[must_use]
pub fn needed(gas_price: GasPrice, native_price: U256, liquidation_ltv_bps: u16) -> U256 {
    // gas · price of gas ÷ 1e18 · native price ÷ (bonus ÷ 1e18): the two scales are equal.
    let cost = U512::from(LIQUIDATION_GAS) * U512::from(gas_price.0) * U512::from(native_price);
    let bonus = U512::from(min_bonus_wad(liquidation_ltv_bps));
    U256::saturating_from(cost.div_ceil(bonus))
}

/// Returns the highest bonus of a market, 1e18-scaled, which a liquidator gets where the whole loan may be repaid:
/// min(15 %, 1 ÷ (0.3·L + 0.7) - 1) for the liquidation LTV `L`.
#[must_use]
pub fn max_bonus_wad(liquidation_ltv_bps: u16) -> u64 {
    let denominator = 3 * u128::from(liquidation_ltv_bps) + 7 * BPS;
    let bonus = (u128::from(WAD) * 10 * BPS / denominator).saturating_sub(WAD.into());
    // A liquidation LTV is below 1, so the bonus is above 0; 1 only keeps a caller from dividing by 0.
    u64::try_from(bonus).unwrap_or(MAX_BONUS_WAD).clamp(1, MAX_BONUS_WAD)
}

/// Returns the lowest bonus of a market, 1e18-scaled, which a liquidator gets of a loan that is barely liquidatable: a
/// quarter of the highest.
#[must_use]
pub fn min_bonus_wad(liquidation_ltv_bps: u16) -> u64 {
    (max_bonus_wad(liquidation_ltv_bps) / 4).max(1)
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

    fn usdc(whole: u64) -> U256 {
        U256::from(whole) * U256::from(1_000_000)
    }

    #[test]
    fn the_bonus_of_the_minimum_debt_pays_for_a_liquidation_at_the_price_of_gas_of_a_bad_day() {
        // 300,000 gas at 200 gwei are 0.06 coins, 120 USDC at 2,000; a quarter of 1 ÷ 0.958 - 1 of 10,948.57 USDC is 120.
        let debt = needed(BAD_DAY_GAS_PRICE, usdc(2_000), 8_600);
        assert!((usdc(10_948)..usdc(10_949)).contains(&debt), "{debt}");
        let bonus = |debt: U256| debt * U256::from(min_bonus_wad(8_600)) / U256::from(WAD);
        assert!(bonus(debt) >= usdc(120) - U256::from(1) && bonus(debt - U256::from(1_000)) < usdc(120));
        assert_eq!(rounded_up(debt), usdc(11_000));

        // It grows with the price of gas and with the liquidation LTV, whose bonus shrinks.
        assert_eq!(needed(GasPrice(0), usdc(2_000), 8_600), U256::ZERO);
        let dear = needed(GasPrice(400_000_000_000), usdc(2_000), 8_600);
        assert!(dear > debt * U256::from(2) - U256::from(2), "{dear}");
        assert!(needed(BAD_DAY_GAS_PRICE, usdc(2_000), 9_450) > debt * U256::from(2));
        assert_eq!(needed(GasPrice(u128::MAX), U256::MAX, 9_800), U256::MAX);
    }

    #[test]
    fn the_highest_bonus_is_that_of_the_contract() {
        assert_eq!(max_bonus_wad(1), MAX_BONUS_WAD);
        assert_eq!(max_bonus_wad(8_600), 1_043_841_336_116_910_229 - WAD);
        assert_eq!(max_bonus_wad(9_800), 1_006_036_217_303_822_937 - WAD);
    }

    #[test]
    fn amounts_are_rounded_up_to_three_digits() {
        for (units, rounded) in [(0_u64, 0_u64), (7, 7), (999, 999), (1_001, 1_010), (9_991, 10_000)] {
            assert_eq!(rounded_up(U256::from(units)), U256::from(rounded), "{units}");
        }
    }
}
