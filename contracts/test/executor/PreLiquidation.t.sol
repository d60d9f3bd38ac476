// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {IPreLiquidationCallback} from "plimsoll/executor/interfaces/IProtocols.sol";
import {StandInPreLiquidation, StandInPreLiquidationFactory} from "../support/StandInPreLiquidation.sol";
import {ExecutorTest} from "./ExecutorTest.sol";
import {LyingPreLiquidation} from "./LyingPreLiquidation.sol";

interface IAllowance {
    function allowance(address owner, address spender) external view returns (uint256);
}

/// @notice Pre-liquidations of Morpho Blue, by a stand-in for its contracts: of accounts that have authorised one, by contracts
/// of the listed factory alone.
contract ExecutorPreLiquidationTest is ExecutorTest {
    function setUp() public override {
        super.setUp();
        openOn(PRE, BORROWER);
        openOn(MORPHO, LIQUIDATOR);
    }

    /* WHAT IT DOES */

    /// @dev The account comes out as by a pre-liquidation with capital, and the exchange pays the repayment and the profit.
    function test_E6_aPreLiquidationIsThatOfALiquidatorWithCapital(uint256 price, uint256 part, bool exactOut) public {
        // From an LTV of 80 % on, and below 86 %.
        crashTo(bound(price, 1_870, 1_990));
        uint256 shares = bound(part, 1e13, morphoShares(BORROWER) * 9 / 100);
        uint256 snapshot = vm.snapshotState();
        loanToken.mint(address(this), usd(10_000));
        loanToken.approve(address(preLiquidation), type(uint256).max);
        preLiquidation.preLiquidate(BORROWER, 0, shares, "");
        (uint256 sharesLeft, uint256 collateralLeft) = _positionOf(BORROWER);
        vm.revertToState(snapshot);

        IExecutor.Item memory item = _item(BORROWER, shares);
        item.exactOut = exactOut;
        uint256 dollars = loanToken.balanceOf(address(pool));
        IExecutor.Outcome memory outcome = run(jobOf(item));
        (uint256 afterShares, uint256 afterCollateral) = _positionOf(BORROWER);
        assertEq(afterShares, sharesLeft);
        assertEq(afterCollateral, collateralLeft);
        assertEq(eth(5) - afterCollateral, outcome.results[0].seized);
        uint256 earned = exactOut ? 0 : outcome.profit;
        assertEq(dollars - loanToken.balanceOf(address(pool)), outcome.results[0].repaid + earned);
        assertGt(outcome.profit, 0);
        assertEq((exactOut ? coin.balanceOf(TREASURY) : loanToken.balanceOf(TREASURY)), outcome.profit);
        assertNothingLeft();
    }

    /// @dev An account that has not authorised the contract, or does not any more, is not touched: its item fails alone.
    function test_E4_accountsThatHaveNotAuthorisedAreNotTouched() public {
        crashTo(1_900);
        IExecutor.Item[] memory items = new IExecutor.Item[](2);
        (items[0], items[1]) = (_item(LIQUIDATOR, 1e15), _item(BORROWER, 1e15));
        (items[0].gasCap, items[1].gasCap) = (500_000, 500_000);
        IExecutor.Outcome memory outcome = run(jobOf(items, address(loanToken)));
        assertEq(outcome.done, 2);
        (, uint256 collateral) = _positionOf(LIQUIDATOR);
        assertEq(collateral, eth(5));

        authorise(BORROWER, address(preLiquidation), false);
        IExecutor.Item memory item = _item(BORROWER, 1e15);
        vm.expectRevert(bytes("unauthorized"));
        run(jobOf(item));
        assertNothingLeft();
    }

    function test_aPositionOutsideOfTheZoneIsRefused() public {
        IExecutor.Item memory item = _item(BORROWER, 1e15);
        // At 2,000 the LTV is 80 % exactly.
        vm.expectRevert(StandInPreLiquidation.NotPreLiquidatablePosition.selector);
        run(jobOf(item));
        crashTo(1_850);
        vm.expectRevert(StandInPreLiquidation.LiquidatablePosition.selector);
        run(jobOf(item));
    }

    function test_aRivalMakesTheItemStale() public {
        crashTo(1_900);
        IExecutor.Item memory item = _item(BORROWER, 1e15);
        uint256 shares = morphoShares(BORROWER);
        loanToken.mint(address(this), usd(10_000));
        loanToken.approve(address(preLiquidation), type(uint256).max);
        preLiquidation.preLiquidate(BORROWER, 0, 1e14, "");
        vm.expectRevert(abi.encodeWithSelector(IExecutor.StaleDebt.selector, shares - 1e14, shares));
        run(jobOf(item));
    }

    /* WHOM IT CALLS */

    /// @dev Neither a lying contract nor the real code of another factory is called, or may pull anything afterwards.
    function test_E2_contractsOfOtherFactoriesAreNeverCalled() public {
        crashTo(1_900);
        StandInPreLiquidationFactory strangers = new StandInPreLiquidationFactory(address(morpho));
        address same = address(newPreLiquidation(strangers, 0.79e18, morphoMarket.oracle));
        authorise(BORROWER, same, true);
        address[3] memory others =
            [address(new LyingPreLiquidation(address(morpho), morphoMarketId())), same, address(loanToken)];
        for (uint256 i; i < others.length; ++i) {
            IExecutor.Item memory item = preItemOf(BORROWER, others[i], 1e15);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.NotPreLiquidation.selector, others[i]));
            run(jobOf(item));
            assertEq(IAllowance(address(loanToken)).allowance(address(executor), others[i]), 0);
        }
    }

    /// @dev Of the awaited contract one callback is accepted, and of others none.
    function test_E2_aPreLiquidationIsAnsweredInItsJobOnly() public {
        crashTo(1_900);
        loanToken.mint(address(executor), usd(10));
        address[3] memory callers = [STRANGER, address(preLiquidation), address(morpho)];
        for (uint256 i; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.UnexpectedCallback.selector, callers[i]));
            IPreLiquidationCallback(address(executor)).onPreLiquidate(1, "");
        }
        run(jobOf(_item(BORROWER, 1e15)));
        // The contract stays approved, and pulls from its caller alone.
        loanToken.mint(address(executor), usd(10));
        loanToken.mint(STRANGER, usd(10_000));
        vm.startPrank(STRANGER);
        loanToken.approve(address(preLiquidation), type(uint256).max);
        preLiquidation.preLiquidate(BORROWER, 0, 1e12, "");
        vm.expectRevert(StandInPreLiquidation.NotMorpho.selector);
        preLiquidation.onMorphoRepay(usd(1), abi.encode(1, BORROWER, address(executor), ""));
        vm.stopPrank();
        assertEq(loanToken.balanceOf(address(executor)), usd(10));
    }

    /* FIXTURE */

    function _positionOf(address who) private view returns (uint256 shares, uint256 collateral) {
        (, shares, collateral) = morpho.position(morphoMarketId(), who);
    }

    function _item(address borrower, uint256 shares) private view returns (IExecutor.Item memory) {
        return preItemOf(borrower, address(preLiquidation), shares);
    }
}
