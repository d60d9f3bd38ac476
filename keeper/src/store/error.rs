//! Errors of the store, each with what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::ErrorCode;

use super::ServerError;

/// The store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another keeper uses the folder.
    #[error(
        "{} is in use by {}: stop that one, or give this one a folder of its own",
        .folder.display(),
        holder(*.process)
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Process id of the other keeper, if it is known.
        process: Option<u32>,
    },
    /// The operating system refused access to a file or folder.
    #[error("{}: {source}{}", .path.display(), access(.source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is a database, but not a keeper's.
    #[error("{} is another program's database: move it out of the keeper's folder", .path.display())]
    NotOurs {
        /// Path of the store's file.
        path: PathBuf,
    },
    /// The file was written by a newer keeper, or by one that is too old to be upgraded from.
    #[error(
        "{} has version {has} of its tables, and this keeper knows version {knows}: run the keeper that wrote it, or \
         give this one a folder of its own",
        .path.display()
    )]
    Schema {
        /// Path of the store's file.
        path: PathBuf,
        /// Version of the file.
        has: i32,
        /// Version that this keeper writes.
        knows: i32,
    },
    /// The file belongs to another chain or another deployment.
    #[error(
        "{} was written for {what} {has}, and this keeper runs for {what} {wants}: give it that one's folder, or a new \
         one; do not mix the files of two folders",
        .path.display()
    )]
    Foreign {
        /// Path of the store's file.
        path: PathBuf,
        /// Name of the part of the identity that differs.
        what: &'static str,
        /// Value in the file.
        has: String,
        /// Value of this keeper.
        wants: String,
    },
    /// The file is of a local chain that was started again since, which is another chain of the same id.
    #[error(
        "{} is of a local chain that does not exist any more: chain {chain_id} was started again since. Nothing in {} is \
         of use on the new one: delete that folder",
        .path.display(),
        .path.parent().unwrap_or(.path).display()
    )]
    Restarted {
        /// Path of the store's file.
        path: PathBuf,
        /// Chain id, which the two chains share.
        chain_id: u64,
    },
    /// The file's content is damaged.
    #[error("{} is damaged ({cause}): {remedy}", .path.display())]
    Damaged {
        /// Path of the store's file.
        path: PathBuf,
        /// What SQLite or the keeper found in it.
        cause: String,
        /// What to do with such a file.
        remedy: &'static str,
    },
    /// The folder cannot be created.
    #[error("the folder {} cannot be created: {source}; name another `folder` in [store]", .folder.display())]
    NoFolder {
        /// Folder of the configuration.
        folder: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file is no snapshot, or not whole.
    #[error("{} is no snapshot that can be used ({cause}): name a file that `snapshot export` wrote", .path.display())]
    NoSnapshot {
        /// File that was named as a snapshot.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A write-ahead log exists without its database.
    #[error(
        "{} is there without its database: put the database back into the same folder, or move this file away, too",
        .path.display()
    )]
    Orphan {
        /// Path of the write-ahead log.
        path: PathBuf,
    },
    /// The folder's journal has pending transactions, and the database is to be the journal from now on.
    #[error(
        "{} has {pending} transactions in its journal that are not final, and the database of `postgres` in [store] knows \
         nothing of them: let the keeper run without `postgres` until they are final",
        .folder.display()
    )]
    PendingInFolder {
        /// The folder.
        folder: PathBuf,
        /// Number of entries that are not settled.
        pending: u64,
    },
    /// The database that keepers share cannot be used.
    #[error(transparent)]
    Server(ServerError),
    /// A file outside of the store cannot be written.
    #[error("{} cannot be written: {source}", .path.display())]
    Unwritable {
        /// Path of the file to be written.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A file to be written is there already.
    #[error("{} is there already: name another file", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no checkpoint.
    #[error("{} has no checkpoint yet: let a keeper read the chain first", .path.display())]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// The folder has no journal.
    #[error(
        "there is no {}: no keeper has run with this store yet, or `folder` in [store] names another one; --config names the \
         configuration",
        .path.display()
    )]
    NoJournal {
        /// Path of the journal.
        path: PathBuf,
    },
    /// SQLite failed.
    #[error("{}: {source}{}", .path.display(), remedy(.source))]
    Sqlite {
        /// Path of the store's file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// A write failed earlier, and nothing has been written since.
    #[error("{} is no longer written since: {cause}; remove the cause and start the keeper again", .path.display())]
    Stopped {
        /// Path of the store's file.
        path: PathBuf,
        /// Error of that write.
        cause: Arc<Self>,
    },
    /// The thread that owns the file panicked.
    #[error(
        "{}: its thread ended{}; start the keeper again, and report this",
        .path.display(),
        in_parentheses(.cause.as_deref())
    )]
    Dead {
        /// Path of the store's file.
        path: PathBuf,
        /// Message of the panic.
        cause: Option<String>,
    },
    /// A block was recorded that is not above the last one.
    #[error(
        "block {block} does not follow block {last} in the checkpoint: revert to block {} first",
        .block.saturating_sub(1)
    )]
    NotNext {
        /// Number of the block.
        block: u64,
        /// Number of the last block that was recorded.
        last: u64,
    },
    /// The checkpoint is past the block that it should go back to.
    #[error(
        "the checkpoint is at block {written}, and cannot go back to block {wanted}: clear it and rebuild the book"
    )]
    TooDeep {
        /// Number of the block to go back to.
        wanted: u64,
        /// Number of the block that is in the file, or deep enough to be.
        written: u64,
    },
}

impl StoreError {
    /// Converts an error of SQLite for a file; `remedy` is what to do if the file is damaged.
    pub(super) fn sqlite(path: &Path, remedy: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, cause: source.to_string(), remedy }
            }
            _ => Self::Sqlite { path, source },
        }
    }

    /// Converts an error of the operating system for a file or folder.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}

fn holder(process: Option<u32>) -> String {
    process.map_or_else(|| "another keeper".to_owned(), |process| format!("another keeper, process {process}"))
}

fn in_parentheses(cause: Option<&str>) -> String {
    cause.map_or_else(String::new, |cause| format!(" ({cause})"))
}

fn access(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ": let the keeper read and write it, or name another `folder` in [store]"
        }
        io::ErrorKind::StorageFull => ": make room on its disk",
        _ => "",
    }
}

fn remedy(source: &rusqlite::Error) -> &'static str {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ": make room on its disk",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            ": let the keeper read and write its folder"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ": end what else has the file open",
        _ => "",
    }
}
