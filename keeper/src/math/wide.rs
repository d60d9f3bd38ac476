//! Products wider than 256 bits, and the way back to 128.

use alloy::primitives::{U256, U512, Uint, ruint::UintTryTo};

/// 1e18.
pub const WAD: u64 = 1_000_000_000_000_000_000;

/// `⌊a × b ÷ divisor⌋` with a product of any size; the largest value where it does not fit or the divisor is 0.
pub fn mul_div_down(a: U256, b: U256, divisor: U256) -> U256 {
    if let Some(product) = a.checked_mul(b) {
        return product.checked_div(divisor).unwrap_or(U256::MAX);
    }
    let product: U512 = a.widening_mul(b);
    product.checked_div(U512::from(divisor)).map_or(U256::MAX, saturating)
}

/// `⌈a × b ÷ divisor⌉` with a product of any size; the largest value where it does not fit or the divisor is 0.
pub fn mul_div_up(a: U256, b: U256, divisor: U256) -> U256 {
    if divisor.is_zero() {
        return U256::MAX;
    }
    let product: U512 = a.widening_mul(b);
    saturating(product.div_ceil(U512::from(divisor)))
}

/// `⌈a ÷ divisor⌉`; the largest value where the divisor is 0.
pub fn div_up(a: U256, divisor: U256) -> U256 {
    if divisor.is_zero() {
        return U256::MAX;
    }
    let (quotient, remainder) = a.div_rem(divisor);
    if remainder.is_zero() { quotient } else { quotient.saturating_add(U256::ONE) }
}

/// The product of two 128-bit numbers, which always fits.
pub fn product(a: u128, b: u128) -> U256 {
    U256::from(a) * U256::from(b)
}

/// What of it fits 128 bits, the largest such number where it does not.
pub fn to_u128(value: U256) -> u128 {
    value.saturating_to()
}

fn saturating<const BITS: usize, const LIMBS: usize>(value: Uint<BITS, LIMBS>) -> U256
where
    Uint<BITS, LIMBS>: UintTryTo<U256>,
{
    value.saturating_to()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_beyond_256_bits_are_divided_exactly() {
        assert_eq!(mul_div_down(U256::MAX, U256::MAX, U256::MAX), U256::MAX);
        assert_eq!(mul_div_down(U256::MAX, U256::from(2), U256::from(4)), U256::MAX >> 1);
    }

    #[test]
    fn what_does_not_fit_saturates() {
        assert_eq!(mul_div_down(U256::MAX, U256::from(2), U256::ONE), U256::MAX);
        assert_eq!(mul_div_down(U256::ONE, U256::ONE, U256::ZERO), U256::MAX);
        assert_eq!(to_u128(U256::MAX), u128::MAX);
    }
}
