// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IBrake} from "plimsoll/interfaces/IBrake.sol";
import {BackstopTest} from "../backstop/BackstopTest.sol";

/// @notice Shares of a backstop in a brake: they go on to pay for losses, and are in no cooldown.
contract BackstopBrakeTest is BackstopTest {
    IBrake private brake;

    function setUp() public override {
        super.setUp();
        string memory artifact = "node_modules/@openzeppelin/contracts/build/contracts/AccessManager.json";
        IAccessManager manager = IAccessManager(deployCode(artifact, abi.encode(address(this))));
        brake = IBrake(deployCode("Brake.sol:Brake", abi.encode(manager, vault, 1e6)));
    }

    function lock(address who, uint256 shares) private {
        vm.startPrank(who);
        vault.approve(address(brake), shares);
        brake.lock(shares);
        vm.stopPrank();
    }

    function test_lockedSharesLeaveTheirCooldownAndPayForLosses() public {
        uint256 shares = deposit(ALICE, 1_000e6);
        openWindow(ALICE, shares);
        assertGt(vault.maxRedeem(ALICE), 0);
        lock(ALICE, shares);
        assertEq(vault.maxRedeem(ALICE), 0);
        uint256 before = vault.convertToAssets(shares);
        realiseLoss(500e6);
        assertLt(vault.convertToAssets(shares), before);
        skip(14 days);
        vm.prank(ALICE);
        brake.unlock(shares, ALICE);
        // Who gets them back waits as if they were new.
        assertEq(vault.maxRedeem(ALICE), 0);
        openWindow(ALICE, shares);
        assertGt(redeem(ALICE, shares), 0);
    }
}
