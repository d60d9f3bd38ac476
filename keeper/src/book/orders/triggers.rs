//! Orders by trigger: those that a price meets are found without a look at the others.

use std::collections::BTreeSet;

use alloy::primitives::U256;

use crate::{
    book::waterline::{ONE_BPS, Place, Waterline, at_size, largest_of, size_of},
    math::{
        guard::{Order, OrderKind},
        types::{Loan, Market},
    },
};

/// An ordered index over the orders of one market whose accounts have a debt.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    /// Orders to protect, by debt ÷ (collateral × trigger).
    protect: Waterline,
    close_below: TriggerPrices,
    close_above: TriggerPrices,
}

/// Orders by trigger price, for every two bits of borrow shares.
#[derive(Debug, Default)]
struct TriggerPrices {
    by_size: Vec<BTreeSet<(U256, u32)>>,
}

impl Triggers {
    /// Adds an order of the account in a row. Without debt it has no place.
    pub(super) fn insert(&mut self, kind: OrderKind, order: &Order, slot: u32, loan: Loan) {
        let Some(size) = size_of(loan) else { return };
        match kind {
            OrderKind::Protect => self.protect.insert(slot, Place::of_limited_loan(loan, order.trigger_ltv_bps)),
            OrderKind::CloseBelow => self.close_below.insert(size, order.trigger_price, slot),
            OrderKind::CloseAbove => self.close_above.insert(size, order.trigger_price, slot),
        }
    }

    /// Removes an order from the place that this loan gave it.
    pub(super) fn remove(&mut self, kind: OrderKind, order: &Order, slot: u32, loan: Loan) {
        let Some(size) = size_of(loan) else { return };
        match kind {
            OrderKind::Protect => self.protect.remove(slot, Place::of_limited_loan(loan, order.trigger_ltv_bps)),
            OrderKind::CloseBelow => self.close_below.remove(size, order.trigger_price, slot),
            OrderKind::CloseAbove => self.close_above.remove(size, order.trigger_price, slot),
        }
    }

    /// Iterates over the rows and kinds of orders that may be met at a price. The market must be accrued up to the time
    /// in question.
    pub(super) fn within_reach(
        &self,
        market: &Market,
        price: U256,
        least_shares: u128,
    ) -> impl Iterator<Item = (OrderKind, u32)> {
        let protect = self.protect.within_reach(market, ONE_BPS, price, least_shares, usize::MAX);
        let below = self.close_below.large(least_shares).flat_map(move |orders| orders.range((price, 0)..));
        let above = self.close_above.large(least_shares).flat_map(move |orders| orders.range(..=(price, u32::MAX)));
        protect
            .map(|slot| (OrderKind::Protect, slot))
            .chain(below.map(|(_, slot)| (OrderKind::CloseBelow, *slot)))
            .chain(above.map(|(_, slot)| (OrderKind::CloseAbove, *slot)))
    }
}

impl TriggerPrices {
    fn insert(&mut self, size: usize, price: U256, slot: u32) {
        at_size(&mut self.by_size, size).insert((price, slot));
    }

    fn remove(&mut self, size: usize, price: U256, slot: u32) {
        at_size(&mut self.by_size, size).remove(&(price, slot));
    }

    /// Iterates over the orders of each size that does not lie wholly below `least_shares`.
    fn large(&self, least_shares: u128) -> impl Iterator<Item = &BTreeSet<(U256, u32)>> {
        let sizes = (0u32..).zip(&self.by_size);
        sizes.filter(move |(size, _)| largest_of(*size) >= least_shares).map(|(_, orders)| orders)
    }
}
