//! Why the store cannot be used, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::ErrorCode;

/// Something is wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another keeper has the folder.
    #[error(
        "{} is in use by {}: stop that one, or give this one a folder of its own",
        .folder.display(),
        holder(*.process)
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Who has it, where that is known.
        process: Option<u32>,
    },
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What was asked for.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is a database, but no keeper's.
    #[error("{} is another program's database: move it out of the keeper's folder", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a keeper of another version.
    #[error(
        "{} has version {has} of its tables, and this keeper knows version {knows}: run the keeper that wrote it, or \
         give this one a folder of its own",
        .path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its version.
        has: i32,
        /// This keeper's.
        knows: i32,
    },
    /// The file belongs to another chain or another deployment.
    #[error(
        "{} was written for {what} {has}, and this keeper runs for {what} {wants}: give it that one's folder, or a new \
         one; do not mix the files of two folders",
        .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// The file's.
        has: String,
        /// The keeper's.
        wants: String,
    },
    /// The file cannot be read.
    #[error("{} is damaged ({cause}): {remedy}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        cause: String,
        /// What to do with such a file.
        remedy: &'static str,
    },
    /// A write-ahead log without the database that it belongs to.
    #[error(
        "{} is there without its database: put the database back beside it, or move this file away, too",
        .path.display()
    )]
    Orphan {
        /// The log.
        path: PathBuf,
    },
    /// SQLite could not do what it was asked for.
    #[error("{}: {source}{}", .path.display(), remedy(.source))]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A write failed earlier, and nothing has been written since.
    #[error("{} is no longer written since: {cause}; remove the cause and start the keeper again", .path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Arc<Self>,
    },
    /// The thread that owns the file ended.
    #[error(
        "{}: its thread ended{}; start the keeper again, and report this",
        .path.display(),
        said(.cause.as_deref())
    )]
    Dead {
        /// The file.
        path: PathBuf,
        /// Its last words.
        cause: Option<String>,
    },
    /// Blocks go upwards.
    #[error(
        "block {block} does not follow block {last} in the checkpoint: undo down to block {} first",
        .block.saturating_sub(1)
    )]
    NotNext {
        /// What was to be recorded.
        block: u64,
        /// The last that was.
        last: u64,
    },
    /// The checkpoint is past the block that was to be gone back to.
    #[error(
        "the checkpoint is at block {written}, and cannot go back to block {wanted}: clear it and rebuild the book"
    )]
    TooDeep {
        /// The block.
        wanted: u64,
        /// What is in the file already.
        written: u64,
    },
}

impl StoreError {
    /// What an error of SQLite's means for the file.
    pub(super) fn sqlite(path: &Path, remedy: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, cause: source.to_string(), remedy }
            }
            _ => Self::Sqlite { path, source },
        }
    }

    /// An error of the operating system's.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}

fn holder(process: Option<u32>) -> String {
    process.map_or_else(|| "another keeper".to_owned(), |process| format!("another keeper, process {process}"))
}

fn said(cause: Option<&str>) -> String {
    cause.map_or_else(String::new, |cause| format!(" ({cause})"))
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
