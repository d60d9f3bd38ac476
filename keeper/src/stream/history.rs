//! The last applied blocks by number and hash: what a new head is compared with, to tell an extension of the chain from
//! a reorganisation, and one that can be taken back from one that cannot.

use std::collections::VecDeque;

use alloy::eips::BlockNumHash;

use crate::{book::UNDO_BLOCKS, chain::Header};

/// The applied blocks that can be gone back to, the newest last. Never empty; numbers may have gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History(VecDeque<BlockNumHash>);

/// How a header stands to the applied blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// It was applied.
    Known,
    /// It follows this one.
    Child(BlockNumHash),
    /// It follows nothing that is known; a block before it may.
    Unknown,
    /// It follows something that is too far back.
    TooDeep,
}

impl History {
    pub(super) fn starting_at(block: BlockNumHash) -> Self {
        Self(VecDeque::from([block]))
    }

    /// The newest applied block.
    pub(super) fn tip(&self) -> BlockNumHash {
        self.0.back().copied().unwrap_or_default()
    }

    /// The oldest block that can be gone back to.
    pub(super) fn oldest(&self) -> BlockNumHash {
        self.0.front().copied().unwrap_or_default()
    }

    pub(super) fn join(&self, header: &Header) -> Join {
        let has = |number: u64, hash| self.0.contains(&BlockNumHash { number, hash });
        if has(header.number, header.hash) {
            return Join::Known;
        }
        let before = header.number.saturating_sub(1);
        if has(before, header.parent_hash) {
            return Join::Child(BlockNumHash { number: before, hash: header.parent_hash });
        }
        if before <= self.oldest().number { Join::TooDeep } else { Join::Unknown }
    }

    /// Adds an applied block and forgets what is too far back by now.
    pub(super) fn push(&mut self, block: BlockNumHash) {
        self.0.push_back(block);
        let oldest = block.number.saturating_sub(UNDO_BLOCKS);
        self.0.retain(|kept| kept.number >= oldest);
    }

    /// Forgets every block after one.
    pub(super) fn undo_to(&mut self, block: BlockNumHash) {
        while self.0.len() > 1 && self.0.back().is_some_and(|last| last.number > block.number) {
            self.0.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    fn hash(number: u64, fork: u8) -> B256 {
        let mut hash = B256::left_padding_from(&number.to_be_bytes());
        hash.0[0] = fork;
        hash
    }

    fn block(number: u64, fork: u8) -> BlockNumHash {
        BlockNumHash { number, hash: hash(number, fork) }
    }

    fn header(number: u64, fork: u8, parent_fork: u8) -> Header {
        Header {
            number,
            hash: hash(number, fork),
            parent_hash: hash(number - 1, parent_fork),
            timestamp: 0,
            base_fee: 0,
            gas_limit: 0,
            gas_used: 0,
        }
    }

    /// Blocks 100 to 200 of fork 0.
    fn history() -> History {
        let mut history = History::starting_at(block(100, 0));
        (101..=200).for_each(|number| history.push(block(number, 0)));
        history
    }

    #[test]
    fn a_head_extends_the_chain_is_known_or_leaves_it() {
        let history = history();
        assert_eq!(history.join(&header(201, 0, 0)), Join::Child(block(200, 0)));
        assert_eq!(history.join(&header(190, 0, 0)), Join::Known);
        assert_eq!(history.join(&header(191, 1, 0)), Join::Child(block(190, 0)));
        assert_eq!(history.join(&header(192, 1, 1)), Join::Unknown);
        assert_eq!(history.join(&header(300, 0, 0)), Join::Unknown);
    }

    #[test]
    fn sixty_four_blocks_can_be_taken_back_and_not_one_more() {
        let history = history();
        assert_eq!(history.oldest(), block(136, 0));
        assert_eq!(history.join(&header(137, 1, 0)), Join::Child(block(136, 0)));
        assert_eq!(history.join(&header(137, 1, 1)), Join::TooDeep);
        assert_eq!(history.join(&header(136, 1, 0)), Join::TooDeep);
    }

    #[test]
    fn what_was_taken_back_cannot_be_taken_back_again() {
        let mut history = history();
        history.undo_to(block(150, 0));
        assert_eq!((history.tip(), history.oldest()), (block(150, 0), block(136, 0)));
        history.push(block(151, 1));
        assert_eq!(history.join(&header(136, 1, 0)), Join::TooDeep);
    }

    #[test]
    fn a_start_from_nothing_knows_its_first_block() {
        let history = History::starting_at(block(0, 0));
        assert_eq!(history.join(&header(1, 0, 0)), Join::Child(block(0, 0)));
        assert_eq!(history.join(&header(1, 0, 1)), Join::TooDeep);
    }
}
