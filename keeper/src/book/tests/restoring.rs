//! The rows that blocks give are the book: what is made of them cannot be told from what gave them, and what was lost
//! or changed on the way is refused.

use std::collections::BTreeMap;

use plimsoll_contracts::IRewards::IRewardsEvents;
use proptest::prelude::*;

use super::{
    history::{blocks_of, step},
    programmes::{create_pool, rewards, stake},
    *,
};

/// Rows as a checkpoint keeps them: bytes by their keys, of each the latest.
#[derive(Debug, Default, Clone, PartialEq)]
struct Checkpoint(BTreeMap<Vec<u8>, Vec<u8>>);

impl Checkpoint {
    fn keep(&mut self, rows: Vec<Row>) {
        self.0.extend(rows.iter().map(|row| (row.key(), row.value())));
    }

    fn restored(&self, tip: Block) -> Result<Book, RestoreError> {
        Book::restore(tip, self.0.iter().map(|(key, value)| Row::decode(key, value)))
    }
}

/// Amounts of 0 are not kept in a book, and in a checkpoint only where there was one before.
fn without_cover_of_0(kept: &Checkpoint) -> Vec<Row> {
    let rows = kept.0.iter().map(|(key, value)| Row::decode(key, value).unwrap());
    rows.filter(|row| !matches!(row, Row::Cover { amount, .. } if amount.is_zero())).collect()
}

