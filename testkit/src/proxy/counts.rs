//! Counts of a proxy's requests and of its rules' effects: for figures such as calls per idle block, and as conditions
//! that tests wait for.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use serde_json::Value;

use super::{
    rpc::{self, Request},
    rules::RuleId,
};

/// Requests, blocks and effects since the proxy started or its counts were last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    calls: BTreeMap<String, u64>,
    logs_from: BTreeMap<Address, u64>,
    calls_in: BTreeMap<B256, u64>,
    calls_before_sending: BTreeMap<B256, u64>,
    blocks: u64,
    waves: u64,
    websockets: u64,
    in_progress: u64,
    acted: BTreeMap<RuleId, u64>,
}

impl Counts {
    /// Returns the number of requests of a method. Each request of a batch counts, and so do those that a fault
    /// affects.
    #[must_use]
    pub fn of(&self, method: &str) -> u64 {
        self.calls.get(method).copied().unwrap_or_default()
    }

    /// Returns the lowest block from which on a contract's logs were asked for by a range of blocks.
    #[must_use]
    pub fn logs_from(&self, contract: Address) -> Option<u64> {
        self.logs_from.get(&contract).copied()
    }

    /// Returns the number of `eth_call` requests by the hash of this block that arrived before the last transaction was sent.
    #[must_use]
    pub fn calls_before_sending(&self, block: B256) -> u64 {
        self.calls_before_sending.get(&block).copied().unwrap_or_default()
    }

    /// Returns the number of requests by method.
    #[must_use]
    pub const fn by_method(&self) -> &BTreeMap<String, u64> {
        &self.calls
    }

    /// Returns the number of all requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Returns how often a message arrived while no other was being processed. It is small where requests are made at
    /// the same time, and the number of messages where each waits for the one before.
    #[must_use]
    pub const fn waves(&self) -> u64 {
        self.waves
    }

    /// Returns the number of WebSockets that were opened, also those that have closed.
    #[must_use]
    pub const fn websockets(&self) -> u64 {
        self.websockets
    }

    /// Returns the number of heads that the node announced, also those that a fault withheld. When a head is counted,
    /// the pool of [`Fault::GethPool`](super::Fault::GethPool) has already processed it.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Returns the average number of requests per block; none before the first block.
    #[must_use]
    pub fn per_block(&self) -> Option<f64> {
        let calls = f64::from(u32::try_from(self.total()).ok()?);
        let blocks = f64::from(u32::try_from(self.blocks).ok()?);
        (self.blocks > 0).then(|| calls / blocks)
    }

    /// Returns how often a rule has acted: once per affected HTTP request or WebSocket message, however many calls that
    /// contains, and once per affected announcement.
    #[must_use]
    pub fn acted(&self, rule: RuleId) -> u64 {
        self.acted.get(&rule).copied().unwrap_or_default()
    }

    pub(super) fn add_request(&mut self, request: &Request) {
        *self.calls.entry(request.method.clone()).or_default() += 1;
        if request.method == "eth_call"
            && let Some(block) = request.param(1).as_str().and_then(|hash| hash.parse().ok())
        {
            *self.calls_in.entry(block).or_default() += 1;
        }
        if request.method == "eth_sendRawTransaction" {
            self.calls_before_sending.clone_from(&self.calls_in);
        }
        if request.method == "eth_getLogs" {
            let filter = request.param(0);
            let contracts = match &filter["address"] {
                Value::Array(several) => several.as_slice(),
                one => std::slice::from_ref(one),
            };
            let contracts = contracts.iter().filter_map(|contract| contract.as_str()?.parse::<Address>().ok());
            for (contract, from) in contracts.zip(std::iter::repeat(rpc::number(&filter["fromBlock"]))) {
                let Some(from) = from else { continue };
                self.logs_from.entry(contract).and_modify(|lowest| *lowest = from.min(*lowest)).or_insert(from);
            }
        }
    }

    pub(super) const fn begin_message(&mut self) {
        if self.in_progress == 0 {
            self.waves += 1;
        }
        self.in_progress += 1;
    }

    pub(super) const fn end_message(&mut self) {
        // Counts that were reset in the meantime do not have the message.
        self.in_progress = self.in_progress.saturating_sub(1);
    }

    pub(super) const fn add_websocket(&mut self) {
        self.websockets += 1;
    }

    pub(super) const fn add_block(&mut self) {
        self.blocks += 1;
    }

    pub(super) fn add_effect(&mut self, rule: RuleId) {
        *self.acted.entry(rule).or_default() += 1;
    }
}
