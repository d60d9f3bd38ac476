// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title What a market asks about its collateral
/// @notice Both prices say how many raw units of the loan token one raw unit of the collateral token is worth, times
/// 1e36, so that `collateral × price / 1e36` is a value in loan token whatever the decimals of either.
///
/// A price answers or it reverts; 0 is never an answer, since a price of 0 that passed would make every collateral
/// worthless and a missing one that passed would make every loan healthy. Whoever calls relies on:
///  - `0 < borrowPrice() ≤ liquidationPrice()` whenever both answer in the same block;
///  - reads only: both are called statically, in the middle of an operation.
/// An oracle is chosen once, at a market's creation, by whoever creates it. Nothing in a market can replace it.
interface IOracle {
    /// @notice The price by which a loan counts as unsafe. It prefers an old price to none, because loans that cannot
    /// be liquidated are how bad debt is made: it may be as old as the oracle's own bound allows, which may be "no
    /// bound".
    /// @dev Reverts when a source answers nothing, 0, a negative number or a time that cannot be, when its answer is
    /// older than the bound for liquidation, or when the result is 0 or does not fit 256 bits.
    /// @return price loan units per collateral unit × 1e36, rounded down, at least 1
    function liquidationPrice() external view returns (uint256 price);

    /// @notice The price by which debt may be taken on and collateral taken out: the conservative one.
    /// @dev Reverts when `liquidationPrice` does, and also when a source is older than the bound for borrowing, when
    /// the chain's sequencer is down or came back only now, or when independent sources disagree too much.
    /// @return price loan units per collateral unit × 1e36, rounded down, at least 1 and at most `liquidationPrice()`
    function borrowPrice() external view returns (uint256 price);
}
