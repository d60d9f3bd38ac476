//! Liquidations by others: those in the chain's blocks that no transaction of this keeper made.
//!
//! Nodes tell of the keeper's own transactions earlier or later than the block is applied. So a liquidation of a loan that
//! is in flight waits for the report of its intent, and liquidations that were reported before are remembered.

use std::{collections::VecDeque, sync::Arc};

use alloy::primitives::{Address, B256};
use plimsoll_contracts::{
    IPlimsoll::{self, IPlimsollEvents},
    MarketId,
};

use super::{
    denomination::{Denomination, count},
    model::{ActivityEntry, ActivityKind, ActivityState, SHOWN_EVENTS},
};
use crate::{
    amount::Amount,
    book::{Block, Book},
    chain::Event,
    config::Config,
    intent::{Outcome, Purpose, Report, Subject},
};

/// Number of the keeper's own mined liquidations that are remembered.
const MAX_OWN: usize = 256;

/// Finds the liquidations of others.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// Transactions of this keeper that were mined, the newest last.
    own: VecDeque<OwnTransaction>,
    /// Liquidations of loans that were in flight, until it is known whose they are.
    open: Vec<Seen>,
    /// Activity entries of others' liquidations, the newest first.
    entries: VecDeque<ActivityEntry>,
}

/// A mined transaction of this keeper.
#[derive(Debug)]
struct OwnTransaction {
    /// Number of the intent.
    intent: u64,
    block: u64,
    has_succeeded: bool,
    market: B256,
    borrowers: Vec<Address>,
}

/// A liquidation of one loan in a block.
#[derive(Debug, Clone)]
struct Seen {
    block: u64,
    at: u64,
    market: B256,
    market_name: String,
    borrower: Address,
    repaid: Amount,
}

impl OwnTransaction {
    /// Whether it was to liquidate this loan in this block.
    fn is_for(&self, seen: &Seen) -> bool {
        self.block == seen.block && self.market == seen.market && self.borrowers.contains(&seen.borrower)
    }
}

impl Rivals {
    /// Records the liquidations in a block, in markets that the configuration names.
    pub(super) fn record_block(
        &mut self,
        config: &Config,
        book: &Book,
        block: Block,
        events: &[Event],
        is_in_flight: impl Fn(&Subject) -> bool,
    ) {
        for event in events {
            let Event::Core(IPlimsollEvents::Liquidate(event)) = event else { continue };
            let Some(seen) = seen(config, book, block, event) else { continue };
            let own: Vec<_> = self.own.iter().filter(|own| own.is_for(&seen)).map(|own| own.has_succeeded).collect();
            let is_in_flight = || is_in_flight(&Subject::Loan { market: seen.market, borrower: seen.borrower });
            if own.contains(&true) {
                continue;
            }
            if own.is_empty() && is_in_flight() {
                self.open.push(seen);
            } else {
                self.add(seen);
            }
        }
    }

    /// Records what became of an intent: whose the liquidations are that waited for it.
    pub(super) fn record_report(&mut self, report: &Report) {
        let Purpose::Liquidate { market, borrowers } = &report.intent.purpose else { return };
        let of_intent = |seen: &mut Seen| seen.market == *market && borrowers.contains(&seen.borrower);
        match &report.outcome {
            Outcome::Sent { .. } | Outcome::NonceUsedByOther { .. } => return,
            // It is mined again in another block, or not at all.
            Outcome::Reorged => return self.own.retain(|own| own.intent != report.id),
            Outcome::Mined(receipt) | Outcome::Reverted(receipt) => {
                let (block, has_succeeded) = (receipt.inclusion.block, matches!(report.outcome, Outcome::Mined(_)));
                let (intent, borrowers) = (report.id, borrowers.clone());
                let own = OwnTransaction { intent, block, has_succeeded, market: *market, borrowers };
                self.open.retain(|seen| !(has_succeeded && own.is_for(seen)));
                self.own.push_back(own);
                if self.own.len() > MAX_OWN {
                    self.own.pop_front();
                }
            }
            _ => {}
        }
        let others: Vec<_> = self.open.extract_if(.., of_intent).collect();
        others.into_iter().for_each(|seen| self.add(seen));
    }

    /// Forgets the liquidations in every block after `block`, which was reverted to: they come again in other blocks, or
    /// not at all.
    pub(super) fn revert_to(&mut self, block: u64) {
        self.open.retain(|seen| seen.block <= block);
        self.entries.retain(|entry| entry.block.is_none_or(|number| number <= block));
    }

    /// Merges the entries into those of this keeper, the newest first.
    pub(super) fn merged_into(&self, mut timeline: Vec<ActivityEntry>) -> Vec<ActivityEntry> {
        timeline.extend(self.entries.iter().cloned());
        timeline.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        timeline.truncate(SHOWN_EVENTS);
        timeline
    }

