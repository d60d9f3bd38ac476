//! A recording's answers to a node's JSON-RPC calls: the state before its block, and the block itself.

use alloy::primitives::{Address, B256, U256};
use serde_json::{Value, json};

use super::{Account, Recording, playback::Read};
use crate::proxy::rpc::{Reply, Request, SERVER_ERROR, error, number, quantity};

/// JSON-RPC's error code for an unknown method.
const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC's error code for parameters that cannot be understood.
const INVALID_PARAMS: i64 = -32602;

/// Seconds between the recorded block and its parent. The real time was not recorded; blocks of one chain do not share
/// a timestamp.
const SECONDS_BETWEEN_BLOCKS: u64 = 1;

/// Suggested priority fee, in wei: enough for any block that is not full.
const TIP: u64 = 1_000_000_000;

impl Recording {
    /// Answers a call; returns also what it read that the recording does not hold.
    pub(super) fn answer(&self, request: &Request) -> (Reply, Option<Read>) {
        let held = |value: Value| (Ok(value), None);
        match request.method.as_str() {
            "eth_chainId" => held(quantity(self.chain_id)),
            "net_version" => held(json!(self.chain_id.to_string())),
            "eth_blockNumber" => held(quantity(self.number)),
            "eth_gasPrice" => held(quantity(self.base_fee().saturating_add(TIP))),
            "eth_maxPriorityFeePerGas" => held(quantity(TIP)),
            "eth_feeHistory" => held(self.fee_history()),
            "eth_getBlockByNumber" => self.block_by_number(request),
            "eth_getBlockByHash" => held(self.block_by_hash(request)),
            "eth_getAccountInfo" => self.of_account(
                request,
                1,
                |account| json!({ "balance": account.balance, "nonce": quantity(account.nonce), "code": account.code }),
            ),
            "eth_getBalance" => self.of_account(request, 1, |account| json!(account.balance)),
            "eth_getTransactionCount" => self.of_account(request, 1, |account| quantity(account.nonce)),
            "eth_getCode" => self.of_account(request, 1, |account| json!(account.code)),
            "eth_getStorageAt" => self.storage_at(request),
            // The history before the block and the block's own receipts are not part of a recording.
            "eth_getTransactionReceipt" | "eth_getTransactionByHash" => held(Value::Null),
            "eth_getLogs" | "eth_getBlockReceipts" => held(json!([])),
            method => (Err(self.lacks(METHOD_NOT_FOUND, &format!("an answer to {method}"))), None),
        }
    }

    fn of_account(
        &self,
        request: &Request,
        block_position: usize,
        part: impl FnOnce(&Account) -> Value,
    ) -> (Reply, Option<Read>) {
        let address = match self.address(request, block_position) {
            Ok(address) => address,
            Err(refusal) => return (Err(refusal), None),
        };
        match self.accounts.get(&address) {
            Some(account) => (Ok(part(account)), None),
            None => (Ok(part(&Account::default())), Some(Read::Account(address))),
        }
    }

    fn storage_at(&self, request: &Request) -> (Reply, Option<Read>) {
        let address = match self.address(request, 2) {
            Ok(address) => address,
            Err(refusal) => return (Err(refusal), None),
        };
        let Ok(slot) = serde_json::from_value::<U256>(request.param(1).clone()) else {
            return (Err(unreadable(request)), None);
        };
        let held = self.accounts.get(&address).and_then(|account| account.storage.get(&slot));
        let outside = held.is_none().then_some(Read::Slot(address, slot));
        (Ok(json!(B256::from(held.copied().unwrap_or_default()))), outside)
    }

    /// Returns the account whose state is requested. Fails where that is the state at another block.
    fn address(&self, request: &Request, block_position: usize) -> Result<Address, Value> {
        let block = request.param(block_position);
        let hash = block.get("blockHash");
        let is_before = match hash {
            Some(hash) => *hash == self.block["parentHash"],
            None => number(block.get("blockNumber").unwrap_or(block)) == self.before(),
        };
        if !is_before {
            return Err(self.lacks(SERVER_ERROR, &format!("state at {block}, which {} asks for", request.method)));
        }
        serde_json::from_value(request.param(0).clone()).map_err(|_| unreadable(request))
    }

    fn block_by_number(&self, request: &Request) -> (Reply, Option<Read>) {
        let asked = match request.param(0).as_str() {
            Some("latest" | "safe" | "finalized" | "pending") => Some(self.number),
            Some("earliest") => Some(0),
            _ => number(request.param(0)),
        };
        let Some(asked) = asked else { return (Err(unreadable(request)), None) };
        if asked == self.number {
            (Ok(with_transactions(self.block.clone(), request)), None)
        } else if Some(asked) == self.before() {
            (Ok(self.block_before()), None)
        } else {
            (Ok(Value::Null), Some(Read::Block(asked)))
        }
    }

    fn block_by_hash(&self, request: &Request) -> Value {
        match request.param(0) {
            hash if *hash == self.block["hash"] => with_transactions(self.block.clone(), request),
            hash if *hash == self.block["parentHash"] => self.block_before(),
            _ => Value::Null,
        }
    }

    fn before(&self) -> Option<u64> {
        self.number.checked_sub(1)
    }

    fn base_fee(&self) -> u64 {
        number(&self.block["baseFeePerGas"]).unwrap_or_default()
    }

    /// Returns the parent block as far as the recorded block determines it, with the recorded block's values for the
    /// rest.
    fn block_before(&self) -> Value {
        let mut block = self.block.clone();
        let timestamp = number(&block["timestamp"]).unwrap_or_default();
        block["number"] = quantity(self.before().unwrap_or_default());
        block["hash"] = block["parentHash"].take();
        block["parentHash"] = json!(B256::ZERO);
        block["timestamp"] = quantity(timestamp.saturating_sub(SECONDS_BETWEEN_BLOCKS));
        for list in ["transactions", "uncles", "withdrawals"] {
            if block.get(list).is_some() {
                block[list] = json!([]);
            }
        }
        block
    }

    fn fee_history(&self) -> Value {
        let base_fee = quantity(self.base_fee());
        json!({
            "oldestBlock": quantity(self.number),
            "baseFeePerGas": [base_fee, base_fee],
            "gasUsedRatio": [0.5],
            "reward": [[quantity(TIP)]],
        })
    }

    fn lacks(&self, code: i64, what: &str) -> Value {
        error(code, format!("the recording of block {} of chain {} does not hold {what}", self.number, self.chain_id))
    }
}

/// Returns the block with its transactions, or with their hashes where the request wants only those.
fn with_transactions(mut block: Value, request: &Request) -> Value {
    if *request.param(1) != json!(true)
        && let Some(transactions) = block["transactions"].as_array_mut()
    {
        transactions.iter_mut().for_each(|transaction| *transaction = transaction["hash"].take());
    }
    block
}

fn unreadable(request: &Request) -> Value {
    error(INVALID_PARAMS, format!("{} with {} cannot be understood", request.method, json!(request.params)))
}
