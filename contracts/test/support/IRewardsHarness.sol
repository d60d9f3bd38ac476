// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Accrual} from "plimsoll/rewards/Accrual.sol";

/// @title Interface of the harness of the arithmetic of rewards.
/// @notice Computes with the libraries of `Rewards` on many states in one call, to compare another implementation with
/// them.
interface IRewardsHarness {
    /// @notice A stream, an account in its pool, and the arguments of the functions under test.
    /// @param scheduled the amounts of the epochs after that of the last update, the next one first
    /// @param until the time up to which the stream is projected
    /// @param fundedAmount given to the stream at the block's time
    /// @param fundedAhead how many epochs after the current one the funding begins
    /// @param fundedEpochs over how many epochs the funding is spread
    /// @param staked by the account
    /// @param offset of the account
    /// @param amount that the account stakes, unstakes or is paid
    struct Case {
        uint192 accumulator;
        uint40 lastUpdate;
        uint64 remainder;
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

    /// @notice The results for one case; the stream's are those after accrual and funding at the block's time.
    /// @param ahead the projection up to `until`, before accrual
    /// @param amounts of the epoch of the block's time and the 26 after it
    /// @param claimable by the account at the block's time
    /// @param offsets of the account after the amount is staked, unstaked, paid
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

    /// @notice Computes the answer to each case.
    function answers(Case[] calldata cases) external returns (Answer[] memory all);
}
