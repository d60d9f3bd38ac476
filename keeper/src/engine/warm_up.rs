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
/// How long after the answers a write may end. The transaction that it is to speed up is decided and signed in about this
/// time, and might wait for one that ends later.
const LATEST_END: Duration = Duration::from_micros(250);
/// Most blocks without a write after one that ended later, or failed; one after the first, and twice as many each time.
const MAX_PAUSE: u32 = 256;

/// A file beside the journal, in which nothing is kept: the journal's own would be in use when a transaction comes, and grow
/// by what it is woken with.
#[derive(Debug)]
pub(super) struct WarmUp {
    file: Arc<File>,
    /// Number of blocks without a write that are to come.
    pause: u32,
    /// Length of the next pause.
    next_pause: u32,
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
        Ok(Self { file: Arc::new(file), pause: 0, next_pause: 1 })
    }

    /// Writes to the disk, unless it was too slow for that lately. Returns when it was written.
    pub(super) async fn write(&mut self) -> Option<Instant> {
        if let Some(pause) = self.pause.checked_sub(1) {
            self.pause = pause;
            return None;
        }
        // The block's request is sent first.
        task::yield_now().await;
        let file = Arc::clone(&self.file);
        let written = task::spawn_blocking(move || file.write_all_at(&[0], 0).and_then(|()| file.sync_data())).await;
        // A disk that cannot be written is reported when something has to be.
        if !matches!(written, Ok(Ok(()))) {
            self.pause();
            return None;
        }
        Some(Instant::now())
    }

    /// Compares the end of a write with the time of the answers: a disk that is too slow for the node is left alone for a while.
    pub(super) fn compare(&mut self, written_at: Option<Instant>, answered_at: Instant) {
        match written_at {
            Some(written_at) if written_at > answered_at + LATEST_END => self.pause(),
            Some(_) => self.next_pause = 1,
            None => {}
        }
    }

    fn pause(&mut self) {
        self.pause = self.next_pause;
        self.next_pause = (self.next_pause * 2).min(MAX_PAUSE);
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
            assert_eq!(warm_up.write().await.is_some(), writes);
            if !writes {
                assert_eq!(warm_up.pause, pause - 1);
            }
        }
        assert_eq!(warm_up.file.metadata().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_disk_that_is_slower_than_the_node_is_left_alone_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let mut warm_up = WarmUp::open(folder.path()).unwrap();
        let answered_at = Instant::now();
        let late = Some(answered_at + LATEST_END + Duration::from_micros(1));
        for written_at in [None, Some(answered_at), Some(answered_at + LATEST_END)] {
            warm_up.compare(written_at, answered_at);
            assert_eq!(warm_up.pause, 0, "{written_at:?}");
        }
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
            warm_up.compare(late, answered_at);
            assert_eq!(warm_up.pause, pause);
        }
        assert_eq!(warm_up.write().await, None);
        warm_up.compare(Some(answered_at), answered_at);
        warm_up.compare(late, answered_at);
        assert_eq!(warm_up.pause, 1, "one that was in time ends that");
    }
}
