//! The surge limit: how fast a market's debt may grow. The twin of `SurgeMath`.

use alloy::primitives::U256;
use plimsoll_contracts::{Risk, SurgeLimit, market::BPS};

use super::{
    types::Market,
    wide::{div_up, product, to_u128},
};

/// The level of an exhausted limit; 28 bits in storage.
pub const FULL: u32 = (1 << 28) - 1;

/// Returns the level after a refill of `elapsed` seconds.
pub fn refilled(level: u32, limit: SurgeLimit, elapsed: u64) -> u32 {
    let refill = u128::from(elapsed) * u128::from(FULL) / u128::from(limit.period_secs.max(1));
    level.saturating_sub(u32::try_from(refill).unwrap_or(u32::MAX))
}

/// Returns the level after `assets` are borrowed from a market with a limit, above [`FULL`] if they exceed the room; it
/// saturates.
pub fn level_after_borrow(market: &Market, risk: Risk, limit: SurgeLimit, assets: u128) -> u32 {
    let (n, d) = limit_fraction(market, risk, limit);
    let charge = div_up(U256::from(assets) * d, n);
    market.surge_level.saturating_add(u32::try_from(charge).unwrap_or(u32::MAX))
}

/// Returns the level after `assets` are paid in, by a repayment or a liquidation, before the debt is lowered.
pub fn level_after_payment(market: &Market, risk: Risk, limit: SurgeLimit, assets: u128) -> u32 {
    let (n, d) = limit_fraction(market, risk, limit);
    market.surge_level.saturating_sub(u32::try_from(U256::from(assets) * d / n).unwrap_or(u32::MAX))
}

/// Returns the most that can be borrowed at once.
pub fn room(market: &Market, risk: Risk, limit: SurgeLimit) -> u128 {
    let (n, d) = limit_fraction(market, risk, limit);
    to_u128(U256::from(FULL.saturating_sub(market.surge_level)) * n / d)
}

/// Returns N and D, for which the limit is `N × FULL / D`.
fn limit_fraction(market: &Market, risk: Risk, limit: SurgeLimit) -> (U256, U256) {
    let share = u128::from(limit.share_bps);
    let n = product(risk.surge_floor(), BPS.into()) + product(share, market.borrow_assets);
    let d = u128::from(BPS) * u128::from(FULL) + share * u128::from(market.surge_level);
    (n, U256::from(d))
}
