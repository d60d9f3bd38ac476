//! The length of a range of logs, which every provider limits in its own way.

/// Number of blocks in the first range that an endpoint is asked for.
const INITIAL_RANGE: u64 = 2_000;

/// Number of answers after which a range beyond the known limit is tried again: providers' plans change.
const ANSWERS_UNTIL_LIMIT_IS_TESTED: u32 = 64;

/// A longer range is tried only if it may be longer by one part in this many: each refusal costs as much as an answer.
const WORTHWHILE_PARTS: u64 = 8;

/// The number of blocks to ask one endpoint for at once: it shrinks when the endpoint refuses, and grows slowly while
/// it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AdaptiveLogRange {
    blocks: u64,
    /// The longest range that was answered since that length was last refused; 0 if none was.
    answered: u64,
    /// The longest range that may be tried: one block less than was refused last.
    limit: u64,
    /// The longest range that is ever tried.
    max: u64,
    answers: u32,
}

impl AdaptiveLogRange {
    /// Creates a range that never exceeds `max` blocks.
    pub(super) fn with_max(max: u64) -> Self {
        let max = max.max(1);
        Self { blocks: INITIAL_RANGE.min(max), answered: 0, limit: max, max, answers: 0 }
    }

    /// Returns the number of blocks to ask for.
    pub(super) const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Records that a range of `blocks` was answered. The range grows by half of the distance to the limit, so that the
    /// limit is nearly found in a few steps and then kept to.
    pub(super) fn record_answer(&mut self, blocks: u64) {
        if blocks < self.blocks {
            return;
        }
        self.answered = blocks;
        self.answers += 1;
        if self.answers >= ANSWERS_UNTIL_LIMIT_IS_TESTED {
            self.answers = 0;
            self.limit = self.limit.saturating_mul(2).min(self.max);
        }
        let further = self.limit.saturating_sub(self.blocks);
        if further > self.blocks / WORTHWHILE_PARTS {
            self.blocks += further.div_ceil(2).min(self.blocks);
        }
    }

    /// Records that a range of `blocks` was refused. The range shrinks to the longest one that was answered, or to
    /// half. Returns false if nothing shorter can be asked for.
    pub(super) fn record_refusal(&mut self, blocks: u64) -> bool {
        if self.answered >= blocks {
            self.answered = 0;
        }
        self.answers = 0;
        self.limit = blocks.saturating_sub(1).max(1);
        self.blocks = if self.answered > 0 { self.answered } else { (blocks / 2).max(1) };
        blocks > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks a provider with a limit for ranges until it has answered `answers` of them. Returns the lengths that were
    /// answered, and the number of refusals.
    fn asked(limit: u64, answers: usize) -> (Vec<u64>, usize) {
        let mut range = AdaptiveLogRange::with_max(10_000);
        let (mut answered, mut refused) = (Vec::new(), 0);
        while answered.len() < answers {
            let blocks = range.blocks();
            if blocks <= limit {
                range.record_answer(blocks);
                answered.push(blocks);
            } else {
                assert!(range.record_refusal(blocks));
                refused += 1;
            }
        }
        (answered, refused)
    }

    #[test]
    fn a_providers_range_limit_is_found_and_kept_to() {
        for limit in [1, 7, 500, 1_999, 2_000, 9_999, 20_000] {
            let (answered, refused) = asked(limit, 60);
            let (last, limit) = (answered.last().copied().unwrap_or(0), limit.min(10_000));
            assert!(last <= limit && limit - last <= last / WORTHWHILE_PARTS, "of {limit}: {answered:?}");
            assert!(refused <= 14, "{refused} refusals to find {limit}");
        }
    }

    #[test]
    fn the_range_grows_again_after_a_limit_is_lifted() {
        let mut range = AdaptiveLogRange::with_max(10_000);
        assert!(range.record_refusal(2_000));
        for _ in 0..300 {
            let blocks = range.blocks();
            range.record_answer(blocks);
        }
        assert!(range.blocks() >= 10_000 - 10_000 / WORTHWHILE_PARTS, "{}", range.blocks());
    }

    #[test]
    fn a_range_of_a_single_block_cannot_shrink() {
        let mut range = AdaptiveLogRange::with_max(10);
        assert!(!range.record_refusal(1));
        assert_eq!(range.blocks(), 1);
    }

    #[test]
    fn an_answer_to_a_short_last_range_does_not_change_the_range() {
        let mut range = AdaptiveLogRange::with_max(10_000);
        range.record_answer(3);
        assert_eq!(range.blocks(), INITIAL_RANGE);
    }
}
