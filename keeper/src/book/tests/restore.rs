//! A book that is restored from the rows that applying returned equals the original, and rows that are missing or
//! changed are rejected.

use std::collections::BTreeMap;

use alloy::primitives::keccak256;
use plimsoll_contracts::{IRewards::IRewardsEvents, MarketId};
use proptest::prelude::*;

use super::{
    reverts::{blocks_of, step},
    reward_events::{create_pool, rewards, stake},
    *,
};
use crate::math::{rewards::Stream, types::Market};

/// Rows as a checkpoint keeps them: the latest value of each key, in bytes.
#[derive(Debug, Default, Clone, PartialEq)]
struct Checkpoint(BTreeMap<Vec<u8>, Vec<u8>>);

impl Checkpoint {
    fn keep(&mut self, rows: Vec<Row>) {
        self.0.extend(rows.iter().map(|row| (row.key(), row.value())));
    }

    fn restored(&self, tip: Block) -> Result<Book, RestoreError> {
        self.restored_following(&Followed::All, tip)
    }

    fn restored_following(&self, followed: &Followed, tip: Block) -> Result<Book, RestoreError> {
        Book::restore(tip, followed, self.0.iter().map(|(key, value)| Row::decode(key, value)))
    }
}

/// Returns the rows without amounts of 0, which a book drops and a checkpoint keeps.
fn without_cover_of_0(kept: &Checkpoint) -> Vec<Row> {
    let rows = kept.0.iter().map(|(key, value)| Row::decode(key, value).unwrap());
    rows.filter(|row| !matches!(row, Row::Cover { amount, .. } if amount.is_zero())).collect()
}

/// Returns a snapshot without what depends on the order of the accounts, or on accounts whose positions are empty.
fn restored_snapshot(book: &Book) -> Snapshot {
    let mut snapshot = snapshot(book);
    for positions in &mut snapshot.positions {
        positions.retain(|(_, position)| *position != Position::default());
        positions.sort_unstable_by_key(|(account, _)| *account);
    }
    for candidates in &mut snapshot.candidates {
        candidates.sort_unstable_by_key(|candidate| candidate.account);
    }
    for pool in &mut snapshot.pools {
        pool.stakes.sort_unstable_by_key(|(account, ..)| *account);
        for candidates in &mut pool.harvestable {
            candidates.sort_unstable_by_key(|candidate| candidate.account);
        }
    }
    snapshot
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Property K1, restarts: after any block, the restored book equals the stopped one, reaches the same end with the
    /// same rows, and can be reverted to the block where it began and no further.
    #[test]
    fn a_restored_book_equals_the_book_that_was_stopped(
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
        kept.keep(vec![Row::Coverage(book.coverage().clone())]);
        prop_assert_eq!(without_cover_of_0(&whole), without_cover_of_0(&kept));

        let (tip, _) = before.last().unwrap();
        let mut restored = kept.restored(*tip).unwrap();
        prop_assert_eq!(restored_snapshot(&restored), restored_snapshot(&book));
        prop_assert_eq!(restored.tip(), book.tip());

        let mut kept_after_restart = kept.clone();
        for (block, events) in after {
            kept.keep(book.apply(*block, events).unwrap());
            kept_after_restart.keep(restored.apply(*block, events).unwrap());
        }
        prop_assert_eq!(&snapshot(&book), &end);
        prop_assert_eq!(restored_snapshot(&restored), restored_snapshot(&book));
        prop_assert_eq!(kept_after_restart, kept);

        let wanted = tip.number - 1;
        let oldest = restored.tip().unwrap().saturating_sub(MAX_REORG_DEPTH).max(tip.number);
        prop_assert_eq!(restored.revert_to(wanted), Err(RevertError { wanted, oldest }));
        restored.revert_to(oldest).unwrap();
        book.revert_to(oldest).unwrap();
        prop_assert_eq!(restored_snapshot(&restored), restored_snapshot(&book));
    }
}

/// Returns the rows of a market with a lender and a borrower.
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

/// Returns the events of a pool with a staker.
fn pool_events() -> [Event; 2] {
    let created = create_pool(0);
    let staked = stake(created.pool, account(10), 1_000);
    [rewards(IRewardsEvents::CreatePool(created)), staked]
}

/// Returns the rows of a pool with a staker.
fn pool_checkpoint() -> Checkpoint {
    let mut kept = Checkpoint::default();
    kept.keep(Book::new().apply(block(1), &pool_events()).unwrap());
    kept
}

/// Returns the damage that restoring these rows detects.
fn damage(kept: &Checkpoint, tip: Block) -> Damage {
    kept.restored(tip).unwrap_err().0
}

fn key_of(market: u32, number: u64) -> Vec<u8> {
    Row::Position { market, account: account(number), position: Position::default() }.key()
}

