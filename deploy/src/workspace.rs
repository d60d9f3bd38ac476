//! Where the project is, and the locks that keep two processes from preparing it at the same time.

use std::{
    env,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::progress::say;

/// The file whose folder is the root of the project.
const ROOT_MARK: &str = "foundry.toml";

/// The root of the project: the folder with `foundry.toml`, `package.json` and the contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    root: PathBuf,
}

/// Why the project could not be found or written to.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// No folder from the start upwards holds the mark.
    #[error("{} is neither in {} nor in any folder above it: run this inside the project", ROOT_MARK, .start.display())]
    NotFound {
        /// Where the search began.
        start: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What was asked for.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Workspace {
    /// The project that the current folder belongs to. Fails when there is none.
    pub fn find() -> Result<Self, WorkspaceError> {
        let start = env::current_dir().map_err(|source| WorkspaceError::Io { path: PathBuf::from("."), source })?;
        let root = start.ancestors().find(|folder| folder.join(ROOT_MARK).is_file()).map(Path::to_path_buf);
        root.map(|root| Self { root }).ok_or(WorkspaceError::NotFound { start })
    }

    /// The project in that very folder, which must be absolute; whether it is one shows when a file of it is read.
    #[must_use]
    pub const fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where everything goes that can be made again. Rust's own output may be elsewhere; ours stays with the project.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Waits until no other thread or process is at work on `what`, and keeps them waiting until the guard is dropped.
    /// The operating system frees the lock of a process that dies.
    pub fn lock(&self, what: &str) -> Result<Lock, WorkspaceError> {
        let path = self.target().join(format!("{what}.lock"));
        let io_error = |source| WorkspaceError::Io { path: path.clone(), source };
        fs::create_dir_all(self.target()).map_err(io_error)?;
        let file = File::create(&path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                say(format_args!("waiting until somebody else is done with {what}"));
                file.lock().map_err(io_error)?;
            }
            Err(TryLockError::Error(source)) => return Err(io_error(source)),
        }
        Ok(Lock { _file: file })
    }
}

/// Holds a lock of the project for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}
