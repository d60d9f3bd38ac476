//! Tripwires: which accounts a change of prices may have brought below a bound, without looking at the others.
//!
//! A token's *effective price* is its price times its index, so that stored balances are constant and time moves it as a
//! price does. The owner of the accounts states for each a *safety bound*: a linear function of effective prices that is
//! never above what the protocol computes, so that nothing needs to be done while it is not negative. When an account is
//! armed, this slack is shared out among its terms: each gets the distance by which its price may move the wrong way.
//! While none has moved as far, the bound is not negative, by how the distances were chosen. A tick takes the accounts one
//! of whose wires was tripped, hands them out to be evaluated exactly, and arms them anew.
//!
//! Never misses: every rounding is to the side that trips.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use alloy::primitives::{Address, U256, uint};

/// Binary digits of a slack's share after the point.
const SHARE_BITS: usize = 64;
/// Weights by which slack is shared out: a volatile price gets a hundred times what a stable one of the same value gets.
const VOLATILE_SHARE: U256 = uint!(100_U256);
const STABLE_SHARE: U256 = U256::ONE;

/// On which side of an account a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It counts as collateral: a fall of its price harms.
    Collateral,
    /// It is owed: a rise of its price harms.
    Debt,
}

/// The effective price of a token, in one fixed-point unit for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectivePrice {
    /// As collateral, rounded down; `None` if it is not known or cannot be stated.
    pub collateral: Option<u128>,
    /// As debt, rounded up; `None` if it is not known or cannot be stated.
    pub debt: Option<u128>,
    /// Whether the price hardly moves. A wrong guess costs evaluations and nothing else.
    pub is_stable: bool,
}

/// A balance as it counts in an account's safety bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// Place of the token in the list of effective prices.
    pub token: u16,
    /// Whether it is collateral or debt.
    pub side: Side,
    /// What each unit of the effective price counts for.
    pub weight: u128,
}

/// A linear bound: the sum of collateral terms, less debt terms, less the margin, each term its weight times its token's
/// effective price. While it is positive or zero, the account is certainly safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyBound {
    /// The balances.
    pub terms: Box<[Term]>,
    /// What roundings may take away.
    pub margin: U256,
}

/// A wire that is set: its account is due once the price is beyond it.
#[derive(Debug, Clone, Copy)]
struct Wire {
    token: u16,
    side: Side,
    at: u128,
}

#[derive(Debug)]
struct Row {
    account: Address,
    /// `None` if the account must be evaluated in every tick.
    bound: Option<SafetyBound>,
    /// The wires that are set; none if the account is evaluated in every tick.
    wires: Box<[Wire]>,
}

/// The wires of one token: numbers of rows by the effective price beyond which they are due.
#[derive(Debug, Default)]
struct TokenWires {
    /// Tripped by a collateral's price below them.
    falls: BTreeSet<(u128, u32)>,
    /// Tripped by a debt's price above them.
    rises: BTreeSet<(u128, u32)>,
}

/// An index of accounts by the prices that may make them unsafe.
#[derive(Debug, Default)]
pub struct Tripwires {
    prices: Vec<EffectivePrice>,
    wires: Vec<TokenWires>,
    numbers: BTreeMap<Address, u32>,
    rows: Vec<Option<Row>>,
    free: Vec<u32>,
    /// Rows whose bound leaves no slack: due in every tick.
    hot: BTreeSet<u32>,
}

impl Tripwires {
    /// Returns the number of accounts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns true if there is no account.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Sets an account's bound and arms it at the prices of the last tick; without a bound, which is one that cannot be
    /// stated, it is due in every tick.
    pub fn set(&mut self, account: Address, bound: Option<SafetyBound>) {
        self.remove(account);
        let row = Row { account, bound, wires: Box::default() };
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.rows.push(None);
                u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.rows.get_mut(number as usize) {
            *place = Some(row);
            self.numbers.insert(account, number);
            self.arm(number);
        }
    }

    /// Takes an account out.
    pub fn remove(&mut self, account: Address) {
        let Some(number) = self.numbers.remove(&account) else { return };
        self.disarm(number);
        if let Some(place) = self.rows.get_mut(number as usize) {
            *place = None;
            self.free.push(number);
        }
    }

