//! A pool in the book: its tokens, its streams, and who has staked what.

use alloy::primitives::{Address, B256};

use super::{stakers::Stakers, stream::StreamBook};
use crate::math::rewards::Stream;

/// One pool and everybody's stake in it, as of the last applied block.
#[derive(Debug)]
pub struct PoolBook {
    id: B256,
    stake_token: Address,
    reward_tokens: Vec<Address>,
    pub(in crate::book) state: PoolState,
    pub(in crate::book) stakers: Stakers,
    /// Which application recorded the state for undoing: once for each is enough.
    pub(in crate::book) recorded_in: u64,
}

/// What of a pool changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolState {
    /// The sum of all stakes.
    pub total_staked: u128,
    /// What each reward token pays, in the order of the pool's list.
    pub streams: Vec<Stream>,
}

impl PoolBook {
    pub(in crate::book) fn new(id: B256, stake_token: Address, reward_tokens: Vec<Address>, state: PoolState) -> Self {
        let stakers = Stakers::of_streams(reward_tokens.len());
        Self { id, stake_token, reward_tokens, state, stakers, recorded_in: 0 }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> B256 {
        self.id
    }

    /// What is staked.
    #[must_use]
    pub const fn stake_token(&self) -> Address {
        self.stake_token
    }

    /// What it can pay, in the order given at its creation.
    #[must_use]
    pub fn reward_tokens(&self) -> &[Address] {
        &self.reward_tokens
    }

    /// What of it changes.
    #[must_use]
    pub const fn state(&self) -> &PoolState {
        &self.state
    }

    /// What an account has staked.
    #[must_use]
    pub fn stake(&self, account: Address) -> u128 {
        self.stakers.slot(account).map(|slot| self.stakers.staked(slot)).unwrap_or_default()
    }

    /// Every account that ever had a stake or terms, and its stake, in the order of their first.
    pub fn stakes(&self) -> impl Iterator<Item = (Address, u128)> {
        self.stakers.stakes()
    }

    /// Its streams, in the order of its reward tokens.
    pub fn streams(&self) -> impl Iterator<Item = StreamBook<'_>> {
        (0..self.state.streams.len()).map(|index| StreamBook::new(self, index))
    }

    /// The stream of a reward token, if the pool has one.
    #[must_use]
    pub fn stream(&self, reward_token: Address) -> Option<StreamBook<'_>> {
        self.index_of(reward_token).map(|index| StreamBook::new(self, index))
    }

    /// Where a reward token stands in the list.
    pub(in crate::book) fn index_of(&self, reward_token: Address) -> Option<usize> {
        self.reward_tokens.iter().position(|token| *token == reward_token)
    }
}
