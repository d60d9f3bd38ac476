//! Going back: after any history, undoing leads to exactly the book that was there.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    programmes::{Deed, deed},
    *,
};
use crate::math::{debt, market::Market, shares};

/// What somebody does, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    act: Act,
    /// Blocks that pass before it; at 0 it shares its block with the one before.
    later: u64,
    /// How long those take.
    seconds: u64,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Lending(Lending),
    Rewards(Deed),
}

/// What somebody does in a market, by numbers that are fitted to what is there.
#[derive(Debug, Clone, Copy)]
struct Lending {
    verb: u8,
    market: u64,
    account: u64,
    part: u128,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let lending = (0..12u8, 0..2u64, 10..18u64, 1..=1_000u128)
        .prop_map(|(verb, market, account, part)| Act::Lending(Lending { verb, market, account, part }));
    at_some_time(prop_oneof![lending, deed().prop_map(Act::Rewards)])
}

/// Only of staking programmes.
pub(super) fn reward_step() -> impl Strategy<Value = Step> {
    at_some_time(deed().prop_map(Act::Rewards))
}

fn at_some_time(act: impl Strategy<Value = Act>) -> impl Strategy<Value = Step> {
    let seconds = prop_oneof![Just(12), 1..86_400u64, 1..2_000_000u64];
    (act, 0..3u64, seconds).prop_map(|(act, later, seconds)| Step { act, later, seconds })
}

/// The events that the core would emit for a step; none where it would refuse.
fn events_of(step: Lending, book: &Book, timestamp: u64) -> Vec<Event> {
    let params = params(step.market);
    let (id, who) = (params.id().0, account(step.account));
    let Some(market) = book.market(params.id()) else { return vec![create(&params)] };
    let position = market.position(who);
    let totals = market.at(timestamp);
    let part_of = |whole: u128| (whole / 1_000).saturating_mul(step.part).max(1).min(whole);
    let amount = step.part * 1_000_000;
    let event = match step.verb {
        0 | 1 => supply(id, who, amount, shares::to_shares_down(amount, totals.supply_assets, totals.supply_shares)),
        2 | 3 => return vec![supply_collateral(id, who, amount)],
        4 | 5 => {
            let assets = part_of(totals.supply_assets.saturating_sub(totals.borrow_assets));
            borrow(id, who, assets, debt::to_debt_shares_up(assets, totals.borrow_assets, totals.borrow_shares))
        }
        6 if position.borrow_shares != 0 => repay(id, who, totals.debt_of(position.loan()), position.borrow_shares),
        7 if position.borrow_shares > 2_000_000 => {
            let shares = position.borrow_shares / 2;
            repay(id, who, debt::to_debt_up(shares, totals.borrow_assets, totals.borrow_shares), shares)
        }
        8 => {
            return vec![Event::Core(IPlimsollEvents::SetCoverLimit(IPlimsoll::SetCoverLimit {
                backstop: who,
                id,
                limit: U256::from(amount),
            }))];
        }
        9 => {
            return vec![Event::Core(IPlimsollEvents::DepositCover(IPlimsoll::DepositCover {
                backstop: who,
                token: params.loanToken,
                assets: U256::from(amount),
            }))];
        }
        10 => Event::Core(IPlimsollEvents::SetFee(IPlimsoll::SetFee { id, feeBps: U256::from(step.part) })),
        11 => return liquidation(market, who, timestamp),
        _ => return Vec::new(),
    };
    accrual(market, timestamp).into_iter().chain([event]).collect()
}

/// The accrual that goes ahead of what touches totals, unless it was done in this second.
fn accrual(market: &MarketBook, timestamp: u64) -> Option<Event> {
    let before = market.state().totals;
    let Market { borrow_assets, reserve_shares, rate_at_target, interest_remainder, .. } = market.at(timestamp);
    let interest = U256::from(borrow_assets - before.borrow_assets) << 32 | U256::from(interest_remainder);
    (timestamp != before.last_update).then(|| {
        Event::Core(IPlimsollEvents::Accrue(IPlimsoll::Accrue {
            id: market.id().0,
            interest,
            feeShares: U256::from(reserve_shares - before.reserve_shares),
            rateAtTarget: U256::from(rate_at_target),
            timestamp: U256::from(timestamp),
        }))
    })
}

