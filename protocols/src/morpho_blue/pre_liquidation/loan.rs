//! Pre-liquidations as the executor contract makes them.

use alloy::{
    primitives::{Address, U256},
    sol,
    sol_types::SolValue,
};

use super::{
    super::{
        loan::{PART_DIGITS, least_owed},
        math::Position,
    },
    math::PreValuation,
};
use crate::{Expected, Loan, leading_digits};

sol! {
    /// What the executor's item carries for a pre-liquidation contract.
    struct PreLiquidationLoan {
        address preLiquidation;
        address borrower;
        uint256 repaidShares;
        uint256 minBorrowShares;
    }
}

/// A position that a contract liquidates.
#[derive(Debug)]
pub(super) struct PreLiquidatableLoan {
    /// The contract's factory.
    pub(super) factory: Address,
    pub(super) contract: Address,
    pub(super) account: Address,
    pub(super) position: Position,
    pub(super) valuation: PreValuation,
}

impl Loan for PreLiquidatableLoan {
    fn target(&self) -> Option<Address> {
        Some(self.factory)
    }

    fn expect(&self, max_repay: U256) -> Option<Expected> {
        let rounded = |shares| leading_digits(shares, PART_DIGITS);
        let (shares, liquidation) = self.valuation.liquidation_within(self.position, max_repay, rounded)?;
        let data = PreLiquidationLoan {
            preLiquidation: self.contract,
            borrower: self.account,
            repaidShares: shares,
            minBorrowShares: least_owed(self.position.borrow_shares, shares),
        };
        Some(Expected { liquidation, offered: U256::ZERO, data: data.abi_encode().into() })
    }
}
