//! The order of loans: borrow shares ÷ collateral, as an integer that fits a machine word.
//!
//! Neither a price nor interest changes that order, so it can be kept. A key is the quotient's exponent and the leading
//! 55 bits behind it, the rest cut off: equal quotients have equal keys, and a larger quotient never has a smaller key.
//! What is cut off costs a look at a few further loans and never hides one.

use alloy::primitives::{U256, U512};

/// Bits of the quotient that are kept behind the leading one.
const FRACTION_BITS: usize = 55;
/// Quotients of 128-bit numbers lie between 2^-128 and 2^128.
const LOWEST_EXPONENT: i32 = -128;
const HIGHEST_EXPONENT: i32 = 127;

/// Where a loan stands among all of its market: the higher, the sooner it is liquidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RatioKey(u64);

/// A positive number by its leading 128 bits: `top × 2^exponent`, where `top` has its highest bit set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leading {
    top: u128,
    exponent: i32,
}

impl RatioKey {
    /// No quotient has a lower one.
    pub(super) const LOWEST: Self = Self(0);
    /// Of any debt on no collateral.
    pub(super) const HIGHEST: Self = Self(u64::MAX);

    /// Of a loan.
    pub(super) fn of_loan(borrow_shares: u128, collateral: u128) -> Self {
        match (Leading::of(borrow_shares), Leading::of(collateral)) {
            (None, _) => Self::LOWEST,
            (_, None) => Self::HIGHEST,
            (Some(shares), Some(collateral)) => Self::of_quotient(shares, collateral),
        }
    }

    /// Of a quotient. One that no two 128-bit numbers have gets the lowest or the highest.
    pub(super) fn of_quotient(dividend: Leading, divisor: Leading) -> Self {
        let mut exponent = dividend.exponent - divisor.exponent;
        // The tops' quotient lies between a half and two. Twice a top may not fit, twice it less the other does.
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
    /// Exactly; nothing of 0.
    fn of(number: u128) -> Option<Self> {
        let zeros = number.leading_zeros();
        (number != 0).then(|| Self { top: number << zeros, exponent: -zeros.cast_signed() })
    }

    /// The number or a little less; nothing of 0.
    pub(super) fn down(number: U512) -> Option<Self> {
        let beyond = number.bit_len().saturating_sub(128);
        let leading = Self::of((number >> beyond).saturating_to())?;
        Some(Self { exponent: leading.exponent + i32::try_from(beyond).unwrap_or(i32::MAX), ..leading })
    }

    /// The number or a little more; nothing of 0.
    pub(super) fn up(number: U512) -> Option<Self> {
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

    /// Numbers of every length, and those next to powers of two.
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
            // With no collateral on either side, or neither debt nor collateral, the products say nothing.
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
    fn the_ends_of_the_order_are_told_apart() {
        let most = u128::MAX;
        let key = RatioKey::of_loan;
        assert!(RatioKey::LOWEST <= key(1, most) && key(1, most) < key(2, most));
        assert!(key(most - 1, 2) < key(most, 1) && key(most, 1) < key(1, 0));
        assert_eq!(key(1, 0), RatioKey::HIGHEST);
    }
}
