//! The orders of one market's borrowers at the guard, found by account and ordered by trigger.
//!
//! Only an order whose account has a debt can be executed, so only those are in the order of triggers. There they are
//! kept by the size of the debt, as loans are: orders of loans too small to pay for a transaction, and those whose
//! triggers are far, cost a block nothing.

mod triggers;

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, U256};

use self::triggers::Triggers;
use super::MarketBook;
use crate::math::{
    guard::{Execution, Order, OrderKind},
    types::{Loan, Market},
};

/// An order at the guard, with the time of its last execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlacedOrder {
    /// The terms, with the uses that are left.
    pub order: Order,
    /// Timestamp of the last execution, in seconds; 0 if there was none.
    pub last_executed: u64,
}

/// An order whose trigger is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TriggeredOrder {
    /// Account that placed it.
    pub account: Address,
    /// Its trigger.
    pub kind: OrderKind,
    /// The terms.
    pub placed: PlacedOrder,
    /// The account's debt and collateral.
    pub loan: Loan,
    /// The amounts of an execution without own tokens of the account. With them less collateral is sold.
    pub execution: Execution,
}

impl PlacedOrder {
    /// Returns whether the order can still be executed at a time or later.
    #[must_use]
    pub const fn is_valid_at(&self, timestamp: u64) -> bool {
        timestamp <= self.order.expiry
    }

    /// Returns the timestamp in seconds from which the order can be executed again.
    #[must_use]
    pub fn executable_from(&self) -> u64 {
        self.last_executed.saturating_add(self.order.cooldown_secs.into())
    }
}

/// The orders of a market.
#[derive(Debug, Default)]
pub(super) struct Orders {
    orders: BTreeMap<(Address, OrderKind), PlacedOrder>,
    by_expiry: BTreeSet<(u64, Address, OrderKind)>,
    triggers: Triggers,
}

impl Orders {
    pub(super) fn get(&self, account: Address, kind: OrderKind) -> Option<PlacedOrder> {
        self.orders.get(&(account, kind)).copied()
    }

    /// Returns an order that has expired before a time, if there is one.
    pub(super) fn expired_before(&self, timestamp: u64) -> Option<(Address, OrderKind)> {
        let (expiry, account, kind) = self.by_expiry.first()?;
        (*expiry < timestamp).then_some((*account, *kind))
    }

    /// Iterates over all orders.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Address, OrderKind, &PlacedOrder)> {
        self.orders.iter().map(|((account, kind), placed)| (*account, *kind, placed))
    }

    /// Replaces an order, given the row and the loan of its account, and returns the previous one.
    pub(super) fn set(
        &mut self,
        account: Address,
        kind: OrderKind,
        loan: Option<(u32, Loan)>,
        order: Option<PlacedOrder>,
    ) -> Option<PlacedOrder> {
        let key = (account, kind);
        let before = match order {
            Some(order) => self.orders.insert(key, order),
            None => self.orders.remove(&key),
        };
        if let Some(before) = &before {
            self.by_expiry.remove(&(before.order.expiry, account, kind));
        }
        if let Some(after) = &order {
            self.by_expiry.insert((after.order.expiry, account, kind));
        }
        if let Some((slot, loan)) = loan {
            if let Some(before) = &before {
                self.triggers.remove(kind, &before.order, slot, loan);
            }
            if let Some(after) = &order {
                self.triggers.insert(kind, &after.order, slot, loan);
            }
        }
        before
    }

    /// Moves the orders of an account to the places that its new loan gives them.
    pub(super) fn change_loan(&mut self, account: Address, slot: u32, before: Loan, after: Loan) {
        if before == after || self.orders.is_empty() {
            return;
        }
        for kind in OrderKind::ALL {
            if let Some(placed) = self.orders.get(&(account, kind)) {
                self.triggers.remove(kind, &placed.order, slot, before);
                self.triggers.insert(kind, &placed.order, slot, after);
            }
        }
    }

    /// Iterates over the rows of accounts whose orders may be triggered, with the kind: all that are, and a few that the
    /// contract's rounding spares. Sizes wholly below `least_shares` are left out.
    fn within_reach(&self, market: &Market, price: U256, least_shares: u128) -> impl Iterator<Item = (OrderKind, u32)> {
        self.triggers.within_reach(market, price, least_shares)
    }
}

impl MarketBook {
    /// Returns an order of an account; `None` if it has none that is valid.
    #[must_use]
    pub fn order(&self, account: Address, kind: OrderKind) -> Option<PlacedOrder> {
        self.orders.get(account, kind)
    }

    /// Iterates over all orders in the market, in the order of accounts and kinds.
    pub fn orders(&self) -> impl Iterator<Item = (Address, OrderKind, &PlacedOrder)> {
        self.orders.iter()
    }

    /// Returns every order whose trigger is met at a price and a time, by the contract's own arithmetic, without those
    /// that have expired and those of loans of a size wholly below `least_shares`. Those that were executed a short time
    /// ago are among them. The work is proportional to their number, not to that of all orders. Returns none at a price
    /// of 0, which the contract rejects.
    #[must_use]
    pub fn triggered_orders(&self, price: U256, timestamp: u64, least_shares: u128) -> Vec<TriggeredOrder> {
        if price.is_zero() {
            return Vec::new();
        }
        let market = self.at(timestamp);
        let within_reach = self.orders.within_reach(&market, price, least_shares);
        within_reach
            .filter_map(|(kind, slot)| self.triggered(&market, self.positions.account(slot), kind, price, timestamp))
            .collect()
    }

    /// Returns an order of an account if its trigger is met at a price and a time, and it has not expired.
    #[must_use]
    pub fn triggered_order(
        &self,
        account: Address,
        kind: OrderKind,
        price: U256,
        timestamp: u64,
    ) -> Option<TriggeredOrder> {
        self.triggered(&self.at(timestamp), account, kind, price, timestamp)
    }

    fn triggered(
        &self,
        market: &Market,
        account: Address,
        kind: OrderKind,
        price: U256,
        timestamp: u64,
    ) -> Option<TriggeredOrder> {
        let placed = self.orders.get(account, kind).filter(|placed| placed.is_valid_at(timestamp))?;
        let loan = self.position(account).loan();
        let execution = market.execute_order(loan, &placed.order, kind, price, self.risk().min_debt(), 0)?;
        Some(TriggeredOrder { account, kind, placed, loan, execution })
    }
}
