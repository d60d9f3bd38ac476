// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {OddToken, Payout} from "./OddToken.sol";
import {RewardsTest} from "./RewardsTest.sol";

/// @notice Tokens that answer nothing, take a fee, refuse zero or block receivers.
contract OddTokensTest is RewardsTest {
    /// Deposits credit what arrived, stakes and funding alike.
    function test_R1_aFeeOnTheWayInIsNotCredited(uint96 amount, uint16 feeBps) public {
        amount = uint96(bound(amount, 2, MAX_FUNDED));
        feeBps = uint16(bound(feeBps, 0, 5000));
        stakeToken.setFeeBps(feeBps);
        reward.setFeeBps(feeBps);
        uint256 arrives = amount - uint256(amount) * feeBps / 10_000;
        assertEq(_stake(alice, amount), arrives);
        assertEq(rewards.staked(pool, alice), arrives);
        assertEq(rewards.poolState(pool).totalStaked, arrives);
        assertEq(_fund(amount, 1), arrives);
        assertEq(rewards.streamState(pool, address(reward)).funded, arrives);

        skip(2 * WEEK);
        assertEq(_unstake(alice, type(uint256).max), arrives);
        uint256 claimed = _claim(alice);
        assertApproxEqAbs(claimed, arrives, 1 + 2 * arrives / 2 ** 96);
        assertLe(claimed, arrives);
        assertEq(stakeToken.balanceOf(address(rewards)), 0);
    }

    function test_aTransferOfWhichNothingArrivesIsRefused() public {
        stakeToken.setFeeBps(10_000);
        reward.setFeeBps(10_000);
        _give(stakeToken, alice, 5);
        vm.expectRevert(IRewards.ZeroAmount.selector);
        vm.prank(alice);
        rewards.stake(pool, 5, alice);
        _give(reward, address(this), 5);
        uint256 next = _epoch() + 1;
        vm.expectRevert(IRewards.ZeroAmount.selector);
        rewards.fund(pool, address(reward), 5, next, 1);
    }

    function test_tokensThatAnswerNothingWork() public {
        stakeToken.setSilent(true);
        reward.setSilent(true);
        _consent(alice, 1000, 0);
        _stake(alice, 10);
        _fund(1000, 1);
        skip(WEEK + WEEK / 2);
        assertEq(_harvest(alice), 50);
        skip(WEEK);
        assertApproxEqAbs(_claim(alice), 500, 1);
        _unstake(alice, 10);
        assertEq(stakeToken.balanceOf(alice), 10);
        assertApproxEqAbs(reward.balanceOf(alice), 950, 1);
    }

    function test_tokensThatRefuseZeroWork() public {
        reward.setRefusesZero(true);
        stakeToken.setRefusesZero(true);
        _consent(alice, 1, 0);
        _stake(alice, 10);
        _fund(10, 1);
        skip(2 * WEEK);
        // The tip of one basis point of ten units is nothing.
        assertEq(_harvest(alice), 0);
        assertApproxEqAbs(reward.balanceOf(alice), 10, 1);
        assertEq(_claim(alice), 0);
    }

    /// R4: an account that the reward token blocks can be paid elsewhere and can always unstake.
    function test_R4_aBlockedAccountIsPaidElsewhere() public {
        _stake(alice, 10);
        _fund(1000, 1);
        skip(2 * WEEK);
        reward.setPayout(alice, Payout.Reverts);
        uint256 earned = _claimable(alice);
        vm.expectRevert(
            abi.encodeWithSelector(IRewards.TransferFailed.selector, address(reward), address(rewards), alice, earned)
        );
        _claim(alice);
        assertEq(_claimable(alice), earned);
        vm.prank(alice);
        assertEq(rewards.claim(pool, address(reward), alice, bob), earned);
        _unstake(alice, 10);
    }

    /// A refusal is a refusal, whether by a revert or by an answer.
    function test_aFalseAnswerUndoesAClaimAndAnUnstake() public {
        _stake(alice, 10);
        _fund(1000, 1);
        skip(2 * WEEK);
        uint256 earned = _claimable(alice);
        reward.setPayout(alice, Payout.ReturnsFalse);
        stakeToken.setPayout(alice, Payout.ReturnsFalse);
        vm.expectRevert(
            abi.encodeWithSelector(IRewards.TransferFailed.selector, address(reward), address(rewards), alice, earned)
        );
        _claim(alice);
        vm.expectRevert(
            abi.encodeWithSelector(IRewards.TransferFailed.selector, address(stakeToken), address(rewards), alice, 10)
        );
        _unstake(alice, 10);
        assertEq(rewards.staked(pool, alice), 10);
    }

    /// R4: unstaking and staking call no reward token, so that none can hold a stake back.
    function test_R4_aBrokenRewardTokenHoldsNoStakeBack() public {
        _stake(alice, 10);
        _fund(1000, 1);
        skip(2 * WEEK);
        reward.setRefusesEverything(true);
        vm.expectCall(address(reward), "", 0);
        _stake(bob, 10);
        _unstake(alice, 4);
        _unstake(alice, type(uint256).max);
        assertEq(stakeToken.balanceOf(alice), 10);
    }

    /// One broken reward token of a pool does not touch the other.
    function test_R4_aBrokenRewardTokenDoesNotTouchTheOthers() public {
        OddToken broken = new OddToken();
        pool = rewards.createPool(address(stakeToken), _list(address(broken), address(reward)), 0);
        _stake(alice, 10);
        _fund(broken, 1000, _epoch() + 1, 1);
        _fund(reward, 1000, _epoch() + 1, 1);
        skip(2 * WEEK);
        broken.setRefusesEverything(true);
        assertApproxEqAbs(_claim(reward, alice), 1000, 1);
    }
}
