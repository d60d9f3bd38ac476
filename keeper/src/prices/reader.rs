//! Running calls in the state of a given block, all in one `eth_call`.
//!
//! The keeper's own account gets the code of `Simulator.sol` for the time of the request, by a state override: so the
//! calls come from the keeper, what they change is undone, their gas is measured, and one answer is one message on every
//! transport.

use std::{fmt, future::Future, sync::Arc};

use alloy::{
    eips::BlockId,
    primitives::{Address, Bytes, U256, address, keccak256, map::AddressMap},
    rpc::{
        client::RpcClient,
        types::{Block, TransactionRequest, state::AccountOverride},
    },
    sol_types::{Revert, SolCall, SolError},
    transports::{RpcError, TransportError},
};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_contracts::{
    ISimulator::{self, Status},
    simulator,
};

use crate::{chain::Header, record};

/// Gas limit of a request: as much as most nodes allow. A node that allows less runs fewer calls of a request.
const GAS_PER_REQUEST: u64 = 50_000_000;
/// The most bytes that are copied of what a call returns: the longest answer is a list of 128 addresses.
const MAX_RETURN: u64 = 4_160;
/// JSON-RPC error code of a node that does not know the parameter with the overrides.
const INVALID_PARAMS: i64 = -32_602;
/// What to do with a node without state overrides.
const REMEDY: &str = "give the endpoint the role \"send\", and read from a node whose eth_call takes state overrides";

/// Account that calls come from where there is no signer. It has no code, and nobody has its key.
pub const UNSIGNED_ACCOUNT: Address = address!("0x000000000000000000000000000000000000dEaD");

/// A call to try; nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    /// Contract that is called.
    pub to: Address,
    /// Calldata of the call.
    pub data: Bytes,
    /// Most gas that the call may use.
    pub gas: u64,
    /// Whether it can change nothing: it fails where it tries to.
    pub is_view: bool,
}

impl Call {
    /// A call that reads something.
    #[must_use]
    pub fn view(to: Address, data: impl Into<Bytes>, gas: u64) -> Self {
        Self { to, data: data.into(), gas, is_view: true }
    }

    /// A call that is tried, and may change anything.
    #[must_use]
    pub fn trial(to: Address, data: impl Into<Bytes>, gas: u64) -> Self {
        Self { to, data: data.into(), gas, is_view: false }
    }
}

/// Return data of a call, or why there is none.
pub type CallResult = Result<Bytes, CallError>;

/// Why a call has no return data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// It reverted with this data, which is empty where it ran out of gas.
    Reverted(Bytes),
    /// The node has too little gas for the call, even on its own.
    NotRun,
}

/// The result of a call, with the gas that it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedCall {
    /// Return data, or why there is none.
    pub result: CallResult,
    /// Gas of the call's execution, without what a transaction costs before it, and before refunds. Of a view perhaps
    /// less than a transaction would pay: others of the same request may have read the same before it.
    pub gas_used: u64,
}

/// Runs calls in the state at the end of a block. All come from one account, the reader's.
pub trait ChainReader: Send + Sync {
    /// Runs sequences of calls in one request. A call sees the effects of those before it in its sequence, and none of
    /// other sequences. Results stand where their calls stand. Fails where no node answers.
    fn run(
        &self,
        block: &Header,
        sequences: &[Vec<Call>],
    ) -> impl Future<Output = Result<Vec<Vec<SimulatedCall>>, ChainError>> + Send;

    /// Runs calls independently of each other in one request. Fails where no node answers.
    fn run_each(
        &self,
        block: &Header,
        calls: impl IntoIterator<Item = Call> + Send,
    ) -> impl Future<Output = Result<Vec<SimulatedCall>, ChainError>> + Send {
        let sequences: Vec<_> = calls.into_iter().map(|call| vec![call]).collect();
        async move { Ok(self.run(block, &sequences).await?.into_iter().flatten().collect()) }
    }

    /// Returns the RLP of the header of a block of the chain that the reader's node follows. Fails where no node answers,
    /// or where the header has parts that are not known here.
    fn raw_header(&self, number: u64) -> impl Future<Output = Result<Bytes, ChainError>> + Send {
        let problem = format!("it has no header of block {number}");
        async move { Err(ChainError::Unreachable { endpoint: "this reader".to_owned(), problem }) }
    }

