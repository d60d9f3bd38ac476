// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";

contract FundingTest is RewardsTest {
    /// R1, R2: an amount is spread evenly over its epochs, and what the division leaves goes to the first.
    function test_R2_anAmountIsSpreadEvenlyToTheLastUnit(uint256 amount, uint256 ahead, uint256 epochs) public {
        amount = bound(amount, 1, MAX_FUNDED);
        ahead = bound(ahead, 1, EPOCHS_AHEAD);
        epochs = bound(epochs, 1, EPOCHS_AHEAD + 1 - ahead);
        _give(reward, bob, amount);

        vm.expectEmit(address(rewards));
        emit IRewards.Fund(pool, address(reward), bob, _epoch() + ahead, epochs, amount);
        vm.prank(bob);
        assertEq(rewards.fund(pool, address(reward), amount, _epoch() + ahead, epochs), amount);

        (uint256 current, uint256[] memory amounts) = rewards.schedule(pool, address(reward));
        assertEq(current, _epoch());
        assertEq(amounts.length, EPOCHS_AHEAD + 1);
        for (uint256 i; i < amounts.length; i++) {
            uint256 expected = i < ahead || i >= ahead + epochs ? 0 : amount / epochs;
            assertEq(amounts[i], i == ahead ? expected + amount % epochs : expected);
        }
        assertEq(reward.balanceOf(address(rewards)), amount);
        IRewards.StreamState memory stream = rewards.streamState(pool, address(reward));
        assertEq(stream.funded, amount);
        assertEq(stream.lastFundedEpoch, _epoch() + ahead + epochs - 1);
    }

    /// Nobody dilutes anybody: what two funders give to an epoch adds up.
    function test_fundingAddsUp(uint96 first, uint96 second, uint8 epochs) public {
        first = uint96(bound(first, 1, MAX_FUNDED / 2));
        second = uint96(bound(second, 1, MAX_FUNDED / 2));
        uint256 n = bound(epochs, 1, EPOCHS_AHEAD);
        _fund(first, n);
        _fund(second, EPOCHS_AHEAD);
        assertEq(_scheduled(1), first / n + first % n + second / EPOCHS_AHEAD + second % EPOCHS_AHEAD);
        assertEq(_scheduledSum(), uint256(first) + second);
        assertEq(rewards.streamState(pool, address(reward)).lastFundedEpoch, _epoch() + EPOCHS_AHEAD);
    }

    /// A shorter programme that is funded later does not cut off a longer one.
    function test_R2_aShorterStreamDoesNotEndALongerOne() public {
        _stake(alice, 1e18);
        _fund(reward, 1000, _epoch() + 20, 1);
        _fund(reward, 1000, _epoch() + 1, 1);
        skip(22 * WEEK);
        assertApproxEqAbs(_claim(alice), 2000, 1);
    }

    function test_L4_onlyTheNext26EpochsCanBeFunded() public {
        _give(reward, address(this), 1000);
        uint256 now_ = _epoch();
        _expectOutOfRange(now_, 1);
        rewards.fund(pool, address(reward), 1, now_, 1);
        _expectOutOfRange(now_ - 1, 1);
        rewards.fund(pool, address(reward), 1, now_ - 1, 1);
        _expectOutOfRange(now_ + 1, 0);
        rewards.fund(pool, address(reward), 1, now_ + 1, 0);
        _expectOutOfRange(now_ + 1, 27);
        rewards.fund(pool, address(reward), 1, now_ + 1, 27);
        _expectOutOfRange(now_ + 26, 2);
        rewards.fund(pool, address(reward), 1, now_ + 26, 2);
        _expectOutOfRange(now_ + 27, 1);
        rewards.fund(pool, address(reward), 1, now_ + 27, 1);
        _expectOutOfRange(type(uint256).max, type(uint256).max);
        rewards.fund(pool, address(reward), 1, type(uint256).max, type(uint256).max);
        _expectOutOfRange(now_ + 1, type(uint256).max);
        rewards.fund(pool, address(reward), 1, now_ + 1, type(uint256).max);

        rewards.fund(pool, address(reward), 26, now_ + 1, 26);
        rewards.fund(pool, address(reward), 1, now_ + 26, 1);
        assertEq(_scheduled(26), 2);
    }

    function _expectOutOfRange(uint256 firstEpoch, uint256 epochs) private {
        uint256 now_ = _epoch();
        vm.expectRevert(
            abi.encodeWithSelector(IRewards.EpochsOutOfRange.selector, firstEpoch, epochs, now_ + 1, now_ + 26)
        );
    }

    /// The last second of an epoch still funds the next one, its first second does not any more.
    function test_theNextBoundaryIsTheEarliest() public {
        uint256 next = _epoch() + 1;
        vm.warp(next * WEEK - 1);
        _fund(reward, 5, next, 1);
        assertEq(_scheduled(1), 5);
        vm.warp(next * WEEK);
        _expectOutOfRange(next, 1);
        rewards.fund(pool, address(reward), 5, next, 1);
    }

    function test_onlyListedRewardTokensAreFunded() public {
        _give(stakeToken, address(this), 5);
        uint256 next = _epoch() + 1;
        bytes memory unknown = abi.encodeWithSelector(IRewards.UnknownRewardToken.selector, pool, address(stakeToken));
        vm.expectRevert(unknown);
        rewards.fund(pool, address(stakeToken), 5, next, 1);
        vm.expectRevert(abi.encodeWithSelector(IRewards.UnknownRewardToken.selector, pool, address(0)));
        rewards.fund(pool, address(0), 5, next, 1);
        bytes32 nowhere = keccak256("nowhere");
        vm.expectRevert(abi.encodeWithSelector(IRewards.UnknownRewardToken.selector, nowhere, address(reward)));
        rewards.fund(nowhere, address(reward), 5, next, 1);
    }

    function test_fundingWithZeroIsRefused() public {
        uint256 next = _epoch() + 1;
        vm.expectRevert(IRewards.ZeroAmount.selector);
        rewards.fund(pool, address(reward), 0, next, 1);
    }

    function test_fundingNeedsTheTokens() public {
        uint256 next = _epoch() + 1;
        vm.expectRevert(
            abi.encodeWithSelector(
                IRewards.TransferFailed.selector, address(reward), address(this), address(rewards), 7
            )
        );
        rewards.fund(pool, address(reward), 7, next, 1);
    }

    /// The lifetime limit is what keeps the accumulator from overflowing; it counts all epochs ever funded.
    function test_R1_lifetimeFundingStaysBelowTwoToThe96() public {
        _fund(MAX_FUNDED - 1, 3);
        skip(10 * WEEK);
        _fund(1, 1);
        _give(reward, address(this), 1);
        uint256 next = _epoch() + 1;
        vm.expectRevert(abi.encodeWithSelector(IRewards.FundingTooLarge.selector, MAX_FUNDED, 1));
        rewards.fund(pool, address(reward), 1, next, 1);
    }

    /// A funder changes nothing of what the current epoch pays (R4), and an idle stretch before is not lost (R2).
    function test_R4_fundingChangesNothingThatWasAgreed(uint96 amount, uint32 wait) public {
        amount = uint96(bound(amount, 1, MAX_FUNDED / 2));
        wait = uint32(bound(wait, 0, 60 * WEEK));
        _fund(amount, 2);
        skip(wait);
        uint256 before = _scheduledSum();
        uint256 claimableLater = rewards.claimableAt(pool, address(reward), alice, vm.getBlockTimestamp() + WEEK);
        uint256[2] memory ahead = [_scheduled(0), _scheduled(1)];
        _fund(reward, 1000, _epoch() + 2, 1);
        assertEq(_scheduledSum(), before + 1000);
        assertEq(_scheduled(0), ahead[0]);
        assertEq(_scheduled(1), ahead[1]);
        assertEq(rewards.claimableAt(pool, address(reward), alice, vm.getBlockTimestamp() + WEEK), claimableLater);
    }
}
