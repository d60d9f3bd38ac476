// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";

contract ViewsTest is RewardsTest {
    /// L3: no view reverts, whatever is asked; what does not exist is zero.
    function test_L3_noViewReverts(bytes32 anyPool, address token, address account, uint256 timestamp) public {
        vm.assume(anyPool != pool);
        assertEq(rewards.poolState(anyPool).stakeToken, address(0));
        assertEq(rewards.poolState(anyPool).rewardTokens.length, 0);
        assertEq(rewards.staked(anyPool, account), 0);
        assertEq(rewards.claimableAt(anyPool, token, account, timestamp), 0);
        assertEq(rewards.claimable(anyPool, address(0), account), 0);
        assertEq(rewards.rewardOffset(anyPool, token, account), 0);
        assertEq(rewards.streamState(anyPool, token).lastUpdate, 0);
        assertEq(rewards.streamState(pool, address(0)).lastUpdate, 0);
        assertFalse(rewards.harvestConsent(anyPool, token, account).enabled);
        (uint256 epoch, uint256[] memory amounts) = rewards.schedule(anyPool, token);
        assertEq(epoch, _epoch());
        assertEq(amounts.length, EPOCHS_AHEAD + 1);
        assertEq(rewards.authorizationExpiry(account, token), 0);
    }

    /// A token that a pool does not distribute has nothing of the token that it does.
    function test_aTokenThatIsNotInThePoolHasNothingOfOneThatIs(address token) public {
        vm.assume(token != address(reward));
        _stake(alice, 1e18);
        _consent(alice, 100, 1);
        _fund(1e20, 3);
        skip(WEEK + 1000);
        _stake(alice, 1e18);
        assertGt(rewards.claimable(pool, address(reward), alice), 0);
        assertGt(rewards.rewardOffset(pool, address(reward), alice), 0);
        (uint256 epoch, uint256[] memory amounts) = rewards.schedule(pool, token);
        assertEq(epoch, _epoch());
        for (uint256 i; i <= EPOCHS_AHEAD; ++i) {
            assertEq(amounts[i], 0);
        }
        assertEq(rewards.claimable(pool, token, alice), 0);
        assertEq(rewards.rewardOffset(pool, token, alice), 0);
        assertFalse(rewards.harvestConsent(pool, token, alice).enabled);
        assertEq(rewards.streamState(pool, token).funded, 0);
    }

    /// L3: nor does one in the most extreme state, at any time.
    function test_L3_noViewRevertsInAnExtremeState(uint256 timestamp, bool idle, uint128 stake) public {
        _stake(alice, 1);
        _fund(MAX_FUNDED, EPOCHS_AHEAD);
        skip(2 * WEEK);
        _unstake(alice, 1);
        if (!idle) _stake(alice, bound(stake, 1, type(uint128).max));
        uint256 later = rewards.claimableAt(pool, address(reward), alice, timestamp);
        assertLe(later, MAX_FUNDED);
        assertGe(later, _claimable(alice));
        assertLe(rewards.claimableAt(pool, address(reward), alice, type(uint256).max), MAX_FUNDED);
        rewards.schedule(pool, address(reward));
    }

    /// The claimable amount at a later time is the amount that can be claimed then, if nothing else changes it.
    function test_claimableAtForetells(uint96 amount, uint32 wait, uint32 further, uint96 stake) public {
        amount = uint96(bound(amount, 1, MAX_FUNDED));
        stake = uint96(bound(stake, 1, type(uint96).max));
        _fund(amount, 7);
        skip(uint256(wait) % (9 * WEEK));
        _stake(alice, stake);
        uint256 later = vm.getBlockTimestamp() + uint256(further) % (9 * WEEK);
        uint256 foretold = rewards.claimableAt(pool, address(reward), alice, later);
        vm.warp(later);
        assertEq(_claimable(alice), foretold);
        assertEq(_claim(alice), foretold);
    }

    /// A time before the last update counts as that.
    function test_claimableAtAnEarlierTimeIsThatOfTheLastUpdate() public {
        _stake(alice, 1e18);
        _fund(1e20, 1);
        skip(WEEK + 1000);
        _stake(bob, 1);
        uint256 now_ = _claimable(alice);
        assertGt(now_, 0);
        assertEq(rewards.claimableAt(pool, address(reward), alice, 0), now_);
        assertEq(rewards.claimableAt(pool, address(reward), alice, vm.getBlockTimestamp() - 1), now_);
    }

    /// The schedule is as of now: what idle time moves shows before anybody has touched the stream.
    function test_theScheduleIsAsOfNow() public {
        _fund(reward, 1000 * WEEK, _epoch() + 1, 1);
        _fund(reward, 26, _epoch() + 26, 1);
        skip(WEEK + 100);
        (uint256 epoch, uint256[] memory amounts) = rewards.schedule(pool, address(reward));
        assertEq(epoch, _epoch());
        assertEq(amounts[0], 1000 * WEEK);
        assertEq(amounts[1], 100_000);
        assertEq(amounts[25], 26);
        _stake(alice, 1);
        (, uint256[] memory stored) = rewards.schedule(pool, address(reward));
        assertEq(stored, amounts);
    }

    /// The offset is what `IRewards` says: with it, anybody computes a claim from the state.
    function test_theStatedFormulaIsTheClaim(uint96 amount, uint96 first, uint96 second, uint32 wait) public {
        amount = uint96(bound(amount, 1, MAX_FUNDED));
        first = uint96(bound(first, 1, type(uint96).max));
        second = uint96(bound(second, 1, type(uint96).max));
        _stake(bob, first);
        _fund(amount, 2);
        skip(WEEK + uint256(wait) % WEEK);
        _stake(alice, second);
        skip(uint256(wait) % WEEK);
        _claim(bob);
        uint256 accumulator = rewards.streamState(pool, address(reward)).accumulator;
        uint256 offset = rewards.rewardOffset(pool, address(reward), alice);
        unchecked {
            int256 fine = int256(int128(uint128((uint256(second) * accumulator >> 72) - offset)));
            assertEq(_claimable(alice), fine < 0 ? 0 : uint256(fine) / 2 ** 24);
        }
    }
}
