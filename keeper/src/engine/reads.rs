//! The stream's endpoints as strategies ask them: over the same connections, the best first, the next where one fails.

use alloy::primitives::B256;
use plimsoll_chain::{endpoint::Transport, error::ChainError};

use crate::{
    chain::Header,
    prices::{Answer, Call, Node, Reads, Trial},
    stream::Reader,
};

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

fn nobody() -> ChainError {
    ChainError::Unreachable { endpoint: "every endpoint".to_owned(), problem: "none is connected".to_owned() }
}

impl Reads for Endpoints {
    async fn calls(&self, block: B256, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        let mut last = Err(nobody());
        for node in self.nodes_for(calls.len()) {
            last = node.calls(block, calls).await;
            // A node that has not got the block says so to every call, and not in a contract's words.
            let knows_it = |answers: &Vec<Answer>| {
                answers.is_empty() || answers.iter().any(|answer| !matches!(answer, Err(no) if no.data.is_none()))
            };
            if last.as_ref().is_ok_and(knows_it) {
                return last;
            }
        }
        last
    }

    async fn sequence(&self, after: &Header, calls: &[Call]) -> Result<Option<Vec<Trial>>, ChainError> {
        let mut last = Err(nobody());
        for node in self.nodes(after.number) {
            last = node.sequence(after, calls).await;
            if matches!(last, Ok(Some(_))) {
                return last;
            }
        }
        last
    }

    fn error(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: "the endpoint asked".to_owned(), problem }
    }
}
