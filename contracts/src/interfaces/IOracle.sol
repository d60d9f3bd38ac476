// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Price oracle of a market's collateral.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Both prices are the value of one raw unit of the collateral token in raw units of the loan token, times
/// 1e36, so that `collateral × price / 1e36` is a value in loan token units whatever the decimals of either.
///
/// A price function returns a price or reverts. It never returns 0, since a price of 0 would make all collateral
/// worthless. A market relies on:
///  - `0 < borrowPrice() ≤ liquidationPrice()` whenever both return in the same block;
///  - view functions: both are called statically, during an operation.
/// A market's oracle is chosen at its creation and cannot be replaced.
interface IOracle {
    /// @notice Returns the price that decides whether a loan is liquidatable. An old price is preferred to none,
    /// because loans that cannot be liquidated become bad debt: it may be as old as the oracle's own bound allows,
    /// which may be unlimited.
    /// @dev Reverts if a source returns nothing, 0, a negative answer or an invalid time, if its answer is older than
    /// the bound for liquidation, or if the result is 0 or does not fit 256 bits.
    /// @return price loan units per collateral unit × 1e36, rounded down, at least 1
    function liquidationPrice() external view returns (uint256 price);

    /// @notice Returns the price that bounds borrowing and withdrawals of collateral: the conservative one.
    /// @dev Reverts if `liquidationPrice` does, and also if a source is older than the bound for borrowing or at a limit
    /// that it does not report prices beyond, if the chain's sequencer is down or has just come back, or if independent
    /// sources deviate too much.
    /// @return price loan units per collateral unit × 1e36, rounded down, at least 1 and at most `liquidationPrice()`
    function borrowPrice() external view returns (uint256 price);
}
