//! One file of the store: made whole or not at all, and opened only when it is this keeper's.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, types::FromSql};

use super::{Identity, StoreError, identity::REWARDS};

/// How long to wait for somebody who looks into the file with another program.
const BUSY: Duration = Duration::from_secs(5);
/// A file, and what SQLite puts beside it while it is open, which must never meet another file of the same name.
const FILES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// What kind of file it is.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its name in the folder.
    pub(super) name: &'static str,
    /// SQLite's mark of the program that a file belongs to.
    pub(super) application_id: i32,
    /// The version of its tables.
    pub(super) schema: i32,
    /// Its tables.
    pub(super) tables: &'static str,
    /// `FULL` makes every commit last through a loss of power; `NORMAL` may lose the last ones, never half of one.
    pub(super) synchronous: &'static str,
    /// How much of it is kept in memory, in KiB.
    pub(super) cache_kib: i32,
    /// What to do when it is damaged.
    pub(super) remedy: &'static str,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    kind: &'static Kind,
    /// The way to SQLite.
    pub(super) connection: Connection,
}

/// Which words of the identity must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// All.
    Deployment,
    /// All but the staking programmes.
    Lending,
}

impl Database {
    /// Opens the file, or makes it where there is none. Fails where it is damaged, of another version, or not this
    /// keeper's.
    pub(super) fn open(
        path: &Path,
        kind: &'static Kind,
        identity: &Identity,
        matching: Match,
    ) -> Result<Self, StoreError> {
        if !path.try_exists().map_err(StoreError::io(path))? {
            create(path, kind, identity)?;
        }
        let database = Self { path: path.to_path_buf(), kind, connection: connect(path, kind)? };
        database.examine(identity, matching)?;
        Ok(database)
    }

    /// Puts the file out of the way, under the same name with `.old`, and begins a new one.
    pub(super) fn renew(&mut self, identity: &Identity) -> Result<(), StoreError> {
        // In the meantime it is connected to nothing.
        let nowhere = Connection::open_in_memory().map_err(|error| self.error(error))?;
        drop(std::mem::replace(&mut self.connection, nowhere));
        set_aside(&self.path)?;
        create(&self.path, self.kind, identity)?;
        self.connection = connect(&self.path, self.kind)?;
        Ok(())
    }

    /// What an error of SQLite's means for this file.
    pub(super) fn error(&self, source: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, self.kind.remedy, source)
    }

    fn examine(&self, identity: &Identity, matching: Match) -> Result<(), StoreError> {
        let path = || self.path.clone();
        if fs::metadata(&self.path).map_err(StoreError::io(&self.path))?.len() == 0 {
            return Err(self.damaged("it is empty".to_owned()));
        }
        if self.pragma::<i32>("application_id")? != self.kind.application_id {
            return Err(StoreError::NotOurs { path: path() });
        }
        let (has, knows) = (self.pragma("user_version")?, self.kind.schema);
        if has != knows {
            return Err(StoreError::Schema { path: path(), has, knows });
        }
        let said: String = self.pragma("quick_check(1)")?;
        if said != "ok" {
            return Err(self.damaged(said));
        }
        for (what, wants) in identity.words() {
            let read =
                self.connection.query_row("SELECT value FROM identity WHERE name = ?1", [what], |row| row.get(0));
            let has: String = read.map_err(|error| self.error(error))?;
            if has != wants && !(what == REWARDS && matching == Match::Lending) {
                return Err(StoreError::Foreign { path: path(), what, has, wants });
            }
        }
        Ok(())
    }

    fn pragma<T: FromSql>(&self, what: &str) -> Result<T, StoreError> {
        self.connection.query_row(&format!("PRAGMA {what}"), [], |row| row.get(0)).map_err(|error| self.error(error))
    }

    fn damaged(&self, cause: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), cause, remedy: self.kind.remedy }
    }
}

/// Puts a file out of the way, under the same name with `.old`.
pub(super) fn set_aside(path: &Path) -> Result<(), StoreError> {
    let old = beside(path, ".old");
    // Its log goes with it: what was not yet in the file is in there.
    for suffix in FILES {
        let (from, to) = (beside(path, suffix), beside(&old, suffix));
        remove(&to)?;
        if from.try_exists().map_err(StoreError::io(&from))? {
            fs::rename(&from, &to).map_err(StoreError::io(&from))?;
        }
    }
    Ok(())
}

/// Makes a new file, which appears under its name when it is complete.
fn create(path: &Path, kind: &Kind, identity: &Identity) -> Result<(), StoreError> {
    for suffix in FILES {
        let side = beside(path, suffix);
        if side.try_exists().map_err(StoreError::io(&side))? {
            return Err(StoreError::Orphan { path: side });
        }
    }
    let new = beside(path, ".new");
    for suffix in FILES {
        remove(&beside(&new, suffix))?;
    }
    fill(&new, kind, identity).map_err(|error| StoreError::sqlite(&new, kind.remedy, error))?;
    fs::rename(&new, path).map_err(StoreError::io(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))
}

fn fill(path: &Path, kind: &Kind, identity: &Identity) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = connection.transaction()?;
    transaction.pragma_update(None, "application_id", kind.application_id)?;
    transaction.pragma_update(None, "user_version", kind.schema)?;
    transaction.execute_batch("CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")?;
    for word in identity.words() {
        transaction.execute("INSERT INTO identity (name, value) VALUES (?1, ?2)", word)?;
    }
    transaction.execute_batch(kind.tables)?;
    transaction.commit()?;
    // Closing brings everything from the log into the file.
    connection.close().map_err(|(_, error)| error)
}

fn connect(path: &Path, kind: &Kind) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "synchronous", kind.synchronous)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "cache_size", -kind.cache_kib)?;
        Ok(connection)
    };
    connect().map_err(|error| StoreError::sqlite(path, kind.remedy, error))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    if path.try_exists().map_err(StoreError::io(path))? {
        fs::remove_file(path).map_err(StoreError::io(path))?;
    }
    Ok(())
}
