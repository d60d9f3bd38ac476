//! One keeper per key and machine, whatever store it has: two would take each other's nonces.
//!
//! The lock is a file named by chain and address in a place that depends on the user alone:
//! `$XDG_STATE_HOME/plimsoll/signers`, else `~/.local/state/plimsoll/signers`, else `plimsoll-signers` in the folder for
//! temporary files. The operating system frees it when the process dies, however. It says nothing of other machines.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    process,
};

use alloy::primitives::Address;

/// A key, kept from all other keepers of this user while this lives.
#[derive(Debug)]
pub struct SignerLock {
    _file: File,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else uses it.
    #[error(
        "{signer} already signs on chain {chain_id} for another keeper on this machine{}; stop that one, or give this one \
         a key of its own ({})", process_named(.process), .path.display()
    )]
    InUse {
        /// Whose key.
        signer: Address,
        /// On which chain.
        chain_id: u64,
        /// That keeper's process, if it said so.
        process: Option<u32>,
        /// The lock.
        path: PathBuf,
    },
    /// The file cannot be made or locked.
    #[error("{}: {source}; a keeper locks its keys there", .path.display())]
    File {
        /// The lock.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl SignerLock {
    /// Takes a key in the user's own place.
    pub fn take(chain_id: u64, signer: Address) -> Result<Self, LockError> {
        Self::take_in(&folder(), chain_id, signer)
    }

    /// Takes a key among those whose keepers lock in this folder, which is made where it is missing.
    pub fn take_in(folder: &Path, chain_id: u64, signer: Address) -> Result<Self, LockError> {
        let path = folder.join(format!("{chain_id}-{signer:#x}.lock"));
        let failed = |source| LockError::File { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut said = String::new();
                let process = file.read_to_string(&mut said).ok().and_then(|_| said.trim().parse().ok());
                return Err(LockError::InUse { signer, chain_id, process, path });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", process::id())
        };
        note(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
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
    fn a_key_signs_for_one_keeper_on_a_chain() {
        let folder = tempfile::tempdir().unwrap();
        let take = |chain_id, number| SignerLock::take_in(folder.path(), chain_id, Address::repeat_byte(number));
        let first = take(1, 7).unwrap();
        let refused = take(1, 7).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", process::id())), "{refused}");
        let others = [take(2, 7).unwrap(), take(1, 8).unwrap()];
        drop((first, others));
        take(1, 7).unwrap();
    }
}
