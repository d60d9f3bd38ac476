//! The accounts of one pool: what each has staked, and for each stream its offset and its terms for being harvested.

use alloy::primitives::{Address, U256};

use super::ripeness::{Ripeness, ripe_at};
use crate::book::{accounts::Accounts, at};

/// On which terms an account lets anybody harvest a reward for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HarvestConsent {
    /// Whether it may be harvested at all.
    pub enabled: bool,
    /// Whether the reward is staked instead of paid.
    pub compounds: bool,
    /// Which part of the reward goes to who harvests, in basis points.
    pub tip_bps: u16,
    /// No harvest happens while less than this is claimable, tip included.
    pub smallest: u128,
}

/// An account of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// What is taken off stake × accumulator, modulo 2^128, in 2^-24 reward units.
    pub offset: u128,
    /// The account's terms.
    pub consent: HarvestConsent,
}

/// A ledger, and what follows from it and the stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::book) struct Account {
    pub(in crate::book) ledger: Ledger,
    /// The lowest accumulator at which the account can be harvested. As long as its stake and its ledger stay as they
    /// are, that does not change.
    ripe_at: Option<U256>,
}

impl Account {
    pub(in crate::book) fn new(ledger: Ledger, staked: u128, accumulator: U256) -> Self {
        Self { ledger, ripe_at: ripe_at(staked, accumulator, &ledger) }
    }
}

/// The rows of a pool.
#[derive(Debug)]
pub(in crate::book) struct Stakers {
    accounts: Accounts,
    stakes: Vec<u128>,
    streams: Vec<StreamRows>,
}

#[derive(Debug, Default)]
struct StreamRows {
    accounts: Vec<Account>,
    ripeness: Ripeness,
}

impl Stakers {
    pub(super) fn of_streams(count: usize) -> Self {
        let streams = (0..count).map(|_| StreamRows::default()).collect();
        Self { accounts: Accounts::default(), stakes: Vec::new(), streams }
    }

    /// The row of an account, if it has one.
    pub(in crate::book) fn slot(&self, account: Address) -> Option<u32> {
        self.accounts.slot(account)
    }

    /// A new row at the end, empty, for an account that has none. `None` where 2^32 are taken.
    pub(in crate::book) fn push(&mut self, account: Address) -> Option<u32> {
        let slot = self.accounts.push(account)?;
        self.stakes.push(0);
        for stream in &mut self.streams {
            stream.accounts.push(Account::default());
        }
        Some(slot)
    }

    /// Takes the last row away again, which has nothing in it any more.
    pub(in crate::book) fn pop(&mut self) {
        self.accounts.pop();
        self.stakes.pop();
        for stream in &mut self.streams {
            stream.accounts.pop();
        }
    }

    /// All rows, by number.
    pub(in crate::book) fn slots(&self) -> impl Iterator<Item = u32> {
        self.accounts.slots()
    }

    /// Whose a row is.
    pub(in crate::book) fn account(&self, slot: u32) -> Address {
        self.accounts.get(slot)
    }

    /// What is staked in a row.
    pub(in crate::book) fn staked(&self, slot: u32) -> u128 {
        self.stakes[at(slot)]
    }

    /// Replaces what is staked in a row; answers what it was. Its accounts have to be made anew for that.
    pub(in crate::book) fn set_staked(&mut self, slot: u32, staked: u128) -> u128 {
        std::mem::replace(&mut self.stakes[at(slot)], staked)
    }

    /// What a row has in a stream.
    pub(in crate::book) fn get(&self, stream: usize, slot: u32) -> Account {
        self.streams[stream].accounts[at(slot)]
    }

    /// What a row has in all streams.
    pub(in crate::book) fn ledgers(&self, slot: u32) -> impl Iterator<Item = Ledger> {
        self.streams.iter().map(move |stream| stream.accounts[at(slot)].ledger)
    }

    /// Replaces what a row has in a stream; answers what it was.
    pub(in crate::book) fn set(&mut self, stream: usize, slot: u32, account: Account) -> Account {
        let StreamRows { accounts, ripeness } = &mut self.streams[stream];
        let before = std::mem::replace(&mut accounts[at(slot)], account);
        ripeness.change(slot, before.ripe_at, account.ripe_at);
        before
    }

    /// The accounts of a stream by the accumulator that makes them ripe.
    pub(super) fn ripeness(&self, stream: usize) -> &Ripeness {
        &self.streams[stream].ripeness
    }

    /// Everybody and what they have staked.
    pub(super) fn stakes(&self) -> impl Iterator<Item = (Address, u128)> {
        self.accounts.iter_from(0).zip(self.stakes.iter().copied())
    }
}
