//! Events that cannot be true are refused with their values, and the book stays as it was.

use super::*;

const LENT: u128 = 1_000_000_000;
const BORROWED: u128 = 500_000_000;
const SHARES_PER_ASSET: u128 = 1_000_000;

/// A market with a lender and a borrower, at block 1.
fn book() -> (Book, B256) {
    let params = params(0);
    let id = params.id().0;
    let events = [
        create(&params),
        supply(id, account(10), LENT, LENT * SHARES_PER_ASSET),
        supply_collateral(id, account(11), LENT),
        borrow(id, account(11), BORROWED, BORROWED * SHARES_PER_ASSET),
    ];
    let mut book = Book::new();
    book.apply(block(1), &events).unwrap();
    (book, id)
}

/// What is wrong with the last of these events; a first one that is right must leave no trace.
fn refusal(event: Event) -> Problem {
    let (mut book, id) = book();
    let before = seen(&book);
    let market_changes = supply(id, account(20), 5, 5);
    let error = book.apply(block(2), &[market_changes, create(&params(7)), event]).unwrap_err();
    assert_eq!((seen(&book), book.tip()), (before, Some(1)), "the book is as it was");
    match error {
        ApplyError::DoesNotAddUp { block: 2, position: 2, problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn a_market_that_was_never_created_is_refused() {
    let id = params(8).id();
    assert_eq!(refusal(supply(id.0, account(1), 1, 1)), Problem::UnknownMarket(id));
    let limit = IPlimsoll::SetCoverLimit { backstop: account(3), id: id.0, limit: U256::ONE };
    assert_eq!(refusal(Event::Core(IPlimsollEvents::SetCoverLimit(limit))), Problem::UnknownMarket(id));
}

#[test]
fn a_market_is_created_once_and_under_its_own_id() {
    let (stated, computed) = (params(8).id(), params(9).id());
    assert_eq!(refusal(create(&params(0))), Problem::MarketTwice(params(0).id()));
    let event = IPlimsoll::CreateMarket { id: stated.0, params: params(9) };
    assert_eq!(refusal(Event::Core(IPlimsollEvents::CreateMarket(event))), Problem::WrongId { stated, computed });
}

#[test]
fn nobody_gives_back_more_than_he_has() {
    let (_, id) = book();
    let who = account(11);
    let withdrawn =
        IPlimsoll::WithdrawCollateral { id, caller: who, onBehalf: who, receiver: who, assets: U256::from(LENT + 1) };
    assert_eq!(
        refusal(Event::Core(IPlimsollEvents::WithdrawCollateral(withdrawn))),
        Problem::Overdrawn { quantity: Quantity::Collateral(who), has: U256::from(LENT), takes: U256::from(LENT + 1) }
    );
    assert_eq!(
        refusal(repay(id, account(10), 1, SHARES_PER_ASSET)),
        Problem::Overdrawn {
            quantity: Quantity::BorrowShares(account(10)),
            has: U256::ZERO,
            takes: U256::from(SHARES_PER_ASSET),
        }
    );
}

#[test]
fn amounts_beyond_what_the_contract_stores_are_refused() {
    let (_, id) = book();
    assert_eq!(
        refusal(supply_collateral(id, account(11), u128::MAX)),
        Problem::TooLarge {
            quantity: Quantity::Collateral(account(11)),
            has: U256::from(LENT),
            adds: U256::from(u128::MAX),
        }
    );
}

#[test]
fn cover_that_is_not_there_pays_for_nothing() {
    let (_, id) = book();
    let loss = IPlimsoll::RealiseLoss {
        id,
        backstop: account(30),
        loss: U256::from(10),
        fromReserve: U256::ZERO,
        reserveShares: U256::ZERO,
        fromCover: U256::from(4),
    };
    assert_eq!(
        refusal(Event::Core(IPlimsollEvents::RealiseLoss(loss))),
        Problem::Overdrawn { quantity: Quantity::Cover(account(30)), has: U256::ZERO, takes: U256::from(4) }
    );
}

#[test]
fn a_missed_event_is_noticed_at_the_next_accrual() {
    let (mut seeing, id) = book();
    let (mut missing, _) = book();
    let missed = borrow(id, account(11), 7, 7 * SHARES_PER_ASSET);
    // In block 1 nothing accrues any more, so both books can take it as a block of the same second.
    let same_second = Block { number: 2, timestamp: START + 12 };
    seeing.apply(same_second, &[missed]).unwrap();
    missing.apply(same_second, &[]).unwrap();

    let later = block(100_000);
    let totals = seeing.market(MarketId(id)).unwrap().at(later.timestamp);
    let before = seeing.market(MarketId(id)).unwrap().state().totals;
    let interest = U256::from(totals.borrow_assets - before.borrow_assets) << 32;
    let accrue = Event::Core(IPlimsollEvents::Accrue(IPlimsoll::Accrue {
        id,
        interest: interest | U256::from(totals.interest_remainder),
        feeShares: U256::ZERO,
        rateAtTarget: U256::from(totals.rate_at_target),
        timestamp: U256::from(later.timestamp),
    }));
    seeing.apply(later, std::slice::from_ref(&accrue)).unwrap();
    let error = missing.apply(later, &[accrue]).unwrap_err();
    assert!(matches!(error, ApplyError::DoesNotAddUp { problem: Problem::Interest { .. }, .. }), "{error}");
}

#[test]
fn a_block_at_or_below_the_last_one_is_refused() {
    let (mut book, _) = book();
    let error = book.apply(block(1), &[]).unwrap_err();
    assert!(matches!(error, ApplyError::NotNext { block: 1, tip: 1 }), "{error}");
}
