//! `journal.db` and its tables: the sender's entries, notes, alerts to deliver, and results. It holds what must not be lost, so
//! every write is safe on disk before it returns.

use std::{fs::File, io, path::Path, sync::Arc, time::Duration};

use alloy::primitives::{Address, Bytes};
use rusqlite::{Connection, OptionalExtension, types::Type};
use tracing::warn;

use super::{
    Identity, StoreError,
    database::{Database, FileKind, Match, with_suffix},
    folder::Folder,
    worker::Worker,
};
use crate::{
    safety::{SafetyRecord, SafetyStore, SafetyStoreError},
    sender::journal::{Journal, JournalEntry, JournalError, Lease, Recovered},
};

pub(super) const KIND: FileKind = FileKind {
    name: "journal.db",
    application_id: i32::from_be_bytes(*b"PLjr"),
    tables: "
        CREATE TABLE entries (id INTEGER PRIMARY KEY, signer TEXT NOT NULL, nonce INTEGER NOT NULL, state TEXT NOT NULL,
                              settled INTEGER NOT NULL, entry TEXT NOT NULL) STRICT;
        CREATE INDEX nonces ON entries (signer, nonce);
        CREATE INDEX unsettled ON entries (signer) WHERE NOT settled;
        CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE alerts (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, body TEXT NOT NULL) STRICT;
        CREATE TABLE results (intent INTEGER PRIMARY KEY, at INTEGER NOT NULL, result TEXT NOT NULL) STRICT;
    ",
    schema: 5,
    upgrades: &[UPGRADE_FROM_1, UPGRADE_FROM_2, UPGRADE_FROM_3, UPGRADE_FROM_4],
    synchronous: "FULL",
    cache_kib: 2 * 1_024,
    remedy: "put a backup of it in its place, or, when none of the keeper's transactions is pending any more, move it \
             away together with the files next to it whose names begin with its name, to begin a new one",
};

/// Renames keys and values in the JSON of entries. Apart from keys and names of variants it contains nothing but
/// numbers and hexadecimal strings, so that replacing text changes nothing else, and keeps numbers beyond 64 bits
/// exact.
const UPGRADE_FROM_1: &str = r#"
    UPDATE entries SET entry = replace(replace(replace(replace(replace(entry,
        '"turn":', '"replacement_index":'),
        '"urgency":"urgent"', '"priority":"high"'),
        '"urgency":"patient"', '"priority":"low"'),
        '"max_fee":', '"max_fee_per_gas":'),
        '"tip":', '"max_priority_fee_per_gas":');
"#;

/// Adds the fields that intents did not have: the scope follows from the purpose; nothing is known of the guard but that
/// the expected gain limited the fees; the profit's value at the time is not known.
const UPGRADE_FROM_2: &str = "
    UPDATE entries SET entry = json_set(entry,
        '$.intent.scope', json_object(
            'strategy', CASE WHEN json_type(entry, '$.intent.purpose.liquidate') IS NULL THEN 'harvest' ELSE 'liquidate' END,
            'market', coalesce(json_extract(entry, '$.intent.purpose.liquidate.market'),
                               json_extract(entry, '$.intent.purpose.harvest.pool'),
                               json_extract(entry, '$.intent.purpose.claim_own.pool'))),
        '$.intent.guard', 'none',
        '$.intent.profit', json('null'));
";

/// Alerts are queued by target, and no longer by kind.
const UPGRADE_FROM_3: &str = "ALTER TABLE alerts RENAME COLUMN kind TO target;";

/// Adds the results of mined transactions.
const UPGRADE_FROM_4: &str =
    "CREATE TABLE results (intent INTEGER PRIMARY KEY, at INTEGER NOT NULL, result TEXT NOT NULL) STRICT;";

/// Deletes entries that were settled a number of seconds before the newest change. What the keeper needs to continue is
/// kept: each signer's highest nonce, and the highest id.
const PRUNE: &str = "
    DELETE FROM entries WHERE settled
        AND json_extract(entry, '$.changed_at') + ?1 < (SELECT max(json_extract(entry, '$.changed_at')) FROM entries)
        AND nonce < (SELECT max(nonce) FROM entries AS other WHERE other.signer = entries.signer)
        AND id < (SELECT max(id) FROM entries)
