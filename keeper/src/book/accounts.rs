//! The rows of accounts, found by address.
//!
//! Accounts lie in plain rows in the order of their first event; the hash table that finds one holds only row numbers.
//! A row that becomes empty stays, because its account may return.

use std::hash::BuildHasher;

use alloy::primitives::Address;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::at;

/// The accounts of a market or a pool, each with a row number.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    accounts: Vec<Address>,
    slots: HashTable<u32>,
    /// Seeded at random in every process, so that nobody can choose addresses that collide.
    hasher: RandomState,
}

impl Accounts {
    /// Returns the row of an account, if it has one.
    pub(super) fn slot(&self, account: Address) -> Option<u32> {
        let hash = self.hasher.hash_one(account);
        self.slots.find(hash, |slot| self.accounts[at(*slot)] == account).copied()
    }

    /// Adds a row at the end, for an account that has none. Returns `None` if 2^32 rows are taken.
    pub(super) fn push(&mut self, account: Address) -> Option<u32> {
        let slot = u32::try_from(self.accounts.len()).ok()?;
        self.accounts.push(account);
        let Self { accounts, slots, hasher } = self;
        slots.insert_unique(hasher.hash_one(account), slot, |slot| hasher.hash_one(accounts[at(*slot)]));
        Some(slot)
    }

    /// Removes the last row, and returns its number.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let account = self.accounts.pop()?;
        let last = self.accounts.len();
        let entry = self.slots.find_entry(self.hasher.hash_one(account), |found| at(*found) == last).ok()?;
        Some(entry.remove().0)
    }

    /// Returns the account of a row.
    pub(super) fn get(&self, slot: u32) -> Address {
        self.accounts[at(slot)]
    }

    /// Iterates over the row numbers.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        (0..).take(self.accounts.len())
    }

    /// Iterates over the accounts from a row on.
    pub(super) fn iter_from(&self, row: usize) -> impl Iterator<Item = Address> {
        self.accounts.get(row..).unwrap_or_default().iter().copied()
    }
}
