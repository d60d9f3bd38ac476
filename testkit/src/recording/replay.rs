//! A block carried out again on a stock Anvil, in front of whoever has the state before it.
//!
//! Not every block can be: Anvil takes no `PREVRANDAO`, so that a block whose contracts ask for it ends otherwise, and
//! the blobs of a transaction that carries some are not in the block.

use std::fmt;

use alloy::{
    consensus::{BlockHeader, Typed2718},
    eips::{BlockNumberOrTag, Encodable2718},
    primitives::B256,
    providers::{Provider, ext::AnvilApi},
    rpc::types::Block,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::tools::Tools;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::node::Node;

/// When Ethereum got the rules that no header shows.
const OSAKA_SECOND: u64 = 1_764_798_551;

/// EIP-4844's.
const BLOB_TRANSACTION: u8 = 3;

/// How a block ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// How many transactions are in it.
    pub transactions: usize,
    /// How much gas they used.
    pub gas_used: u64,
    /// The root over their receipts: whether each succeeded, what it cost, and every event.
    pub receipts_root: B256,
}

impl Outcome {
    /// Takes it from a header.
    #[must_use]
    pub fn of(block: &Block) -> Self {
        let header = &block.header;
        let transactions = block.transactions.len();
        Self { transactions, gas_used: header.gas_used(), receipts_root: header.receipts_root() }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, gas_used, receipts_root } = self;
        write!(f, "{transactions} transactions, {gas_used} gas, receipts root {receipts_root}")
    }
}

/// Carries a block out again, under its own rules, on an Anvil that forks from `upstream` before it. Fails where a
/// transaction is refused; that it ends otherwise than it did is the caller's to see.
pub async fn replay(tools: &Tools, upstream: &str, block: &Block) -> eyre::Result<Outcome> {
    let header = &block.header;
    let before = header.number().checked_sub(1).wrap_err("before block 0 there is nothing to start from")?;
    let (before, gas_limit) = (before.to_string(), header.gas_limit().to_string());
    let arguments = [
        ["--fork-url", upstream],
        ["--fork-block-number", &before],
        ["--hardfork", rules_of(block)],
        ["--gas-limit", &gas_limit],
        // As they stand in the block, not as they pay.
        ["--order", "fifo"],
    ];
    // Who is paid in this very block has nothing yet when his transaction is handed in.
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
    provider.evm_mine(None).await?;
    let mined = provider.get_block_by_number(BlockNumberOrTag::Number(header.number())).await?;
    Ok(Outcome::of(&mined.wrap_err("the replayed block was not mined")?))
}

/// The name that Anvil has for the rules under which a block was made.
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

/// Reads a block as a node gives it. Fails where it is none of Ethereum's.
pub(super) fn typed(block: &Value) -> eyre::Result<Block> {
    Block::deserialize(block).wrap_err_with(|| format!("block {} is none that Ethereum has", block["number"]))
}