/// A loan liquidated at the highest price of its waterline, with nobody but suppliers to bear the loss.
fn liquidation(market: &MarketBook, who: Address, timestamp: u64) -> Vec<Event> {
    let mut loan = market.position(who).loan();
    let price = market.waterline(who, timestamp).min(U256::from(u128::MAX)) / U256::from(2);
    let mut totals = market.at(timestamp);
    if price.is_zero() {
        return Vec::new();
    }
    let Some(done) = totals.liquidate(&mut loan, market.terms(), price, SMALLEST_DEBT, u128::MAX) else {
        return Vec::new();
    };
    let id = market.id().0;
    let liquidate = Event::Core(IPlimsollEvents::Liquidate(IPlimsoll::Liquidate {
        id,
        caller: who,
        borrower: who,
        repaid: U256::from(done.repaid),
        shares: U256::from(done.shares),
        seized: U256::from(done.seized),
        badDebt: U256::from(done.bad_debt),
    }));
    let loss = Event::Core(IPlimsollEvents::RealiseLoss(IPlimsoll::RealiseLoss {
        id,
        backstop: Address::ZERO,
        loss: U256::from(done.bad_debt),
        fromReserve: U256::ZERO,
        reserveShares: U256::ZERO,
        fromCover: U256::ZERO,
    }));
    let loss = (done.bad_debt != 0).then_some(loss);
    accrual(market, timestamp).into_iter().chain([liquidate]).chain(loss).collect()
}

/// Blocks of events, made by a book that applies each step for itself.
pub(super) fn blocks_of(steps: &[Step]) -> (Vec<(Block, Vec<Event>)>, Seen) {
    let mut blocks: Vec<(Block, Vec<Event>)> = vec![(block(1), Vec::new())];
    let mut shadow = Book::new();
    for (number, step) in (1..).zip(steps) {
        let last = blocks.last().unwrap().0;
        if step.later != 0 {
            let timestamp = last.timestamp + step.seconds;
            blocks.push((Block { number: last.number + step.later, timestamp }, Vec::new()));
        }
        let (current, collected) = blocks.last_mut().unwrap();
        let events = match step.act {
            Act::Lending(lending) => events_of(lending, &shadow, current.timestamp),
            Act::Rewards(deed) => programmes::events_of(deed, &shadow, current.timestamp),
        };
        shadow.apply(Block { number, timestamp: current.timestamp }, &events).unwrap();
        collected.extend(events);
    }
    (blocks, seen(&shadow))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// K1, reorganisations: every block that can be gone back to is the book that was there, and the way forward again
    /// leads to the same end.
    #[test]
    fn undoing_is_the_inverse_of_applying(steps in prop::collection::vec(step(), 1..120), forward in any::<bool>()) {
        let (blocks, end) = blocks_of(&steps);
        let mut book = Book::new();
        let mut states = BTreeMap::new();
        for (block, events) in &blocks {
            book.apply(*block, events).unwrap();
            states.insert(block.number, seen(&book));
        }
        let tip = book.tip().unwrap();
        prop_assert_eq!(&seen(&book), &end, "several steps in one block are what they are one by one");
        for (number, state) in states.range(tip.saturating_sub(UNDO_BLOCKS)..).rev() {
            book.undo_to(*number).unwrap();
            prop_assert_eq!(&seen(&book), state, "back at block {}", number);
            if forward {
                for (block, events) in blocks.iter().filter(|(block, _)| block.number > *number) {
                    book.apply(*block, events).unwrap();
                }
                prop_assert_eq!(&seen(&book), &end, "forward again from block {}", number);
            }
        }
    }
}

#[test]
fn the_64th_block_back_is_the_last_that_can_be_gone_back_to() {
    let mut book = Book::new();
    let params = params(0);
    book.apply(block(1), &[create(&params)]).unwrap();
    for number in 2..=100 {
        book.apply(block(number), &[supply_collateral(params.id().0, account(10), 1)]).unwrap();
    }
    assert_eq!(book.undo_to(35), Err(UndoError { wanted: 35, oldest: 36 }));
    book.undo_to(36).unwrap();
    assert_eq!(book.tip(), Some(36));
    assert_eq!(book.market(params.id()).unwrap().position(account(10)).collateral, 35);
    // What was forgotten does not come back by going back.
    assert_eq!(book.undo_to(35), Err(UndoError { wanted: 35, oldest: 36 }));
}
