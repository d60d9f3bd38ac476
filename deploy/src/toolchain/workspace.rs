//! The project's root, and locks against two processes preparing it at the same time.

use std::{
    env,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::toolchain::progress::say;

/// Files that the root of this project has and other Foundry projects have not: all of them mark the root.
const ROOT_MARKS: [&str; 3] = ["foundry.toml", "package-lock.json", "contracts/src/Plimsoll.sol"];
/// Names the root, for programs that run elsewhere.
pub const ROOT_VARIABLE: &str = "PLIMSOLL_ROOT";

/// The root of the project: the folder with `foundry.toml`, `package.json` and the contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    root: PathBuf,
}

/// Why the project cannot be found or written to.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// Neither the current folder nor any folder above it is a checkout of this project.
    #[error(
        "neither {} nor any folder above it is a checkout of Plimsoll, whose contracts and pinned tools are needed: run \
         this inside one, or name it by --root or {ROOT_VARIABLE}", .start.display()
    )]
    NotFound {
        /// The folder where the search began.
        start: PathBuf,
    },
    /// The folder that was named is no checkout of this project.
    #[error("{} is no checkout of Plimsoll: it has no {missing}", .root.display())]
    NotAProject {
        /// The folder that was named.
        root: PathBuf,
        /// The first file that is missing.
        missing: &'static str,
    },
    /// The operating system refused access.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Workspace {
    /// Finds the project: the folder that `PLIMSOLL_ROOT` names, else the current folder or the nearest above it that is
    /// a checkout. Fails with the remedy where there is none.
    pub fn find() -> Result<Self, WorkspaceError> {
        if let Some(root) = env::var_os(ROOT_VARIABLE).filter(|root| !root.is_empty()) {
            return Self::checked(Path::new(&root));
        }
        let start = env::current_dir().map_err(|source| WorkspaceError::Io { path: PathBuf::from("."), source })?;
        let root = start.ancestors().find(|folder| missing_mark(folder).is_none()).map(Path::to_path_buf);
        root.map(|root| Self { root }).ok_or(WorkspaceError::NotFound { start })
    }

    /// Returns the project in this folder. Fails if the folder is no checkout.
    pub fn checked(root: &Path) -> Result<Self, WorkspaceError> {
        let root = root.canonicalize().map_err(|source| WorkspaceError::Io { path: root.to_path_buf(), source })?;
        match missing_mark(&root) {
            None => Ok(Self { root }),
            Some(missing) => Err(WorkspaceError::NotAProject { root, missing }),
        }
    }

    /// Returns the project in this folder, which must be absolute, without a check: a missing file is found when it is
    /// read.
    #[must_use]
    pub const fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Returns the root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder for everything that can be rebuilt. Cargo's output may be elsewhere; this stays with the project.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Waits until no other thread or process prepares `what`, and makes others wait until the guard is dropped. The
    /// operating system releases the lock of a process that dies.
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

/// Returns the first file that a folder lacks to be a checkout of this project.
fn missing_mark(folder: &Path) -> Option<&'static str> {
    ROOT_MARKS.into_iter().find(|mark| !folder.join(mark).is_file())
}

/// A lock of the project, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}
