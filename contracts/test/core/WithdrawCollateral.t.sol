// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `withdrawCollateral`: the remaining collateral must cover the debt at the borrow LTV and borrow
/// price.
contract WithdrawCollateralTest is VerbTest {
    /// @dev L1: without debt neither interest nor the oracle matters.
    function testFuzz_withoutDebt(MarketHistory memory history, uint256 held, uint256 assets) public {
        createHistory(history);
        held = bound(held, 1, MAX_AMOUNT);
        assets = bound(assets, 1, held);
        supplyCollateral(LENDER, held);
        oracle.setBroken(true);
        Balances memory b = balances();
        b.market = plimsoll.market(id);

        vm.recordLogs();
        expectEvent();
        emit IPlimsoll.WithdrawCollateral(id, LENDER, LENDER, STRANGER, assets);
        vm.prank(LENDER);
        plimsoll.withdrawCollateral(params, assets, LENDER, STRANGER);

        assertNoAccrual();
        assertBalances(withdrawnBy(b, b.lender, assets));
    }

    /// @dev H2: down to the last unit of collateral that the debt, with its interest, needs, and not beyond. The price
    /// for liquidation and the LTV for liquidation do not count.
    function testFuzz_withDebtOnlyTheExcessCollateral(MarketHistory memory history, uint256 price) public {
        createHistory(history);
        price = bound(price, PRICE, PRICE * 1e6);
        oracle.setBoth(price * 2, price);
        Balances memory b = balances();
        uint256 debt = owed(b.borrower.position.borrowShares, b.market);
        // value × LTV ≥ debt, value = ⌊collateral × price⌋
        uint256 needed = up(up(debt, BPS, BORROW_LTV_BPS), ORACLE_SCALE, price);
        supplyCollateral(BORROWER, needed);
        b = balances();
        uint256 free = b.borrower.position.collateral - needed;

        uint256 maxDebt = down(down(needed - 1, price, ORACLE_SCALE), BORROW_LTV_BPS, BPS);
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, debt, maxDebt));
        plimsoll.withdrawCollateral(params, free + 1, BORROWER, STRANGER);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.WithdrawCollateral(id, BORROWER, BORROWER, STRANGER, free);
        vm.prank(BORROWER);
        plimsoll.withdrawCollateral(params, free, BORROWER, STRANGER);
        assertBalances(withdrawnBy(b, b.borrower, free));
    }

    /// @dev H2: the fraction of a unit that one of two borrowers owes counts as a unit.
    function test_debtCountsRoundedUp() public {
        supply(LENDER, 1_000e6);
        openLoan(STRANGER, 1e18, 300e6);
        skip(10 days);
        openLoan(BORROWER, 1e18 + 1, 300e6);
        skip(10 days);
        Balances memory b = balances();
        assertGt(b.borrower.position.borrowShares * b.market.borrowAssets % b.market.borrowShares, 0);
        uint256 debt = owed(b.borrower.position.borrowShares, b.market);
        // 1e18 of collateral carries a unit less.
        oracle.set(up(debt - 1, BPS, BORROW_LTV_BPS) * ORACLE_SCALE / 1e18);

        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, debt, debt - 1));
        plimsoll.withdrawCollateral(params, 1, BORROWER, BORROWER);
    }

    /// @dev H5: a repayment may leave less than the minimum debt, but then the collateral stays: not even the smallest
    /// part of it can be withdrawn until the debt is repaid, or is the minimum again.
    function test_H5_aDebtBelowTheMinimumKeepsItsCollateral() public {
        supply(LENDER, 1_000e6);
        openLoan(BORROWER, 1e18, MIN_DEBT);
        give(loanToken, BORROWER, 1_000e6);
        vm.startPrank(BORROWER);
        plimsoll.repay(params, 1, 0, BORROWER, "");
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.DebtTooSmall.selector, MIN_DEBT - 1, MIN_DEBT));
        plimsoll.withdrawCollateral(params, 1, BORROWER, BORROWER);

        uint256 snapshot = vm.snapshotState();
        plimsoll.borrow(params, 1, 0, BORROWER, BORROWER);
        plimsoll.withdrawCollateral(params, 0.9e18, BORROWER, BORROWER);
        vm.revertToState(snapshot);
        plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        plimsoll.withdrawCollateral(params, 1e18, BORROWER, BORROWER);
        vm.stopPrank();
    }

    function withdrawnBy(Balances memory b, Holdings memory who, uint256 assets)
        internal
        pure
        returns (Balances memory)
    {
        who.position.collateral -= assets;
        b.stranger.collateralTokens += assets;
        b.core.collateralTokens -= assets;
        return b;
    }

    /// @dev A loan that became unsafe cannot be made worse, even by one unit.
    function test_nothingFromAnUnsafeLoan() public {
        supply(LENDER, 1_000e6);
        openLoan(BORROWER, 1e18, 1_000e6);
        oracle.set(1_200e6 * ORACLE_SCALE / 1e18);
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, 1_000e6, 960e6 - 1));
        plimsoll.withdrawCollateral(params, 1, BORROWER, BORROWER);
    }

    function testFuzz_notMoreThanIsThere(uint256 held, uint256 assets) public {
        held = bound(held, 1, MAX_AMOUNT);
        assets = bound(assets, held + 1, type(uint256).max);
        supplyCollateral(BORROWER, held);
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientCollateral.selector, assets, held));
        plimsoll.withdrawCollateral(params, assets, BORROWER, BORROWER);
    }

    /* RIGHTS */

    /// @dev I2
    function test_byAnAuthorisedAccount() public {
        supplyCollateral(BORROWER, 1e18);
        vm.prank(BORROWER);
        plimsoll.setAuthorization(LIQUIDATOR, vm.getBlockTimestamp());
        Balances memory b = balances();
        expectEvent();
        emit IPlimsoll.WithdrawCollateral(id, LIQUIDATOR, BORROWER, STRANGER, 1e18);
        vm.prank(LIQUIDATOR);
        plimsoll.withdrawCollateral(params, 1e18, BORROWER, STRANGER);
        assertBalances(withdrawnBy(b, b.borrower, 1e18));
    }

    /// @dev I2
    function test_notByAStranger() public {
        supplyCollateral(BORROWER, 1e18);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, STRANGER, BORROWER));
        plimsoll.withdrawCollateral(params, 1, BORROWER, STRANGER);
    }

    /* THE ORACLE */

    function test_withDebtABrokenOracleStopsIt() public {
        createHistory();
        oracle.setBroken(true);
        vm.prank(BORROWER);
        vm.expectRevert(TestOracle.Broken.selector);
        plimsoll.withdrawCollateral(params, 1, BORROWER, BORROWER);
    }

    /// @dev A price of 0 never passes.
    function test_withDebtAPriceOfZeroStopsIt() public {
        createHistory();
        oracle.setBoth(PRICE, 0);
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.OraclePriceZero.selector, oracle));
        plimsoll.withdrawCollateral(params, 1, BORROWER, BORROWER);
    }

    /* REFUSED */

    function test_refusesNoAmount() public {
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 0));
        plimsoll.withdrawCollateral(params, 0, BORROWER, BORROWER);
    }

    function test_refusesTheZeroAddress() public {
        supplyCollateral(BORROWER, 1e18);
        vm.prank(BORROWER);
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        plimsoll.withdrawCollateral(params, 1, BORROWER, address(0));
    }

    function test_refusesAMarketThatIsNotThere() public {
        params.oracle = address(this);
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientCollateral.selector, 1, 0));
        plimsoll.withdrawCollateral(params, 1, BORROWER, BORROWER);
    }
}
