//! Wakes the journal before a transaction has to be written to it: a disk that has rested for a moment takes half as long
//! again for its next write. So the block in which a liquidation may be decided is noted in the journal while the node
//! answers that block's request, which takes longer.

use std::time::Duration;

use tokio::{task, time::Instant};

use crate::store::Notes;

/// Name of the note. Nothing reads it.
const NOTE: &str = "expected";
/// A note that takes longer might delay the transaction that it is to speed up.
const LONGEST_WRITE: Duration = Duration::from_millis(3);
/// Number of blocks without a note after one that took longer.
const PAUSE: u32 = 100;

/// Writes the notes.
#[derive(Debug)]
pub(super) struct WarmUp {
    notes: Notes,
    /// Number of blocks without a note that are to come.
    pause: u32,
}

impl WarmUp {
    pub(super) const fn new(notes: Notes) -> Self {
        Self { notes, pause: 0 }
    }

    /// Notes the block with this number, unless the disk is slow.
    pub(super) async fn write(&mut self, block: u64) {
        if let Some(pause) = self.pause.checked_sub(1) {
            self.pause = pause;
            return;
        }
        // The block's request is sent first.
        task::yield_now().await;
        let start = Instant::now();
        let written = self.notes.write(NOTE, block.to_string()).await;
        // A journal that cannot be written is reported when something has to be.
        if written.is_err() || start.elapsed() > LONGEST_WRITE {
            self.pause = PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};

    use super::*;
    use crate::store::{Identity, Store};

    #[tokio::test]
    async fn a_block_is_noted_except_in_a_pause() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { chain_id: 1, genesis: B256::ZERO, core: Address::ZERO, rewards: None };
        let store = Store::open(folder.path(), &identity).unwrap();
        let mut warm_up = WarmUp::new(store.notes.clone());
        for (pause, noted) in [(0, "7"), (2, "7"), (1, "7"), (0, "10")] {
            warm_up.pause = pause;
            let block = if pause == 0 { noted.parse().unwrap() } else { 8 };
            warm_up.write(block).await;
            assert_eq!(store.notes.read(NOTE).await.unwrap().as_deref(), Some(noted));
            if pause > 0 {
                assert_eq!(warm_up.pause, pause - 1);
            }
        }
    }
}
