//! The deployment record on disk, for the one process that writes it: flushed to disk before anything is sent, and never
//! used for another chain.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, B256};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::deployment::{Deployment, DeploymentError};

use crate::{connection::Chain, design::Design};

/// Why a deployment record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process holds the record.
    #[error("{}: somebody else is deploying with this record: wait until they are done", .0.display())]
    Locked(PathBuf),
    /// The record belongs to another chain, which is not local.
    #[error(
        "{}: this is the record of another chain (id {chain_id}, block 0 is {genesis}): move it away, or name another by \
         --records", .path.display()
    )]
    OtherChain {
        /// Path of the record.
        path: PathBuf,
        /// Chain id in the record.
        chain_id: u64,
        /// Hash of block 0 in the record.
        genesis: B256,
    },
    /// The record has a pending transaction of another deployer.
    #[error("{}: a transaction of {deployer} is still pending: let that deployer finish first", .path.display())]
    OtherDeployer {
        /// Path of the record.
        path: PathBuf,
        /// Deployer whose transaction is pending.
        deployer: Address,
    },
    /// The record cannot be read or written.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// A request to the chain failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// A record on disk that belongs to this chain, locked against other processes until it is dropped.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    pub(crate) record: Deployment,
    written: Option<Deployment>,
    _lock: File,
}

impl Journal {
    /// Opens the record at `path`, or begins one. The record of a local chain that no longer exists is replaced. The record
    /// of any other chain is rejected, because it may be all that keeps a payment from being made twice.
    pub async fn open(path: &Path, chain: &Chain, design: &Design) -> Result<Self, JournalError> {
        let io_error = |source| DeploymentError::Io { path: path.to_path_buf(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io_error)?;
        }
        let lock = File::create(path.with_extension("lock")).map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked(path.to_path_buf())),
            Err(TryLockError::Error(source)) => return Err(io_error(source).into()),
        }
        let written = read_record(path, chain, design).await?;
        let record = written.clone().unwrap_or_else(|| new_record(chain, design));
        Ok(Self { path: path.to_path_buf(), record, written, _lock: lock })
    }

    /// Returns the path of the record.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the record to disk if it has changed, and waits until it is safe there.
    pub(crate) fn save(&mut self) -> Result<(), JournalError> {
        if self.written.as_ref() != Some(&self.record) {
            self.record.write(&self.path)?;
            self.written = Some(self.record.clone());
        }
        Ok(())
    }
}

fn new_record(chain: &Chain, design: &Design) -> Deployment {
    Deployment::new(design.network.clone(), chain.id(), chain.genesis(), design.deployer)
}

/// Reads the record at `path`, or returns an empty one if there is none. Fails as [`Journal::open`], but takes no lock.
pub async fn record_of(path: &Path, chain: &Chain, design: &Design) -> Result<Deployment, JournalError> {
    Ok(read_record(path, chain, design).await?.unwrap_or_else(|| new_record(chain, design)))
}

async fn read_record(path: &Path, chain: &Chain, design: &Design) -> Result<Option<Deployment>, JournalError> {
    let Some(record) = Deployment::read(path)? else { return Ok(None) };
    let is_same = record.chain_id == chain.id() && record.genesis == chain.genesis();
    if chain.is_dev_chain(design.deployer) {
        return Ok(if is_same && !is_gone(chain, &record).await? { Some(record) } else { None });
    }
    if !is_same {
        let (chain_id, genesis) = (record.chain_id, record.genesis);
        return Err(JournalError::OtherChain { path: path.to_path_buf(), chain_id, genesis });
    }
    if record.deployer != design.deployer && record.in_flight.is_some() {
        return Err(JournalError::OtherDeployer { path: path.to_path_buf(), deployer: record.deployer });
    }
    Ok(Some(record))
}

/// Returns whether a local chain does not know a transaction that the record says was mined on it.
async fn is_gone(chain: &Chain, record: &Deployment) -> Result<bool, ChainError> {
    let sent = record.contracts.values().filter_map(|contract| contract.created).next();
    let Some(sent) = sent else { return Ok(false) };
    Ok(chain.receipt(sent.transaction).await?.is_none())
}
