//! An account's safety bound: a linear function of effective prices that is never above what the pool computes, whatever it
//! rounds.

use alloy::primitives::U256;

use super::{
    health::{BPS, Balance, RAY, Side, TokenTerms},
    version::Version,
};
use crate::tripwire::{EffectivePrice, SafetyBound, Term};

/// Binary digits of an effective price after the point.
const FRACTION_BITS: usize = 64;
/// Deviation of a token's price from a whole unit of the oracle's currency, in parts of a hundred, below which it is thought
/// to be stable.
const STABLE_PERCENT: u128 = 3;

/// Returns the effective prices of a token's scaled unit. `currency_unit` is the oracle's price of 1.
#[must_use]
pub fn effective_price(token: &TokenTerms, currency_unit: u128) -> EffectivePrice {
    let of = |index: u128| {
        let scaled = U256::from(token.price).checked_mul(U256::from(index))?;
        // Price and index fit into 256 bits together; the fraction does only where they are far smaller.
        (scaled.leading_zeros() >= FRACTION_BITS).then_some(scaled << FRACTION_BITS)
    };
    let divisor = token.unit().and_then(|unit| unit.checked_mul(RAY));
    let narrow = |price: Option<U256>| price.and_then(|price| u128::try_from(price).ok());
    let deviation = token.price.abs_diff(currency_unit);
    EffectivePrice {
        collateral: narrow(divisor.and_then(|divisor| of(token.liquidity_index)?.checked_div(divisor))),
        debt: narrow(divisor.and_then(|divisor| Some(of(token.borrow_index)?.div_ceil(divisor)))),
        is_stable: deviation <= currency_unit / 100 * STABLE_PERCENT,
    }
}

/// Returns the bound of an account: not negative only if its health factor is certainly at least `health`, in basis points.
/// `None` if it cannot be stated. A token's place in the list of effective prices is `place` of it.
pub fn safety_bound<'a>(
    balances: &[Balance],
    terms: impl Fn(u16) -> Option<&'a TokenTerms>,
    place: impl Fn(u16) -> Option<u16>,
    version: Version,
    health: u16,
) -> Option<SafetyBound> {
    let collaterals = balances.iter().filter(|balance| balance.side == Side::Collateral).count();
    // The average threshold is rounded down to a basis point; of one collateral it is that one's.
    let averaging = u16::from(version.averages_thresholds() && collaterals >= 2);
    // A balance is rounded in the pool: a unit less of collateral, one more of debt, bounds it, since indices are at least 1.
    let term = |balance: &Balance| {
        let weight = match balance.side {
            Side::Collateral => {
                let threshold = terms(balance.token)?.threshold_bps.saturating_sub(averaging);
                U256::from(balance.scaled.saturating_sub(1)).checked_mul(U256::from(threshold))?
            }
            Side::Debt => (U256::from(balance.scaled) + U256::ONE).checked_mul(U256::from(health))?,
        };
        Some(Term { token: place(balance.token)?, side: balance.side, weight: u128::try_from(weight).ok()? })
    };
    // Each value is rounded by less than one unit of the oracle, and so is what comes of the thresholds, and the quotient.
    let units = U256::from(balances.len() + 2) * BPS.max(U256::from(health));
    let margin = units.checked_mul(U256::ONE << FRACTION_BITS)?;
    Some(SafetyBound { terms: balances.iter().map(term).collect::<Option<_>>()?, margin })
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "amounts of random accounts need be near the line, not exact"
)]
mod tests {
    use std::ops::Range;

    use alloy::primitives::Address;
    use proptest::{collection::vec, prelude::*};

    use super::{super::health::health, *};
    use crate::{HEALTHY, tripwire::Tripwires};

    const RAY_ONE: u128 = 1_000_000_000_000_000_000_000_000_000;
    const TOKENS: u16 = 6;
    const CURRENCY_UNIT: u128 = 100_000_000;

    /// An account: collaterals by value, debts, binary magnitude, and debt as a part of what is allowed, of 10,000.
    type Account = (Vec<(u16, u32)>, Vec<u16>, u32, u32);
    /// A move of one token: price in parts of 10,000, growth of both indices in parts of a million, another threshold.
    type Move = (u16, u32, u32, u32, Option<u16>);

    fn token() -> impl Strategy<Value = TokenTerms> {
        (0_u32..54, 2_u8..=24, 1_u16..=9_800, RAY_ONE..3 * RAY_ONE, RAY_ONE..3 * RAY_ONE).prop_map(
            |(magnitude, decimals, threshold_bps, liquidity_index, borrow_index)| TokenTerms {
                price: 1 << magnitude,
                decimals,
                threshold_bps,
                incentive_bps: 10_500,
                fee_bps: 0,
                liquidity_index,
                borrow_index,
            },
        )
    }

    /// An account whose debt is near what its collateral allows, where roundings decide.
    fn account() -> impl Strategy<Value = Account> {
        (vec((0..TOKENS, 1_u32..10_000), 1..=4), vec(0..TOKENS, 1..=2), 0_u32..90, 9_900_u32..10_100)
    }

    /// The amount of a token that is worth so much, at least one unit.
    fn amount(token: &TokenTerms, value: f64) -> u128 {
        let units = value * 10_f64.powi(i32::from(token.decimals)) / token.price as f64;
        (units as u128).clamp(1, 1 << 100)
    }

