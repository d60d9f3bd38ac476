//! Snapshots of the checkpoint: one file, from which a keeper of the same deployment starts without reading the chain's
//! history.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    CheckpointTip, Identity, StoreError,
    checkpoint::{KIND, tip},
    database::{Database, Match, set_aside, with_suffix},
    folder::Folder,
};

/// Writes the checkpoint in a folder to a new file, also while a keeper uses the folder. Returns the block that it is of.
/// Fails if there is no checkpoint, or if the file is there already.
pub fn export(folder: &Path, to: &Path) -> Result<CheckpointTip, StoreError> {
    let book = folder.join(KIND.name);
    if to.try_exists().map_err(StoreError::io(to))? {
        return Err(StoreError::Exists { path: to.to_path_buf() });
    }
    let error = |source| StoreError::sqlite(&book, KIND.remedy, source);
    let connection = Connection::open_with_flags(&book, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(error)?;
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(error)?;
    let copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(error)?;
    let exported = tip(&copy).map_err(error)?;
    drop(copy);
    let Some(exported) = exported else {
        fs::remove_file(to).map_err(StoreError::io(to))?;
        return Err(StoreError::NoCheckpoint { path: book });
    };
    File::open(to).and_then(|file| file.sync_all()).map_err(StoreError::io(to))?;
    Ok(exported)
}

/// A snapshot that was found whole and of this deployment, and is not in use yet. Dropped, it leaves the store unchanged.
#[derive(Debug)]
pub struct SnapshotImport {
    /// The copy in the store's folder.
    copy: PathBuf,
    book: PathBuf,
    tip: CheckpointTip,
    _folder: Folder,
}

impl SnapshotImport {
    /// Copies a snapshot into the folder, which no keeper may use meanwhile, and checks it. Fails if the file is damaged,
    /// of another version, another chain or another deployment.
    pub fn open(folder: &Path, identity: &Identity, from: &Path) -> Result<Self, StoreError> {
        let folder = Folder::lock(folder)?;
        let (book, copy) = (folder.file(KIND.name), folder.file("book.db.import"));
        fs::copy(from, &copy).map_err(StoreError::io(from))?;
        let checked = Database::open(&copy, &KIND, identity, Match::Deployment)
            .and_then(|database| tip(&database.connection).map_err(|error| database.error(error)))
            .and_then(|tip| tip.ok_or_else(|| StoreError::NoCheckpoint { path: from.to_path_buf() }));
        match checked {
            Ok(tip) => Ok(Self { copy, book, tip, _folder: folder }),
            Err(error) => {
                remove(&copy);
                // What is wrong is wrong with the file that was named, not with its copy.
                let path = from.to_path_buf();
                Err(match error {
                    StoreError::Damaged { cause, .. } => StoreError::NoSnapshot { path, cause },
                    StoreError::NotOurs { .. } => {
                        StoreError::NoSnapshot { path, cause: "another program's database".into() }
                    }
                    StoreError::Schema { has, knows, .. } => StoreError::Schema { path, has, knows },
                    StoreError::Foreign { what, has, wants, .. } => StoreError::Foreign { path, what, has, wants },
                    error => error,
                })
            }
        }
    }

    /// The block that the snapshot is of.
    #[must_use]
    pub const fn tip(&self) -> CheckpointTip {
        self.tip
    }

    /// Puts the snapshot in the place of the checkpoint, which is kept as `book.db.old`.
    pub fn commit(self) -> Result<(), StoreError> {
        File::open(&self.copy).and_then(|file| file.sync_all()).map_err(StoreError::io(&self.copy))?;
        set_aside(&self.book)?;
        fs::rename(&self.copy, &self.book).map_err(StoreError::io(&self.book))?;
        let folder = self.book.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))
    }
}

impl Drop for SnapshotImport {
    fn drop(&mut self) {
        remove(&self.copy);
    }
}

/// Removes a copy that is not used, with what SQLite put next to it. What is left of it the next import overwrites.
fn remove(copy: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(with_suffix(copy, suffix));
    }
}
