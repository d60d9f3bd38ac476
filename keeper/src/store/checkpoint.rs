//! `book.db`: the book as it was at least 64 blocks ago, from which a keeper starts in seconds.
//!
//! Every block gives the rows that it changed, as they are after it. They wait in memory until no reorganisation
//! reaches them, and then go into the file together with the block that they belong to: whenever the process dies, the
//! file is the book at the end of one block. It can be thrown away, and is rebuilt from the chain.
//!
//! Another protocol that is followed has such a file of its own, named by the protocol and its main contract.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use alloy::primitives::B256;
use plimsoll_protocols::Deployment;
use rusqlite::{Connection, OptionalExtension};
use tracing::warn;

use super::{
    Identity, StoreError,
    database::{self, Database, FileKind, Match, REWARDS},
    folder::Folder,
    worker::Worker,
};
use crate::book::MAX_REORG_DEPTH;

/// A row of the book, as key and value.
pub type Image = (Vec<u8>, Vec<u8>);

/// The block that a checkpoint is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointTip {
    /// Number of the block.
    pub number: u64,
    /// Hash of the block, by which a reorganisation is detected at the next start.
    pub hash: B256,
    /// Timestamp of the block, in seconds.
    pub timestamp: u64,
}

/// Least number of due rows that are written even while more blocks wait. With fewer at a time, the first reading of a
/// busy chain would write the same pages again for every block.
const BATCH_ROWS: usize = 20_000;

/// Number of due rows for each page of the file that are written even while more blocks wait. Accounts are as good as
/// random, so that a batch changes about as many pages as it has rows, up to all of them: batches that grow with the file
/// keep the pages that are written for a row from growing with it.
const BATCH_ROWS_PER_PAGE: usize = 4;

const TABLES: &str = "
    CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE tip (only INTEGER PRIMARY KEY CHECK (only = 0), number INTEGER NOT NULL, hash BLOB NOT NULL,
                      timestamp INTEGER NOT NULL) STRICT;
";

/// File of the book's checkpoint.
pub(super) const KIND: FileKind = FileKind {
    name: "book.db",
    application_id: i32::from_be_bytes(*b"PLbk"),
    tables: TABLES,
    // Version of the tables, and of the bytes of the book's rows.
    schema: 2,
    // Since version 2 a row says which markets the others are of; without it they are of all.
    upgrades: &[""],
    synchronous: "NORMAL",
    cache_kib: 16 * 1_024,
    remedy: "remove it, and the book is read from the chain again",
};

/// File of another protocol's checkpoint.
pub(super) static PROTOCOL: FileKind = FileKind {
    name: "a protocol's checkpoint",
    application_id: i32::from_be_bytes(*b"PLpr"),
    tables: TABLES,
    // Version of the bytes of every protocol's rows, too.
    schema: 1,
    upgrades: &[],
    synchronous: "NORMAL",
    cache_kib: 16 * 1_024,
    remedy: "remove it, and the protocol's logs are read again",
};

/// Handle of the checkpoint, for the one task that owns the book.
#[derive(Debug)]
pub struct Checkpoint {
    worker: Worker<Writer>,
    failure: Arc<Failure>,
}

/// The first write that failed. Nothing is written after it, and the file stays as it was.
type Failure = OnceLock<Arc<StoreError>>;

impl Checkpoint {
    /// Opens the file, or creates it. One that is damaged, too old or of other staking programmes is set aside for a
    /// new one; one of another chain or another lending core is refused.
    pub(super) fn open(folder: &Arc<Folder>, identity: &Identity) -> Result<Self, StoreError> {
        Self::open_file(folder, folder.file(KIND.name), &KIND, identity)
    }

