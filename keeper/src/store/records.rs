//! What belongs to the signers – their entries, safety record, results – wherever it is kept: in the folder of the one keeper
//! that uses it, or in a database that several keepers share.

use std::{sync::Arc, time::Duration};

use alloy::primitives::Address;

use super::{Identity, Notes, ResultRow, Results, SqliteJournal, Store, StoreError, postgres::Server};
use crate::{
    config,
    safety::{SafetyRecord, SafetyStore, SafetyStoreError},
    sender::{
        fleet::FleetStatus,
        journal::{Claim, Journal, JournalEntry, JournalError, Lease, Recovered},
    },
};

/// What belongs to the signers. Clones use the same.
#[derive(Debug, Clone)]
pub enum Records {
    /// In the journal's file of a folder.
    Folder {
        /// Every signed transaction.
        journal: SqliteJournal,
        /// The safety record.
        notes: Notes,
        /// What mined transactions earned and cost.
        results: Results,
    },
    /// In a database that keepers share.
    Server(Arc<Server>),
}

impl Records {
    /// Opens the database of the settings, or uses the folder's journal where they name none. Fails if the database cannot be
    /// used, or if the folder's journal has transactions pending that the database does not know.
    pub async fn open(settings: &config::Store, store: &Store, identity: &Identity) -> Result<Self, StoreError> {
        let Some(postgres) = &settings.postgres else { return Ok(Self::of_folder(store)) };
        let pending = store.journal.unsettled().await?;
        if pending > 0 {
            return Err(StoreError::PendingInFolder { folder: settings.folder.clone(), pending });
        }
        Ok(Self::Server(Arc::new(Server::open(postgres, identity).await?)))
    }

    /// Uses the journal of a folder.
    #[must_use]
    pub fn of_folder(store: &Store) -> Self {
        let (journal, notes, results) = (store.journal.clone(), store.notes.clone(), store.results.clone());
        Self::Folder { journal, notes, results }
    }

    /// Deletes entries that were settled this long before the newest change, by the chain's clock. Entries that are not
    /// settled, and each signer's highest nonce, are kept whatever their age. Returns the number of deleted entries.
    pub async fn prune(&self, retention: Duration) -> Result<usize, StoreError> {
        match self {
            Self::Folder { journal, .. } => journal.prune(retention).await,
            Self::Server(server) => server.prune(retention).await,
        }
    }

    /// Writes the result of an intent, in place of an earlier one.
    pub async fn record_result(&self, row: &ResultRow) -> Result<(), StoreError> {
        match self {
            Self::Folder { results, .. } => results.record(row).await,
            Self::Server(server) => server.record_result(row).await,
        }
    }

    /// Reads the newest results, at most so many, the newest first.
    pub async fn newest_results(&self, max: usize) -> Result<Vec<ResultRow>, StoreError> {
        match self {
            Self::Folder { results, .. } => results.newest(max).await,
            Self::Server(server) => server.newest_results(max).await,
        }
    }

    /// Deletes the result of an intent, if there is one: its block was reorganised away.
    pub async fn take_back_result(&self, intent: u64) -> Result<(), StoreError> {
        match self {
            Self::Folder { results, .. } => results.take_back(intent).await,
            Self::Server(server) => server.take_back_result(intent).await,
        }
    }

    /// Returns the safety record of the signers, of which `first` is the one that signs liquidations.
    #[must_use]
    pub fn safety(&self, first: Address) -> SafetyRecords {
        SafetyRecords { records: self.clone(), signer: first }
    }
}

/// The safety record of a keeper's signers.
#[derive(Debug, Clone)]
pub struct SafetyRecords {
    records: Records,
    signer: Address,
}

impl SafetyStore for SafetyRecords {
    async fn read(&self) -> Result<Option<SafetyRecord>, SafetyStoreError> {
        match &self.records {
            Records::Folder { notes, .. } => SafetyStore::read(notes).await,
            Records::Server(server) => Ok(server.safety_record(self.signer).await.map_err(StoreError::from)?),
        }
    }

    async fn write(&self, record: SafetyRecord) -> Result<(), SafetyStoreError> {
        match &self.records {
            Records::Folder { notes, .. } => SafetyStore::write(notes, record).await,
            Records::Server(server) => {
                Ok(server.write_safety_record(self.signer, &record).await.map_err(StoreError::from)?)
            }
        }
    }
}

impl Journal for Records {
    fn lease_term(&self) -> Option<Duration> {
        match self {
            Self::Folder { journal, .. } => journal.lease_term(),
            Self::Server(server) => server.lease_term(),
        }
    }

    async fn acquire(&self, signers: &[Address]) -> Result<Option<Lease>, JournalError> {
        match self {
            Self::Folder { journal, .. } => journal.acquire(signers).await,
            Self::Server(server) => server.acquire(signers).await,
        }
    }

    async fn heartbeat(&self, lease: Option<Lease>, head: u64) -> Result<FleetStatus, JournalError> {
        match self {
            Self::Folder { journal, .. } => journal.heartbeat(lease, head).await,
            Self::Server(server) => server.heartbeat(lease, head).await,
        }
    }

    async fn release(&self, lease: Lease) -> Result<(), JournalError> {
        match self {
            Self::Folder { journal, .. } => journal.release(lease).await,
            Self::Server(server) => server.release(lease).await,
        }
    }

    async fn leave(&self) -> Result<(), JournalError> {
        match self {
            Self::Folder { journal, .. } => journal.leave().await,
            Self::Server(server) => server.leave().await,
        }
    }

    async fn recover(&self, signer: Address) -> Result<Recovered, JournalError> {
        match self {
            Self::Folder { journal, .. } => journal.recover(signer).await,
            Self::Server(server) => server.recover(signer).await,
        }
    }

    async fn next_id(&self) -> Result<u64, JournalError> {
        match self {
            Self::Folder { journal, .. } => journal.next_id().await,
            Self::Server(server) => server.next_id().await,
        }
    }

    async fn record(&self, lease: Lease, entries: Vec<JournalEntry>) -> Result<(), JournalError> {
        match self {
            Self::Folder { journal, .. } => journal.record(lease, entries).await,
            Self::Server(server) => server.record(lease, entries).await,
        }
    }

    async fn claim(
        &self,
        lease: Lease,
        signer: Address,
        claims: Vec<Claim>,
        head: (u64, u64),
    ) -> Result<Vec<u64>, JournalError> {
        match self {
            Self::Folder { journal, .. } => journal.claim(lease, signer, claims, head).await,
            Self::Server(server) => server.claim(lease, signer, claims, head).await,
        }
    }

    async fn end_claims(&self, signer: Address, ended: Vec<(u64, Option<u64>)>) -> Result<(), JournalError> {
        match self {
            Self::Folder { journal, .. } => journal.end_claims(signer, ended).await,
            Self::Server(server) => server.end_claims(signer, ended).await,
        }
    }
}
