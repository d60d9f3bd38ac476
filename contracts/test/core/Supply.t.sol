// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `supply`: shares rounded down, assets rounded up, for any account by any account.
contract SupplyTest is VerbTest {
    /// @dev A7
    function testFuzz_byAssets(MarketHistory memory history, uint256 assets) public {
        createHistory(history);
        assets = bound(assets, 1, 1e25);
        give(loanToken, STRANGER, assets);
        Balances memory b = balances();
        uint256 shares = down(assets, b.market.supplyShares + VIRTUAL_SHARES, b.market.supplyAssets + VIRTUAL_ASSETS);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.Supply(id, STRANGER, LENDER, assets, shares);
        vm.prank(STRANGER);
        (uint256 gotAssets, uint256 gotShares) = plimsoll.supply(params, assets, 0, LENDER, "");

        assertEq(gotAssets, assets);
        assertEq(gotShares, shares);
        assertBalances(supplied(b, assets, shares));
    }

    /// @dev A7
    function testFuzz_byShares(MarketHistory memory history, uint256 shares) public {
        createHistory(history);
        shares = bound(shares, 1, 1e30);
        give(loanToken, STRANGER, 1e34);
        Balances memory b = balances();
        uint256 assets = up(shares, b.market.supplyAssets + VIRTUAL_ASSETS, b.market.supplyShares + VIRTUAL_SHARES);

        expectAccrue();
        expectEvent();
        emit IPlimsoll.Supply(id, STRANGER, LENDER, assets, shares);
        vm.prank(STRANGER);
        (uint256 gotAssets, uint256 gotShares) = plimsoll.supply(params, 0, shares, LENDER, "");

        assertEq(gotAssets, assets);
        assertEq(gotShares, shares);
        assertBalances(supplied(b, assets, shares));
    }

    function supplied(Balances memory b, uint256 assets, uint256 shares) internal pure returns (Balances memory) {
        b.market.supplyAssets += assets;
        b.market.supplyShares += shares;
        b.lender.position.supplyShares += shares;
        b.stranger.loanTokens -= assets;
        b.core.loanTokens += assets;
        return b;
    }

    function test_theFirstSupplierGetsAMillionSharesForAUnit() public {
        assertEq(supply(LENDER, 1), 1e6);
        assertEq(supply(STRANGER, 2_500_000e6), 2_500_000e12);
    }

    /// @dev A7: what goes in comes out again, but for a unit.
    function testFuzz_roundTripCostsAtMostOneUnit(MarketHistory memory history, uint256 assets) public {
        createHistory(history);
        assets = bound(assets, 1, 1e25);
        uint256 shares = supply(STRANGER, assets);
        vm.prank(STRANGER);
        (uint256 back,) = plimsoll.withdraw(params, 0, shares, STRANGER, STRANGER);
        assertLe(back, assets);
        assertGe(back + 1, assets);
    }

    /// @dev L1
    function test_doesNotNeedTheOracle() public {
        createHistory();
        oracle.setBroken(true);
        supply(STRANGER, 1e6);
    }

    /* REFUSED */

    function test_refusesNoAmount() public {
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InconsistentInput.selector, 0, 0));
        plimsoll.supply(params, 0, 0, LENDER, "");
    }

    function testFuzz_refusesBothAmounts(uint256 assets, uint256 shares) public {
        assets = bound(assets, 1, type(uint256).max);
        shares = bound(shares, 1, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InconsistentInput.selector, assets, shares));
        plimsoll.supply(params, assets, shares, LENDER, "");
    }

    function testFuzz_refusesAmountsOver128Bits(uint256 amount) public {
        amount = bound(amount, MAX_AMOUNT + 1, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, amount));
        plimsoll.supply(params, amount, 0, LENDER, "");
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, amount));
        plimsoll.supply(params, 0, amount, LENDER, "");
    }

    /// @dev The most that a market can hold, and one share more.
    function test_refusesATotalOver128Bits() public {
        give(loanToken, LENDER, type(uint128).max);
        vm.startPrank(LENDER);
        plimsoll.supply(params, 0, MAX_SHARES, LENDER, "");
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, MAX_SHARES + 1));
        plimsoll.supply(params, 0, 1, LENDER, "");
    }

    /// @dev A1: after a total loss a unit is worth more shares than can be counted; none may be counted wrongly.
    function test_refusesMoreSharesThanFit() public {
        oracle.set(ORACLE_SCALE * 1e6);
        give(loanToken, LENDER, type(uint128).max);
        vm.prank(LENDER);
        plimsoll.supply(params, MAX_SHARES / 1e6, 0, LENDER, "");
        openLoan(BORROWER, 1e27, MAX_SHARES / 1e6);
        oracle.set(1);
        liquidate(BORROWER, 1);
        assertEq(plimsoll.market(id).supplyAssets, 0);

        give(loanToken, STRANGER, MAX_AMOUNT);
        vm.prank(STRANGER);
        uint256 totalShares = plimsoll.market(id).supplyShares;
        uint256 shares = MAX_AMOUNT * (totalShares + VIRTUAL_SHARES) + totalShares;
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, shares));
        plimsoll.supply(params, MAX_AMOUNT, 0, STRANGER, "");
    }

    function test_refusesTheZeroAddress() public {
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        plimsoll.supply(params, 1, 0, address(0), "");
    }

    function test_refusesAssetsWorthNoShare() public {
        createHistoryWithExpensiveShares();
        give(loanToken, STRANGER, 1);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 1));
        plimsoll.supply(params, 1, 0, STRANGER, "");
    }

    function test_refusesAPaymentThatFails() public {
        give(loanToken, STRANGER, 99);
        vm.prank(STRANGER);
        vm.expectRevert(
            abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, loanToken, STRANGER, address(plimsoll), 100)
        );
        plimsoll.supply(params, 100, 0, STRANGER, "");
    }

    function test_refusesAMarketThatIsNotThere() public {
        params.oracle = address(this);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, keccak256(abi.encode(params))));
        plimsoll.supply(params, 1, 0, LENDER, "");
    }
}