    /// Opens the checkpoint of another protocol by the chain in this identity, or creates it, as [`Self::open`] does.
    pub(super) fn of_protocol(
        folder: &Arc<Folder>,
        identity: &Identity,
        deployment: &Deployment,
    ) -> Result<Self, StoreError> {
        let path = folder.file(&protocol_file(deployment));
        Self::open_file(folder, path, &PROTOCOL, &identity.of_protocol(deployment))
    }

    fn open_file(
        folder: &Arc<Folder>,
        path: PathBuf,
        kind: &'static FileKind,
        identity: &Identity,
    ) -> Result<Self, StoreError> {
        let open = || Database::open(&path, kind, identity, Match::Deployment);
        let database = open().or_else(|error| {
            if !can_be_rebuilt(&error) {
                return Err(error);
            }
            log_rebuild(&path, &error);
            database::set_aside(&path)?;
            open()
        })?;
        let failure = Arc::new(Failure::new());
        let pending = PendingBlocks::above(tip(&database.connection).map_err(|error| database.error(error))?);
        let writer = Writer {
            database,
            pending,
            batch_rows: BATCH_ROWS,
            identity: *identity,
            failure: Arc::clone(&failure),
            _folder: Arc::clone(folder),
        };
        let worker = Worker::start(path.clone(), writer, Writer::after_job).map_err(StoreError::io(&path))?;
        Ok(Self { worker, failure })
    }

    /// Reads the checkpoint, if there is one. `restore` gets the block and all rows, by key, on the thread that owns
    /// the file, so that they need not be in memory at once. A file that turns out to be damaged is set aside, and
    /// `None` is returned.
    pub async fn load<T: Send + 'static>(
        &self,
        restore: impl FnOnce(CheckpointTip, &mut dyn Iterator<Item = Image>) -> T + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        self.ask(|writer| writer.load(restore)).await
    }

    /// Takes the rows that a block changed, as they are after it. Blocks that changed nothing may be left out, or
    /// advance the checkpoint without rows. Returns when that is queued, not when it is written. Fails if an earlier
    /// write failed; the checkpoint then stays where it is.
    pub async fn record(&self, tip: CheckpointTip, images: Vec<Image>) -> Result<(), StoreError> {
        self.tell(move |writer| writer.pending.record(tip, images)).await
    }

    /// Forgets the blocks after this one. Fails if the file may contain them; the caller then has to
    /// [`clear`](Self::clear) it.
    pub async fn revert_to(&self, block: u64) -> Result<(), StoreError> {
        self.ask(move |writer| writer.pending.revert_to(block)).await
    }

    /// Empties the checkpoint.
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.ask(Writer::clear).await
    }

    /// Waits until every block that is deep enough is written. Later blocks are not, and are read from the chain again.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.ask(|writer| {
            writer.try_to(Writer::write_due);
            Ok(())
        })
        .await
    }

    async fn tell(
        &self,
        job: impl FnOnce(&mut Writer) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.ensure_not_stopped()?;
        self.worker.tell(move |writer| writer.try_to(job)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ensure_not_stopped()?;
        let answer = self.worker.ask(job).await;
        // A job that was queued before may have failed in the meantime, and then the answer means nothing.
        self.ensure_not_stopped()?;
        answer
    }

    fn ensure_not_stopped(&self) -> Result<(), StoreError> {
        match self.failure.get() {
            Some(cause) => {
                Err(StoreError::Stopped { path: self.worker.path().to_path_buf(), cause: Arc::clone(cause) })
            }
            None => Ok(()),
        }
    }
}

/// What the checkpoint's thread owns.
#[derive(Debug)]
struct Writer {
    database: Database,
    pending: PendingBlocks,
    /// Number of due rows that are written even while more blocks wait.
    batch_rows: usize,
    identity: Identity,
    failure: Arc<Failure>,
    _folder: Arc<Folder>,
}

impl Writer {
    /// Called after each request: writes the rows that are due, unless they are few and more requests wait.
    fn after_job(&mut self, more_are_waiting: bool) {
        if !more_are_waiting || self.pending.due.len() >= self.batch_rows {
            self.try_to(Self::write_due);
        }
    }

