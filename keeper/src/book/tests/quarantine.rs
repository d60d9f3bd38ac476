//! A market whose events do not add up is left out, and the others go on. What is not followed takes nothing.

use super::*;

/// A book of the markets 0 and 1, each with a lender.
fn two_markets() -> (Book, [B256; 2]) {
    let mut book = Book::new();
    let ids = [0, 1].map(|number| params(number).id().0);
    book.apply(block(1), &[create(&params(0)), create(&params(1))]).unwrap();
    book.apply(block(2), &ids.map(|id| supply(id, account(10), 1_000, 1_000_000_000))).unwrap();
    (book, ids)
}

#[test]
fn a_market_whose_events_do_not_add_up_is_left_out_and_the_others_go_on() {
    let (mut book, [good, bad]) = two_markets();
    let events = [repay(bad, account(11), 5, 5), supply_collateral(good, account(12), 7)];
    let error = book.apply(block(3), &events).unwrap_err();
    let ApplyError::InconsistentEvent { event, .. } = error else { panic!("{error}") };
    assert_eq!(event.subject(), Some(bad));

    book.quarantine(bad);
    book.apply(block(3), &events).unwrap();
    assert_eq!(book.market(MarketId(good)).unwrap().position(account(12)).collateral, 7);
    assert!(book.market(MarketId(bad)).is_none());
    assert_eq!(book.markets().map(|market| market.id().0).collect::<Vec<_>>(), [good]);

    // It stays left out through a reorg and a restart.
    book.revert_to(2).unwrap();
    book.apply(block(3), &events).unwrap();
    let rows: std::collections::BTreeMap<_, _> = book.rows().map(|row| (row.key(), row.value())).collect();
    let rows = rows.iter().map(|(key, value)| Row::decode(key, value));
    let restored = Book::restore(block(3), &Followed::All, rows).unwrap();
    assert_eq!(restored.coverage().missing(), &[bad].into());
    assert_eq!(snapshot(&restored).states, snapshot(&book).states);
}

#[test]
fn an_event_of_a_market_that_nothing_created_can_be_left_out_too() {
    let (mut book, [good, _]) = two_markets();
    let unknown = params(9).id().0;
    book.quarantine(unknown);
    book.apply(block(3), &[supply(unknown, account(10), 1, 1), supply_collateral(good, account(12), 7)]).unwrap();
    assert_eq!(book.market(MarketId(good)).unwrap().position(account(12)).collateral, 7);
}

/// Property K8: a market that strangers create takes less than 700 bytes even where all markets are followed, and its
/// index of loans takes none.
#[test]
fn a_hundred_thousand_empty_markets_take_little_memory_and_are_found() {
    let mut book = Book::new();
    let events: Vec<_> = (0..100_000).map(|number| create(&params(2 * number))).collect();
    book.apply(block(1), &events).unwrap();
    assert_eq!(book.markets().count(), 100_000);
    assert_eq!(book.markets().map(|market| market.positions.waterline().sizes_in_memory()).sum::<usize>(), 0);
    assert!(size_of::<MarketBook>() < 700, "{} bytes", size_of::<MarketBook>());
}