";

/// Pages of the write-ahead log: more than the 1,000 after which SQLite overwrites it from the start.
const LOG_PAGES: u64 = 1_100;

/// Number of jobs after which the write-ahead log is moved into the file: long before it has the pages at which SQLite does so
/// within a commit.
const JOBS_PER_CHECKPOINT: u32 = 40;

/// Name of the note that holds the safety record.
const SAFETY_NOTE: &str = "safety";

/// What a job of the journal works on.
#[derive(Debug)]
pub(super) struct JournalFile {
    database: Database,
    /// Number of jobs since the write-ahead log was last moved into the file.
    jobs: u32,
    _folder: Arc<Folder>,
}

impl JournalFile {
    fn open(folder: &Arc<Folder>, identity: &Identity) -> Result<Self, StoreError> {
        let path = folder.file(KIND.name);
        let mut database = Database::open(&path, &KIND, identity, Match::Lending)?;
        if let Err(error) = reserve_log(&path, &mut database.connection) {
            warn!(%error, "the journal's log has no reserve: writes may take longer");
        }
        Ok(Self { database, jobs: 0, _folder: Arc::clone(folder) })
    }

    fn run<T>(&mut self, job: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.jobs = self.jobs.saturating_add(1);
        job(&mut self.database.connection).map_err(|error| self.database.error(error))
    }

    /// Whether the write-ahead log is to be moved into the file.
    const fn is_checkpoint_due(&self) -> bool {
        self.jobs >= JOBS_PER_CHECKPOINT
    }

    /// Moves the write-ahead log into the file when that is due and no other job waits. Within a commit, a broadcast would
    /// wait for it.
    fn after_job(&mut self, more_are_waiting: bool) {
        if more_are_waiting || !self.is_checkpoint_due() {
            return;
        }
        if let Err(error) = self.run(|connection| connection.query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))) {
            // Nothing is lost: the log is read besides the file, and a later commit moves it.
            warn!(%error, "the journal's log was not moved into its file");
        }
        self.jobs = 0;
    }
}

impl Worker<JournalFile> {
    /// Runs a job on the thread that owns the file, and waits for its result.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(move |file| file.run(job)).await
    }

    /// Runs a job on the calling thread: what waits for it waits for no other thread.
    fn run_here<T>(&self, job: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.here(|file| file.run(job), JournalFile::is_checkpoint_due)
    }
}

/// Opens the file, or creates it. Any file that is not this keeper's journal is refused and left as it is.
pub(super) fn open(folder: &Arc<Folder>, identity: &Identity) -> Result<Arc<Worker<JournalFile>>, StoreError> {
    let path = folder.file(KIND.name);
    let file = JournalFile::open(folder, identity)?;
    let worker = Worker::start(path.clone(), file, JournalFile::after_job).map_err(StoreError::io(&path))?;
    Ok(Arc::new(worker))
}

/// Gives the write-ahead log the size at which SQLite overwrites it from the start. A commit that overwrites a part
/// of it is safe on disk sooner than one that makes the file longer, and nothing is broadcast before.
fn reserve_log(path: &Path, connection: &mut Connection) -> Result<(), ReserveError> {
    let page_size: u64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    // What does not fit the cache is written to the log already, and means nothing after it is rolled back.
    let size = LOG_PAGES * page_size + u64::from(KIND.cache_kib.unsigned_abs()) * 1_024;
    let transaction = connection.transaction()?;
    transaction.execute_batch("CREATE TABLE reserve (bytes BLOB)")?;
    transaction.execute("INSERT INTO reserve VALUES (zeroblob(?1))", [size])?;
    transaction.rollback()?;
    File::open(with_suffix(path, "-wal"))?.sync_all()?;
    Ok(())
}

/// Why the log has no reserve.
#[derive(Debug, thiserror::Error)]
enum ReserveError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    File(#[from] io::Error),
}

