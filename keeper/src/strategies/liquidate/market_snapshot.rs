//! A market at a price and a time, and what the core's liquidation would do to its loans.

use alloy::primitives::{Address, U256};
use plimsoll_contracts::MarketId;

use super::{LoanId, MarketSettings};
use crate::{
    book::{LiquidationCandidate, MarketBook},
    math::{
        liquidation::value_down,
        types::{Liquidated, Loan, Market},
    },
};

/// A market of the book at the price and time of a block, with the parameters of liquidation in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct MarketSnapshot<'a> {
    pub(super) market: &'a MarketBook,
    pub(super) settings: &'a MarketSettings,
    /// Liquidation price, 1e36-scaled.
    pub(super) price: U256,
    /// Time of the block, in seconds.
    pub(super) timestamp: u64,
}

/// What the core is expected to do to a list of loans in one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ExpectedLiquidation {
    /// Accounts whose loans the core would liquidate, in order; the others are left out.
    pub(super) borrowers: Vec<Address>,
    /// Sum of the repayments, in units of the loan token.
    pub(super) repaid: U256,
    /// Sum of what is seized, in units of the collateral token.
    pub(super) seized: U256,
    /// Liquidation incentive: value of the seized collateral beyond the repayment at the oracle's price, in units of the
    /// loan token.
    pub(super) incentive: U256,
}

impl MarketSnapshot<'_> {
    pub(super) const fn id(self) -> MarketId {
        self.market.id()
    }

    /// Returns the loan of an account in this market.
    pub(super) const fn loan(self, account: Address) -> LoanId {
        LoanId { market: self.id(), account }
    }

    /// Computes what one call would do to `loans` in their order, repaying at most `limit` over all of them, and applies
    /// it to the market's totals.
    pub(super) fn expect_liquidation(
        self,
        totals: &mut Market,
        loans: &[LiquidationCandidate],
        limit: U256,
    ) -> ExpectedLiquidation {
        let mut expected = ExpectedLiquidation::default();
        for candidate in loans {
            let left = limit.saturating_sub(expected.repaid).saturating_to();
            if let Some(done) = self.liquidate(totals, candidate.loan, left) {
                expected.repaid += U256::from(done.repaid);
                expected.seized += U256::from(done.seized);
                expected.incentive += self.incentive(&done);
                expected.borrowers.push(candidate.account);
            }
        }
        expected
    }

    /// Computes what the core would do to a single loan, repaying at most `limit`, and applies it to the market's totals.
    /// `None` where the core would leave the loan alone.
    pub(super) fn liquidate(self, totals: &mut Market, mut loan: Loan, limit: u128) -> Option<Liquidated> {
        totals.liquidate(
            &mut loan,
            self.market.liquidation_incentive(),
            self.price,
            self.market.risk().min_debt(),
            limit,
        )
    }

    /// Returns the liquidation incentive: the value of what was seized beyond what was repaid, in units of the loan token.
    pub(super) fn incentive(self, done: &Liquidated) -> U256 {
        U256::from(value_down(done.seized, self.price).saturating_sub(done.repaid))
    }
}
