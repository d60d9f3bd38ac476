// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {GuardHandler} from "./GuardHandler.sol";
import {GuardTest} from "./GuardTest.sol";

/// @title Invariants of the guard after any history of orders, loans, prices and executions. The handler checks each
/// execution by the rules of `GuardRules`.
contract GuardInvariants is GuardTest {
    GuardHandler private handler;

    function setUp() public override {
        super.setUp();
        handler = new GuardHandler(plimsoll, guard, params, id);
        targetContract(address(handler));
    }

    function invariant_G5_G7_ordersAndBalances() public view {
        for (uint256 i; i < 3; ++i) {
            for (uint256 kind; kind < 3; ++kind) {
                assertTrue(handler.agrees(handler.accounts(i), IGuard.Kind(kind)));
            }
        }
        assertEq(loanToken.allowance(address(guard), address(plimsoll)), 0);
        assertEq(collateralToken.allowance(address(guard), address(plimsoll)), 0);
    }

    /// @dev One fixed history, which must reach what the invariants are about.
    function test_theHandlerReachesExecutions() public {
        uint256 seed = 1;
        for (uint256 i; i < 600; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            (uint256 a, uint256 b, uint256 c) = (seed >> 16, seed >> 48, seed >> 96);
            uint256 action = seed % 16;
            if (action < 3 || action == 12) {
                handler.place(a, b, uint16(c), uint16(c >> 16), uint16(c >> 32), uint96(c >> 48));
            } else if (action < 5 || action == 13) {
                handler.executeAtItsTrigger(a, b, c);
            } else if (action == 5) {
                handler.execute(a, b);
            } else if (action == 6 || action > 13) {
                handler.borrow(a, b);
            } else if (action == 7) {
                handler.movePrice(a);
            } else if (action == 8) {
                handler.pass(a);
            } else if (action == 9) {
                handler.giveOwnTokens(a, uint96(b), uint96(c));
            } else if (action == 10) {
                handler.repay(a, b);
            } else if (c % 8 == 0) {
                handler.toggleBorrowPrice();
            } else {
                handler.donate(a, b);
            }
        }
        invariant_G5_G7_ordersAndBalances();
        assertGt(handler.executions(), 20, "executions");
        assertGt(handler.ownExecutions(), 5, "executions with own tokens");
        assertGt(handler.refusals(), 20, "refusals");
    }
}
