// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {GuardTest} from "./GuardTest.sol";

/// @title Tests of executions at the edges of what an order permits.
contract GuardEdgesTest is GuardTest {
    /// @dev Also where no collateral is sold, so that the core is not asked about the receiver.
    function test_theZeroReceiverIsRefusedWithOwnTokensAlone() public {
        IGuard.Order memory order = _free(type(uint96).max);
        _open(order);
        vm.expectRevert(IGuard.ZeroAddress.selector);
        guard.execute(params, BORROWER, IGuard.Kind.Protect, 0, address(0), "");
        guard.execute(params, BORROWER, IGuard.Kind.Protect, 0, RECEIVER, "");
    }

    function test_anExecutionIsReportedAsItReturns() public {
        _open(protection());
        uint256 snapshot = vm.snapshotState();
        IGuard.Execution memory execution = executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        vm.revertToState(snapshot);
        vm.expectEmit(address(guard));
        emit IGuard.ExecuteOrder(id, BORROWER, IGuard.Kind.Protect, address(executor), RECEIVER, execution, 2);
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
    }

    /// @dev Nobody has updated the market for most of a year; the amounts are those of an updated one.
    function test_G3_interestOfThisSecondIsRepaid() public {
        IGuard.Order memory order = protection();
        order.expiry = uint40(vm.getBlockTimestamp() + 365 days);
        _open(order);
        skip(360 days);
        uint256 snapshot = vm.snapshotState();
        plimsoll.accrue(params);
        IGuard.Execution memory updated = executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        vm.revertToState(snapshot);
        IGuard.Execution memory execution = executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        assertEq(abi.encode(execution), abi.encode(updated));
    }

    /// @dev Without a premium a single unit pays for itself.
    function test_G1_aSingleUnitOfOwnTokensIsUsed() public {
        _open(_free(1));
        assertEq(executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER).own, 1);
    }

    function test_G1_noUnitOfOwnTokensIsUsedWithoutConsent() public {
        _open(_free(0));
        assertEq(executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER).own, 0);
    }

    /// @dev An order that was cancelled with all others, after an execution, has no last execution.
    function test_G5_anOrderThatThereIsNotWasNeverExecuted() public {
        (, uint256 last) = guard.order(STRANGER, id, IGuard.Kind.Protect);
        assertEq(last, 0);
        _open(protection());
        execute(IGuard.Kind.Protect);
        (, last) = guard.order(BORROWER, id, IGuard.Kind.Protect);
        assertEq(last, vm.getBlockTimestamp());
        vm.prank(BORROWER);
        guard.cancelAll();
        (, last) = guard.order(BORROWER, id, IGuard.Kind.Protect);
        assertEq(last, 0);
    }

    /// @dev Own tokens up to this amount, without premium and tip.
    function _free(uint96 maxOwn) private view returns (IGuard.Order memory order) {
        order = protection();
        (order.premiumStartPpm, order.premiumEndPpm, order.maxOwn) = (0, 0, maxOwn);
    }

    /// @dev A loan above its trigger, of an account with tokens and an allowance.
    function _open(IGuard.Order memory order) private {
        openLoan(BORROWER, 10e18, 15_000e6);
        place(IGuard.Kind.Protect, order);
        loanToken.mint(BORROWER, 10_000e6);
        vm.prank(BORROWER);
        loanToken.approve(address(guard), type(uint256).max);
        oracle.set(PRICE * 95 / 100);
    }
}
