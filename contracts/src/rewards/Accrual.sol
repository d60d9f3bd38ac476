// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice The changes that bring a stream from its last update to a later time.
/// @param accumulatorIncrease the growth of the accumulator
/// @param remainder of the stream at that time
/// @param epoch that the time lies in
/// @param epochAmount the whole amount of that epoch, `joined` included
/// @param joined the part of `epochAmount` that earlier epochs did not pay because nobody was staked
/// @param deferred the part of `epochAmount` added to the next epoch because nobody was staked
struct Accrual {
    uint256 accumulatorIncrease;
    uint256 remainder;
    uint256 epoch;
    uint256 epochAmount;
    uint256 joined;
    uint256 deferred;
}
