//! The health factor, step by step as the pool does it.

use alloy::primitives::{U256, uint};

use super::version::Version;
use crate::HEALTHY;
pub use crate::tripwire::Side;

/// Scale of indices.
pub(super) const RAY: U256 = uint!(1_000_000_000_000_000_000_000_000_000_U256);
/// Basis points in 1.
pub(super) const BPS: U256 = uint!(10_000_U256);

/// A token's terms in a block, in the e-mode category of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTerms {
    /// Price of a whole token, in the oracle's unit.
    pub price: u128,
    /// Decimals of the token.
    pub decimals: u8,
    /// Liquidation threshold, in basis points; 0 if it does not count as collateral.
    pub threshold_bps: u16,
    /// What is seized for what is repaid, in basis points: 10,500 for a bonus of 5 %.
    pub incentive_bps: u16,
    /// The protocol's part of the bonus, in basis points.
    pub fee_bps: u16,
    /// Index by which scaled balances of collateral grow, × 10²⁷.
    pub liquidity_index: u128,
    /// Index by which scaled debts grow, × 10²⁷.
    pub borrow_index: u128,
}

/// A balance of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Place of the token: the pool's id of the reserve.
    pub token: u16,
    /// Whether it is collateral or debt.
    pub side: Side,
    /// The scaled balance, which does not change with time.
    pub scaled: u128,
}

/// The value of an account in the oracle's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct AccountValue {
    pub(super) collateral: U256,
    /// Collateral times its threshold in basis points.
    pub(super) weighted: U256,
    pub(super) debt: U256,
}

/// Returns an account's health factor × 10¹⁸, [`U256::MAX`] without debt; `None` where the pool's arithmetic overflows, or a
/// token has no terms.
pub fn health<'a>(
    balances: &[Balance],
    terms: impl Fn(u16) -> Option<&'a TokenTerms>,
    version: Version,
) -> Option<U256> {
    AccountValue::of(balances, terms, version)?.health(version)
}

impl AccountValue {
    pub(super) fn of<'a>(
        balances: &[Balance],
        terms: impl Fn(u16) -> Option<&'a TokenTerms>,
        version: Version,
    ) -> Option<Self> {
        let mut sum = Self::default();
        for balance in balances {
            let token = terms(balance.token)?;
            if balance.side == Side::Collateral && token.threshold_bps == 0 {
                continue;
            }
            let value = balance_value(balance.amount(token, version)?, token, balance.side, version)?;
            match balance.side {
                Side::Collateral => {
                    sum.collateral = sum.collateral.checked_add(value)?;
                    sum.weighted = sum.weighted.checked_add(value.checked_mul(U256::from(token.threshold_bps))?)?;
                }
                Side::Debt => sum.debt = sum.debt.checked_add(value)?,
            }
        }
        Some(sum)
    }

    pub(super) fn health(&self, version: Version) -> Option<U256> {
        if self.debt.is_zero() {
            return Some(U256::MAX);
        }
        if version.averages_thresholds() {
            let average = self.weighted.checked_div(self.collateral).unwrap_or_default();
            let adjusted = half_up(self.collateral.checked_mul(average)?, BPS)?;
            half_up(adjusted.checked_mul(HEALTHY)?, self.debt)
        } else {
            Some(half_up(self.weighted.checked_mul(HEALTHY)?, self.debt)? / BPS)
        }
    }
}

impl Balance {
    /// Returns the balance in units of the token.
    pub(super) fn amount(&self, token: &TokenTerms, version: Version) -> Option<U256> {
        let index = match self.side {
            Side::Collateral => token.liquidity_index,
            Side::Debt => token.borrow_index,
        };
        let product = U256::from(self.scaled).checked_mul(U256::from(index))?;
        match (version.rounds_for_lenders(), self.side) {
            (false, _) => half_up(product, RAY),
            (true, Side::Collateral) => product.checked_div(RAY),
            (true, Side::Debt) => Some(product.div_ceil(RAY)),
        }
    }
}

/// Returns the value of an amount of a token, in the oracle's unit.
pub(super) fn balance_value(amount: U256, token: &TokenTerms, side: Side, version: Version) -> Option<U256> {
    let (product, unit) = (amount.checked_mul(U256::from(token.price))?, token.unit()?);
    Some(if version.rounds_for_lenders() && side == Side::Debt { product.div_ceil(unit) } else { product / unit })
}

impl TokenTerms {
    /// Returns one whole token in its smallest units.
    pub(super) fn unit(&self) -> Option<U256> {
        uint!(10_U256).checked_pow(U256::from(self.decimals))
    }
}

/// Divides, rounding half up.
pub(super) fn half_up(amount: U256, divisor: U256) -> Option<U256> {
    amount.checked_add(divisor >> 1)?.checked_div(divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const RAY_ONE: u128 = 1_000_000_000_000_000_000_000_000_000;

    fn token(threshold_bps: u16) -> TokenTerms {
        TokenTerms {
            price: 100_000_000,
            decimals: 8,
            threshold_bps,
            incentive_bps: 10_500,
            fee_bps: 0,
            liquidity_index: RAY_ONE,
            borrow_index: RAY_ONE,
        }
    }

    fn balance(token: u16, side: Side, scaled: u128) -> Balance {
        Balance { token, side, scaled }
    }

    #[test]
    fn the_average_threshold_is_rounded_down_to_a_basis_point_until_3_5() {
        let tokens = [token(8_000), token(8_500), token(0)];
        let terms = |place: u16| tokens.get(usize::from(place));
        // The average is 8,166.67 bp, 2,450,000 of 3,000,000; at 8,166 bp 2,449,800.
        let balances = [
            balance(0, Side::Collateral, 2_000_000),
            balance(1, Side::Collateral, 1_000_000),
            balance(2, Side::Collateral, 7_000_000),
            balance(2, Side::Debt, 2_450_000),
        ];
        assert_eq!(health(&balances, terms, Version::V3_5), Some(HEALTHY));
        assert_eq!(health(&balances, terms, Version::V3_0), Some(uint!(999_918_367_346_938_776_U256)));
    }

    #[test]
    fn debt_is_rounded_up_from_3_5_on() {
        let tokens = [TokenTerms { borrow_index: RAY_ONE + 1, ..token(8_000) }];
        let terms = |place: u16| tokens.get(usize::from(place));
        let balances = [balance(0, Side::Collateral, 1_250_000), balance(0, Side::Debt, 1_000_000)];
        assert_eq!(health(&balances, terms, Version::V3_4), Some(HEALTHY));
        assert!(health(&balances, terms, Version::V3_5).is_some_and(|health| health < HEALTHY));
    }

    #[test]
    fn without_debt_an_account_is_healthy_and_without_collateral_it_is_not() {
        let tokens = [token(8_000)];
        let terms = |place: u16| tokens.get(usize::from(place));
        assert_eq!(health(&[balance(0, Side::Collateral, 5)], terms, Version::V3_0), Some(U256::MAX));
        assert_eq!(health(&[balance(0, Side::Debt, 5)], terms, Version::V3_0), Some(U256::ZERO));
        assert_eq!(health(&[balance(1, Side::Debt, 5)], terms, Version::V3_0), None);
    }
}
