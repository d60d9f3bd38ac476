// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {GuardMath} from "plimsoll/libraries/GuardMath.sol";

/// @title The guard's arithmetic where loans, shares and prices are far from the usual.
contract GuardMathTest is Test {
    uint256 private constant PLENTY = type(uint128).max;

    function test_theRampIsRoundedDown() public pure {
        IGuard.Order memory order;
        (order.triggerPrice, order.rampBps, order.premiumEndPpm) = (99, 400, 30_000);
        GuardMath.Loan memory loan;
        loan.price = 97;
        // The ramp is 3.96.
        (bool triggered, uint256 premium) = GuardMath.premiumDown(order, IGuard.Kind.CloseBelow, loan);
        assertTrue(triggered);
        assertEq(premium, uint256(0.06e18) / 3);
    }

    /// @notice A repayment that would leave the loan too few shares for a part is one of the whole debt.
    function test_aPartLeavesTheFewestSharesOrNone() public pure {
        GuardMath.Loan memory loan = _loan(1e12, 2e6);
        loan.value = 1.2e12;
        assertEq(_execute(loan, PLENTY).own, 0.4e12);
        loan.value = 1e12;
        assertEq(_execute(loan, PLENTY).own, 0.5e12, "exactly the fewest are left");
        loan.value = 0.8e12;
        assertEq(_execute(loan, PLENTY).own, 1e12);
    }

    /// @notice Where the price would take more, a part takes its part of the collateral, by shares rounded down.
    function test_aPartTakesItsPartOfTheCollateralAtMost() public pure {
        GuardMath.Loan memory loan = _loan(1_000, 30_000_001);
        (loan.value, loan.price, loan.collateral) = (1_200, 1, 9e18);
        IGuard.Execution memory execution = _execute(loan, 0);
        assertEq(execution.payment, 800);
        assertEq(execution.sold, uint256(9e18) * 24_000_000 / 30_000_001);
    }

    function test_collateralIsSoldAtTheExactPrice() public pure {
        GuardMath.Loan memory loan = _loan(2 ** 127, 2 ** 127);
        (loan.price, loan.collateral) = (1e36, type(uint128).max);
        assertEq(_execute(loan, 0).sold, 2 ** 127);
    }

    /// @dev The market's only loan.
    function _loan(uint256 debt, uint256 shares) private pure returns (GuardMath.Loan memory loan) {
        (loan.debt, loan.totalBorrowAssets, loan.minDebt) = (debt, debt, 1);
        (loan.borrowShares, loan.totalBorrowShares) = (shares, shares);
    }

    /// @dev With a target of 50 %, without premium and tip.
    function _execute(GuardMath.Loan memory loan, uint256 budget) private pure returns (IGuard.Execution memory) {
        IGuard.Order memory order;
        order.targetLtvBps = 5_000;
        return GuardMath.executionOf(order, loan, 0, budget);
    }
}
