//! The sender's entries in `journal.db`.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, Bytes};
use rusqlite::{Connection, types::Type};

use super::{StoreError, journal::Journal as File, worker::Worker};
use crate::sender::journal::{Entry, Journal, JournalError, Recovered};

const PRUNE: &str = "
    DELETE FROM entries WHERE settled
        AND json_extract(entry, '$.changed_at') + ?1 < (SELECT max(json_extract(entry, '$.changed_at')) FROM entries)
        AND nonce < (SELECT max(nonce) FROM entries AS other WHERE other.signer = entries.signer)
        AND id < (SELECT max(id) FROM entries)
";

/// Every transaction that was signed. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    file: Arc<Worker<File>>,
}

impl SqliteJournal {
    pub(super) const fn new(file: Arc<Worker<File>>) -> Self {
        Self { file }
    }

    /// The newest entries, at most so many, the newest first. Those that are settled come without their bytes.
    pub async fn newest(&self, limit: u32) -> Result<Vec<Entry>, StoreError> {
        self.run(move |connection| {
            let mut select = connection.prepare_cached("SELECT entry FROM entries ORDER BY id DESC LIMIT ?1")?;
            select.query_map([limit], read)?.collect()
        })
        .await
    }

    /// Forgets what was settled so long before the newest change, by the chain's clock. Kept whatever its age is what is
    /// not settled, each signer's highest nonce, and the highest id: they say where to go on. How many were forgotten.
    pub async fn prune(&self, keep: Duration) -> Result<usize, StoreError> {
        self.run(move |connection| connection.execute(PRUNE, [keep.as_secs()])).await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.file.ask(move |file| file.run(job)).await
    }
}

impl Journal for SqliteJournal {
    async fn recover(&self, signer: Address) -> Result<Recovered, JournalError> {
        let recovered = self.run(move |connection| {
            let signer = signer.to_string();
            let highest: Option<u64> =
                connection
                    .query_row("SELECT max(nonce) FROM entries WHERE signer = ?1", [&signer], |row| row.get(0))?;
            let mut select = connection.prepare("SELECT entry FROM entries WHERE signer = ?1 AND NOT settled")?;
            let unsettled = select.query_map([&signer], read)?.collect::<rusqlite::Result<_>>()?;
            Ok(Recovered { next_nonce: highest.map(|nonce| nonce.saturating_add(1)), unsettled })
        });
        Ok(recovered.await?)
    }

    async fn next_id(&self) -> Result<u64, JournalError> {
        let highest = self.run(|connection| {
            connection.query_row("SELECT max(id) FROM entries", [], |row| row.get::<_, Option<u64>>(0))
        });
        Ok(highest.await?.map_or(0, |id| id.saturating_add(1)))
    }

    async fn record(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        let written = self.run(|connection| {
            let transaction = connection.transaction()?;
            for entry in entries {
                write(&transaction, entry)?;
            }
            transaction.commit()
        });
        Ok(written.await?)
    }
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        Self { problem: error.to_string() }
    }
}

fn write(connection: &Connection, mut entry: Entry) -> rusqlite::Result<()> {
    if entry.state.is_settled() {
        // Nobody broadcasts them again, and they are most of what an entry is.
        for attempt in &mut entry.attempts {
            attempt.raw = Bytes::new();
        }
    }
    let text = serde_json::to_string(&entry).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let mut upsert = connection.prepare_cached(
        "INSERT OR REPLACE INTO entries (id, signer, nonce, state, settled, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (state, settled) = (entry.state.name(), entry.state.is_settled());
    upsert.execute((entry.id, entry.signer.to_string(), entry.nonce, state, settled, text)).map(drop)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let text: String = row.get(0)?;
    serde_json::from_str(&text).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
}

#[cfg(test)]
mod tests;
