//! Reverting blocks: after any history, the book equals exactly what it was at the block that it is reverted to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    reward_events::{RewardAction, action},
    *,
};
use crate::math::{debt, shares, types::Market};

/// An action of an account, and its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    action: Action,
    /// Number of blocks since the previous step; 0 if both are in the same block.
    blocks: u64,
    /// Time since the previous step's block, in seconds.
    seconds: u64,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Lending(LendingAction),
    Rewards(RewardAction),
}

/// An action of an account in a market, by random numbers that are fitted to the market's state.
#[derive(Debug, Clone, Copy)]
struct LendingAction {
    verb: u8,
    market: u64,
    account: u64,
    part: u128,
}

/// Generates steps in markets and pools.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let lending = (0..13u8, 0..2u64, 10..18u64, 1..=1_000u128)
        .prop_map(|(verb, market, account, part)| Action::Lending(LendingAction { verb, market, account, part }));
    at_some_time(prop_oneof![lending, action().prop_map(Action::Rewards)])
}

/// Generates steps in pools only.
pub(super) fn reward_step() -> impl Strategy<Value = Step> {
    at_some_time(action().prop_map(Action::Rewards))
}

fn at_some_time(action: impl Strategy<Value = Action>) -> impl Strategy<Value = Step> {
    let seconds = prop_oneof![Just(12), 1..86_400u64, 1..2_000_000u64];
    (action, 0..3u64, seconds).prop_map(|(action, blocks, seconds)| Step { action, blocks, seconds })
}

/// Returns the events that the core would emit for an action; none if it would revert.
fn events_of(action: LendingAction, book: &Book, timestamp: u64) -> Vec<Event> {
    let params = params(action.market);
    let (id, user) = (params.id().0, account(action.account));
    let Some(market) = book.market(params.id()) else { return vec![create(&params)] };
    let position = market.position(user);
    let totals = market.at(timestamp);
    let part_of = |whole: u128| (whole / 1_000).saturating_mul(action.part).max(1).min(whole);
    let amount = action.part * 1_000_000;
    let event = match action.verb {
        0 | 1 => supply(id, user, amount, shares::to_shares_down(amount, totals.supply_assets, totals.supply_shares)),
        2 | 3 => return vec![supply_collateral(id, user, amount)],
        4 | 5 => {
            let assets = part_of(totals.supply_assets.saturating_sub(totals.borrow_assets));
            let assets = assets.min(totals.surge_room(market.risk()).unwrap_or(u128::MAX));
            if assets == 0 {
                return Vec::new();
            }
            borrow(id, user, assets, debt::to_debt_shares_up(assets, totals.borrow_assets, totals.borrow_shares))
        }
        6 if position.borrow_shares != 0 => repay(id, user, totals.debt_of(position.loan()), position.borrow_shares),
        7 if position.borrow_shares > 2_000_000 => {
            let shares = position.borrow_shares / 2;
            repay(id, user, debt::to_debt_up(shares, totals.borrow_assets, totals.borrow_shares), shares)
        }
        8 => {
            return vec![Event::Core(IPlimsollEvents::SetCoverLimit(IPlimsoll::SetCoverLimit {
                backstop: user,
                id,
                limit: U256::from(amount),
            }))];
        }
        9 => {
            return vec![Event::Core(IPlimsollEvents::DepositCover(IPlimsoll::DepositCover {
                backstop: user,
                token: params.loanToken,
                assets: U256::from(amount),
            }))];
        }
        10 => Event::Core(IPlimsollEvents::SetFee(IPlimsoll::SetFee { id, feeBps: U256::from(action.part) })),
        11 => return liquidation(market, user, timestamp),
        12 => {
            return vec![Event::Core(IPlimsollEvents::TransferSupply(IPlimsoll::TransferSupply {
                id,
                caller: user,
                onBehalf: user,
                receiver: account(action.account + 1),
                shares: U256::from(part_of(position.supply_shares)),
            }))];
        }
        _ => return Vec::new(),
    };
    accrual(market, timestamp).into_iter().chain([event]).collect()
}

