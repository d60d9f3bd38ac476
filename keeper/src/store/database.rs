//! One file of the store: created whole or not at all, opened only if it is this keeper's, and upgraded at open.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use plimsoll_protocols::Deployment;
use rusqlite::{Connection, OpenFlags, types::FromSql};
use tracing::info;

use super::StoreError;
use crate::config::Deployed;

/// Time to wait for another program that reads the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Suffixes of a file and of what SQLite puts next to it while it is open, which must never meet another file of the
/// same name.
const FILES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The part of an identity that may change: programmes that are followed from now on, or no longer, make another book
/// and not another journal.
pub(super) const REWARDS: &str = "rewards";
/// Name of the part of the identity that distinguishes chains of one id.
const GENESIS: &str = "genesis";
/// Chain id of Anvil, under which every start makes a new chain.
const LOCAL_CHAIN_ID: u64 = 31_337;

/// The chain and the deployment that a keeper runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Chain id, which test chains share.
    pub chain_id: u64,
    /// Hash of the chain's first block, which test chains do not share.
    pub genesis: B256,
    /// Address of the lending core.
    pub core: Address,
    /// Address of the staking programmes, where they are followed.
    pub rewards: Option<Address>,
}

impl Identity {
    /// Returns the identity of a deployment on the chain with this first block.
    #[must_use]
    pub const fn of(deployed: &Deployed, genesis: B256) -> Self {
        let Deployed { chain_id, core, rewards, .. } = *deployed;
        Self { chain_id, genesis, core, rewards }
    }

    /// Returns the identity of another protocol's deployment on the same chain.
    pub(super) const fn of_protocol(&self, deployment: &Deployment) -> Self {
        Self { core: deployment.address, rewards: None, ..*self }
    }

    /// Returns the names and values that are written into the files.
    fn parts(&self) -> [(&'static str, String); 4] {
        let rewards = self.rewards.map_or_else(|| "none".to_owned(), |address| address.to_string());
        [
            ("chain id", self.chain_id.to_string()),
            (GENESIS, self.genesis.to_string()),
            ("core", self.core.to_string()),
            (REWARDS, rewards),
        ]
    }
}

/// What one of the store's files contains and how it is kept.
#[derive(Debug)]
pub(super) struct FileKind {
    /// Name in the folder.
    pub(super) name: &'static str,
    /// SQLite's mark of the program that a file belongs to.
    pub(super) application_id: i32,
    /// SQL that creates the tables.
    pub(super) tables: &'static str,
    /// Version of tables and rows, kept as SQLite's `user_version`.
    pub(super) schema: i32,
    /// SQL that upgrades a file, the last from version `schema - 1` to `schema`, the one before it from the version
    /// before, and so on. An older file than these reach is not opened.
    pub(super) upgrades: &'static [&'static str],
    /// `FULL` makes every commit last through a loss of power; `NORMAL` may lose the last ones, never half of one.
    pub(super) synchronous: &'static str,
    /// Size of the page cache, in KiB.
    pub(super) cache_kib: i32,
    /// What to do if the file is damaged.
    pub(super) remedy: &'static str,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    kind: &'static FileKind,
    pub(super) connection: Connection,
}

/// Which parts of the identity must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// Every part.
    Deployment,
    /// Every part except the staking programmes.
    Lending,
}

impl Database {
    /// Opens the file, creates it where there is none, and upgrades it where it is older. Fails if it is damaged,
    /// newer, too old to be upgraded, or not this keeper's.
    pub(super) fn open(
        path: &Path,
        kind: &'static FileKind,
        identity: &Identity,
        matching: Match,
    ) -> Result<Self, StoreError> {
        if !path.try_exists().map_err(StoreError::io(path))? {
            create(path, kind, identity)?;
        }
        let mut database = Self { path: path.to_path_buf(), kind, connection: connect(path, kind)? };
        let upgrades = database.examine(identity, matching)?;
        database.upgrade(upgrades)?;
        Ok(database)
    }

    /// Returns whether opening the file would upgrade it, and leaves it as it is; false where there is none. Fails as
    /// [`Database::open`] does.
    pub(super) fn is_upgrade_due(
        path: &Path,
        kind: &'static FileKind,
        identity: &Identity,
        matching: Match,
    ) -> Result<bool, StoreError> {
        if !path.try_exists().map_err(StoreError::io(path))? {
            return ensure_no_orphan(path).map(|()| false);
        }
        let database = Self { path: path.to_path_buf(), kind, connection: connect(path, kind)? };
        database.examine(identity, matching).map(|upgrades| !upgrades.is_empty())
    }

    /// Moves the file away, to the same name with `.old`, and begins a new one.
    pub(super) fn renew(&mut self, identity: &Identity) -> Result<(), StoreError> {
        // The file must be closed before it is moved.
        let nowhere = Connection::open_in_memory().map_err(|error| self.error(error))?;
        drop(std::mem::replace(&mut self.connection, nowhere));
        set_aside(&self.path)?;
        create(&self.path, self.kind, identity)?;
        self.connection = connect(&self.path, self.kind)?;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Converts an error of SQLite for this file.
    pub(super) fn error(&self, source: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, self.kind.remedy, source)
    }

