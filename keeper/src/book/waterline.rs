//! The waterline: an index of one market's loans by liquidation price, in the order in which a falling price reaches
//! them.
//!
//! "Which loans are liquidatable at this price?" is answered by taking the first few from one end, whatever the number
//! of loans. The order is by borrow shares ÷ collateral, which neither a price nor interest changes. The contract
//! rounds debt up and value down to units, so that this order is exact only to about two units of each loan's debt.
//! Loans are therefore kept by the size of their debt, in powers of four: within one size the smallest debt tells how
//! far two units can reach, and a loan of a few units does not lengthen the search among large loans.

use std::collections::BTreeSet;

use alloy::primitives::{U256, U512};
use plimsoll_contracts::market::BPS;

use crate::math::{
    liquidation::ORACLE_SCALE,
    types::{Loan, Market},
    wide::product,
};

/// Bits of the quotient that a key keeps after the leading one.
const FRACTION_BITS: usize = 55;
/// Lowest exponent of a quotient of 128-bit numbers.
const LOWEST_EXPONENT: i32 = -128;
/// Highest exponent of a quotient of 128-bit numbers.
const HIGHEST_EXPONENT: i32 = 127;

/// An ordered index over the loans of one market.
#[derive(Debug, Default)]
pub(super) struct Waterline {
    /// One order for every two bits of borrow shares, up to the largest loan's: a market without loans has none.
    by_size: Vec<BTreeSet<Entry>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: RatioKey,
    slot: u32,
}

impl FromIterator<(u32, Loan)> for Waterline {
    /// Builds the index of many loans at once, which takes less time than adding them one by one.
    fn from_iter<T: IntoIterator<Item = (u32, Loan)>>(loans: T) -> Self {
        let mut by_size: Vec<Vec<Entry>> = Vec::new();
        for (slot, loan) in loans {
            if let Some(size) = size_of(loan) {
                let key = RatioKey::of_loan(loan.borrow_shares, loan.collateral);
                at_size(&mut by_size, size).push(Entry { key, slot });
            }
        }
        Self { by_size: by_size.into_iter().map(BTreeSet::from_iter).collect() }
    }
}

impl Waterline {
    /// Moves the loan in a slot to its new place. Loans without debt are not in the index.
    pub(super) fn change(&mut self, slot: u32, before: Loan, after: Loan) {
        if before == after {
            return;
        }
        self.remove(slot, Place::of_loan(before));
        self.insert(slot, Place::of_loan(after));
    }

    /// Removes the loan in a slot from its place, if it has one.
    pub(super) fn remove(&mut self, slot: u32, place: Option<Place>) {
        if let Some(Place { size, key }) = place {
            at_size(&mut self.by_size, size).remove(&Entry { key, slot });
        }
    }

    /// Adds the loan in a slot at a place, if it has one.
    pub(super) fn insert(&mut self, slot: u32, place: Option<Place>) {
        if let Some(Place { size, key }) = place {
            at_size(&mut self.by_size, size).insert(Entry { key, slot });
        }
    }

    /// Returns the number of loans.
    pub(super) fn len(&self) -> usize {
        self.by_size.iter().map(BTreeSet::len).sum()
    }

    /// Iterates over the slots of loans that may exceed an LTV at a price: all that do, and a few that the contract's
    /// rounding spares. Sizes wholly below `least_shares` are left out, and at most `most` loans of each size are looked
    /// at: within a size, those with the most debt per collateral come first. The market must be accrued up to the time
    /// in question.
    pub(super) fn within_reach(
        &self,
        market: &Market,
        ltv_bps: u16,
        price: U256,
        least_shares: u128,
        most: usize,
    ) -> impl Iterator<Item = u32> {
        let sizes = self.sizes().filter(move |(size, _)| largest_of(*size) >= least_shares);
        sizes.flat_map(move |(size, loans)| {
            let key = lowest_within_reach(market, ltv_bps, price, 1 << (2 * size));
            loans.range(Entry { key, slot: 0 }..).rev().take(most).map(|entry| entry.slot)
        })
    }

    /// Counts the loans that [`within_reach`](Self::within_reach) leaves out for their size, and stops at `most`.
    pub(super) fn count_smaller(
        &self,
        market: &Market,
        ltv_bps: u16,
        price: U256,
        least_shares: u128,
        most: usize,
    ) -> usize {
        let sizes = self.sizes().filter(|(size, _)| largest_of(*size) < least_shares);
        let loans = sizes.flat_map(|(size, loans)| {
            let key = lowest_within_reach(market, ltv_bps, price, 1 << (2 * size));
            loans.range(Entry { key, slot: 0 }..)
        });
        loans.take(most).count()
    }

