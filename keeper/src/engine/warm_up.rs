//! Wakes the store's disk before a transaction has to be written to it: one that has rested for a moment takes half as long
//! again for its next write. So a few bytes are written where the answers of a block's request may lead to a transaction,
//! while the node gives them, which takes longer.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{task, time::Instant};

/// Name of the file, for the moment in which it has one.
const FILE: &str = "warm-up";
/// A write that takes longer might delay the transaction that it is to speed up.
const LONGEST_WRITE: Duration = Duration::from_millis(3);
/// Number of blocks without a write after one that took longer.
const PAUSE: u32 = 100;

/// A file beside the journal, in which nothing is kept: the journal's own would be in use when a transaction comes, and grow
/// by what it is woken with.
#[derive(Debug)]
pub(super) struct WarmUp {
    file: Arc<File>,
    /// Number of blocks without a write that are to come.
    pause: u32,
}

impl WarmUp {
    /// Creates the file in a folder. It has no name there afterwards, so that nothing remains of it.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(path)?;
        // The room is taken now, so that a write changes no more than bytes.
        file.write_all_at(&[0], 0)?;
        file.sync_all()?;
        Ok(Self { file: Arc::new(file), pause: 0 })
    }

    /// Writes to the disk, unless it is slow. Returns whether it did.
    pub(super) async fn write(&mut self) -> bool {
        if let Some(pause) = self.pause.checked_sub(1) {
            self.pause = pause;
            return false;
        }
        // The block's request is sent first.
        task::yield_now().await;
        let (file, start) = (Arc::clone(&self.file), Instant::now());
        let written = task::spawn_blocking(move || file.write_all_at(&[0], 0).and_then(|()| file.sync_data())).await;
        // A disk that cannot be written is reported when something has to be.
        if !matches!(written, Ok(Ok(()))) || start.elapsed() > LONGEST_WRITE {
            self.pause = PAUSE;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_disk_is_written_except_in_a_pause_and_no_file_remains() {
        let folder = tempfile::tempdir().unwrap();
        let mut warm_up = WarmUp::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        for (pause, writes) in [(0, true), (2, false), (1, false), (0, true)] {
            warm_up.pause = pause;
            assert_eq!(warm_up.write().await, writes);
            if !writes {
                assert_eq!(warm_up.pause, pause - 1);
            }
        }
        assert_eq!(warm_up.file.metadata().unwrap().len(), 1);
    }
}
