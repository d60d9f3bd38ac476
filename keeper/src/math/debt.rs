//! Shares of a market's debt and assets, each into the other: the twin of `DebtMath`.

use super::wide::{div_up, product, to_u128};
use alloy::primitives::U256;

/// The price of the first share, and the lowest.
pub const MAX_SHARES_PER_ASSET: u128 = 1_000_000;
/// What a loan has after a borrowing, and what a repayment in part leaves it.
pub const MIN_SHARES: u128 = 1_000_000;

/// The shares that stand for a new debt.
pub fn to_debt_shares_up(assets: u128, total_assets: u128, total_shares: u128) -> u128 {
    if total_shares == 0 {
        return assets.saturating_mul(MAX_SHARES_PER_ASSET);
    }
    to_u128(div_up(product(assets, total_shares), U256::from(total_assets)))
}

/// The shares that a repayment redeems; 0 where nothing is owed.
pub fn to_debt_shares_down(assets: u128, total_assets: u128, total_shares: u128) -> u128 {
    if total_assets == 0 {
        return 0;
    }
    to_u128(product(assets, total_shares) / U256::from(total_assets))
}

/// What is owed on shares.
pub fn to_debt_up(shares: u128, total_assets: u128, total_shares: u128) -> u128 {
    if shares == 0 || total_shares == 0 {
        return 0;
    }
    // Most totals of most tokens: the product fits the machine's own widest division.
    if let Some(product) = shares.checked_mul(total_assets) {
        return product.div_ceil(total_shares);
    }
    to_u128(div_up(product(shares, total_assets), U256::from(total_shares)))
}

/// The market's borrow assets after `removed` of them went, and all shares but `shares_left` with them.
pub fn total_after(total_assets: u128, removed: u128, shares_left: u128) -> u128 {
    total_assets.saturating_sub(removed).max(shares_left.div_ceil(MAX_SHARES_PER_ASSET))
}
