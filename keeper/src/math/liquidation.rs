//! Who may be liquidated, how much of it, and for which bonus: the twin of `LiquidationMath`.

use alloy::primitives::U256;
use plimsoll_contracts::{Risk, market::BPS};

use super::wide::{WAD, div_up, mul_div_down, product, to_u128};

/// 1e36: what prices are scaled by, as limbs.
pub const ORACLE_SCALE: U256 = U256::from_limbs([0xb34b_9f10_0000_0000, 0x00c0_97ce_7bc9_0715, 0, 0]);
/// 15 %: the bonus never exceeds it.
const MAX_BONUS: u64 = 1_150_000_000_000_000_000;

/// What every loan of a market has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Liquidation LTV in basis points.
    pub ltv_bps: u16,
    /// The highest bonus, 1e18-scaled.
    pub max_bonus: u64,
    /// The lowest bonus, 1e18-scaled.
    pub min_bonus: u64,
}

/// The most that may be done to an unhealthy loan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// How much may be repaid, at most the debt.
    pub repay: u128,
    /// The value seized for each unit repaid, 1e18-scaled; nothing where the whole debt stands against the whole
    /// collateral.
    pub bonus: Option<u64>,
}

impl Terms {
    /// The bonuses at a market's liquidation LTV.
    pub fn of(risk: Risk) -> Self {
        let ltv_bps = risk.liquidation_ltv_bps();
        let wad = u128::from(WAD);
        let max_bonus = wad * wad / (700_000_000_000_000_000 + u128::from(ltv_bps) * 30_000_000_000_000);
        let max_bonus = u64::try_from(max_bonus).unwrap_or(u64::MAX).min(MAX_BONUS);
        Self { ltv_bps, max_bonus, min_bonus: WAD + (max_bonus - WAD) / 4 }
    }
}

/// What the collateral is worth in units of the loan token, at most 2^128 - 1.
pub fn value_down(collateral: u128, price: U256) -> u128 {
    to_u128(mul_div_down(U256::from(collateral), price, ORACLE_SCALE))
}

/// Whether collateral of this value carries this debt at this LTV.
pub fn is_healthy(debt: u128, value: u128, ltv_bps: u16) -> bool {
    product(debt, u128::from(BPS)) <= product(value, u128::from(ltv_bps))
}

/// The highest price at which collateral does not carry a debt: 0 where at none, the largest number where at every
/// price. The twin of `Lens._waterlinePrice`.
pub fn waterline_price(debt: u128, collateral: u128, ltv_bps: u16) -> U256 {
    if debt == 0 {
        return U256::ZERO;
    }
    let below_debt = product(debt, u128::from(BPS)) - U256::ONE;
    let highest_value = below_debt.checked_div(U256::from(ltv_bps)).unwrap_or(U256::MAX);
    if collateral == 0 || highest_value >= U256::from(u128::MAX) {
        return U256::MAX;
    }
    ((highest_value + U256::ONE) * ORACLE_SCALE - U256::ONE) / U256::from(collateral)
}

/// The most that may be done to an unhealthy loan that owes something.
pub fn ceiling_of(terms: &Terms, debt: u128, value: u128, smallest_debt: u128) -> Ceiling {
    let value_wad = product(value, u128::from(WAD));
    if value_wad > product(debt, u128::from(terms.max_bonus)) {
        let bonus = ramp_bonus_down(terms, debt, value);
        let part = repay_to_target_down(terms.ltv_bps, debt, value, bonus);
        let repay = if debt.saturating_sub(part) < smallest_debt { debt } else { part };
        Ceiling { repay, bonus: Some(bonus) }
    } else if value_wad >= product(debt, u128::from(terms.min_bonus)) {
        Ceiling { repay: debt, bonus: None }
    } else {
        let bonus = underwater_bonus_down(terms, debt, value);
        Ceiling { repay: to_u128(div_up(value_wad, U256::from(bonus))), bonus: None }
    }
}

/// How much of a ceiling is repaid when the caller repays no more than `limit`; 0 when no part will do.
pub fn repay_within_down(ceiling: Ceiling, debt: u128, limit: u128, smallest_debt: u128) -> u128 {
    if limit >= ceiling.repay {
        return ceiling.repay;
    }
    let Some(room) = debt.checked_sub(smallest_debt) else { return 0 };
    let room = if ceiling.bonus.is_none() { part_down(ceiling.repay, room, debt) } else { room };
    limit.min(room)
}

/// `⌊whole × part ÷ of⌋`; 0 where `of` is 0.
pub fn part_down(whole: u128, part: u128, of: u128) -> u128 {
    if of == 0 { 0 } else { to_u128(product(whole, part) / U256::from(of)) }
}

/// β on the ramp.
pub fn ramp_bonus_down(terms: &Terms, debt: u128, value: u128) -> u64 {
    let (wad, bps) = (u128::from(WAD), u128::from(BPS));
    let (ltv_bps, max_bonus) = (u128::from(terms.ltv_bps), u128::from(terms.max_bonus));
    let slope = u128::from(terms.max_bonus - terms.min_bonus) * wad / (wad - ltv_bps * max_bonus / bps);
    let owed = product(debt, bps);
    let missing = owed.saturating_sub(product(value, ltv_bps));
    let rise = U256::from(slope) * missing / owed.max(U256::ONE);
    terms.min_bonus.saturating_add(rise.saturating_to())
}

/// What lifts health to the target.
pub fn repay_to_target_down(ltv_bps: u16, debt: u128, value: u128, bonus: u64) -> u128 {
    let (bps, ltv_bps) = (u128::from(BPS), u128::from(ltv_bps));
    let twice_target_bps = 3 * bps - ltv_bps;
    let missing = product(twice_target_bps, debt).saturating_sub(product(2 * ltv_bps, value)) * U256::from(WAD);
    let removed_per_repaid = twice_target_bps * u128::from(WAD) - 2 * ltv_bps * u128::from(bonus);
    to_u128(missing / U256::from(removed_per_repaid))
}

/// Collateral that is worth β times what was repaid.
pub fn seized_down(repaid: u128, bonus: u64, price: U256) -> u128 {
    let scaled = product(repaid, u128::from(bonus)) * U256::from(WAD);
    to_u128(scaled.checked_div(price).unwrap_or(U256::MAX))
}

/// β under water.
pub fn underwater_bonus_down(terms: &Terms, debt: u128, value: u128) -> u64 {
    let (wad, bps) = (u128::from(WAD), u128::from(BPS));
    let ratio_up: u64 = div_up(product(value, wad), U256::from(debt)).saturating_to();
    let shortfall = u128::from(terms.min_bonus.saturating_sub(ratio_up));
    let span = (bps * wad).div_ceil(u128::from(terms.ltv_bps)) - u128::from(terms.max_bonus);
    let rise = u128::from(terms.max_bonus - terms.min_bonus) * shortfall / span;
    terms.min_bonus.saturating_add(u64::try_from(rise).unwrap_or(u64::MAX)).min(terms.max_bonus)
}
