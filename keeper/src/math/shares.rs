//! Shares of a market's supply and assets, each into the other: the twin of `SharesMath`.

use alloy::primitives::U256;

use super::wide::{div_up, to_u128};

/// The part of every total that nobody owns.
pub const VIRTUAL_SHARES: u128 = 1_000_000;
/// The assets that part stands for at first.
pub const VIRTUAL_ASSETS: u128 = 1;

/// The shares that a supply of `assets` gets.
pub fn to_shares_down(assets: u128, total_assets: u128, total_shares: u128) -> u128 {
    to_u128(U256::from(assets).saturating_mul(all_shares(total_shares)) / all_assets(total_assets))
}

/// The shares that a withdrawal of `assets` costs.
pub fn to_shares_up(assets: u128, total_assets: u128, total_shares: u128) -> u128 {
    to_u128(div_up(U256::from(assets).saturating_mul(all_shares(total_shares)), all_assets(total_assets)))
}

/// What a withdrawal of `shares` gets.
pub fn to_assets_down(shares: u128, total_assets: u128, total_shares: u128) -> u128 {
    to_u128(U256::from(shares).saturating_mul(all_assets(total_assets)) / all_shares(total_shares))
}

/// What a supply of `shares` costs.
pub fn to_assets_up(shares: u128, total_assets: u128, total_shares: u128) -> u128 {
    to_u128(div_up(U256::from(shares).saturating_mul(all_assets(total_assets)), all_shares(total_shares)))
}

fn all_shares(total_shares: u128) -> U256 {
    U256::from(total_shares) + U256::from(VIRTUAL_SHARES)
}

fn all_assets(total_assets: u128) -> U256 {
    U256::from(total_assets) + U256::from(VIRTUAL_ASSETS)
}
