//! Executes a block again on an unmodified Anvil that forks from a node with the state before it.
//!
//! Not every block can be replayed: Anvil's `PREVRANDAO` cannot be set, so a block whose contracts read it ends with
//! another result, and the blobs of blob transactions are not part of a block.

use std::fmt;

use alloy::{
    consensus::{BlockHeader, Typed2718},
    eips::{BlockNumberOrTag, Encodable2718},
    network::Ethereum,
    primitives::B256,
    providers::{Provider, ProviderBuilder, ext::AnvilApi},
    rpc::types::Block,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::toolchain::tools::Tools;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::node::Node;

/// Timestamp of Ethereum's Osaka fork, which changed rules but no header field.
const OSAKA_SECOND: u64 = 1_764_798_551;

/// Transaction type of EIP-4844.
const BLOB_TRANSACTION: u8 = 3;

/// The result of executing a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Number of transactions.
    pub transactions: usize,
    /// Gas used by all of them.
    pub gas_used: u64,
    /// Root of the receipts, which covers the status, gas and events of every transaction.
    pub receipts_root: B256,
}

impl Outcome {
    /// Reads the result from a block's header.
    #[must_use]
    pub fn of(block: &Block) -> Self {
        let header = &block.header;
        let transactions = block.transactions.len();
        Self { transactions, gas_used: header.gas_used(), receipts_root: header.receipts_root() }
    }
}

impl Outcome {
    /// Explains how a replay that ended with this differs from the block.
    ///
    /// # Errors
    /// When it differs, with the first difference that explains the others.
    pub fn check(&self, block: &Block) -> eyre::Result<()> {
        let was = Self::of(block);
        let number = block.header.number();
        ensure!(
            self.transactions == was.transactions,
            "only {} of the {} transactions of block {number} were mined: the others were refused or did not fit. \
             State before the block is missing or wrong, or the node has other rules than {}",
            self.transactions,
            was.transactions,
            rules_of(block)
        );
        ensure!(
            *self == was,
            "all {} transactions of block {number} were mined, but with {self} instead of {was}. Anvil cannot set \
             PREVRANDAO, so a block whose contracts read it ends differently; otherwise state before the block is missing",
            was.transactions
        );
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, gas_used, receipts_root } = self;
        write!(f, "{transactions} transactions, {gas_used} gas, receipts root {receipts_root}")
    }
}

/// Executes a block again, under the rules of its time, on an Anvil that forks from `upstream` before it. The caller
/// compares the result with that of the chain.
///
/// # Errors
/// When a transaction is refused, or carries blobs.
pub async fn replay(tools: &Tools, upstream: &str, block: &Block) -> eyre::Result<Outcome> {
    let header = &block.header;
    let before = header.number().checked_sub(1).wrap_err("before block 0 there is nothing to start from")?;
    let (before, gas_limit) = (before.to_string(), header.gas_limit().to_string());
    let arguments = [
        ["--fork-url", upstream],
        ["--fork-block-number", &before],
        ["--hardfork", rules_of(block)],
        ["--gas-limit", &gas_limit],
        // In the order of the block, not by fee.
        ["--order", "fifo"],
    ];
    // An account that is funded within the block has no balance yet when its transaction enters the pool.
    let flags = ["--no-mining", "--no-storage-caching", "--disable-pool-balance-checks"];
    let arguments: Vec<&str> = arguments.iter().flatten().chain(&flags).copied().collect();
    let node = Node::start(tools, &arguments).await?;
    let provider = node.provider();
    provider.anvil_set_next_block_base_fee_per_gas(header.base_fee_per_gas().unwrap_or_default().into()).await?;
    provider.anvil_set_next_block_timestamp(header.timestamp()).await?;
    provider.anvil_set_coinbase(header.beneficiary()).await?;
    for (position, transaction) in block.transactions.txns().enumerate() {
        ensure!(
            transaction.ty() != BLOB_TRANSACTION,
            "transaction {position} carries blobs, which are not in the block: this block cannot be replayed"
        );
        let signed = transaction.inner.encoded_2718();
        let _pending = provider
            .send_raw_transaction(&signed)
            .await
            .wrap_err_with(|| format!("transaction {position} of block {}", header.number()))?;
    }
    // Mining fetches every account and slot that was not fetched before, one after another, and may take minutes: this
    // call has no time limit.
    let unlimited = ProviderBuilder::<_, _, Ethereum>::default().connect_http(node.http_url().parse()?);
    let _: Value = unlimited.raw_request("evm_mine".into(), ()).await?;
    let mined = provider.get_block_by_number(BlockNumberOrTag::Number(header.number())).await?;
    Ok(Outcome::of(&mined.wrap_err("the replayed block was not mined")?))
}

/// Returns Anvil's name of the hard fork whose rules a block was made under.
#[must_use]
pub fn rules_of(block: &Block) -> &'static str {
    let header = &block.header;
    if header.requests_hash().is_some() {
        if header.timestamp() < OSAKA_SECOND { "prague" } else { "osaka" }
    } else if header.blob_gas_used().is_some() {
        "cancun"
    } else if header.withdrawals_root().is_some() {
        "shanghai"
    } else if header.difficulty().is_zero() {
        "paris"
    } else {
        "london"
    }
}

/// Parses a block from JSON. Fails where it does not have the form of an Ethereum block.
pub(super) fn typed(block: &Value) -> eyre::Result<Block> {
    Block::deserialize(block).wrap_err_with(|| format!("block {} is none that Ethereum has", block["number"]))
}
