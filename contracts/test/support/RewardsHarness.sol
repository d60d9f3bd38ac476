// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {RewardMath} from "plimsoll/rewards/RewardMath.sol";
import {Accrual, Stream, StreamLib} from "plimsoll/rewards/Stream.sol";

/// @notice The arithmetic of rewards on many states in one call, for whoever computes the same elsewhere.
contract RewardsHarness {
    using RewardMath for uint128;

    /// @param scheduled what the epochs after that of the last update pay, the next one first
    /// @param until a time to look ahead to
    /// @param fundedAmount what is given at the block's time, to `fundedEpochs` from so many after the current one
    struct Case {
        uint192 accumulator;
        uint40 lastUpdate;
        uint24 remainder;
        uint96 epochAmount;
        uint96 funded;
        uint32 lastFundedEpoch;
        uint256[] scheduled;
        uint128 totalStaked;
        uint256 until;
        uint256 fundedAmount;
        uint256 fundedAhead;
        uint256 fundedEpochs;
        uint128 staked;
        uint128 offset;
        uint128 amount;
    }

    /// @param amounts what the epoch of the block's time and the 26 after it pay, once it was accrued and given
    /// @param offsets after the amount was staked, unstaked, paid
    struct Answer {
        Accrual ahead;
        uint256 accumulator;
        uint256 lastUpdate;
        uint256 remainder;
        uint256 funded;
        uint256 lastFundedEpoch;
        uint256[] amounts;
        uint256 claimable;
        uint256[3] offsets;
    }

    mapping(uint256 number => Stream) private _streams;

    function answers(Case[] calldata cases) external returns (Answer[] memory all) {
        all = new Answer[](cases.length);
        for (uint256 i; i < cases.length; ++i) {
            _store(cases[i], _streams[i]);
            _stream(cases[i], _streams[i], all[i]);
            _account(cases[i], all[i]);
        }
    }

    function _store(Case calldata c, Stream storage stream) internal {
        stream.accumulator = c.accumulator;
        stream.lastUpdate = c.lastUpdate;
        stream.remainder = c.remainder;
        stream.epochAmount = c.epochAmount;
        stream.funded = c.funded;
        stream.lastFundedEpoch = c.lastFundedEpoch;
        uint256 epoch = c.lastUpdate / StreamLib.EPOCH_SECONDS;
        for (uint256 i; i < c.scheduled.length; ++i) {
            stream.scheduled[epoch + 1 + i] = c.scheduled[i];
        }
    }

    function _stream(Case calldata c, Stream storage stream, Answer memory a) internal {
        a.ahead = stream.project(c.totalStaked, c.until);
        a.accumulator = stream.accrue(0, c.totalStaked);
        uint256 epoch = block.timestamp / StreamLib.EPOCH_SECONDS;
        stream.give(c.fundedAmount, epoch + c.fundedAhead, c.fundedEpochs);
        a.lastUpdate = stream.lastUpdate;
        a.remainder = stream.remainder;
        a.funded = stream.funded;
        a.lastFundedEpoch = stream.lastFundedEpoch;
        a.amounts = new uint256[](StreamLib.EPOCHS_AHEAD + 1);
        a.amounts[0] = stream.epochAmount;
        for (uint256 i = 1; i < a.amounts.length; ++i) {
            a.amounts[i] = stream.scheduled[epoch + i];
        }
    }

    function _account(Case calldata c, Answer memory a) internal pure {
        a.claimable = RewardMath.claimableDown(c.staked, a.accumulator, c.offset);
        a.offsets[0] = c.offset.offsetAfterStakeUp(c.amount, a.accumulator);
        a.offsets[1] = c.offset.offsetAfterUnstakeUp(c.amount, a.accumulator);
        a.offsets[2] = c.offset.offsetAfterPayment(c.amount);
    }
}
