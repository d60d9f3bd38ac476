// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `transferSupply`: supply shares move from one position to another, and nothing else moves.
contract TransferSupplyTest is VerbTest {
    function testFuzz_movesSharesAndNothingElse(MarketHistory memory history, uint256 shares) public {
        createHistory(history);
        Balances memory b = balances();
        b.market = plimsoll.market(id);
        shares = bound(shares, 1, b.lender.position.supplyShares);
        vm.recordLogs();
        expectEvent();
        emit IPlimsoll.TransferSupply(id, LENDER, LENDER, STRANGER, shares);
        vm.prank(LENDER);
        plimsoll.transferSupply(id, shares, LENDER, STRANGER);

        assertNoAccrual();
        b.lender.position.supplyShares -= shares;
        b.stranger.position.supplyShares += shares;
        assertBalances(b);
    }

    /// @dev L1: with everything lent, the oracle broken and the tokens frozen.
    function test_L1_needsNeitherLiquidityNorOracleNorTokens() public {
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 10_000e18, 1_000_000e6);
        oracle.setBroken(true);
        vm.etch(address(loanToken), hex"fe");
        vm.etch(address(collateralToken), hex"fe");
        uint256 shares = plimsoll.position(id, LENDER).supplyShares;
        vm.prank(LENDER);
        plimsoll.transferSupply(id, shares, LENDER, STRANGER);
        assertEq(plimsoll.position(id, LENDER).supplyShares, 0);
        assertEq(plimsoll.position(id, STRANGER).supplyShares, shares);
    }

    /// @dev The receiver withdraws what it was given, interest included.
    function test_theReceiverOwnsThem() public {
        createHistory();
        uint256 worth = suppliedBy(LENDER);
        uint256 shares = plimsoll.position(id, LENDER).supplyShares;
        vm.prank(LENDER);
        plimsoll.transferSupply(id, shares / 4, LENDER, STRANGER);
        vm.prank(STRANGER);
        (uint256 assets,) = plimsoll.withdraw(params, 0, shares / 4, STRANGER, STRANGER);
        assertApproxEqAbs(assets, worth / 4, 1);
    }

    function test_toOneselfChangesNothing() public {
        uint256 shares = supply(LENDER, 1_000e6);
        vm.prank(LENDER);
        plimsoll.transferSupply(id, shares, LENDER, LENDER);
        assertEq(plimsoll.position(id, LENDER).supplyShares, shares);
    }

    function testFuzz_notMoreThanIsHeld(uint256 shares) public {
        uint256 held = supply(LENDER, 1_000e6);
        shares = bound(shares, held + 1, type(uint256).max);
        vm.prank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientSupplyShares.selector, shares, held));
        plimsoll.transferSupply(id, shares, LENDER, STRANGER);
        // A market that does not exist has no shares.
        vm.prank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientSupplyShares.selector, 1, 0));
        plimsoll.transferSupply(MarketId.wrap(0), 1, LENDER, STRANGER);
    }

    function test_refusesNothingAndNobody() public {
        uint256 held = supply(LENDER, 1_000e6);
        vm.startPrank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 0));
        plimsoll.transferSupply(id, 0, LENDER, STRANGER);
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        plimsoll.transferSupply(id, held, LENDER, address(0));
    }

    /// @dev I2
    function test_I2_onlyTheOwnerOrWhomItAuthorised() public {
        uint256 held = supply(LENDER, 1_000e6);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, STRANGER, LENDER));
        plimsoll.transferSupply(id, held, LENDER, STRANGER);

        vm.prank(LENDER);
        plimsoll.setAuthorization(STRANGER, vm.getBlockTimestamp());
        vm.prank(STRANGER);
        plimsoll.transferSupply(id, held, LENDER, BORROWER);
        assertEq(plimsoll.position(id, BORROWER).supplyShares, held);
    }

    /// @dev Shares of one market do not become shares of another.
    function test_I1_onlyInItsMarket() public {
        supply(LENDER, 1_000e6);
        MarketId first = id;
        params.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT + 1);
        id = plimsoll.createMarket(params);
        vm.prank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientSupplyShares.selector, 1, 0));
        plimsoll.transferSupply(id, 1, LENDER, STRANGER);
        assertEq(plimsoll.position(first, LENDER).supplyShares, 1_000e12);
    }
}
