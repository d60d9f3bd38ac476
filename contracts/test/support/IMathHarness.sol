// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Market} from "plimsoll/types/Market.sol";

/// @title Interface of the harness of the core's arithmetic.
/// @notice Computes with the core's libraries on many states in one call, to compare another implementation with them.
interface IMathHarness {
    /// @notice A market, a loan in it, and the arguments of the functions under test.
    /// @param curve the market's rate curve, packed
    /// @param timestamp up to which the market is accrued
    /// @param borrowShares of the loan
    /// @param collateral of the loan
    /// @param amount to be converted between shares and assets
    /// @param price of the collateral, 1e36-scaled
    /// @param risk the market's risk limits, packed
    /// @param limit the most that the liquidator repays
    struct Case {
        Market market;
        uint256 curve;
        uint256 timestamp;
        uint256 borrowShares;
        uint256 collateral;
        uint256 amount;
        uint256 price;
        uint256 risk;
        uint256 limit;
    }

    /// @notice The results for one case.
    /// @param accrued the market at the timestamp, of which all further results are computed
    /// @param interest added to the market's assets by the accrual
    /// @param feeShares added to the market's reserve by the accrual
    /// @param conversions of the amount: supply shares down and up, assets down and up, debt shares up and down, debt
    /// up
    /// @param debt of the loan
    /// @param totalAfterRepay borrow assets after the loan is repaid
    /// @param value of the loan's collateral
    /// @param healthy whether the loan is not liquidatable; the results below are 0 if so
    /// @param maxRepay the most that may be repaid
    /// @param incentiveFactor 1e18-scaled; 0 outside the ramp
    /// @param repaid within the limit
    /// @param seized for it on the ramp; 0 outside it
    /// @param surge the room, the level after the amount is borrowed, and the level after it is paid in; 0 in a market
    /// without a surge limit
    struct Answer {
        Market accrued;
        uint256 interest;
        uint256 feeShares;
        uint256[7] conversions;
        uint256 debt;
        uint256 totalAfterRepay;
        uint256 value;
        bool healthy;
        uint256 maxRepay;
        uint256 incentiveFactor;
        uint256 repaid;
        uint256 seized;
        uint256[3] surge;
    }

    /// @notice Computes the answer to each case.
    function answers(Case[] calldata cases) external pure returns (Answer[] memory all);
}
