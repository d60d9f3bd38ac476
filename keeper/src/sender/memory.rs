//! A journal that lasts as long as its process: for dry runs, and for tests that end a process in the middle.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use alloy::primitives::Address;

use super::journal::{Entry, Journal, JournalError, Recovered};

/// A journal in memory. Clones share what is written, as two starts of one keeper share a file.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    entries: BTreeMap<u64, Entry>,
    /// How many more records are taken, where that is limited.
    records_left: Option<u64>,
}

impl MemoryJournal {
    /// After so many more records everything is refused and lost, as if the disk were gone.
    pub fn fail_after(&self, records: u64) {
        self.with(|memory| memory.records_left = Some(records));
    }

    /// It works again.
    pub fn repair(&self) {
        self.with(|memory| memory.records_left = None);
    }

    /// Every entry, by id.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.with(|memory| memory.entries.values().cloned().collect())
    }

    /// Writes as [`Journal::record`] does, without a runtime.
    pub fn write(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        self.with(|memory| {
            if let Some(left) = &mut memory.records_left {
                *left = left.checked_sub(1).ok_or(JournalError { problem: "told to fail".to_owned() })?;
            }
            memory.entries.extend(entries.into_iter().map(|entry| (entry.id, entry)));
            Ok(())
        })
    }

    /// Reads as [`Journal::recover`] does, without a runtime.
    #[must_use]
    pub fn read(&self, signer: Address) -> Recovered {
        self.with(|memory| {
            let of_signer = || memory.entries.values().filter(|entry| entry.signer == signer);
            Recovered {
                next_nonce: of_signer().map(|entry| entry.nonce.saturating_add(1)).max(),
                unsettled: of_signer().filter(|entry| !entry.state.is_settled()).cloned().collect(),
            }
        })
    }

    /// Runs something over the memory. A panic elsewhere leaves whole entries behind, so the lock's poison is no matter.
    fn with<T>(&self, run: impl FnOnce(&mut Memory) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal for MemoryJournal {
    async fn recover(&self, signer: Address) -> Result<Recovered, JournalError> {
        Ok(self.read(signer))
    }

    async fn next_id(&self) -> Result<u64, JournalError> {
        Ok(self.with(|memory| memory.entries.last_key_value().map_or(0, |(id, _)| id.saturating_add(1))))
    }

    async fn record(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        self.write(entries)
    }
}
