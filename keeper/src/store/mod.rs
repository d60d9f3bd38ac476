//! Persistence: what a keeper remembers through a restart, in SQLite files in one folder, which one keeper uses at a
//! time.
//!
//! - `journal.db` is precious: every signed transaction, the safety record, alerts that are still to be delivered.
//!   Every write is safe on disk before it returns. It is never removed or replaced.
//! - `book.db` is a [`Checkpoint`] of the book. It can be thrown away, and is rebuilt from the chain; [`export`] and
//!   [`SnapshotImport`] carry it from one keeper to another. Each other protocol that is followed has one of its own.
//!
//! What belongs to the signers can be in a PostgreSQL database instead, which several keepers share: see [`Records`].
//!
//! Each file is owned by a thread of its own behind a bounded queue, so that a slow disk delays no decision, and
//! nothing for one file queues behind a large write to the other. A file of an older version is upgraded when it is
//! opened; one of another chain, another deployment or a newer version is refused with the remedy.

mod checkpoint;
mod database;
mod error;
mod folder;
mod journal;
mod postgres;
mod records;
mod results;
mod snapshot;
mod worker;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use plimsoll_protocols::Deployment;

use self::folder::Folder;
pub use self::{
    checkpoint::{Checkpoint, CheckpointTip, Image},
    database::Identity,
    error::StoreError,
    journal::{Alert, AlertQueue, Notes, SqliteJournal},
    postgres::{Server, ServerError},
    records::{Records, SafetyRecords},
    results::{ResultRow, ResultStatus, Results, TokenAmount, read_results},
    snapshot::{Checkpointed, Exported, ImportPart, SnapshotImport, export},
};

/// The files of a keeper. Another keeper can use the folder when every part of this is dropped.
#[derive(Debug)]
pub struct Store {
    /// The book as it was at least 64 blocks ago.
    pub checkpoint: Checkpoint,
    /// The same of other protocols.
    pub protocols: ProtocolCheckpoints,
    /// Every signed transaction.
    pub journal: SqliteJournal,
    /// Small texts by name, among them the safety record.
    pub notes: Notes,
    /// Alerts that are still to be delivered.
    pub alerts: AlertQueue,
    /// What mined transactions earned and cost.
    pub results: Results,
}

/// Opens the checkpoints of other protocols in a store's folder.
#[derive(Debug)]
pub struct ProtocolCheckpoints {
    folder: Arc<Folder>,
    identity: Identity,
}

impl ProtocolCheckpoints {
    /// Opens the checkpoint of a deployment, or creates it. One that is damaged or too old is set aside for a new one. Fails if
    /// it is another chain's.
    pub fn open(&self, deployment: &Deployment) -> Result<Checkpoint, StoreError> {
        Checkpoint::of_protocol(&self.folder, &self.identity, deployment)
    }
}

/// A change that the next start makes to a file of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DueChange {
    /// The journal is upgraded to this keeper's version, which older keepers refuse.
    UpgradeJournal,
    /// The checkpoint is upgraded or set aside for a new one; the book may be read from the chain again.
    RenewCheckpoint,
    /// The checkpoint of the named protocol is upgraded or set aside; its logs may be read again.
    RenewProtocol(String),
}

impl Store {
    /// Locks the folder, checks its files, and those of these other protocols, without changing them, and lists what the next
    /// start would change. Fails where [`Store::open`] or [`ProtocolCheckpoints::open`] would.
    pub fn inspect(folder: &Path, identity: &Identity, protocols: &[Deployment]) -> Result<Vec<DueChange>, StoreError> {
        let folder = Folder::lock(folder)?;
        let journal = journal::is_upgrade_due(&folder, identity)?.then_some(DueChange::UpgradeJournal);
        let checkpoint = checkpoint::is_renewal_due(&folder, identity)?.then_some(DueChange::RenewCheckpoint);
        let mut changes: Vec<_> = journal.into_iter().chain(checkpoint).collect();
        for deployment in protocols {
            if checkpoint::is_protocol_renewal_due(&folder, identity, deployment)? {
                changes.push(DueChange::RenewProtocol(deployment.protocol.to_string()));
            }
        }
        Ok(changes)
    }

    /// Locks the folder and opens its files, which are created where they are missing. Fails if another keeper uses the
    /// folder, or if a file is damaged or not this keeper's.
    pub fn open(folder: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let folder = Arc::new(Folder::lock(folder)?);
        let journal = journal::open(&folder, identity)?;
        let checkpoint = Checkpoint::open(&folder, identity)?;
        Ok(Self {
            checkpoint,
            protocols: ProtocolCheckpoints { folder, identity: *identity },
            journal: SqliteJournal::new(Arc::clone(&journal)),
            notes: Notes::new(Arc::clone(&journal)),
            alerts: AlertQueue::new(Arc::clone(&journal)),
            results: Results::new(journal),
        })
    }
}
