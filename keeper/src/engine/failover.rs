//! Chain reads by the stream's endpoints, with failover.

use std::{future::Future, sync::Arc};

use alloy::primitives::B256;
use plimsoll_chain::error::ChainError;

use crate::{
    chain::Header,
    prices::{Call, CallResult, ChainReader, EndpointReader, SimulatedCall},
    stream::{AskPolicy, RpcErrorKind, StreamReader},
};

/// Reads the chain over the stream's connections, with failover in the stream's order of endpoints.
#[derive(Debug, Clone)]
pub struct FailoverReader(StreamReader);

impl FailoverReader {
    /// Reads over the connections of this reader.
    #[must_use]
    pub const fn new(reader: StreamReader) -> Self {
        Self(reader)
    }

    /// Asks the endpoints something that a decision waits for, `calls` at once, and returns the first answer that
    /// `is_acceptable`. An answer of which `request` makes an error counts against its endpoint.
    async fn ask<T, F>(
        &self,
        block: u64,
        calls: usize,
        request: impl Fn(EndpointReader) -> F,
        is_acceptable: impl Fn(&T) -> bool,
    ) -> Result<T, ChainError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ChainError>> + Send + 'static,
    {
        let policy = AskPolicy { block, is_batch: calls > 1, is_urgent: true };
        let request = |endpoint, client| request(EndpointReader::new(endpoint, client));
        self.0.ask_by(policy, request, is_acceptable).await
    }
}

/// Returns the results of calls in a block. Fails where the endpoint does not have the block or limits its rate, which
/// every call says by itself.
fn in_known_block(results: Vec<CallResult>) -> Result<Vec<CallResult>, ChainError> {
    let is_refusal = |message: &str| {
        matches!(RpcErrorKind::of_response(0, message), RpcErrorKind::UnknownBlock | RpcErrorKind::RateLimited(_))
    };
    let refusal = results.iter().find_map(|result| {
        let error = result.as_ref().err().filter(|error| error.data.is_none() && is_refusal(&error.message))?;
        Some(error.message.clone())
    });
    match refusal {
        Some(message) => {
            Err(ChainError::Refused { endpoint: "the endpoint".to_owned(), code: 0, message, revert_data: None })
        }
        None => Ok(results),
    }
}

impl ChainReader for FailoverReader {
    async fn simulate_independent(&self, block: B256, calls: &[Call]) -> Result<Vec<CallResult>, ChainError> {
        // An endpoint that fails every call without revert data may be to blame, and so may the calls.
        let has_data = |results: &Vec<CallResult>| {
            results.is_empty() || results.iter().any(|result| !matches!(result, Err(error) if error.data.is_none()))
        };
        let (count, calls) = (calls.len(), Arc::<[Call]>::from(calls));
        let ask = |reader: EndpointReader| {
            let calls = Arc::clone(&calls);
            async move { reader.simulate_independent(block, &calls).await.and_then(in_known_block) }
        };
        self.ask(self.0.number_of(block), count, ask, has_data).await
    }

    async fn simulate_sequential(
        &self,
        after: &Header,
        calls: &[Call],
    ) -> Result<Option<Vec<SimulatedCall>>, ChainError> {
        let (after, calls) = (*after, Arc::<[Call]>::from(calls));
        let ask = |reader: EndpointReader| {
            let calls = Arc::clone(&calls);
            async move { reader.simulate_sequential(&after, &calls).await }
        };
        self.ask(after.number, 1, ask, Option::is_some).await
    }

    fn invalid_response(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: "the endpoint asked".to_owned(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::CallError;

    #[test]
    fn an_endpoint_without_the_block_is_told_from_calls_that_fail() {
        let fails = |message: &str| Err(CallError { message: message.to_owned(), data: None });
        for message in ["header not found", "request rate exceeded: too many requests"] {
            assert!(in_known_block(vec![Ok(alloy::primitives::Bytes::new()), fails(message)]).is_err());
        }
        for message in ["out of gas", "execution reverted"] {
            assert_eq!(in_known_block(vec![fails(message)]), Ok(vec![fails(message)]));
        }
    }
}
