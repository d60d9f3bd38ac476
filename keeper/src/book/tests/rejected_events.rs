//! Inconsistent events of the core are rejected with their values, and the book is unchanged.

use super::*;

const LENT: u128 = 1_000_000_000;
const BORROWED: u128 = 500_000_000;
const SHARES_PER_ASSET: u128 = 1_000_000;

/// Returns a book with a market, a lender and a borrower, at block 1.
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

/// Applies a block that ends with an inconsistent event, and returns the reason for its rejection. The consistent
/// events before it must leave no trace.
fn rejection(event: Event) -> EventError {
    let (mut book, id) = book();
    let before = snapshot(&book);
    let market_changes = supply(id, account(20), 5, 5);
    let error = book.apply(block(2), &[market_changes, create(&params(7)), event]).unwrap_err();
    assert_eq!((snapshot(&book), book.tip()), (before, Some(1)), "the book is unchanged");
    match error {
        ApplyError::InconsistentEvent { block: 2, position: 2, problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn events_of_an_unknown_market_are_rejected() {
    let id = params(8).id();
    assert_eq!(rejection(supply(id.0, account(1), 1, 1)), EventError::UnknownMarket(id));
    let limit = IPlimsoll::SetCoverLimit { backstop: account(3), id: id.0, limit: U256::ONE };
    assert_eq!(rejection(Event::Core(IPlimsollEvents::SetCoverLimit(limit))), EventError::UnknownMarket(id));
}

#[test]
fn a_market_is_created_once_and_under_its_own_id() {
    let (stated, computed) = (params(8).id(), params(9).id());
    assert_eq!(rejection(create(&params(0))), EventError::DuplicateMarket(params(0).id()));
    let event = IPlimsoll::CreateMarket { id: stated.0, params: params(9) };
    assert_eq!(
        rejection(Event::Core(IPlimsollEvents::CreateMarket(event))),
        EventError::WrongMarketId { stated, computed }
    );
}

#[test]
fn a_withdrawal_or_repayment_of_more_than_there_is_is_rejected() {
    let (_, id) = book();
    let user = account(11);
    let withdrawn = IPlimsoll::WithdrawCollateral {
        id,
        caller: user,
        onBehalf: user,
        receiver: user,
        assets: U256::from(LENT + 1),
    };
    assert_eq!(
        rejection(Event::Core(IPlimsollEvents::WithdrawCollateral(withdrawn))),
        EventError::Underflow {
            quantity: Quantity::Collateral(user),
            has: U256::from(LENT),
            takes: U256::from(LENT + 1)
        }
    );
    assert_eq!(
        rejection(repay(id, account(10), 1, SHARES_PER_ASSET)),
        EventError::Underflow {
            quantity: Quantity::BorrowShares(account(10)),
            has: U256::ZERO,
            takes: U256::from(SHARES_PER_ASSET),
        }
    );
}

#[test]
fn amounts_that_the_contract_cannot_store_are_rejected() {
    let (_, id) = book();
    assert_eq!(
        rejection(supply_collateral(id, account(11), u128::MAX)),
        EventError::Overflow {
            quantity: Quantity::Collateral(account(11)),
            has: U256::from(LENT),
            adds: U256::from(u128::MAX),
        }
    );
}

#[test]
fn a_loss_that_is_paid_from_missing_cover_is_rejected() {
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
        rejection(Event::Core(IPlimsollEvents::RealiseLoss(loss))),
        EventError::Underflow { quantity: Quantity::Cover(account(30)), has: U256::ZERO, takes: U256::from(4) }
    );
}

#[test]
fn a_missed_event_is_detected_at_the_next_accrual() {
    let (mut complete, id) = book();
    let (mut missing, _) = book();
    let missed = borrow(id, account(11), 7, 7 * SHARES_PER_ASSET);
    // Within the second of block 1 nothing accrues, so that both books accept a further block of that second.
    let same_second = Block { number: 2, timestamp: START + 12 };
    complete.apply(same_second, &[missed]).unwrap();
    missing.apply(same_second, &[]).unwrap();

    let later = block(100_000);
    let totals = complete.market(MarketId(id)).unwrap().at(later.timestamp);
    let before = complete.market(MarketId(id)).unwrap().state().totals;
    let interest = U256::from(totals.borrow_assets - before.borrow_assets) << 32;
    let accrue = Event::Core(IPlimsollEvents::Accrue(IPlimsoll::Accrue {
        id,
        interest: interest | U256::from(totals.interest_remainder),
        feeShares: U256::ZERO,
        rateAtTarget: U256::from(totals.rate_at_target),
        timestamp: U256::from(later.timestamp),
    }));
    complete.apply(later, std::slice::from_ref(&accrue)).unwrap();
    let error = missing.apply(later, &[accrue]).unwrap_err();
    assert!(
        matches!(error, ApplyError::InconsistentEvent { problem: EventError::InterestMismatch { .. }, .. }),
        "{error}"
    );
}

#[test]
fn a_block_at_or_below_the_last_one_is_rejected() {
    let (mut book, _) = book();
    let error = book.apply(block(1), &[]).unwrap_err();
    assert!(matches!(error, ApplyError::NotNext { block: 1, tip: 1 }), "{error}");
}

/// The core refuses a borrowing of more than the surge limit's room: where the book sees one, it has missed an event.
#[test]
fn a_borrowing_beyond_the_surge_limit_is_rejected() {
    let room = 1_000 * MIN_DEBT;
    let beyond = borrow(params(7).id().0, account(11), room + 1, (room + 1) * SHARES_PER_ASSET);
    let (quantity, has, takes) = (Quantity::SurgeRoom, U256::from(room), U256::from(room + 1));
    assert_eq!(rejection(beyond), EventError::Underflow { quantity, has, takes });
}
