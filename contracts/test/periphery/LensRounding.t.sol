// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILens} from "plimsoll/interfaces/ILens.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {LensStateTest} from "./LensStateTest.sol";

/// @notice The lens rounds as the core does: amounts and prices at which one unit decides.
contract LensRoundingTest is LensStateTest {
    /// @dev The debt of a sole borrower is always whole units.
    function test_ofSeveralDebtsEachIsRoundedUp(uint256 other, uint256 elapsed) public {
        openLoan(BORROWER, 500e18, 700_000e6);
        openLoan(STRANGER, 500e18, bound(other, MIN_DEBT, 700_000e6));
        skip(bound(elapsed, 1 days, 365 days));
        uint256 debt = positionLine(BORROWER).debt;
        assertEq(liquidationLine(BORROWER).debt, debt);
        give(loanToken, STRANGER, type(uint128).max);
        vm.prank(STRANGER);
        (uint256 repaid,) = plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertEq(repaid, debt);
    }

    /// @dev A price at which both a division's remainder is 0 and one at which it is 1.
    function test_theWaterlineIsExactWhereTheDivisionIsExact() public {
        openLoan(BORROWER, 1e18, 1_500e6);
        assertLiquidatedFromTheWaterlineOn(BORROWER);
        // The value at the waterline is 120 × 999,999 + 1 units of 999,999 units of collateral, and 1e36 is 1 modulo
        // 999,999.
        oracle.set(130e6 * ORACLE_SCALE / 999_999);
        openLoan(STRANGER, 999_999, 103_199_897);
        assertLiquidatedFromTheWaterlineOn(STRANGER);
    }

    /// @dev 172,027,396 × 10,000 is 1 modulo 8,601.
    function test_theWaterlineIsExactWhereDebtOverLtvIsExact() public {
        params.risk = toRisk(BORROW_LTV_BPS, 8_601, MIN_DEBT);
        id = plimsoll.createMarket(params);
        supply(LENDER, 1_000e6);
        openLoan(BORROWER, 1e18, 172_027_396);
        assertLiquidatedFromTheWaterlineOn(BORROWER);
    }

    /// @dev The value of collateral is at most 2^128 - 1, which this debt exceeds at the LTV of 86 % by less than a unit.
    function test_aDebtThatNoValueCoversHasNoWaterline() public {
        openLoan(BORROWER, 1e18, 1_500e6);
        uint128 debt = 292642835552007078578502162391320661852;
        overwriteMarket([type(uint128).max, debt, 1e18, 1e18, 0, 0, 0], START_RATE, 0);
        overwritePosition(BORROWER, 1e18, 1e18);
        assertEq(positionLine(BORROWER).waterlinePrice, type(uint256).max);
        overwriteMarket([type(uint128).max, debt - 1, 1e18, 1e18, 0, 0, 0], START_RATE, 0);
        assertLt(positionLine(BORROWER).waterlinePrice, type(uint256).max);
    }

    /// @dev Without a debt in the market there are no shares whose price could round; later two units are left for it.
    function test_maxBorrowIsTheLimitButForRounding() public {
        supplyCollateral(BORROWER, 1e18);
        assertEq(positionLine(BORROWER).maxBorrow, 1_600e6);
        borrow(BORROWER, 1_600e6);
        supplyCollateral(STRANGER, 1e18);
        assertEq(positionLine(STRANGER).maxBorrow, 1_600e6 - 2);
    }

    function test_maxBorrowIsNothingOrTheMinimumDebt() public {
        // The minimum debt of 100 at the borrow LTV of 80 %.
        supplyCollateral(BORROWER, 0.0625e18 - 1);
        assertEq(positionLine(BORROWER).maxBorrow, 0);
        supplyCollateral(BORROWER, 1);
        assertEq(positionLine(BORROWER).maxBorrow, MIN_DEBT);
        borrow(BORROWER, MIN_DEBT);
    }

    /// @dev At a price of 100 for a share of debt: after a loan of the minimum debt, with the fewest shares.
    function test_maxBorrowMayBeTheFewestShares() public {
        overwriteMarket([uint128(1e12), 1e11, 1e18, 1e9, 0, 0, 0], START_RATE, 0);
        supplyCollateral(BORROWER, 0.062500064e18);
        assertEq(positionLine(BORROWER).maxBorrow, MIN_DEBT);
        assertEq(borrow(BORROWER, MIN_DEBT), 1e6);
    }

    function test_aDebtOfOneUnitIsLiquidated() public {
        openLoan(BORROWER, 1e18, 1_500e6);
        overwriteMarket([uint128(1e12), 1, 1e18, 1e6, 0, 0, 0], START_RATE, 0);
        overwritePosition(BORROWER, 1e6, 1);
        ILens.LiquidationLine memory line = liquidationLine(BORROWER);
        assertTrue(line.liquidatable);
        assertEq(line.badDebt, 1);
        assertDone(line);
    }

    /// @dev Of several debts: each is rounded up, and what is left of the market's is not theirs.
    function test_theCoreLiquidatesOneOfSeveralLoansAsTheLensSaid(uint256 debt, uint256 health, uint256 elapsed)
        public
    {
        debt = bound(debt, MIN_DEBT, 1_000_000e6);
        openLoan(STRANGER, 1_000e18, 765_432_109_876);
        openLoan(BORROWER, debt * ORACLE_SCALE * BPS / PRICE / BORROW_LTV_BPS + 1e12, debt);
        skip(bound(elapsed, 0, 30 days));
        oracle.set(priceAtHealth(BORROWER, bound(health, 0.05e18, 0.999e18)));
        ILens.LiquidationLine memory line = liquidationLine(BORROWER);
        assertTrue(line.liquidatable);
        assertDone(line);
    }

    /// @dev Where the debt of the others is at its lowest, below which it does not fall, less is removed than repaid, and
    /// nothing is lost.
    function test_aRepaymentThatRemovesLessThanItsAmountIsNoLoss() public {
        openLoan(BORROWER, 1e18, 1_600e6);
        overwriteMarket([uint128(1e12), 1_700e6, 1e18, 1.7e15 - 1, 0, 0, 0], START_RATE, 0);
        // In the breakeven zone.
        oracle.set(1_640e6 * 1e18);
        ILens.LiquidationLine memory line = liquidationLine(BORROWER);
        assertEq(line.debt, 1_600e6 + 1);
        assertEq(line.maxRepay, line.debt);
        assertEq(line.badDebt, 0);
        assertDone(line);
    }

    /// @dev A loan of two shares: the max repay is less than one of them, or more.
    function test_aRepaymentOfLessThanAShareIsNone() public {
        openLoan(BORROWER, 1e18, 1_500e6);
        overwriteMarket([uint128(1e12), 1_500e6, 1e18, 2, 0, 0, 0], START_RATE, 0);
        overwritePosition(BORROWER, 2, 1e18);
        uint256[3] memory outcomes;
        for (uint256 health = 0.93e18; health < 1e18; health += 0.005e18) {
            uint256 before = vm.snapshotState();
            oracle.set(priceAtHealth(BORROWER, health));
            ILens.LiquidationLine memory line = liquidationLine(BORROWER);
            if (line.liquidatable) {
                assertDone(line);
                ++outcomes[2 - plimsoll.position(id, BORROWER).borrowShares];
            } else {
                vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
                this.liquidateFully(BORROWER);
                ++outcomes[0];
            }
            vm.revertToState(before);
        }
        assertGt(outcomes[0], 0, "less than a share");
        assertGt(outcomes[1], 0, "a share");
    }
}
