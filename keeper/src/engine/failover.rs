//! Chain reads with failover: the best connected endpoint is asked first, the next one where that fails or is late.

use std::{future::Future, time::Duration};

use alloy::primitives::B256;
use plimsoll_chain::{endpoint::Transport, error::ChainError};
use tokio::time;

use crate::{
    chain::Header,
    prices::{Call, CallResult, ChainReader, EndpointReader, SimulatedCall},
    stream::StreamReader,
};

/// Longest time for which one endpoint is waited for. A connection may stay open for hours without a word, and no loan
/// can wait for that. It is less than what prices are waited for, so that a second endpoint has its chance within it.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(4);

/// Reads the chain over the stream's connections, with failover in the stream's order of endpoints.
#[derive(Debug, Clone)]
pub struct FailoverReader(StreamReader);

impl FailoverReader {
    /// Reads over the connections of this reader.
    #[must_use]
    pub const fn new(reader: StreamReader) -> Self {
        Self(reader)
    }

    /// Connected endpoints that have a block of this number, the best first.
    fn nodes(&self, number: u64) -> impl Iterator<Item = EndpointReader> {
        self.0.clients(number).into_iter().map(|(endpoint, client)| EndpointReader::new(endpoint, client))
    }

    /// Connected endpoints in the order in which to make so many calls. Over HTTP they are one request with one
    /// response. Over WebSocket each is a message of its own, and a node may hold back all responses but the first until
    /// that is acknowledged, so HTTP goes first where there are several.
    fn nodes_for(&self, calls: usize) -> impl Iterator<Item = EndpointReader> {
        let mut clients = self.0.clients(0);
        if calls > 1 {
            clients.sort_by_key(|(endpoint, _)| endpoint.transport() != Transport::Http);
        }
        clients.into_iter().map(|(endpoint, client)| EndpointReader::new(endpoint, client))
    }
}

/// Asks one node after another, each for as long as `timeout`, and returns the first answer that `is_acceptable`. Where
/// none is, returns the last answer or error.
async fn first_acceptable<N, T, F>(
    nodes: impl Iterator<Item = N>,
    timeout: Duration,
    ask: impl Fn(N) -> F,
    is_acceptable: impl Fn(&T) -> bool,
) -> Result<T, ChainError>
where
    F: Future<Output = Result<T, ChainError>>,
{
    let mut last = Err(unreachable("none is connected".to_owned()));
    for node in nodes {
        let late = |_| Err(unreachable(format!("the last one asked had no answer within {timeout:?}")));
        last = time::timeout(timeout, ask(node)).await.unwrap_or_else(late);
        if last.as_ref().is_ok_and(&is_acceptable) {
            return last;
        }
    }
    last
}

fn unreachable(problem: String) -> ChainError {
    ChainError::Unreachable { endpoint: "every endpoint".to_owned(), problem }
}

impl ChainReader for FailoverReader {
    async fn simulate_independent(&self, block: B256, calls: &[Call]) -> Result<Vec<CallResult>, ChainError> {
        // A node that does not have the block fails every call, and without revert data.
        let has_block = |answers: &Vec<CallResult>| {
            answers.is_empty() || answers.iter().any(|answer| !matches!(answer, Err(no) if no.data.is_none()))
        };
        let ask = |node: EndpointReader| async move { node.simulate_independent(block, calls).await };
        first_acceptable(self.nodes_for(calls.len()), ENDPOINT_TIMEOUT, ask, has_block).await
    }

    async fn simulate_sequential(
        &self,
        after: &Header,
        calls: &[Call],
    ) -> Result<Option<Vec<SimulatedCall>>, ChainError> {
        let ask = |node: EndpointReader| async move { node.simulate_sequential(after, calls).await };
        first_acceptable(self.nodes(after.number), ENDPOINT_TIMEOUT, ask, Option::is_some).await
    }

    fn invalid_response(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: "the endpoint asked".to_owned(), problem }
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;

    /// A node that answers, fails, or never answers.
    async fn ask(node: Option<Result<u32, &str>>) -> Result<u32, ChainError> {
        match node {
            Some(answer) => answer.map_err(|problem| unreachable(problem.to_owned())),
            None => future::pending().await,
        }
    }

    #[tokio::test]
    async fn the_next_endpoint_is_asked_where_one_is_silent_fails_or_has_no_acceptable_answer() {
        let of = async |nodes: &[Option<Result<u32, &'static str>>]| {
            let nodes = nodes.iter().copied();
            let answer = first_acceptable(nodes, Duration::from_millis(1), ask, |answer| *answer > 1).await;
            answer.map_err(|error| error.to_string())
        };
        assert_eq!(of(&[None, Some(Err("away")), Some(Ok(1)), Some(Ok(2)), Some(Ok(3))]).await, Ok(2));
        assert_eq!(of(&[Some(Err("away")), Some(Ok(1))]).await, Ok(1));
        assert!(of(&[None]).await.is_err_and(|error| error.contains("no answer within 1ms")));
        assert!(of(&[Some(Ok(1)), Some(Err("away"))]).await.is_err_and(|error| error.contains("away")));
        assert!(of(&[]).await.is_err_and(|error| error.contains("none is connected")));
    }
}
