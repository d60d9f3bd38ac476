//! The harvest queue finds exactly the accounts that a full scan finds, at every time, and the next account.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    reverts::{blocks_of, reward_step},
    reward_events::times_around,
    *,
};

/// Finds the accounts that can be harvested by looking at all of them.
fn scan(stream: StreamBook<'_>, timestamp: u64) -> BTreeSet<Address> {
    let can_be = |account: &Address| {
        let consent = stream.consent(*account);
        let claimable = stream.claimable(*account, timestamp);
        consent.enabled && claimable != 0 && claimable >= consent.smallest
    };
    stream.pool().stakes().map(|(account, _)| account).filter(can_be).collect()
}

/// Finds the accounts that can be harvested by the queue.
fn found(stream: StreamBook<'_>, timestamp: u64) -> BTreeSet<Address> {
    let found = stream.harvestable(timestamp);
    let accounts: BTreeSet<_> = found.iter().map(|candidate| candidate.account).collect();
    assert_eq!(accounts.len(), found.len(), "an account is found twice");
    for HarvestCandidate { account, claimable, consent } in found {
        assert_eq!((claimable, consent), (stream.claimable(account, timestamp), stream.consent(account)));
    }
    accounts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_harvest_queue_finds_the_same_accounts_as_a_full_scan(
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
    fn the_next_harvestable_account_and_its_time_are_exact(steps in prop::collection::vec(reward_step(), 1..150)) {
        let (blocks, _) = blocks_of(&steps);
        let mut book = Book::new();
        for (block, events) in &blocks {
            book.apply(*block, events).unwrap();
        }
        let now = blocks.last().unwrap().0.timestamp;
        for stream in book.rewards() {
            let now_harvestable = scan(stream, now);
            let Some(next) = stream.next_harvestable(now) else {
                // There is no next account, whatever is funded: those that consent are harvestable now, or have no
                // stake.
                for (account, staked) in stream.pool().stakes() {
                    let consent = stream.consent(account);
                    prop_assert!(!consent.enabled || staked == 0 || now_harvestable.contains(&account));
                }
                continue;
            };
            prop_assert!(!now_harvestable.contains(&next.account));
            if let Some(timestamp) = next.timestamp {
                prop_assert!(timestamp > now);
                prop_assert!(scan(stream, timestamp).contains(&next.account));
                prop_assert_eq!(scan(stream, timestamp - 1), now_harvestable);
            } else {
                prop_assert_eq!(scan(stream, u64::from(u32::MAX)), now_harvestable);
            }
        }
    }
}
