//! The last decision about every position and reward.

use alloy::primitives::{
    Address,
    map::{Entry, HashMap},
};
use plimsoll_contracts::MarketId;

use super::model::DecisionView;
use crate::strategies::{Decision, SkipReason, harvest::StreamId, liquidate::LoanAtRisk};

/// The last decision about every position that one was taken about.
#[derive(Debug, Default)]
pub(super) struct PositionDecisions(HashMap<(MarketId, Address), DecisionView>);

impl PositionDecisions {
    /// Replaces the decision about a position.
    pub(super) fn record(&mut self, market: MarketId, account: Address, decision: DecisionView) {
        self.0.insert((market, account), decision);
    }

    /// The decision about a position; that it is healthy where none was taken.
    pub(super) fn of(&self, market: MarketId, position: &LoanAtRisk, block: u64, coin: &str) -> DecisionView {
        let recorded = self.0.get(&(market, position.account)).cloned();
        recorded.unwrap_or_else(|| {
            describe(&Decision::Skip(SkipReason::Healthy { health_wad: position.health_wad }), block, coin)
        })
    }

    /// Forgets the decisions about positions for which `is_kept` is false.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(MarketId, Address) -> bool) {
        self.0.retain(|(market, account), _| is_kept(*market, *account));
    }
}

/// The last decision about every reward: that to send, or else the reason for the first account that was skipped.
#[derive(Debug, Default)]
pub(super) struct RewardDecisions(HashMap<StreamId, DecisionView>);

impl RewardDecisions {
    /// Sums up the decisions about the accounts of each reward.
    pub(super) fn of<'d>(
        of_accounts: impl IntoIterator<Item = (StreamId, &'d Decision)>,
        block: u64,
        coin: &str,
    ) -> Self {
        let mut decisions = HashMap::default();
        for (stream, decision) in of_accounts {
            let decision = describe(decision, block, coin);
            match decisions.entry(stream) {
                Entry::Vacant(first) => {
                    first.insert(decision);
                }
                Entry::Occupied(mut shown) => {
                    if decision.acts && !shown.get().acts {
                        shown.insert(decision);
                    }
                }
            }
        }
        Self(decisions)
    }

    /// The decision about a reward, where one was taken in the last round.
    pub(super) fn get(&self, stream: StreamId) -> Option<&DecisionView> {
        self.0.get(&stream)
    }
}

/// Puts a decision that was taken after a block into words. `coin` is the symbol of the chain's native currency.
pub(super) fn describe(decision: &Decision, block: u64, coin: &str) -> DecisionView {
    let (acts, reason) = match decision {
        Decision::Act { .. } => (true, "act"),
        Decision::Skip(reason) => (false, reason.name()),
    };
    DecisionView { block, acts, reason: reason.to_owned(), text: decision.text(coin) }
}
