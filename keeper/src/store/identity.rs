//! Whose files these are: the chain, and the deployment on it.

use alloy::primitives::{Address, B256};

/// The chain and the deployment that a keeper runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The chain's id, which test chains share.
    pub chain_id: u64,
    /// The hash of the chain's first block, which they do not.
    pub genesis: B256,
    /// The lending core.
    pub core: Address,
    /// The staking programmes, where they are followed.
    pub rewards: Option<Address>,
}

impl Identity {
    /// What is written into the files.
    pub(super) fn words(&self) -> [(&'static str, String); 4] {
        let rewards = self.rewards.map_or_else(|| "none".to_owned(), |address| address.to_string());
        [
            ("chain id", self.chain_id.to_string()),
            ("genesis", self.genesis.to_string()),
            ("core", self.core.to_string()),
            (REWARDS, rewards),
        ]
    }
}

/// The word that may change: programmes that are followed from now on, or no longer, make another book and not another
/// journal.
pub(super) const REWARDS: &str = "rewards";
