//! The value of a token's unit in wei, as an exact fraction with directed rounding.

use std::cmp::max;

use alloy::primitives::{U256, U512};
use serde::{Deserialize, Serialize};

use crate::math::wide::{mul_div_down, mul_div_up};

/// Numerator and denominator are kept to so many bits, so that the product of two rates fits 512.
const BITS: usize = 256;
/// Bits that must remain of either where both are cut to fit; with fewer the rate would be too inexact to use.
const MIN_BITS: usize = 64;

/// A token's value in the chain's native currency: so many wei for so many units; neither is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredRate")]
pub struct Rate {
    wei: U256,
    units: U256,
}

/// A rate as it is read back from a file, which may hold anything.
#[derive(Debug, Deserialize)]
struct StoredRate {
    wei: U256,
    units: U256,
}

impl TryFrom<StoredRate> for Rate {
    type Error = &'static str;

    fn try_from(StoredRate { wei, units }: StoredRate) -> Result<Self, Self::Error> {
        if wei.is_zero() || units.is_zero() {
            return Err("neither side of a rate may be 0");
        }
        Ok(Self { wei, units })
    }
}

impl Rate {
    /// The rate of one wei for one unit.
    pub const ONE: Self = Self { wei: U256::ONE, units: U256::ONE };

    /// Returns the rate of `wei` for `units`, rounded down where one of them has more than 256 bits. `None` where one of
    /// them is 0, or too small next to the other to be represented.
    #[must_use]
    pub fn new(wei: U512, units: U512) -> Option<Self> {
        let excess = max(wei.bit_len(), units.bit_len()).saturating_sub(BITS);
        let below = !(U512::MAX << excess);
        let carry = U512::from(u8::from(!(units & below).is_zero()));
        let (wei, units) = (wei >> excess, (units >> excess).saturating_add(carry));
        let min_bits = if excess == 0 { 1 } else { MIN_BITS };
        let usable = wei.bit_len() >= min_bits && units.bit_len() >= min_bits;
        usable.then(|| Self { wei: wei.saturating_to(), units: units.saturating_to() })
    }

    /// Returns the rate of a token that has the rate `self` in units of a second token, which has the rate `other` in
    /// wei; rounded down. `None` where the product is out of range.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        Self::new(self.wei.widening_mul(other.wei), self.units.widening_mul(other.units))
    }

    /// Returns the value of `units` in wei, rounded down: what is earned.
    #[must_use]
    pub fn value_down(self, units: U256) -> U256 {
        mul_div_down(units, self.wei, self.units)
    }

    /// Returns the value of `units` in wei, rounded up: what is paid.
    #[must_use]
    pub fn value_up(self, units: U256) -> U256 {
        mul_div_up(units, self.wei, self.units)
    }

    /// Returns how many units one wei is worth, times 2^96 and rounded up, as the `Liquidator` contract converts costs.
    /// `None` where it is 2^128 or more.
    #[must_use]
    pub fn units_per_wei_x96(self) -> Option<u128> {
        mul_div_up(U256::ONE << 96, self.units, self.wei).try_into().ok()
    }

    /// Returns the least number of units that are worth at least `wei`.
    #[must_use]
    pub fn units_up(self, wei: U256) -> U256 {
        mul_div_up(wei, self.units, self.wei)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(wei: u128, units: u128) -> Rate {
        Rate::new(U512::from(wei), U512::from(units)).unwrap()
    }

    #[test]
    fn a_dollar_of_six_decimals_has_the_right_value_at_two_thousand_to_an_ether() {
        // 1e18 wei for 2,000e6 units.
        let rate = rate(10_u128.pow(18), 2_000_000_000);
        assert_eq!(rate.value_down(U256::from(3)), U256::from(1_500_000_000_u64));
        assert_eq!(rate.units_up(U256::from(1_500_000_001_u64)), U256::from(4));
        assert_eq!(rate.units_up(U256::from(1_500_000_000_u64)), U256::from(3));
    }

    #[test]
    fn zero_and_negligible_amounts_have_no_rate() {
        assert_eq!(Rate::new(U512::ZERO, U512::ONE), None);
        assert_eq!(Rate::new(U512::ONE, U512::ZERO), None);
        assert_eq!(Rate::new(U512::ONE, U512::MAX), None);
    }

    #[test]
    fn a_wei_is_converted_to_units_times_two_to_the_96_rounded_up() {
        assert_eq!(Rate::ONE.units_per_wei_x96(), Some(1 << 96));
        assert_eq!(rate(3, 1).units_per_wei_x96(), Some((1_u128 << 96) / 3 + 1));
        assert_eq!(rate(1, 1 << 32).units_per_wei_x96(), None);
        assert_eq!(rate(1, (1 << 32) - 1).units_per_wei_x96(), Some(u128::MAX - (1 << 96) + 1));
    }

    #[test]
    fn a_rate_survives_a_round_trip_through_json_and_one_with_zero_is_refused() {
        let rate = Rate { wei: U256::MAX, units: U256::from(3) };
        let json = serde_json::to_string(&rate).unwrap();
        assert_eq!(serde_json::from_str::<Rate>(&json).unwrap(), rate);
        let refused = serde_json::from_str::<Rate>(r#"{"wei":"0x1","units":"0x0"}"#).unwrap_err();
        assert!(refused.to_string().contains("neither side"), "{refused}");
    }

    proptest! {
        #[test]
        fn a_product_of_rates_is_rounded_down_and_close(
            a in 1_u128.., b in 1_u128.., c in 1_u128.., d in 1_u128.., e in 1_u64.., units: u64,
        ) {
            let all = rate(a, b).times(rate(c, d)).and_then(|both| both.times(rate(e.into(), 3)));
            let Some(all) = all else { return Ok(()) };
            let exact = U512::from(a) * U512::from(c) * U512::from(e) * U512::from(units)
                / (U512::from(b) * U512::from(d) * U512::from(3));
            let value = U512::from(all.value_down(U256::from(units)));
            prop_assert!(value <= exact);
            // The bits that remain after a cut are right.
            prop_assert!(value + (exact >> (MIN_BITS - 3)) + U512::ONE >= exact || value == U512::from(U256::MAX));
        }

        #[test]
        fn the_units_for_a_cost_cover_it_and_one_unit_less_does_not(wei in 1_u128.., a in 1_u64.., b in 1_u64..) {
            let rate = rate(a.into(), b.into());
            let units = rate.units_up(U256::from(wei));
            prop_assert!(rate.value_up(units) >= U256::from(wei));
            prop_assert!(rate.value_up(units - U256::ONE) <= U256::from(wei));
        }
    }
}
