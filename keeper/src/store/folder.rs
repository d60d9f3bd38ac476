//! The store's folder, which one keeper uses at a time.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::StoreError;
use crate::lock_file::{LockFile, LockFileError};

/// Name of the file that is locked.
const LOCK: &str = "lock";

/// A locked folder. No other keeper can use it until this is dropped; the operating system releases the lock however
/// the process ends.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: LockFile,
}

impl Folder {
    /// Locks the folder, which is created if it is missing. Fails if another keeper uses it.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreError> {
        let (folder, lock_path) = (path.to_path_buf(), path.join(LOCK));
        if let Err(source) = fs::create_dir_all(path) {
            return Err(StoreError::NoFolder { folder, source });
        }
        match LockFile::take(&lock_path) {
            Ok(lock) => Ok(Self { path: folder, _lock: lock }),
            Err(LockFileError::Held { process }) => Err(StoreError::InUse { folder, process }),
            Err(LockFileError::Io(source)) => Err(StoreError::Io { path: lock_path, source }),
        }
    }

    /// Returns the path of a file in the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
