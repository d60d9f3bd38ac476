//! A stand-in for a distant node with a long history. No Anvil holds millions of blocks; here hash, header and logs of a
//! block follow from its number, and every answer takes as long as over a network. Sockets and JSON are real, and the
//! node refuses ranges of logs beyond a provider's limit.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, Bloom, LogData, U256, hex, keccak256},
    sol_types::SolEvent,
};
use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, response::IntoResponse, routing::post};
use plimsoll_contracts::{IPlimsoll, MarketParams, RateCurve, Risk};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time};

/// Longest range of logs that is answered, in blocks: that of many providers.
const MAX_RANGE: u64 = 2_000;
/// Blocks at the end without events, which are followed one by one.
const QUIET_BLOCKS: u64 = 100;
/// Number of accounts that the events are of.
const ACCOUNTS: u64 = 20_000;
const GENESIS_SECS: u64 = 1_700_000_000;
const BLOCK_SECS: u64 = 2;
/// Address of the lending core.
pub(super) const CORE: Address = Address::repeat_byte(0x11);
/// Chain id.
pub(super) const CHAIN_ID: u64 = 1_234_567;

/// The chain: a market is created in block 1; accounts post one more unit of collateral from event to event, the events
/// evenly over the blocks.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    /// Number of the newest block.
    pub(super) blocks: u64,
    /// Number of events after the market's creation.
    pub(super) events: u64,
    latency: Duration,
    params: MarketParams,
}

impl Chain {
    pub(super) fn new(blocks: u64, events: u64, latency: Duration) -> eyre::Result<Self> {
        let (risk, curve) =
            (Risk::new(8_000, 8_600, 100_000_000)?, RateCurve::new(1_268_391_679, 9_000, 40_000, 500_000)?);
        let [loan_token, collateral_token, oracle] = [1, 2, 3].map(Address::with_last_byte);
        let params = MarketParams::new(loan_token, collateral_token, oracle, risk, curve);
        Ok(Self { blocks, events, latency, params })
    }

    /// Returns the hash of a block.
    pub(super) fn hash(number: u64) -> B256 {
        keccak256(number.to_be_bytes())
    }

    /// Returns the number of accounts with collateral, and the collateral of all, after a block.
    pub(super) fn collateral_after(&self, block: u64) -> (u64, u128) {
        let events = self.events_before(block + 1);
        (events.min(ACCOUNTS), u128::from(events) * (u128::from(events) + 1) / 2)
    }

    /// Returns the number of events before a block.
    fn events_before(&self, block: u64) -> u64 {
        block.saturating_sub(2).div_ceil(self.stride()).min(self.events)
    }

    /// Returns the number of blocks from one event to the next.
    fn stride(&self) -> u64 {
        (self.blocks.saturating_sub(QUIET_BLOCKS) / self.events.max(1)).max(1)
    }

    /// Returns the data of the log of a block, if it has one.
    fn log(&self, number: u64) -> Option<LogData> {
        let id = self.params.id().0;
        if number == 1 {
            return Some(IPlimsoll::CreateMarket { id, params: self.params.clone() }.encode_log_data());
        }
        let event = self.events_before(number);
        if self.events_before(number + 1) == event {
            return None;
        }
        let account = Address::from_word(Self::hash(event % ACCOUNTS));
        let posted =
            IPlimsoll::SupplyCollateral { id, caller: account, onBehalf: account, assets: U256::from(event + 1) };
        Some(posted.encode_log_data())
    }

