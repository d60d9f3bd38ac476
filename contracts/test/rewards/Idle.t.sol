// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";

/// @notice R2 where it is hardest to keep: nobody is staked for a while, for a week, for years.
contract IdleTest is RewardsTest {
    /// @dev Updates the stream and changes nothing else, by a claim of an account without rewards.
    function _poke() private {
        assertEq(_claim(carol), 0);
    }

    function test_R2_idleSecondsArePaidInTheNextEpoch() public {
        _fund(WEEK * 10, 1);
        skip(WEEK + 100_000);
        vm.expectEmit(address(rewards));
        emit IRewards.Defer(pool, address(reward), _epoch() + 1, 1_000_000);
        vm.expectEmit(address(rewards));
        emit IRewards.Accrue(pool, address(reward), 0, 0);
        _poke();
        assertEq(_scheduled(0), WEEK * 10);
        assertEq(_scheduled(1), 1_000_000);
    }

    function test_R2_deferredRewardsAreAddedToTheNextEpoch() public {
        _fund(reward, WEEK * 10, _epoch() + 1, 1);
        _fund(reward, WEEK * 3, _epoch() + 2, 1);
        skip(WEEK + 100_000);
        _stake(alice, 1);
        assertEq(_scheduled(0), WEEK * 10);
        assertEq(_scheduled(1), WEEK * 3 + 1_000_000);

        skip(WEEK - 100_000);
        assertEq(_claimable(alice), (WEEK - 100_000) * 10);
        skip(WEEK);
        assertEq(_claim(alice), WEEK * 13);
    }

    /// An epoch that nobody saw moves on whole, over epochs that have nothing and beyond the last funded one.
    function test_R2_idleEpochsMoveOnWhole() public {
        _fund(reward, 70, _epoch() + 1, 1);
        _fund(reward, 7, _epoch() + 3, 1);
        skip(4 * WEEK);
        assertEq(_scheduled(0), 77);
        assertEq(_scheduledSum(), 77);
        uint256 now_ = _epoch();
        vm.expectEmit(address(rewards));
        emit IRewards.Defer(pool, address(reward), now_, 77);
        _poke();
        assertEq(rewards.streamState(pool, address(reward)).epochAmount, 77);
    }

    function test_R2_aSingleUnitThatMovesOnIsAnnounced() public {
        _fund(1, 1);
        skip(4 * WEEK);
        vm.expectEmit(address(rewards));
        emit IRewards.Defer(pool, address(reward), _epoch(), 1);
        _poke();
    }

    /// L4, R2: a hundred years without anybody cost nothing, in gas or in rewards.
    function test_L4_R2_aCenturyLaterEverythingIsThere(uint96 amount, uint8 epochs, uint32 wait) public {
        amount = uint96(bound(amount, 1, MAX_FUNDED));
        _fund(amount, bound(epochs, 1, EPOCHS_AHEAD));
        skip(100 * 365 days + uint256(wait) % WEEK);
        uint256 gasBefore = gasleft();
        _stake(alice, 1);
        assertLt(gasBefore - gasleft(), 500_000);
        // The elapsed part of this epoch was idle, too, so the amount is paid over this one and the next.
        skip(2 * WEEK);
        assertGe(_claim(alice) + 1, amount);
    }

    /// R2: how often an idle stream is brought up to date changes no amount, not even the remainder.
    function test_R2_pokingAnIdleStreamChangesNothing(uint96 amount, uint32[8] calldata waits) public {
        amount = uint96(bound(amount, 1, MAX_FUNDED));
        _fund(amount, 5);
        uint256 snapshot = vm.snapshotState();
        uint256 all;
        for (uint256 i; i < waits.length; i++) {
            uint256 wait = uint256(waits[i]) % (2 * WEEK);
            all += wait;
            skip(wait);
            _poke();
        }
        IRewards.StreamState memory poked = rewards.streamState(pool, address(reward));
        (, uint256[] memory amountsPoked) = rewards.schedule(pool, address(reward));

        vm.revertToState(snapshot);
        skip(all);
        _poke();
        IRewards.StreamState memory once = rewards.streamState(pool, address(reward));
        (, uint256[] memory amountsOnce) = rewards.schedule(pool, address(reward));
        assertEq(poked.epochAmount, once.epochAmount);
        assertEq(poked.remainder, once.remainder);
        assertEq(amountsPoked, amountsOnce);
    }

    /// R2: idle and staked times in any order; at the end everything but a unit an account has been paid.
    function test_R2_idleAndStakedTimesTakeTurns(uint96 amount, uint32[6] calldata waits) public {
        amount = uint96(bound(amount, 1, MAX_FUNDED));
        _fund(amount, 3);
        for (uint256 i; i < waits.length; i++) {
            skip(uint256(waits[i]) % WEEK);
            if (i % 2 == 0) _stake(alice, 1e18);
            else _unstake(alice, 1e18);
        }
        skip(5 * WEEK);
        _stake(bob, 1e18);
        skip(2 * WEEK);
        uint256 paid = _claim(alice) + _claim(bob);
        assertLe(paid, amount);
        assertGe(paid + 2, amount);
    }

    /// A stake of one second earns one second.
    function test_R2_aSecondIsASecond() public {
        _fund(WEEK * 1e6, 1);
        skip(WEEK + 10);
        _stake(alice, 1);
        skip(1);
        _unstake(alice, 1);
        skip(10);
        assertEq(_claim(alice), 1e6);
        assertEq(_scheduled(1), 20 * 1e6);
    }

    /// The remainder of idle seconds, below a unit, goes to the next staker.
    function test_R2_theRemainderIsPaidToo() public {
        _stake(alice, 1);
        _fund(1, 1);
        skip(WEEK + 1);
        _unstake(alice, 1);
        skip(1);
        _poke();
        assertEq(rewards.streamState(pool, address(reward)).remainder, 1);
        _stake(alice, 1);
        skip(1);
        _poke();
        IRewards.StreamState memory stream = rewards.streamState(pool, address(reward));
        assertEq(stream.remainder, 0);
        assertEq(stream.accumulator, uint256(1 << 96) / WEEK + uint256(2 << 96) / WEEK);
    }
}
