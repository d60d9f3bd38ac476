// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILever} from "plimsoll/interfaces/ILever.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {ISwapper} from "plimsoll/interfaces/ISwapper.sol";
import {ISwapperClient} from "plimsoll/interfaces/ISwapperClient.sol";
import {LeverTest} from "./LeverTest.sol";

/// @notice Opening, raising, lowering and closing: what becomes of the position, and the bounds.
contract LeverPositionTest is LeverTest {
    function setUp() public override {
        super.setUp();
        consent();
    }

    /* RAISE */

    function test_openingAddsTheDepositAndTheBoughtCollateral() public {
        uint256 bought = raise(raiseWish());
        // 10 ETH less half a per mille for the pool and two for moving it.
        assertGt(bought, eth(9_970) / 1_000);
        assertLt(bought, eth(9_996) / 1_000);
        assertEq(collateralOf(USER), eth(10) + bought);
        assertEq(debtOf(USER), usd(20_000));
        assertEq(collateralToken.balanceOf(USER), 0);
        assertEq(loanToken.balanceOf(USER), 0);
        assertNothingLeftIn(address(lever));
        assertNothingLeftIn(address(swapper));
    }

    function test_raisingNeedsNoDeposit() public {
        raise(raiseWish());
        uint256 before = collateralOf(USER);
        ILever.Raise memory wish = raiseWish();
        wish.deposit = 0;
        wish.borrowAssets = usd(10_000);
        wish.minBought = eth(49) / 10;
        wish.maxLtvBps = 6_100;
        uint256 bought = raise(wish);
        assertEq(collateralOf(USER), before + bought);
        assertEq(debtOf(USER), usd(30_000));
    }

    function test_asFarAsTheMarketAllows(uint256 deposit, uint256 borrowed, uint256 slack) public {
        deposit = bound(deposit, eth(1), eth(10));
        // Counting 95 % of what is bought, 3.33 times the deposit would be the borrow LTV.
        borrowed = bound(borrowed, usd(100), deposit * 33 / 10 * priceOf(2_000) / ORACLE_SCALE);
        uint256 atPrice = borrowed * ORACLE_SCALE / priceOf(2_000);
        ILever.Raise memory wish = raiseWish();
        (wish.deposit, wish.borrowAssets) = (deposit, borrowed);
        wish.minBought = atPrice * bound(slack, 950, 980) / 1_000;
        wish.maxLtvBps = 8_000;
        uint256 bought = raise(wish);
        assertGe(bought, wish.minBought);
        assertLe(bought, atPrice);
        assertEq(collateralOf(USER), deposit + bought);
        assertEq(debtOf(USER), borrowed);
        assertEq(collateralToken.balanceOf(USER), eth(10) - deposit);
        assertNothingLeftIn(address(lever));
        assertNothingLeftIn(address(swapper));
    }

    function test_tooLittleBoughtIsRefused() public {
        ILever.Raise memory wish = raiseWish();
        arbitrageTo(2_020);
        vm.expectPartialRevert(ISwapper.TooLittleOut.selector);
        raise(wish);
    }

    /// @dev The oracle's price fell between the signature and the block.
    function test_tooHighALtvIsRefused() public {
        ILever.Raise memory wish = raiseWish();
        wish.minBought = eth(9);
        uint256 snapshot = vm.snapshotState();
        uint256 collateral = eth(10) + raise(wish);
        vm.revertToState(snapshot);

        uint256 price = usd(20_000) * ORACLE_SCALE / collateral * BPS / 5_100;
        oracle.set(price * 999 / 1_000);
        vm.expectPartialRevert(ILever.LtvTooHigh.selector);
        raise(wish);
        oracle.set(price * 1_001 / 1_000);
        raise(wish);
    }

    /// @dev The conservative price counts, as it does for the core.
    function test_theLtvGoesByTheBorrowPrice() public {
        oracle.setBoth(priceOf(2_000), priceOf(1_500));
        vm.expectPartialRevert(ILever.LtvTooHigh.selector);
        raise(raiseWish());
    }

    /// @dev H2: the core has the last word on health.
    function test_tooMuchIsRefusedByTheCore() public {
        ILever.Raise memory wish = raiseWish();
        wish.borrowAssets = usd(90_000);
        wish.minBought = eth(40);
        wish.maxLtvBps = type(uint16).max;
        vm.expectPartialRevert(IPlimsoll.Unhealthy.selector);
        raise(wish);
    }

    /// @dev At the limit by the debt rounded down the LTV is above it.
    function test_theHighestLtvCountsDebtRoundedUp() public {
        openLoan(STRANGER, eth(10), usd(7_777));
        skip(100 days);
        ILever.Raise memory wish = raiseWish();
        wish.maxLtvBps = 5_000;
        uint256 snapshot = vm.snapshotState();
        oracle.set(priceOf(4_000));
        uint256 collateral = eth(10) + raise(wish);
        uint256 debt = debtOf(USER);
        vm.revertToState(snapshot);

        oracle.set((2 * (debt - 1) * ORACLE_SCALE - 1) / collateral + 1);
        vm.expectRevert(abi.encodeWithSelector(ILever.LtvTooHigh.selector, debt, 2 * (debt - 1), 5_000));
        raise(wish);
        oracle.set((2 * debt * ORACLE_SCALE - 1) / collateral + 1);
        raise(wish);
    }

    /* LOWER */

    /// @dev Opens a position, and the pool finds back to the price.
    function _open() private returns (uint256 collateral) {
        collateral = eth(10) + raise(raiseWish());
        arbitrageTo(2_000);
    }

    function test_loweringSellsOnlyWhatTheRepaymentNeeds() public {
        uint256 before = _open();
        (uint256 repaid, uint256 sold) = lower(lowerWish());
        assertEq(repaid, usd(10_000));
        assertEq(debtOf(USER), usd(10_000));
        assertGt(sold, eth(4_995) / 1_000);
        assertLt(sold, eth(502) / 100);
        assertEq(collateralOf(USER), before - sold);
        assertEq(collateralToken.balanceOf(USER) + loanToken.balanceOf(USER), 0);
        assertNothingLeftIn(address(lever));
        assertNothingLeftIn(address(swapper));
    }

    function test_loweringByAnyAmount(uint256 repay, uint256 elapsed) public {
        _open();
        skip(bound(elapsed, 0, 365 days));
        uint256 debt = debtOf(USER);
        uint256 before = collateralOf(USER);
        ILever.Lower memory wish = lowerWish();
        wish.repayAssets = bound(repay, usd(1), 2 * debt);
        // Collateral may not leave a debt below the minimum: less than that remaining is repaid, too.
        if (wish.repayAssets < debt && debt - wish.repayAssets <= params.risk.minDebt()) wish.repayAssets = debt;
        // At most the same part of the collateral as of the debt, which is twice what it needs at an LTV of one half.
        wish.maxSold = before;
        if (wish.repayAssets < debt) wish.maxSold = before * (wish.repayAssets - 1) / debt;
        (uint256 repaid, uint256 sold) = lower(wish);
        assertEq(repaid, wish.repayAssets < debt ? wish.repayAssets : debt);
        assertApproxEqAbs(debtOf(USER), debt - repaid, 1);
        assertEq(collateralOf(USER), before - sold);
        assertGe(sold, repaid * ORACLE_SCALE / priceOf(2_000));
        assertNothingLeftIn(address(lever));
        assertNothingLeftIn(address(swapper));
    }

    /// @dev Whose tokens the rest is does not change what was sold: those that lay in the lever are not counted, and an
    /// adapter that returns more than it was given sold nothing.
    function test_tokensThatLayInLeverOrAdapterWereNotSold() public {
        _open();
        uint256 snapshot = vm.snapshotState();
        (, uint256 sold) = lower(lowerWish());
        vm.revertToState(snapshot);
        collateralToken.mint(address(lever), eth(1));
        (, uint256 soldBesides) = lower(lowerWish());
        assertEq(soldBesides, sold);
        vm.revertToState(snapshot);
        collateralToken.mint(address(swapper), eth(7));
        (, sold) = lower(lowerWish());
        assertEq(sold, 0);
    }

    function test_tooMuchSoldIsRefused() public {
        _open();
        ILever.Lower memory wish = lowerWish();
        arbitrageTo(1_900);
        vm.expectPartialRevert(ISwapper.TooMuchIn.selector);
        lower(wish);
    }

    function test_loweringSellsNoLargerPartThanItRepays() public {
        _open();
        ILever.Lower memory wish = lowerWish();
        (wish.repayAssets, wish.maxSold) = (usd(1_000), eth(19));
        vm.expectPartialRevert(IPlimsoll.NotProportional.selector);
        lower(wish);
    }

    /// @dev L1: a liquidatable loan without a price can still be lowered, not only closed.
    function test_loweringNeedsNoPriceAndNoHealth() public {
        _open();
        crashTo(1_100);
        oracle.setBroken(true);
        ILever.Lower memory wish = lowerWish();
        (wish.repayAssets, wish.maxSold) = (usd(10_000), collateralOf(USER) * 499 / 1_000);
        (uint256 repaid, uint256 sold) = lower(wish);
        assertEq(repaid, usd(10_000));
        assertGt(sold, eth(9));
        assertEq(debtOf(USER), usd(10_000));
    }

    function test_withoutDebtNothingIsSold() public {
        supplyCollateral(USER, eth(3));
        (uint256 repaid, uint256 sold) = lower(lowerWish());
        assertEq(repaid + sold, 0);
        assertEq(collateralOf(USER), eth(3));
    }

    /* CLOSE */

    function test_closingPaysEverythingAndGivesTheRestBack(uint256 elapsed) public {
        _open();
        uint256 collateral = collateralOf(USER);
        skip(bound(elapsed, 0, 2 * 365 days));
        uint256 debt = debtOf(USER);
        ILever.Close memory wish = closeWish();
        if (elapsed % 2 == 0) wish.maxSold = eth(14);
        (uint256 repaid, uint256 sold, uint256 returned) = close(wish);
        assertEq(repaid, debt);
        assertEq(plimsoll.position(id, USER).borrowShares, 0);
        assertEq(collateralOf(USER), 0);
        assertEq(sold + returned, collateral);
        assertEq(collateralToken.balanceOf(USER), returned);
        assertEq(loanToken.balanceOf(USER), 0);
        assertNothingLeftIn(address(lever));
        assertNothingLeftIn(address(swapper));
    }

    /// @dev L1: a loan under the line, or without a price, can still be got out of.
    function test_closingNeedsNoPriceAndNoHealth() public {
        _open();
        crashTo(1_100);
        oracle.setBroken(true);
        (uint256 repaid,, uint256 returned) = close(closeWish());
        assertEq(repaid, usd(20_000));
        assertGt(returned, eth(1));
        assertEq(collateralToken.balanceOf(USER), returned);
    }

    function test_closingForTooMuchIsRefused() public {
        _open();
        ILever.Close memory wish = closeWish();
        wish.maxSold = eth(10);
        vm.expectPartialRevert(ISwapper.TooMuchIn.selector);
        close(wish);
    }

    function test_closingWithoutDebtGivesTheCollateralBack() public {
        supplyCollateral(USER, eth(3));
        (uint256 repaid, uint256 sold, uint256 returned) = close(closeWish());
        assertEq(repaid + sold, 0);
        assertEq(returned, eth(3));
        assertEq(collateralToken.balanceOf(USER), eth(13));
    }

    /// @dev A call does not report the sale of a previous one, even within one transaction.
    function test_callsOfOneTransactionDoNotMix() public {
        _open();
        close(closeWish());
        supplyCollateral(USER, eth(1));
        (, uint256 sold,) = close(closeWish());
        assertEq(sold, 0);
        _open();
        (, sold) = lower(lowerWish());
        assertLt(sold, eth(502) / 100);
    }

    /* EVENTS AND DEADLINES */

    function test_eventsReportTheChangesOfThePosition() public {
        uint256 snapshot = vm.snapshotState();
        uint256 bought = raise(raiseWish());
        (uint256 repaid, uint256 sold) = lower(lowerWish());
        (uint256 closed, uint256 soldInTheEnd, uint256 returned) = close(closeWish());
        vm.revertToState(snapshot);

        vm.expectEmit(address(lever));
        emit ILever.RaiseLeverage(id, USER, eth(10), usd(20_000), bought);
        raise(raiseWish());
        vm.expectEmit(address(lever));
        emit ILever.LowerLeverage(id, USER, repaid, sold);
        lower(lowerWish());
        vm.expectEmit(address(lever));
        emit ILever.CloseLeverage(id, USER, closed, soldInTheEnd, returned);
        close(closeWish());
    }

    function test_theDeadlineIsTheLastSecond() public {
        (ILever.Raise memory raising, ILever.Lower memory lowering, ILever.Close memory closing) =
            (raiseWish(), lowerWish(), closeWish());
        skip(1);
        bytes memory refusal =
            abi.encodeWithSelector(ISwapperClient.DeadlinePassed.selector, raising.deadline, vm.getBlockTimestamp());
        vm.expectRevert(refusal);
        raise(raising);
        vm.expectRevert(refusal);
        lower(lowering);
        vm.expectRevert(refusal);
        close(closing);
    }
}

/// @notice The same where the pool's tokens stand the other way round and decimals differ the other way.
contract LeverOtherTokensTest is LeverPositionTest {
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
