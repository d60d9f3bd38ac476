//! Chain reads by the stream's endpoints, with failover.

use std::sync::Arc;

use alloy::primitives::{Address, Bytes};
use plimsoll_chain::error::ChainError;

use crate::{
    chain::Header,
    prices::{Call, ChainReader, EndpointReader, SimulatedCall},
    stream::{AskPolicy, StreamReader},
};

/// Reads the chain over the stream's connections, with failover in the stream's order of endpoints.
#[derive(Debug, Clone)]
pub struct FailoverReader {
    reader: StreamReader,
    account: Address,
}

impl FailoverReader {
    /// Reads over the connections of this reader, with calls from `account`.
    #[must_use]
    pub const fn new(reader: StreamReader, account: Address) -> Self {
        Self { reader, account }
    }

    /// Returns a reader over the same connections, with calls from another account.
    pub(super) fn with_account(&self, account: Address) -> Self {
        Self { reader: self.reader.clone(), account }
    }
}

impl ChainReader for FailoverReader {
    async fn run(&self, block: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        if sequences.iter().all(Vec::is_empty) {
            return Ok(vec![Vec::new(); sequences.len()]);
        }
        let (block, sequences) = (*block, Arc::<[Vec<Call>]>::from(sequences));
        let account = self.account;
        let request = |endpoint, client| {
            let sequences = Arc::clone(&sequences);
            async move { EndpointReader::new(endpoint, client, account).run(&block, &sequences).await }
        };
        // A decision waits for it.
        let policy = AskPolicy { block: block.number, is_urgent: true };
        self.reader.ask_by(policy, request).await
    }

    async fn raw_header(&self, number: u64) -> Result<Bytes, ChainError> {
        let account = self.account;
        let request =
            |endpoint, client| async move { EndpointReader::new(endpoint, client, account).raw_header(number).await };
        self.reader.ask_by(AskPolicy { block: number, is_urgent: false }, request).await
    }
}
