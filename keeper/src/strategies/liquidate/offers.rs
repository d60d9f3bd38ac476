//! The calls that are tried before one is chosen: a batch as a whole and its parts, by every way there is of paying.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{ILiquidator, IPlimsoll};

use super::{
    Settings,
    batches::{Batch, Scene, Terms},
    ways::Way,
};
use crate::prices::Call;

/// A batch is tried whole and by halves of what is repaid, down to one in 2^6. What the exchange cannot absorb even of
/// that is not worth a transaction, or will be when it has recovered.
const HALVINGS: usize = 6;

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

/// What could be sent of a batch by one way: all of it first, then smaller and smaller parts.
pub(super) fn parts<'a>(terms: Terms<'_>, scene: Scene<'_>, batch: &Batch, way: Way<'a>, most: U256) -> Vec<Offer<'a>> {
    let whole = most.min(batch.repaid);
    let mut offers: Vec<Offer<'a>> = Vec::with_capacity(HALVINGS + 1);
    for halvings in 0..=HALVINGS {
        let limit = whole >> halvings;
        // What accrues until it is mined must not make a part of what is meant as a whole.
        let limit = if limit == batch.repaid { U256::MAX } else { limit };
        let Some(offer) = part(terms, scene, batch, way, limit) else { continue };
        if offers.last().is_none_or(|larger| larger.repaid != offer.repaid) {
            offers.push(offer);
        }
    }
    offers
}

/// What could be sent of a batch when no more than `limit` is repaid; nothing where the core would do nothing.
pub(super) fn part<'a>(
    terms: Terms<'_>,
    scene: Scene<'_>,
    batch: &Batch,
    way: Way<'a>,
    limit: U256,
) -> Option<Offer<'a>> {
    if limit.is_zero() {
        return None;
    }
    let expected = scene.expect(&mut batch.before.clone(), &batch.loans, limit);
    if expected.loans.is_empty() {
        return None;
    }
    let borrowers: Vec<_> = expected.loans.iter().map(|(loan, _)| loan.account).collect();
    let gas = terms.table.of_liquidation(borrowers.len(), way.pools());
    let gas_limit = if terms.table.as_tried { terms.room } else { terms.table.limit(gas) };
    Some(Offer { way, borrowers, max_repay: limit, repaid: expected.repaid, gas, gas_limit })
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
