// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {GuardTest} from "./GuardTest.sol";

/// @title Gas of placing and executing an order.
contract GuardGasTest is GuardTest {
    /// @dev Upper bounds, without a transaction's own 21,000 and without an exchange.
    function test_placingAndExecutingCost() public {
        openLoan(BORROWER, 10e18, 15_000e6);
        skip(1 hours);
        IGuard.Order memory order = protection();
        _cool();
        vm.prank(BORROWER);
        uint256 start = gasleft();
        guard.place(id, IGuard.Kind.Protect, order);
        uint256 placing = start - gasleft();
        loanToken.mint(STRANGER, 15_000e6);
        vm.prank(STRANGER);
        loanToken.approve(address(guard), type(uint256).max);
        oracle.set(PRICE * 95 / 100);
        _cool();
        vm.prank(STRANGER);
        start = gasleft();
        guard.execute(params, BORROWER, IGuard.Kind.Protect, 0, RECEIVER, "");
        uint256 executing = start - gasleft();
        emit log_named_uint("place", placing);
        emit log_named_uint("execute", executing);
        assertLt(placing, 85_000);
        assertLt(executing, 200_000);
    }

    /// @dev Slots as they are at the beginning of a transaction. The cheat is missing in the interface of `vm`.
    function _cool() private {
        address[4] memory touched = [address(guard), address(plimsoll), address(loanToken), address(collateralToken)];
        for (uint256 i; i < touched.length; ++i) {
            (bool done,) = address(vm).call(abi.encodeWithSignature("cool(address)", touched[i]));
            require(done, "cool");
        }
    }
}
