//! Executes a block again on an unmodified Anvil that forks from a node with the state before it.
//!
//! Not every block ends as it did: Anvil derives `PREVRANDAO` by itself and has no parent beacon block root, so a block
//! whose contracts read either has another result. Blob transactions are executed without their blobs, of which the
//! block has only the hashes: Anvil checks blobs only where it does not impersonate the sender.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use alloy::{
    consensus::{BlockHeader, Transaction as _},
    eips::{BlockNumberOrTag, Encodable2718, eip7840::BlobParams},
    network::{Ethereum, TransactionResponse},
    primitives::{B256, U256},
    providers::{DynProvider, Provider, ProviderBuilder, ext::AnvilApi},
    rpc::{
        client::RpcClient,
        types::{Block, Transaction},
    },
    transports::RpcError,
};
use eyre::{ContextCompat, WrapErr, bail, ensure};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_deploy::toolchain::tools::Tools;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::server::{Answers, Server};
use crate::{
    node::Node,
    proxy::rpc::{Reply, Request, SERVER_ERROR, error, number, quantity},
};

/// Hard forks whose rules a block can be replayed under, in their order, by Anvil's names.
pub const HARDFORKS: [&str; 8] = ["london", "paris", "shanghai", "cancun", "prague", "osaka", "bpo1", "bpo2"];

/// Timestamps of Ethereum's hard forks that changed rules but no header field, the latest first.
const WITHOUT_A_FIELD: [(u64, &str); 3] = [(1_767_747_671, "bpo2"), (1_765_290_071, "bpo1"), (1_764_798_551, "osaka")];

/// More excess blob gas than any block has, for which the price can still be computed.
const MAX_EXCESS_BLOB_GAS: u64 = 200_000_000;

/// The part of a price of blobs by which a replay's may differ, where it cannot be the same.
const PRICE_TOLERANCE: u128 = 1_000;

/// Transactions whose reasons an error lists.
const LISTED: usize = 3;

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

/// A transaction of the block that the replaying node did not mine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmined {
    /// Position in the block, from 0.
    pub position: usize,
    /// Hash of the transaction.
    pub hash: B256,
    /// Why it was not mined, as far as the state after the replay shows.
    pub reason: String,
}

/// A replay that ended, in whatever way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The result of the transactions that were mined.
    pub outcome: Outcome,
    /// The hard fork whose rules applied, by Anvil's name.
    pub rules: String,
    /// Transactions that were not mined, in the block's order.
    pub unmined: Vec<Unmined>,
}

impl Replayed {
    /// Explains how the replay differs from the block.
    ///
    /// # Errors
    /// When it differs: with the number of transactions that were mined and why the others were not, or, where all were
    /// mined, with both results.
    pub fn check(&self, block: &Block) -> eyre::Result<()> {
        let (was, number) = (Outcome::of(block), block.header.number());
        if !self.unmined.is_empty() {
            let listed: Vec<_> = self.unmined.iter().take(LISTED).map(ToString::to_string).collect();
            let more = self.unmined.len().checked_sub(LISTED).filter(|more| *more > 0);
            let more = more.map(|more| format!("; and {more} more")).unwrap_or_default();
            bail!(
                "only {} of the {} transactions of block {number} were mined under the rules of {}. Not mined: {}{more}",
                self.outcome.transactions,
                was.transactions,
                self.rules,
                listed.join("; ")
            );
        }
        ensure!(
            self.outcome == was,
            "all {} transactions of block {number} were mined under the rules of {}, but with {} instead of {was}. Either \
             state before the block is missing, or a contract reads PREVRANDAO or the beacon block root, neither of which \
             Anvil can set, or the block was made under other rules",
            was.transactions,
            self.rules,
            self.outcome
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

impl fmt::Display for Unmined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, hash, reason } = self;
        write!(f, "transaction {position} ({hash}), because {reason}")
    }
}

