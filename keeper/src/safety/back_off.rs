//! Back-off: a subject that failed is not tried again for a number of blocks, which depends on why it failed and on how
//! often in a row.

use std::collections::HashMap;

use crate::intent::Subject;

/// Blocks of back-off after a first revert. They double with each further one.
const INITIAL_BACK_OFF_BLOCKS: u64 = 2;

/// Maximum back-off in blocks: about three hours of Ethereum's.
const MAX_BACK_OFF_BLOCKS: u64 = 1_024;

/// Why an attempt at a subject failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCause {
    /// Another liquidator or harvester was faster. It may be tried again at once when there is something to do again.
    LostRace,
    /// It may well succeed in the next block.
    Transient,
    /// It reverts, and the cause will not go away by itself.
    Reverts,
}

/// The back-off of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// First block in which the subject may be tried again.
    pub until_block: u64,
    /// Cause of the last failure.
    pub cause: FailureCause,
    /// Number of reverts in a row.
    pub reverts: u32,
}

/// The subjects that failed, and how long each is not tried again.
#[derive(Debug, Clone, Default)]
pub struct BackOff {
    waits: HashMap<Subject, Wait>,
}

impl BackOff {
    /// Returns the back-off of a subject if it must not be tried in this block.
    #[must_use]
    pub fn wait(&self, subject: &Subject, block: u64) -> Option<Wait> {
        self.waits.get(subject).copied().filter(|wait| block < wait.until_block)
    }

    /// Records that a subject failed in a block. A lost race ends its back-off.
    pub fn record_failure(&mut self, subject: Subject, cause: FailureCause, block: u64) {
        let before = self.waits.get(&subject).map_or(0, |wait| wait.reverts);
        let (blocks, reverts) = match cause {
            FailureCause::LostRace => {
                self.waits.remove(&subject);
                return;
            }
            FailureCause::Transient => (1, before),
            FailureCause::Reverts => (back_off_blocks(before), before.saturating_add(1)),
        };
        // A longer back-off from before is not shortened.
        let held = self.waits.get(&subject).map_or(0, |wait| wait.until_block);
        let until_block = block.saturating_add(blocks).max(held);
        self.waits.insert(subject, Wait { until_block, cause, reverts });
    }

    /// Records that a subject succeeded, which ends its back-off and forgets its reverts.
    pub fn record_success(&mut self, subject: &Subject) {
        self.waits.remove(subject);
    }

    /// Forgets subjects that have not failed again within the back-off that their next revert would have got.
    pub fn prune(&mut self, block: u64) {
        self.waits.retain(|_, wait| block < wait.until_block.saturating_add(back_off_blocks(wait.reverts)));
    }
}

/// Returns the back-off of a subject that has reverted this often before.
fn back_off_blocks(reverts: u32) -> u64 {
    1_u64
        .checked_shl(reverts)
        .and_then(|times| INITIAL_BACK_OFF_BLOCKS.checked_mul(times))
        .unwrap_or(MAX_BACK_OFF_BLOCKS)
        .min(MAX_BACK_OFF_BLOCKS)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};

    use super::*;

    const LOAN: Subject = Subject::Loan { market: B256::ZERO, borrower: Address::ZERO };

    #[test]
    fn a_lost_race_leads_to_no_back_off() {
        let mut back_off = BackOff::default();
        back_off.record_failure(LOAN, FailureCause::LostRace, 10);
        assert_eq!(back_off.wait(&LOAN, 10), None);
    }

    #[test]
    fn a_transient_failure_is_tried_again_in_the_next_block() {
        let mut back_off = BackOff::default();
        back_off.record_failure(LOAN, FailureCause::Transient, 10);
        assert_eq!(back_off.wait(&LOAN, 10).unwrap().until_block, 11);
        assert_eq!(back_off.wait(&LOAN, 11), None);
    }

    #[test]
    fn back_off_doubles_with_each_revert_up_to_a_maximum_until_success() {
        let mut back_off = BackOff::default();
        let mut block = 0;
        for blocks in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 1_024] {
            back_off.record_failure(LOAN, FailureCause::Reverts, block);
            let wait = back_off.wait(&LOAN, block).unwrap();
            assert_eq!(wait.until_block - block, blocks, "{wait:?}");
            block = wait.until_block;
            back_off.prune(block);
        }
        back_off.record_success(&LOAN);
        back_off.record_failure(LOAN, FailureCause::Reverts, block);
        assert_eq!(back_off.wait(&LOAN, block).unwrap().until_block - block, 2);
    }

    #[test]
    fn a_transient_failure_does_not_shorten_a_longer_back_off() {
        let mut back_off = BackOff::default();
        back_off.record_failure(LOAN, FailureCause::Reverts, 10);
        back_off.record_failure(LOAN, FailureCause::Transient, 10);
        assert_eq!(back_off.wait(&LOAN, 11).unwrap().until_block, 12);
    }

    #[test]
    fn a_failure_is_forgotten_after_another_back_off_without_failure() {
        let mut back_off = BackOff::default();
        back_off.record_failure(LOAN, FailureCause::Reverts, 10);
        back_off.prune(12 + 4);
        assert_eq!(back_off.waits.len(), 0);
    }
}
