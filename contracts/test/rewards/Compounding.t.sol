// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";
import {Payout, OddToken} from "./OddToken.sol";

/// @notice A pool whose stake token is one of its two rewards.
contract CompoundingTest is RewardsTest {
    OddToken internal other;

    function setUp() public override {
        super.setUp();
        other = reward;
        reward = stakeToken;
        pool = rewards.createPool(address(stakeToken), _list(address(other), address(stakeToken)), 0);
        _stake(alice, 1e18);
        _stake(bob, 3e18);
        _fund(other, 4e20, _epoch() + 1, 1);
        _fund(stakeToken, 4e20, _epoch() + 1, 1);
        skip(WEEK + WEEK / 2);
    }

    function test_R5_compoundingStakesAllButTheTip() public {
        _consent(reward, alice, 1000, 0, true);
        uint256 earned = _claimable(alice);
        uint256 othersBefore = rewards.claimable(pool, address(other), alice);
        uint256 balance = reward.balanceOf(address(rewards));
        vm.expectEmit(address(rewards));
        emit IRewards.Harvest(pool, address(reward), alice, earned, earned / 10, true);
        assertEq(_harvest(alice), earned / 10);

        uint256 stake = 1e18 + earned - earned / 10;
        assertEq(rewards.staked(pool, alice), stake);
        assertEq(rewards.poolState(pool).totalStaked, 3e18 + stake);
        assertEq(reward.balanceOf(keeper), earned / 10);
        assertEq(reward.balanceOf(alice), 0);
        assertEq(reward.balanceOf(address(rewards)), balance - earned / 10);
        // R3: what had been earned of both rewards is neither lost nor multiplied by the larger stake.
        assertEq(_claimable(alice), 0);
        assertApproxEqAbs(rewards.claimable(pool, address(other), alice), othersBefore, 1);
    }

    /// Compounding calls no token for the account, so nothing that the token thinks of it can fail.
    function test_compoundingNeedsNoTransfer() public {
        _consent(reward, alice, 0, 0, true);
        uint256 earned = _claimable(alice);
        reward.setRefusesEverything(true);
        assertEq(_harvest(alice), 0);
        assertEq(rewards.staked(pool, alice), 1e18 + earned);
    }

    function test_compoundedStakeEarnsFromThenOn() public {
        _consent(reward, alice, 0, 0, true);
        _harvest(alice);
        uint256 stake = rewards.staked(pool, alice);
        uint256 others = rewards.claimable(pool, address(other), alice);
        skip(WEEK);
        assertApproxEqAbs(_claimable(alice), 2e20 * stake / (stake + 3e18), 1);
        assertApproxEqAbs(rewards.claimable(pool, address(other), alice), others + 2e20 * stake / (stake + 3e18), 2);
    }

    /// In one batch some compound and some are paid; the accumulator is that of now for all.
    function test_R4_compoundingAndPaymentsInOneBatch() public {
        _stake(carol, 4e18);
        skip(10_000);
        _consent(reward, alice, 1000, 0, true);
        _consent(reward, bob, 500, 0, false);
        _consent(reward, carol, 0, 0, true);
        uint256[3] memory earned = [_claimable(alice), _claimable(bob), _claimable(carol)];
        address[] memory accounts = _list(alice, bob, carol);
        uint256 tips = _harvest(accounts);
        assertEq(tips, earned[0] / 10 + earned[1] / 20);
        assertEq(rewards.staked(pool, alice), 1e18 + earned[0] - earned[0] / 10);
        assertEq(rewards.staked(pool, bob), 3e18);
        assertEq(rewards.staked(pool, carol), 4e18 + earned[2]);
        assertEq(reward.balanceOf(bob), earned[1] - earned[1] / 20);
        for (uint256 i; i < 3; i++) {
            assertEq(_claimable(accounts[i]), 0);
        }
    }

    /// R4, R5: a listed account that compounded is not compounded again, and its smallest amount counts.
    function test_R5_compoundingKeepsToTheSmallestAmountAndToOnce() public {
        uint256 earned = _claimable(alice);
        _consent(reward, alice, 0, uint96(earned), true);
        _harvest(_list(alice, alice));
        assertEq(rewards.staked(pool, alice), 1e18 + earned);
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IRewards.NothingHarvested.selector, pool, address(reward)));
        _harvest(alice);
    }

    /// An account that has left altogether can still have its last reward staked.
    function test_compoundingAfterUnstakingAll() public {
        uint256 earned = _claimable(alice);
        _consent(reward, alice, 0, 0, true);
        _unstake(alice, 1e18);
        _harvest(alice);
        assertApproxEqAbs(rewards.staked(pool, alice), earned, 1);
    }

    /// R1: stakes pay no rewards. Whatever is claimed, every stake can be unstaked, including the last.
    function test_R1_stakesNeverPayRewards() public {
        skip(WEEK);
        _consent(reward, alice, 1000, 0, true);
        _harvest(alice);
        _claim(bob);
        skip(WEEK);
        _claim(alice);
        uint256 stakes = rewards.staked(pool, alice) + rewards.staked(pool, bob);
        assertGe(reward.balanceOf(address(rewards)), stakes);
        _unstake(alice, type(uint256).max);
        _unstake(bob, type(uint256).max);
        assertLe(reward.balanceOf(address(rewards)), 2);
    }

    /// Where compounding is possible, a payment that fails is skipped as anywhere else.
    function test_R4_aBlockedReceiverBesideACompoundingOne() public {
        _consent(reward, alice, 1000, 0, true);
        _consent(reward, bob, 1000, 0, false);
        uint256 bobs = _claimable(bob);
        reward.setPayout(bob, Payout.Reverts);
        _harvest(_list(bob, alice));
        assertEq(_claimable(bob), bobs);
        assertEq(_claimable(alice), 0);
    }
}
