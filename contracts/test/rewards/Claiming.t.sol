// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";

contract ClaimingTest is RewardsTest {
    function setUp() public override {
        super.setUp();
        _stake(alice, 1e18);
        _stake(bob, 3e18);
        _fund(4e20, 1);
        skip(WEEK + WEEK / 2);
    }

    function test_claimSendsTheRewardToTheReceiver() public {
        uint256 earned = _claimable(alice);
        assertApproxEqAbs(earned, 5e19, 1);
        vm.expectEmit(address(rewards));
        emit IRewards.Claim(pool, address(reward), alice, carol, earned);
        vm.prank(alice);
        assertEq(rewards.claim(pool, address(reward), alice, carol), earned);
        assertEq(reward.balanceOf(carol), earned);
        assertEq(reward.balanceOf(address(rewards)), 4e20 - earned);
        assertEq(_claimable(alice), 0);
    }

    function test_anAuthorisedAccountClaims() public {
        vm.prank(alice);
        rewards.setAuthorization(carol, vm.getBlockTimestamp());
        uint256 earned = _claimable(alice);
        vm.prank(carol);
        assertEq(rewards.claim(pool, address(reward), alice, carol), earned);
        assertEq(reward.balanceOf(carol), earned);
    }

    /// R4: a claim of nothing is no error, so that a batch of claims does not break on it; it moves nothing.
    function test_claimingNothingDoesNothing() public {
        reward.setRefusesZero(true);
        assertEq(_claim(carol), 0);
        _claim(alice);
        vm.recordLogs();
        assertEq(_claim(alice), 0);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    /// R4: what others do with their claims and stakes changes nobody's.
    function test_R4_othersChangeNothing() public {
        uint256 later = vm.getBlockTimestamp() + 1000;
        uint256 before = rewards.claimableAt(pool, address(reward), alice, later);
        _claim(bob);
        assertEq(rewards.claimableAt(pool, address(reward), alice, later), before);
        vm.warp(later);
        assertApproxEqAbs(_claimable(alice), before, 1);
        _unstake(bob, 3e18);
        assertApproxEqAbs(_claimable(alice), before, 1);
    }

    /// R2: how often somebody claims changes nothing but what is less than a unit.
    function test_R2_claimingOftenLosesNothing(uint8 times) public {
        uint256 n = bound(times, 1, 100);
        uint256 step = WEEK / 2 / n;
        uint256 got;
        for (uint256 i; i < n; i++) {
            skip(step);
            got += _claim(alice);
        }
        skip(WEEK);
        got += _claim(alice);
        assertApproxEqAbs(got, 1e20, 1);
        assertApproxEqAbs(_claim(bob), 3e20, 1);
    }

    function test_claimsNeedAReceiverAndAKnownReward() public {
        vm.startPrank(alice);
        vm.expectRevert(IRewards.ZeroAddress.selector);
        rewards.claim(pool, address(reward), alice, address(0));
        vm.expectRevert(abi.encodeWithSelector(IRewards.UnknownRewardToken.selector, pool, address(stakeToken)));
        rewards.claim(pool, address(stakeToken), alice, alice);
        vm.expectRevert(abi.encodeWithSelector(IRewards.UnknownRewardToken.selector, pool, address(0)));
        rewards.claim(pool, address(0), alice, alice);
    }

    /// R2: an exit in parts, claimed before and after, pays everything once.
    function test_R2_exitInAnyOrder(bool claimFirst, uint64 part) public {
        uint256 earned = _claimable(alice);
        part = uint64(bound(part, 1, 1e18 - 1));
        uint256 got;
        if (claimFirst) got = _claim(alice);
        _unstake(alice, part);
        _unstake(alice, 1e18 - part);
        got += _claim(alice);
        assertApproxEqAbs(got, earned, 1);
        skip(WEEK);
        assertEq(_claim(alice), 0);
    }

    /// An exit in one call; were one of its parts refused, nothing would have happened.
    function test_anExitInOneCall() public {
        uint256 earned = _claimable(alice);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IRewards.claim, (pool, address(reward), alice, alice));
        calls[1] = abi.encodeCall(IRewards.unstake, (pool, 1e18 + 1, alice, alice));
        vm.expectRevert(abi.encodeWithSelector(IRewards.StakeTooSmall.selector, alice, 1e18, 1e18 + 1));
        vm.prank(alice);
        rewards.multicall(calls);
        assertEq(_claimable(alice), earned);

        calls[1] = abi.encodeCall(IRewards.unstake, (pool, type(uint256).max, alice, alice));
        vm.prank(alice);
        bytes[] memory results = rewards.multicall(calls);
        assertEq(abi.decode(results[0], (uint256)), earned);
        assertEq(abi.decode(results[1], (uint256)), 1e18);
        assertEq(reward.balanceOf(alice), earned);
        assertEq(stakeToken.balanceOf(alice), 1e18);
    }
}
