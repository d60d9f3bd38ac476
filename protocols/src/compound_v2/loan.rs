//! Liquidations of Compound v2 and its forks as the executor contract makes them: a debt for a collateral.

use std::sync::Arc;

use alloy::{
    primitives::{Address, U256},
    sol,
    sol_types::SolValue,
};

use super::math::{MarketTerms, Pair, PoolTerms};
use crate::{Expected, Liquidation, Loan, Lot, NATIVE_COIN, leading_digits};

/// Binary digits of the part of a debt by which it may be less than it was: less is no rival's liquidation, and a
/// stranger who repays a unit must not hold one up.
const STALE_DIGITS: usize = 10;
/// Significant binary digits of an offer of a part, which is rounded down to them: 0.003 % at most.
const OFFER_DIGITS: usize = 16;

sol! {
    /// What the executor's item carries for Compound v2.
    struct CompoundLoan {
        address debtMarket;
        address collateralMarket;
        address borrower;
        uint256 minBorrow;
        bool byLiquidator;
        bool debtInCoin;
        bool collateralInCoin;
    }
}

/// A debt and a collateral of a liquidatable account.
#[derive(Debug, Clone, Copy)]
pub(super) struct CompoundV2Loan {
    pub(super) pool: PoolTerms,
    pub(super) account: Address,
    /// Address and terms of the market of the collateral.
    pub(super) collateral: (Address, MarketTerms),
    /// Address and terms of the market of the debt.
    pub(super) debt: (Address, MarketTerms),
    /// Market tokens of the collateral.
    pub(super) tokens: U256,
    /// What is owed, with interest up to the block.
    pub(super) owed: U256,
    /// What is owed by the market's stored index.
    pub(super) stored_debt: U256,
}

impl CompoundV2Loan {
    fn liquidation(&self, max_repay: U256) -> Option<Liquidation> {
        let ((_, collateral), (_, debt)) = (&self.collateral, &self.debt);
        let pair = Pair { pool: &self.pool, collateral, debt, price: collateral.price };
        pair.liquidation(self.owed, pair.max_repaid(self.owed)?.min(max_repay), self.tokens)
    }

    /// Returns the lot of this pair; `None` if nothing can be repaid.
    pub(super) fn lot(self, comptroller: Address, is_only: bool, obstacle: Option<&'static str>) -> Option<Lot> {
        let (collateral, debt) = (self.collateral.1.underlying, self.debt.1.underlying);
        let whole = self.liquidation(U256::MAX)?;
        let whole = if is_only { whole } else { Liquidation { bad_debt: U256::ZERO, ..whole } };
        let (market, account) = (comptroller.into_word(), self.account);
        Some(Lot { market, account, collateral, debt, whole, obstacle, loan: Arc::new(self) })
    }
}

impl Loan for CompoundV2Loan {
    fn expect(&self, max_repay: U256) -> Option<Expected> {
        let liquidation = self.liquidation(max_repay)?;
        let data = CompoundLoan {
            debtMarket: self.debt.0,
            collateralMarket: self.collateral.0,
            borrower: self.account,
            minBorrow: self.stored_debt - (self.stored_debt >> STALE_DIGITS),
            byLiquidator: self.pool.liquidator.is_some(),
            debtInCoin: self.debt.1.underlying == NATIVE_COIN,
            collateralInCoin: self.collateral.1.underlying == NATIVE_COIN,
        };
        // The contract refuses a unit more than it allows, and a debt that is closed leaves none.
        let is_part = liquidation.repaid < self.owed;
        let offered = if is_part { leading_digits(liquidation.repaid, OFFER_DIGITS) } else { liquidation.repaid };
        let liquidation = self.liquidation(offered)?;
        Some(Expected { liquidation, offered: liquidation.repaid, data: data.abi_encode().into() })
    }
}
