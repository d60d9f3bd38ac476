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
/// Binary digits of the part of a debt by which it may be less than it was, where not all of it is repaid: less is no rival's
/// liquidation, and a stranger who repays a unit must not hold one up.
const STALE_DIGITS: usize = 10;

/// Returns the fewest shares that an account must still owe for a liquidation that repays so many of its `owed` ones.
pub(super) fn least_owed(owed: u128, repaid: U256) -> U256 {
    let owed = U256::from(owed);
    repaid.max(owed - (owed >> STALE_DIGITS))
}

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
            minBorrowShares: least_owed(self.position.borrow_shares, shares),
        };
        Some(Expected { liquidation, offered: U256::ZERO, data: data.abi_encode().into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_repaid_though_a_stranger_repaid_a_unit_and_the_whole_only_while_all_is_owed() {
        for owed in [1, 1_023, 1_024, 1_000_000, u128::MAX] {
            let all = U256::from(owed);
            assert_eq!(least_owed(owed, all), all);
            let of_part = least_owed(owed, all / U256::from(2));
            assert_eq!(of_part < all, owed >= 1_024, "{owed}");
            assert!(all - of_part <= all / U256::from(1_000), "{owed}");
            let but_one = all - U256::ONE;
            assert!(least_owed(owed, but_one) >= but_one, "{owed}");
        }
    }
}
