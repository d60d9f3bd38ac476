// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {OddToken} from "./OddToken.sol";
import {RewardsTest} from "./RewardsTest.sol";

/// @notice A cheatcode that this forge-std does not list: the account's storage costs what it does in a transaction's
/// first access again.
interface IColdStorage {
    function cool(address account) external;
}

/// @title Gas of the rewards' longest updates.
contract RewardsGasTest is RewardsTest {
    /// L4: if the whole schedule is filled with dust, an update costs a bounded amount of gas, even years later.
    function test_L4_aFullScheduleOfFourTokensSettlesInBoundedGas() public {
        address[] memory list = new address[](4);
        for (uint256 i; i < 4; i++) {
            list[i] = address(new OddToken());
        }
        pool = rewards.createPool(address(stakeToken), list, 0);
        _stake(alice, 1e18);
        for (uint256 i; i < 4; i++) {
            for (uint256 j = 1; j <= EPOCHS_AHEAD; j++) {
                _fund(OddToken(list[i]), 1, _epoch() + j, 1);
            }
        }
        skip(1000 * WEEK);
        IColdStorage(address(vm)).cool(address(rewards));
        vm.prank(alice);
        uint256 before = gasleft();
        rewards.unstake(pool, 1e18, alice, alice);
        assertLt(before - gasleft(), 450_000);
    }

    /// L4: funding every week for ever does not make anybody walk more than half a year.
    function test_L4_aStreamFundedForYearsCostsHalfAYear() public {
        _stake(alice, 1e18);
        uint256 funded;
        for (uint256 i; i < 60; i++) {
            _fund(reward, 1e18, _epoch() + EPOCHS_AHEAD, 1);
            funded += 1e18;
            skip(WEEK);
        }
        skip(EPOCHS_AHEAD * WEEK);
        IColdStorage(address(vm)).cool(address(rewards));
        vm.prank(alice);
        uint256 before = gasleft();
        uint256 claimed = rewards.claim(pool, address(reward), alice, alice);
        assertLt(before - gasleft(), 150_000);
        assertApproxEqAbs(claimed, funded, 1);
    }
}
