//! What each mined transaction earned and cost: a table of the journal, which is read while a keeper runs.

use std::{ops::Range, path::Path, sync::Arc};

use alloy::primitives::{B256, U256};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use super::{
    StoreError,
    journal::{JournalFile, KIND},
    worker::Worker,
};

/// What the mined transaction of an intent earned and cost. Amounts in wei are of the native currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRow {
    /// Id of the intent.
    pub intent: u64,
    /// Timestamp of the transaction's block, in seconds; the time at which it was known to be mined where the block could
    /// not be read.
    pub at: u64,
    /// Number of the block.
    pub block: u64,
    /// Hash of the transaction.
    pub hash: B256,
    /// Strategy that decided it.
    pub strategy: String,
    /// Name of its market, staking programme or token.
    pub place: String,
    /// Number of loans that it liquidated, or of accounts that it claimed rewards for.
    pub accounts: u64,
    /// How it ended.
    pub status: ResultStatus,
    /// Value of what it brought at the rates of its decision, in wei.
    pub gain_wei: U256,
    /// Gas at the base fee, in wei; with the tip where the base fee of its block is not known.
    pub gas_wei: U256,
    /// Priority fees, in wei; `None` where the base fee of its block is not known.
    pub tip_wei: Option<U256>,
    /// What the block's builder was paid out of the profit, in wei.
    #[serde(default, skip_serializing_if = "U256::is_zero")]
    pub builder_wei: U256,
    /// Fee of a rollup for publishing the transaction's data, in wei.
    pub data_fee_wei: U256,
    /// What it brought, in tokens; `None` where nothing.
    pub profit: Option<TokenAmount>,
}

/// How a mined transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    /// It succeeded.
    Mined,
    /// It reverted.
    Reverted,
    /// It was a cancellation.
    Cancelled,
}

impl ResultStatus {
    /// Returns the name of the status in text and CSV.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mined => "mined",
            Self::Reverted => "reverted",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An amount of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAmount {
    /// Whole tokens, as a decimal number with every digit.
    pub amount: String,
    /// Name of the token.
    pub token: String,
}

/// The results of mined transactions. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Results {
    file: Arc<Worker<JournalFile>>,
}

impl Results {
    pub(super) const fn new(file: Arc<Worker<JournalFile>>) -> Self {
        Self { file }
    }

    /// Writes the result of an intent, in place of an earlier one.
    pub async fn record(&self, row: &ResultRow) -> Result<(), StoreError> {
        let (intent, at, row) = (row.intent, row.at, serde_json::to_string(row));
        self.file
            .run(move |connection| {
                let text = row.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                let upsert = "INSERT OR REPLACE INTO results (intent, at, result) VALUES (?1, ?2, ?3)";
                connection.prepare_cached(upsert)?.execute((intent, at, text)).map(drop)
            })
            .await
    }

    /// Reads the results of the newest intents, at most so many, the newest first. One that cannot be read is left out: what a
    /// keeper wants them for is not worth its start.
    pub async fn newest(&self, max: usize) -> Result<Vec<ResultRow>, StoreError> {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        self.file
            .run(move |connection| {
                let mut select =
                    connection.prepare_cached("SELECT result FROM results ORDER BY intent DESC LIMIT ?1")?;
                let texts = select.query_map([max], |row| row.get::<_, String>(0))?;
                texts
                    .filter_map(|text| text.map(|text| serde_json::from_str(&text).ok()).transpose())
                    .collect::<rusqlite::Result<_>>()
            })
            .await
    }

    /// Deletes the result of an intent, if there is one: its block was reorganised away.
    pub async fn take_back(&self, intent: u64) -> Result<(), StoreError> {
        self.file
            .run(move |connection| {
                connection.prepare_cached("DELETE FROM results WHERE intent = ?1")?.execute([intent]).map(drop)
            })
            .await
    }
}

/// Reads the results of a span of time in seconds, the oldest first, while a keeper may be running. Fails if there is no
/// journal in the folder, or one of another version.
pub fn read_results(folder: &Path, time: Range<u64>) -> Result<Vec<ResultRow>, StoreError> {
    let path = folder.join(KIND.name);
    if !path.try_exists().map_err(StoreError::io(&path))? {
        return Err(StoreError::NoJournal { path });
    }
    let read = || {
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version != KIND.schema {
            return Ok((version, Vec::new()));
        }
        let mut select =
            connection.prepare("SELECT result FROM results WHERE at >= ?1 AND at < ?2 ORDER BY at, intent")?;
        // SQLite's integers have a sign.
        let [first, end] = [time.start, time.end].map(|at| i64::try_from(at).unwrap_or(i64::MAX));
        let texts = select.query_map([first, end], |row| row.get::<_, String>(0))?;
        Ok((version, texts.collect::<rusqlite::Result<_>>()?))
    };
    let (has, texts) = read().map_err(|error| StoreError::sqlite(&path, KIND.remedy, error))?;
    if has != KIND.schema {
        return Err(StoreError::Schema { path, has, knows: KIND.schema });
    }
    let damaged = |error: serde_json::Error| StoreError::Damaged {
        path: path.clone(),
        cause: error.to_string(),
        remedy: KIND.remedy,
    };
    texts.iter().map(|text| serde_json::from_str(text).map_err(damaged)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, tests::IDENTITY};

    fn row(intent: u64, at: u64) -> ResultRow {
        ResultRow {
            intent,
            at,
            block: at,
            hash: B256::ZERO,
            strategy: "harvest".to_owned(),
            place: "plim".to_owned(),
            accounts: 1,
            status: ResultStatus::Mined,
            gain_wei: U256::MAX,
            gas_wei: U256::ONE,
            tip_wei: None,
            builder_wei: U256::ZERO,
            data_fee_wei: U256::ZERO,
            profit: None,
        }
    }

    #[tokio::test]
    async fn results_of_a_span_of_time_are_read_while_the_keeper_runs() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_results(folder.path(), 0..u64::MAX).unwrap_err().to_string();
        assert!(error.contains("no keeper has run with this store yet"), "{error}");
        let store = Store::open(folder.path(), &IDENTITY).unwrap();
        for (intent, at) in [(7, 3), (1, 1), (2, 2), (3, 9), (3, 2)] {
            store.results.record(&row(intent, at)).await.unwrap();
        }
        assert_eq!(
            read_results(folder.path(), 0..u64::MAX).unwrap(),
            [row(1, 1), row(2, 2), row(3, 2), row(7, 3)],
            "an intent has one result"
        );
        assert_eq!(read_results(folder.path(), 2..3).unwrap(), [row(2, 2), row(3, 2)]);
        assert_eq!(store.results.newest(3).await.unwrap(), [row(7, 3), row(3, 2), row(2, 2)]);
        store.results.take_back(2).await.unwrap();
        assert_eq!(read_results(folder.path(), 2..3).unwrap(), [row(3, 2)]);
    }
}
