//! Liquidations of Morpho Blue as the executor contract makes them.

use alloy::{
    primitives::{Address, U256},
    sol,
    sol_types::SolValue,
};

use super::{
    interface::MarketParams,
    math::{Position, Repayment, Valuation},
};
use crate::{Expected, Liquidation, Loan, leading_digits};

/// Significant binary digits of the shares of a part, whose conversion from units moves with the interest.
pub(super) const PART_DIGITS: usize = 16;

sol! {
    /// What the executor's item carries for Morpho Blue.
    struct MorphoLoan {
        MarketParams market;
        address borrower;
        uint256 seizedAssets;
        uint256 repaidShares;
        uint256 minBorrowShares;
    }
}

/// A liquidatable position.
#[derive(Debug)]
pub(super) struct MorphoBlueLoan {
    pub(super) market: MarketParams,
    pub(super) account: Address,
    pub(super) position: Position,
    pub(super) valuation: Valuation,
}

impl MorphoBlueLoan {
    fn liquidation(&self, max_repay: U256) -> Option<(Repayment, Liquidation)> {
        let whole = self.valuation.liquidation_within(self.position, max_repay)?;
        match whole.0 {
            Repayment::Shares(shares) if shares < U256::from(self.position.borrow_shares) => {
                self.valuation.liquidation_of(self.position, leading_digits(shares, PART_DIGITS))
            }
            _ => Some(whole),
        }
    }
}

impl Loan for MorphoBlueLoan {
    fn expect(&self, max_repay: U256) -> Option<Expected> {
        let (repayment, liquidation) = self.liquidation(max_repay)?;
        // The contract takes one of the two: shares close a debt exactly, whatever interest accrues until then.
        let (seized, shares) = match repayment {
            Repayment::Shares(shares) => (U256::ZERO, shares),
            Repayment::AllCollateral => (liquidation.seized, U256::ZERO),
        };
        let data = MorphoLoan {
            market: self.market.clone(),
            borrower: self.account,
            seizedAssets: seized,
            repaidShares: shares,
            minBorrowShares: U256::from(self.position.borrow_shares),
        };
        Some(Expected { liquidation, offered: U256::ZERO, data: data.abi_encode().into() })
    }
}
