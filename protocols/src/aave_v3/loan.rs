//! Liquidations of Aave v3 as the executor contract makes them.

use std::{iter, sync::Arc};

use alloy::{
    primitives::{Address, U256},
    sol,
    sol_types::SolValue,
};

use super::{
    health::{AccountValue, Balance, TokenTerms},
    liquidation::{Exchange, Pair},
    version::Version,
};
use crate::{Expected, Liquidation, Loan, Lot, leading_digits};

/// Binary digits of the part of a repayment that is offered beyond it, since interest accrues until the transaction is
/// mined: 0.006 %, more than a debt at 100 % a year accrues in half an hour. The pool takes no more than the debt.
const INTEREST_DIGITS: usize = 14;
/// Significant binary digits of an offer of the whole, which is rounded up to them: 0.003 % at most.
const OFFER_DIGITS: usize = 16;
/// Binary digits of the part of a scaled debt by which it may be less than it was: less is no rival's liquidation, and
/// a stranger who repays a unit must not hold one up.
const STALE_DIGITS: usize = 10;
/// Halvings of an offer until the pool refuses none for the dust that it would leave.
const MAX_HALVINGS: usize = 8;

sol! {
    /// What the executor's item carries for Aave v3.
    struct AaveLoan {
        address borrower;
        address debtToken;
        uint256 minScaledDebt;
    }
}

/// A collateral and a debt of a liquidatable account.
#[derive(Debug, Clone, Copy)]
pub(super) struct AaveV3Loan {
    pub(super) version: Version,
    pub(super) account: Address,
    pub(super) value: AccountValue,
    pub(super) health: U256,
    pub(super) collateral: (Balance, TokenTerms),
    pub(super) debt: (Balance, TokenTerms),
    /// The reserve's token of debt.
    pub(super) debt_token: Address,
    /// Whether the account has no other collateral.
    pub(super) is_last: bool,
}

impl AaveV3Loan {
    fn exchange(&self, offered: U256) -> Option<Exchange> {
        let pair = Pair {
            collateral: &self.collateral.0,
            collateral_terms: &self.collateral.1,
            debt: &self.debt.0,
            debt_terms: &self.debt.1,
        };
        pair.exchange(self.version, &self.value, self.health, offered)
    }

    fn liquidation(&self, offered: U256) -> Option<Liquidation> {
        let Exchange { repaid, seized, bonus, left, takes_all, .. } = self.exchange(offered)?;
        let bad_debt = if takes_all && self.is_last { left } else { U256::ZERO };
        Some(Liquidation { repaid, seized, bonus, bad_debt })
    }

    /// Returns the lot of this pair; `None` if the pool refuses to exchange it.
    pub(super) fn lot(self, market: Address, [collateral, debt]: [Address; 2]) -> Option<Lot> {
        let owed = self.debt.0.amount(&self.debt.1, self.version)?;
        let offers = iter::once(U256::MAX).chain((1..=MAX_HALVINGS).map(|halvings| owed >> halvings));
        let whole = offers.into_iter().find_map(|offered| self.liquidation(offered))?;
        let (market, account) = (market.into_word(), self.account);
        Some(Lot { market, account, collateral, debt, whole, obstacle: None, loan: Arc::new(self) })
    }
}

