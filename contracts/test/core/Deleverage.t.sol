// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {IRepayCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `deleverage`: a part of the debt for at most the same part of the collateral, without the oracle.
contract DeleverageTest is VerbTest, IRepayCallback {
    bytes internal seenData;
    uint256 internal seenAssets;
    uint256 internal seenCollateral;
    Position internal seenPosition;

    /* AMOUNTS */

    /// @dev A7 and H2: the shares are those of the repayment rounded down, the collateral is no larger a part.
    function testFuzz_inPart(MarketHistory memory history, uint256 assets, uint256 collateral) public {
        createHistory(history);
        Balances memory b = balances();
        uint256 debt = owed(b.borrower.position.borrowShares, b.market);
        if (debt < 2 * MIN_DEBT + 4) return;
        assets = bound(assets, MIN_DEBT, debt - MIN_DEBT - 2);
        uint256 shares = down(assets, b.market.borrowShares, b.market.borrowAssets);
        uint256 most = down(b.borrower.position.collateral, shares, b.borrower.position.borrowShares);
        collateral = bound(collateral, 1, most);
        give(loanToken, BORROWER, assets);
        b.borrower.loanTokens += assets;

        vm.startPrank(BORROWER);
        if (most < b.borrower.position.collateral) {
            vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotProportional.selector, most + 1, most));
            plimsoll.deleverage(params, assets, most + 1, BORROWER, STRANGER, "");
        }
        expectAccrue();
        expectEvent();
        emit IPlimsoll.Repay(id, BORROWER, BORROWER, assets, shares);
        expectEvent();
        emit IPlimsoll.WithdrawCollateral(id, BORROWER, BORROWER, STRANGER, collateral);
        (uint256 repaid, uint256 redeemed) = plimsoll.deleverage(params, assets, collateral, BORROWER, STRANGER, "");
        vm.stopPrank();

        assertEq(repaid, assets);
        assertEq(redeemed, shares);
        assertBalances(deleveraged(b, assets, shares, collateral));
    }

    /// @dev More than is owed is all that is owed, and then any part of the collateral leaves.
    function testFuzz_wholly(MarketHistory memory history, uint256 assets, uint256 collateral) public {
        createHistory(history);
        Balances memory b = balances();
        uint256 debt = owed(b.borrower.position.borrowShares, b.market);
        assets = bound(assets, debt, type(uint256).max);
        collateral = bound(collateral, 1, b.borrower.position.collateral);
        give(loanToken, BORROWER, debt);
        b.borrower.loanTokens += debt;
        vm.prank(BORROWER);
        (uint256 repaid, uint256 redeemed) = plimsoll.deleverage(params, assets, collateral, BORROWER, STRANGER, "");
        assertEq(repaid, debt);
        assertEq(redeemed, b.borrower.position.borrowShares);
        assertBalances(deleveraged(b, debt, redeemed, collateral));
        assertEq(plimsoll.position(id, BORROWER).borrowShares, 0);
    }

    function deleveraged(Balances memory b, uint256 repaid, uint256 shares, uint256 collateral)
        internal
        pure
        returns (Balances memory)
    {
        b.market.borrowShares -= shares;
        uint256 lowest = up(b.market.borrowShares, 1, 1e6);
        b.market.borrowAssets -= repaid;
        if (b.market.borrowAssets < lowest) b.market.borrowAssets = lowest;
        b.borrower.position.borrowShares -= shares;
        b.borrower.position.collateral -= collateral;
        b.borrower.loanTokens -= repaid;
        b.stranger.collateralTokens += collateral;
        b.core.loanTokens += repaid;
        b.core.collateralTokens -= collateral;
        return b;
    }

    /// @dev H2: whatever the price, the health of the rest is not lower: collateral ÷ debt is not, but for the unit by
    /// which the debt is seen rounded up.
    function testFuzz_H2_theRestIsNoLessHealthy(MarketHistory memory history, uint256 assets) public {
        createHistory(history);
        Position memory was = plimsoll.position(id, BORROWER);
        uint256 debt = debtOf(BORROWER);
        if (debt < 2 * MIN_DEBT + 4) return;
        assets = bound(assets, 1, debt - MIN_DEBT - 2);
        give(loanToken, BORROWER, assets);
        Market memory m = accrued();
        uint256 most = down(was.collateral, down(assets, m.borrowShares, m.borrowAssets), was.borrowShares);
        if (most == 0) return;
        vm.prank(BORROWER);
        plimsoll.deleverage(params, assets, most, BORROWER, BORROWER, "");
        Position memory p = plimsoll.position(id, BORROWER);
        uint256 left = debtOf(BORROWER);
        assertGe(p.collateral * debt, was.collateral * (left - 1));
        // And it is as much as it may be: a unit of collateral more would have been too much.
        assertLe((p.collateral - 1) * was.borrowShares, was.collateral * p.borrowShares);
    }

    /// @dev H5: a part that would leave less than the minimum debt is refused: with the collateral of such a loan gone,
    /// nobody is paid to liquidate the rest.
    function test_H5_noDustIsLeft() public {
        createHistory();
        uint256 debt = debtOf(BORROWER);
        give(loanToken, BORROWER, debt);
        vm.startPrank(BORROWER);
        vm.expectPartialRevert(IPlimsoll.DebtTooSmall.selector);
        plimsoll.deleverage(params, debt - MIN_DEBT + 2, 1, BORROWER, BORROWER, "");
        plimsoll.deleverage(params, debt - MIN_DEBT - 2, 1, BORROWER, BORROWER, "");
        assertGe(debtOf(BORROWER), MIN_DEBT);
    }

    /* WHEN NOTHING ELSE WORKS */

    /// @dev L1: with the oracle broken, in part and wholly.
    function test_L1_withTheOracleBroken() public {
        createHistory();
        oracle.setBroken(true);
        give(loanToken, BORROWER, 1_000_000e6);
        vm.startPrank(BORROWER);
        plimsoll.deleverage(params, 100_000e6, 1e18, BORROWER, BORROWER, "");
        plimsoll.deleverage(params, type(uint256).max, 1e18, BORROWER, BORROWER, "");
        vm.stopPrank();
        assertEq(debtOf(BORROWER), 0);
    }

    /// @dev A loan beyond the borrow LTV, and one that is liquidatable, may still be lowered by its owner.
    function test_aLoanBeyondTheBorrowLtv() public {
        createHistory();
        oracle.set(priceAtHealth(BORROWER, 0.99e18));
        give(loanToken, BORROWER, 1_000_000e6);
        Position memory p = plimsoll.position(id, BORROWER);
        vm.startPrank(BORROWER);
        vm.expectPartialRevert(IPlimsoll.Unhealthy.selector);
        plimsoll.withdrawCollateral(params, 1, BORROWER, BORROWER);
        plimsoll.deleverage(params, debtOf(BORROWER) / 2, p.collateral / 2 - 1e12, BORROWER, BORROWER, "");
    }

    /* RIGHTS AND REFUSALS */

    /// @dev I2: the collateral goes to whom the caller names, so the caller needs the owner's leave, unlike for `repay`.
    function test_I2_onlyTheOwnerOrWhomItAuthorised() public {
        createHistory();
        give(loanToken, STRANGER, 1_000_000e6);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, STRANGER, BORROWER));
        plimsoll.deleverage(params, type(uint256).max, 1, BORROWER, STRANGER, "");

        vm.prank(BORROWER);
        plimsoll.setAuthorization(STRANGER, vm.getBlockTimestamp());
        uint256 debt = debtOf(BORROWER);
        vm.prank(STRANGER);
        plimsoll.deleverage(params, type(uint256).max, 3e18, BORROWER, LENDER, "");
        assertEq(collateralToken.balanceOf(LENDER), 3e18);
        assertEq(loanToken.balanceOf(STRANGER), 1_000_000e6 - debt, "the caller pays");
    }

    function test_refusesNothingNobodyAndTooMuch() public {
        createHistory();
        uint256 held = plimsoll.position(id, BORROWER).collateral;
        vm.startPrank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 0));
        plimsoll.deleverage(params, 0, 1, BORROWER, BORROWER, "");
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 0));
        plimsoll.deleverage(params, 1, 0, BORROWER, BORROWER, "");
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        plimsoll.deleverage(params, 1, 1, BORROWER, address(0), "");
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientCollateral.selector, held + 1, held));
        plimsoll.deleverage(params, type(uint256).max, held + 1, BORROWER, BORROWER, "");
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientCollateral.selector, type(uint256).max, held));
        plimsoll.deleverage(params, type(uint256).max, type(uint256).max, BORROWER, BORROWER, "");
        params.oracle = address(this);
        vm.expectRevert(
            abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, MarketId.wrap(keccak256(abi.encode(params))))
        );
        plimsoll.deleverage(params, 1, 1, BORROWER, BORROWER, "");
    }

    /// @dev Without debt there is nothing to deleverage; `withdrawCollateral` is for that.
    function test_refusesAPositionWithoutDebt() public {
        createHistory();
        supplyCollateral(LENDER, 1e18);
        vm.prank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 5));
        plimsoll.deleverage(params, 5, 1, LENDER, LENDER, "");
    }

    /* THE CALLBACK */

    /// @dev The collateral is there before the repayment is pulled, and the books are final (attack 9).
    function test_calledBackWithTheCollateralInHand() public {
        createHistory();
        vm.prank(BORROWER);
        plimsoll.setAuthorization(address(this), type(uint256).max);
        loanToken.approve(address(plimsoll), type(uint256).max);
        uint256 collateral = plimsoll.position(id, BORROWER).collateral;
        uint256 debt = debtOf(BORROWER);
        plimsoll.deleverage(params, type(uint256).max, collateral, BORROWER, address(this), "sold");
        assertEq(seenData, "sold");
        assertEq(seenAssets, debt);
        assertEq(seenCollateral, collateral);
        assertEq(seenPosition.borrowShares, 0);
        assertEq(seenPosition.collateral, 0);
        assertEq(loanToken.balanceOf(address(this)), 0);
    }

    function onPlimsollRepay(uint256 assets, bytes calldata data) external {
        seenData = data;
        seenAssets = assets;
        seenCollateral = collateralToken.balanceOf(address(this));
        seenPosition = plimsoll.position(id, BORROWER);
        loanToken.mint(address(this), assets);
    }
}