    /// Moves to other prices and returns the accounts that they may have made unsafe: each whose bound is negative, and some
    /// whose is not. A token that the list lacks has no price.
    pub fn tick(&mut self, prices: &[EffectivePrice]) -> Vec<Address> {
        self.prices = prices.to_vec();
        let mut due = self.hot.clone();
        for (place, wires) in self.wires.iter().enumerate() {
            due.extend(wires.tripped(self.prices.get(place)));
        }
        let mut accounts = Vec::with_capacity(due.len());
        for number in due {
            self.disarm(number);
            self.arm(number);
            accounts.extend(self.row(number).map(|row| row.account));
        }
        accounts
    }

    fn row(&self, number: u32) -> Option<&Row> {
        self.rows.get(number as usize)?.as_ref()
    }

    fn disarm(&mut self, number: u32) {
        self.hot.remove(&number);
        let Some(Some(row)) = self.rows.get_mut(number as usize) else { return };
        for wire in std::mem::take(&mut row.wires) {
            let Some(wires) = self.wires.get_mut(usize::from(wire.token)) else { continue };
            wires.side(wire.side).remove(&(wire.at, number));
        }
    }

    /// Sets an account's wires, or makes it due in every tick if its bound leaves no slack.
    fn arm(&mut self, number: u32) {
        let Some(row) = self.row(number) else { return };
        let Some(set) = row.bound.as_ref().and_then(|bound| share_slack(bound, &self.prices)) else {
            self.hot.insert(number);
            return;
        };
        for wire in &set {
            let place = usize::from(wire.token);
            if self.wires.len() <= place {
                self.wires.resize_with(place + 1, TokenWires::default);
            }
            if let Some(wires) = self.wires.get_mut(place) {
                wires.side(wire.side).insert((wire.at, number));
            }
        }
        if let Some(Some(row)) = self.rows.get_mut(number as usize) {
            row.wires = set;
        }
    }
}

impl TokenWires {
    const fn side(&mut self, side: Side) -> &mut BTreeSet<(u128, u32)> {
        match side {
            Side::Collateral => &mut self.falls,
            Side::Debt => &mut self.rises,
        }
    }

    /// Iterates over the rows whose wire is tripped. A price that is not known trips every wire.
    fn tripped(&self, price: Option<&EffectivePrice>) -> impl Iterator<Item = u32> {
        let collateral = price.and_then(|price| price.collateral);
        let debt = price.and_then(|price| price.debt);
        let above = collateral.map_or(Bound::Unbounded, |price| Bound::Excluded((price, u32::MAX)));
        let below = debt.map_or(Bound::Unbounded, |price| Bound::Excluded((price, 0)));
        let falls = self.falls.range((above, Bound::Unbounded));
        falls.chain(self.rises.range((Bound::Unbounded, below))).map(|(_, number)| *number)
    }
}

impl EffectivePrice {
    const fn of(&self, side: Side) -> Option<u128> {
        match side {
            Side::Collateral => self.collateral,
            Side::Debt => self.debt,
        }
    }

    const fn share(&self) -> U256 {
        if self.is_stable { STABLE_SHARE } else { VOLATILE_SHARE }
    }
}

/// Shares a bound's slack out among its terms and returns the wires; `None` if there is no slack, if a price is not known, or
/// if the numbers are too large.
fn share_slack(bound: &SafetyBound, prices: &[EffectivePrice]) -> Option<Box<[Wire]>> {
    let (mut plus, mut minus, mut total) = (U256::ZERO, bound.margin, U256::ZERO);
    for term in &bound.terms {
        let price = prices.get(usize::from(term.token))?;
        let value = U256::from(term.weight).checked_mul(U256::from(price.of(term.side)?))?;
        match term.side {
            Side::Collateral => plus = plus.checked_add(value)?,
            Side::Debt => minus = minus.checked_add(value)?,
        }
        total = total.checked_add(value.checked_mul(price.share())?)?;
    }
    let slack = plus.checked_sub(minus).filter(|slack| !slack.is_zero())?;
    // A term's price may move by itself × its share × slack / total, rounded down: its value then moves by no more than its
    // part of the slack. The quotient is at most 1, because total ≥ plus ≥ slack.
    let bits = slack.leading_zeros().min(SHARE_BITS);
    let part = (slack << bits).checked_div(total)?;
    let wire = |term: &Term| {
        let price = prices.get(usize::from(term.token))?;
        let at = price.of(term.side)?;
        let distance = (U256::from(at) * price.share()).checked_mul(part)? >> bits;
        let distance = u128::try_from(distance).unwrap_or(u128::MAX);
        let at = match term.side {
            Side::Collateral => at.saturating_sub(distance),
            Side::Debt => at.saturating_add(distance),
        };
        Some(Wire { token: term.token, side: term.side, at })
    };
    bound.terms.iter().map(wire).collect()
}
