// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {CoreTest} from "../support/CoreTest.sol";

/// @notice Attack 18: debt and withdrawals on behalf of others, by authorisations and approvals that were meant for
/// something else or are no more.
contract RightsAttackTest is CoreTest {
    function setUp() public override {
        super.setUp();
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 10e18, 1_000e6);
        give(loanToken, BORROWER, 50_000e6);
        give(collateralToken, BORROWER, 50e18);
    }

    function testFuzz_attack18_debtOnBehalfNeedsAuthorisation(address caller, uint256 receiver) public {
        vm.assume(caller != BORROWER && caller != LENDER && caller != address(0));
        address to = address(uint160(bound(receiver, 1, type(uint160).max)));
        _assertUnauthorized(caller, BORROWER, abi.encodeCall(IPlimsoll.borrow, (params, 1e6, 0, BORROWER, to)));
        _assertUnauthorized(caller, BORROWER, abi.encodeCall(IPlimsoll.borrow, (params, 0, 1e12, BORROWER, to)));
        bytes memory collateral = abi.encodeCall(IPlimsoll.withdrawCollateral, (params, 1, BORROWER, to));
        _assertUnauthorized(caller, BORROWER, collateral);
        _assertUnauthorized(caller, LENDER, abi.encodeCall(IPlimsoll.withdraw, (params, 1, 0, LENDER, to)));
        _assertUnauthorized(caller, LENDER, abi.encodeCall(IPlimsoll.withdraw, (params, 0, 1, LENDER, to)));
        _assertUnauthorized(caller, LENDER, abi.encodeCall(IPlimsoll.transferSupply, (id, 1, LENDER, to)));
        bytes memory lowering = abi.encodeCall(IPlimsoll.deleverage, (params, 1e30, 1, BORROWER, to, ""));
        _assertUnauthorized(caller, BORROWER, lowering);
    }

    /// @dev Calls of others through the core's own multicall are theirs still.
    function test_attack18_multicallKeepsTheCaller() public {
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IPlimsoll.borrow, (params, 1e6, 0, BORROWER, STRANGER));
        _assertUnauthorized(STRANGER, BORROWER, abi.encodeCall(IPlimsoll.multicall, (calls)));
        bytes[] memory nested = new bytes[](1);
        nested[0] = abi.encodeCall(IPlimsoll.multicall, (calls));
        _assertUnauthorized(STRANGER, BORROWER, abi.encodeCall(IPlimsoll.multicall, (nested)));
    }

    function test_attack18_anAuthorisationEndsWithItsLastSecondAndWhenItIsTakenBack() public {
        bytes memory borrowing = abi.encodeCall(IPlimsoll.borrow, (params, 1e6, 0, BORROWER, STRANGER));
        uint256 expiry = vm.getBlockTimestamp() + 1 hours;
        vm.prank(BORROWER);
        plimsoll.setAuthorization(STRANGER, expiry);
        skip(1 hours);
        vm.prank(STRANGER);
        plimsoll.borrow(params, 1e6, 0, BORROWER, STRANGER);
        skip(1);
        _assertUnauthorized(STRANGER, BORROWER, borrowing);

        vm.startPrank(BORROWER);
        plimsoll.setAuthorization(STRANGER, type(uint256).max);
        plimsoll.setAuthorization(STRANGER, 0);
        vm.stopPrank();
        _assertUnauthorized(STRANGER, BORROWER, borrowing);
    }

    /// @dev Token approvals of the core cannot be used by other accounts: the core pulls tokens from its caller only.
    function test_attack18_approvalsToTheCoreCannotBeSpentByOthers() public {
        uint256 loans = loanToken.balanceOf(BORROWER);
        uint256 collateral = collateralToken.balanceOf(BORROWER);
        bytes[6] memory calls = [
            abi.encodeCall(IPlimsoll.supply, (params, 1e6, 0, BORROWER, "")),
            abi.encodeCall(IPlimsoll.supply, (params, 1e6, 0, STRANGER, "")),
            abi.encodeCall(IPlimsoll.supplyCollateral, (params, 1, BORROWER, "")),
            abi.encodeCall(IPlimsoll.repay, (params, 1e6, 0, BORROWER, "")),
            abi.encodeCall(IPlimsoll.depositCover, (address(loanToken), 1e6)),
            abi.encodeCall(IPlimsoll.flashLoan, (BORROWER, address(loanToken), 1e6, ""))
        ];
        vm.startPrank(STRANGER);
        for (uint256 i; i < calls.length; ++i) {
            (bool done,) = address(plimsoll).call(calls[i]);
            assertFalse(done, "somebody without tokens paid");
        }
        vm.stopPrank();
        assertEq(loanToken.balanceOf(BORROWER), loans);
        assertEq(collateralToken.balanceOf(BORROWER), collateral);
    }

    /// @dev A flash loan is pulled back from its receiver, which must return the hash that ERC-3156 requires. A
    /// contract that approved the core and accepts any call loses nothing by a loan that it did not request, since the
    /// loan is free.
    function test_attack18_aFlashLoanForcedOnSomebodyCostsThemNothing() public {
        AnyLoanBorrower obliging = new AnyLoanBorrower();
        give(loanToken, address(obliging), 1_000e6);
        vm.prank(STRANGER);
        plimsoll.flashLoan(address(obliging), address(loanToken), 500_000e6, "");
        assertEq(loanToken.balanceOf(address(obliging)), 1_000e6);
    }

    function _assertUnauthorized(address caller, address onBehalf, bytes memory call) private {
        vm.prank(caller);
        (bool done, bytes memory why) = address(plimsoll).call(call);
        assertFalse(done, "acted for another");
        assertEq(why, abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, caller, onBehalf));
    }
}

/// @notice Accepts every flash loan, whatever its initiator.
contract AnyLoanBorrower {
    function onFlashLoan(address, address, uint256, uint256, bytes calldata) external pure returns (bytes32) {
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }
}
