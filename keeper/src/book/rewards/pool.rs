//! A staking pool in the book, and its reward streams: what accounts can claim, and which of them can be harvested, now
//! and at any later time.

use alloy::primitives::{Address, B256, U256};

use super::stakers::{HarvestConsent, RewardLedger, Stakers};
use crate::math::rewards::{EPOCHS_AHEAD, Stream, claimable_down, epoch_of};

/// One staking pool with all stakes in it, as of the last applied block.
#[derive(Debug)]
pub struct PoolBook {
    id: B256,
    /// Number of the pool in a checkpoint's rows; pools are in the order of their numbers.
    pub(in crate::book) number: u32,
    stake_token: Address,
    reward_tokens: Vec<Address>,
    pub(in crate::book) state: PoolState,
    pub(in crate::book) stakers: Stakers,
    /// Number of the application that recorded the state in the undo log: once per application is enough.
    pub(in crate::book) recorded_in: u64,
}

/// The mutable state of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolState {
    /// The sum of all stakes, in units of the stake token.
    pub total_staked: u128,
    /// The stream of each reward token, in the order of the pool's list.
    pub streams: Vec<Stream>,
}

/// One reward stream of a pool, as of the last applied block.
#[derive(Debug, Clone, Copy)]
pub struct StreamBook<'b> {
    pool: &'b PoolBook,
    index: usize,
}

/// An account that can be harvested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HarvestCandidate {
    /// The account that has earned the reward.
    pub account: Address,
    /// Reward that a harvest would claim for it, tip included.
    pub claimable: u128,
    /// The account's terms for a harvest.
    pub consent: HarvestConsent,
}

/// An account that cannot be harvested yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingHarvest {
    /// The account that earns the reward.
    pub account: Address,
    /// The lowest accumulator of the stream at which it can be harvested.
    pub accumulator: U256,
    /// The first second at which the accumulator is reached if no event happens until then; `None` if the funding is
    /// not enough.
    pub timestamp: Option<u64>,
}

impl PoolBook {
    pub(in crate::book) fn new(
        number: u32,
        id: B256,
        stake_token: Address,
        reward_tokens: Vec<Address>,
        state: PoolState,
    ) -> Self {
        let stakers = Stakers::of_streams(reward_tokens.len());
        Self { id, number, stake_token, reward_tokens, state, stakers, recorded_in: 0 }
    }

    /// Returns the pool's id.
    #[must_use]
    pub const fn id(&self) -> B256 {
        self.id
    }

    /// Returns the token that is staked.
    #[must_use]
    pub const fn stake_token(&self) -> Address {
        self.stake_token
    }

    /// Returns the tokens that the pool can pay, in the order given at its creation.
    #[must_use]
    pub fn reward_tokens(&self) -> &[Address] {
        &self.reward_tokens
    }

    /// Returns the mutable state.
    #[must_use]
    pub const fn state(&self) -> &PoolState {
        &self.state
    }

    /// Returns the stake of an account.
    #[must_use]
    pub fn stake(&self, account: Address) -> u128 {
        self.stakers.slot(account).map(|slot| self.stakers.staked(slot)).unwrap_or_default()
    }

    /// Iterates over every account that ever had a stake or a harvest consent, with its stake, in the order of their
    /// first event.
    pub fn stakes(&self) -> impl Iterator<Item = (Address, u128)> {
        self.stakers.stakes()
    }

    /// Iterates over the reward streams, in the order of the reward tokens.
    pub fn streams(&self) -> impl Iterator<Item = StreamBook<'_>> {
        (0..self.state.streams.len()).map(|index| StreamBook { pool: self, index })
    }

    /// Returns the stream of a reward token, if the pool has one.
    #[must_use]
    pub fn stream(&self, reward_token: Address) -> Option<StreamBook<'_>> {
        self.index_of(reward_token).map(|index| StreamBook { pool: self, index })
    }

    /// Returns the position of a reward token in the list.
    pub(in crate::book) fn index_of(&self, reward_token: Address) -> Option<usize> {
        self.reward_tokens.iter().position(|token| *token == reward_token)
    }
}

