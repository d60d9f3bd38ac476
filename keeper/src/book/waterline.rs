//! The loans of one market in the order in which a falling price reaches them.
//!
//! "Who is under water at this price" is answered by taking the first few from one end, whatever the number of loans.
//! The contract judges debt rounded up and value rounded down to units, so the order by ratio is exact only to about
//! two units of each loan's debt. Loans are therefore kept by the size of their debt, in powers of four: within one
//! size the smallest tells how far two units can reach, and a speck of debt does not lengthen the search among large
//! loans.

use std::collections::BTreeSet;

use alloy::primitives::{U256, U512};
use plimsoll_contracts::market::BPS;

use super::ratio::{Leading, RatioKey};
use crate::math::{
    liquidation::{ORACLE_SCALE, Terms},
    market::{Loan, Market},
    wide::product,
};

/// One for every two bits of borrow shares.
const SIZES: usize = 64;

/// An ordered index over the loans of one market.
#[derive(Debug)]
pub(super) struct Waterline {
    by_size: Vec<BTreeSet<Entry>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: RatioKey,
    slot: u32,
}

impl Default for Waterline {
    fn default() -> Self {
        Self { by_size: vec![BTreeSet::new(); SIZES] }
    }
}

impl FromIterator<(u32, Loan)> for Waterline {
    /// Orders many loans at once, which takes less time than one by one.
    fn from_iter<T: IntoIterator<Item = (u32, Loan)>>(loans: T) -> Self {
        let mut by_size = vec![Vec::new(); SIZES];
        for (slot, loan) in loans {
            if let Some(entries) = size_of(loan).and_then(|size| by_size.get_mut(size)) {
                entries.push(Entry::of(slot, loan));
            }
        }
        Self { by_size: by_size.into_iter().map(BTreeSet::from_iter).collect() }
    }
}

impl Waterline {
    /// Moves the loan in a slot to where it belongs. Loans without debt are not kept.
    pub(super) fn change(&mut self, slot: u32, before: Loan, after: Loan) {
        if before == after {
            return;
        }
        if let Some((loans, entry)) = self.place(slot, before) {
            loans.remove(&entry);
        }
        if let Some((loans, entry)) = self.place(slot, after) {
            loans.insert(entry);
        }
    }

    /// How many loans there are.
    pub(super) fn len(&self) -> usize {
        self.by_size.iter().map(BTreeSet::len).sum()
    }

    /// The slots of all loans that could be liquidated at a price, the most indebted for its collateral first in each
    /// size, and with them a few that the contract's rounding still spares. The market is as of the time in question.
    pub(super) fn within_reach(&self, market: &Market, terms: &Terms, price: U256) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.by_size).filter(|(_, loans)| !loans.is_empty()).flat_map(move |(size, loans)| {
            let key = lowest_within_reach(market, terms, price, 1 << (2 * size));
            loans.range(Entry { key, slot: 0 }..).rev().map(|entry| entry.slot)
        })
    }

    fn place(&mut self, slot: u32, loan: Loan) -> Option<(&mut BTreeSet<Entry>, Entry)> {
        Some((self.by_size.get_mut(size_of(loan)?)?, Entry::of(slot, loan)))
    }
}

impl Entry {
    fn of(slot: u32, loan: Loan) -> Self {
        Self { key: RatioKey::of_loan(loan.borrow_shares, loan.collateral), slot }
    }
}

/// Among which loans one is kept; none without debt.
fn size_of(loan: Loan) -> Option<usize> {
    usize::try_from(loan.borrow_shares.checked_ilog2()? / 2).ok()
}

/// No loan of at least so many borrow shares can be liquidated below this key.
///
/// With debt `D < b·A/S + 1`, value `V > c·P - 1` and liquidation LTV `L < 1`, `D > V·L` implies
/// `b/c > P·L·S ÷ (A + 2·S/b)`, of which the right side is largest where `b` is smallest. (A third unit is for rounding
/// `2·S/b` up.)
fn lowest_within_reach(market: &Market, terms: &Terms, price: U256, least_borrow_shares: u128) -> RatioKey {
    let (bps, ltv_bps) = (u128::from(BPS), u128::from(terms.ltv_bps));
    // A value is capped at 2^128 - 1, and only a debt near that exceeds the cap's part.
    if product(market.borrow_assets, bps) > product(u128::MAX, ltv_bps) {
        return RatioKey::LOWEST;
    }
    let reach =
        U256::from(market.borrow_shares).saturating_mul(U256::from(2)).div_ceil(U256::from(least_borrow_shares));
    let debt = U512::from(market.borrow_assets) + U512::from(reach);
    let dividend = U512::from(price) * U512::from(product(market.borrow_shares, ltv_bps));
    let divisor = debt * U512::from(ORACLE_SCALE) * U512::from(bps);
    match (Leading::down(dividend), Leading::up(divisor)) {
        (Some(dividend), Some(divisor)) => RatioKey::of_quotient(dividend, divisor),
        _ => RatioKey::LOWEST,
    }
}