    /// Runs a job whose failure stops the checkpoint, unless it has stopped.
    fn try_to(&mut self, job: impl FnOnce(&mut Self) -> Result<(), StoreError>) {
        if self.failure.get().is_none()
            && let Err(error) = job(self)
        {
            let _ = self.failure.set(Arc::new(error));
        }
    }

    fn write_due(&mut self) -> Result<(), StoreError> {
        let Some((tip, rows)) = self.pending.take_due() else { return Ok(()) };
        let pages = write(&mut self.database.connection, tip, rows).map_err(|error| self.database.error(error))?;
        self.batch_rows = pages.saturating_mul(BATCH_ROWS_PER_PAGE).max(BATCH_ROWS);
        Ok(())
    }

    fn load<T>(
        &mut self,
        restore: impl FnOnce(CheckpointTip, &mut dyn Iterator<Item = Image>) -> T,
    ) -> Result<Option<T>, StoreError> {
        self.try_to(Self::write_due);
        let tip = tip(&self.database.connection).map_err(|error| self.database.error(error))?;
        let Some(tip) = tip else { return Ok(None) };
        let read = read(&self.database.connection, |images| restore(tip, images));
        match read.map_err(|error| self.database.error(error)) {
            Err(error) if can_be_rebuilt(&error) => {
                log_rebuild(self.database.path(), &error);
                self.clear()?;
                Ok(None)
            }
            restored => restored.map(Some),
        }
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.database.renew(&self.identity)?;
        self.pending = PendingBlocks::default();
        Ok(())
    }
}

/// The last version of every row, in the order of the file.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Blocks that are not in the file yet, in order: first those that are deep enough to be written, then those that a
/// reorganisation may still remove.
#[derive(Debug, Default)]
struct PendingBlocks {
    /// Blocks that are not deep enough.
    blocks: VecDeque<(CheckpointTip, Vec<Image>)>,
    /// Rows of the blocks that are deep enough.
    due: Rows,
    /// The last block that is deep enough, or the one in the file.
    settled: Option<CheckpointTip>,
    /// Whether `settled` is not in the file yet.
    is_unwritten: bool,
    /// Highest block that was ever recorded.
    head: u64,
}

impl PendingBlocks {
    /// Starts above a file that contains this block.
    fn above(written: Option<CheckpointTip>) -> Self {
        Self { settled: written, ..Self::default() }
    }

    /// Adds the rows that a block changed. Fails if the block does not follow the last one.
    fn record(&mut self, tip: CheckpointTip, images: Vec<Image>) -> Result<(), StoreError> {
        let last = self.blocks.back().map(|(tip, _)| *tip).or(self.settled);
        if let Some(last) = last.filter(|last| last.number >= tip.number) {
            return Err(StoreError::NotNext { block: tip.number, last: last.number });
        }
        self.blocks.push_back((tip, images));
        self.head = self.head.max(tip.number);
        while self.blocks.front().is_some_and(|(tip, _)| tip.number.saturating_add(MAX_REORG_DEPTH) <= self.head)
            && let Some((tip, images)) = self.blocks.pop_front()
        {
            self.due.extend(images);
            self.settled = Some(tip);
            self.is_unwritten = true;
        }
        Ok(())
    }

    /// Forgets the blocks after this one. Fails if one of them is in the file, or deep enough to be.
    fn revert_to(&mut self, block: u64) -> Result<(), StoreError> {
        if let Some(settled) = self.settled.filter(|settled| settled.number > block) {
            return Err(StoreError::TooDeep { wanted: block, written: settled.number });
        }
        let kept = self.blocks.partition_point(|(tip, _)| tip.number <= block);
        self.blocks.truncate(kept);
        Ok(())
    }

