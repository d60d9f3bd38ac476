// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `repay`: shares rounded down, assets rounded up, at most the debt, for any account by any account.
contract RepayTest is VerbTest {
    /// @dev A7
    function testFuzz_byAssets(MarketHistory memory history, uint256 assets) public {
        createHistory(history);
        Balances memory b = balances();
        assets = bound(assets, 1, debt(b) - 1);
        uint256 shares = down(assets, b.market.borrowShares, b.market.borrowAssets);
        uint256 most = b.borrower.position.borrowShares - MIN_SHARES;
        if (shares > most) assertRepays(b, assets, 0, owed(most, b.market), most);
        else assertRepays(b, assets, 0, assets, shares);
    }

    /// @dev A7
    function testFuzz_byShares(MarketHistory memory history, uint256 shares) public {
        createHistory(history);
        Balances memory b = balances();
        shares = bound(shares, 1, b.borrower.position.borrowShares - MIN_SHARES);
        assertRepays(b, 0, shares, owed(shares, b.market), shares);
    }

    /// @dev A repayment that would leave between 0 and a million shares leaves a million.
    function testFuzz_inPartLeavesAMillionShares(MarketHistory memory history, uint256 excess) public {
        createHistory(history);
        Balances memory b = balances();
        uint256 most = b.borrower.position.borrowShares - MIN_SHARES;
        excess = bound(excess, 1, MIN_SHARES - 1);
        assertRepays(b, 0, most + excess, owed(most, b.market), most);
    }

    /// @dev A loan of a million shares is repaid whole or not at all.
    function test_refusesAPartOfALoanOfMinShares() public {
        createHistoryWithExpensiveShares();
        give(loanToken, STRANGER, type(uint128).max);
        uint256 most = plimsoll.position(id, BORROWER).borrowShares - MIN_SHARES;
        vm.startPrank(STRANGER);
        plimsoll.repay(params, 0, most, BORROWER, "");
        uint256 part = debtOf(BORROWER) - 1;
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, part));
        plimsoll.repay(params, part, 0, BORROWER, "");
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, MIN_SHARES - 1));
        plimsoll.repay(params, 0, MIN_SHARES - 1, BORROWER, "");
        plimsoll.repay(params, part + 1, 0, BORROWER, "");
        assertEq(plimsoll.position(id, BORROWER).borrowShares, 0);
    }

    /// @dev A liquidation leaves the minimum debt, however many shares that is. If they are less than a million, the
    /// debt is repaid wholly or not at all.
    function test_refusesAPartOfALoanBelowMinShares() public {
        createHistoryWithExpensiveShares();
        oracle.set(debtOf(BORROWER) * 103 / 100 * ORACLE_SCALE / 1e18);
        liquidate(BORROWER, debtOf(BORROWER) - 1);
        uint256 shares = plimsoll.position(id, BORROWER).borrowShares;
        assertLt(shares, MIN_SHARES);
        assertGt(shares, 0);
        give(loanToken, STRANGER, type(uint128).max);
        uint256 part = debtOf(BORROWER) / 2;
        vm.startPrank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, part));
        plimsoll.repay(params, part, 0, BORROWER, "");
        plimsoll.repay(params, 0, shares, BORROWER, "");
        assertEq(plimsoll.position(id, BORROWER).borrowShares, 0);
    }

    /// @dev More than is owed is all that is owed, A3: whatever the amount, no share is left without debt.
    function testFuzz_allAndMoreByAssets(MarketHistory memory history, uint256 assets) public {
        createHistory(history);
        Balances memory b = balances();
        assets = bound(assets, debt(b), type(uint256).max);
        assertRepays(b, assets, 0, debt(b), b.borrower.position.borrowShares);
        assertEq(plimsoll.position(id, BORROWER).borrowShares, 0);
    }

    function testFuzz_allAndMoreByShares(MarketHistory memory history, uint256 shares) public {
        createHistory(history);
        Balances memory b = balances();
        shares = bound(shares, b.borrower.position.borrowShares, type(uint256).max);
        assertRepays(b, 0, shares, debt(b), b.borrower.position.borrowShares);
        assertEq(plimsoll.position(id, BORROWER).borrowShares, 0);
    }

    function testFuzz_exactlyAll(MarketHistory memory history, bool byShares) public {
        createHistory(history);
        Balances memory b = balances();
        uint256 shares = b.borrower.position.borrowShares;
        assertRepays(b, byShares ? 0 : debt(b), byShares ? shares : 0, debt(b), shares);
    }

    /// @dev The stranger pays for the borrower: given these amounts, these are taken.
    function assertRepays(Balances memory b, uint256 assets, uint256 shares, uint256 paid, uint256 paidShares)
        internal
    {
        give(loanToken, STRANGER, paid);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.Repay(id, STRANGER, BORROWER, paid, paidShares);
        vm.prank(STRANGER);
        (uint256 gotAssets, uint256 gotShares) = plimsoll.repay(params, assets, shares, BORROWER, "");

        assertEq(gotAssets, paid);
        assertEq(gotShares, paidShares);
        b.market.borrowShares -= paidShares;
        uint256 lowest = up(b.market.borrowShares, 1, 1e6);
        b.market.borrowAssets -= paid;
        if (b.market.borrowAssets < lowest) b.market.borrowAssets = lowest;
        b.borrower.position.borrowShares -= paidShares;
        b.core.loanTokens += paid;
        assertBalances(b);
    }

    function debt(Balances memory b) internal pure returns (uint256) {
        return owed(b.borrower.position.borrowShares, b.market);
    }

    /// @dev A3: a share is never worth less than a millionth of a unit. Where the unit by which a payment is rounded up
    /// would make it so, it is paid for nothing.
    function test_aShareKeepsItsLowestPrice() public {
        supply(LENDER, 1_000e6);
        openLoan(BORROWER, 1e18, 100e6);
        give(loanToken, STRANGER, 100e6 + 2);
        vm.startPrank(STRANGER);
        (uint256 assets,) = plimsoll.repay(params, 0, 1, BORROWER, "");
        assertEq(assets, 1);
        assertEq(plimsoll.market(id).borrowShares, 100e12 - 1);
        assertEq(plimsoll.market(id).borrowAssets, 100e6);

        plimsoll.repay(params, 0, 1e6, BORROWER, "");
        assertEq(plimsoll.market(id).borrowAssets, 100e6 - 1);

        (assets,) = plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertEq(assets, 100e6 - 1);
        assertEq(plimsoll.market(id).borrowAssets, 0);
        assertEq(plimsoll.market(id).borrowShares, 0);
    }

    /// @dev H5 does not hold after a repayment, on purpose: otherwise one could block it by repaying a little.
    function test_mayLeaveLessThanMinDebt() public {
        supply(LENDER, 1_000e6);
        openLoan(BORROWER, 1e18, MIN_DEBT);
        vm.prank(BORROWER);
        loanToken.approve(address(plimsoll), type(uint256).max);
        vm.prank(BORROWER);
        plimsoll.repay(params, MIN_DEBT - 1, 0, BORROWER, "");
        assertEq(debtOf(BORROWER), 1);
    }

    /// @dev L2
    function testFuzz_inFullWhateverWasRepaidAhead(MarketHistory memory history, uint256 ahead) public {
        createHistory(history);
        uint256 whole = debtOf(BORROWER);
        ahead = bound(ahead, 1, whole);
        give(loanToken, LIQUIDATOR, whole);
        vm.prank(LIQUIDATOR);
        (uint256 paid,) = plimsoll.repay(params, ahead, 0, BORROWER, "");

        give(loanToken, STRANGER, whole);
        vm.prank(STRANGER);
        plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertEq(plimsoll.position(id, BORROWER).borrowShares, 0);
        // Nobody pays more than what was owed, but for the unit by which the first payment is rounded.
        assertLe(whole - loanToken.balanceOf(STRANGER), whole - paid + 1);
    }

    /// @dev L2: where nothing is owed any more nothing is taken, and nothing fails.
    function test_withoutDebtNothingIsRepaid() public {
        createHistory();
        Balances memory b = balances();
        expectAccrue();
        expectEvent();
        emit IPlimsoll.Repay(id, STRANGER, LENDER, 0, 0);
        vm.startPrank(STRANGER);
        (uint256 assets, uint256 shares) = plimsoll.repay(params, 0, type(uint256).max, LENDER, "");
        assertEq(assets, 0);
        assertEq(shares, 0);
        (assets, shares) = plimsoll.repay(params, 1, 0, LENDER, "");
        assertEq(assets, 0);
        assertEq(shares, 0);
        assertBalances(b);
    }

    /// @dev L1
    function test_doesNotNeedTheOracle() public {
        createHistory();
        oracle.setBroken(true);
        give(loanToken, STRANGER, debtOf(BORROWER));
        vm.prank(STRANGER);
        plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertEq(plimsoll.position(id, BORROWER).borrowShares, 0);
    }

    /* REFUSED */

    function testFuzz_refusesNoneOrBothAmounts(uint256 assets, uint256 shares) public {
        assets = bound(assets, 1, type(uint256).max);
        shares = bound(shares, 1, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InconsistentInput.selector, 0, 0));
        plimsoll.repay(params, 0, 0, BORROWER, "");
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InconsistentInput.selector, assets, shares));
        plimsoll.repay(params, assets, shares, BORROWER, "");
    }

    function test_refusesAssetsWorthNoShare() public {
        createHistoryWithExpensiveShares();
        give(loanToken, STRANGER, 1);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 1));
        plimsoll.repay(params, 1, 0, BORROWER, "");
    }

    function test_refusesAPaymentThatFails() public {
        createHistory();
        give(loanToken, STRANGER, 99);
        vm.prank(STRANGER);
        vm.expectRevert(
            abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, loanToken, STRANGER, address(plimsoll), 100)
        );
        plimsoll.repay(params, 100, 0, BORROWER, "");
    }

    function test_refusesAMarketThatIsNotThere() public {
        params.oracle = address(this);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, keccak256(abi.encode(params))));
        plimsoll.repay(params, 1, 0, BORROWER, "");
    }
}
