//! The store's folder, which one keeper has at a time.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    process,
};

use super::StoreError;

/// The file that is locked. It holds the number of the process that has the folder.
const LOCK: &str = "lock";

/// The folder, kept from all others while this lives. The operating system frees it when the process dies, however.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder, which is made where it is missing. Fails when somebody else has it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
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

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
