//! Conversions between a market's debt in assets and in shares: the twin of `DebtMath`.

use alloy::primitives::U256;

use super::wide::{div_up, product, to_u128};

/// Number of shares per asset of the first debt; a share is never worth less.
pub const MAX_SHARES_PER_ASSET: u128 = 1_000_000;
/// Minimum shares of a loan after a borrow, and after a repayment in part.
pub const MIN_SHARES: u128 = 1_000_000;

/// Returns the shares that are issued for a new debt.
pub fn to_debt_shares_up(assets: u128, total_assets: u128, total_shares: u128) -> u128 {
    if total_shares == 0 {
        return assets.saturating_mul(MAX_SHARES_PER_ASSET);
    }
    to_u128(div_up(product(assets, total_shares), U256::from(total_assets)))
}

/// Returns the shares that a repayment redeems; 0 if the market has no debt.
pub fn to_debt_shares_down(assets: u128, total_assets: u128, total_shares: u128) -> u128 {
    if total_assets == 0 {
        return 0;
    }
    to_u128(product(assets, total_shares) / U256::from(total_assets))
}

/// Returns the debt that shares stand for.
pub fn to_debt_up(shares: u128, total_assets: u128, total_shares: u128) -> u128 {
    if shares == 0 || total_shares == 0 {
        return 0;
    }
    // The totals of most tokens are such that the product fits the machine's own widest division.
    if let Some(product) = shares.checked_mul(total_assets) {
        return product.div_ceil(total_shares);
    }
    to_u128(div_up(product(shares, total_assets), U256::from(total_shares)))
}

/// Returns the market's borrow assets after `removed` of them were repaid or written off, with `shares_left` shares
/// remaining. The difference saturates, and does not fall below the lowest value of the remaining shares.
pub fn saturating_total_after_repay(total_assets: u128, removed: u128, shares_left: u128) -> u128 {
    total_assets.saturating_sub(removed).max(shares_left.div_ceil(MAX_SHARES_PER_ASSET))
}