/// Executes a block again, under the rules of its time, on an Anvil that forks from `upstream` before it. The caller
/// compares the result with that of the chain, by [`Replayed::check`].
///
/// # Errors
/// When the block is older than the London fork, Anvil does not start, or `upstream` does not answer it. Transactions
/// that Anvil refuses are no error but [`Replayed::unmined`].
pub async fn replay(tools: &Tools, upstream: &str, block: &Block) -> eyre::Result<Replayed> {
    replay_under(tools, upstream, block, rules_of(block)).await
}

/// Executes a block again like [`replay()`], under the rules of a hard fork, one of [`HARDFORKS`]: chains other than
/// Ethereum's mainnet adopted some of them at other times.
///
/// # Errors
/// As [`replay()`], and when Anvil does not know the hard fork.
pub async fn replay_under(tools: &Tools, upstream: &str, block: &Block, rules: &str) -> eyre::Result<Replayed> {
    let header = &block.header;
    let block_number = header.number();
    let before = block_number.checked_sub(1).wrap_err("before block 0 there is nothing to start from")?;
    let base_fee = header.base_fee_per_gas();
    let base_fee = base_fee.wrap_err_with(|| {
        format!("block {block_number} has no base fee: it is older than the London fork, and cannot be replayed")
    })?;
    let (node, _upstream) = Box::pin(fork(tools, upstream, before, block, rules)).await?;
    let provider = node.provider();
    provider.anvil_set_next_block_base_fee_per_gas(base_fee.into()).await?;
    provider.anvil_set_next_block_timestamp(header.timestamp()).await?;
    provider.anvil_set_coinbase(header.beneficiary()).await?;
    let mut refused = BTreeMap::new();
    for transaction in block.transactions.txns() {
        let hash = transaction.tx_hash();
        let sent = provider.send_raw_transaction(&transaction.inner.encoded_2718()).await;
        match sent.map_err(|error| ChainError::of_transport(&"Anvil", &error)) {
            Ok(_pending) => {}
            Err(ChainError::Refused { message, .. }) => {
                refused.insert(hash, message);
            }
            Err(failure) => {
                return Err(failure).wrap_err_with(|| format!("transaction {hash} of block {block_number}"));
            }
        }
    }
    // Mining fetches every account and slot that was not fetched before, one after another, and may take minutes: this
    // call has no time limit.
    let unlimited = ProviderBuilder::<_, _, Ethereum>::default().connect_http(node.http_url().parse()?);
    let _: Value = unlimited.raw_request("evm_mine".into(), ()).await?;
    let mined = provider.get_block_by_number(BlockNumberOrTag::Number(block_number)).await?;
    let mined = mined.wrap_err("the replayed block was not mined")?;
    let included: BTreeSet<_> = mined.transactions.hashes().collect();
    let mut unmined = Vec::new();
    for (position, transaction) in block.transactions.txns().enumerate() {
        let hash = transaction.tx_hash();
        if !included.contains(&hash) {
            let reason = match refused.remove(&hash) {
                Some(message) => format!("the node refused it: {message}"),
                None => why_not_mined(provider, transaction, &mined).await?,
            };
            unmined.push(Unmined { position, hash, reason });
        }
    }
    Ok(Replayed { outcome: Outcome::of(&mined), rules: rules.to_owned(), unmined })
}

