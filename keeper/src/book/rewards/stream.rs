//! A stream in the book: what its accounts can claim, and which of them can be harvested, now and at any later time.

use alloy::primitives::{Address, U256};

use super::{
    pool::PoolBook,
    stakers::{HarvestConsent, Ledger},
};
use crate::math::rewards::{EPOCHS_AHEAD, Stream, claimable_down, epoch_of};

/// One reward token of one pool, as of the last applied block.
#[derive(Debug, Clone, Copy)]
pub struct StreamBook<'b> {
    pool: &'b PoolBook,
    index: usize,
}

/// An account that can be harvested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HarvestCandidate {
    /// Whose reward it is.
    pub account: Address,
    /// All that a harvest would take of it, tip included.
    pub claimable: u128,
    /// The account's terms.
    pub consent: HarvestConsent,
}

/// An account that cannot be harvested yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ripening {
    /// Whose reward it is.
    pub account: Address,
    /// The lowest accumulator at which it can be.
    pub accumulator: U256,
    /// The first second at which the accumulator is there if nothing happens until then; `None` where what is funded
    /// does not bring it there.
    pub timestamp: Option<u64>,
}

impl<'b> StreamBook<'b> {
    pub(super) const fn new(pool: &'b PoolBook, index: usize) -> Self {
        Self { pool, index }
    }

    /// Whose it is.
    #[must_use]
    pub const fn pool(&self) -> &'b PoolBook {
        self.pool
    }

    /// What it pays.
    #[must_use]
    pub fn reward_token(&self) -> Address {
        self.pool.reward_tokens()[self.index]
    }

    /// The stream as of its last update.
    #[must_use]
    pub fn state(&self) -> &'b Stream {
        &self.pool.state().streams[self.index]
    }

    /// Its accumulator at a second, if nothing happens until then.
    #[must_use]
    pub fn accumulator_at(&self, timestamp: u64) -> U256 {
        self.state().accumulator_at(self.pool.state().total_staked, timestamp)
    }

    /// What each epoch pays in the whole of it, the one of `timestamp` first, if nothing happens until then. A time
    /// before the last update counts as that.
    #[must_use]
    pub fn schedule(&self, timestamp: u64) -> Vec<u128> {
        let mut stream = self.state().clone();
        stream.accrue(self.pool.state().total_staked, timestamp);
        let epoch = epoch_of(stream.last_update);
        let later = (epoch + 1..=epoch + EPOCHS_AHEAD).map(|epoch| stream.scheduled.get(&epoch).copied());
        std::iter::once(stream.epoch_amount).chain(later.map(Option::unwrap_or_default)).collect()
    }

    /// What an account has in it.
    #[must_use]
    pub fn ledger(&self, account: Address) -> Ledger {
        let stakers = &self.pool.stakers;
        stakers.slot(account).map(|slot| stakers.get(self.index, slot).ledger).unwrap_or_default()
    }

    /// On which terms an account may be harvested.
    #[must_use]
    pub fn consent(&self, account: Address) -> HarvestConsent {
        self.ledger(account).consent
    }

    /// What an account could claim at a second if nothing else happened until then.
    #[must_use]
    pub fn claimable(&self, account: Address, timestamp: u64) -> u128 {
        claimable_down(self.pool.stake(account), self.accumulator_at(timestamp), self.ledger(account).offset)
    }

    /// Every account that the contract would harvest at a second, exactly, those first that could be for the longest.
    /// The work is in proportion to their number, not to that of all accounts.
    #[must_use]
    pub fn harvestable(&self, timestamp: u64) -> Vec<HarvestCandidate> {
        let (accumulator, stakers) = (self.accumulator_at(timestamp), &self.pool.stakers);
        let ripe = stakers.ripeness(self.index).up_to(accumulator).map(|slot| {
            let Ledger { offset, consent } = stakers.get(self.index, slot).ledger;
            let claimable = claimable_down(stakers.staked(slot), accumulator, offset);
            HarvestCandidate { account: stakers.account(slot), claimable, consent }
        });
        ripe.filter(|found| found.claimable >= found.consent.smallest.max(1)).collect()
    }

    /// How many accounts agreed to be harvested, and earn something.
    #[must_use]
    pub fn consenting(&self) -> usize {
        self.pool.stakers.ripeness(self.index).len()
    }

    /// Who will be the next that can be harvested after a second, and when.
    #[must_use]
    pub fn next_harvestable(&self, timestamp: u64) -> Option<Ripening> {
        let stakers = &self.pool.stakers;
        let (accumulator, slot) = stakers.ripeness(self.index).after(self.accumulator_at(timestamp))?;
        let timestamp = self.state().reaches(accumulator, self.pool.state().total_staked);
        Some(Ripening { account: stakers.account(slot), accumulator, timestamp })
    }
}