impl Loan for AaveV3Loan {
    fn expect(&self, max_repay: U256) -> Option<Expected> {
        let liquidation = self.liquidation(max_repay)?;
        let repaid = liquidation.repaid;
        let scaled = self.debt.0.scaled;
        let data = AaveLoan {
            borrower: self.account,
            debtToken: self.debt_token,
            minScaledDebt: U256::from(scaled - (scaled >> STALE_DIGITS)),
        };
        let with_interest = repaid.saturating_add(repaid >> INTEREST_DIGITS);
        let step = U256::ONE << with_interest.bit_len().saturating_sub(OFFER_DIGITS);
        let rounded = leading_digits(with_interest, OFFER_DIGITS).saturating_add(step);
        Some(Expected { liquidation, offered: rounded.min(max_repay), data: data.abi_encode().into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HEALTHY, aave_v3::health::Side};

    const COIN: u128 = 1_000_000_000_000_000_000;
    const RAY_ONE: u128 = 1_000_000_000_000_000_000_000_000_000;

    /// Dollars of 6 decimals against coins of 2,000.
    fn loan(version: Version, coins: u128, dollars: u128, health: U256) -> AaveV3Loan {
        let terms = |price, decimals| TokenTerms {
            price,
            decimals,
            threshold_bps: 8_250,
            incentive_bps: 10_500,
            fee_bps: 1_000,
            liquidity_index: RAY_ONE,
            borrow_index: RAY_ONE,
        };
        let collateral = Balance { token: 0, side: Side::Collateral, scaled: coins };
        let debt = Balance { token: 1, side: Side::Debt, scaled: dollars * 1_000_000 };
        AaveV3Loan {
            version,
            account: Address::repeat_byte(1),
            value: AccountValue { debt: U256::from(dollars * 100_000_000), ..AccountValue::default() },
            health,
            collateral: (collateral, terms(200_000_000_000, 18)),
            debt: (debt, terms(100_000_000, 6)),
            debt_token: Address::repeat_byte(2),
            is_last: true,
        }
    }

    #[test]
    fn the_whole_is_offered_with_interest_and_a_part_exactly() {
        let loan = loan(Version::V3_0, 10 * COIN, 16_000, HEALTHY - U256::ONE);
        let whole = loan.expect(U256::MAX).unwrap();
        assert_eq!(whole.liquidation.repaid, U256::from(8_000_000_000_u64));
        // 0.006 % more, rounded up to a multiple of 2¹⁷, also if a little more is owed.
        assert_eq!(whole.offered, U256::from(8_000_503_808_u64));
        let mut later = loan;
        later.debt.1.borrow_index += RAY_ONE / 1_000_000;
        assert_eq!(later.expect(U256::MAX).unwrap().offered, whole.offered);
        let part = loan.expect(U256::from(1_000_000_000)).unwrap();
        assert_eq!((part.liquidation.repaid, part.offered), (U256::from(1_000_000_000), U256::from(1_000_000_000)));
        let data = AaveLoan::abi_decode(&part.data).unwrap();
        assert_eq!((data.borrower, data.debtToken), (loan.account, loan.debt_token));
        assert_eq!(data.minScaledDebt, U256::from(16_000_000_000_u64 - 15_625_000));
    }

    #[test]
    fn a_lot_is_of_the_largest_part_that_leaves_no_dust() {
        let tokens = [Address::repeat_byte(3), Address::repeat_byte(4)];
        // Of 2,000.10 of collateral and 3,000 of debt half would be repaid and 425 left, which is refused from 3.3 on.
        let refused = loan(Version::V3_3, 1_000_050_000_000_000_000, 3_000, HEALTHY - U256::ONE);
        assert_eq!(refused.expect(U256::MAX), None);
        let lot = refused.lot(Address::repeat_byte(5), tokens).unwrap();
        assert_eq!((lot.collateral, lot.debt, lot.whole.repaid), (tokens[0], tokens[1], U256::from(750_000_000)));
        assert_eq!(lot.market, Address::repeat_byte(5).into_word());
    }

    #[test]
    fn what_collateral_does_not_cover_is_bad_debt_unless_there_is_other_collateral() {
        let last = loan(Version::V3_0, COIN, 4_000, U256::ZERO);
        assert_eq!(last.liquidation(U256::MAX).unwrap().bad_debt, U256::from(2_095_238_095_u64));
        let one_of_two = AaveV3Loan { is_last: false, ..last };
        assert_eq!(one_of_two.liquidation(U256::MAX).unwrap().bad_debt, U256::ZERO);
    }
}
