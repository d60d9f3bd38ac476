//! Orders that were tried in vain, and the blocks until they are tried again.

use std::collections::BTreeMap;

use super::OrderId;
use crate::strategies::SkipReason;

/// Longest wait of an order whose collateral the exchange took at too low a price, in blocks: that may change soon.
const MAX_PRICE_WAIT: u64 = 8;
/// Longest wait of an order that reverted for another reason, in blocks: its account, or a token, has to change.
const MAX_WAIT: u64 = 64;

/// Orders that were tried in vain. An order whose trigger is no longer met is forgotten.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<OrderId, Failure>);

#[derive(Debug)]
struct Failure {
    attempts: u32,
    until_block: u64,
    reason: SkipReason,
}

impl Failures {
    /// Returns why an order failed last, while it is not to be tried again.
    pub(super) fn reason(&self, order: OrderId, block: u64) -> Option<&SkipReason> {
        self.0.get(&order).filter(|failure| block < failure.until_block).map(|failure| &failure.reason)
    }

    /// Returns how often an order was tried in vain since its trigger is met.
    pub(super) fn attempts(&self, order: OrderId) -> u32 {
        self.0.get(&order).map_or(0, |failure| failure.attempts)
    }

    /// Records that an order was tried in vain in a block: the wait doubles each time.
    pub(super) fn record(&mut self, order: OrderId, block: u64, reason: SkipReason) {
        let longest = if matches!(reason, SkipReason::Reverts(_)) { MAX_WAIT } else { MAX_PRICE_WAIT };
        let attempts = self.0.get(&order).map_or(1, |failure| failure.attempts.saturating_add(1));
        let wait = 1_u64.checked_shl(attempts).unwrap_or(longest).min(longest);
        self.0.insert(order, Failure { attempts, until_block: block.saturating_add(wait), reason });
    }

    /// Forgets the orders for which `is_kept` is false.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&OrderId) -> bool) {
        self.0.retain(|order, _| is_kept(order));
    }

    /// Forgets an order, which succeeded.
    pub(super) fn forget(&mut self, order: OrderId) {
        self.0.remove(&order);
    }
}
