// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Errors of the charge for gas.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Errors of contracts that charge the gas of a call to its profit.
interface IGasCharge {
    /// @notice The profit does not cover the charge for gas and the least profit besides, both in `required`.
    error ProfitTooLow(uint256 profit, uint256 required);
    /// @notice The cost of the gas is 2^128 wei or more.
    error CostTooHigh(uint256 costWei);
}
