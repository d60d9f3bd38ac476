//! Files that one process of a machine locks at a time.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
    process,
};

/// A locked file, which contains the id of the process that locked it. The operating system releases the lock when this
/// is dropped, and however the process ends.
#[derive(Debug)]
pub(crate) struct LockFile {
    _file: File,
}

/// The file cannot be locked.
#[derive(Debug)]
pub(crate) enum LockFileError {
    /// Another process has the lock.
    Held {
        /// Its process id, if the file tells.
        process: Option<u32>,
    },
    /// The file or its folder cannot be created, or the file cannot be locked or written.
    Io(io::Error),
}

impl LockFile {
    /// Locks a file, which is created if it is missing, as is its folder. Does not wait for another process.
    pub(crate) fn take(path: &Path) -> Result<Self, LockFileError> {
        Self::lock(path, File::try_lock)
    }

    /// Locks a file together with every other process that shares it, and against those that take it.
    pub(crate) fn share(path: &Path) -> Result<Self, LockFileError> {
        Self::lock(path, File::try_lock_shared)
    }

    fn lock(path: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Self, LockFileError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let process = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LockFileError::Held { process });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", process::id())?;
        Ok(Self { _file: file })
    }
}

impl From<io::Error> for LockFileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
