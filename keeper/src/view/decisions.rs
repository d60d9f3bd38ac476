//! The last decision about every position and reward, and earlier ones about positions.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::{
    Address,
    map::{Entry, HashMap},
};
use plimsoll_contracts::MarketId;

use super::{model::DecisionView, words::Words};
use crate::{
    config::Config,
    strategies::{Decision, LoanClass, harvest::StreamId},
};

/// Number of earlier decisions about a position that are kept.
const MAX_SPANS: usize = 24;
/// Number of positions whose earlier decisions are kept; the ones that were decided about longest ago are forgotten.
const MAX_REMEMBERED: usize = 20_000;

/// A decision that was taken on a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedDecision {
    /// Number of the block that it was taken on.
    pub block: u64,
    /// The decision.
    pub decision: Decision,
}

impl RecordedDecision {
    /// Whether a transaction is sent, and the stable name of the reason; `act` where one is sent.
    #[must_use]
    pub const fn reason(&self) -> (bool, &'static str) {
        match &self.decision {
            Decision::Act { .. } => (true, "act"),
            Decision::Skip(reason) => (false, reason.name()),
        }
    }

    /// Puts the decision into words.
    #[must_use]
    pub fn view(&self, words: &Words) -> DecisionView {
        let (acts, reason) = self.reason();
        DecisionView { block: self.block, acts, reason: reason.to_owned(), text: self.decision.text(words) }
    }
}

/// Blocks in a row on which the same was decided about a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionSpan {
    /// Number of the first of these blocks.
    pub since_block: u64,
    /// The decision on the last of them.
    pub last: Arc<RecordedDecision>,
}

/// The decisions about each position, the newest first.
type Spans = HashMap<(MarketId, Address), VecDeque<DecisionSpan>>;

/// Earlier decisions about positions, the newest first, which the API reads while the engine goes on writing. Kept in
/// memory only.
#[derive(Debug, Clone, Default)]
pub struct DecisionHistory(Arc<Mutex<Spans>>);

impl DecisionHistory {
    /// Returns the decisions about an account's position in each market, the newest first.
    #[must_use]
    pub fn of(&self, account: Address) -> Vec<(MarketId, Vec<DecisionSpan>)> {
        let positions = self.lock();
        let of_account = positions.iter().filter(|((_, of), _)| *of == account);
        let mut found: Vec<_> =
            of_account.map(|((market, _), spans)| (*market, spans.iter().cloned().collect())).collect();
        found.sort_by_key(|(market, _): &(MarketId, Vec<DecisionSpan>)| *market);
        found
    }

    /// Records a decision.
    pub fn record(&self, market: MarketId, account: Address, decision: Arc<RecordedDecision>) {
        let mut positions = self.lock();
        if positions.len() >= MAX_REMEMBERED && !positions.contains_key(&(market, account)) {
            forget_oldest(&mut positions);
        }
        let spans = positions.entry((market, account)).or_default();
        match spans.front_mut() {
            Some(newest) if newest.last.reason() == decision.reason() => newest.last = decision,
            _ => {
                spans.push_front(DecisionSpan { since_block: decision.block, last: decision });
                spans.truncate(MAX_SPANS);
            }
        }
    }

    /// Locks the map. Both sides hold it for a few operations of memory only.
    fn lock(&self) -> MutexGuard<'_, Spans> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the half of the positions that were decided about longest ago.
fn forget_oldest(positions: &mut Spans) {
    let newest = |spans: &VecDeque<DecisionSpan>| spans.front().map_or(0, |span| span.last.block);
    let mut blocks: Vec<_> = positions.values().map(newest).collect();
    let half = blocks.len() / 2;
    let (_, median, _) = blocks.select_nth_unstable(half);
    let median = *median;
    let mut surplus = positions.len() - half;
    positions.retain(|_, spans| {
        let is_forgotten = newest(spans) <= median && surplus > 0;
        surplus -= usize::from(is_forgotten);
        !is_forgotten
    });
}

/// The last decision about every position that one was taken about.
#[derive(Debug, Default)]
pub(super) struct PositionDecisions {
    last: HashMap<(MarketId, Address), Arc<RecordedDecision>>,
    history: DecisionHistory,
    /// Loans too small to be decided about one by one, by market: they are counted.
    dust: Vec<LoanClass>,
}

impl PositionDecisions {
    /// Replaces the decision about a position.
    pub(super) fn record(&mut self, market: MarketId, account: Address, decision: RecordedDecision) {
        let decision = Arc::new(decision);
        self.history.record(market, account, Arc::clone(&decision));
        self.last.insert((market, account), decision);
    }

