//! The calls that are tried before one is chosen: a batch as a whole and its parts, by every way there is of paying.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{ILiquidator, IPlimsoll};

use super::{
    Settings,
    batches::{Batch, Expected, Scene, Terms},
    ways::{Purse, Way},
};
use crate::prices::Call;

/// A batch is tried whole and by halves of what is repaid, as long as a half's bonus by the oracle's price pays for its
/// gas, and no more often than this: so a whale of millions meets the exchange at a slice of one dollar.
const MOST_HALVINGS: usize = 24;

/// A transaction that could be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer<'a> {
    pub(super) way: Way<'a>,
    pub(super) borrowers: Vec<Address>,
    pub(super) max_repay: U256,
    /// What is repaid, if the book is right.
    pub(super) repaid: U256,
    /// What it is expected to use, and what it may.
    pub(super) gas: u64,
    pub(super) gas_limit: u64,
}

/// What bounds a transaction's profit from below, on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Guard {
    /// Units of the token that the profit is in.
    pub(super) min_profit: U256,
    /// Units of collateral for one of the loan token, 1e36-scaled.
    pub(super) min_seized_per_repaid: U256,
}

/// What could be sent of a batch by one way, repaying no more than `most`: all of it first, then smaller and smaller
/// parts.
pub(super) fn parts<'a>(
    terms: Terms<'_>,
    scene: Scene<'_>,
    batch: &Batch,
    (way, purse): (Way<'a>, Purse),
    most: U256,
) -> Vec<Offer<'a>> {
    let whole = most.min(batch.repaid);
    let mut offers: Vec<Offer<'a>> = Vec::new();
    for halvings in 0..=MOST_HALVINGS {
        let limit = whole >> halvings;
        // What accrues until it is mined must not make a part of what is meant as a whole.
        let limit = if limit == batch.repaid { U256::MAX } else { limit };
        let Some((offer, bonus)) = part(terms, scene, batch, way, limit) else { break };
        let pays = terms.costs.are_worth(purse.worth_of_bonus(bonus, scene.price), terms.costs.of(offer.gas, 0));
        if halvings != 0 && !pays {
            break;
        }
        if offers.last().is_none_or(|larger| larger.repaid != offer.repaid) {
            offers.push(offer);
        }
    }
    offers
}

/// All of a batch.
pub(super) fn whole<'a>(terms: Terms<'_>, scene: Scene<'_>, batch: &Batch, way: Way<'a>) -> Option<Offer<'a>> {
    part(terms, scene, batch, way, U256::MAX).map(|(offer, _)| offer)
}

/// What could be sent when no more than `limit` is repaid, and its bonus by the oracle's price in units of the loan
/// token; nothing where the core would do nothing.
fn part<'a>(terms: Terms<'_>, scene: Scene<'_>, batch: &Batch, way: Way<'a>, limit: U256) -> Option<(Offer<'a>, U256)> {
    if limit.is_zero() {
        return None;
    }
    let Expected { loans, repaid, bonus, .. } = scene.expect(&mut batch.before.clone(), &batch.loans, limit);
    if loans.is_empty() {
        return None;
    }
    let borrowers: Vec<_> = loans.iter().map(|(loan, _)| loan.account).collect();
    let gas = terms.table.of_liquidation(borrowers.len(), way.pools());
    let gas_limit = if terms.table.as_tried { terms.room } else { terms.table.limit(gas) };
    Some((Offer { way, borrowers, max_repay: limit, repaid, gas, gas_limit }, bonus))
}

impl Offer<'_> {
    /// The call, from the keeper.
    pub(super) fn call(&self, settings: &Settings, scene: Scene<'_>, guard: Guard) -> Call {
        let (params, borrowers) = (scene.market.params().clone(), self.borrowers.clone());
        let (to, data) = match self.way {
            Way::Sale(route) => {
                let liquidation = ILiquidator::Liquidation {
                    params,
                    borrowers,
                    maxRepay: self.max_repay,
                    swapper: route.swapper,
                    route: route.path.clone(),
                    profitInCollateral: route.profit_in_collateral,
                    minProfit: guard.min_profit,
                    receiver: settings.receiver,
                    deadline: U256::from(settings.deadline(scene.timestamp)),
                };
                (settings.liquidator.unwrap_or_default(), ILiquidator::liquidateCall { liquidation }.abi_encode())
            }
            Way::Inventory(_) => {
                let call = IPlimsoll::liquidateCall {
                    params,
                    borrowers,
                    maxRepay: self.max_repay,
                    minSeizedPerRepaid: guard.min_seized_per_repaid,
                    receiver: settings.receiver,
                    data: Bytes::new(),
                };
                (settings.core, call.abi_encode())
            }
        };
        Call { from: settings.keeper, to, data: data.into(), gas: self.gas_limit }
    }
}