    /// Checks that the file is whole and this keeper's. Returns the upgrades that it needs.
    fn examine(&self, identity: &Identity, matching: Match) -> Result<&'static [&'static str], StoreError> {
        let path = || self.path.clone();
        if fs::metadata(&self.path).map_err(StoreError::io(&self.path))?.len() == 0 {
            return Err(self.damaged("it is empty".to_owned()));
        }
        if self.pragma::<i32>("application_id")? != self.kind.application_id {
            return Err(StoreError::NotOurs { path: path() });
        }
        let (has, knows) = (self.pragma::<i32>("user_version")?, self.kind.schema);
        let Some(upgrades) = self.kind.upgrades_from(has) else {
            return Err(StoreError::Schema { path: path(), has, knows });
        };
        let found: String = self.pragma("quick_check(1)")?;
        if found != "ok" {
            return Err(self.damaged(found));
        }
        for (what, wants) in identity.parts() {
            let read =
                self.connection.query_row("SELECT value FROM identity WHERE name = ?1", [what], |row| row.get(0));
            let has: String = read.map_err(|error| self.error(error))?;
            if has != wants && !(what == REWARDS && matching == Match::Lending) {
                if what == GENESIS && identity.chain_id == LOCAL_CHAIN_ID {
                    return Err(StoreError::Restarted { path: path(), chain_id: identity.chain_id });
                }
                return Err(StoreError::Foreign { path: path(), what, has, wants });
            }
        }
        Ok(upgrades)
    }

    /// Runs upgrades and sets the version, all or nothing.
    fn upgrade(&mut self, upgrades: &[&str]) -> Result<(), StoreError> {
        if upgrades.is_empty() {
            return Ok(());
        }
        let to = self.kind.schema;
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            upgrades.iter().try_for_each(|upgrade| transaction.execute_batch(upgrade))?;
            transaction.pragma_update(None, "user_version", to)?;
            transaction.commit()
        };
        run(&mut self.connection).map_err(|error| self.error(error))?;
        info!(file = %self.path.display(), to, "store file upgraded");
        Ok(())
    }

    fn pragma<T: FromSql>(&self, what: &str) -> Result<T, StoreError> {
        self.connection.query_row(&format!("PRAGMA {what}"), [], |row| row.get(0)).map_err(|error| self.error(error))
    }

    fn damaged(&self, cause: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), cause, remedy: self.kind.remedy }
    }
}

impl FileKind {
    /// Returns the upgrades that a file of this version needs, and `None` if it is newer or too old.
    fn upgrades_from(&self, version: i32) -> Option<&'static [&'static str]> {
        let steps = usize::try_from(self.schema.checked_sub(version)?).ok()?;
        self.upgrades.get(self.upgrades.len().checked_sub(steps)?..)
    }
}

/// Moves a file away, to the same name with `.old`.
pub(super) fn set_aside(path: &Path) -> Result<(), StoreError> {
    let old = with_suffix(path, ".old");
    // Its log goes with it, which has what was not yet written into the file.
    for suffix in FILES {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&old, suffix));
        remove(&to)?;
        if from.try_exists().map_err(StoreError::io(&from))? {
            fs::rename(&from, &to).map_err(StoreError::io(&from))?;
        }
    }
    Ok(())
}

/// Fails if one of SQLite's files is there without its database.
fn ensure_no_orphan(path: &Path) -> Result<(), StoreError> {
    for suffix in FILES {
        let side = with_suffix(path, suffix);
        if side.try_exists().map_err(StoreError::io(&side))? {
            return Err(StoreError::Orphan { path: side });
        }
    }
    Ok(())
}

/// Creates a new file, which appears under its name when it is complete.
fn create(path: &Path, kind: &FileKind, identity: &Identity) -> Result<(), StoreError> {
    ensure_no_orphan(path)?;
    let new = with_suffix(path, ".new");
    for suffix in FILES {
        remove(&with_suffix(&new, suffix))?;
    }
    fill(&new, kind, identity).map_err(|error| StoreError::sqlite(&new, kind.remedy, error))?;
    fs::rename(&new, path).map_err(StoreError::io(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))
}

fn fill(path: &Path, kind: &FileKind, identity: &Identity) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = connection.transaction()?;
    transaction.pragma_update(None, "application_id", kind.application_id)?;
    transaction.pragma_update(None, "user_version", kind.schema)?;
    transaction.execute_batch("CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")?;
    for part in identity.parts() {
        transaction.execute("INSERT INTO identity (name, value) VALUES (?1, ?2)", part)?;
    }
    transaction.execute_batch(kind.tables)?;
    transaction.commit()?;
    // Closing moves everything from the log into the file.
    connection.close().map_err(|(_, error)| error)
}

fn connect(path: &Path, kind: &FileKind) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "synchronous", kind.synchronous)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "cache_size", -kind.cache_kib)?;
        Ok(connection)
    };
    connect().map_err(|error| StoreError::sqlite(path, kind.remedy, error))
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
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