impl<'b> StreamBook<'b> {
    /// Returns the pool that the stream belongs to.
    #[must_use]
    pub const fn pool(&self) -> &'b PoolBook {
        self.pool
    }

    /// Returns the token that the stream pays.
    #[must_use]
    pub fn reward_token(&self) -> Address {
        self.pool.reward_tokens()[self.index]
    }

    /// Returns the stream as of its last update.
    #[must_use]
    pub fn state(&self) -> &'b Stream {
        &self.pool.state().streams[self.index]
    }

    /// Returns the accumulator at a time, if no event happens until then.
    #[must_use]
    pub fn accumulator_at(&self, timestamp: u64) -> U256 {
        self.state().accumulator_at(self.pool.state().total_staked, timestamp)
    }

    /// Returns the amount that each epoch pays in all, the epoch of `timestamp` first, if no event happens until then.
    /// A time before the last update counts as the last update.
    #[must_use]
    pub fn schedule(&self, timestamp: u64) -> Vec<u128> {
        let mut stream = self.state().clone();
        stream.accrue(self.pool.state().total_staked, timestamp);
        let epoch = epoch_of(stream.last_update);
        let later = (epoch + 1..=epoch + EPOCHS_AHEAD).map(|epoch| stream.scheduled.get(&epoch).copied());
        std::iter::once(stream.epoch_amount).chain(later.map(Option::unwrap_or_default)).collect()
    }

    /// Returns what an account has in the stream.
    #[must_use]
    pub fn ledger(&self, account: Address) -> RewardLedger {
        let stakers = &self.pool.stakers;
        stakers.slot(account).map(|slot| stakers.get(self.index, slot).ledger).unwrap_or_default()
    }

    /// Returns an account's terms for a harvest.
    #[must_use]
    pub fn consent(&self, account: Address) -> HarvestConsent {
        self.ledger(account).consent
    }

    /// Returns the reward that an account can claim at a time, if no event happens until then.
    #[must_use]
    pub fn claimable(&self, account: Address, timestamp: u64) -> u128 {
        claimable_down(self.pool.stake(account), self.accumulator_at(timestamp), self.ledger(account).offset)
    }

    /// Returns every account that the contract would harvest at a time, exactly; those that have been harvestable for
    /// the longest come first. The work is proportional to their number, not to the number of all accounts.
    #[must_use]
    pub fn harvestable(&self, timestamp: u64) -> Vec<HarvestCandidate> {
        let (accumulator, stakers) = (self.accumulator_at(timestamp), &self.pool.stakers);
        let reached = stakers.harvest_queue(self.index).up_to(accumulator).map(|slot| {
            let RewardLedger { offset, consent } = stakers.get(self.index, slot).ledger;
            let claimable = claimable_down(stakers.staked(slot), accumulator, offset);
            HarvestCandidate { account: stakers.account(slot), claimable, consent }
        });
        reached.filter(|found| found.claimable >= found.consent.smallest.max(1)).collect()
    }

    /// Returns the number of accounts that consent to be harvested and earn something.
    #[must_use]
    pub fn consenting(&self) -> usize {
        self.pool.stakers.harvest_queue(self.index).len()
    }

    /// Returns the next account that can be harvested after a time, and when.
    #[must_use]
    pub fn next_harvestable(&self, timestamp: u64) -> Option<PendingHarvest> {
        let stakers = &self.pool.stakers;
        let (accumulator, slot) = stakers.harvest_queue(self.index).after(self.accumulator_at(timestamp))?;
        let timestamp = self.state().time_reaching(accumulator, self.pool.state().total_staked);
        Some(PendingHarvest { account: stakers.account(slot), accumulator, timestamp })
    }
}
