//! Asking a node what contracts would do in a given block.
//!
//! Neither `eth_call` nor `eth_simulateV1` has Anvil clone its state: with 200,000 storage slots either answers in a
//! fifth of a millisecond, and several in one request take hardly longer than one.

use std::{fmt, future::Future, sync::Arc};

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, Bytes},
    rpc::{
        client::RpcClient,
        types::{
            Block, BlockOverrides, TransactionRequest,
            simulate::{SimBlock, SimulatePayload, SimulatedBlock},
        },
    },
    transports::{RpcError, TransportError},
};
use futures_util::future::join_all;
use plimsoll_chain::{endpoint::Endpoint, error::ChainError, redaction::scrub};

use crate::chain::Header;

/// A call that is tried, not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who calls.
    pub from: Address,
    /// What is called.
    pub to: Address,
    /// With what.
    pub data: Bytes,
    /// The most gas it may use.
    pub gas: u64,
}

/// What a contract answers, or why it does not.
pub type Answer = Result<Bytes, Refusal>;

/// A call that did not go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the node says, scrubbed.
    pub message: String,
    /// What the contract reverted with, if it was that.
    pub data: Option<Bytes>,
}

/// A call that was tried after others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What it answered.
    pub answer: Answer,
    /// The gas it used.
    pub gas_used: u64,
}

/// Whoever can say what contracts would do in a given block.
pub trait Reads: Send + Sync {
    /// Tries calls in a block, each by itself, in one request. Answers stand where their calls stood. Fails where the
    /// node does not answer at all.
    fn calls(&self, block: B256, calls: &[Call]) -> impl Future<Output = Result<Vec<Answer>, ChainError>> + Send;

    /// Tries calls one after the other, each in a block of its own that comes after the given one. `None` where the
    /// node cannot do that.
    fn sequence(
        &self,
        after: &Header,
        calls: &[Call],
    ) -> impl Future<Output = Result<Option<Vec<Trial>>, ChainError>> + Send;

    /// An answer that makes no sense, as an error of whoever was asked.
    fn error(&self, problem: String) -> ChainError;
}

/// A node behind an endpoint.
#[derive(Debug, Clone)]
pub struct Node {
    endpoint: Arc<Endpoint>,
    client: RpcClient,
}

impl Node {
    /// Asks by this client, which must be this endpoint's.
    #[must_use]
    pub const fn new(endpoint: Arc<Endpoint>, client: RpcClient) -> Self {
        Self { endpoint, client }
    }

    /// What of an error is about the call alone: with the node's words the caller can tell why.
    fn refusal(&self, error: TransportError) -> Result<Refusal, ChainError> {
        match error {
            RpcError::ErrorResp(refusal) => {
                Ok(Refusal { message: scrub(&refusal.message).into_owned(), data: refusal.as_revert_data() })
            }
            other => Err(ChainError::of_transport(&self.endpoint, &other)),
        }
    }
}

impl Reads for Node {
    async fn calls(&self, block: B256, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let transport = |error| ChainError::of_transport(&self.endpoint, &error);
        let mut batch = self.client.new_batch();
        let mut waiters = Vec::with_capacity(calls.len());
        for call in calls {
            let parameters = (request(call), BlockId::from(block));
            waiters.push(batch.add_call::<_, Bytes>("eth_call", &parameters).map_err(transport)?);
        }
        batch.send().await.map_err(transport)?;
        let answers = join_all(waiters).await.into_iter();
        answers
            .map(|answer| match answer {
                Ok(data) => Ok(Ok(data)),
                Err(error) => self.refusal(error).map(Err),
            })
            .collect()
    }

    async fn sequence(&self, after: &Header, calls: &[Call]) -> Result<Option<Vec<Trial>>, ChainError> {
        // Some nodes begin at the time 0 unless they are told.
        let block = |(later, call): (u64, &Call)| {
            let time = Some(after.timestamp.saturating_add(later));
            SimBlock::default()
                .with_block_overrides(BlockOverrides { time, ..BlockOverrides::default() })
                .call(request(call))
        };
        let block_state_calls = (1..).zip(calls).map(block).collect();
        let payload = SimulatePayload { block_state_calls, ..SimulatePayload::default() };
        let parameters = (payload, BlockId::from(after.hash));
        let answer = self.client.request::<_, Vec<SimulatedBlock<Block>>>("eth_simulateV1", &parameters).await;
        let blocks = match answer {
            Ok(blocks) => blocks,
            Err(RpcError::ErrorResp(_) | RpcError::DeserError { .. }) => return Ok(None),
            Err(error) => return Err(ChainError::of_transport(&self.endpoint, &error)),
        };
        let trials = blocks.into_iter().flat_map(|block| block.calls).map(|call| {
            let answer = if call.status {
                Ok(call.return_data)
            } else {
                let message = call.error.as_ref().map(|error| scrub(&error.message).into_owned());
                let data = call.error.and_then(|error| error.data).unwrap_or(call.return_data);
                Err(Refusal { message: message.unwrap_or_default(), data: Some(data) })
            };
            Trial { answer, gas_used: call.gas_used }
        });
        Ok(Some(trials.collect::<Vec<_>>()).filter(|trials| trials.len() == calls.len()))
    }

    fn error(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: self.endpoint.to_string(), problem }
    }
}

fn request(call: &Call) -> TransactionRequest {
    TransactionRequest::default().from(call.from).to(call.to).input(call.data.clone().into()).gas_limit(call.gas)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Some(data) if !data.is_empty() => write!(f, "{} ({data})", self.message),
            _ => f.write_str(&self.message),
        }
    }
}
