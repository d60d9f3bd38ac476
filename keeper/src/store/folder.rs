//! The store's folder, which one keeper uses at a time.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    process,
};

use super::StoreError;

/// Name of the file that is locked. It contains the id of the process that uses the folder.
const LOCK: &str = "lock";

/// A locked folder. No other keeper can use it until this is dropped; the operating system releases the lock however
/// the process ends.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Locks the folder, which is created if it is missing. Fails if another keeper uses it.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(StoreError::io(path))?;
        let lock_path = path.join(LOCK);
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = open.map_err(StoreError::io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = lock.read_to_string(&mut holder);
                let process = read.ok().and_then(|_| holder.trim().parse().ok());
                return Err(StoreError::InUse { folder: path.to_path_buf(), process });
            }
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { path: lock_path, source }),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", process::id()))
            .map_err(StoreError::io(&lock_path))?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// Returns the path of a file in the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