    /// Returns the lowest borrow shares of the first size whose largest loan `pays`, given the most borrow shares of a
    /// size; 0 without loans.
    pub(super) fn least_shares(&self, pays: impl Fn(u128) -> bool) -> u128 {
        if self.sizes().next().is_none() {
            return 0;
        }
        1 << (2 * (0..LARGEST).find(|size| pays(largest_of(*size))).unwrap_or(LARGEST))
    }

    /// Number of sizes that take memory.
    #[cfg(test)]
    pub(super) const fn sizes_in_memory(&self) -> usize {
        self.by_size.capacity()
    }

    /// Iterates over the sizes that have loans, the smallest first.
    fn sizes(&self) -> impl Iterator<Item = (u32, &BTreeSet<Entry>)> {
        (0u32..).zip(&self.by_size).filter(|(_, loans)| !loans.is_empty())
    }
}

/// Returns what is kept for a size, adding empty ones up to it.
pub(super) fn at_size<T: Default>(by_size: &mut Vec<T>, size: usize) -> &mut T {
    if by_size.len() <= size {
        by_size.resize_with(size + 1, T::default);
    }
    &mut by_size[size]
}

/// Where a loan stands in an index: its size, and its rank within that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    size: usize,
    key: RatioKey,
}

impl Place {
    /// Returns the place of a loan among all of a market's; `None` without debt.
    pub(super) fn of_loan(loan: Loan) -> Option<Self> {
        Some(Self { size: size_of(loan)?, key: RatioKey::of_loan(loan.borrow_shares, loan.collateral) })
    }

    /// Returns the place of a loan among those with limits of their own: by debt ÷ (collateral × LTV), so that all are
    /// compared with a limit of one basis point. `None` without debt.
    pub(super) fn of_limited_loan(loan: Loan, ltv_bps: u16) -> Option<Self> {
        let carried = product(loan.collateral, ltv_bps.into());
        let key = match (Leading::of(loan.borrow_shares), Leading::down(U512::from(carried))) {
            (Some(shares), Some(carried)) => RatioKey::of_quotient(shares, carried),
            (Some(_), None) => RatioKey::HIGHEST,
            (None, _) => return None,
        };
        Some(Self { size: size_of(loan)?, key })
    }
}

/// The limit that [`Place::of_limited_loan`] compares with, in basis points.
pub(super) const ONE_BPS: u16 = 1;

/// The size of the largest loans.
const LARGEST: u32 = 63;

/// Returns the most borrow shares of a loan of a size.
pub(super) fn largest_of(size: u32) -> u128 {
    u128::MAX >> (2 * (LARGEST - size))
}

/// Returns the size class of a loan; `None` if it has no debt.
pub(super) fn size_of(loan: Loan) -> Option<usize> {
    usize::try_from(loan.borrow_shares.checked_ilog2()? / 2).ok()
}

/// Returns a key below which no loan of at least `min_borrow_shares` is liquidatable.
///
/// With debt `D < b·A/S + 1`, value `V > c·P - 1` and liquidation LTV `L < 1`, `D > V·L` implies
/// `b/c > P·L·S ÷ (A + 2·S/b)`, of which the right side is largest where `b` is smallest. (A third unit is for rounding
/// `2·S/b` up.)
fn lowest_within_reach(market: &Market, ltv_bps: u16, price: U256, min_borrow_shares: u128) -> RatioKey {
    let (bps, ltv_bps) = (u128::from(BPS), u128::from(ltv_bps));
    // A value is capped at 2^128 - 1, and only a debt near that exceeds the cap's part.
    if product(market.borrow_assets, bps) > product(u128::MAX, ltv_bps) {
        return RatioKey::LOWEST;
    }
    let reach = U256::from(market.borrow_shares).saturating_mul(U256::from(2)).div_ceil(U256::from(min_borrow_shares));
    let debt = U512::from(market.borrow_assets) + U512::from(reach);
    let dividend = U512::from(price) * U512::from(product(market.borrow_shares, ltv_bps));
    let divisor = debt * U512::from(ORACLE_SCALE) * U512::from(bps);
    match (Leading::down(dividend), Leading::up(divisor)) {
        (Some(dividend), Some(divisor)) => RatioKey::of_quotient(dividend, divisor),
        _ => RatioKey::LOWEST,
    }
}

/// The rank of a loan among those of its market: borrow shares ÷ collateral as an integer that fits a machine word. The
/// higher, the sooner the loan is liquidatable.
///
/// A key is the quotient's exponent and the 55 bits after its leading one, truncated: equal quotients have equal keys,
/// and a larger quotient never has a smaller key. Truncation costs a look at a few further loans and never hides one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RatioKey(u64);

/// A positive number by its leading 128 bits: `top × 2^exponent`, where `top` has its highest bit set.
#[derive(Debug, Clone, Copy)]
struct Leading {
    top: u128,
    exponent: i32,
}

