//! `book.db`: the book as it was at least 64 blocks ago, from which a keeper starts in seconds.
//!
//! Every block gives the rows that it changed, as they are after it. They wait in memory until no reorganisation can
//! take them back, and then go into the file together with the block they are of: whenever the keeper dies, the file is
//! the book at the end of one block. It can be thrown away, and is made again from the chain.

use std::sync::{Arc, OnceLock};

use alloy::primitives::B256;
use rusqlite::{Connection, OptionalExtension};
use tracing::warn;

use super::{
    Identity, StoreError,
    database::{self, Database, Kind, Match},
    folder::Folder,
    identity::REWARDS,
    pending::Pending,
    worker::Worker,
};

/// A row of the book: its key, and what it holds.
pub type Image = (Vec<u8>, Vec<u8>);

/// The block that a checkpoint is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointTip {
    /// Its height.
    pub number: u64,
    /// Its hash, by which a reorganisation is found at the start.
    pub hash: B256,
    /// Its second.
    pub timestamp: u64,
}

/// So many rows are written at once while more blocks are waiting; with fewer, a busy chain's first reading would write
/// the same pages again for every block.
const BATCH_ROWS: usize = 20_000;

const TABLES: &str = "
    CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE tip (only INTEGER PRIMARY KEY CHECK (only = 0), number INTEGER NOT NULL, hash BLOB NOT NULL,
                      timestamp INTEGER NOT NULL) STRICT;
";

const KIND: Kind = Kind {
    name: "book.db",
    application_id: i32::from_be_bytes(*b"PLbk"),
    // Of the tables, and of the bytes that a row of the book is.
    schema: 1,
    tables: TABLES,
    synchronous: "NORMAL",
    cache_kib: 16 * 1_024,
    remedy: "remove it, and the book is read from the chain again",
};

/// The way to the checkpoint, for the one task that owns the book.
#[derive(Debug)]
pub struct Checkpoint {
    worker: Worker<Writer>,
    failure: Arc<Failure>,
}

/// The first write that failed. Nothing is written after it, and the file stays what it was.
type Failure = OnceLock<Arc<StoreError>>;

impl Checkpoint {
    /// Opens the file, or makes it. One that is damaged or of an older version is put aside for a new one, and one of
    /// other staking programmes, too; one of another chain or another lending core is refused.
    pub(super) fn open(folder: &Arc<Folder>, identity: &Identity) -> Result<Self, StoreError> {
        let path = folder.file(KIND.name);
        let open = || Database::open(&path, &KIND, identity, Match::Deployment);
        let database = open().or_else(|error| {
            if !can_be_made_again(&error) {
                return Err(error);
            }
            say_that_it_is_made_again(&error);
            database::set_aside(&path)?;
            open()
        })?;
        let failure = Arc::new(Failure::new());
        let pending = Pending::above(tip(&database)?);
        let writer = Writer {
            database,
            pending,
            identity: *identity,
            failure: Arc::clone(&failure),
            _folder: Arc::clone(folder),
        };
        let worker = Worker::start(path.clone(), writer, Writer::settle).map_err(StoreError::io(&path))?;
        Ok(Self { worker, failure })
    }

    /// Reads the checkpoint, if there is one: `restore` makes something of the block and all rows, by key, on the
    /// thread that owns the file, so that they need not be in memory all at once. A file that turns out to be damaged
    /// is put aside, and then there is no checkpoint.
    pub async fn load<T: Send + 'static>(
        &self,
        restore: impl FnOnce(CheckpointTip, &mut dyn Iterator<Item = Image>) -> T + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        self.ask(|writer| writer.load(restore)).await
    }

    /// Takes the rows that a block changed, as they are after it. Blocks that changed nothing may be left out, or move
    /// the checkpoint on without rows. Returns when that is queued, not when it is written. Fails when an earlier write
    /// failed; the checkpoint then stays where it is.
    pub async fn record(&self, tip: CheckpointTip, images: Vec<Image>) -> Result<(), StoreError> {
        self.tell(move |writer| writer.pending.record(tip, images)).await
    }

    /// Forgets the blocks after this one. Fails where the file may hold them; then [`clear`](Self::clear) it.
    pub async fn undo_to(&self, block: u64) -> Result<(), StoreError> {
        self.ask(move |writer| writer.pending.undo_to(block)).await
    }

    /// Begins anew, with nothing.
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.ask(Writer::clear).await
    }

    /// Waits until all that is deep enough is written. Younger blocks are not, and are read from the chain again.
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
        self.unless_stopped()?;
        self.worker.tell(move |writer| writer.try_to(job)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.unless_stopped()?;
        let answer = self.worker.ask(job).await;
        // What was queued before may have failed in the meantime, and then the answer is of something else.
        self.unless_stopped()?;
        answer
    }

    fn unless_stopped(&self) -> Result<(), StoreError> {
        match self.failure.get() {
            Some(cause) => {
                Err(StoreError::Stopped { path: self.worker.path().to_path_buf(), cause: Arc::clone(cause) })
            }
            None => Ok(()),
        }
    }
}