/// Returns whether [`open`] would upgrade the file. Fails as it does.
pub(super) fn is_upgrade_due(folder: &Folder, identity: &Identity) -> Result<bool, StoreError> {
    Database::is_upgrade_due(&folder.file(KIND.name), &KIND, identity, Match::Lending)
}

/// Every transaction that was signed. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    file: Arc<Worker<JournalFile>>,
}

impl SqliteJournal {
    pub(super) const fn new(file: Arc<Worker<JournalFile>>) -> Self {
        Self { file }
    }

    /// Returns at most this many entries, the newest first. Those that are settled come without their bytes.
    pub async fn newest(&self, limit: u32) -> Result<Vec<JournalEntry>, StoreError> {
        self.file
            .run(move |connection| {
                let mut select = connection.prepare_cached("SELECT entry FROM entries ORDER BY id DESC LIMIT ?1")?;
                select.query_map([limit], read_entry)?.collect()
            })
            .await
    }

    /// Returns the number of entries that are not settled.
    pub async fn unsettled(&self) -> Result<u64, StoreError> {
        let count = "SELECT count(*) FROM entries WHERE NOT settled";
        self.file.run(move |connection| connection.query_row(count, [], |row| row.get(0))).await
    }

    /// Deletes entries that were settled this long before the newest change, by the chain's clock. Entries that are not
    /// settled, each signer's highest nonce and the highest id are kept whatever their age, because the keeper needs
    /// them to continue. Returns the number of deleted entries.
    pub async fn prune(&self, retention: Duration) -> Result<usize, StoreError> {
        self.file.run(move |connection| connection.execute(PRUNE, [retention.as_secs()])).await
    }
}

impl Journal for SqliteJournal {
    async fn recover(&self, signer: Address) -> Result<Recovered, JournalError> {
        let recovered = self.file.run(move |connection| {
            let signer = signer.to_string();
            let highest: Option<u64> =
                connection
                    .query_row("SELECT max(nonce) FROM entries WHERE signer = ?1", [&signer], |row| row.get(0))?;
            let mut select = connection.prepare("SELECT entry FROM entries WHERE signer = ?1 AND NOT settled")?;
            let unsettled = select.query_map([&signer], read_entry)?.collect::<rusqlite::Result<_>>()?;
            Ok(Recovered { next_nonce: highest.map(|nonce| nonce.saturating_add(1)), unsettled })
        });
        Ok(recovered.await?)
    }

    async fn next_id(&self) -> Result<u64, JournalError> {
        let highest = self.file.run(|connection| {
            connection.query_row("SELECT max(id) FROM entries", [], |row| row.get::<_, Option<u64>>(0))
        });
        Ok(highest.await?.map_or(0, |id| id.saturating_add(1)))
    }

    async fn record(&self, _: Lease, entries: Vec<JournalEntry>) -> Result<(), JournalError> {
        Ok(self.file.run_here(|connection| {
            let transaction = connection.transaction()?;
            for entry in entries {
                write_entry(&transaction, entry)?;
            }
            transaction.commit()
        })?)
    }
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        Self::Failed { problem: error.to_string() }
    }
}

fn write_entry(connection: &Connection, mut entry: JournalEntry) -> rusqlite::Result<()> {
    if entry.state.is_settled() {
        // The bytes are not broadcast again, and they are most of an entry's size.
        for attempt in &mut entry.attempts {
            attempt.raw = Bytes::new();
        }
    }
    let text = serde_json::to_string(&entry).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let mut upsert = connection.prepare_cached(
        "INSERT OR REPLACE INTO entries (id, signer, nonce, state, settled, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (state, settled) = (entry.state.name(), entry.state.is_settled());
    upsert.execute((entry.id, entry.signer.to_string(), entry.nonce, state, settled, text)).map(drop)
}

fn read_entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<JournalEntry> {
    let text: String = row.get(0)?;
    serde_json::from_str(&text).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
}

/// Small texts by name. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Notes {
    file: Arc<Worker<JournalFile>>,
}

