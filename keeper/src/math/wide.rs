//! Multiplication and division with intermediate products wider than 256 bits, and conversion back to 128 bits.

use alloy::primitives::{U256, U512, Uint, ruint::UintTryTo};

/// 1e18, the scale of rates and factors.
pub const WAD: u64 = 1_000_000_000_000_000_000;

/// Returns `⌊a × b ÷ divisor⌋` with a product of any size; the largest value if it does not fit or the divisor is 0.
pub fn mul_div_down(a: U256, b: U256, divisor: U256) -> U256 {
    if let Some(product) = a.checked_mul(b) {
        return product.checked_div(divisor).unwrap_or(U256::MAX);
    }
    let product: U512 = a.widening_mul(b);
    product.checked_div(U512::from(divisor)).map_or(U256::MAX, saturating)
}

/// Returns `⌈a × b ÷ divisor⌉` with a product of any size; the largest value if it does not fit or the divisor is 0.
pub fn mul_div_up(a: U256, b: U256, divisor: U256) -> U256 {
    if divisor.is_zero() {
        return U256::MAX;
    }
    let product: U512 = a.widening_mul(b);
    saturating(product.div_ceil(U512::from(divisor)))
}

/// Returns `⌈a ÷ divisor⌉`; the largest value if the divisor is 0.
pub fn div_up(a: U256, divisor: U256) -> U256 {
    if divisor.is_zero() {
        return U256::MAX;
    }
    let (quotient, remainder) = a.div_rem(divisor);
    if remainder.is_zero() { quotient } else { quotient.saturating_add(U256::ONE) }
}

/// Returns the product of two 128-bit numbers, which always fits.
pub fn product(a: u128, b: u128) -> U256 {
    U256::from(a) * U256::from(b)
}

/// Converts to 128 bits; saturates at the largest such number.
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
    fn results_that_do_not_fit_saturate() {
        assert_eq!(mul_div_down(U256::MAX, U256::from(2), U256::ONE), U256::MAX);
        assert_eq!(mul_div_down(U256::ONE, U256::ONE, U256::ZERO), U256::MAX);
        assert_eq!(to_u128(U256::MAX), u128::MAX);
    }
}
