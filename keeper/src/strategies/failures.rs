//! Targets that were tried in vain, and the blocks until they are tried again.

use std::collections::BTreeMap;

use super::SkipReason;

/// Longest wait of an order whose collateral the exchange took at too low a price, in blocks: that may change soon.
const MAX_PRICE_WAIT: u64 = 8;
/// Longest wait of a target that reverted for another reason, in blocks: its account, or a token, has to change.
const MAX_WAIT: u64 = 64;

/// Targets that were tried in vain.
#[derive(Debug)]
pub(super) struct Failures<T>(BTreeMap<T, Failure>);

#[derive(Debug)]
struct Failure {
    attempts: u32,
    until_block: u64,
    reason: SkipReason,
}

impl<T> Default for Failures<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord> Failures<T> {
    /// Returns why a target failed last, while it is not to be tried again.
    pub(super) fn reason(&self, target: &T, block: u64) -> Option<&SkipReason> {
        self.0.get(target).filter(|failure| block < failure.until_block).map(|failure| &failure.reason)
    }

    /// Returns how often a target was tried in vain since it was forgotten.
    pub(super) fn attempts(&self, target: &T) -> u32 {
        self.0.get(target).map_or(0, |failure| failure.attempts)
    }

    /// Records that a target was tried in vain in a block: the wait doubles each time.
    pub(super) fn record(&mut self, target: T, block: u64, reason: SkipReason) {
        let longest = if matches!(reason, SkipReason::Reverts(_)) { MAX_WAIT } else { MAX_PRICE_WAIT };
        let attempts = self.attempts(&target).saturating_add(1);
        let wait = 1_u64.checked_shl(attempts).unwrap_or(longest).min(longest);
        self.0.insert(target, Failure { attempts, until_block: block.saturating_add(wait), reason });
    }

    /// Forgets the targets for which `is_kept` is false.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&T) -> bool) {
        self.0.retain(|target, _| is_kept(target));
    }

    /// Forgets a target, which succeeded.
    pub(super) fn forget(&mut self, target: &T) {
        self.0.remove(target);
    }
}
