// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";
import {OddToken} from "./OddToken.sol";

contract PoolsTest is RewardsTest {
    function _manyTokens(uint256 count) private returns (address[] memory list) {
        list = new address[](count);
        for (uint256 i; i < count; i++) {
            list[i] = address(new OddToken());
        }
    }

    function test_anybodyCreatesAPool(address creator, bytes32 salt, uint256 count) public {
        vm.assume(salt != 0);
        address[] memory list = _manyTokens(bound(count, 1, 4));
        bytes32 expected = keccak256(abi.encode(address(stakeToken), list, salt));

        vm.expectEmit(address(rewards));
        emit IRewards.CreatePool(expected, address(stakeToken), creator, list, salt);
        vm.prank(creator);
        bytes32 id = rewards.createPool(address(stakeToken), list, salt);

        assertEq(id, expected);
        assertEq(rewards.poolId(address(stakeToken), list, salt), id);
        IRewards.PoolState memory state = rewards.poolState(id);
        assertEq(state.stakeToken, address(stakeToken));
        assertEq(state.totalStaked, 0);
        assertEq(state.rewardTokens, list);
        for (uint256 i; i < list.length; i++) {
            assertEq(rewards.streamState(id, list[i]).lastUpdate, vm.getBlockTimestamp());
        }
    }

    function test_theStakeTokenCanBeARewardToken() public {
        bytes32 id = rewards.createPool(address(stakeToken), _list(address(stakeToken)), 0);
        assertEq(rewards.poolState(id).rewardTokens, _list(address(stakeToken)));
    }

    function test_saltsMakeSeveralPoolsOfTheSameTokens() public {
        bytes32 other = rewards.createPool(address(stakeToken), _list(address(reward)), bytes32(uint256(1)));
        assertNotEq(other, pool);
        _stake(alice, 5);
        assertEq(rewards.staked(other, alice), 0);
    }

    /// Attack 17: a pool that is in use is not created again.
    function test_attack17_aPoolIsCreatedOnce() public {
        vm.expectRevert(abi.encodeWithSelector(IRewards.PoolAlreadyCreated.selector, pool));
        rewards.createPool(address(stakeToken), _list(address(reward)), 0);
    }

    function test_L4_aPoolHasOneToFourRewardTokens() public {
        vm.expectRevert(abi.encodeWithSelector(IRewards.RewardTokenCountOutOfRange.selector, 0));
        rewards.createPool(address(stakeToken), new address[](0), 0);

        address[] memory five = _manyTokens(5);
        vm.expectRevert(abi.encodeWithSelector(IRewards.RewardTokenCountOutOfRange.selector, 5));
        rewards.createPool(address(stakeToken), five, 0);
    }

    function test_rewardTokensAreDistinct() public {
        address other = address(new OddToken());
        vm.expectRevert(abi.encodeWithSelector(IRewards.DuplicateRewardToken.selector, address(reward)));
        rewards.createPool(address(stakeToken), _list(address(reward), other, address(reward)), 0);
        vm.expectRevert(abi.encodeWithSelector(IRewards.DuplicateRewardToken.selector, address(reward)));
        rewards.createPool(address(stakeToken), _list(other, address(reward), address(reward)), 0);
    }

    function test_tokensAreContracts() public {
        vm.expectRevert(abi.encodeWithSelector(IRewards.NoCode.selector, alice));
        rewards.createPool(alice, _list(address(reward)), 0);
        vm.expectRevert(abi.encodeWithSelector(IRewards.NoCode.selector, address(0)));
        rewards.createPool(address(stakeToken), _list(address(reward), address(0)), 0);
    }
}
