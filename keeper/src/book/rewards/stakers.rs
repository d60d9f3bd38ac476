//! The accounts of one pool: the stake of each, and for each reward stream its offset and its terms for a harvest.

use alloy::primitives::{Address, U256};

use super::harvest_queue::{HarvestQueue, harvestable_at};
use crate::book::{accounts::Accounts, at};

/// The terms on which an account lets anybody harvest a reward for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HarvestConsent {
    /// Whether the reward may be harvested at all.
    pub enabled: bool,
    /// Whether the reward is staked instead of paid.
    pub compounds: bool,
    /// Part of the reward that the harvester gets, in basis points.
    pub tip_bps: u16,
    /// Smallest claimable amount, tip included, that may be harvested.
    pub smallest: u128,
}

/// What an account has in one reward stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RewardLedger {
    /// Amount that is subtracted from stake × accumulator, modulo 2^128, in 2^-24 reward units.
    pub offset: u128,
    /// The account's terms for a harvest.
    pub consent: HarvestConsent,
}

/// A ledger with the key of its account in the harvest queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::book) struct IndexedLedger {
    pub(in crate::book) ledger: RewardLedger,
    /// The lowest accumulator at which the account can be harvested. It depends only on the stake and the ledger.
    harvestable_at: Option<U256>,
}

impl IndexedLedger {
    pub(in crate::book) fn new(ledger: RewardLedger, staked: u128, accumulator: U256) -> Self {
        Self { ledger, harvestable_at: harvestable_at(staked, accumulator, &ledger) }
    }
}

/// The accounts of a pool, in rows.
#[derive(Debug)]
pub(in crate::book) struct Stakers {
    accounts: Accounts,
    stakes: Vec<u128>,
    streams: Vec<StreamRows>,
}

#[derive(Debug, Default)]
struct StreamRows {
    ledgers: Vec<IndexedLedger>,
    harvest_queue: HarvestQueue,
}

impl Stakers {
    pub(super) fn of_streams(count: usize) -> Self {
        let streams = (0..count).map(|_| StreamRows::default()).collect();
        Self { accounts: Accounts::default(), stakes: Vec::new(), streams }
    }

    /// Returns the row of an account, if it has one.
    pub(in crate::book) fn slot(&self, account: Address) -> Option<u32> {
        self.accounts.slot(account)
    }

    /// Adds an empty row at the end, for an account that has none. Returns `None` if 2^32 rows are taken.
    pub(in crate::book) fn push(&mut self, account: Address) -> Option<u32> {
        let slot = self.accounts.push(account)?;
        self.stakes.push(0);
        for stream in &mut self.streams {
            stream.ledgers.push(IndexedLedger::default());
        }
        Some(slot)
    }

    /// Removes the last row, which must be empty.
    pub(in crate::book) fn pop(&mut self) {
        self.accounts.pop();
        self.stakes.pop();
        for stream in &mut self.streams {
            stream.ledgers.pop();
        }
    }

    /// Iterates over the row numbers.
    pub(in crate::book) fn slots(&self) -> impl Iterator<Item = u32> {
        self.accounts.slots()
    }

    /// Returns the account of a row.
    pub(in crate::book) fn account(&self, slot: u32) -> Address {
        self.accounts.get(slot)
    }

    /// Returns the stake in a row.
    pub(in crate::book) fn staked(&self, slot: u32) -> u128 {
        self.stakes[at(slot)]
    }

    /// Replaces the stake in a row, and returns the previous one. The row's ledgers must be set again afterwards,
    /// because their places in the harvest queues depend on the stake.
    pub(in crate::book) fn set_staked(&mut self, slot: u32, staked: u128) -> u128 {
        std::mem::replace(&mut self.stakes[at(slot)], staked)
    }

    /// Returns the ledger of a row in a stream.
    pub(in crate::book) fn get(&self, stream: usize, slot: u32) -> IndexedLedger {
        self.streams[stream].ledgers[at(slot)]
    }

    /// Iterates over the ledgers of a row in all streams.
    pub(in crate::book) fn ledgers(&self, slot: u32) -> impl Iterator<Item = RewardLedger> {
        self.streams.iter().map(move |stream| stream.ledgers[at(slot)].ledger)
    }

    /// Replaces the ledger of a row in a stream, and returns the previous one.
    pub(in crate::book) fn set(&mut self, stream: usize, slot: u32, ledger: IndexedLedger) -> IndexedLedger {
        let StreamRows { ledgers, harvest_queue } = &mut self.streams[stream];
        let before = std::mem::replace(&mut ledgers[at(slot)], ledger);
        harvest_queue.change(slot, before.harvestable_at, ledger.harvestable_at);
        before
    }

    /// Returns the harvest queue of a stream.
    pub(super) fn harvest_queue(&self, stream: usize) -> &HarvestQueue {
        &self.streams[stream].harvest_queue
    }

    /// Iterates over all accounts with their stakes.
    pub(super) fn stakes(&self) -> impl Iterator<Item = (Address, u128)> {
        self.accounts.iter_from(0).zip(self.stakes.iter().copied())
    }
}