/// What does not depend on the order in which accounts came, nor on those that have nothing any more.
fn seen_of_restored(book: &Book) -> Seen {
    let mut seen = seen(book);
    for positions in &mut seen.positions {
        positions.retain(|(_, position)| *position != Position::default());
        positions.sort_unstable_by_key(|(account, _)| *account);
    }
    for candidates in &mut seen.candidates {
        candidates.sort_unstable_by_key(|candidate| candidate.account);
    }
    for pool in &mut seen.pools {
        pool.stakes.sort_unstable_by_key(|(account, ..)| *account);
        for candidates in &mut pool.harvestable {
            candidates.sort_unstable_by_key(|candidate| candidate.account);
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// K1, restarts: stopped after any block, the restored book is the one that was stopped, goes on to the same end
    /// with the same rows, and goes back to where it began and no further.
    #[test]
    fn a_restored_book_is_the_book_that_was_stopped(
        steps in prop::collection::vec(step(), 1..120),
        part in 0..100usize,
    ) {
        let (blocks, end) = blocks_of(&steps);
        let mut book = Book::new();
        let mut kept = Checkpoint::default();
        let (before, after) = blocks.split_at((blocks.len() * part).div_ceil(100).max(1));
        for (block, events) in before {
            kept.keep(book.apply(*block, events).unwrap());
        }
        let mut whole = Checkpoint::default();
        whole.keep(book.rows().collect());
        prop_assert_eq!(without_cover_of_0(&whole), without_cover_of_0(&kept));

        let (tip, _) = before.last().unwrap();
        let mut restored = kept.restored(*tip).unwrap();
        prop_assert_eq!(seen_of_restored(&restored), seen_of_restored(&book));
        prop_assert_eq!(restored.tip(), book.tip());

        let mut kept_on = kept.clone();
        for (block, events) in after {
            kept.keep(book.apply(*block, events).unwrap());
            kept_on.keep(restored.apply(*block, events).unwrap());
        }
        prop_assert_eq!(&seen(&book), &end);
        prop_assert_eq!(seen_of_restored(&restored), seen_of_restored(&book));
        prop_assert_eq!(kept_on, kept);

        let (wanted, oldest) = (tip.number - 1, restored.tip().unwrap().saturating_sub(UNDO_BLOCKS).max(tip.number));
        prop_assert_eq!(restored.undo_to(wanted), Err(UndoError { wanted, oldest }));
        restored.undo_to(oldest).unwrap();
        book.undo_to(oldest).unwrap();
        prop_assert_eq!(seen_of_restored(&restored), seen_of_restored(&book));
    }
}

/// A market with a lender and a borrower, and its rows.
fn checkpoint() -> Checkpoint {
    let params = params(0);
    let id = params.id().0;
    let events = [
        create(&params),
        supply(id, account(10), 1_000_000, 1_000_000_000_000),
        supply_collateral(id, account(11), 500_000),
        borrow(id, account(11), 400_000, 400_000_000_000),
    ];
    let mut kept = Checkpoint::default();
    kept.keep(Book::new().apply(block(1), &events).unwrap());
    kept
}

/// A pool with a staker, and its rows.
fn pool_checkpoint() -> Checkpoint {
    let created = create_pool(0);
    let staked = stake(created.pool, account(10), 1_000);
    let mut kept = Checkpoint::default();
    kept.keep(Book::new().apply(block(1), &[rewards(IRewardsEvents::CreatePool(created)), staked]).unwrap());
    kept
}

/// What is wrong with these rows.
fn damage(kept: &Checkpoint, tip: Block) -> Damage {
    kept.restored(tip).unwrap_err().0
}

fn key_of(market: u32, number: u64) -> Vec<u8> {
    Row::Position { market, account: account(number), position: Position::default() }.key()
}

#[test]
fn a_block_gives_each_row_once() {
    let params = params(0);
    let id = params.id().0;
    let twice = [create(&params), supply_collateral(id, account(11), 1), supply_collateral(id, account(11), 2)];
    let mut book = Book::new();
    let rows = book.apply(block(1), &twice).unwrap();
    let position = Position { collateral: 3, ..Position::default() };
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.contains(&Row::Position { market: 0, account: account(11), position }));
    assert_eq!(book.apply(block(2), &[]).unwrap(), []);
}

#[test]
fn a_lost_position_is_noticed() {
    let totals =
        [(10, Quantity::TotalSupplyShares, 1_000_000_000_000), (11, Quantity::TotalBorrowShares, 400_000_000_000)];
    for (lost, quantity, stated) in totals {
        let mut kept = checkpoint();
        kept.0.remove(&key_of(0, lost)).unwrap();
        let damaged = Damage::Total { id: params(0).id().0, quantity, stated, sum: U256::ZERO };
        assert_eq!(damage(&kept, block(1)), damaged);
    }
}

#[test]
fn a_lost_market_is_noticed() {
    let mut kept = checkpoint();
    let (key, value) = kept.0.pop_first().unwrap();
    assert_eq!(damage(&kept, block(1)), Damage::Unknown { number: 0, account: account(10) });
    kept.0.clear();
    let Row::Market { market, .. } = Row::decode(&key, &value).unwrap() else { panic!("markets come first") };
    kept.keep(vec![Row::Market { index: 1, market: market.clone() }]);
    assert_eq!(damage(&kept, block(1)), Damage::OutOfOrder { found: 1, expected: 0 });
    kept.keep(vec![Row::Market { index: 0, market }]);
    assert_eq!(damage(&kept, block(1)), Damage::Twice(params(0).id().0));
}

#[test]
fn an_account_has_one_position_in_a_market() {
    let position = Position { collateral: 1, ..Position::default() };
    let row = Row::Position { market: 0, account: account(11), position };
    let rows = checkpoint().0.into_iter().map(|(key, value)| Row::decode(&key, &value)).chain([Ok(row)]);
    let error = Book::restore(block(1), rows).unwrap_err();
    assert_eq!(error.0, Damage::Account { id: params(0).id().0, account: account(11) });
}

#[test]
fn rows_of_a_later_block_than_they_say_are_noticed() {
    let damaged = Damage::Future { id: params(0).id().0, last_update: START + 12, tip: START };
    assert_eq!(damage(&checkpoint(), block(0)), damaged);
}

#[test]
fn a_pool_is_refused_where_its_accounts_are_not_those_of_its_totals() {
    let (pool, who, mut kept) = (create_pool(0).pool, account(10), pool_checkpoint());
    kept.restored(block(1)).unwrap();
    assert_eq!(damage(&kept, block(0)), Damage::Future { id: pool, last_update: START + 12, tip: START });

    let staker = |ledgers| Row::Staker { pool: 0, account: who, staked: 1_000, ledgers };
    let mut lost = kept.clone();
    lost.0.remove(&staker(Vec::new()).key()).unwrap();
    let (quantity, stated, sum) = (Quantity::TotalStaked, 1_000, U256::ZERO);
    assert_eq!(damage(&lost, block(1)), Damage::Total { id: pool, quantity, stated, sum });

    let mut other_streams = kept.clone();
    other_streams.keep(vec![staker(vec![Ledger::default()])]);
    assert_eq!(damage(&other_streams, block(1)), Damage::Account { id: pool, account: who });

    kept.0.pop_first().unwrap();
    assert_eq!(damage(&kept, block(1)), Damage::Unknown { number: 0, account: who });
}

#[test]
fn bytes_that_are_no_row_are_refused() {
    for (key, value) in checkpoint().0.iter().chain(&pool_checkpoint().0) {
        let refused = |key: &[u8], value: &[u8]| {
            let error = RowError { key: key.to_vec().into(), length: value.len() };
            assert_eq!(Row::decode(key, value), Err(error));
        };
        refused(&key[1..], value);
        refused(&[&key[..], &[0]].concat(), value);
        refused(key, &value[1..]);
        refused(key, &[&value[..], &[0]].concat());
        refused(&[&[99], &key[1..]].concat(), value);
        refused(&[], value);
    }
}
