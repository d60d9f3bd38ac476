//! A vault as of a block: what it has in each market, how much of that can be moved, and which markets it must leave.

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{MarketId, market::BPS};
use serde::Serialize;

use super::{
    Limits,
    level::{AllocatedMarket, Allocations, Group},
};
use crate::{
    book::{Book, MarketBook, VaultBook, collateral_cap_id, oracle_cap_id},
    math::{shares::to_assets_down, types::Market, wide::product},
    prices::{NoPrice, Prices},
};

/// Most loans near liquidation that are looked at, of each size: the largest sizes come with few loans.
const LOANS_OF_A_SIZE: usize = 256;

/// Why a vault leaves a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The oracle reverts, as one does whose answer is stale, or says 0: nothing can be liquidated.
    NoPrice,
    /// Nearly everything is borrowed, so that soon nobody can withdraw.
    UsedUp,
    /// A large part of the debt is near its liquidation price.
    LoansAtRisk,
}

/// A vault as of a block.
#[derive(Debug, Clone)]
pub struct VaultSnapshot {
    /// Address of the vault.
    pub address: Address,
    /// Its asset.
    pub asset: Address,
    /// Its markets, in the order of its list; those that the book does not have are not among them.
    pub markets: Vec<VaultMarket>,
    /// The markets' bounds and totals, in the same order.
    pub allocations: Allocations,
}

/// One market of a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultMarket {
    /// Id of the market.
    pub id: MarketId,
    /// Why the vault leaves it, if it does.
    pub flag: Option<Flag>,
}

impl VaultSnapshot {
    /// Reads a vault from the book; `None` while it has no market that is in the book.
    #[must_use]
    pub fn of(vault: &VaultBook, book: &Book, prices: &Prices, timestamp: u64, limits: &Limits) -> Option<Self> {
        let state = vault.state();
        let found = |market: MarketId| book.market(market).map(|found| (found, found.at(timestamp)));
        let markets: Vec<_> = state.holdings.iter().filter_map(|holding| found(holding.market)).collect();
        let asset = markets.first()?.0.params().loanToken;
        let held: Vec<_> = markets
            .iter()
            .map(|(market, totals)| {
                to_assets_down(state.shares(market.id()), totals.supply_assets, totals.supply_shares)
            })
            .collect();
        let real = held.iter().fold(state.idle, |sum, held| sum.saturating_add(*held));
        let total = state.total_at(real, timestamp);

        let mut allocations = Allocations {
            idle: state.idle,
            min_idle: product(total, limits.min_idle_bps.into()).wrapping_div(U256::from(BPS)).saturating_to(),
            ..Allocations::default()
        };
        let mut of_vault = Vec::new();
        for ((market, totals), held) in markets.iter().zip(&held) {
            let flag = flag_of(market, totals, prices, timestamp, limits);
            let cap = state.most_under(market.id().0, total);
            let allocated =
                AllocatedMarket::new(*totals, market.curve(), *held, cap, flag.is_some(), limits.max_utilisation_bps);
            allocations.markets.push(allocated);
            of_vault.push(VaultMarket { id: market.id(), flag });
        }
        let ids = markets.iter().flat_map(|(market, _)| {
            let params = market.params();
            [collateral_cap_id(params.collateralToken), oracle_cap_id(params.oracle)]
        });
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        allocations.groups = ids
            .into_iter()
            .map(|id| {
                let is_in = |market: &MarketBook| {
                    let params = market.params();
                    collateral_cap_id(params.collateralToken) == id || oracle_cap_id(params.oracle) == id
                };
                let members: Vec<_> =
                    (0..).zip(&markets).filter(|(_, (market, _))| is_in(market)).map(|(index, _)| index).collect();
                let of_members = members.iter().filter_map(|index: &usize| held.get(*index));
                let has = of_members.fold(0_u128, |sum, held| sum.saturating_add(*held));
                Group { members, most: state.most_under(id, total).max(has) }
            })
            .collect();
        Some(Self { address: vault.address(), asset, markets: of_vault, allocations })
    }

    /// Returns whether the vault has something in a market that it must leave.
    #[must_use]
    pub fn must_leave(&self) -> bool {
        let mut both = self.markets.iter().zip(&self.allocations.markets);
        both.any(|(market, allocated)| market.flag.is_some() && allocated.held > allocated.least)
    }

    /// Returns assets in flagged markets that can be withdrawn.
    #[must_use]
    pub fn endangered(&self) -> u128 {
        let both = self.markets.iter().zip(&self.allocations.markets);
        let left =
            both.filter(|(market, _)| market.flag.is_some()).map(|(_, allocated)| allocated.held - allocated.least);
        left.fold(0, u128::saturating_add)
    }
}

/// Returns why a vault leaves a market, if it does.
fn flag_of(market: &MarketBook, totals: &Market, prices: &Prices, timestamp: u64, limits: &Limits) -> Option<Flag> {
    let is_used_up =
        product(totals.borrow_assets, BPS.into()) > product(totals.supply_assets, limits.flee_utilisation_bps.into());
    if is_used_up && totals.borrow_assets != 0 {
        return Some(Flag::UsedUp);
    }
    match prices.of(market.id()) {
        // Without borrowers no price is needed.
        Err(NoPrice::Reverted(_) | NoPrice::Zero) => (totals.borrow_assets != 0).then_some(Flag::NoPrice),
        // The node's fault, or a market that nobody asked for: nothing is known.
        Err(NoPrice::NoAnswer | NoPrice::TooLittleGas | NoPrice::NotAsked) => None,
        Ok(price) => {
            let lower = price * U256::from(BPS - u32::from(limits.flee_distance_bps)) / U256::from(BPS);
            let near = market.liquidatable_from(lower, timestamp, 0, LOANS_OF_A_SIZE);
            let debt = near.iter().fold(0_u128, |sum, loan| sum.saturating_add(totals.debt_of(loan.loan)));
            let limit = product(totals.borrow_assets, limits.flee_debt_bps.into());
            (debt != 0 && product(debt, BPS.into()) >= limit).then_some(Flag::LoansAtRisk)
        }
    }
}
