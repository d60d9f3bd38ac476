//! Liquidation: which loans are liquidatable (health factor below 1), the max repay (close factor), and the liquidation
//! incentive. The twin of `LiquidationMath`.
//!
//! With the liquidation LTV `L`, the debt `D`, the value of the collateral `V` and the incentive factor `β`, the health
//! factor is `H = V·L ÷ D`. What a liquidator may do with a loan of `H < 1` depends on its [`Zone`].

use alloy::primitives::U256;
use plimsoll_contracts::{Risk, market::BPS};

use super::wide::{WAD, div_up, mul_div_down, product, to_u128};

/// 1e36, the scale of prices, as limbs.
pub const ORACLE_SCALE: U256 = U256::from_limbs([0xb34b_9f10_0000_0000, 0x00c0_97ce_7bc9_0715, 0, 0]);

/// The liquidation incentive that all loans of a market share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiquidationIncentive {
    /// Liquidation LTV, in basis points.
    pub ltv_bps: u16,
    /// Highest incentive factor βmax, 1e18-scaled: 1.05e18 is a bonus of 5 %.
    pub max_incentive_factor: u64,
    /// Lowest incentive factor βmin, 1e18-scaled.
    pub min_incentive_factor: u64,
}

/// The zone of a liquidatable loan, by the value of its collateral against its debt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// The value exceeds βmax·D: the liquidator seizes collateral worth the factor times what is repaid, and the max
    /// repay lifts the health factor to a target.
    Ramp {
        /// Value seized for each unit repaid, 1e18-scaled; it grows from βmin at a health factor of 1 to βmax.
        incentive_factor: u64,
    },
    /// The value lies between βmin·D and βmax·D: the whole debt is repaid for the whole collateral.
    Breakeven,
    /// The value is below βmin·D: the whole collateral is seized for as much as leaves the liquidator a factor that
    /// rises again from βmin to βmax, and the rest of the debt is bad debt.
    Insolvent,
}

/// The max repay of a liquidatable loan, with its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxRepay {
    /// Units of the loan token that may be repaid at most; never more than the debt.
    pub repay: u128,
    /// The zone of the loan, which decides what is seized for the repayment.
    pub zone: Zone,
}

impl MaxRepay {
    /// Returns the value seized for each unit repaid, 1e18-scaled; `None` where the whole position is liquidated.
    pub const fn incentive_factor(self) -> Option<u64> {
        match self.zone {
            Zone::Ramp { incentive_factor } => Some(incentive_factor),
            Zone::Breakeven | Zone::Insolvent => None,
        }
    }
}

impl LiquidationIncentive {
    /// Returns the incentive of a market. The twin of `incentiveOf`.
    pub fn of(risk: Risk) -> Self {
        Self {
            ltv_bps: risk.liquidation_ltv_bps(),
            max_incentive_factor: risk.max_incentive_factor(),
            min_incentive_factor: risk.min_incentive_factor(),
        }
    }
}

/// Returns the value of collateral in units of the loan token, at most 2^128 - 1.
pub fn value_down(collateral: u128, price: U256) -> u128 {
    to_u128(mul_div_down(U256::from(collateral), price, ORACLE_SCALE))
}

/// Returns true if collateral of this value covers this debt at this LTV: if the health factor is at least 1.
pub fn is_healthy(debt: u128, value: u128, ltv_bps: u16) -> bool {
    product(debt, u128::from(BPS)) <= product(value, u128::from(ltv_bps))
}

/// Returns the liquidation price (waterline) of a loan: the highest price at which its health factor is below 1; 0 if
/// it is healthy at every price, and the largest number if it is liquidatable at every price. The twin of
/// `MarketReader.priceAtLtv`.
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

/// Returns the zone and the max repay of a liquidatable loan with a debt above 0. A debt below `min_debt` is never
/// left: the whole debt may be repaid instead.
pub fn max_repay_of(incentive: &LiquidationIncentive, debt: u128, value: u128, min_debt: u128) -> MaxRepay {
    let value_wad = product(value, u128::from(WAD));
    if value_wad > product(debt, u128::from(incentive.max_incentive_factor)) {
        let incentive_factor = ramp_incentive_factor_down(incentive, debt, value);
        let part = repay_to_target_down(incentive.ltv_bps, debt, value, incentive_factor);
        let repay = if debt.saturating_sub(part) < min_debt { debt } else { part };
        MaxRepay { repay, zone: Zone::Ramp { incentive_factor } }
    } else if value_wad >= product(debt, u128::from(incentive.min_incentive_factor)) {
        MaxRepay { repay: debt, zone: Zone::Breakeven }
    } else {
        let incentive_factor = insolvent_incentive_factor_down(incentive, debt, value);
        let repay = to_u128(div_up(value_wad, U256::from(incentive_factor)));
        MaxRepay { repay, zone: Zone::Insolvent }
    }
}

