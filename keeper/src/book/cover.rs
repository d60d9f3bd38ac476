//! What backstops keep inside the core, and what of it a loss may take.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use plimsoll_contracts::MarketId;

/// Names an amount of a backstop's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoverKey {
    /// What it keeps of a token.
    Amount(Address, Address),
    /// What of a token no loss may take.
    Floor(Address, Address),
    /// How much of it a market may still use.
    Limit(Address, MarketId),
}

/// Every amount that is not 0.
#[derive(Debug, Default)]
pub(super) struct Cover(BTreeMap<CoverKey, U256>);

impl Cover {
    pub(super) fn get(&self, key: CoverKey) -> U256 {
        self.0.get(&key).copied().unwrap_or_default()
    }

    /// Replaces an amount; answers what it was.
    pub(super) fn set(&mut self, key: CoverKey, amount: U256) -> U256 {
        let before = if amount.is_zero() { self.0.remove(&key) } else { self.0.insert(key, amount) };
        before.unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (CoverKey, U256)> {
        self.0.iter().map(|(key, amount)| (*key, *amount))
    }
}
