//! The deployment record on disk, for the one process that writes it: safe before anything is sent, and never taken for
//! that of another chain.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use plimsoll_chain::error::ChainError;
use plimsoll_contracts::deployment::{Deployment, DeploymentError};

use crate::{connection::Chain, design::Design};

/// Why a deployment record cannot be used. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The record is locked, or belongs to another chain or deployer.
    #[error("{}: {problem}", .path.display())]
    Unusable {
        /// Path of the record.
        path: PathBuf,
        /// The reason, with the remedy.
        problem: String,
    },
    /// The record cannot be read or written.
    #[error(transparent)]
    Record(#[from] DeploymentError),
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// A record on disk that belongs to this chain, kept from everybody else while this lives.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    pub(crate) record: Deployment,
    written: Option<Deployment>,
    _lock: File,
}

impl Journal {
    /// Opens the record at `path`, or begins one. A record of a local chain that is gone is begun anew; of any other
    /// chain it is refused, because it may be all that keeps a payment from being made twice.
    pub async fn open(path: &Path, chain: &Chain, design: &Design) -> Result<Self, JournalError> {
        let io_error = |source| DeploymentError::Io { path: path.to_path_buf(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io_error)?;
        }
        let lock = File::create(path.with_extension("lock")).map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let problem = "somebody else is deploying with this record: wait until they are done".to_owned();
                return Err(JournalError::Unusable { path: path.to_path_buf(), problem });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(source).into()),
        }
        let written = read_record(path, chain, design).await?;
        let record = written.clone().unwrap_or_else(|| new_record(chain, design));
        Ok(Self { path: path.to_path_buf(), record, written, _lock: lock })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it safe on disk, if it changed.
    pub(crate) fn save(&mut self) -> Result<(), DeploymentError> {
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

/// The record at `path` if it belongs to this chain; an empty one where there is none.
pub async fn record_of(path: &Path, chain: &Chain, design: &Design) -> Result<Deployment, JournalError> {
    Ok(read_record(path, chain, design).await?.unwrap_or_else(|| new_record(chain, design)))
}

async fn read_record(path: &Path, chain: &Chain, design: &Design) -> Result<Option<Deployment>, JournalError> {
    let Some(record) = Deployment::read(path)? else { return Ok(None) };
    let is_same = record.chain_id == chain.id() && record.genesis == chain.genesis();
    let refuse = |problem: String| Err(JournalError::Unusable { path: path.to_path_buf(), problem });
    if chain.local().is_some() {
        return Ok(if is_same && !is_gone(chain, &record).await? { Some(record) } else { None });
    }
    if !is_same {
        return refuse(format!(
            "this is the record of another chain (id {}, block 0 is {}): move it away, or name another by --records",
            record.chain_id, record.genesis
        ));
    }
    if record.deployer != design.deployer && record.in_flight.is_some() {
        return refuse(format!(
            "a transaction of {} is still on its way: let that deployer finish first",
            record.deployer
        ));
    }
    Ok(Some(record))
}

/// Whether a local chain knows nothing of what a record says was mined on it.
async fn is_gone(chain: &Chain, record: &Deployment) -> Result<bool, ChainError> {
    let sent = record.contracts.values().filter_map(|contract| contract.created).next();
    let Some(sent) = sent else { return Ok(false) };
    Ok(chain.receipt(sent.transaction).await?.is_none())
}
