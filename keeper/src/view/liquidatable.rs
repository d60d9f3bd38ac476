//! How long loans have been liquidatable: a keeper that leaves them needs its operator's attention.

use alloy::primitives::{Address, map::HashMap};
use plimsoll_contracts::MarketId;

/// The block in which each liquidatable loan was seen as such first, without a block in between in which it was not. Kept
/// in memory only, so it begins with the process.
#[derive(Debug, Default)]
pub(super) struct LiquidatableSince(HashMap<MarketId, HashMap<Address, u64>>);

impl LiquidatableSince {
    /// Replaces the liquidatable loans of a market by those of a block. A market without a price in the block is not to
    /// be updated.
    pub(super) fn update(&mut self, market: MarketId, accounts: impl Iterator<Item = Address>, block: u64) {
        let before = self.0.remove(&market).unwrap_or_default();
        let since = |account| (account, before.get(&account).copied().unwrap_or(block));
        self.0.insert(market, accounts.map(since).collect());
    }

    /// The block since which a loan is liquidatable; `None` where it is not.
    pub(super) fn of(&self, market: MarketId, account: Address) -> Option<u64> {
        self.0.get(&market)?.get(&account).copied()
    }

    /// Number of blocks since the loan of a market that has been liquidatable longest became so; 0 without such a loan.
    pub(super) fn longest(&self, market: MarketId, block: u64) -> u64 {
        let since = self.0.get(&market).and_then(|loans| loans.values().min());
        since.map_or(0, |since| block.saturating_sub(*since))
    }
}
