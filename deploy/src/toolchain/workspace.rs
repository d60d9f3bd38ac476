//! The repository's root folder, and locks that keep two processes from preparing it at the same time.

use std::{
    env,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::progress::say;

/// Files that the root of this project has and other Foundry projects have not: all of them mark the root.
const ROOT_MARKS: [&str; 3] = ["foundry.toml", "package-lock.json", "contracts/src/Plimsoll.sol"];
/// Environment variable that names the root, for programs that run elsewhere.
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
        "neither {} nor any folder above it is a checkout of Plimsoll, whose contracts and pinned tools are needed{}: run \
         this inside one, or name it by --root or {ROOT_VARIABLE}", .start.display(), mention(.other_project.as_deref())
    )]
    NotFound {
        /// The folder where the search began.
        start: PathBuf,
        /// The innermost Foundry project of another kind that was found on the way up.
        other_project: Option<PathBuf>,
    },
    /// The folder that was named is not a checkout of this project.
    #[error("{} is not a checkout of Plimsoll: it has no {missing}. --root and {ROOT_VARIABLE} name one", .root.display())]
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

fn mention(other_project: Option<&Path>) -> String {
    other_project.map_or_else(String::new, |folder| {
        format!(" ({} belongs to another project)", folder.join(ROOT_MARKS[0]).display())
    })
}

impl Workspace {
    /// Finds the project: the folder that `PLIMSOLL_ROOT` names, else the current folder or the nearest above it that is
    /// a checkout. Fails with the remedy where there is none.
    pub fn find() -> Result<Self, WorkspaceError> {
        if let Some(root) = env::var_os(ROOT_VARIABLE).filter(|root| !root.is_empty()) {
            return Self::checked(Path::new(&root));
        }
        let start = env::current_dir().map_err(|source| WorkspaceError::Io { path: PathBuf::from("."), source })?;
        Self::find_from(&start)
    }

    fn find_from(start: &Path) -> Result<Self, WorkspaceError> {
        let mut other_project = None;
        for folder in start.ancestors() {
            match missing_mark(folder) {
                None => return Ok(Self { root: folder.to_path_buf() }),
                Some(missing) if missing != ROOT_MARKS[0] => _ = other_project.get_or_insert(folder.to_path_buf()),
                Some(_) => {}
            }
        }
        Err(WorkspaceError::NotFound { start: start.to_path_buf(), other_project })
    }

    /// Returns the project in this folder. Fails if the folder is not a checkout.
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
                say(format_args!("waiting for another process that prepares the {what}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(folder: &Path, files: &[&str]) {
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn the_search_passes_over_other_foundry_projects() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &ROOT_MARKS);
        let inner = folder.path().join("examples/foundry");
        touch(&inner, &["foundry.toml", "package-lock.json"]);
        assert_eq!(Workspace::find_from(&inner).unwrap().root(), folder.path());
    }

    #[test]
    fn in_another_foundry_project_the_error_names_it_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["foundry.toml"]);
        let error = Workspace::find_from(&folder.path().join("src")).unwrap_err().to_string();
        assert!(error.contains("foundry.toml belongs to another project"), "{error}");
        assert!(error.contains("--root or PLIMSOLL_ROOT"), "{error}");
    }

    #[test]
    fn a_named_folder_that_is_not_a_checkout_is_rejected_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = Workspace::checked(folder.path()).unwrap_err().to_string();
        assert!(error.contains("it has no foundry.toml") && error.contains("PLIMSOLL_ROOT"), "{error}");
        touch(folder.path(), &ROOT_MARKS);
        assert!(Workspace::checked(folder.path()).is_ok());
    }
}
