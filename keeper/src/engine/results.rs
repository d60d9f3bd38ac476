//! What mined transactions earned and cost, written to the store for the report.
//!
//! After a restart the sender reports again what was mined before it and is not final, and after it has taken over signers from
//! another keeper what that one sent. The results in the store tell which of that is known: it is shown, and not logged, measured
//! or written a second time. What a reorg moved to another block meanwhile cost something else there, and is news.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::primitives::{B256, U64, U128, U256};
use plimsoll_chain::error::ChainError;
use serde::Deserialize;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinHandle,
};
use tracing::{error, warn};

use super::wiring;
use crate::{
    config::Config,
    intent::{Outcome, Receipt, Report},
    safety::Execution,
    store::{Records, ResultRow, ResultStatus, StoreError, TokenAmount},
    stream::StreamReader,
    view::{Ledger, labelled, place},
};

/// Number of results that are remembered: more are not mined between a transaction's inclusion and its finality.
const MAX_KNOWN: usize = 1_024;

/// Writes results to the store, one after another, and reads the block of each for its time and base fee.
#[derive(Debug)]
pub(super) struct ResultsRecorder {
    /// Intents with a result, and their transactions and blocks, the oldest first.
    known: VecDeque<(u64, B256, u64)>,
    records: Records,
    /// Intents of the changes that are not written, in the order of the changes.
    queued: Arc<Mutex<VecDeque<u64>>>,
    changes: UnboundedSender<Change>,
    task: JoinHandle<()>,
}

/// A change of the results.
#[derive(Debug)]
enum Change {
    /// A transaction was mined. The row says nothing yet that depends on its block.
    Record(Box<ResultRow>, Receipt),
    /// The block of this intent's transaction was reorganised away.
    TakeBack(u64),
}

/// The part of a block that is needed here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    timestamp: U64,
    #[serde(default)]
    base_fee_per_gas: U128,
}

impl ResultsRecorder {
    /// Starts a task that writes to `records`, whose newest results are known from the start. Fails if they cannot be read.
    pub(super) async fn start(records: Records, reader: StreamReader) -> Result<Self, StoreError> {
        let (changes, receiver) = mpsc::unbounded_channel();
        let queued = Arc::default();
        let task = tokio::spawn(record(receiver, Arc::clone(&queued), records.clone(), reader));
        let mut recorder = Self { known: VecDeque::new(), records, queued, changes, task };
        recorder.learn().await?;
        Ok(recorder)
    }

    /// Learns the newest results in the store, which other keepers may have written. Fails if they cannot be read.
    pub(super) async fn learn(&mut self) -> Result<(), StoreError> {
        // Taken before the store is read, whose answer may lack what is written meanwhile.
        let queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let newest = self.records.newest_results(MAX_KNOWN).await?;
        for place in newest.iter().rev().map(|row| (row.intent, row.hash, row.block)) {
            // What this keeper learnt of its own transactions may still have to be written.
            if !queued.contains(&place.0) && !self.known.contains(&place) {
                self.remember(place);
            }
        }
        Ok(())
    }

    fn remember(&mut self, place: (u64, B256, u64)) {
        self.known.push_back(place);
        if self.known.len() > MAX_KNOWN {
            self.known.pop_front();
        }
    }

    /// Whether a report says of a transaction that it was mined, and its result is known.
    pub(super) fn is_known(&self, report: &Report) -> bool {
        report.outcome.receipt().is_some_and(|receipt| self.known.contains(&place_of(report.id, receipt)))
    }

    /// Records a report after which other transactions are mined than before. `ledger` knows its result.
    pub(super) fn on_report(&mut self, config: &Config, ledger: &Ledger, report: &Report) {
        self.known.retain(|(intent, ..)| *intent != report.id);
        if let Some(receipt) = report.outcome.receipt() {
            self.remember(place_of(report.id, receipt));
        }
        let change = match &report.outcome {
            Outcome::Mined(receipt) => {
                let row = ResultRow {
                    gain_wei: ledger.gain_of(receipt.inclusion.hash),
                    ..row(config, report, receipt, ResultStatus::Mined)
                };
                Change::Record(Box::new(row), *receipt)
            }
            Outcome::Reverted(receipt) => {
                Change::Record(Box::new(row(config, report, receipt, ResultStatus::Reverted)), *receipt)
            }
            Outcome::Cancelled(receipt) => {
                Change::Record(Box::new(row(config, report, receipt, ResultStatus::Cancelled)), *receipt)
            }
            Outcome::Reorged => Change::TakeBack(report.id),
            _ => return,
        };
        self.queued.lock().unwrap_or_else(PoisonError::into_inner).push_back(report.id);
        // The task ends with this handle.
        self.changes.send(change).ok();
    }

    /// Waits until everything is written.
    pub(super) async fn finish(self) {
        drop(self.changes);
        if self.task.await.is_err() {
            error!("results not written");
        }
    }
}

const fn place_of(intent: u64, receipt: &Receipt) -> (u64, B256, u64) {
    (intent, receipt.inclusion.hash, receipt.inclusion.block)
}

