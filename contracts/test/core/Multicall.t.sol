// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `multicall`: several calls for the same caller, all or nothing.
contract MulticallTest is VerbTest {
    bytes[] internal calls;

    function test_aLoanFromNothingInOneCall() public {
        supply(LENDER, 1_000e6);
        give(collateralToken, BORROWER, 1e18);
        calls.push(abi.encodeCall(IPlimsoll.supplyCollateral, (params, 1e18, BORROWER, "")));
        calls.push(abi.encodeCall(IPlimsoll.borrow, (params, 500e6, 0, BORROWER, BORROWER)));

        vm.prank(BORROWER);
        bytes[] memory results = plimsoll.multicall(calls);
        assertEq(results.length, 2);
        assertEq(results[0], "");
        assertEq(results[1], abi.encode(500e6, 500e12));
        assertEq(plimsoll.position(id, BORROWER).collateral, 1e18);
        assertEq(loanToken.balanceOf(BORROWER), 500e6);
    }

    /// @dev If a later call reverts, so do the earlier ones; the error is passed on unchanged.
    function test_allOrNothing() public {
        createHistory();
        Balances memory b = balances();
        plimsoll.accrue(params);
        give(loanToken, STRANGER, 1e6);
        b.stranger.loanTokens = 1e6;
        calls.push(abi.encodeCall(IPlimsoll.supply, (params, 1e6, 0, STRANGER, "")));
        calls.push(abi.encodeCall(IPlimsoll.withdraw, (params, 1, 0, LENDER, STRANGER)));

        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, STRANGER, LENDER));
        plimsoll.multicall(calls);
        assertBalances(b);
    }

    /// @dev A reason of any length comes through; so does none.
    function test_aCallThatIsNotThere() public {
        calls.push(hex"deadbeef");
        vm.expectRevert(bytes(""));
        plimsoll.multicall(calls);
    }

    function test_insideAnother() public {
        give(loanToken, LENDER, 1e6);
        calls.push(abi.encodeCall(IPlimsoll.supply, (params, 1e6, 0, LENDER, "")));
        bytes[] memory outer = new bytes[](1);
        outer[0] = abi.encodeCall(IPlimsoll.multicall, (calls));
        vm.prank(LENDER);
        plimsoll.multicall(outer);
        assertEq(plimsoll.position(id, LENDER).supplyShares, 1e12);
    }

    function test_emptyListReturnsNothing() public {
        assertEq(plimsoll.multicall(calls).length, 0);
    }
}
