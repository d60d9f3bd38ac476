// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {RewardMath} from "plimsoll/rewards/RewardMath.sol";
import {Stream, StreamLib} from "plimsoll/rewards/Stream.sol";
import {IRewardsHarness} from "./IRewardsHarness.sol";

/// @title Harness of the arithmetic of rewards.
/// @notice See `IRewardsHarness`.
contract RewardsHarness is IRewardsHarness {
    using RewardMath for uint128;

    mapping(uint256 number => Stream) private _streams;

    /// @inheritdoc IRewardsHarness
    function answers(Case[] calldata cases) external returns (Answer[] memory all) {
        all = new Answer[](cases.length);
        for (uint256 i; i < cases.length; ++i) {
            _store(cases[i], _streams[i]);
            _stream(cases[i], _streams[i], all[i]);
            _account(cases[i], all[i]);
        }
    }

    function _store(Case calldata c, Stream storage stream) internal {
        stream.setUpdated(c.accumulator, c.lastUpdate, c.remainder);
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
        a.remainder = stream.remainder();
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
