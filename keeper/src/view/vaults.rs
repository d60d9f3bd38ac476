//! The block of the view that shows vaults, made from the book.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use plimsoll_contracts::market::{BPS, SECONDS_PER_YEAR};

use super::{
    denomination::Denomination,
    model::{DecisionView, VaultMarketView, VaultView},
};
use crate::{
    book::Book,
    config::Config,
    math::wide::WAD,
    prices::Prices,
    strategies::rebalance::{VaultSnapshot, bps_a_year},
};

/// Shows every vault that is followed, with the last decision about it.
pub(super) fn vault_views(
    config: &Config,
    book: &Book,
    prices: &Prices,
    decisions: &BTreeMap<Address, DecisionView>,
    timestamp: u64,
) -> Vec<VaultView> {
    let limits = config.rebalance.limits();
    let mut views = Vec::new();
    for vault in book.vaults() {
        let Some(snapshot) = VaultSnapshot::of(vault, book, prices, timestamp, &limits) else { continue };
        let denomination = Denomination::of(config, snapshot.asset);
        let amount = |units: u128| denomination.amount(U256::from(units));
        let allocations = &snapshot.allocations;
        let a_year =
            allocations.income(&allocations.held()) * U256::from(SECONDS_PER_YEAR) * U256::from(BPS) / U256::from(WAD);
        let markets = snapshot.markets.iter().zip(&allocations.markets).map(|(market, allocated)| VaultMarketView {
            id: market.id.0,
            name: config.deployed.market_name(market.id),
            assets: amount(allocated.held),
            supply_rate_bps: bps_a_year(allocated.rate_with(allocated.held)),
            flag: market.flag,
        });
        views.push(VaultView {
            address: vault.address(),
            name: config.deployed.vault_name(vault.address()),
            total: amount(vault.state().total_at(allocations.total(), timestamp)),
            idle: amount(allocations.idle),
            supply_rate_bps: a_year.checked_div(U256::from(allocations.total())).unwrap_or_default().saturating_to(),
            markets: markets.collect(),
            decision: decisions.get(&vault.address()).cloned(),
        });
    }
    views
}
