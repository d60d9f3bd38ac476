//! How many blocks to ask one endpoint for at once: less when it objects, slowly more when it does not.

/// With how many blocks to begin.
const FIRST: u64 = 2_000;

/// After how many answers to forget where the limit was: plans change.
const ANSWERS_UNTIL_TRIED_AGAIN: u32 = 64;

/// The length of ranges for one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RangeSize {
    blocks: u64,
    /// The longest that was answered since it last was too long; 0 where nothing was.
    works: u64,
    /// The longest that may be tried: below what was refused last.
    limit: u64,
    most: u64,
    answers: u32,
}

impl RangeSize {
    pub(super) fn up_to(most: u64) -> Self {
        let most = most.max(1);
        Self { blocks: FIRST.min(most), works: 0, limit: most, most, answers: 0 }
    }

    pub(super) const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// A range of so many blocks was answered. Half of what lies between it and the limit is added, so that a limit is
    /// found in a few steps and kept to.
    pub(super) fn answered(&mut self, blocks: u64) {
        if blocks < self.blocks {
            return;
        }
        self.works = blocks;
        self.answers += 1;
        if self.answers >= ANSWERS_UNTIL_TRIED_AGAIN {
            self.answers = 0;
            self.limit = self.limit.saturating_mul(2).min(self.most);
        }
        self.blocks += self.limit.saturating_sub(self.blocks).div_ceil(2).min(self.blocks);
    }

    /// A range of so many blocks was refused: back to what works, or to half. False where nothing less can be asked for.
    pub(super) fn refused(&mut self, blocks: u64) -> bool {
        if self.works >= blocks {
            self.works = 0;
        }
        self.answers = 0;
        self.limit = blocks.saturating_sub(1).max(1);
        self.blocks = if self.works > 0 { self.works } else { (blocks / 2).max(1) };
        blocks > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ranges asked of a provider with a limit, until `answers` of them were answered.
    fn asked(limit: u64, answers: usize) -> (Vec<u64>, usize) {
        let mut size = RangeSize::up_to(10_000);
        let (mut answered, mut refused) = (Vec::new(), 0);
        while answered.len() < answers {
            let blocks = size.blocks();
            if blocks <= limit {
                size.answered(blocks);
                answered.push(blocks);
            } else {
                assert!(size.refused(blocks));
                refused += 1;
            }
        }
        (answered, refused)
    }

    #[test]
    fn a_limit_is_found_and_kept_to() {
        for limit in [1, 7, 500, 1_999, 2_000, 9_999, 20_000] {
            let (answered, refused) = asked(limit, 60);
            assert_eq!(answered.last(), Some(&limit.min(10_000)), "of {limit}: {answered:?}");
            assert!(refused <= 24, "{refused} refusals to find {limit}");
        }
    }

    #[test]
    fn a_limit_that_was_lifted_is_noticed() {
        let mut size = RangeSize::up_to(10_000);
        assert!(size.refused(2_000));
        for _ in 0..300 {
            let blocks = size.blocks();
            size.answered(blocks);
        }
        assert_eq!(size.blocks(), 10_000);
    }

    #[test]
    fn a_single_block_cannot_be_halved() {
        let mut size = RangeSize::up_to(10);
        assert!(!size.refused(1));
        assert_eq!(size.blocks(), 1);
    }

    #[test]
    fn the_short_range_at_the_end_says_nothing_about_the_limit() {
        let mut size = RangeSize::up_to(10_000);
        size.answered(3);
        assert_eq!(size.blocks(), FIRST);
    }
}
