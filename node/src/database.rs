//! A SQLite file of which one process at a time is the owner, with every commit on disk.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    time::Duration,
};

use eyre::{WrapErr, bail};
use rusqlite::Connection;

/// Longest wait for another connection's commit.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a file, creating it with its folder, its lock and its tables. `busy` says what to do while another process owns
/// it, which it does as long as it keeps the lock that is returned.
pub(crate) fn open(path: &Path, schema: &str, busy: &str) -> eyre::Result<(Connection, File)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).wrap_err_with(|| format!("{}", folder.display()))?;
    }
    let lock_path = path.with_extension("lock");
    let lock = File::create(&lock_path).wrap_err_with(|| format!("{}", lock_path.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!("{}: {busy}", path.display()),
        Err(TryLockError::Error(error)) => return Err(error).wrap_err_with(|| format!("{}", lock_path.display())),
    }
    Ok((connect(path, schema)?, lock))
}

/// Opens a file that this process owns, with its tables.
pub(crate) fn connect(path: &Path, schema: &str) -> eyre::Result<Connection> {
    let database = Connection::open(path).wrap_err_with(|| format!("{}", path.display()))?;
    // Two connections of one process may write at a time.
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    database.execute_batch(schema).wrap_err_with(|| format!("{}", path.display()))?;
    Ok(database)
}
