// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";

/// @notice Tests of attacks that drained other staking contracts. Attacks 8, 9, 12, 13 and 17 are in the files of the
/// attacked functions.
contract AttacksTest is RewardsTest {
    /// Attack 6, A6: tokens that are just sent here are nobody's stake and nobody's reward.
    function test_attack06_donationsMoveNoClaim(uint96 donation) public {
        _stake(alice, 1e18);
        _stake(bob, 1e18);
        _fund(1e20, 1);
        skip(WEEK + 1000);
        uint256 earned = _claimable(alice);
        stakeToken.mint(address(rewards), donation);
        reward.mint(address(rewards), donation);
        assertEq(_claimable(alice), earned);
        assertEq(rewards.poolState(pool).totalStaked, 2e18);
        assertEq(_claim(alice), earned);
        assertEq(_stake(carol, 5), 5);
    }

    /// Attack 11: a stake that moves to another account takes none of its history along.
    function test_attack11_movingAStakeSettlesBothSides() public {
        _stake(alice, 1e18);
        _stake(bob, 1e18);
        _fund(1e20, 1);
        skip(WEEK + WEEK / 2);
        uint256 alices = _claimable(alice);
        uint256 bobs = _claimable(bob);
        vm.startPrank(alice);
        rewards.unstake(pool, 1e18, alice, alice);
        stakeToken.approve(address(rewards), 1e18);
        rewards.stake(pool, 1e18, carol);
        vm.stopPrank();
        assertEq(_claimable(carol), 0);
        assertApproxEqAbs(_claimable(alice), alices, 1);
        assertEq(_claimable(bob), bobs);
        skip(WEEK);
        assertApproxEqAbs(_claimable(carol), 25e18, 1);
        assertApproxEqAbs(_claimable(alice), alices, 1);
    }

    /// Attack 11: the same stake, moved through ten fresh accounts, claims what one account would.
    function test_attack11_freshReceiversClaimNoHistory() public {
        _stake(bob, 1e18);
        _fund(1e20, 1);
        skip(WEEK + WEEK / 2);
        uint256 got;
        stakeToken.mint(alice, 1e18);
        vm.startPrank(alice);
        stakeToken.approve(address(rewards), type(uint256).max);
        vm.stopPrank();
        for (uint256 i; i < 10; i++) {
            address fresh = address(uint160(0x1000 + i));
            vm.prank(alice);
            rewards.stake(pool, 1e18, fresh);
            got += _claim(fresh);
            vm.prank(fresh);
            rewards.unstake(pool, 1e18, fresh, alice);
        }
        assertEq(got, 0);
    }

    /// Attack 14: a stake that is bought for one block earns nothing, before or after.
    function test_attack14_aStakeOfOneBlockEarnsNothing(uint96 huge) public {
        huge = uint96(bound(huge, 1, type(uint96).max));
        _stake(alice, 1e18);
        _fund(1e20, 1);
        skip(WEEK + 1000);
        uint256 earned = _claimable(alice);
        _stake(bob, huge);
        assertEq(_claim(bob), 0);
        _unstake(bob, huge);
        skip(1000);
        assertEq(_claim(bob), 0);
        assertApproxEqAbs(_claimable(alice), 2 * earned, 1);
    }

    /// A large stake at the last second of an epoch earns its part of that second and no more.
    function test_aLastSecondStakeEarnsASecond() public {
        _stake(alice, 1e18);
        _fund(WEEK * 1e6, 1);
        skip(2 * WEEK - 1);
        _stake(bob, 1e24);
        skip(100);
        assertLe(_claimable(bob), 1e6);
        assertGe(_claimable(alice) + 1, (WEEK - 1) * 1e6);
    }

    /// R4: thousands of donations of dust take nothing from their receiver.
    function test_R4_giftsOfDustTakeNothing() public {
        _stake(alice, 1e18);
        _stake(bob, 1e18);
        _fund(1000, 1);
        _give(stakeToken, carol, 1000);
        skip(WEEK);
        for (uint256 i; i < 1000; i++) {
            skip(604);
            vm.prank(carol);
            rewards.stake(pool, 1, alice);
        }
        skip(WEEK);
        assertGe(_claimable(alice) + 1, 500);
    }

    /// I1: two pools of the same tokens pay from what each was given.
    function test_I1_poolsDoNotPayForOneAnother() public {
        bytes32 other = rewards.createPool(address(stakeToken), _list(address(reward)), bytes32(uint256(1)));
        _stake(alice, 1e18);
        _give(stakeToken, bob, 1e18);
        vm.prank(bob);
        rewards.stake(other, 1e18, bob);
        _fund(1000, 1);
        skip(2 * WEEK);
        assertEq(rewards.claimable(other, address(reward), bob), 0);
        assertEq(_claimable(bob), 0);
        vm.prank(bob);
        assertEq(rewards.claim(other, address(reward), bob, bob), 0);
        assertApproxEqAbs(_claim(alice), 1000, 1);
        vm.expectRevert(abi.encodeWithSelector(IRewards.StakeTooSmall.selector, bob, 0, 1));
        _unstake(bob, 1);
    }
}