    /// Returns the result of a call that is known without another request.
    fn known(&self, _block: &Header, _call: &Call) -> Option<SimulatedCall> {
        None
    }
}

/// Reads the chain through one endpoint.
#[derive(Debug, Clone)]
pub struct EndpointReader {
    endpoint: Arc<Endpoint>,
    client: RpcClient,
    account: Address,
}

impl EndpointReader {
    /// Returns a reader that uses `client`, which must be connected to `endpoint`, and whose calls come from `account`.
    #[must_use]
    pub const fn new(endpoint: Arc<Endpoint>, client: RpcClient, account: Address) -> Self {
        Self { endpoint, client, account }
    }

    /// Makes one request. Calls for which the node has too little gas are not run.
    async fn request(&self, block: &Header, sequences: &[&[Call]]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let calls = encode(sequences);
        let count = calls.len();
        let run = ISimulator::runCall { calls, maxReturn: U256::from(MAX_RETURN) };
        let request =
            TransactionRequest::default().to(self.account).input(run.abi_encode().into()).gas_limit(GAS_PER_REQUEST);
        let code = AccountOverride { code: Some(simulator::CODE.clone()), ..AccountOverride::default() };
        let overrides = AddressMap::from_iter([(self.account, code)]);
        let parameters = (request, BlockId::from(block.hash), overrides);
        let request = self.client.request::<_, Bytes>("eth_call", &parameters);
        let answer = record::rpc("eth_call", request).await.map_err(|error| self.request_error(&error))?;
        if answer.is_empty() {
            return Err(self.error(format!("it ignores the state overrides of eth_call: {REMEDY}")));
        }
        let ISimulator::runReturn { site, results } = ISimulator::runCall::abi_decode_returns(&answer)
            .map_err(|error| self.error(format!("its answer to eth_call cannot be decoded: {error}")))?;
        if !is_of(&site, block) {
            let ISimulator::Site { number, timestamp, .. } = site;
            return Err(self.error(format!(
                "it answers eth_call for another block than was asked for: {number} of second {timestamp}, not {} of \
                 second {}",
                block.number, block.timestamp
            )));
        }
        if results.len() != count {
            return Err(self.error(format!("it answers {} calls where {count} were asked", results.len())));
        }
        let mut results = results.into_iter().map(SimulatedCall::from);
        Ok(sequences.iter().map(|calls| results.by_ref().take(calls.len()).collect()).collect())
    }

    /// Returns the error of a request; names the remedy where the node refuses the overrides.
    fn request_error(&self, error: &TransportError) -> ChainError {
        let refusal = ChainError::of_transport(&self.endpoint, error);
        match error {
            RpcError::ErrorResp(payload) if payload.code == INVALID_PARAMS => {
                self.error(format!("it refuses the state overrides of eth_call ({refusal}): {REMEDY}"))
            }
            _ => refusal,
        }
    }

    fn error(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: self.endpoint.to_string(), problem }
    }
}

impl ChainReader for EndpointReader {
    async fn run(&self, block: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let mut results: Vec<Vec<SimulatedCall>> = vec![Vec::new(); sequences.len()];
        let some = (0..).zip(sequences).filter(|(_, calls)| !calls.is_empty()).map(|(at, _)| at);
        let mut requests: Vec<Vec<usize>> = vec![some.collect()];
        while let Some(asked) = requests.pop() {
            if asked.is_empty() {
                continue;
            }
            let calls: Vec<_> = asked.iter().filter_map(|at| sequences.get(*at)).map(Vec::as_slice).collect();
            let answers = self.request(block, &calls).await?;
            let mut starved = Vec::new();
            for (at, answer) in asked.iter().zip(answers) {
                if answer.iter().any(|call| call.result == Err(CallError::NotRun)) {
                    starved.push(*at);
                }
                if let Some(result) = results.get_mut(*at) {
                    *result = answer;
                }
            }
            // Asked without the others, what they starved may be run. What is starved alone stays so.
            if starved.len() < asked.len() {
                requests.push(starved);
            } else if starved.len() > 1 {
                // So many calls may take all gas before the first of them is run.
                requests.push(starved.split_off(starved.len() / 2));
                requests.push(starved);
            }
        }
        Ok(results)
    }

