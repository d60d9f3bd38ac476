//! What failed is left alone for a while: how long depends on why it failed, and on how often in a row.

use std::collections::HashMap;

use alloy::primitives::{Address, B256};
use serde::Serialize;

use crate::intent::Purpose;

/// How many blocks something is left alone after its first revert. It doubles with each further one.
const FIRST_REVERT_BLOCKS: u64 = 2;

/// It is tried again after so many blocks at the latest: about three hours of Ethereum's.
const MOST_BLOCKS: u64 = 1_024;

/// What an intent is about, one loan or one account's rewards at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A loan.
    Loan {
        /// In this market.
        market: B256,
        /// Of this borrower.
        borrower: Address,
    },
    /// Rewards.
    Rewards {
        /// Of this programme.
        pool: B256,
        /// In this token.
        reward_token: Address,
        /// Of this account, or the keeper's own.
        account: Option<Address>,
    },
}

/// Why something came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody else was faster: there is nothing left to do, and no reason to wait if there is again.
    LostRace,
    /// It may well work in the next block.
    Transient,
    /// It reverts, and the reason will not go away by itself.
    Reverts,
}

/// How long something is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// It may be tried again in this block.
    pub until_block: u64,
    /// Why it failed last.
    pub cause: Cause,
    /// How often in a row it reverted.
    pub reverts: u32,
}

/// What is left alone, and for how long.
#[derive(Debug, Clone, Default)]
pub struct BackOff {
    waits: HashMap<Subject, Wait>,
}

impl BackOff {
    /// How long a subject is left alone, if it is in this block.
    #[must_use]
    pub fn wait(&self, subject: &Subject, block: u64) -> Option<Wait> {
        self.waits.get(subject).copied().filter(|wait| block < wait.until_block)
    }

    /// Something failed in a block.
    pub fn failed(&mut self, subject: Subject, cause: Cause, block: u64) {
        let before = self.waits.get(&subject).map_or(0, |wait| wait.reverts);
        let (blocks, reverts) = match cause {
            Cause::LostRace => {
                self.waits.remove(&subject);
                return;
            }
            Cause::Transient => (1, before),
            Cause::Reverts => (span(before), before.saturating_add(1)),
        };
        // What waited longer than that before waits no shorter.
        let held = self.waits.get(&subject).map_or(0, |wait| wait.until_block);
        let until_block = block.saturating_add(blocks).max(held);
        self.waits.insert(subject, Wait { until_block, cause, reverts });
    }

    /// Something worked: what was before is forgotten.
    pub fn worked(&mut self, subject: &Subject) {
        self.waits.remove(subject);
    }

    /// Forgets what has not failed again for twice as long as it was left alone at most.
    pub fn prune(&mut self, block: u64) {
        self.waits.retain(|_, wait| block < wait.until_block.saturating_add(span(wait.reverts)));
    }

    /// Everything that is left alone in a block.
    pub fn waits(&self, block: u64) -> impl Iterator<Item = (&Subject, &Wait)> {
        self.waits.iter().filter(move |(_, wait)| block < wait.until_block)
    }
}

/// How long something is left alone that reverted so often before.
fn span(reverts: u32) -> u64 {
    1_u64
        .checked_shl(reverts)
        .and_then(|times| FIRST_REVERT_BLOCKS.checked_mul(times))
        .unwrap_or(MOST_BLOCKS)
        .min(MOST_BLOCKS)
}

impl Purpose {
    /// What it is about, one by one.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        match self {
            Self::Liquidate { market, borrowers } => {
                borrowers.iter().map(|&borrower| Subject::Loan { market: *market, borrower }).collect()
            }
            Self::Harvest { pool, reward_token, accounts } => {
                let (pool, reward_token) = (*pool, *reward_token);
                let of = |&account| Subject::Rewards { pool, reward_token, account: Some(account) };
                accounts.iter().map(of).collect()
            }
            Self::ClaimOwn { pool, reward_token } => {
                vec![Subject::Rewards { pool: *pool, reward_token: *reward_token, account: None }]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAN: Subject = Subject::Loan { market: B256::ZERO, borrower: Address::ZERO };

    #[test]
    fn a_lost_race_is_no_reason_to_wait() {
        let mut back_off = BackOff::default();
        back_off.failed(LOAN, Cause::LostRace, 10);
        assert_eq!(back_off.wait(&LOAN, 10), None);
    }

    #[test]
    fn what_fails_for_a_moment_is_tried_in_the_next_block() {
        let mut back_off = BackOff::default();
        back_off.failed(LOAN, Cause::Transient, 10);
        assert_eq!(back_off.wait(&LOAN, 10).unwrap().until_block, 11);
        assert_eq!(back_off.wait(&LOAN, 11), None);
    }

    #[test]
    fn what_reverts_waits_twice_as_long_each_time_until_it_works() {
        let mut back_off = BackOff::default();
        let mut block = 0;
        for blocks in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 1_024] {
            back_off.failed(LOAN, Cause::Reverts, block);
            let wait = back_off.wait(&LOAN, block).unwrap();
            assert_eq!(wait.until_block - block, blocks, "{wait:?}");
            block = wait.until_block;
            back_off.prune(block);
        }
        back_off.worked(&LOAN);
        back_off.failed(LOAN, Cause::Reverts, block);
        assert_eq!(back_off.wait(&LOAN, block).unwrap().until_block - block, 2);
    }

    #[test]
    fn a_moment_does_not_end_a_longer_wait() {
        let mut back_off = BackOff::default();
        back_off.failed(LOAN, Cause::Reverts, 10);
        back_off.failed(LOAN, Cause::Transient, 10);
        assert_eq!(back_off.wait(&LOAN, 11).unwrap().until_block, 12);
    }

    #[test]
    fn what_is_long_over_is_forgotten() {
        let mut back_off = BackOff::default();
        back_off.failed(LOAN, Cause::Reverts, 10);
        back_off.prune(12 + 4);
        assert_eq!(back_off.waits.len(), 0);
    }
}
