//! What the parts of a keeper say to one another about a chain: headers, and the events of our contracts.

use alloy::{
    primitives::{Address, B256, Log},
    sol_types::{self, SolEventInterface},
};
use plimsoll_contracts::{IPlimsoll::IPlimsollEvents, IRewards::IRewardsEvents};

/// What of a block's header is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its height.
    pub number: u64,
    /// Its hash, which says which block of that height it is.
    pub hash: B256,
    /// The hash of the one before.
    pub parent_hash: B256,
    /// Its second.
    pub timestamp: u64,
    /// What every unit of gas costs at least in it, in wei; 0 on chains without a base fee.
    pub base_fee: u64,
    /// How much gas it may hold.
    pub gas_limit: u64,
    /// How much gas it holds.
    pub gas_used: u64,
}

/// Whose events are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    /// The lending core.
    pub core: Address,
    /// The staking programmes, where there are any.
    pub rewards: Option<Address>,
}

/// An event of one of the followed contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Of the lending core.
    Core(IPlimsollEvents),
    /// Of the staking programmes.
    Rewards(IRewardsEvents),
}

impl Sources {
    /// The followed contracts.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        [Some(self.core), self.rewards].into_iter().flatten()
    }

    /// Reads a log. `None` where it is of another contract; fails where it is none of the contract's events, which means
    /// that the address belongs to something else.
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