    /// Adds a liquidation of another liquidator: to the entry of its block and market, if there is one.
    fn add(&mut self, seen: Seen) {
        let same = |entry: &&mut ActivityEntry| entry.block == Some(seen.block) && entry.market == Some(seen.market);
        if let Some(entry) = self.entries.iter_mut().find(same) {
            entry.borrowers = entry.borrowers.iter().copied().chain([seen.borrower]).collect();
            entry.accounts = count(entry.borrowers.len());
            if let Some(moved) = &mut entry.moved {
                moved.units = moved.units.saturating_add(seen.repaid.units);
            }
            return;
        }
        self.entries.push_front(ActivityEntry {
            id: 0,
            at: seen.at,
            block: Some(seen.block),
            kind: ActivityKind::Elsewhere,
            state: ActivityState::Mined,
            place: seen.market_name,
            market: Some(seen.market),
            borrowers: Arc::from([seen.borrower]),
            accounts: 1,
            moved: Some(seen.repaid),
            profit: None,
            gas: None,
            transaction: None,
            note: None,
        });
        self.entries.truncate(SHOWN_EVENTS);
    }
}

fn seen(config: &Config, book: &Book, block: Block, event: &IPlimsoll::Liquidate) -> Option<Seen> {
    let id = MarketId(event.id);
    let market = book.market(id).filter(|_| config.liquidate.markets.contains_key(&id))?;
    Some(Seen {
        block: block.number,
        at: block.timestamp,
        market: event.id,
        market_name: config.deployed.market_name(id),
        borrower: event.borrower,
        repaid: Denomination::of(config, market.params().loanToken).amount(event.repaid),
    })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;
    use crate::view::fixture::{CORE, DOLLAR, Fixture, borrower, receipt};

    fn liquidation(fixture: &Fixture, index: u64) -> Event {
        Event::Core(IPlimsollEvents::Liquidate(IPlimsoll::Liquidate {
            id: fixture.id(),
            caller: CORE,
            borrower: borrower(index),
            repaid: U256::from(1_000 * DOLLAR),
            shares: U256::ZERO,
            seized: U256::ZERO,
            badDebt: U256::ZERO,
        }))
    }

    fn block(fixture: &Fixture) -> Block {
        let header = fixture.header();
        Block { number: header.number, timestamp: header.timestamp }
    }

    /// Numbers of others' liquidations, by entry.
    fn others(rivals: &Rivals) -> Vec<u64> {
        rivals.merged_into(Vec::new()).iter().map(|entry| entry.accounts).collect()
    }

    #[test]
    fn a_liquidation_of_a_loan_that_is_not_in_flight_is_of_another_at_once() {
        let (fixture, mut rivals) = (Fixture::new(&[1_900; 3]), Rivals::default());
        let events = [liquidation(&fixture, 0), liquidation(&fixture, 1)];
        rivals.record_block(&fixture.config, &fixture.book, block(&fixture), &events, |_| false);
        let entries = rivals.merged_into(Vec::new());
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].kind, entries[0].accounts), (ActivityKind::Elsewhere, 2));
        assert_eq!(entries[0].moved, Some(Amount::new(2_000 * DOLLAR, 6, "USDC")));
    }

    #[test]
    fn a_liquidation_of_a_loan_in_flight_is_whose_the_report_says() {
        let fixture = Fixture::new(&[1_900; 3]);
        let apply = |rivals: &mut Rivals| {
            let events = [liquidation(&fixture, 0)];
            rivals.record_block(&fixture.config, &fixture.book, block(&fixture), &events, |_| true);
        };
        let mined = Outcome::Mined(receipt(1, fixture.block, true));
        let reverted = Outcome::Reverted(receipt(1, fixture.block, false));
        // The report comes after the block, or before it.
        for (outcome, expected) in [(&mined, &[][..]), (&reverted, &[1])] {
            let mut rivals = Rivals::default();
            apply(&mut rivals);
            assert_eq!(others(&rivals), [0; 0]);
            rivals.record_report(&fixture.report(1, outcome.clone()));
            assert_eq!(others(&rivals), expected);
        }
        for (outcome, expected) in [(mined, &[][..]), (reverted, &[1])] {
            let mut rivals = Rivals::default();
            rivals.record_report(&fixture.report(1, outcome));
            apply(&mut rivals);
            assert_eq!((&others(&rivals)[..], rivals.open.len()), (expected, 0));
        }
    }

    #[test]
    fn a_liquidation_whose_block_is_reorged_is_shown_once() {
        let (fixture, mut rivals) = (Fixture::new(&[1_900; 2]), Rivals::default());
        let at = |number| Block { number, ..block(&fixture) };
        let apply = |rivals: &mut Rivals, number, index| {
            let events = [liquidation(&fixture, index)];
            rivals.record_block(&fixture.config, &fixture.book, at(number), &events, |_| index == 1);
        };
        apply(&mut rivals, 10, 0);
        apply(&mut rivals, 11, 1);
        rivals.revert_to(9);
        assert_eq!((others(&rivals), rivals.open.len()), (vec![], 0));
        apply(&mut rivals, 11, 0);
        assert_eq!(others(&rivals), [1]);
    }

    #[test]
    fn a_block_in_which_our_transaction_is_no_longer_mined_may_have_a_rivals() {
        let (fixture, mut rivals) = (Fixture::new(&[1_900]), Rivals::default());
        rivals.record_report(&fixture.report(1, Outcome::Mined(receipt(1, fixture.block, true))));
        rivals.record_report(&fixture.report(1, Outcome::Reorged));
        let events = [liquidation(&fixture, 0)];
        rivals.record_block(&fixture.config, &fixture.book, block(&fixture), &events, |_| false);
        assert_eq!(others(&rivals), [1]);
    }
}