impl Notes {
    pub(super) const fn new(file: Arc<Worker<JournalFile>>) -> Self {
        Self { file }
    }

    /// Returns the text that was written last under this name.
    pub async fn read(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        self.file
            .run(move |connection| {
                let mut select = connection.prepare_cached("SELECT text FROM notes WHERE name = ?1")?;
                select.query_row([name], |row| row.get(0)).optional()
            })
            .await
    }

    /// Writes a text under this name, in place of the last one. It is safe on disk when this returns.
    pub async fn write(&self, name: &'static str, text: String) -> Result<(), StoreError> {
        self.file
            .run(move |connection| {
                let mut upsert =
                    connection.prepare_cached("INSERT OR REPLACE INTO notes (name, text) VALUES (?1, ?2)")?;
                upsert.execute((name, text)).map(drop)
            })
            .await
    }
}

impl SafetyStore for Notes {
    async fn read(&self) -> Result<Option<SafetyRecord>, SafetyStoreError> {
        let text = Self::read(self, SAFETY_NOTE).await?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    async fn write(&self, record: SafetyRecord) -> Result<(), SafetyStoreError> {
        Ok(Self::write(self, SAFETY_NOTE, serde_json::to_string(&record)?).await?)
    }
}

impl From<StoreError> for SafetyStoreError {
    fn from(error: StoreError) -> Self {
        Self { problem: error.to_string() }
    }
}

impl From<serde_json::Error> for SafetyStoreError {
    fn from(error: serde_json::Error) -> Self {
        Self { problem: error.to_string() }
    }
}

/// An alert that waits to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Number of the alert. It is never given to another alert of this folder, so that its receiver can tell when it is
    /// delivered twice.
    pub id: i64,
    /// Name of the target that it is for.
    pub target: String,
    /// Message to deliver.
    pub body: String,
}

/// Alerts in the order in which they are delivered. Each is kept until it was, so that it arrives at least once.
#[derive(Debug, Clone)]
pub struct AlertQueue {
    file: Arc<Worker<JournalFile>>,
}

impl AlertQueue {
    pub(super) const fn new(file: Arc<Worker<JournalFile>>) -> Self {
        Self { file }
    }

    /// Keeps an alert for a target until it is delivered. It is safe on disk when this returns its number.
    pub async fn enqueue(&self, target: &str, body: &str) -> Result<i64, StoreError> {
        let alert = (target.to_owned(), body.to_owned());
        self.file
            .run(move |connection| {
                connection.prepare_cached("INSERT INTO alerts (target, body) VALUES (?1, ?2)")?.insert(alert)
            })
            .await
    }

    /// Returns at most this many alerts that are not delivered, the oldest first.
    pub async fn pending(&self, limit: u32) -> Result<Vec<Alert>, StoreError> {
        self.file
            .run(move |connection| {
                let mut select =
                    connection.prepare_cached("SELECT id, target, body FROM alerts ORDER BY id LIMIT ?1")?;
                let alerts = select
                    .query_map([limit], |row| Ok(Alert { id: row.get(0)?, target: row.get(1)?, body: row.get(2)? }))?;
                alerts.collect()
            })
            .await
    }

    /// Deletes every alert for any other than these targets: nobody would ever deliver it.
    pub async fn retain(&self, targets: Vec<String>) -> Result<(), StoreError> {
        self.file
            .run(move |connection| {
                let targets = serde_json::Value::from(targets).to_string();
                let delete = "DELETE FROM alerts WHERE target NOT IN (SELECT value FROM json_each(?1))";
                connection.execute(delete, [targets]).map(drop)
            })
            .await
    }

    /// Deletes an alert that was delivered. It is no error if there is none of this number.
    pub async fn delivered(&self, id: i64) -> Result<(), StoreError> {
        self.file
            .run(move |connection| {
                connection.prepare_cached("DELETE FROM alerts WHERE id = ?1")?.execute([id]).map(drop)
            })
            .await
    }
}

#[cfg(test)]
mod tests;