/// Returns the accrual that the core emits before an event that changes totals; `None` if there was one in this second.
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

/// Returns the events of liquidating a loan at half of its liquidation price, where suppliers bear the whole loss.
fn liquidation(market: &MarketBook, user: Address, timestamp: u64) -> Vec<Event> {
    let mut loan = market.position(user).loan();
    let price = market.waterline(user, timestamp).min(U256::from(u128::MAX)) / U256::from(2);
    let mut totals = market.at(timestamp);
    if price.is_zero() {
        return Vec::new();
    }
    let Some(done) = totals.liquidate(&mut loan, market.liquidation_incentive(), price, MIN_DEBT, u128::MAX) else {
        return Vec::new();
    };
    let id = market.id().0;
    let liquidate = Event::Core(IPlimsollEvents::Liquidate(IPlimsoll::Liquidate {
        id,
        caller: user,
        borrower: user,
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

/// Returns the blocks of events of the steps, and a snapshot of a book that applied each step by itself.
pub(super) fn blocks_of(steps: &[Step]) -> (Vec<(Block, Vec<Event>)>, Snapshot) {
    let mut blocks: Vec<(Block, Vec<Event>)> = vec![(block(1), Vec::new())];
    let mut shadow = Book::new();
    for (number, step) in (1..).zip(steps) {
        let last = blocks.last().unwrap().0;
        if step.blocks != 0 {
            let timestamp = last.timestamp + step.seconds;
            blocks.push((Block { number: last.number + step.blocks, timestamp }, Vec::new()));
        }
        let (current, collected) = blocks.last_mut().unwrap();
        let events = match step.action {
            Action::Lending(lending) => events_of(lending, &shadow, current.timestamp),
            Action::Rewards(action) => reward_events::events_of(action, &shadow, current.timestamp),
        };
        shadow.apply(Block { number, timestamp: current.timestamp }, &events).unwrap();
        collected.extend(events);
    }
    (blocks, snapshot(&shadow))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Property K1, reorgs: reverted to any block that it can be, the book equals what it was there, and applying the
    /// blocks again leads to the same end.
    #[test]
    fn reverting_is_the_inverse_of_applying(steps in prop::collection::vec(step(), 1..120), forward in any::<bool>()) {
        let (blocks, end) = blocks_of(&steps);
        let mut book = Book::new();
        let mut states = BTreeMap::new();
        for (block, events) in &blocks {
            book.apply(*block, events).unwrap();
            states.insert(block.number, snapshot(&book));
        }
        let tip = book.tip().unwrap();
        prop_assert_eq!(&snapshot(&book), &end, "several steps in one block equal the same steps in a block each");
        for (number, state) in states.range(tip.saturating_sub(MAX_REORG_DEPTH)..).rev() {
            book.revert_to(*number).unwrap();
            prop_assert_eq!(&snapshot(&book), state, "reverted to block {}", number);
            if forward {
                for (block, events) in blocks.iter().filter(|(block, _)| block.number > *number) {
                    book.apply(*block, events).unwrap();
                }
                prop_assert_eq!(&snapshot(&book), &end, "applied again from block {}", number);
            }
        }
    }
}

#[test]
fn the_64th_block_back_is_the_last_that_can_be_reverted_to() {
    let mut book = Book::new();
    let params = params(0);
    book.apply(block(1), &[create(&params)]).unwrap();
    for number in 2..=100 {
        book.apply(block(number), &[supply_collateral(params.id().0, account(10), 1)]).unwrap();
    }
    assert_eq!(book.revert_to(35), Err(RevertError { wanted: 35, oldest: 36 }));
    book.revert_to(36).unwrap();
    assert_eq!(book.tip(), Some(36));
    assert_eq!(book.market(params.id()).unwrap().position(account(10)).collateral, 35);
    // Reverting does not bring back changes that were dropped.
    assert_eq!(book.revert_to(35), Err(RevertError { wanted: 35, oldest: 36 }));
}
