//! The positions of one market, found by account and ordered by liquidation price (waterline).
//!
//! Addresses and amounts lie in plain rows, so that a million positions fit in memory.

use alloy::primitives::Address;

use super::{accounts::Accounts, at, waterline::Waterline};
use crate::math::types::Loan;

/// The supply, debt and collateral of an account in a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Shares of the market's supply.
    pub supply_shares: u128,
    /// Shares of the market's debt.
    pub borrow_shares: u128,
    /// Units of the collateral token.
    pub collateral: u128,
}

impl Position {
    /// Returns the debt and the collateral, which are what can be liquidated.
    #[must_use]
    pub const fn loan(self) -> Loan {
        Loan { borrow_shares: self.borrow_shares, collateral: self.collateral }
    }
}

/// The positions of a market, in rows by account.
#[derive(Debug, Default)]
pub(super) struct Positions {
    accounts: Accounts,
    positions: Vec<Position>,
    waterline: Waterline,
}

impl Positions {
    /// Returns the row of an account, if it has one.
    pub(super) fn slot(&self, account: Address) -> Option<u32> {
        self.accounts.slot(account)
    }

    /// Adds an empty row at the end, for an account that has none. Returns `None` if 2^32 rows are taken.
    pub(super) fn push(&mut self, account: Address) -> Option<u32> {
        let slot = self.accounts.push(account)?;
        self.positions.push(Position::default());
        Some(slot)
    }

    /// Adds a row at the end without adding it to the waterline index. An empty position gets no row. Returns false if
    /// the account has a row already, or 2^32 rows are taken.
    pub(super) fn restore(&mut self, account: Address, position: Position) -> bool {
        if position == Position::default() {
            return true;
        }
        let slot = if self.slot(account).is_none() { self.push(account) } else { None };
        let Some(slot) = slot else { return false };
        self.positions[at(slot)] = position;
        true
    }

    /// Builds the waterline index of all restored rows.
    pub(super) fn build_waterline(&mut self) {
        self.waterline = (0..).zip(&self.positions).map(|(slot, position)| (slot, position.loan())).collect();
    }

    /// Removes the last row.
    pub(super) fn pop(&mut self) {
        if let (Some(slot), Some(position)) = (self.accounts.pop(), self.positions.pop()) {
            self.waterline.change(slot, position.loan(), Loan::default());
        }
    }

    /// Returns the position in a row.
    pub(super) fn get(&self, slot: u32) -> Position {
        self.positions[at(slot)]
    }

    /// Replaces the position in a row.
    pub(super) fn set(&mut self, slot: u32, position: Position) {
        let before = std::mem::replace(&mut self.positions[at(slot)], position);
        self.waterline.change(slot, before.loan(), position.loan());
    }

    /// Returns the account of a row.
    pub(super) fn account(&self, slot: u32) -> Address {
        self.accounts.get(slot)
    }

    /// Iterates over the row numbers.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.accounts.slots()
    }

    /// Iterates over the accounts and positions from a row on.
    pub(super) fn iter_from(&self, row: usize) -> impl Iterator<Item = (Address, Position)> {
        let positions = self.positions.get(row..).unwrap_or_default();
        self.accounts.iter_from(row).zip(positions.iter().copied())
    }

    /// Returns the index of the loans by liquidation price.
    pub(super) const fn waterline(&self) -> &Waterline {
        &self.waterline
    }
}