    /// Replaces the loans that are too small to be decided about, of all markets.
    pub(super) fn record_dust(&mut self, dust: Vec<LoanClass>) {
        self.dust = dust;
    }

    /// Returns the loans of a market that are too small to be decided about, if there are any.
    pub(super) fn dust(&self, market: MarketId) -> Option<&LoanClass> {
        self.dust.iter().find(|class| class.market == market)
    }

    /// Returns the last decision about a position, if one was taken.
    pub(super) fn of(&self, market: MarketId, account: Address) -> Option<Arc<RecordedDecision>> {
        self.last.get(&(market, account)).cloned()
    }

    /// Forgets the decisions about positions for which `is_kept` is false. Their history stays.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(MarketId, Address) -> bool) {
        self.last.retain(|(market, account), _| is_kept(*market, *account));
    }

    /// Returns a handle of the earlier decisions, which can be read while new ones are recorded.
    pub(super) fn history(&self) -> DecisionHistory {
        self.history.clone()
    }
}

/// The last decision about every reward: that to send, or else the reason for the first account that was skipped.
#[derive(Debug, Default)]
pub(super) struct RewardDecisions(HashMap<StreamId, DecisionView>);

impl RewardDecisions {
    /// Sums up the decisions about the accounts of each reward.
    pub(super) fn of<'d>(
        config: &Config,
        of_accounts: impl IntoIterator<Item = (StreamId, &'d Decision)>,
        block: u64,
    ) -> Self {
        let words = Words::without_bids(config);
        let mut decisions = HashMap::default();
        for (stream, decision) in of_accounts {
            let decision = RecordedDecision { block, decision: decision.clone() }.view(&words);
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

    /// Returns the decision about a reward, if one was taken in the last round.
    pub(super) fn get(&self, stream: StreamId) -> Option<&DecisionView> {
        self.0.get(&stream)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;
    use crate::strategies::SkipReason;

    fn record(history: &DecisionHistory, account: u64, block: u64, reason: SkipReason) {
        let account = Address::left_padding_from(&account.to_be_bytes());
        let decision = Arc::new(RecordedDecision { block, decision: Decision::Skip(reason) });
        history.record(MarketId(B256::ZERO), account, decision);
    }

    #[test]
    fn the_same_decision_on_several_blocks_is_one_span_and_another_begins_a_new_one() {
        let history = DecisionHistory::default();
        for (block, reason) in
            [(5, SkipReason::NoRoute), (6, SkipReason::NoRoute), (7, SkipReason::InFlight), (9, SkipReason::NoRoute)]
        {
            record(&history, 1, block, reason);
        }
        let [(_, spans)] = &history.of(Address::left_padding_from(&[1]))[..] else { panic!("{history:?}") };
        let spans: Vec<_> =
            spans.iter().map(|span| (span.last.reason().1, span.since_block, span.last.block)).collect();
        assert_eq!(spans, [("no_route", 9, 9), ("in_flight", 7, 7), ("no_route", 5, 6)]);
        assert_eq!(history.of(Address::ZERO), []);
    }

    #[test]
    fn a_history_that_is_full_forgets_what_was_decided_about_longest_ago() {
        let history = DecisionHistory::default();
        let all = u64::try_from(MAX_REMEMBERED).unwrap();
        (0..=all).for_each(|number| record(&history, number, number, SkipReason::NoRoute));
        let is_known = |number: u64| !history.of(Address::left_padding_from(&number.to_be_bytes())).is_empty();
        assert!(!is_known(0) && is_known(all) && is_known(all - 1));
    }
}
