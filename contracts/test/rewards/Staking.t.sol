// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";

contract StakingTest is RewardsTest {
    function test_stakeCreditsTheAccountAndPullsFromTheCaller(uint128 amount) public {
        vm.assume(amount != 0);
        _give(stakeToken, alice, amount);
        vm.expectEmit(address(rewards));
        emit IRewards.Stake(pool, alice, bob, amount);
        vm.prank(alice);
        assertEq(rewards.stake(pool, amount, bob), amount);

        assertEq(rewards.staked(pool, bob), amount);
        assertEq(rewards.staked(pool, alice), 0);
        assertEq(rewards.poolState(pool).totalStaked, amount);
        assertEq(stakeToken.balanceOf(address(rewards)), amount);
        assertEq(stakeToken.balanceOf(alice), 0);
    }

    function test_unstakeSendsToTheReceiver(uint128 amount, uint128 out) public {
        amount = uint128(bound(amount, 1, type(uint128).max));
        out = uint128(bound(out, 1, amount));
        _stake(alice, amount);
        vm.expectEmit(address(rewards));
        emit IRewards.Unstake(pool, alice, alice, bob, out);
        vm.prank(alice);
        assertEq(rewards.unstake(pool, out, alice, bob), out);

        assertEq(stakeToken.balanceOf(bob), out);
        assertEq(rewards.staked(pool, alice), amount - out);
        assertEq(rewards.poolState(pool).totalStaked, amount - out);
    }

    function test_theLargestAmountMeansAllOfIt() public {
        _stake(alice, 70);
        _stake(bob, 30);
        assertEq(_unstake(alice, type(uint256).max), 70);
        assertEq(stakeToken.balanceOf(alice), 70);
        assertEq(rewards.staked(pool, bob), 30);
        vm.expectRevert(IRewards.ZeroAmount.selector);
        vm.prank(alice);
        rewards.unstake(pool, type(uint256).max, alice, alice);
    }

    function test_nobodyTakesOutMoreThanTheirStake() public {
        _stake(alice, 70);
        _stake(bob, 30);
        vm.expectRevert(abi.encodeWithSelector(IRewards.StakeTooSmall.selector, alice, 70, 71));
        _unstake(alice, 71);
        vm.expectRevert(abi.encodeWithSelector(IRewards.StakeTooSmall.selector, carol, 0, 1));
        _unstake(carol, 1);
    }

    function test_zeroIsRefused() public {
        _stake(alice, 70);
        vm.startPrank(alice);
        vm.expectRevert(IRewards.ZeroAmount.selector);
        rewards.stake(pool, 0, alice);
        vm.expectRevert(IRewards.ZeroAddress.selector);
        rewards.stake(pool, 1, address(0));
        vm.expectRevert(IRewards.ZeroAmount.selector);
        rewards.unstake(pool, 0, alice, alice);
        vm.expectRevert(IRewards.ZeroAddress.selector);
        rewards.unstake(pool, 1, alice, address(0));
    }

    function test_thereMustBeAPool() public {
        bytes32 nowhere = keccak256("nowhere");
        vm.expectRevert(abi.encodeWithSelector(IRewards.PoolNotCreated.selector, nowhere));
        rewards.stake(nowhere, 1, alice);
    }

    function test_stakingNeedsTheTokens() public {
        vm.expectRevert(
            abi.encodeWithSelector(IRewards.TransferFailed.selector, address(stakeToken), alice, address(rewards), 5)
        );
        vm.prank(alice);
        rewards.stake(pool, 5, alice);
    }

    function test_totalStakeStaysBelowTwoToThe128() public {
        _stake(alice, type(uint128).max);
        _give(stakeToken, bob, 1);
        vm.expectRevert(abi.encodeWithSelector(IRewards.StakeTooLarge.selector, type(uint128).max, 1));
        vm.prank(bob);
        rewards.stake(pool, 1, bob);
    }

    /* AUTHORISATION: I2 for stakes */

    function test_I2_onlyTheAuthorisedActForAnother() public {
        _stake(alice, 70);
        bytes memory refused = abi.encodeWithSelector(IRewards.Unauthorized.selector, bob, alice);
        vm.startPrank(bob);
        vm.expectRevert(refused);
        rewards.unstake(pool, 1, alice, bob);
        vm.expectRevert(refused);
        rewards.claim(pool, address(reward), alice, bob);
    }

    function test_I2_anAuthorisationHoldsUntilItsLastSecond() public {
        uint256 expiry = vm.getBlockTimestamp() + 100;
        _stake(alice, 70);
        _fund(700, 1);
        vm.expectEmit(address(rewards));
        emit IRewards.SetAuthorization(alice, bob, expiry);
        vm.prank(alice);
        rewards.setAuthorization(bob, expiry);
        assertEq(rewards.authorizationExpiry(alice, bob), expiry);
        assertEq(rewards.authorizationExpiry(bob, alice), 0);

        vm.warp(expiry);
        vm.prank(bob);
        rewards.unstake(pool, 20, alice, carol);
        assertEq(stakeToken.balanceOf(carol), 20);

        vm.warp(expiry + 1);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IRewards.Unauthorized.selector, bob, alice));
        rewards.unstake(pool, 20, alice, carol);
    }

    function test_I2_anAuthorisationIsForOneAccountAndCanEnd() public {
        _stake(alice, 70);
        vm.prank(alice);
        rewards.setAuthorization(bob, type(uint256).max);
        vm.prank(carol);
        vm.expectRevert(abi.encodeWithSelector(IRewards.Unauthorized.selector, carol, alice));
        rewards.unstake(pool, 20, alice, carol);

        vm.prank(alice);
        rewards.setAuthorization(bob, 0);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IRewards.Unauthorized.selector, bob, alice));
        rewards.unstake(pool, 20, alice, bob);
    }

    /* WHAT A STAKE EARNS */

    /// R1, R2: the only staker of an epoch gets all of it, at every second its linear part rounded down.
    function test_R2_theOnlyStakerGetsEverySecondsPart(uint96 amount, uint112 stake, uint32 second) public {
        amount = uint96(bound(amount, 1, MAX_FUNDED));
        stake = uint112(bound(stake, 1, 1e30));
        second = uint32(bound(second, 0, WEEK));
        _stake(alice, stake);
        _fund(amount, 1);
        skip(WEEK + second);
        uint256 exact = uint256(amount) * second / WEEK;
        // The accumulator's rounding: one part in 2^96 for each unit of stake, at two updates.
        uint256 lost = 2 * uint256(stake) / 2 ** 96 + 1;
        uint256 got = _claimable(alice);
        assertLe(got, exact);
        assertGe(got + lost, exact);
        assertEq(_claim(alice), got);
        assertEq(reward.balanceOf(alice), got);
    }

    /// R1, R2: two stakers share each second in proportion to their stakes, whenever they staked.
    function test_R2_stakersShareByStakeAndTime(uint96 amount, uint96 first, uint96 second, uint32 later) public {
        amount = uint96(bound(amount, 1, MAX_FUNDED));
        first = uint96(bound(first, 1, type(uint96).max));
        second = uint96(bound(second, 1, type(uint96).max));
        later = uint32(bound(later, 0, WEEK));
        _stake(alice, first);
        _fund(amount, 1);
        skip(WEEK + later);
        _stake(bob, second);
        skip(WEEK);

        // In units × seconds: what fell to alice alone, and what both share.
        uint256 alone = uint256(amount) * later;
        uint256 shared = uint256(amount) * (WEEK - later);
        uint256 total = uint256(first) + second;
        uint256 aliceExact = (alone + _mulDiv(shared, first, total)) / WEEK;
        uint256 bobExact = _mulDiv(shared, second, total) / WEEK;
        assertApproxEqAbs(_claimable(alice), aliceExact, 2);
        assertApproxEqAbs(_claimable(bob), bobExact, 2);
        assertLe(_claim(alice) + _claim(bob), amount);
    }

    function _mulDiv(uint256 a, uint256 b, uint256 c) private pure returns (uint256) {
        return a * b / c;
    }

    /// Streams of different tokens do not touch one another.
    function test_everyRewardTokenIsPaidByItself() public {
        address[] memory list = _list(address(reward), address(stakeToken));
        pool = rewards.createPool(address(stakeToken), list, 0);
        _stake(alice, 1e18);
        _stake(bob, 3e18);
        _fund(reward, 4000, _epoch() + 1, 1);
        _fund(stakeToken, 8000, _epoch() + 2, 1);
        skip(3 * WEEK);
        assertApproxEqAbs(_claim(reward, alice), 1000, 1);
        assertApproxEqAbs(_claim(stakeToken, alice), 2000, 1);
        assertApproxEqAbs(_claim(reward, bob), 3000, 1);
        assertApproxEqAbs(_claim(stakeToken, bob), 6000, 1);
    }

    /// Attack 13 (rewards on partial withdrawal): what was earned stays, and is not earned again.
    function test_attack13_partialUnstakesNeitherLoseNorRepeatRewards(uint8 parts) public {
        uint256 n = bound(parts, 1, 50);
        _stake(alice, 1e18 * n);
        _stake(bob, 1e18 * n);
        _fund(1e20, 1);
        skip(2 * WEEK);
        uint256 earned = _claimable(alice);
        assertApproxEqAbs(earned, 5e19, 1);
        for (uint256 i; i < n; i++) {
            _unstake(alice, 1e18);
            assertApproxEqAbs(_claimable(alice), earned, 1);
        }
        assertApproxEqAbs(_claim(alice), earned, 1);
        assertEq(_claim(alice), 0);
        assertEq(_claimable(alice), 0);
    }

    /// R3: however a stake is moved about while no time passes, no claim changes by more than a unit an operation.
    function test_R3_withoutTimeNothingIsEarned(uint96 amount, uint96 stake, uint96 extra, uint8 times) public {
        amount = uint96(bound(amount, 1, MAX_FUNDED));
        stake = uint96(bound(stake, 1, type(uint96).max));
        extra = uint96(bound(extra, 1, type(uint96).max));
        _stake(alice, stake);
        _stake(bob, stake);
        _fund(amount, 3);
        skip(WEEK + 12_345);
        uint256 alices = _claimable(alice);
        uint256 bobs = _claimable(bob);
        for (uint256 i; i < times % 20; i++) {
            _stake(alice, extra);
            _unstake(alice, extra);
        }
        assertLe(_claimable(alice), alices);
        assertGe(_claimable(alice) + 1, alices);
        assertEq(_claimable(bob), bobs);
        _unstake(alice, stake);
        assertGe(_claimable(alice) + 1, alices);
        assertEq(_claim(bob), bobs);
        assertEq(_claimable(bob), 0);
    }

    /// R3: roundings of a thousand moves of a dust stake together cost less than one unit.
    function test_R3_aThousandMovesCostLessThanAUnit() public {
        _stake(alice, 3);
        _stake(bob, 4);
        _fund(1e6, 1);
        skip(WEEK + 333_333);
        uint256 before = _claimable(alice);
        _give(stakeToken, bob, 1000);
        for (uint256 i; i < 1000; i++) {
            vm.prank(bob);
            rewards.stake(pool, 1, alice);
        }
        assertGe(_claimable(alice) + 1, before);
    }

    /// An accumulator that ran while one unit was staked does not break the largest stake that comes later.
    function test_R1_theLargestStakeAfterTheSteepestAccumulator(uint128 large) public {
        large = uint128(bound(large, 1e30, type(uint128).max - 1));
        _stake(alice, 1);
        _fund(MAX_FUNDED - 1, 2);
        skip(2 * WEEK);
        assertEq(_claimable(alice), MAX_FUNDED / 2);
        _stake(bob, large);
        assertEq(_claimable(bob), 0);
        skip(WEEK);
        assertLe(_claimable(bob) + _claimable(alice), MAX_FUNDED - 1);
        // The largest loss of an update: one of 2^96 parts of each unit of stake.
        assertGe(_claimable(bob) + uint256(large) / 2 ** 96 + 2, MAX_FUNDED / 2 - 1);
        _unstake(bob, large);
        _claim(bob);
        _claim(alice);
    }
}