    /// Answers a call after the time that it takes.
    async fn answer(&self, request: &[u8]) -> Option<String> {
        time::sleep(self.latency).await;
        let request: Value = serde_json::from_slice(request).ok()?;
        let param = |index: usize| &request["params"][index];
        let result = match request["method"].as_str()? {
            "eth_chainId" => format!("\"{CHAIN_ID:#x}\""),
            "eth_getBlockByNumber" => match param(0).as_str()? {
                "latest" => self.header(self.blocks),
                number => self.header(quantity(number)?),
            },
            "eth_getLogs" => {
                let filter = param(0);
                let (first, last) = (quantity(filter["fromBlock"].as_str()?)?, quantity(filter["toBlock"].as_str()?)?);
                let length = last.saturating_sub(first) + 1;
                if length > MAX_RANGE {
                    let message = format!("range {length} exceeds limit of {MAX_RANGE}");
                    return Some(refusal(&request["id"], -32602, &message));
                }
                self.logs(first, last)
            }
            method => return Some(refusal(&request["id"], -32601, &format!("the method {method} does not exist"))),
        };
        Some(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request["id"]))
    }

    fn header(&self, number: u64) -> String {
        if number > self.blocks {
            return "null".to_owned();
        }
        // The blooms of the blocks that are followed one by one: nothing was logged there.
        json!({
            "number": format!("{number:#x}"),
            "hash": Self::hash(number),
            "parentHash": number.checked_sub(1).map_or(B256::ZERO, Self::hash),
            "timestamp": format!("{:#x}", timestamp(number)),
            "baseFeePerGas": "0x1",
            "gasLimit": "0x1c9c380",
            "gasUsed": "0x0",
            "logsBloom": Bloom::ZERO,
        })
        .to_string()
    }

    fn logs(&self, first: u64, last: u64) -> String {
        let log = |number: u64| {
            let data = self.log(number)?;
            let topics: Vec<_> = data.topics().iter().map(|topic| format!("\"{topic}\"")).collect();
            let (hash, time) = (Self::hash(number), timestamp(number));
            Some(format!(
                r#"{{"address":"{CORE:#x}","topics":[{}],"data":"{}","blockNumber":"{number:#x}","blockHash":"{hash}","blockTimestamp":"{time:#x}","transactionHash":"{hash}","transactionIndex":"0x0","logIndex":"0x0","removed":false}}"#,
                topics.join(","),
                hex::encode_prefixed(&data.data),
            ))
        };
        let logs: Vec<_> = (first..=last.min(self.blocks)).filter_map(log).collect();
        format!("[{}]", logs.join(","))
    }
}

/// A running node of the chain. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Node {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Node {
    pub(super) async fn start(chain: Chain) -> eyre::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let chain = Arc::new(chain);
        let service = Router::new().route("/", post(move |body: Bytes| respond(Arc::clone(&chain), body)));
        let mut serving = JoinSet::new();
        // It serves until it is dropped. The error of a connection is seen by its caller.
        serving.spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { address, _serving: serving })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn respond(chain: Arc<Chain>, body: Bytes) -> impl IntoResponse {
    let answer = chain.answer(&body).await.unwrap_or_else(|| refusal(&Value::Null, -32700, "parse error"));
    ([(CONTENT_TYPE, "application/json")], answer)
}

fn refusal(id: &Value, code: i64, message: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }).to_string()
}

const fn timestamp(number: u64) -> u64 {
    GENESIS_SECS + BLOCK_SECS * number
}

fn quantity(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_has_so_many_events_and_none_in_its_last_blocks() {
        for (blocks, events) in [(10_000, 1_000), (1_000, 7), (500, 400)] {
            let chain = Chain::new(blocks, events, Duration::ZERO).unwrap();
            let logs: Vec<_> = (1..=blocks).filter(|number| chain.log(*number).is_some()).collect();
            assert_eq!(logs.len() as u64, events + 1, "and the market's creation");
            assert!(logs.last().is_some_and(|last| *last <= blocks - QUIET_BLOCKS + 2), "{:?}", logs.last());
            assert_eq!(chain.collateral_after(blocks).1, u128::from(events * (events + 1) / 2));
            assert_eq!(chain.collateral_after(1), (0, 0));
            assert_eq!(chain.collateral_after(2), (1, 1));
        }
    }
}