/// The row of a mined transaction, without what its block and its gain say.
fn row(config: &Config, report: &Report, receipt: &Receipt, status: ResultStatus) -> ResultRow {
    let execution = Execution::of(&report.logs, &wiring::contracts(config), report.intent.profit.as_ref());
    let profit = labelled(config, execution.profit);
    ResultRow {
        intent: report.id,
        at: 0,
        block: receipt.inclusion.block,
        hash: receipt.inclusion.hash,
        strategy: report.intent.scope.strategy.clone().into_owned(),
        place: place(config, &report.intent.purpose),
        accounts: execution.accounts,
        status,
        gain_wei: U256::ZERO,
        gas_wei: U256::ZERO,
        tip_wei: None,
        builder_wei: execution.builder_paid,
        data_fee_wei: U256::from(receipt.data_fee),
        profit: profit.map(|profit| TokenAmount { amount: profit.exact(), token: profit.token }),
    }
}

async fn record(
    mut changes: UnboundedReceiver<Change>,
    queued: Arc<Mutex<VecDeque<u64>>>,
    records: Records,
    reader: StreamReader,
) {
    while let Some(change) = changes.recv().await {
        let written = match change {
            Change::Record(mut row, receipt) => {
                let block = block_of(&reader, &receipt).await;
                row.at = block.as_ref().map_or_else(now, |block| block.timestamp.to());
                (row.gas_wei, row.tip_wei) = costs(&receipt, block.map(|block| block.base_fee_per_gas.to()));
                records.record_result(&row).await
            }
            Change::TakeBack(intent) => records.take_back_result(intent).await,
        };
        if let Err(error) = written {
            error!(%error, "result not written");
        }
        queued.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    }
}

/// Reads the block of a receipt; `None` where no endpoint has it.
async fn block_of(reader: &StreamReader, receipt: &Receipt) -> Option<Block> {
    let (number, hash) = (receipt.inclusion.block, receipt.inclusion.block_hash);
    let block: Result<Option<Block>, ChainError> = reader.ask(number, "eth_getBlockByHash", (hash, false)).await;
    block
        .inspect_err(|error| warn!(block = number, %error, "block of a result not read: its tip is counted as gas"))
        .ok()
        .flatten()
}

/// Gas at the base fee, and priority fees, in wei; all of it as gas where the base fee is not known.
fn costs(receipt: &Receipt, base_fee: Option<u128>) -> (U256, Option<U256>) {
    let paid = receipt.effective_gas_price;
    let cost = |price: u128| U256::from(receipt.gas_used).saturating_mul(U256::from(price));
    match base_fee {
        // A price below the base fee would be a node's mistake.
        Some(base_fee) => (cost(base_fee.min(paid)), Some(cost(paid.saturating_sub(base_fee)))),
        None => (cost(paid), None),
    }
}

/// The time in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        store::{Identity, Store},
        view::fixture::{Fixture, receipt},
    };

    /// Records in a folder of their own.
    fn records() -> (Records, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { chain_id: 1, genesis: B256::ZERO, core: Address::ZERO, rewards: None };
        (Records::of_folder(&Store::open(folder.path(), &identity).unwrap()), folder)
    }

    #[tokio::test]
    async fn a_result_is_known_in_its_block_alone() {
        let fixture = Fixture::new(&[]);
        let (changes, _received) = mpsc::unbounded_channel();
        let (records, _folder) = records();
        let task = tokio::spawn(async {});
        let queued = Arc::default();
        let mut recorder = ResultsRecorder { known: VecDeque::new(), records, queued, changes, task };
        let mined_in = |block| fixture.report(7, Outcome::Mined(receipt(1, block, true)));
        // Another keeper writes it, and is known when this one takes its signers over.
        let written = row(&fixture.config, &mined_in(5), &receipt(1, 5, true), ResultStatus::Mined);
        recorder.records.record_result(&written).await.unwrap();
        assert!(!recorder.is_known(&mined_in(5)));
        for _ in 0..2 {
            recorder.learn().await.unwrap();
        }
        assert!(recorder.is_known(&mined_in(5)));
        assert_eq!(recorder.known.len(), 1);
        // A reorg while the keeper was away.
        assert!(!recorder.is_known(&mined_in(6)));
        recorder.on_report(&fixture.config, &Ledger::default(), &mined_in(6));
        assert!(recorder.is_known(&mined_in(6)) && !recorder.is_known(&mined_in(5)));
        recorder.on_report(&fixture.config, &Ledger::default(), &fixture.report(7, Outcome::Reorged));
        assert!(!recorder.is_known(&mined_in(6)));
        // The store still has a row that is to be deleted.
        recorder.learn().await.unwrap();
        assert!(!recorder.is_known(&mined_in(5)));
    }

    #[test]
    fn gas_and_tip_add_up_to_the_fee() {
        let receipt = Receipt { data_fee: 0, ..receipt(1, 2, true) };
        let paid = receipt.effective_gas_price;
        for base_fee in [None, Some(0), Some(paid - 1), Some(paid), Some(paid + 1)] {
            let (gas, tip) = costs(&receipt, base_fee);
            assert_eq!(gas + tip.unwrap_or_default(), receipt.fee(), "{base_fee:?}");
        }
        assert_eq!(costs(&receipt, Some(paid - 1)).1, Some(U256::from(receipt.gas_used)));
    }
}
