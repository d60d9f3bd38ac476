//! The time-weighted average price (TWAP) of a Uniswap V3 pool, from its average tick.
//!
//! A tick `t` stands for the price 1.0001^t, in units of token 1 for a unit of token 0.

use alloy::primitives::U512;

use super::rate::Rate;

/// Uniswap V3's ticks go from minus this to this.
const MAX_TICK: u32 = 887_272;
/// Powers are computed with so many binary digits after the point.
const SCALE_BITS: usize = 128;

/// Returns the units of the pool's other token that a unit of one of its tokens is worth, by the average tick over
/// `seconds`. `tick_sum` is the difference of the pool's tick accumulators over that time; the token valued is token 0 if
/// `of_token_0`, else token 1. Never more than the exact power. `None` where there is no such tick.
pub(super) fn rate_at_average(tick_sum: i64, seconds: u32, of_token_0: bool) -> Option<Rate> {
    let seconds = i64::from(seconds);
    let (down, rest) = (tick_sum.checked_div_euclid(seconds)?, tick_sum.checked_rem_euclid(seconds)?);
    // Token 0's value grows with the tick, token 1's falls: the tick is rounded so that the valued token gets less.
    let tick = if of_token_0 || rest == 0 { down } else { down + 1 };
    let power = u32::try_from(tick.unsigned_abs()).ok().filter(|power| *power <= MAX_TICK)?;
    let (low, high) = powers(power);
    let one = U512::ONE << SCALE_BITS;
    if of_token_0 == (tick >= 0) { Rate::new(low, one) } else { Rate::new(one, high) }
}

/// Returns 1.0001^`exponent` in units of 2^-128: a number not above it, and one not below it.
fn powers(exponent: u32) -> (U512, U512) {
    let one = U512::ONE << SCALE_BITS;
    let base = one * U512::from(10_001);
    let ten_thousand = U512::from(10_000);
    let (mut base_low, mut base_high) = (base / ten_thousand, base / ten_thousand + U512::ONE);
    let (mut low, mut high) = (one, one);
    let mut rest = exponent;
    loop {
        if rest & 1 == 1 {
            low = (low * base_low) >> SCALE_BITS;
            high = ((high * base_high) >> SCALE_BITS) + U512::ONE;
        }
        rest >>= 1;
        if rest == 0 {
            return (low, high);
        }
        base_low = (base_low * base_low) >> SCALE_BITS;
        base_high = ((base_high * base_high) >> SCALE_BITS) + U512::ONE;
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;

    #[test]
    fn the_two_bounds_of_a_power_enclose_it_closely() {
        let one = U512::ONE << SCALE_BITS;
        assert_eq!(powers(0), (one, one));
        // The price at the last tick is 2^128, short of the 272 ticks' rounding of the limit's root.
        let (low, high) = powers(MAX_TICK);
        assert_eq!(low.bit_len(), 256);
        assert!((high - low) >> 180 == U512::ZERO, "{low} {high}");
        // 1.0001^10000 = 2.718145926825224864…
        let (low, high) = powers(10_000);
        let scale = U512::from(10).pow(U512::from(18));
        assert_eq!(low * scale / one, U512::from(2_718_145_926_825_224_864_u128));
        assert_eq!(high * scale / one, U512::from(2_718_145_926_825_224_864_u128));
    }

    #[test]
    fn an_average_tick_is_rounded_against_the_valued_token() {
        let million = U256::from(1_000_000_000_000_u64);
        let value = |sum, of_token_0| rate_at_average(sum, 10, of_token_0).unwrap().value_down(million);
        // Below the exact power, if by 2^-128: so one unit less than it.
        assert_eq!(value(10, true), U256::from(1_000_099_999_999_u64));
        assert_eq!(value(19, true), U256::from(1_000_099_999_999_u64));
        assert_eq!(value(-10, true), U256::from(999_900_009_999_u64));
        assert_eq!(value(-1, true), U256::from(999_900_009_999_u64));
        assert_eq!(value(10, false), U256::from(999_900_009_999_u64));
        assert_eq!(value(1, false), U256::from(999_900_009_999_u64));
        assert_eq!(value(-10, false), U256::from(1_000_099_999_999_u64));
        assert_eq!(rate_at_average(8_872_730, 10, true), None);
        assert_eq!(rate_at_average(0, 0, true), None);
    }
}
