//! Conversions between a market's supply in assets and in shares: the twin of `SharesMath`.

use alloy::primitives::U256;

use super::wide::{div_up, to_u128};

/// Shares that are added to the total and belong to no account.
pub const VIRTUAL_SHARES: u128 = 1_000_000;
/// Assets that are added to the total for the virtual shares.
pub const VIRTUAL_ASSETS: u128 = 1;

/// Returns the shares that a supply of `assets` issues.
pub fn to_shares_down(assets: u128, total_assets: u128, total_shares: u128) -> u128 {
    to_u128(U256::from(assets).saturating_mul(all_shares(total_shares)) / all_assets(total_assets))
}

/// Returns the shares that a withdrawal of `assets` burns.
pub fn to_shares_up(assets: u128, total_assets: u128, total_shares: u128) -> u128 {
    to_u128(div_up(U256::from(assets).saturating_mul(all_shares(total_shares)), all_assets(total_assets)))
}

/// Returns the assets that a withdrawal of `shares` pays out.
pub fn to_assets_down(shares: u128, total_assets: u128, total_shares: u128) -> u128 {
    to_u128(U256::from(shares).saturating_mul(all_assets(total_assets)) / all_shares(total_shares))
}

/// Returns the assets that a supply of `shares` requires.
pub fn to_assets_up(shares: u128, total_assets: u128, total_shares: u128) -> u128 {
    to_u128(div_up(U256::from(shares).saturating_mul(all_assets(total_assets)), all_shares(total_shares)))
}

fn all_shares(total_shares: u128) -> U256 {
    U256::from(total_shares) + U256::from(VIRTUAL_SHARES)
}

fn all_assets(total_assets: u128) -> U256 {
    U256::from(total_assets) + U256::from(VIRTUAL_ASSETS)
}
