//! The order of ripeness finds exactly the accounts that a full scan finds, at every time, and knows who is next.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    history::{blocks_of, reward_step},
    programmes::times_around,
    *,
};

fn scan(stream: StreamBook<'_>, timestamp: u64) -> BTreeSet<Address> {
    let can_be = |account: &Address| {
        let consent = stream.consent(*account);
        let claimable = stream.claimable(*account, timestamp);
        consent.enabled && claimable != 0 && claimable >= consent.smallest
    };
    stream.pool().stakes().map(|(account, _)| account).filter(can_be).collect()
}

fn found(stream: StreamBook<'_>, timestamp: u64) -> BTreeSet<Address> {
    let found = stream.harvestable(timestamp);
    let accounts: BTreeSet<_> = found.iter().map(|candidate| candidate.account).collect();
    assert_eq!(accounts.len(), found.len(), "nobody is found twice");
    for HarvestCandidate { account, claimable, consent } in found {
        assert_eq!((claimable, consent), (stream.claimable(account, timestamp), stream.consent(account)));
    }
    accounts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_index_finds_what_a_full_scan_finds(
        steps in prop::collection::vec(reward_step(), 1..150),
        seconds in prop::collection::vec(0..3_000_000u64, 0..4),
    ) {
        let (blocks, _) = blocks_of(&steps);
        let mut book = Book::new();
        for (block, events) in &blocks {
            book.apply(*block, events).unwrap();
        }
        let now = blocks.last().unwrap().0.timestamp;
        for stream in book.rewards() {
            for timestamp in times_around(now).into_iter().chain(seconds.iter().map(|later| now + later)) {
                prop_assert_eq!(found(stream, timestamp), scan(stream, timestamp), "at {}", timestamp);
            }
        }
    }

    #[test]
    fn the_next_one_is_known_and_when(steps in prop::collection::vec(reward_step(), 1..150)) {
        let (blocks, _) = blocks_of(&steps);
        let mut book = Book::new();
        for (block, events) in &blocks {
            book.apply(*block, events).unwrap();
        }
        let now = blocks.last().unwrap().0.timestamp;
        for stream in book.rewards() {
            let ripe = scan(stream, now);
            let Some(next) = stream.next_harvestable(now) else {
                // Nobody will ever be, whatever is funded: those who agreed can be now, or have no stake.
                for (account, staked) in stream.pool().stakes() {
                    let consent = stream.consent(account);
                    prop_assert!(!consent.enabled || staked == 0 || ripe.contains(&account));
                }
                continue;
            };
            prop_assert!(!ripe.contains(&next.account));
            if let Some(timestamp) = next.timestamp {
                prop_assert!(timestamp > now);
                prop_assert!(scan(stream, timestamp).contains(&next.account));
                prop_assert_eq!(scan(stream, timestamp - 1), ripe);
            } else {
                prop_assert_eq!(scan(stream, u64::from(u32::MAX)), ripe);
            }
        }
    }
}
