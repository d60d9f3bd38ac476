// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Wrapped native coin.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice The part of WETH9's interface by which the chain's coin is wrapped and unwrapped, one for one.
interface IWrappedCoin {
    /// @notice Wraps the coins that are sent along, for the caller.
    function deposit() external payable;

    /// @notice Burns `amount` of the caller's tokens and sends it as many coins.
    function withdraw(uint256 amount) external;
}
