//! The positions of one market, found by account and kept in the order of the waterline.
//!
//! A million of them have to fit beside each other: addresses and amounts lie in plain rows.

use alloy::primitives::Address;

use super::{accounts::Accounts, at, waterline::Waterline};
use crate::math::market::Loan;

/// What an account holds and owes in a market.
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
    /// The side of it that can be liquidated.
    #[must_use]
    pub const fn loan(self) -> Loan {
        Loan { borrow_shares: self.borrow_shares, collateral: self.collateral }
    }
}

/// The rows of a market.
#[derive(Debug, Default)]
pub(super) struct Positions {
    accounts: Accounts,
    positions: Vec<Position>,
    waterline: Waterline,
}

impl Positions {
    /// The row of an account, if it has one.
    pub(super) fn slot(&self, account: Address) -> Option<u32> {
        self.accounts.slot(account)
    }

    /// A new row at the end, empty, for an account that has none. `None` where 2^32 are taken.
    pub(super) fn push(&mut self, account: Address) -> Option<u32> {
        let slot = self.accounts.push(account)?;
        self.positions.push(Position::default());
        Some(slot)
    }

    /// A new row at the end, not yet in order. `false` where the account has one, or 2^32 are taken. Nothing gets none.
    pub(super) fn restore(&mut self, account: Address, position: Position) -> bool {
        if position == Position::default() {
            return true;
        }
        let slot = if self.slot(account).is_none() { self.push(account) } else { None };
        let Some(slot) = slot else { return false };
        self.positions[at(slot)] = position;
        true
    }

    /// Puts all rows in order, of which none was.
    pub(super) fn order(&mut self) {
        self.waterline = (0..).zip(&self.positions).map(|(slot, position)| (slot, position.loan())).collect();
    }

    /// Takes the last row away again.
    pub(super) fn pop(&mut self) {
        if let (Some(slot), Some(position)) = (self.accounts.pop(), self.positions.pop()) {
            self.waterline.change(slot, position.loan(), Loan::default());
        }
    }

    /// The amounts in a row.
    pub(super) fn get(&self, slot: u32) -> Position {
        self.positions[at(slot)]
    }

    /// Replaces the amounts in a row.
    pub(super) fn set(&mut self, slot: u32, position: Position) {
        let before = std::mem::replace(&mut self.positions[at(slot)], position);
        self.waterline.change(slot, before.loan(), position.loan());
    }

    /// Whose a row is.
    pub(super) fn account(&self, slot: u32) -> Address {
        self.accounts.get(slot)
    }

    /// All rows, by number.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.accounts.slots()
    }

    /// Every row from this one on.
    pub(super) fn iter_from(&self, row: usize) -> impl Iterator<Item = (Address, Position)> {
        let positions = self.positions.get(row..).unwrap_or_default();
        self.accounts.iter_from(row).zip(positions.iter().copied())
    }

    /// The loans by their order.
    pub(super) const fn waterline(&self) -> &Waterline {
        &self.waterline
    }
}
