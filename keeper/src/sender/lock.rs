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
    /// Locks a key in the user's own folder. Fails if another keeper has the lock, or if it cannot be created.
    pub fn take(chain_id: u64, signer: Address) -> Result<Self, LockError> {
        Self::take_in(&folder(), chain_id, signer)
    }

    /// Locks a key in this folder, which is created if it is missing. Fails as [`SignerLock::take`] does.
    pub fn take_in(folder: &Path, chain_id: u64, signer: Address) -> Result<Self, LockError> {
        let path = folder.join(format!("{chain_id}-{signer:#x}.lock"));
        match LockFile::take(&path) {
            Ok(file) => Ok(Self { _file: file }),
            Err(LockFileError::Held { process }) => Err(LockError::InUse { signer, chain_id, process, path }),
            Err(LockFileError::Io(source)) => Err(LockError::File { path, source }),
        }
    }
}

fn folder() -> PathBuf {
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
        let take = |chain_id, number| SignerLock::take_in(folder.path(), chain_id, Address::repeat_byte(number));
        let first = take(1, 7).unwrap();
        let refused = take(1, 7).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        let others = [take(2, 7).unwrap(), take(1, 8).unwrap()];
        drop((first, others));
        take(1, 7).unwrap();
    }
}
