// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";

/// @notice Known answers of the staking contract that most others descend from, put in terms of weekly epochs. Its
/// 100e18 over a duration pays `floor(100e18 / duration) × duration`: the rest is lost. Here nothing is, so the same
/// programmes pay at least as much, and never more than was funded.
contract VectorsTest is RewardsTest {
    uint256 internal constant REWARD = 100e18;
    // 60 days are not whole weeks: nine weeks are the programme here.
    uint256 internal constant EPOCHS = 9;
    uint256 internal constant DURATION = EPOCHS * 1 weeks;

    /// "stake 2e18, notify 100e18, exit after end": here within one unit of all of it.
    function test_vector_aWholeProgrammePaysAllOfIt() public {
        _stake(alice, 2e18);
        _fund(REWARD, EPOCHS);
        skip(WEEK + DURATION);
        _unstake(alice, type(uint256).max);
        uint256 paid = _claim(alice);
        assertGe(paid, REWARD / DURATION * DURATION);
        assertApproxEqAbs(paid, REWARD, 1);
        assertLe(paid, REWARD);
    }

    /// The vector's own number: 60 days at a rate rounded down pay 99999999999999360000; here that is the least.
    function test_vector_noRateIsRoundedDown() public {
        uint256 sixtyDays = 5_184_000;
        assertEq(REWARD / sixtyDays * sixtyDays, 99_999_999_999_999_360_000);
        _stake(alice, 2e18);
        _fund(REWARD, EPOCHS);
        skip(2 * WEEK + DURATION);
        assertGt(_claim(alice), 99_999_999_999_999_360_000);
    }

    /// "stake half way": the part from then on. What nobody was there for is not lost, but paid afterwards.
    function test_vector_stakingHalfWay() public {
        _fund(REWARD, 2);
        skip(2 * WEEK);
        _stake(alice, 2e18);
        skip(WEEK);
        assertApproxEqAbs(_claim(alice), REWARD, 1);
        skip(WEEK);
        assertEq(_claim(alice), 0);
    }

    /// "two stakers, half each": equal, within one.
    function test_vector_twoEqualStakersGetTheSame() public {
        _stake(alice, 1e18);
        _stake(bob, 1e18);
        _fund(REWARD, EPOCHS);
        skip(WEEK + DURATION);
        uint256 alices = _claim(alice);
        uint256 bobs = _claim(bob);
        assertEq(alices, bobs);
        assertApproxEqAbs(alices, REWARD / 2, 1);
    }

    /// "notify before the end raises the rate by what was left": here the second amount adds to epochs that have begun
    /// to be paid by no one else, and both are paid in full.
    function test_vector_fundingDuringAProgrammeRaisesItsEpochs() public {
        _stake(alice, 1e18);
        _fund(REWARD, EPOCHS);
        skip(WEEK + DURATION / 3);
        uint256 before = _claimable(alice);
        assertApproxEqAbs(before, REWARD / 3, 1);
        _fund(REWARD, EPOCHS * 2 / 3 - 1);
        skip(WEEK);
        assertApproxEqAbs(_claimable(alice), before + REWARD / EPOCHS, 2);
        skip(DURATION);
        assertApproxEqAbs(_claim(alice), 2 * REWARD, 1);
    }

    /// "a second identical period earns exactly the same again".
    function test_vector_theSameProgrammeTwiceEarnsTheSameTwice() public {
        _stake(alice, 1e18);
        _fund(REWARD, EPOCHS);
        skip(WEEK + DURATION);
        uint256 first = _claimable(alice);
        _fund(REWARD, EPOCHS);
        skip(WEEK + DURATION);
        assertApproxEqAbs(_claimable(alice), 2 * first, 1);
    }

    /// "setRewardsDuration before the finish reverts": here nobody can change what was funded at all.
    function test_vector_aProgrammeCannotBeChanged() public {
        _fund(REWARD, EPOCHS);
        (, uint256[] memory before) = rewards.schedule(pool, address(reward));
        vm.expectRevert(abi.encodeWithSelector(IRewards.PoolAlreadyCreated.selector, pool));
        rewards.createPool(address(stakeToken), _list(address(reward)), 0);
        (, uint256[] memory afterwards) = rewards.schedule(pool, address(reward));
        assertEq(before, afterwards);
    }

    /// "notify more than the balance reverts": what is funded is what arrived.
    function test_vector_nothingIsPromisedThatDidNotArrive() public {
        reward.setFeeBps(100);
        _stake(alice, 1e18);
        _fund(REWARD, EPOCHS);
        skip(WEEK + DURATION);
        assertLe(_claimable(alice), reward.balanceOf(address(rewards)));
        assertApproxEqAbs(_claimable(alice), REWARD * 99 / 100, 1);
    }

    /// "getRewardForDuration == rewardRate × duration": the schedule adds up to what was funded.
    function test_vector_theScheduleAddsUp() public {
        _fund(REWARD, EPOCHS);
        assertEq(_scheduledSum(), REWARD);
    }
}