impl RatioKey {
    /// The lowest key, below which there is none.
    const LOWEST: Self = Self(0);
    /// The key of any debt without collateral.
    const HIGHEST: Self = Self(u64::MAX);

    fn of_loan(borrow_shares: u128, collateral: u128) -> Self {
        match (Leading::of(borrow_shares), Leading::of(collateral)) {
            (None, _) => Self::LOWEST,
            (_, None) => Self::HIGHEST,
            (Some(shares), Some(collateral)) => Self::of_quotient(shares, collateral),
        }
    }

    /// Returns the key of a quotient: the lowest or the highest if no two 128-bit numbers have that quotient.
    fn of_quotient(dividend: Leading, divisor: Leading) -> Self {
        let mut exponent = dividend.exponent - divisor.exponent;
        // The quotient of the tops lies between a half and two. Twice a top may not fit; twice it less the other one
        // does.
        let beyond_one = if let Some(difference) = dividend.top.checked_sub(divisor.top) {
            difference
        } else {
            exponent -= 1;
            dividend.top - (divisor.top - dividend.top)
        };
        if exponent < LOWEST_EXPONENT {
            return Self::LOWEST;
        }
        if exponent > HIGHEST_EXPONENT {
            return Self::HIGHEST;
        }
        let scaled: U256 = U256::from(beyond_one) << FRACTION_BITS;
        let fraction: u64 = (scaled / U256::from(divisor.top)).saturating_to();
        Self((u64::from(exponent.abs_diff(LOWEST_EXPONENT)) << FRACTION_BITS) | fraction)
    }
}

impl Leading {
    /// Converts exactly; returns `None` for 0.
    fn of(number: u128) -> Option<Self> {
        let zeros = number.leading_zeros();
        (number != 0).then(|| Self { top: number << zeros, exponent: -zeros.cast_signed() })
    }

    /// Converts to the number or a little less; returns `None` for 0.
    fn down(number: U512) -> Option<Self> {
        let beyond = number.bit_len().saturating_sub(128);
        let leading = Self::of((number >> beyond).saturating_to())?;
        Some(Self { exponent: leading.exponent + i32::try_from(beyond).unwrap_or(i32::MAX), ..leading })
    }

    /// Converts to a little more than the number; returns `None` for 0.
    fn up(number: U512) -> Option<Self> {
        let Self { top, exponent } = Self::down(number)?;
        Some(match top.checked_add(1) {
            Some(top) => Self { top, exponent },
            None => Self { top: 1 << 127, exponent: exponent + 1 },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    /// Generates numbers of every length, and those next to powers of two.
    fn amount() -> impl Strategy<Value = u128> {
        (any::<u128>(), 0..128u32, 0..3u8).prop_map(|(number, shift, shape)| match shape {
            0 => number >> shift,
            1 => (1u128 << shift).wrapping_sub(number & 1),
            _ => (1u128 << shift) + (number & 1),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_larger_quotient_never_has_a_smaller_key(a in amount(), b in amount(), c in amount(), d in amount()) {
            let (left, right) = (RatioKey::of_loan(a, b), RatioKey::of_loan(c, d));
            let cross = (U256::from(a) * U256::from(d)).cmp(&(U256::from(c) * U256::from(b)));
            // Without collateral on one side, or with neither debt nor collateral, the products say nothing.
            if b != 0 && d != 0 {
                let in_order = match cross {
                    Ordering::Less => left <= right,
                    Ordering::Equal => left == right,
                    Ordering::Greater => left >= right,
                };
                prop_assert!(in_order, "{:?} and {:?}", left, right);
            }
        }

        #[test]
        fn a_number_lies_between_its_roundings(number in any::<[u64; 8]>(), shift in 0..512usize) {
            let number = U512::from_limbs(number) >> shift;
            if let (Some(down), Some(up)) = (Leading::down(number), Leading::up(number)) {
                prop_assert!(value(down) <= number && number <= value(up));
            } else {
                prop_assert!(number.is_zero());
            }
        }
    }

    fn value(Leading { top, exponent }: Leading) -> U512 {
        let top = U512::from(top);
        let places = usize::try_from(exponent.unsigned_abs()).unwrap();
        if exponent < 0 { top.div_ceil(U512::ONE << places) } else { top.checked_shl(places).unwrap_or(U512::MAX) }
    }

    #[test]
    fn keys_at_both_ends_of_the_range_are_distinct() {
        let most = u128::MAX;
        let key = RatioKey::of_loan;
        assert!(RatioKey::LOWEST <= key(1, most) && key(1, most) < key(2, most));
        assert!(key(most - 1, 2) < key(most, 1) && key(most, 1) < key(1, 0));
        assert_eq!(key(1, 0), RatioKey::HIGHEST);
    }
}
