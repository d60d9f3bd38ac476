//! Lock on a signing key: one keeper of a machine uses it, even if each has a store of its own. Two would use each
//! other's nonces.
//!
//! The lock is a file named by chain and address, in a folder that depends on the user alone:
//! `$XDG_STATE_HOME/plimsoll/signers`, else `~/.local/state/plimsoll/signers`, else `plimsoll-signers` in the folder
//! for temporary files. The operating system releases it whenever and however the process ends. It does not reach
//! beyond this machine.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use alloy::primitives::Address;

use crate::lock_file::{LockFile, LockFileError};

/// The lock on a key. No other keeper of this user can use the key until it is dropped.
#[derive(Debug)]
pub struct SignerLock {
    _file: LockFile,
}

/// The key cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another keeper has the lock.
    #[error(
        "{signer} already signs on chain {chain_id} for another keeper on this machine{}; stop that one, or give this one \
         a key of its own ({})", process_named(.process), .path.display()
    )]
    InUse {
        /// Account of the key.
        signer: Address,
        /// Chain on which it signs.
        chain_id: u64,
        /// Process id of that keeper, if it is in the lock file.
        process: Option<u32>,
        /// Path of the lock file.
        path: PathBuf,
    },
    /// The lock file cannot be created or locked.
    #[error("{}: {source}; a keeper locks its keys there", .path.display())]
    File {
        /// Path of the lock file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl SignerLock {
    /// Locks a key in this folder, which is created if it is missing, or in the user's own. Fails if another keeper has the
    /// lock, or if it cannot be created.
    pub fn take(folder: Option<&Path>, chain_id: u64, signer: Address) -> Result<Self, LockError> {
        Self::lock(folder, chain_id, signer, LockFile::take)
    }

    /// Locks a key against keepers that have a store of their own, and not against those that share a database, among which
    /// a lease decides. Fails as [`SignerLock::take`] does.
    pub fn share(folder: Option<&Path>, chain_id: u64, signer: Address) -> Result<Self, LockError> {
        Self::lock(folder, chain_id, signer, LockFile::share)
    }

    fn lock(
        folder: Option<&Path>,
        chain_id: u64,
        signer: Address,
        lock: fn(&Path) -> Result<LockFile, LockFileError>,
    ) -> Result<Self, LockError> {
        let folder = folder.map_or_else(users_folder, Path::to_path_buf);
        let path = folder.join(format!("{chain_id}-{signer:#x}.lock"));
        match lock(&path) {
            Ok(file) => Ok(Self { _file: file }),
            Err(LockFileError::Held { process }) => Err(LockError::InUse { signer, chain_id, process, path }),
            Err(LockFileError::Io(source)) => Err(LockError::File { path, source }),
        }
    }
}

fn users_folder() -> PathBuf {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map_or_else(|| env::temp_dir().join("plimsoll-signers"), |state| state.join("plimsoll/signers"))
}

fn process_named(process: &Option<u32>) -> String {
    process.map(|process| format!(", process {process}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_locked_once_for_each_chain() {
        let folder = tempfile::tempdir().unwrap();
        let take = |chain_id, number| SignerLock::take(Some(folder.path()), chain_id, Address::repeat_byte(number));
        let first = take(1, 7).unwrap();
        let refused = take(1, 7).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        let others = [take(2, 7).unwrap(), take(1, 8).unwrap()];
        drop((first, others));
        take(1, 7).unwrap();
    }

    #[test]
    fn keepers_that_share_a_database_share_a_key_and_exclude_one_that_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Address::repeat_byte(7);
        let share = || SignerLock::share(Some(folder.path()), 1, signer);
        let shared = [share().unwrap(), share().unwrap()];
        SignerLock::take(Some(folder.path()), 1, signer).unwrap_err();
        drop(shared);
        let taken = SignerLock::take(Some(folder.path()), 1, signer).unwrap();
        share().unwrap_err();
        drop(taken);
    }
}
