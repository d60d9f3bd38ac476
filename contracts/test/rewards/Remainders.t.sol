// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";
import {RewardsTest} from "./RewardsTest.sol";

/// @title Tests of stakes so large that the accumulator's steps are worth whole reward units (R2, R4).
/// @notice Anyone may update a stream in every block, by a claim of nothing. Where the accumulator's rounding was not
/// carried, that destroyed the rewards of tokens with a huge supply.
contract RemaindersTest is RewardsTest {
    /// @dev A tenth of a supply of 5.89e14 tokens of 18 decimals.
    uint256 private constant HUGE_STAKE = 5.89e31;

    /// @notice A fifth of a token of 8 decimals a week, updated with every block of 12 seconds: an update distributes
    /// less than a step of the accumulator.
    function test_R2_R4_pokingDestroysNothing() public {
        _assertPokingChangesNothing(HUGE_STAKE, 0.2e8, 12);
        IRewards.StreamState memory stream = rewards.streamState(pool, address(reward));
        assertGt(stream.remainder, type(uint24).max, "a remainder that needs its second slot");
    }

    /// @notice A hundred of a token of 6 decimals a week, updated every second.
    function test_R2_R4_pokingEverySecondDestroysNothing() public {
        _assertPokingChangesNothing(HUGE_STAKE / 10, 100e6, 1);
    }

    /// @notice Any stake, any reward, any times: to the unit what is paid without a call between.
    function testFuzz_R2_theFrequencyOfUpdatesDoesNotMatter(uint256 stake, uint256 amount, uint32[24] calldata waits)
        public
    {
        stake = bound(stake >> (stake % 128), 1, type(uint128).max - 1);
        amount = bound(amount >> (amount % 96), 1, MAX_FUNDED);
        _stake(alice, stake);
        _fund(amount, 1);
        uint256 end = (_epoch() + 2) * WEEK;
        for (uint256 i; i < waits.length; i++) {
            vm.warp(vm.getBlockTimestamp() + waits[i] % (WEEK / 10));
            _poke();
        }
        if (vm.getBlockTimestamp() < end) vm.warp(end);
        _poke();
        // Nothing but the part of the last step that the accumulator has not made is missing, and a unit.
        uint256 missing = amount - _claimable(alice);
        uint256 remainder = rewards.streamState(pool, address(reward)).remainder;
        assertLe(missing, remainder / WEEK + 2);
        assertLe(remainder, stake * WEEK / 2 ** 96 + 1);
    }

    /// @notice What is left over belongs to later stakers when the stake is small again.
    function test_R2_theRemainderIsPaidOnceTheStakeIsSmall() public {
        uint256 huge = type(uint128).max - 1e18;
        _stake(alice, huge);
        _stake(bob, 1e18);
        _fund(1e8, 1);
        skip(2 * WEEK);
        _poke();
        // A step of the accumulator is worth 4e9 units, so nothing was distributed.
        assertEq(_claimable(alice), 0);
        assertEq(rewards.streamState(pool, address(reward)).remainder, 1e8 * WEEK);
        _unstake(alice, huge);
        skip(1);
        assertApproxEqAbs(_claimable(bob), 1e8, 1);
    }

    function _assertPokingChangesNothing(uint256 stake, uint256 amount, uint256 step) private {
        _stake(alice, stake);
        _fund(amount, 1);
        uint256 begin = (_epoch() + 1) * WEEK;
        vm.warp(begin + 6 hours);
        uint256 quiet = _claimable(alice);
        assertGt(quiet, 0);
        for (uint256 time = begin + step; time <= begin + 6 hours; time += step) {
            vm.warp(time);
            _poke();
        }
        // The step of the accumulator in which both end, and a unit for each loss of a part of one.
        uint256 tolerance = stake / 2 ** 96 + 1 + 6 hours / step / WEEK + 1;
        assertApproxEqAbs(_claimable(alice), quiet, tolerance);
    }

    /// @dev By an account without a stake.
    function _poke() private {
        vm.prank(keeper);
        assertEq(rewards.claim(pool, address(reward), keeper, keeper), 0);
    }
}
