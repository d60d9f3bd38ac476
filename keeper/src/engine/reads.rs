//! The stream's endpoints as strategies ask them: over the same connections, the best first, the next where one fails.

use std::{future::Future, time::Duration};

use alloy::primitives::B256;
use plimsoll_chain::{endpoint::Transport, error::ChainError};
use tokio::time;

use crate::{
    chain::Header,
    prices::{Answer, Call, Node, Reads, Trial},
    stream::Reader,
};

/// Who has not answered by then is left for the next: a connection may stay open for hours without a word, and no loan
/// can wait for that. Less than what prices are waited for, so that a second endpoint has its chance within it.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whoever is connected.
#[derive(Debug, Clone)]
pub struct Endpoints(Reader);

impl Endpoints {
    /// Asks by this reader.
    #[must_use]
    pub const fn new(reader: Reader) -> Self {
        Self(reader)
    }

    fn nodes(&self, number: u64) -> impl Iterator<Item = Node> {
        self.0.clients(number).into_iter().map(|(endpoint, client)| Node::new(endpoint, client))
    }

    /// In which order to ask for so many calls. By HTTP they are one request with one answer; by WebSocket each is a
    /// message of its own, and a node may hold back all answers but the first until that is acknowledged.
    fn nodes_for(&self, calls: usize) -> impl Iterator<Item = Node> {
        let mut clients = self.0.clients(0);
        if calls > 1 {
            clients.sort_by_key(|(endpoint, _)| endpoint.transport() != Transport::Http);
        }
        clients.into_iter().map(|(endpoint, client)| Node::new(endpoint, client))
    }
}

/// The first answer that will do, or else the last there was.
async fn first_of<N, T, F>(
    nodes: impl Iterator<Item = N>,
    patience: Duration,
    ask: impl Fn(N) -> F,
    will_do: impl Fn(&T) -> bool,
) -> Result<T, ChainError>
where
    F: Future<Output = Result<T, ChainError>>,
{
    let mut last = Err(nobody("none is connected".to_owned()));
    for node in nodes {
        let late = |_| Err(nobody(format!("the last one asked had no answer within {patience:?}")));
        last = time::timeout(patience, ask(node)).await.unwrap_or_else(late);
        if last.as_ref().is_ok_and(&will_do) {
            return last;
        }
    }
    last
}

fn nobody(problem: String) -> ChainError {
    ChainError::Unreachable { endpoint: "every endpoint".to_owned(), problem }
}

impl Reads for Endpoints {
    async fn calls(&self, block: B256, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        // A node that has not got the block says so to every call, and not in a contract's words.
        let knows_it = |answers: &Vec<Answer>| {
            answers.is_empty() || answers.iter().any(|answer| !matches!(answer, Err(no) if no.data.is_none()))
        };
        let ask = |node: Node| async move { node.calls(block, calls).await };
        first_of(self.nodes_for(calls.len()), PATIENCE, ask, knows_it).await
    }

    async fn sequence(&self, after: &Header, calls: &[Call]) -> Result<Option<Vec<Trial>>, ChainError> {
        let ask = |node: Node| async move { node.sequence(after, calls).await };
        first_of(self.nodes(after.number), PATIENCE, ask, Option::is_some).await
    }

    fn error(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: "the endpoint asked".to_owned(), problem }
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;

    /// Answers, refuses, or never says a word.
    async fn asked(node: Option<Result<u32, &str>>) -> Result<u32, ChainError> {
        match node {
            Some(answer) => answer.map_err(|problem| nobody(problem.to_owned())),
            None => future::pending().await,
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_left_for_the_next_and_the_first_answer_that_will_do_is_taken() {
        let of = async |nodes: &[Option<Result<u32, &'static str>>]| {
            let answer = first_of(nodes.iter().copied(), Duration::from_millis(1), asked, |answer| *answer > 1).await;
            answer.map_err(|error| error.to_string())
        };
        assert_eq!(of(&[None, Some(Err("away")), Some(Ok(1)), Some(Ok(2)), Some(Ok(3))]).await, Ok(2));
        assert_eq!(of(&[Some(Err("away")), Some(Ok(1))]).await, Ok(1));
        assert!(of(&[None]).await.is_err_and(|error| error.contains("no answer within 1ms")));
        assert!(of(&[Some(Ok(1)), Some(Err("away"))]).await.is_err_and(|error| error.contains("away")));
        assert!(of(&[]).await.is_err_and(|error| error.contains("none is connected")));
    }
}
