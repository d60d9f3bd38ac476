//! What a client must still know after a crash: what it has signed, what it was charged, and the request that it has
//! paid for without having its answer.

use std::{fs::File, path::Path};

use alloy::primitives::B256;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::{database, x402::WireConfig};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS channels (
        id BLOB PRIMARY KEY, url TEXT NOT NULL, config TEXT NOT NULL, charged BLOB NOT NULL, signed BLOB NOT NULL,
        stopped TEXT, pending_body TEXT, pending_payment TEXT
    ) STRICT;
    CREATE TABLE IF NOT EXISTS receipts (channel BLOB NOT NULL, charged BLOB NOT NULL, file TEXT NOT NULL) STRICT;
";

/// A client's store, of which one process at a time is the owner.
#[derive(Debug)]
pub(super) struct Ledger {
    database: Connection,
    _lock: File,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: B256,
    pub(super) url: String,
    pub(super) config: WireConfig,
    /// What the node has charged in all, as far as it was said.
    pub(super) charged: u128,
    /// The most that was ever signed for: what the node can claim at most.
    pub(super) signed: u128,
    /// Why nothing is paid to this node any more.
    pub(super) stopped: Option<String>,
    /// Body and payment of the request that was sent and whose end is not known.
    pub(super) pending: Option<(String, Value)>,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> eyre::Result<Self> {
        let busy = "another process pays from this ledger; wait for it, or use a ledger and a --salt of its own";
        let (database, lock) = database::open(path, SCHEMA, busy)?;
        Ok(Self { database, _lock: lock })
    }

    pub(super) fn accounts(&self) -> eyre::Result<Vec<Account>> {
        let query = "SELECT id, url, config, charged, signed, stopped, pending_body, pending_payment FROM channels";
        let mut statement = self.database.prepare(query)?;
        let rows = statement.query_map((), |row| {
            let pending: Option<(String, String)> =
                row.get::<_, Option<String>>(6)?.zip(row.get::<_, Option<String>>(7)?);
            let sums = (row.get::<_, [u8; 16]>(3)?, row.get::<_, [u8; 16]>(4)?);
            Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?, row.get::<_, String>(2)?, sums, row.get(5)?, pending))
        })?;
        rows.map(|row| {
            let (id, url, config, (charged, signed), stopped, pending) = row?;
            let pending = pending.map(|(body, payment)| serde_json::from_str(&payment).map(|payment| (body, payment)));
            Ok(Account {
                id: id.into(),
                url,
                config: serde_json::from_str(&config)?,
                charged: u128::from_be_bytes(charged),
                signed: u128::from_be_bytes(signed),
                stopped,
                pending: pending.transpose()?,
            })
        })
        .collect()
    }

    pub(super) fn account(&self, id: B256) -> eyre::Result<Option<Account>> {
        Ok(self.accounts()?.into_iter().find(|account| account.id == id))
    }

    /// Puts an account on disk as it is.
    pub(super) fn keep(&self, account: &Account) -> eyre::Result<()> {
        let pending = account.pending.as_ref();
        self.database.execute(
            "INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                account.id.as_slice(),
                account.url,
                serde_json::to_string(&account.config)?,
                account.charged.to_be_bytes(),
                account.signed.to_be_bytes(),
                account.stopped,
                pending.map(|(body, _)| body),
                pending.map(|(_, payment)| payment.to_string()),
            ],
        )?;
        Ok(())
    }

    /// Ends a request: the account without its pending request, and the receipt with its input, in one commit.
    pub(super) fn finish(&mut self, account: &Account, file: Option<&str>) -> eyre::Result<()> {
        let transaction = self.database.transaction()?;
        transaction.execute(
            "UPDATE channels SET charged = ?, stopped = ?, pending_body = NULL, pending_payment = NULL WHERE id = ?",
            params![account.charged.to_be_bytes(), account.stopped, account.id.as_slice()],
        )?;
        if let Some(file) = file {
            transaction.execute(
                "INSERT INTO receipts VALUES (?, ?, ?)",
                params![account.id.as_slice(), account.charged.to_be_bytes(), file],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// The last receipt of a channel with its input, to verify or audit.
    pub(super) fn last_receipt(&self, id: B256) -> eyre::Result<Option<String>> {
        let query = "SELECT file FROM receipts WHERE channel = ? ORDER BY rowid DESC LIMIT 1";
        Ok(self.database.query_row(query, [id.as_slice()], |row| row.get(0)).optional()?)
    }
}
