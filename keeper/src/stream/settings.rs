//! What differs from chain to chain and from operator to operator.

use std::time::Duration;

use alloy::primitives::B256;

/// How a chain is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The chain. An endpoint of another is excluded.
    pub chain_id: u64,
    /// The hash of its first block, since ids are used twice; without it the first endpoint that answers decides.
    pub genesis: Option<B256>,
    /// How long an endpoint may take to answer.
    pub deadline: Duration,
    /// How often to look for a new block where no WebSocket announces them.
    pub poll: Duration,
    /// How long a WebSocket may say nothing until we look ourselves.
    pub silence: Duration,
    /// For how long all endpoints must agree that the newest applied block is gone, with nothing in its place, until it
    /// is taken back: an endpoint that is a little behind looks the same.
    pub rollback_patience: Duration,
    /// How far behind the newest applied block an endpoint may be and still lead.
    pub most_lag: u64,
    /// How many blocks to ask for at once at most.
    pub longest_range: u64,
    /// How long to wait at most until an endpoint that is away is tried again.
    pub longest_reconnect: Duration,
    /// Whether blooms in headers are true. Some chains leave them empty; then every block's logs are asked for.
    pub blooms: bool,
}

/// Bounds of what is derived from the time between blocks.
const POLL: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(4)];
const SILENCE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

impl Settings {
    /// What fits most providers, for a chain with so much time between blocks.
    #[must_use]
    pub fn new(chain_id: u64, block_time: Duration) -> Self {
        let [fastest, slowest] = POLL;
        let poll = (block_time / 2).clamp(fastest, slowest);
        let [shortest, longest] = SILENCE;
        Self {
            chain_id,
            genesis: None,
            deadline: Duration::from_secs(5),
            poll,
            silence: (block_time * 3).clamp(shortest, longest),
            rollback_patience: poll * 3,
            most_lag: 3,
            longest_range: 10_000,
            longest_reconnect: Duration::from_secs(15),
            blooms: true,
        }
    }
}
