//! What the parts of a keeper tell each other about a chain: headers, and events of the followed contracts.

use alloy::{
    primitives::{Address, B256, Log},
    sol_types::{self, SolEventInterface},
};
use plimsoll_contracts::{IPlimsoll::IPlimsollEvents, IRewards::IRewardsEvents};

/// The fields of a block's header that the keeper uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Number of the block.
    pub number: u64,
    /// Hash of the block, which identifies it among blocks of the same number.
    pub hash: B256,
    /// Hash of the previous block.
    pub parent_hash: B256,
    /// Timestamp, in seconds.
    pub timestamp: u64,
    /// Base fee per gas, in wei; 0 on chains without one.
    pub base_fee: u64,
    /// Gas limit of the block.
    pub gas_limit: u64,
    /// Gas used in the block.
    pub gas_used: u64,
}

/// The contracts whose events are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    /// Address of the lending core.
    pub core: Address,
    /// Address of the staking programmes, if there are any.
    pub rewards: Option<Address>,
}

/// An event of one of the followed contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An event of the lending core.
    Core(IPlimsollEvents),
    /// An event of the staking programmes.
    Rewards(IRewardsEvents),
}

impl Sources {
    /// Iterates over the addresses of the followed contracts.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        [Some(self.core), self.rewards].into_iter().flatten()
    }

    /// Decodes a log. Returns `None` if it is of another contract. Fails if it is none of the contract's events, which
    /// means that the address belongs to something else.
    pub fn decode(&self, log: &Log) -> Result<Option<Event>, sol_types::Error> {
        if log.address == self.core {
            return IPlimsollEvents::decode_raw_log(log.topics(), &log.data.data).map(Event::Core).map(Some);
        }
        if Some(log.address) == self.rewards {
            return IRewardsEvents::decode_raw_log(log.topics(), &log.data.data).map(Event::Rewards).map(Some);
        }
        Ok(None)
    }
}