    async fn raw_header(&self, number: u64) -> Result<Bytes, ChainError> {
        let parameters = (BlockId::from(number), false);
        let request = self.client.request::<_, Option<Block>>("eth_getBlockByNumber", &parameters);
        let answer = record::rpc("eth_getBlockByNumber", request).await;
        let block = answer.map_err(|error| ChainError::of_transport(&self.endpoint, &error))?;
        let block = block.ok_or_else(|| self.error(format!("it has no block {number}")))?;
        let header = Bytes::from(alloy::rlp::encode(&block.header.inner));
        if keccak256(&header) != block.header.hash {
            return Err(self.error(format!("the header of block {number} has parts that are not known here")));
        }
        Ok(header)
    }
}

/// Encodes sequences of calls. Views in a row are kept together: they change nothing that the next one could see, and undoing
/// each by itself takes the node longer than many of them.
fn encode(sequences: &[&[Call]]) -> Vec<ISimulator::Call> {
    let is_view = |calls: Option<&&[Call]>| matches!(calls, Some([Call { is_view: true, .. }]));
    let mut encoded = Vec::new();
    for (at, calls) in sequences.iter().enumerate() {
        let goes_on = is_view(Some(calls)) && is_view(sequences.get(at + 1));
        let keep = |left: usize| left > 0 || goes_on;
        encoded.extend((0..calls.len()).rev().zip(*calls).map(|(left, call)| ISimulator::Call {
            to: call.to,
            gas: call.gas,
            keep: keep(left),
            isStatic: call.is_view,
            data: call.data.clone(),
        }));
    }
    encoded
}

/// Whether calls were executed in this block. Some chains show contracts the number of another layer's block, and its
/// parent; the timestamp is always the block's own.
fn is_of(site: &ISimulator::Site, block: &Header) -> bool {
    let is_child = || site.number != block.number || site.parentHash == block.parent_hash;
    site.timestamp == block.timestamp && is_child()
}

impl From<ISimulator::Result> for SimulatedCall {
    fn from(result: ISimulator::Result) -> Self {
        let ISimulator::Result { status, gasUsed: gas_used, data } = result;
        let result = match status {
            Status::Done => Ok(data),
            Status::Reverted => Err(CallError::Reverted(data)),
            Status::NotRun | Status::__Invalid => Err(CallError::NotRun),
        };
        Self { result, gas_used }
    }
}

impl CallError {
    /// Returns the text that the contract reverted with, if it did with one.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Reverted(data) => Revert::abi_decode(data).ok().map(|revert| revert.reason),
            Self::NotRun => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reverted(data) if data.is_empty() => f.write_str("it reverts without a reason"),
            Self::Reverted(data) => match self.message() {
                Some(message) => write!(f, "it reverts: {message}"),
                None => write!(f, "it reverts with {data}"),
            },
            Self::NotRun => f.write_str("the node has too little gas for it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_in_a_row_are_kept_together_and_trials_are_not() {
        let view = Call::view(Address::ZERO, [], 1);
        let trial = Call::trial(Address::ZERO, [], 1);
        let sequences = [
            vec![view.clone()],
            vec![view.clone()],
            vec![trial.clone()],
            vec![trial.clone()],
            vec![view.clone()],
            vec![view.clone(), trial, view.clone()],
            vec![view],
        ];
        let sequences: Vec<_> = sequences.iter().map(Vec::as_slice).collect();
        let flags: Vec<_> = encode(&sequences).iter().map(|call| (call.keep, call.isStatic)).collect();
        let (of_view, of_trial) = (|keep| (keep, true), |keep| (keep, false));
        let expected = [
            of_view(true),
            of_view(false),
            of_trial(false),
            of_trial(false),
            of_view(false),
            of_view(true),
            of_trial(true),
            of_view(false),
            of_view(false),
        ];
        assert_eq!(flags, expected);
    }
}