/// Returns how much is repaid if the caller repays no more than `limit`: either the max repay, or an amount that leaves
/// a debt of at least `min_debt`; 0 if there is no such amount.
pub fn repay_within_down(max: MaxRepay, debt: u128, limit: u128, min_debt: u128) -> u128 {
    if limit >= max.repay {
        return max.repay;
    }
    let Some(room) = debt.checked_sub(min_debt) else { return 0 };
    let room = match max.zone {
        Zone::Ramp { .. } => room,
        // A part of a whole position removes debt in proportion.
        Zone::Breakeven | Zone::Insolvent => part_down(max.repay, room, debt),
    };
    limit.min(room)
}

/// Returns `⌊whole × part ÷ of⌋`; 0 if `of` is 0.
pub fn part_down(whole: u128, part: u128, of: u128) -> u128 {
    if of == 0 { 0 } else { to_u128(product(whole, part) / U256::from(of)) }
}

/// Returns the incentive factor on the ramp, 1e18-scaled: βmin + (βmax - βmin) · (1 - H) ÷ (1 - L·βmax).
pub fn ramp_incentive_factor_down(incentive: &LiquidationIncentive, debt: u128, value: u128) -> u64 {
    let (wad, bps) = (u128::from(WAD), u128::from(BPS));
    let LiquidationIncentive { ltv_bps, max_incentive_factor, min_incentive_factor } = *incentive;
    let (ltv_bps, max_factor) = (u128::from(ltv_bps), u128::from(max_incentive_factor));
    let slope = u128::from(max_incentive_factor - min_incentive_factor) * wad / (wad - ltv_bps * max_factor / bps);
    let owed = product(debt, bps);
    let missing = owed.saturating_sub(product(value, ltv_bps));
    let rise = U256::from(slope) * missing / owed.max(U256::ONE);
    min_incentive_factor.saturating_add(rise.saturating_to())
}

/// Returns the repayment that lifts the health factor to the target T = 1 + (1 - L) ÷ 2: (T·D - V·L) ÷ (T - β·L).
pub fn repay_to_target_down(ltv_bps: u16, debt: u128, value: u128, incentive_factor: u64) -> u128 {
    let (bps, ltv_bps) = (u128::from(BPS), u128::from(ltv_bps));
    let twice_target_bps = 3 * bps - ltv_bps;
    let missing = product(twice_target_bps, debt).saturating_sub(product(2 * ltv_bps, value)) * U256::from(WAD);
    let removed_per_repaid = twice_target_bps * u128::from(WAD) - 2 * ltv_bps * u128::from(incentive_factor);
    to_u128(missing / U256::from(removed_per_repaid))
}

/// Returns the units of collateral that are worth the incentive factor times the repayment.
pub fn seized_down(repaid: u128, incentive_factor: u64, price: U256) -> u128 {
    let scaled = product(repaid, u128::from(incentive_factor)) * U256::from(WAD);
    to_u128(scaled.checked_div(price).unwrap_or(U256::MAX))
}

/// Returns the incentive factor of an insolvent loan, 1e18-scaled: from βmin back to βmax over a further fall of V ÷ D
/// by 1 ÷ L - βmax.
pub fn insolvent_incentive_factor_down(incentive: &LiquidationIncentive, debt: u128, value: u128) -> u64 {
    let (wad, bps) = (u128::from(WAD), u128::from(BPS));
    let LiquidationIncentive { ltv_bps, max_incentive_factor, min_incentive_factor } = *incentive;
    let ratio_up: u64 = div_up(product(value, wad), U256::from(debt)).saturating_to();
    let shortfall = u128::from(min_incentive_factor.saturating_sub(ratio_up));
    let span = (bps * wad).div_ceil(u128::from(ltv_bps)) - u128::from(max_incentive_factor);
    let rise = u128::from(max_incentive_factor - min_incentive_factor) * shortfall / span;
    min_incentive_factor.saturating_add(u64::try_from(rise).unwrap_or(u64::MAX)).min(max_incentive_factor)
}