/// Starts an Anvil that forks from `upstream` before a block, and in which blobs of the next block cost what they did in
/// the block. Returns also a server in between, where one was needed for that.
async fn fork(
    tools: &Tools,
    upstream: &str,
    before: u64,
    block: &Block,
    rules: &str,
) -> eyre::Result<(Node, Option<Server>)> {
    let (block_number, gas_limit) = (before.to_string(), block.header.gas_limit().to_string());
    let start = async |upstream: &str| {
        let arguments = [
            ["--fork-url", upstream],
            ["--fork-block-number", &block_number],
            ["--hardfork", rules],
            ["--gas-limit", &gas_limit],
            // In the order of the block, not by fee.
            ["--order", "fifo"],
        ];
        // An account that is funded within the block has no balance yet when its transaction enters the pool. The blobs
        // of a blob transaction are not in the block, and not checked where its sender counts as impersonated.
        let flags = ["--no-mining", "--no-storage-caching", "--disable-pool-balance-checks", "--auto-impersonate"];
        Node::start(tools, &arguments.iter().flatten().chain(&flags).copied().collect::<Vec<_>>()).await
    };
    let node = start(upstream).await?;
    let (Some(params), Some(excess)) = (blob_params(rules), block.header.excess_blob_gas()) else {
        return Ok((node, None));
    };
    let price = params.calc_blob_fee(excess);
    if is_near(node.provider().get_blob_base_fee().await?, price) {
        return Ok((node, None));
    }
    // The price of blobs follows from the parent's blob gas, but by which parameters depends on Anvil's version: it has
    // those of some forks only. So the parent is given the blob gas from which the price results by one of them.
    let client = upstream.parse::<Endpoint>()?.client().await?;
    for excess in parents_excess_blob_gas(price) {
        let server = Server::start(Arc::new(WithBlobGas { client: client.clone(), number: before, excess })).await?;
        let node = start(&server.http_url()).await?;
        if is_near(node.provider().get_blob_base_fee().await?, price) {
            return Ok((node, Some(server)));
        }
    }
    Ok((node, None))
}

/// Returns whether a price of blobs is that of a block, or differs by at most a thousandth of it: not every price of one
/// fork's parameters results from another's. The next excess, a blob more or less, differs by more than a hundredth.
const fn is_near(found: u128, price: u128) -> bool {
    found.abs_diff(price) <= price / PRICE_TOLERANCE
}

/// Returns the parameters of blobs of a hard fork, if it has blobs.
fn blob_params(rules: &str) -> Option<BlobParams> {
    Some(match rules {
        "bpo2" => BlobParams::bpo2(),
        "bpo1" => BlobParams::bpo1(),
        "osaka" => BlobParams::osaka(),
        "prague" => BlobParams::prague(),
        "cancun" => BlobParams::cancun(),
        _ => return None,
    })
}

/// Returns every excess blob gas of a parent without blobs from which, by the parameters of some hard fork, the price of
/// the next block's blobs results.
fn parents_excess_blob_gas(price: u128) -> Vec<u64> {
    let all = ["prague", "cancun", "bpo2", "bpo1"].into_iter().filter_map(blob_params);
    let targets: Vec<_> = all.clone().map(|params| params.target_blob_gas_per_block()).collect();
    let excesses = all.map(|params| {
        // The price grows with the excess.
        let (mut low, mut high) = (0, MAX_EXCESS_BLOB_GAS);
        while low < high {
            let middle = low.midpoint(high);
            (low, high) = if params.calc_blob_fee(middle) < price { (middle + 1, high) } else { (low, middle) };
        }
        low
    });
    // While blobs are cheap against gas, the excess does not fall by the target (EIP-7918).
    excesses.flat_map(|excess| targets.iter().map(move |target| excess + target).chain([excess])).collect()
}

/// A node whose block of this number has no blobs and this excess blob gas.
struct WithBlobGas {
    client: RpcClient,
    number: u64,
    excess: u64,
}

impl Answers for WithBlobGas {
    async fn answer(&self, request: &Request) -> Reply {
        let answer = self.client.request::<_, Value>(request.method.clone(), request.params.clone()).await;
        match answer {
            Ok(mut answer) => {
                if request.method.starts_with("eth_getBlockBy") && number(&answer["number"]) == Some(self.number) {
                    answer["excessBlobGas"] = quantity(self.excess);
                    answer["blobGasUsed"] = quantity(0);
                }
                Ok(answer)
            }
            Err(RpcError::NullResp) => Ok(Value::Null),
            Err(RpcError::ErrorResp(refusal)) => Err(error(refusal.code, refusal.message)),
            Err(failure) => Err(error(SERVER_ERROR, ChainError::of(&"the node", &failure).to_string())),
        }
    }
}

