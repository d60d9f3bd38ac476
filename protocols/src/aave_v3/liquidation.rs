//! What a liquidation of one collateral for one debt does, step by step as the pool does it.

use alloy::primitives::{U256, uint};

use super::{
    health::{AccountValue, BPS, Balance, Side, TokenTerms, balance_value, half_up},
    version::Version,
};
use crate::HEALTHY;

/// Health factor × 10¹⁸ above which no more than half may be repaid.
pub(super) const CLOSE_FACTOR_HEALTH: U256 = uint!(950_000_000_000_000_000_U256);
const CLOSE_FACTOR_BPS: U256 = uint!(5_000_U256);
/// Value of a reserve's debt or collateral, in the oracle's unit of 10⁻⁸, below which all of it may be repaid.
const WHOLE_BELOW: U256 = uint!(200_000_000_000_U256);
/// Least value that may remain of either, if something remains of both.
const LEAST_REMAINDER: U256 = uint!(100_000_000_000_U256);

/// A collateral and a debt of an account, which a liquidation exchanges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) collateral: &'a Balance,
    pub(super) collateral_terms: &'a TokenTerms,
    pub(super) debt: &'a Balance,
    pub(super) debt_terms: &'a TokenTerms,
}

/// What a liquidation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exchange {
    /// Units of the debt token that the liquidator pays.
    pub(super) repaid: U256,
    /// Units of the collateral token that he receives.
    pub(super) seized: U256,
    /// Units of the collateral token that the protocol keeps.
    pub(super) fee: U256,
    /// Value of what is received less what is paid, in units of the debt token, rounded down.
    pub(super) bonus: U256,
    /// Units of the debt token that remain of this debt.
    pub(super) left: U256,
    /// Whether all of the collateral is gone.
    pub(super) takes_all: bool,
}

impl Pair<'_> {
    /// Returns what the pool does if the liquidator offers to repay `offered`; `None` if it refuses. The account must be
    /// liquidatable.
    pub(super) fn exchange(
        &self,
        version: Version,
        account: &AccountValue,
        health: U256,
        offered: U256,
    ) -> Option<Exchange> {
        let owed = self.debt.amount(self.debt_terms, version)?;
        let held = self.collateral.amount(self.collateral_terms, version)?;
        let repaid = offered.min(self.most(version, account, health, owed, held)?);
        let collateral_price = U256::from(self.collateral_terms.price);
        let debt_price = U256::from(self.debt_terms.price);
        let (collateral_unit, debt_unit) = (self.collateral_terms.unit()?, self.debt_terms.unit()?);
        let incentive = U256::from(self.collateral_terms.incentive_bps);
        let worth = debt_price.checked_mul(repaid)?.checked_mul(collateral_unit)?;
        let base = worth.checked_div(collateral_price.checked_mul(debt_unit)?)?;
        let with_bonus = base.checked_mul(incentive)?;
        let most = if version.rounds_against_liquidators() { with_bonus / BPS } else { half_up(with_bonus, BPS)? };
        let (taken, repaid) = if most > held {
            let worth = collateral_price.checked_mul(held)?.checked_mul(debt_unit)?;
            let worth = worth.checked_div(debt_price.checked_mul(collateral_unit)?)?.checked_mul(BPS)?;
            let needed =
                if version.rounds_for_lenders() { ceil(worth, incentive)? } else { half_up(worth, incentive)? };
            (held, needed)
        } else {
            (most, repaid)
        };
        let fee = self.fee(version, taken)?;
        let seized = taken.checked_sub(fee)?;
        if repaid.is_zero() || self.leaves_dust(version, owed.saturating_sub(repaid), held, seized, fee)? {
            return None;
        }
        let worth = collateral_price.checked_mul(seized)?.checked_mul(debt_unit)?;
        let worth = worth.checked_div(debt_price.checked_mul(collateral_unit)?)?;
        Some(Exchange {
            repaid,
            seized,
            fee,
            bonus: worth.saturating_sub(repaid),
            left: owed.saturating_sub(repaid),
            takes_all: taken == held,
        })
    }

    /// Returns the most of the debt that may be repaid.
    fn most(&self, version: Version, account: &AccountValue, health: U256, owed: U256, held: U256) -> Option<U256> {
        if health <= CLOSE_FACTOR_HEALTH {
            return Some(owed);
        }
        if !version.closes_positions() {
            return half_up(owed.checked_mul(CLOSE_FACTOR_BPS)?, BPS);
        }
        let owed_value = balance_value(owed, self.debt_terms, Side::Debt, version)?;
        let held_value = balance_value(held, self.collateral_terms, Side::Collateral, version)?;
        let half = half_up(account.debt.checked_mul(CLOSE_FACTOR_BPS)?, BPS)?;
        if held_value < WHOLE_BELOW || owed_value < WHOLE_BELOW || owed_value <= half {
            return Some(owed);
        }
        half.checked_mul(self.debt_terms.unit()?)?.checked_div(U256::from(self.debt_terms.price))
    }

    /// Returns the protocol's part of what is taken.
    fn fee(&self, version: Version, taken: U256) -> Option<U256> {
        let (fee, incentive) =
            (U256::from(self.collateral_terms.fee_bps), U256::from(self.collateral_terms.incentive_bps));
        if fee.is_zero() {
            return Some(U256::ZERO);
        }
        let scaled = taken.checked_mul(BPS)?;
        if version.rounds_against_liquidators() {
            let bonus = taken.checked_sub(scaled.checked_div(incentive)?)?;
            ceil(bonus.checked_mul(fee)?, BPS)
        } else {
            let bonus = taken.checked_sub(half_up(scaled, incentive)?)?;
            half_up(bonus.checked_mul(fee)?, BPS)
        }
    }

    /// Returns whether so little would remain that the pool refuses.
    fn leaves_dust(&self, version: Version, left: U256, held: U256, seized: U256, fee: U256) -> Option<bool> {
        if !version.closes_positions() || left.is_zero() || seized.checked_add(fee)? >= held {
            return Some(false);
        }
        let left = balance_value(left, self.debt_terms, Side::Debt, version)?;
        let kept = held.checked_sub(seized)?.checked_sub(fee)?;
        let kept = balance_value(kept, self.collateral_terms, Side::Collateral, version)?;
        Some(left < LEAST_REMAINDER || kept < LEAST_REMAINDER)
    }
}

