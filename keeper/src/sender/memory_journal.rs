//! A journal in memory, for tests that end a process in the middle and start it again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use alloy::primitives::Address;

use super::journal::{Journal, JournalEntry, JournalError, Lease, Recovered};

/// A journal in memory. Clones share its entries, as two starts of one keeper share a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryJournal(Arc<Mutex<BTreeMap<u64, JournalEntry>>>);

impl MemoryJournal {
    /// Returns every entry, by id.
    pub(crate) fn entries(&self) -> Vec<JournalEntry> {
        self.with(|entries| entries.values().cloned().collect())
    }

    /// Writes as [`Journal::record`] does, without a runtime.
    pub(crate) fn write(&self, new: Vec<JournalEntry>) {
        self.with(|entries| entries.extend(new.into_iter().map(|entry| (entry.id, entry))));
    }

    /// Puts these entries in the place of all.
    pub(crate) fn replace(&self, all: Vec<JournalEntry>) {
        self.with(|entries| *entries = all.into_iter().map(|entry| (entry.id, entry)).collect());
    }

    /// Reads as [`Journal::recover`] does, without a runtime.
    pub(crate) fn read(&self, signer: Address) -> Recovered {
        self.with(|entries| {
            let of_signer = || entries.values().filter(|entry| entry.signer == signer);
            Recovered {
                next_nonce: of_signer().map(|entry| entry.nonce.saturating_add(1)).max(),
                unsettled: of_signer().filter(|entry| !entry.state.is_settled()).cloned().collect(),
            }
        })
    }

    fn with<T>(&self, run: impl FnOnce(&mut BTreeMap<u64, JournalEntry>) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal for MemoryJournal {
    async fn recover(&self, signer: Address) -> Result<Recovered, JournalError> {
        Ok(self.read(signer))
    }

    async fn next_id(&self) -> Result<u64, JournalError> {
        Ok(self.with(|entries| entries.last_key_value().map_or(0, |(id, _)| id.saturating_add(1))))
    }

    async fn record(&self, _: Lease, entries: Vec<JournalEntry>) -> Result<(), JournalError> {
        self.write(entries);
        Ok(())
    }
}