/// Explains why Anvil left a transaction out of a block, from the state after it. Anvil itself does not tell.
async fn why_not_mined(provider: &DynProvider, transaction: &Transaction, mined: &Block) -> eyre::Result<String> {
    let sender = transaction.from();
    let nonce = provider.get_transaction_count(sender).await?;
    let balance = provider.get_balance(sender).await?;
    let (gas, fee) = (transaction.gas_limit(), transaction.inner.max_fee_per_gas());
    let blob_fee = U256::from(transaction.max_fee_per_blob_gas().unwrap_or_default());
    let blob_gas = transaction.blob_gas_used().unwrap_or_default();
    let cost = transaction.value() + U256::from(gas) * U256::from(fee) + U256::from(blob_gas) * blob_fee;
    let blob_price = if blob_gas > 0 { provider.get_blob_base_fee().await? } else { 0 };
    let base_fee = u128::from(mined.header.base_fee_per_gas().unwrap_or_default());
    let gas_left = mined.header.gas_limit().saturating_sub(mined.header.gas_used());
    Ok(if nonce != transaction.nonce() {
        format!("it has nonce {} and its sender {sender} is at {nonce}", transaction.nonce())
    } else if fee < base_fee {
        format!("it pays at most {fee} wei per gas and the base fee is {base_fee}")
    } else if gas > gas_left {
        format!("its gas limit of {gas} is more than the {gas_left} that are left in the block")
    } else if blob_gas > 0 && blob_fee < U256::from(blob_price) {
        format!("it pays at most {blob_fee} wei per blob gas and the node wants {blob_price}")
    } else if balance < cost {
        format!("its sender {sender} has {balance} wei and must be able to pay {cost}")
    } else {
        "it is not valid under these rules, or state that it needs could not be fetched".to_owned()
    })
}

/// Returns Anvil's name of the hard fork whose rules a block was made under: by the fields of its header and, where a
/// fork changed none, by its timestamp on Ethereum's mainnet.
#[must_use]
pub fn rules_of(block: &Block) -> &'static str {
    let header = &block.header;
    if header.requests_hash().is_some() {
        let latest = WITHOUT_A_FIELD.into_iter().find(|(begin, _)| header.timestamp() >= *begin);
        latest.map_or("prague", |(_, name)| name)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_price_of_blobs_under_any_fork_results_from_a_parent_under_the_parameters_that_anvil_has() {
        let has = |rules| blob_params(rules).unwrap();
        for (rules, excess) in
            [("cancun", 70_000_000), ("prague", 0), ("osaka", 9_000_000), ("bpo1", 99_000_000), ("bpo2", 177_862_678)]
        {
            let price = has(rules).calc_blob_fee(excess);
            let anvils = has(if rules == "cancun" { "cancun" } else { "prague" });
            let near = parents_excess_blob_gas(price).into_iter().filter(|parents| {
                let next = anvils.next_block_excess_blob_gas_osaka(*parents, 0, 0);
                is_near(anvils.calc_blob_fee(next), price)
            });
            assert!(near.count() > 0, "{rules}");
        }
    }

    #[test]
    fn the_rules_of_a_block_follow_from_its_fields_and_its_time() {
        let rules = |fields: Value| {
            let mut block = serde_json::to_value(Block::<Transaction>::default()).unwrap();
            for (name, value) in fields.as_object().unwrap() {
                block[name] = value.clone();
            }
            rules_of(&typed(&block).unwrap())
        };
        let prague = |second: u64| {
            let root = B256::ZERO;
            json!({
                "requestsHash": root, "blobGasUsed": "0x0", "excessBlobGas": "0x0", "withdrawalsRoot": root,
                "timestamp": quantity(second),
            })
        };
        assert_eq!(rules(json!({ "difficulty": "0x1" })), "london");
        assert_eq!(rules(json!({})), "paris");
        assert_eq!(rules(json!({ "withdrawalsRoot": B256::ZERO })), "shanghai");
        assert_eq!(rules(json!({ "withdrawalsRoot": B256::ZERO, "blobGasUsed": "0x0" })), "cancun");
        for (second, name) in
            [(1_764_798_550, "prague"), (1_764_798_551, "osaka"), (1_765_290_071, "bpo1"), (1_767_747_671, "bpo2")]
        {
            assert_eq!(rules(prague(second)), name);
        }
        assert!(HARDFORKS.contains(&rules(prague(u64::from(u32::MAX)))));
    }
}
