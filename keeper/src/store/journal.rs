//! `journal.db`: what must not be lost. Every write is safe on disk before it returns.

use std::sync::Arc;

use rusqlite::Connection;

use super::{
    Identity, StoreError,
    database::{Database, Kind, Match},
    folder::Folder,
    worker::Worker,
};

const TABLES: &str = "
    CREATE TABLE entries (id INTEGER PRIMARY KEY, signer TEXT NOT NULL, nonce INTEGER NOT NULL, state TEXT NOT NULL,
                          settled INTEGER NOT NULL, entry TEXT NOT NULL) STRICT;
    CREATE INDEX nonces ON entries (signer, nonce);
    CREATE INDEX unsettled ON entries (signer) WHERE NOT settled;
    CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE alerts (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body TEXT NOT NULL) STRICT;
";

const KIND: Kind = Kind {
    name: "journal.db",
    application_id: i32::from_be_bytes(*b"PLjr"),
    schema: 1,
    tables: TABLES,
    synchronous: "FULL",
    cache_kib: 2 * 1_024,
    remedy: "put a backup of it in its place, or, when none of the keeper's transactions is on its way any more, \
             move it away together with the files beside it whose names begin with its name, to begin a new one",
};

/// What the journal's thread owns.
#[derive(Debug)]
pub(super) struct Journal {
    database: Database,
    _folder: Arc<Folder>,
}

impl Journal {
    /// Asks SQLite for something.
    pub(super) fn run<T>(&mut self, job: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        job(&mut self.database.connection).map_err(|error| self.database.error(error))
    }
}

/// Opens the file, or makes it. Any file that is not this keeper's journal is refused and left as it is.
pub(super) fn open(folder: &Arc<Folder>, identity: &Identity) -> Result<Arc<Worker<Journal>>, StoreError> {
    let path = folder.file(KIND.name);
    let database = Database::open(&path, &KIND, identity, Match::Lending)?;
    let journal = Journal { database, _folder: Arc::clone(folder) };
    let worker = Worker::start(path.clone(), journal, |_, _| {}).map_err(StoreError::io(&path))?;
    Ok(Arc::new(worker))
}

#[cfg(test)]
mod tests;
