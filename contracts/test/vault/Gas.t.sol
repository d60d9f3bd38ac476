// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {console} from "forge-std/Test.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title Gas of a depositor's transactions, intrinsic gas and refunds included: each call is a transaction of its own,
/// with cold slots.
contract VaultGasTest is VaultFixture {
    struct Gas {
        uint256 deposit;
        uint256 withdraw;
    }

    /// forge-config: default.isolate = true
    function test_gasWithAFee() public {
        _requireWithin(156_000, 140_000);
    }

    /// forge-config: default.isolate = true
    function test_gasWithoutAFee() public {
        vm.prank(OWNER);
        vault.setFee(0);
        _requireWithin(146_000, 130_000);
    }

    function _requireWithin(uint256 mostOfADeposit, uint256 mostOfAWithdrawal) private {
        deposit(ALICE, 1_000_000e6);
        deposit(BOB, 1_000_000e6);
        fund(BOB, 1_000_000e6);
        takeLoan(0, 500_000e6);
        // So that the fee recipient has shares.
        skip(1 hours);
        vault.accrue();
        Gas memory one = _measure();
        move(0, 1, 200_000e6);
        takeLoan(1, 100_000e6);
        Gas memory two = _measure();
        move(0, 2, 200_000e6);
        takeLoan(2, 100_000e6);
        Gas memory three = _measure();
        console.log("deposit", one.deposit, two.deposit, three.deposit);
        console.log("withdraw", one.withdraw, two.withdraw, three.withdraw);
        assertGt(one.deposit, 80_000, "measured as a transaction");
        assertLe(one.deposit, mostOfADeposit, "deposit");
        assertLe(one.withdraw, mostOfAWithdrawal, "withdrawal");
        assertLe(two.deposit - one.deposit, 12_500, "deposit, a second market");
        assertLe(three.deposit - two.deposit, 12_500, "deposit, a third market");
        assertLe(two.withdraw - one.withdraw, 12_500, "withdrawal, a second market");
        assertLe(three.withdraw - two.withdraw, 12_500, "withdrawal, a third market");
    }

    function _measure() private returns (Gas memory used) {
        skip(1 hours);
        vm.prank(BOB);
        shares.deposit(1_000e6, BOB);
        used.deposit = _lastGas();
        skip(1 hours);
        vm.prank(BOB);
        shares.withdraw(1_000e6, BOB, BOB);
        used.withdraw = _lastGas();
    }

    /// @dev Refunds are subtracted already, as in a receipt.
    function _lastGas() private view returns (uint256) {
        return vm.lastCallGas().gasTotalUsed;
    }
}
