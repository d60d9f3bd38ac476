// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `borrow`: shares rounded up, assets rounded down, up to the borrow LTV at the borrow price.
contract BorrowTest is VerbTest {
    /// @dev A7
    function testFuzz_byAssets(MarketHistory memory history, uint256 assets) public {
        Balances memory b = balancesOfANewBorrower(history);
        assets = bound(assets, MIN_DEBT, 1e26);
        uint256 shares = up(assets, b.market.borrowShares, b.market.borrowAssets);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.Borrow(id, LENDER, LENDER, STRANGER, assets, shares);
        vm.prank(LENDER);
        (uint256 gotAssets, uint256 gotShares) = plimsoll.borrow(params, assets, 0, LENDER, STRANGER);

        assertEq(gotAssets, assets);
        assertEq(gotShares, shares);
        assertBalances(borrowed(b, assets, shares));
    }

    /// @dev A7: the assets are rounded down, and then only the shares of those assets are added.
    function testFuzz_byShares(MarketHistory memory history, uint256 shares) public {
        Balances memory b = balancesOfANewBorrower(history);
        uint256 fewest = up(MIN_DEBT, b.market.borrowShares, b.market.borrowAssets);
        shares = bound(shares, fewest, fewest * 1e18);
        uint256 assets = down(shares, b.market.borrowAssets, b.market.borrowShares);
        uint256 taken = up(assets, b.market.borrowShares, b.market.borrowAssets);
        assertLe(taken, shares);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.Borrow(id, LENDER, LENDER, STRANGER, assets, taken);
        vm.prank(LENDER);
        (uint256 gotAssets, uint256 gotShares) = plimsoll.borrow(params, 0, shares, LENDER, STRANGER);

        assertEq(gotAssets, assets);
        assertEq(gotShares, taken);
        assertBalances(borrowed(b, assets, taken));
    }

    /// @dev The lender has collateral, too, and there is plenty to borrow; then time passes again.
    function balancesOfANewBorrower(MarketHistory memory history) internal returns (Balances memory) {
        createHistory(history);
        supplyCollateral(LENDER, 1e38);
        supply(OWNER, 1e29);
        skip(1 hours);
        return balances();
    }

    function borrowed(Balances memory b, uint256 assets, uint256 shares) internal pure returns (Balances memory) {
        b.market.borrowAssets += assets;
        b.market.borrowShares += shares;
        b.lender.position.borrowShares += shares;
        b.stranger.loanTokens += assets;
        b.core.loanTokens -= assets;
        return b;
    }

    function test_theFirstBorrowerOwesAMillionSharesForAUnit() public {
        supply(LENDER, 1_000e6);
        supplyCollateral(BORROWER, 1e18);
        assertEq(borrow(BORROWER, 500e6), 500e12);
    }

    function test_theFirstBorrowerByShares() public {
        supply(LENDER, 1_000e6);
        supplyCollateral(BORROWER, 1e18);
        vm.prank(BORROWER);
        (uint256 assets, uint256 shares) = plimsoll.borrow(params, 0, 500e12 + 999_999, BORROWER, BORROWER);
        assertEq(assets, 500e6);
        assertEq(shares, 500e12);
    }

    /* HEALTH */

    /// @dev H2: with all that is owed already, to the last unit that the collateral carries at the borrow price and the
    /// borrow LTV. The price for liquidation and the LTV for liquidation do not count.
    function testFuzz_upToTheBorrowLtv(uint256 collateral, uint256 price, uint256 first) public {
        price = bound(price, PRICE / 1e3, PRICE * 1e3);
        collateral = bound(collateral, 10 * uint256(MIN_DEBT) * ORACLE_SCALE / price, 1e30);
        oracle.setBoth(price * 2, price);
        uint256 maxDebt = down(down(collateral, price, ORACLE_SCALE), BORROW_LTV_BPS, BPS);
        first = bound(first, MIN_DEBT, maxDebt - 1);
        supply(LENDER, 1e32);
        supplyCollateral(BORROWER, collateral);
        borrow(BORROWER, first);

        vm.startPrank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, maxDebt + 1, maxDebt));
        plimsoll.borrow(params, maxDebt + 1 - first, 0, BORROWER, BORROWER);
        plimsoll.borrow(params, maxDebt - first, 0, BORROWER, BORROWER);
        assertEq(debtOf(BORROWER), maxDebt);
    }

    /// @dev H2: the fraction of a unit that one of two borrowers owes counts as a unit.
    function test_debtCountsRoundedUp() public {
        supply(LENDER, 1_000e6);
        openLoan(STRANGER, 1e18, 300e6);
        skip(10 days);
        openLoan(BORROWER, 1e18, 300e6);
        skip(10 days);
        Balances memory b = balances();
        uint256 shares = up(1, b.market.borrowShares, b.market.borrowAssets);
        uint256 held = b.borrower.position.borrowShares + shares;
        b.market.borrowShares += shares;
        b.market.borrowAssets += 1;
        assertGt(held * b.market.borrowAssets % b.market.borrowShares, 0);
        uint256 debt = owed(held, b.market);
        // The collateral carries a unit less.
        oracle.set(up(debt - 1, BPS, BORROW_LTV_BPS) * ORACLE_SCALE / 1e18);

        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, debt, debt - 1));
        plimsoll.borrow(params, 1, 0, BORROWER, BORROWER);
    }

    /// @dev H2: interest since the last update counts.
    function test_interestCountsTowardsTheDebt() public {
        supply(LENDER, 1_000e6);
        supplyCollateral(BORROWER, 1e18);
        borrow(BORROWER, 700e6);
        skip(365 days);
        uint256 debt = debtOf(BORROWER);
        assertGt(debt, 704e6);
        oracle.set(880e6 * ORACLE_SCALE / 1e18);

        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, debt + 1, 704e6));
        plimsoll.borrow(params, 1, 0, BORROWER, BORROWER);
    }

    /// @dev Supplied assets are no collateral.
    function test_suppliedTokensAreNoCollateral() public {
        supply(LENDER, 1_000e6);
        vm.prank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, 100e6, 0));
        plimsoll.borrow(params, 100e6, 0, LENDER, LENDER);
    }

    /* THE MINIMUM DEBT */

    /// @dev H5
    function test_minDebtAndOneUnitLess() public {
        supply(LENDER, 1_000e6);
        supplyCollateral(BORROWER, 1e18);
        vm.startPrank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.DebtTooSmall.selector, MIN_DEBT - 1, MIN_DEBT));
        plimsoll.borrow(params, MIN_DEBT - 1, 0, BORROWER, BORROWER);
        plimsoll.borrow(params, MIN_DEBT, 0, BORROWER, BORROWER);
        // It is the debt that counts, not what is added to it.
        plimsoll.borrow(params, 1, 0, BORROWER, BORROWER);
        assertEq(debtOf(BORROWER), MIN_DEBT + 1);
    }

    /* LIQUIDITY */

    /// @dev A2: what is not lent out may be borrowed, and not a unit more.
    function testFuzz_onlyUpToTheLiquidity(MarketHistory memory history, uint256 excess) public {
        createHistory(history);
        supply(STRANGER, MIN_DEBT);
        supplyCollateral(LENDER, 1e38);
        Balances memory b = balances();
        uint256 idle = b.market.supplyAssets - b.market.borrowAssets;
        excess = bound(excess, 1, MAX_AMOUNT - idle);

        vm.startPrank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientLiquidity.selector, idle + excess, idle));
        plimsoll.borrow(params, idle + excess, 0, LENDER, LENDER);
        plimsoll.borrow(params, idle, 0, LENDER, LENDER);
        assertEq(plimsoll.market(id).supplyAssets, plimsoll.market(id).borrowAssets);
    }

    /* RIGHTS */

    /// @dev I2
    function test_byAnAuthorisedAccount() public {
        createHistory();
        vm.prank(BORROWER);
        plimsoll.setAuthorization(STRANGER, vm.getBlockTimestamp());
        Balances memory b = balances();
        uint256 shares = up(1e6, b.market.borrowShares, b.market.borrowAssets);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.Borrow(id, STRANGER, BORROWER, STRANGER, 1e6, shares);
        vm.prank(STRANGER);
        plimsoll.borrow(params, 1e6, 0, BORROWER, STRANGER);
        assertEq(plimsoll.position(id, BORROWER).borrowShares, b.borrower.position.borrowShares + shares);
        assertEq(plimsoll.position(id, STRANGER).borrowShares, 0);
    }

    /// @dev I2, and attack 18: borrowing on behalf of another account needs its authorisation.
    function test_notByAStranger() public {
        createHistory();
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, STRANGER, BORROWER));
        plimsoll.borrow(params, 1e6, 0, BORROWER, STRANGER);
    }

    /* THE ORACLE */

    function test_aBrokenOracleStopsIt() public {
        createHistory();
        oracle.setBroken(true);
        vm.prank(BORROWER);
        vm.expectRevert(TestOracle.Broken.selector);
        plimsoll.borrow(params, 1, 0, BORROWER, BORROWER);
    }

    /// @dev A price of 0 never passes.
    function test_aPriceOfZeroStopsIt() public {
        createHistory();
        oracle.setBoth(PRICE, 0);
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.OraclePriceZero.selector, oracle));
        plimsoll.borrow(params, 1, 0, BORROWER, BORROWER);
    }

    /// @dev Whatever the price, up to the highest word, it neither wraps nor reverts.
    function testFuzz_anyPriceIsTaken(uint256 price) public {
        price = bound(price, PRICE, type(uint256).max);
        oracle.set(price);
        supply(LENDER, 1_000e6);
        openLoan(BORROWER, MAX_AMOUNT, 1_000e6);
        assertEq(debtOf(BORROWER), 1_000e6);
    }

    /* REFUSED */

    function testFuzz_refusesNoneOrBothAmounts(uint256 assets, uint256 shares) public {
        assets = bound(assets, 1, type(uint256).max);
        shares = bound(shares, 1, type(uint256).max);
        vm.startPrank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InconsistentInput.selector, 0, 0));
        plimsoll.borrow(params, 0, 0, BORROWER, BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InconsistentInput.selector, assets, shares));
        plimsoll.borrow(params, assets, shares, BORROWER, BORROWER);
    }

    function testFuzz_refusesAmountsOver128Bits(uint256 amount) public {
        amount = bound(amount, MAX_AMOUNT + 1, type(uint256).max);
        vm.startPrank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, amount));
        plimsoll.borrow(params, amount, 0, BORROWER, BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, amount));
        plimsoll.borrow(params, 0, amount, BORROWER, BORROWER);
    }

    function test_refusesSharesWorthNothing() public {
        createHistory();
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 1));
        plimsoll.borrow(params, 0, 1, BORROWER, BORROWER);
    }

    /// @dev A loan has at least a million shares, however dear they are.
    function test_refusesALoanOfFewShares() public {
        createHistoryWithExpensiveShares();
        Market memory m = accrued();
        uint256 least = down(MIN_SHARES - 1, m.borrowAssets, m.borrowShares) + 1;
        assertGt(least, MIN_DEBT);
        supplyCollateral(STRANGER, 1e18);
        vm.startPrank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, least - 1));
        plimsoll.borrow(params, least - 1, 0, STRANGER, STRANGER);
        plimsoll.borrow(params, least, 0, STRANGER, STRANGER);
        assertEq(plimsoll.position(id, STRANGER).borrowShares, MIN_SHARES);
    }

    function test_refusesTheZeroAddress() public {
        createHistory();
        vm.prank(BORROWER);
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        plimsoll.borrow(params, 1, 0, BORROWER, address(0));
    }

    function test_refusesAMarketThatIsNotThere() public {
        params.oracle = address(this);
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, keccak256(abi.encode(params))));
        plimsoll.borrow(params, 1, 0, BORROWER, BORROWER);
    }
}
