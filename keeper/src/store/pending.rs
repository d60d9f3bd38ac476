//! What the last blocks changed and no file holds yet, because a reorganisation may still take it back.

use std::collections::{BTreeMap, VecDeque};

use super::{CheckpointTip, Image, StoreError};
use crate::book::UNDO_BLOCKS;

/// The last image of every row, in the order of the file.
pub(super) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Blocks above the file, in their order: first those that are deep enough to be written, then the others.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Not deep enough.
    blocks: VecDeque<(CheckpointTip, Vec<Image>)>,
    /// Deep enough.
    due: Rows,
    /// The last of the blocks in `due`, or the one that the file holds.
    settled: Option<CheckpointTip>,
    /// Whether `settled` is not in the file yet.
    unwritten: bool,
    /// The highest block that was ever recorded.
    head: u64,
}

impl Pending {
    /// Above a file that holds this block.
    pub(super) fn above(written: Option<CheckpointTip>) -> Self {
        Self { settled: written, ..Self::default() }
    }

    /// Takes a block's images. Fails where it does not follow the last one.
    pub(super) fn record(&mut self, tip: CheckpointTip, images: Vec<Image>) -> Result<(), StoreError> {
        let last = self.blocks.back().map(|(tip, _)| *tip).or(self.settled);
        if let Some(last) = last.filter(|last| last.number >= tip.number) {
            return Err(StoreError::NotNext { block: tip.number, last: last.number });
        }
        self.blocks.push_back((tip, images));
        self.head = self.head.max(tip.number);
        while self.blocks.front().is_some_and(|(tip, _)| tip.number.saturating_add(UNDO_BLOCKS) <= self.head)
            && let Some((tip, images)) = self.blocks.pop_front()
        {
            self.due.extend(images);
            self.settled = Some(tip);
            self.unwritten = true;
        }
        Ok(())
    }

    /// Forgets the blocks after this one. Fails where one of them is in the file, or was deep enough to be.
    pub(super) fn undo_to(&mut self, block: u64) -> Result<(), StoreError> {
        if let Some(settled) = self.settled.filter(|settled| settled.number > block) {
            return Err(StoreError::TooDeep { wanted: block, written: settled.number });
        }
        let kept = self.blocks.partition_point(|(tip, _)| tip.number <= block);
        self.blocks.truncate(kept);
        Ok(())
    }

    /// How many rows are to be written.
    pub(super) fn due_rows(&self) -> usize {
        self.due.len()
    }

    /// What is to be written, together: the block, and every row that changed up to it.
    pub(super) fn take_due(&mut self) -> Option<(CheckpointTip, Rows)> {
        if !std::mem::take(&mut self.unwritten) {
            return None;
        }
        self.settled.map(|tip| (tip, std::mem::take(&mut self.due)))
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    fn tip(number: u64) -> CheckpointTip {
        CheckpointTip { number, hash: B256::with_last_byte(1), timestamp: number }
    }

    fn image(key: u8, value: u8) -> Image {
        (vec![key], vec![value])
    }

    fn due(pending: &mut Pending) -> Option<(u64, Vec<Image>)> {
        pending.take_due().map(|(tip, rows)| (tip.number, rows.into_iter().collect()))
    }

    #[test]
    fn a_block_is_due_when_the_head_is_sixty_four_blocks_above_it_and_not_before() {
        let mut pending = Pending::default();
        pending.record(tip(100), vec![image(1, 1)]).unwrap();
        pending.record(tip(163), vec![image(1, 2)]).unwrap();
        assert_eq!(due(&mut pending), None);
        pending.record(tip(164), Vec::new()).unwrap();
        assert_eq!(due(&mut pending), Some((100, vec![image(1, 1)])));
        assert_eq!(due(&mut pending), None);
    }

    #[test]
    fn of_blocks_that_are_due_together_the_last_image_of_each_row_counts() {
        let mut pending = Pending::default();
        pending.record(tip(1), vec![image(2, 1), image(1, 1)]).unwrap();
        pending.record(tip(2), vec![image(2, 2)]).unwrap();
        pending.record(tip(3), vec![image(1, 3)]).unwrap();
        pending.record(tip(66), Vec::new()).unwrap();
        assert_eq!(due(&mut pending), Some((2, vec![image(1, 1), image(2, 2)])));
    }

    #[test]
    fn a_block_that_was_taken_back_is_never_due() {
        let mut pending = Pending::default();
        for number in 1..=3 {
            pending.record(tip(number), vec![image(1, 1)]).unwrap();
        }
        pending.undo_to(1).unwrap();
        pending.record(tip(2), vec![image(1, 9)]).unwrap();
        pending.record(tip(1_000), Vec::new()).unwrap();
        assert_eq!(due(&mut pending), Some((2, vec![image(1, 9)])));
    }

    #[test]
    fn a_block_without_images_moves_the_tip() {
        let mut pending = Pending::above(Some(tip(10)));
        pending.record(tip(20), Vec::new()).unwrap();
        pending.record(tip(84), Vec::new()).unwrap();
        assert_eq!(due(&mut pending), Some((20, Vec::new())));
    }

    #[test]
    fn what_may_be_in_the_file_is_not_taken_back_and_not_repeated() {
        let mut pending = Pending::above(Some(tip(10)));
        let back = pending.undo_to(9).unwrap_err().to_string();
        assert!(back.contains("block 10") && back.contains("block 9"), "{back}");
        pending.undo_to(10).unwrap();
        let again = pending.record(tip(10), Vec::new()).unwrap_err().to_string();
        assert!(again.contains("block 10 does not follow block 10"), "{again}");
    }
}
