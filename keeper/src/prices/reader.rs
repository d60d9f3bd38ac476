//! Simulating calls in the state of a given block: `eth_call` and `eth_simulateV1`.
//!
//! Neither makes Anvil clone its state: with 200,000 storage slots either answers in a fifth of a millisecond, and
//! several in one request take hardly longer than one.

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

use crate::{chain::Header, record};

/// A call to simulate; nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Sender of the call.
    pub from: Address,
    /// Contract that is called.
    pub to: Address,
    /// Calldata of the call.
    pub data: Bytes,
    /// Gas limit of the call.
    pub gas: u64,
}

/// Return data of a call, or why it failed.
pub type CallResult = Result<Bytes, CallError>;

/// A call that failed in simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The node's message, with secrets scrubbed.
    pub message: String,
    /// Revert data, where the contract reverted.
    pub data: Option<Bytes>,
}

/// The result of a simulated call, with the gas that it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedCall {
    /// Return data, or why the call failed.
    pub result: CallResult,
    /// Gas used by the call.
    pub gas_used: u64,
}

/// Simulates calls in the state of a block.
pub trait ChainReader: Send + Sync {
    /// Simulates calls independently of each other, each in the state at the end of `block`, in one request. Results
    /// stand where their calls stand. Fails where no node answers.
    fn simulate_independent(
        &self,
        block: B256,
        calls: &[Call],
    ) -> impl Future<Output = Result<Vec<CallResult>, ChainError>> + Send;

    /// Simulates calls sequentially, each in a block of its own that follows on the one before, the first on `after`: a
    /// call sees the effects of those before it. `None` where the node does not support that. Fails where no node
    /// answers.
    fn simulate_sequential(
        &self,
        after: &Header,
        calls: &[Call],
    ) -> impl Future<Output = Result<Option<Vec<SimulatedCall>>, ChainError>> + Send;

    /// Returns the error of a response that makes no sense, in the name of the node that gave it.
    fn invalid_response(&self, problem: String) -> ChainError;
}

/// Reads the chain through one endpoint.
#[derive(Debug, Clone)]
pub struct EndpointReader {
    endpoint: Arc<Endpoint>,
    client: RpcClient,
}

impl EndpointReader {
    /// Returns a reader that uses `client`, which must be connected to `endpoint`.
    #[must_use]
    pub const fn new(endpoint: Arc<Endpoint>, client: RpcClient) -> Self {
        Self { endpoint, client }
    }

    /// Separates an error of the call itself, which its caller can decode, from one of the transport, which fails.
    fn call_error(&self, error: TransportError) -> Result<CallError, ChainError> {
        match error {
            RpcError::ErrorResp(payload) => {
                Ok(CallError { message: scrub(&payload.message).into_owned(), data: payload.as_revert_data() })
            }
            other => Err(ChainError::of_transport(&self.endpoint, &other)),
        }
    }
}

impl ChainReader for EndpointReader {
    async fn simulate_independent(&self, block: B256, calls: &[Call]) -> Result<Vec<CallResult>, ChainError> {
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
        record::rpc("eth_call", batch.send()).await.map_err(transport)?;
        let responses = join_all(waiters).await.into_iter();
        responses
            .map(|response| match response {
                Ok(data) => Ok(Ok(data)),
                Err(error) => self.call_error(error).map(Err),
            })
            .collect()
    }

    async fn simulate_sequential(
        &self,
        after: &Header,
        calls: &[Call],
    ) -> Result<Option<Vec<SimulatedCall>>, ChainError> {
        // Some nodes begin at timestamp 0 unless they are given one.
        let block = |(later, call): (u64, &Call)| {
            let time = Some(after.timestamp.saturating_add(later));
            SimBlock::default()
                .with_block_overrides(BlockOverrides { time, ..BlockOverrides::default() })
                .call(request(call))
        };
        let block_state_calls = (1..).zip(calls).map(block).collect();
        let payload = SimulatePayload { block_state_calls, ..SimulatePayload::default() };
        let parameters = (payload, BlockId::from(after.hash));
        let request = self.client.request::<_, Vec<SimulatedBlock<Block>>>("eth_simulateV1", &parameters);
        let response = record::rpc("eth_simulateV1", request).await;
        let blocks = match response {
            Ok(blocks) => blocks,
            Err(RpcError::ErrorResp(_) | RpcError::DeserError { .. }) => return Ok(None),
            Err(error) => return Err(ChainError::of_transport(&self.endpoint, &error)),
        };
        let simulated = blocks.into_iter().flat_map(|block| block.calls).map(|call| {
            let result = if call.status {
                Ok(call.return_data)
            } else {
                let message = call.error.as_ref().map(|error| scrub(&error.message).into_owned());
                let data = call.error.and_then(|error| error.data).unwrap_or(call.return_data);
                Err(CallError { message: message.unwrap_or_default(), data: Some(data) })
            };
            SimulatedCall { result, gas_used: call.gas_used }
        });
        Ok(Some(simulated.collect::<Vec<_>>()).filter(|simulated| simulated.len() == calls.len()))
    }

    fn invalid_response(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: self.endpoint.to_string(), problem }
    }
}

fn request(call: &Call) -> TransactionRequest {
    TransactionRequest::default().from(call.from).to(call.to).input(call.data.clone().into()).gas_limit(call.gas)
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Some(data) if !data.is_empty() => write!(f, "{} ({data})", self.message),
            _ => f.write_str(&self.message),
        }
    }
}