/// What the thread owns.
#[derive(Debug)]
struct Writer {
    database: Database,
    pending: Pending,
    identity: Identity,
    failure: Arc<Failure>,
    _folder: Arc<Folder>,
}

impl Writer {
    /// Called after each request: writes what is due, with what the waiting ones will add where that is little.
    fn settle(&mut self, more_are_waiting: bool) {
        if !more_are_waiting || self.pending.due_rows() >= BATCH_ROWS {
            self.try_to(Self::write_due);
        }
    }

    /// Does something that nobody waits for, unless an earlier one failed.
    fn try_to(&mut self, job: impl FnOnce(&mut Self) -> Result<(), StoreError>) {
        if self.failure.get().is_none()
            && let Err(error) = job(self)
        {
            let _ = self.failure.set(Arc::new(error));
        }
    }

    fn write_due(&mut self) -> Result<(), StoreError> {
        let Some((tip, rows)) = self.pending.take_due() else { return Ok(()) };
        write(&mut self.database.connection, tip, rows).map_err(|error| self.database.error(error))
    }

    fn load<T>(
        &mut self,
        restore: impl FnOnce(CheckpointTip, &mut dyn Iterator<Item = Image>) -> T,
    ) -> Result<Option<T>, StoreError> {
        self.try_to(Self::write_due);
        let Some(tip) = tip(&self.database)? else { return Ok(None) };
        let read = read(&self.database.connection, |images| restore(tip, images));
        match read.map_err(|error| self.database.error(error)) {
            Err(error) if can_be_made_again(&error) => {
                say_that_it_is_made_again(&error);
                self.clear()?;
                Ok(None)
            }
            restored => restored.map(Some),
        }
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.database.renew(&self.identity)?;
        self.pending = Pending::default();
        Ok(())
    }
}

/// Whether the file can be put aside for a new one: it is of this chain and this lending core, as far as can be known.
fn can_be_made_again(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged { .. } | StoreError::Orphan { .. } => true,
        StoreError::Schema { has, knows, .. } => has < knows,
        StoreError::Foreign { what, .. } => *what == REWARDS,
        _ => false,
    }
}

fn say_that_it_is_made_again(error: &StoreError) {
    warn!("the file is put aside as {}.old, and the book is read from the chain again, because {error}", KIND.name);
}

fn tip(database: &Database) -> Result<Option<CheckpointTip>, StoreError> {
    let read = database.connection.query_row("SELECT number, hash, timestamp FROM tip", [], |row| {
        Ok(CheckpointTip { number: row.get(0)?, hash: B256::from(row.get::<_, [u8; 32]>(1)?), timestamp: row.get(2)? })
    });
    read.optional().map_err(|error| database.error(error))
}

fn write(
    connection: &mut Connection,
    tip: CheckpointTip,
    rows: impl IntoIterator<Item = Image>,
) -> rusqlite::Result<()> {
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
    transaction.commit()
}

/// All rows, for `restore`. Where one cannot be read, what was made of those before it is dropped.
fn read<T>(connection: &Connection, restore: impl FnOnce(&mut dyn Iterator<Item = Image>) -> T) -> rusqlite::Result<T> {
    let mut statement = connection.prepare("SELECT key, value FROM rows ORDER BY key")?;
    let rows = statement.query_map([], |row| <Image>::try_from(row))?;
    let mut failure = None;
    let mut images = rows.map_while(|row| row.map_err(|error| failure = Some(error)).ok()).fuse();
    let restored = restore(&mut images);
    failure.map_or(Ok(restored), Err)
}

#[cfg(test)]
mod tests;