    /// Takes what is to be written together: the last block that is deep enough, and every row that changed up to it.
    fn take_due(&mut self) -> Option<(CheckpointTip, Rows)> {
        if !mem::take(&mut self.is_unwritten) {
            return None;
        }
        self.settled.map(|tip| (tip, mem::take(&mut self.due)))
    }
}

/// Returns the name of the file of another protocol's checkpoint.
pub(super) fn protocol_file(Deployment { protocol, address, .. }: &Deployment) -> String {
    format!("{protocol}-{address}.db")
}

/// Returns whether [`Checkpoint::open`] would upgrade the file or set it aside. Fails as it does.
pub(super) fn is_renewal_due(folder: &Folder, identity: &Identity) -> Result<bool, StoreError> {
    is_file_renewal_due(&folder.file(KIND.name), &KIND, identity)
}

/// Returns whether [`Checkpoint::of_protocol`] would upgrade a protocol's file or set it aside. Fails as it does.
pub(super) fn is_protocol_renewal_due(
    folder: &Folder,
    identity: &Identity,
    deployment: &Deployment,
) -> Result<bool, StoreError> {
    is_file_renewal_due(&folder.file(&protocol_file(deployment)), &PROTOCOL, &identity.of_protocol(deployment))
}

fn is_file_renewal_due(path: &Path, kind: &'static FileKind, identity: &Identity) -> Result<bool, StoreError> {
    match Database::is_upgrade_due(path, kind, identity, Match::Deployment) {
        Err(error) if can_be_rebuilt(&error) => Ok(true),
        answer => answer,
    }
}

/// Whether the file can be set aside for a new one: as far as can be known it is of this chain and this lending core.
fn can_be_rebuilt(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged { .. } | StoreError::Orphan { .. } => true,
        StoreError::Schema { has, knows, .. } => has < knows,
        StoreError::Foreign { what, .. } => *what == REWARDS,
        _ => false,
    }
}

fn log_rebuild(path: &Path, error: &StoreError) {
    warn!(%error, kept_as = %database::with_suffix(path, ".old").display(), "checkpoint discarded");
}

/// Reads the block that a checkpoint is of; `None` if it is empty.
pub(super) fn tip(connection: &Connection) -> rusqlite::Result<Option<CheckpointTip>> {
    let read = connection.query_row("SELECT number, hash, timestamp FROM tip", [], |row| {
        Ok(CheckpointTip { number: row.get(0)?, hash: B256::from(row.get::<_, [u8; 32]>(1)?), timestamp: row.get(2)? })
    });
    read.optional()
}

/// Writes rows and the block that they are of together. Returns the number of pages of the file.
fn write(
    connection: &mut Connection,
    tip: CheckpointTip,
    rows: impl IntoIterator<Item = Image>,
) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    {
        let mut upsert = transaction.prepare_cached(
            "INSERT INTO rows (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )?;
        for row in rows {
            upsert.execute(row)?;
        }
        let mut set_tip = transaction
            .prepare_cached("INSERT OR REPLACE INTO tip (only, number, hash, timestamp) VALUES (0, ?1, ?2, ?3)")?;
        set_tip.execute((tip.number, tip.hash.0, tip.timestamp))?;
    }
    transaction.commit()?;
    connection.query_row("PRAGMA page_count", [], |row| row.get(0))
}

/// Passes all rows to `restore`. If one cannot be read, its result is dropped.
pub(super) fn read<T>(
    connection: &Connection,
    restore: impl FnOnce(&mut dyn Iterator<Item = Image>) -> T,
) -> rusqlite::Result<T> {
    let mut statement = connection.prepare("SELECT key, value FROM rows ORDER BY key")?;
    let rows = statement.query_map([], |row| <Image>::try_from(row))?;
    let mut failure = None;
    let mut images = rows.map_while(|row| row.map_err(|error| failure = Some(error)).ok()).fuse();
    let restored = restore(&mut images);
    failure.map_or(Ok(restored), Err)
}

#[cfg(test)]
mod tests;