fn ceil(amount: U256, divisor: U256) -> Option<U256> {
    (!divisor.is_zero()).then(|| amount.div_ceil(divisor))
}

/// A health factor at which an account is liquidatable, and no more than the close factor may be repaid.
pub(super) const JUST_BELOW: U256 = HEALTHY.wrapping_sub(U256::ONE);

#[cfg(test)]
mod tests {
    use super::*;

    const RAY_ONE: u128 = 1_000_000_000_000_000_000_000_000_000;
    const COIN: u128 = 1_000_000_000_000_000_000;

    fn terms(price: u128, decimals: u8) -> TokenTerms {
        TokenTerms {
            price,
            decimals,
            threshold_bps: 8_250,
            incentive_bps: 10_500,
            fee_bps: 1_000,
            liquidity_index: RAY_ONE,
            borrow_index: RAY_ONE,
        }
    }

    /// Returns what a whole liquidation of coins of 2,000 for dollars does.
    fn whole(version: Version, coins: u128, dollars: u128, health: U256) -> Option<Exchange> {
        let (collateral_terms, debt_terms) = (&terms(200_000_000_000, 18), &terms(100_000_000, 6));
        let collateral = &Balance { token: 0, side: Side::Collateral, scaled: coins };
        let debt = &Balance { token: 1, side: Side::Debt, scaled: dollars * 1_000_000 };
        let value = AccountValue { debt: U256::from(dollars) * U256::from(100_000_000), ..AccountValue::default() };
        Pair { collateral, collateral_terms, debt, debt_terms }.exchange(version, &value, health, U256::MAX)
    }

    fn dollars(amount: u64) -> U256 {
        U256::from(amount) * U256::from(1_000_000)
    }

    #[test]
    fn half_of_the_debt_is_repaid_near_the_line_and_all_of_it_far_below() {
        for version in [Version::V3_0, Version::V3_3, Version::V3_7] {
            let half = whole(version, 10 * COIN, 16_000, JUST_BELOW).unwrap();
            assert_eq!((half.repaid, half.left), (dollars(8_000), dollars(8_000)), "{version:?}");
            // 8,400 of collateral, a tenth of the bonus of 400 for the protocol: 360 remain.
            assert_eq!((half.bonus, half.takes_all), (dollars(360), false), "{version:?}");
            let all = whole(version, 10 * COIN, 16_000, CLOSE_FACTOR_HEALTH).unwrap();
            assert_eq!((all.repaid, all.bonus), (dollars(16_000), dollars(720)), "{version:?}");
        }
    }

    #[test]
    fn a_small_position_is_closed_whole_from_3_3_on() {
        let repaid = |version| whole(version, COIN, 1_600, JUST_BELOW).map(|done| done.repaid);
        assert_eq!((repaid(Version::V3_2), repaid(Version::V3_3)), (Some(dollars(800)), Some(dollars(1_600))));
    }

    #[test]
    fn a_liquidation_that_leaves_dust_is_refused_from_3_3_on() {
        // Of 2,000.10 of collateral and 3,000 of debt half would be repaid: 1,575 seized, and 425 left.
        let some = |version| whole(version, 1_000_050_000_000_000_000, 3_000, JUST_BELOW).is_some();
        assert_eq!((some(Version::V3_2), some(Version::V3_3)), (true, false));
        // Of 2,570 as much: 1,575 are taken, of which the protocol keeps 7.50, and 995 are left; of 2,576, 1,001.
        let of = |collateral: u128| whole(Version::V3_3, COIN / 2_000 * collateral, 3_000, JUST_BELOW);
        assert_eq!((of(2_570).is_some(), of(2_576).is_some()), (false, true));
    }

    #[test]
    fn collateral_that_does_not_suffice_is_taken_whole() {
        let all = whole(Version::V3_0, COIN, 4_000, U256::ZERO).unwrap();
        assert!(all.takes_all && all.seized + all.fee == U256::from(COIN), "{all:?}");
        // 2,000 / 1.05, rounded half up.
        assert_eq!((all.repaid, all.left), (U256::from(1_904_761_905), U256::from(2_095_238_095_u64)));
    }
}
