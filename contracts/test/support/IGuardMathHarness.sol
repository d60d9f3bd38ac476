// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Interface of the harness of the guard's arithmetic.
/// @notice Computes with the guard's library on many states in one call, to compare another implementation with it.
interface IGuardMathHarness {
    /// @notice An order, and a loan in a market that is accrued.
    /// @param kind number of the order's kind
    /// @param totalBorrowAssets of the market
    /// @param totalBorrowShares of the market
    /// @param borrowShares of the loan
    /// @param collateral of the loan
    /// @param price of the collateral, 1e36-scaled
    /// @param minDebt of the market
    /// @param budget the account's own tokens that may be used
    struct Case {
        uint256 kind;
        uint256 triggerLtvBps;
        uint256 targetLtvBps;
        uint256 triggerPrice;
        uint256 premiumStartPpm;
        uint256 premiumEndPpm;
        uint256 rampBps;
        uint256 flatTip;
        uint256 totalBorrowAssets;
        uint256 totalBorrowShares;
        uint256 borrowShares;
        uint256 collateral;
        uint256 price;
        uint256 minDebt;
        uint256 budget;
    }

    /// @notice The results for one case: all 0 if the trigger is not met.
    struct Answer {
        uint256 triggered;
        uint256 premium;
        uint256 own;
        uint256 ownReward;
        uint256 payment;
        uint256 sold;
    }

    /// @notice Computes the results for each case.
    function answers(Case[] calldata cases) external pure returns (Answer[] memory);
}
