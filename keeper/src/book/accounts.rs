//! Which row is whose.
//!
//! Accounts lie in plain rows in the order in which they came; the table that finds one holds nothing but row numbers.
//! A row that becomes empty stays, for its account to come back to.

use std::hash::BuildHasher;

use alloy::primitives::Address;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::at;

/// The accounts of a market or a pool.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    accounts: Vec<Address>,
    slots: HashTable<u32>,
    /// Seeded anew in every process: whoever chooses addresses cannot make them collide.
    hasher: RandomState,
}

impl Accounts {
    /// The row of an account, if it has one.
    pub(super) fn slot(&self, account: Address) -> Option<u32> {
        let hash = self.hasher.hash_one(account);
        self.slots.find(hash, |slot| self.accounts[at(*slot)] == account).copied()
    }

    /// A new row at the end, for an account that has none. `None` where 2^32 are taken.
    pub(super) fn push(&mut self, account: Address) -> Option<u32> {
        let slot = u32::try_from(self.accounts.len()).ok()?;
        self.accounts.push(account);
        let Self { accounts, slots, hasher } = self;
        slots.insert_unique(hasher.hash_one(account), slot, |slot| hasher.hash_one(accounts[at(*slot)]));
        Some(slot)
    }

    /// Takes the last row away again; answers which it was.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let account = self.accounts.pop()?;
        let last = self.accounts.len();
        let entry = self.slots.find_entry(self.hasher.hash_one(account), |found| at(*found) == last).ok()?;
        Some(entry.remove().0)
    }

    /// Whose a row is.
    pub(super) fn get(&self, slot: u32) -> Address {
        self.accounts[at(slot)]
    }

    /// All rows.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        (0..).take(self.accounts.len())
    }

    /// Everybody from a row on, in the order of their rows.
    pub(super) fn iter_from(&self, row: usize) -> impl Iterator<Item = Address> {
        self.accounts.get(row..).unwrap_or_default().iter().copied()
    }
}