    fn balances(tokens: &[TokenTerms], (collaterals, debts, magnitude, part): &Account) -> Vec<Balance> {
        let scale = 2_f64.powi(i32::try_from(*magnitude).unwrap_or_default());
        let (mut balances, mut allowed) = (Vec::new(), 0_f64);
        for (token, value) in collaterals {
            if balances.iter().any(|balance: &Balance| balance.token == *token) {
                continue;
            }
            let of = &tokens[usize::from(*token)];
            let scaled = amount(of, f64::from(*value) * scale);
            let units = scaled as f64 * of.liquidity_index as f64 / RAY_ONE as f64;
            let value = units * of.price as f64 / 10_f64.powi(i32::from(of.decimals));
            allowed += value * f64::from(of.threshold_bps) / 10_000_f64;
            balances.push(Balance { token: *token, side: Side::Collateral, scaled });
        }
        for token in debts {
            let of = &tokens[usize::from(*token)];
            let index = of.borrow_index as f64 / RAY_ONE as f64;
            let value = allowed * f64::from(*part) / 10_000_f64 / debts.len() as f64 / index;
            balances.push(Balance { token: *token, side: Side::Debt, scaled: amount(of, value) });
        }
        balances
    }

    fn moves(count: Range<usize>) -> impl Strategy<Value = Vec<Move>> {
        let threshold = prop_oneof![20 => Just(None), 1 => (1_u16..9_800).prop_map(Some)];
        vec((0..TOKENS, 8_000_u32..12_000, 0_u32..200, 0_u32..400, threshold), count)
    }

    fn version() -> impl Strategy<Value = Version> {
        prop_oneof![Just(Version::V3_0), Just(Version::V3_3), Just(Version::V3_5)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]

        #[test]
        fn what_the_index_hands_out_contains_what_a_full_scan_finds(
            mut tokens in vec(token(), usize::from(TOKENS)),
            accounts in vec(account(), 1..60),
            moves in moves(1..60),
            mut version in version(),
            upgraded in 0..60_usize,
        ) {
            let mut index = Tripwires::default();
            let address = |number: usize| Address::left_padding_from(&number.to_be_bytes());
            let accounts: Vec<_> = accounts.iter().map(|account| balances(&tokens, account)).collect();
            let prices =
                |tokens: &[TokenTerms]| tokens.iter().map(|token| effective_price(token, CURRENCY_UNIT)).collect::<Vec<_>>();
            index.tick(&prices(&tokens));
            for (step, (token, price, income, interest, threshold)) in moves.into_iter().enumerate() {
                for (place, terms) in (0..).zip(&mut tokens) {
                    terms.liquidity_index += terms.liquidity_index / 1_000_000 * u128::from(income);
                    terms.borrow_index += terms.borrow_index / 1_000_000 * u128::from(interest);
                    if place == token {
                        terms.price = (terms.price * u128::from(price)).div_ceil(10_000);
                        terms.threshold_bps = threshold.unwrap_or(terms.threshold_bps);
                    }
                }
                // An upgrade of the pool, which changes the rules.
                let is_upgrade = step == upgraded;
                if is_upgrade {
                    version = Version::V3_5;
                }
                let terms = |place: u16| tokens.get(usize::from(place));
                // A change of the weights sets every account again.
                if step == 0 || threshold.is_some() || is_upgrade {
                    for (number, balances) in accounts.iter().enumerate() {
                        index.set(address(number), safety_bound(balances, terms, Some, version, 10_000));
                    }
                }
                let due = index.tick(&prices(&tokens));
                for (number, balances) in accounts.iter().enumerate() {
                    if health(balances, terms, version).is_some_and(|health| health < HEALTHY) {
                        prop_assert!(due.contains(&address(number)), "{balances:?} is missed at {tokens:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_account_far_from_the_line_is_not_evaluated() {
        let token = |price| TokenTerms {
            price,
            decimals: 8,
            threshold_bps: 8_000,
            incentive_bps: 10_500,
            fee_bps: 0,
            liquidity_index: RAY_ONE,
            borrow_index: RAY_ONE,
        };
        let mut tokens = [token(200_000_000_000), token(CURRENCY_UNIT)];
        let mut index = Tripwires::default();
        let prices = |tokens: &[TokenTerms]| {
            tokens.iter().map(|token| effective_price(token, CURRENCY_UNIT)).collect::<Vec<_>>()
        };
        index.tick(&prices(&tokens));
        let balance = |token, side, scaled| Balance { token, side, scaled };
        let balances = [balance(0, Side::Collateral, 100_000_000), balance(1, Side::Debt, 80_000_000_000)];
        let bound = safety_bound(&balances, |place| tokens.get(usize::from(place)), Some, Version::V3_0, 10_000);
        index.set(Address::ZERO, bound);
        let mut at = |price| {
            tokens[0].price = price;
            index.tick(&prices(&tokens)).len()
        };
        // 0.8 × price against 800: the line is at a price of 1,000; a hundredth of the slack is the stable debt's.
        assert_eq!((at(101_000_000_000), at(99_999_000_000), at(200_000_000_000), at(200_000_000_000)), (0, 1, 1, 0));
    }
}
