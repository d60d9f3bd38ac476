// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IBrake} from "plimsoll/interfaces/IBrake.sol";
import {GovernanceFixture} from "./GovernanceFixture.sol";

/// @notice What transactions that brake cost at most, in a run with `--isolate`.
contract BrakeGasTest is GovernanceFixture {
    function test_gasOfALockAndOfAnOppositionThatCancels() public {
        vm.startPrank(ALICE);
        shares.approve(address(brake), type(uint256).max);
        brake.lock(shares.balanceOf(ALICE));
        assertLe(vm.lastCallGas().gasTotalUsed, 80_000);
        vm.stopPrank();
        schedule(address(plimsoll), raise(), MONEY_DELAY);
        skip(1);
        IBrake.Operation[] memory list = new IBrake.Operation[](1);
        list[0] = operation(address(plimsoll), raise());
        vm.prank(ALICE);
        brake.oppose(list);
        assertLe(vm.lastCallGas().gasTotalUsed, 190_000);
    }
}
