// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of views: they never revert (L3), and return 0 for markets and accounts that do not exist.
contract ViewsTest is VerbTest {
    function testFuzz_nothingWhereThereIsNothing(MarketId nowhere, address account, address token) public view {
        vm.assume(MarketId.unwrap(nowhere) != MarketId.unwrap(id));
        Market memory m;
        assertMarket(plimsoll.market(nowhere), m);
        MarketParams memory none;
        assertEq(abi.encode(plimsoll.marketParams(nowhere)), abi.encode(none));
        Position memory empty;
        assertEq(abi.encode(plimsoll.position(nowhere, account)), abi.encode(empty));
        assertEq(plimsoll.feeRecipient(nowhere), address(0));
        assertEq(plimsoll.backstop(nowhere), address(0));
        assertEq(plimsoll.cover(account, token), 0);
        assertEq(plimsoll.coverLimit(account, nowhere), 0);
        assertEq(plimsoll.authorizationExpiry(account, token), 0);
        assertEq(plimsoll.nonce(account), 0);
    }

    /// @dev L3
    function testFuzz_maxFlashLoanOfAnything(address token) public view {
        vm.assume(token != address(vm));
        plimsoll.maxFlashLoan{gas: 1_000_000}(token);
    }

    /// @dev L3: a precompile may use up all gas that it is given.
    function test_maxFlashLoanOfAPrecompile() public view {
        for (uint160 i = 1; i < 20; ++i) {
            plimsoll.maxFlashLoan{gas: 1_000_000}(address(i));
        }
    }

    /// @dev A market is shown as of its last update; time alone does not change it.
    function test_aMarketAsOfItsLastUpdate() public {
        createHistory();
        Market memory before = plimsoll.market(id);
        skip(1 days);
        assertMarket(plimsoll.market(id), before);
    }

    function test_aPosition() public {
        supply(BORROWER, 1_000e6);
        openLoan(BORROWER, 1e18, 500e6);
        Position memory p = plimsoll.position(id, BORROWER);
        assertEq(p.supplyShares, 1_000e12);
        assertEq(p.borrowShares, 500e12);
        assertEq(p.collateral, 1e18);
    }
}
