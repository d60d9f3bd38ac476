// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGasCharge} from "plimsoll/interfaces/IGasCharge.sol";
import {ILens} from "plimsoll/interfaces/ILens.sol";
import {ILiquidator} from "plimsoll/interfaces/ILiquidator.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {ISwapper} from "plimsoll/interfaces/ISwapper.sol";
import {ISwapperClient} from "plimsoll/interfaces/ISwapperClient.sol";
import {LiquidatorTest} from "./LiquidatorTest.sol";

/// @notice Capital-free liquidation: what it earns, what it refuses, and that nothing stays behind.
contract LiquidatorLiquidateTest is LiquidatorTest {
    /* WHAT IT DOES */

    function test_allCollateralIsSoldAndTheProfitIsTheSurplus() public {
        address[] memory borrowers = openLoans(3);
        crashTo(1_800);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        uint256 poolBefore = loanToken.balanceOf(address(pool));
        ILiquidator.Outcome memory outcome = run(wanted);

        assertEq(loanToken.balanceOf(TREASURY), outcome.profit);
        assertEq(poolBefore - loanToken.balanceOf(address(pool)), outcome.repaid + outcome.profit);
        // An incentive of 2.1 % less half a per mille for the pool's fee and the price impact of the trade.
        assertGt(outcome.profit, outcome.repaid * 18 / 1_000);
        assertLt(outcome.profit, outcome.repaid * 22 / 1_000);
        assertEq(collateralToken.balanceOf(TREASURY), 0);
        assertNothingLeftIn(address(liquidator));
        assertNothingLeftIn(address(swapper));
    }

    function test_onlyTheNeededCollateralIsSoldAndTheProfitIsTheRest() public {
        address[] memory borrowers = openLoans(3);
        crashTo(1_800);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        wanted.profitInCollateral = true;
        uint256 poolBefore = collateralToken.balanceOf(address(pool));
        ILiquidator.Outcome memory outcome = run(wanted);

        assertEq(collateralToken.balanceOf(TREASURY), outcome.profit);
        assertEq(collateralToken.balanceOf(address(pool)) - poolBefore, outcome.seized - outcome.profit);
        uint256 worth = outcome.profit * priceOf(1_800) / ORACLE_SCALE;
        assertGt(worth, outcome.repaid * 18 / 1_000);
        assertLt(worth, outcome.repaid * 22 / 1_000);
        assertEq(loanToken.balanceOf(TREASURY), 0);
        assertNothingLeftIn(address(liquidator));
        assertNothingLeftIn(address(swapper));
    }

    /// @dev It is the core that liquidates: the loans come out as by a liquidator with capital.
    function test_loansComeOutAsByTheCoreItself(uint256 price, uint256 maxRepay, bool inCollateral) public {
        address[] memory borrowers = openLoans(3);
        skip(30 days);
        crashTo(bound(price, 1_000, 1_850));
        ILens.LiquidationLine[] memory lines = lens.liquidatable(id, borrowers).lines;
        uint256 sum = lines[0].maxRepay + lines[1].maxRepay + lines[2].maxRepay;
        maxRepay = bound(maxRepay, usd(200), 2 * sum);

        uint256 snapshot = vm.snapshotState();
        (uint256 repaid, uint256 seized) = liquidate(borrowers, maxRepay);
        bytes32 directly = _state(borrowers);
        vm.revertToState(snapshot);

        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        wanted.maxRepay = maxRepay;
        wanted.profitInCollateral = inCollateral;
        ILiquidator.Outcome memory outcome = run(wanted);
        assertEq(_state(borrowers), directly);
        assertEq(outcome.repaid, repaid);
        assertEq(outcome.seized, seized);
        assertEq((inCollateral ? collateralToken : loanToken).balanceOf(TREASURY), outcome.profit);
        assertGt(outcome.profit, 0);
        assertNothingLeftIn(address(liquidator));
        assertNothingLeftIn(address(swapper));
    }

    function test_theEventReportsTheProfit() public {
        address[] memory borrowers = openLoans(1);
        crashTo(1_800);
        uint256 snapshot = vm.snapshotState();
        ILiquidator.Outcome memory outcome = run(liquidationOf(borrowers));
        vm.revertToState(snapshot);
        vm.expectEmit(address(liquidator));
        emit ILiquidator.LiquidateWithoutCapital(
            id, KEEPER, TREASURY, address(loanToken), outcome.repaid, outcome.seized, outcome.profit
        );
        run(liquidationOf(borrowers));
    }

    /// @dev Bad debt without collateral can be written off by any account.
    function test_aWriteOffOfALoanWithoutCollateralWorthAnything() public {
        openLoan(BORROWER, eth(5), usd(8_000));
        oracle.set(1);
        ILiquidator.Outcome memory outcome = run(liquidationOf(listOf(BORROWER)));
        assertEq(outcome.repaid, 0);
        assertEq(outcome.seized, eth(5));
        assertEq(collateralToken.balanceOf(TREASURY), eth(5), "what is worth nothing goes to the receiver as it is");
        assertEq(plimsoll.position(id, BORROWER).borrowShares, 0);
        assertNothingLeftIn(address(liquidator));
        assertNothingLeftIn(address(swapper));
    }

    /* RACES AND BOUNDS */

    /// @dev One loan lost to a rival costs gas and that loan's profit, not the batch.
    function test_aLostRaceDoesNotFailTheBatch() public {
        address[] memory borrowers = openLoans(3);
        crashTo(1_800);
        liquidate(borrowers[1], type(uint256).max);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        wanted.minProfit = usd(20);
        ILiquidator.Outcome memory outcome = run(wanted);
        assertGt(outcome.profit, usd(20));
        assertEq(positionHealth(borrowers[0]), positionHealth(borrowers[2]));
        assertGt(positionHealth(borrowers[0]), WAD);
    }

    function test_whenEveryRaceIsLostTheCoresErrorIsPassedOn() public {
        address[] memory borrowers = openLoans(2);
        crashTo(1_800);
        liquidate(borrowers, type(uint256).max);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
        run(wanted);
    }

    function test_profitIsBoundedToTheUnit(bool inCollateral) public {
        address[] memory borrowers = openLoans(2);
        crashTo(1_800);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        wanted.profitInCollateral = inCollateral;
        uint256 snapshot = vm.snapshotState();
        uint256 profit = run(wanted).profit;
        vm.revertToState(snapshot);

        wanted.minProfit = profit + 1;
        vm.expectRevert(abi.encodeWithSelector(IGasCharge.ProfitTooLow.selector, profit, profit + 1));
        run(wanted);
        wanted.minProfit = profit;
        assertEq(run(wanted).profit, profit);
    }

    /// @dev Where the exchange gives less than the repayment, neither way of profit goes through.
    function test_aLossIsRefused() public {
        address[] memory borrowers = openLoans(2);
        oracle.set(priceOf(1_800));
        arbitrageTo(1_700);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        vm.expectPartialRevert(ISwapper.TooLittleOut.selector);
        run(wanted);
        wanted.profitInCollateral = true;
        vm.expectPartialRevert(ISwapper.TooMuchIn.selector);
        run(wanted);
    }

    function test_theDeadlineIsTheLastSecond() public {
        address[] memory borrowers = openLoans(1);
        crashTo(1_800);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        skip(1);
        vm.expectRevert(
            abi.encodeWithSelector(ISwapperClient.DeadlinePassed.selector, wanted.deadline, vm.getBlockTimestamp())
        );
        run(wanted);
        wanted.deadline = vm.getBlockTimestamp();
        run(wanted);
    }

    function test_theZeroAddressIsRefusedAsReceiver() public {
        address[] memory borrowers = openLoans(1);
        crashTo(1_800);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        wanted.receiver = address(0);
        vm.expectRevert(ILiquidator.ZeroAddress.selector);
        run(wanted);
    }

    /* SLICES */

    /// @dev H10: a loan as large as the pool, which could not be liquidated at once, goes slice by slice, each at a
    /// profit. Between slices others bring the pool back to the price.
    function test_aLoanLargerThanThePoolsDepthGoesSliceBySlice() public {
        openLoan(BORROWER, eth(6_250), usd(10_000_000));
        crashTo(1_800);
        uint256 debt = debtOf(BORROWER);
        ILiquidator.Liquidation memory wanted = liquidationOf(listOf(BORROWER));
        vm.expectPartialRevert(ISwapper.TooLittleOut.selector);
        run(wanted);

        uint256 slices;
        while (lens.liquidatable(id, listOf(BORROWER)).lines[0].liquidatable) {
            wanted.maxRepay = usd(50_000);
            wanted.minProfit = usd(100);
            wanted.deadline = vm.getBlockTimestamp();
            uint256 healthBefore = positionHealth(BORROWER);
            run(wanted);
            assertGe(positionHealth(BORROWER), healthBefore, "H3");
            ++slices;
            assertLt(slices, 250);
            arbitrageTo(1_800);
            skip(12);
        }
        assertGt(slices, 20, "it was no large loan");
        assertGe(positionHealth(BORROWER), WAD);
        assertLt(debtOf(BORROWER), debt);
        assertNothingLeftIn(address(liquidator));
    }

    /// @dev The same for an insolvent loan, to its end.
    function test_aLargeInsolventLoanGoesSliceBySliceToTheEnd() public {
        openLoan(BORROWER, eth(6_250), usd(10_000_000));
        crashTo(1_500);
        ILiquidator.Liquidation memory wanted = liquidationOf(listOf(BORROWER));
        vm.expectPartialRevert(ISwapper.TooLittleOut.selector);
        run(wanted);

        uint256 slices;
        while (plimsoll.position(id, BORROWER).borrowShares != 0) {
            wanted.maxRepay = usd(50_000);
            wanted.minProfit = usd(50);
            wanted.deadline = vm.getBlockTimestamp();
            // The last part must not leave a debt below the minimum, and may earn little.
            if (debtOf(BORROWER) < usd(51_000)) (wanted.maxRepay, wanted.minProfit) = (type(uint256).max, 1);
            run(wanted);
            ++slices;
            assertLt(slices, 250);
            arbitrageTo(1_500);
            skip(12);
        }
        assertGt(slices, 150, "it was no large loan");
        assertEq(plimsoll.position(id, BORROWER).collateral, 0);
        assertNothingLeftIn(address(liquidator));
    }

    /* HELPERS */

    function positionHealth(address account) internal view returns (uint256) {
        return lens.positions(id, listOf(account)).lines[0].health;
    }

    /// @dev Everything the core knows of the market and these borrowers.
    function _state(address[] memory borrowers) private view returns (bytes32) {
        bytes memory all = abi.encode(plimsoll.market(id));
        for (uint256 i; i < borrowers.length; ++i) {
            all = abi.encodePacked(all, abi.encode(plimsoll.position(id, borrowers[i])));
        }
        return keccak256(all);
    }
}

/// @notice The same where the pool's tokens stand the other way round and decimals differ the other way.
contract LiquidatorOtherTokensTest is LiquidatorLiquidateTest {
    function collateralIsToken0() internal pure override returns (bool) {
        return false;
    }

    function loanDecimals() internal pure override returns (uint8) {
        return 18;
    }

    function collateralDecimals() internal pure override returns (uint8) {
        return 8;
    }
}