#[test]
fn a_block_returns_each_changed_row_once() {
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
fn a_lost_position_is_detected() {
    let totals =
        [(10, Quantity::TotalSupplyShares, 1_000_000_000_000), (11, Quantity::TotalBorrowShares, 400_000_000_000)];
    for (lost, quantity, stated) in totals {
        let mut kept = checkpoint();
        kept.0.remove(&key_of(0, lost)).unwrap();
        let damaged = Damage::TotalMismatch { id: params(0).id().0, quantity, stated, sum: U256::ZERO };
        assert_eq!(damage(&kept, block(1)), damaged);
    }
}

#[test]
fn a_lost_market_is_detected() {
    let mut kept = checkpoint();
    let (key, value) = kept.0.pop_first().unwrap();
    assert_eq!(damage(&kept, block(1)), Damage::MissingParent { number: 0, account: account(10) });
    kept.0.clear();
    let Row::Market { market, .. } = Row::decode(&key, &value).unwrap() else { panic!("markets come first") };
    kept.keep(vec![Row::Market { number: 1, market: market.clone() }]);
    let rows = || kept.0.iter().map(|(key, value)| Row::decode(key, value));
    let twice = Book::restore(block(1), &Followed::All, rows().chain(rows()));
    assert_eq!(twice.unwrap_err().0, Damage::OutOfOrder { found: 1, least: 2 });
    kept.keep(vec![Row::Market { number: 0, market }]);
    assert_eq!(damage(&kept, block(1)), Damage::Duplicate(params(0).id().0));
}

/// Three markets and a pool, with the rows of all.
fn three_markets() -> (Book, Checkpoint) {
    let mut book = Book::new();
    let markets = [0, 1, 2].map(|number| params(number).id().0);
    let events = [0, 1, 2].map(|number| create(&params(number))).into_iter();
    let events = events.chain(markets.map(|id| supply(id, account(10), 1_000_000, 1_000_000_000_000)));
    book.apply(block(1), &events.collect::<Vec<_>>()).unwrap();
    book.apply(block(2), &pool_events()).unwrap();
    let mut kept = Checkpoint::default();
    kept.keep(book.rows().collect());
    (book, kept)
}

fn ids(book: &Book) -> Vec<B256> {
    book.markets().map(|market| market.id().0).chain(book.pools().map(PoolBook::id)).collect()
}

#[test]
fn markets_that_are_not_followed_any_more_are_not_loaded_and_their_numbers_not_given_again() {
    let (_, mut kept) = three_markets();
    let of = |number| params(number).id().0;
    let followed = Followed::only([of(1), of(3)]);
    let mut book = kept.restored_following(&followed, block(2)).unwrap();
    // All markets were followed until now, so that the one that does not exist yet is not missing.
    assert_eq!((ids(&book), book.coverage().missing().len()), (vec![of(1)], 0));

    // The dropped rows stay in the checkpoint, and are not taken for those of a new market.
    kept.keep(vec![Row::Coverage(book.coverage().clone())]);
    kept.keep(book.apply(block(3), &[supply(of(1), account(12), 5, 5_000_000)]).unwrap());
    let restored = kept.restored_following(&followed, block(3)).unwrap();
    assert_eq!(restored_snapshot(&restored), restored_snapshot(&book));
    assert_eq!(restored.coverage(), book.coverage());
    let narrower = kept.restored_following(&Followed::only([of(2)]), block(3)).unwrap();
    assert_eq!((ids(&narrower), narrower.coverage().missing()), (Vec::new(), &[of(2)].into()));
    assert_eq!(kept.restored(block(3)).unwrap_err().0, Damage::Narrower);
}

#[test]
fn a_market_created_after_others_were_dropped_gets_a_number_of_its_own() {
    let (_, mut kept) = three_markets();
    let of = |number| params(number).id().0;
    let followed = Followed::only([of(0), of(3)]);
    let mut book = kept.restored_following(&followed, block(2)).unwrap();
    let rows = book.apply(block(3), &[create(&params(3)), supply(of(3), account(10), 7, 7_000_000)]).unwrap();
    assert!(rows.iter().any(|row| matches!(row, Row::Market { number: 3, .. })), "{rows:?}");
    book.revert_to(2).unwrap();
    book.apply(block(3), &[create(&params(3))]).unwrap();
    kept.keep(book.rows().collect());
    let restored = kept.restored_following(&followed, block(3)).unwrap();
    assert_eq!(ids(&restored), [of(0), of(3)]);
    assert_eq!(restored.market(params(3).id()).unwrap().positions().count(), 0);
}

#[test]
fn a_second_position_of_an_account_in_a_market_is_rejected() {
    let position = Position { collateral: 1, ..Position::default() };
    let row = Row::Position { market: 0, account: account(11), position };
    let rows = checkpoint().0.into_iter().map(|(key, value)| Row::decode(&key, &value)).chain([Ok(row)]);
    let error = Book::restore(block(1), &Followed::All, rows).unwrap_err();
    assert_eq!(error.0, Damage::InvalidAccount { id: params(0).id().0, account: account(11) });
}

#[test]
fn rows_of_a_later_block_than_the_checkpoints_are_detected() {
    let damaged = Damage::UpdatedInFuture { id: params(0).id().0, last_update: START + 12, tip: START };
    assert_eq!(damage(&checkpoint(), block(0)), damaged);
}

#[test]
fn a_pool_whose_stakers_do_not_add_up_to_its_total_is_rejected() {
    let (pool, user, mut kept) = (create_pool(0).pool, account(10), pool_checkpoint());
    kept.restored(block(1)).unwrap();
    assert_eq!(damage(&kept, block(0)), Damage::UpdatedInFuture { id: pool, last_update: START + 12, tip: START });

    let staker = |ledgers| Row::Staker { pool: 0, account: user, staked: 1_000, ledgers };
    let mut lost = kept.clone();
    lost.0.remove(&staker(Vec::new()).key()).unwrap();
    let (quantity, stated, sum) = (Quantity::TotalStaked, 1_000, U256::ZERO);
    assert_eq!(damage(&lost, block(1)), Damage::TotalMismatch { id: pool, quantity, stated, sum });

    let mut other_streams = kept.clone();
    other_streams.keep(vec![staker(vec![RewardLedger::default()])]);
    assert_eq!(damage(&other_streams, block(1)), Damage::InvalidAccount { id: pool, account: user });

    kept.0.pop_first().unwrap();
    assert_eq!(damage(&kept, block(1)), Damage::MissingParent { number: 0, account: user });
}

#[test]
fn bytes_that_are_not_a_row_are_rejected() {
    for (key, value) in checkpoint().0.iter().chain(&pool_checkpoint().0) {
        let assert_rejected = |key: &[u8], value: &[u8]| {
            let error = RowError { key: key.to_vec().into(), length: value.len() };
            assert_eq!(Row::decode(key, value), Err(error));
        };
        assert_rejected(&key[1..], value);
        assert_rejected(&[&key[..], &[0]].concat(), value);
        assert_rejected(key, &value[1..]);
        assert_rejected(key, &[&value[..], &[0]].concat());
        assert_rejected(&[&[99], &key[1..]].concat(), value);
        assert_rejected(&[], value);
    }
}

/// The level of a surge limit is 4 bytes after the row of a market that has none, which is as it was before there were
/// surge limits.
#[test]
fn the_surge_level_follows_the_row_of_a_market() {
    let params = params(1);
    let row = |surge_level| {
        let totals = Market { supply_assets: 1, surge_level, ..Market::default() };
        let state = MarketState { totals, fee_recipient: account(2), backstop: account(3) };
        Row::Market { number: 0, market: Box::new((params.clone(), state)) }
    };
    let (without, with) = (row(0), row(0x0102_0304));
    assert_eq!(with.value(), [without.value(), vec![1, 2, 3, 4]].concat());
    for row in [without, with] {
        assert_eq!(Row::decode(&row.key(), &row.value()), Ok(row));
    }
}

/// A checkpoint outlives the keeper that wrote it: where this hash changes, the schema's version has to change, too.
#[test]
fn the_bytes_of_rows_are_those_of_the_version_on_disk() {
    let mut rows = checkpoint().0;
    rows.extend(pool_checkpoint().0);
    let stream = Stream {
        accumulator: U256::from(1),
        last_update: 2,
        remainder: 1 << 40,
        epoch_amount: 3,
        last_funded_epoch: 4,
        funded: 5,
        scheduled: [(6, 7), (8, 9)].into(),
    };
    let small = Stream { remainder: 10, ..stream.clone() };
    let state = PoolState { total_staked: 11, streams: vec![stream, small] };
    let reward_tokens = vec![Address::repeat_byte(12), Address::repeat_byte(13)];
    let pool = PoolRow { id: B256::repeat_byte(14), stake_token: Address::repeat_byte(15), reward_tokens, state };
    let consent = HarvestConsent { enabled: true, compounds: false, tip_bps: 16, smallest: 17 };
    let (one, other) = (Address::repeat_byte(18), Address::repeat_byte(19));
    let coverage = Coverage {
        followed: Followed::All,
        missing: [B256::repeat_byte(22)].into(),
        dropped_markets: [23, 24].into(),
        dropped_pools: [25].into(),
        next_market: 26,
        next_pool: 27,
    };
    for row in [
        Row::Pool { number: 20, pool: Box::new(pool) },
        Row::Staker { pool: 20, account: one, staked: 21, ledgers: vec![RewardLedger { offset: 22, consent }; 2] },
        Row::Cover { key: CoverKey::Amount(one, other), amount: U256::from(23) },
        Row::Cover { key: CoverKey::Floor(one, other), amount: U256::from(24) },
        Row::Cover { key: CoverKey::Limit(one, MarketId(B256::repeat_byte(25))), amount: U256::MAX },
        Row::Coverage(Coverage { followed: Followed::only([B256::repeat_byte(19)]), ..coverage.clone() }),
        Row::Coverage(coverage),
    ] {
        assert_eq!(Row::decode(&row.key(), &row.value()), Ok(row.clone()));
        rows.insert(row.key(), row.value());
    }
    let bytes: Vec<_> = rows.into_iter().flat_map(|(key, value)| [key, value]).flatten().collect();
    assert_eq!(keccak256(&bytes).to_string(), "0x21a85707a889440f973f809b9ce9307a8020507e0ac8156545f10b89415dc9ce");
}
