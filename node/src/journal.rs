//! Transactions that were signed and are not known to be mined, on disk before they are sent.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::TransactionRequest,
};
use rusqlite::{Connection, params};

use crate::database;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS journal (
        chain INTEGER NOT NULL, account BLOB NOT NULL, nonce INTEGER NOT NULL,
        request TEXT NOT NULL, raw BLOB NOT NULL, hashes TEXT NOT NULL,
        PRIMARY KEY (chain, account, nonce)
    ) STRICT;
";

/// A transaction that was signed and is not known to be mined.
#[derive(Debug, Clone)]
pub(crate) struct Journalled {
    pub(crate) nonce: u64,
    pub(crate) request: TransactionRequest,
    /// The last one that was signed.
    pub(crate) raw: Bytes,
    /// Hashes of all that were signed with this nonce.
    pub(crate) hashes: Vec<B256>,
}

/// The transactions of one account on one chain, in a database that this process owns.
#[derive(Debug)]
pub(crate) struct Journal {
    database: Mutex<Connection>,
    chain_id: u64,
    account: Address,
}

impl Journal {
    /// Opens the journal in a database, whose lock the caller holds.
    pub(crate) fn open(path: &Path, chain_id: u64, account: Address) -> eyre::Result<Self> {
        let database = Mutex::new(database::connect(path, SCHEMA)?);
        Ok(Self { database, chain_id, account })
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a signed transaction down, before it is sent.
    pub(crate) fn keep(&self, entry: &Journalled) -> eyre::Result<()> {
        self.database().execute(
            "INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?, ?, ?)",
            params![
                i64::try_from(self.chain_id)?,
                self.account.as_slice(),
                i64::try_from(entry.nonce)?,
                serde_json::to_string(&entry.request)?,
                &entry.raw[..],
                serde_json::to_string(&entry.hashes)?
            ],
        )?;
        Ok(())
    }

    /// Forgets a transaction that is mined, or that can never be.
    pub(crate) fn forget(&self, nonce: u64) -> eyre::Result<()> {
        self.database().execute(
            "DELETE FROM journal WHERE chain = ? AND account = ? AND nonce = ?",
            params![i64::try_from(self.chain_id)?, self.account.as_slice(), i64::try_from(nonce)?],
        )?;
        Ok(())
    }

    /// Transactions that are not known to be mined, by nonce.
    pub(crate) fn transactions(&self) -> eyre::Result<Vec<Journalled>> {
        let database = self.database();
        let query = "SELECT nonce, request, raw, hashes FROM journal WHERE chain = ? AND account = ? ORDER BY nonce";
        let mut statement = database.prepare(query)?;
        let rows = statement.query_map(params![i64::try_from(self.chain_id)?, self.account.as_slice()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, String>(3)?))
        })?;
        rows.map(|row| {
            let (nonce, request, raw, hashes) = row?;
            let (request, hashes) = (serde_json::from_str(&request)?, serde_json::from_str(&hashes)?);
            Ok(Journalled { nonce: nonce.try_into()?, request, raw: raw.into(), hashes })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_kept_for_its_account_until_it_is_forgotten() -> eyre::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("store.sqlite");
        let [account, other] = [1, 2].map(Address::repeat_byte);
        let entry = Journalled {
            nonce: 7,
            request: TransactionRequest::default().gas_limit(9),
            raw: Bytes::from_static(&[1, 2]),
            hashes: vec![B256::ZERO],
        };
        Journal::open(&path, 1, account)?.keep(&entry)?;
        for (chain_id, account) in [(1, other), (2, account)] {
            let others = Journal::open(&path, chain_id, account)?;
            assert!(others.transactions()?.is_empty());
            others.forget(7)?;
        }
        let journal = Journal::open(&path, 1, account)?;
        let kept = journal.transactions()?;
        assert_eq!((kept.len(), kept[0].nonce, &kept[0].raw, &kept[0].hashes), (1, 7, &entry.raw, &entry.hashes));
        assert_eq!(kept[0].request, entry.request);
        journal.forget(7)?;
        assert!(journal.transactions()?.is_empty());
        Ok(())
    }
}
