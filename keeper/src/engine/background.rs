//! Work that no decision waits for: samples of the book compared with the chain, receipts read, sums persisted.

use alloy::rpc::types::TransactionReceipt;
use eyre::WrapErr;
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::failover::FailoverReader;
use crate::{
    audit::{Mismatch, Sample},
    config::Deployed,
    intent::Purpose,
    intent::Receipt,
    store::Notes,
    stream::StreamReader,
    view::{LedgerSums, count},
};

/// Name under which the store keeps the ledger's sums.
const SUMS: &str = "sums";

/// The engine's background tasks. Dropping it aborts them.
#[derive(Debug)]
pub(super) struct Background {
    tasks: JoinSet<Option<BackgroundResult>>,
    reader: StreamReader,
    notes: Notes,
}

/// Result of a background task.
#[derive(Debug)]
pub(super) enum BackgroundResult {
    /// A sample of positions was compared with the chain.
    SampleCompared {
        /// Number of the block that the sample was taken after.
        block: u64,
        /// Number of positions in the sample.
        positions: u64,
        /// Positions that differ.
        differences: Vec<Mismatch>,
    },
    /// The receipt of one of our transactions was read.
    ReceiptFetched {
        /// What the transaction is for.
        purpose: Purpose,
        /// The receipt with its logs.
        receipt: Box<TransactionReceipt>,
    },
}

impl Background {
    pub(super) fn new(reader: StreamReader, notes: Notes) -> Self {
        Self { tasks: JoinSet::new(), reader, notes }
    }

    /// Fetches the whole receipt of a mined transaction, which says what it did.
    pub(super) fn fetch_receipt(&mut self, purpose: Purpose, mined: &Receipt) {
        let (reader, block, hash) = (self.reader.clone(), mined.inclusion.block, mined.inclusion.hash);
        self.tasks.spawn(async move {
            match reader.ask::<_, Option<TransactionReceipt>>(block, "eth_getTransactionReceipt", (hash,)).await {
                Ok(receipt) => {
                    receipt.map(|receipt| BackgroundResult::ReceiptFetched { purpose, receipt: Box::new(receipt) })
                }
                Err(error) => {
                    warn!(transaction = %hash, block, %error, "receipt not read");
                    None
                }
            }
        });
    }

    /// Compares a sample of positions with the chain.
    pub(super) fn compare_sample(&mut self, sample: Sample, reader: FailoverReader, deployed: &Deployed) {
        let lens = deployed.lens;
        self.tasks.spawn(async move {
            let block = sample.header.number;
            match sample.fetch(&reader, lens).await {
                Ok(answer) => Some(BackgroundResult::SampleCompared {
                    block,
                    positions: count(sample.positions.len()),
                    differences: sample.compare(&answer),
                }),
                Err(error) => {
                    warn!(block, %error, "sample not compared");
                    None
                }
            }
        });
    }

    /// Writes the ledger's sums to the store.
    pub(super) fn save_sums(&mut self, sums: &LedgerSums) {
        let Ok(text) = serde_json::to_string(sums) else { return };
        let notes = self.notes.clone();
        self.tasks.spawn(async move {
            if let Err(error) = notes.write(SUMS, text).await {
                error!(%error, "sums not written");
            }
            None
        });
    }

    /// Waits for the next task to end, and returns its result if it has one; `None` at once while there are no tasks.
    /// May be dropped at any point.
    pub(super) async fn next(&mut self) -> Option<Option<BackgroundResult>> {
        Some(self.tasks.join_next().await?.ok().flatten())
    }

    /// Waits for all tasks to end, so that the last sums are written.
    pub(super) async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Reads the ledger's sums from the store; zero where none were written. Fails where they cannot be read.
pub(super) async fn load_sums(notes: &Notes) -> eyre::Result<LedgerSums> {
    match notes.read(SUMS).await? {
        Some(text) => serde_json::from_str(&text).wrap_err("the sums in the store's journal"),
        None => Ok(LedgerSums::default()),
    }
}
