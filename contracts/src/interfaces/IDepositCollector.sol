// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Collector of deposits.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Brings the tokens of a deposit to the contract that calls it. The payer's consent must name the channel:
/// anyone may call `IChannels.deposit` for any payer, with its own receiver and its own signer of vouchers. A collector
/// that spends an allowance without such a consent gives everybody's allowance to everybody.
interface IDepositCollector {
    /// @notice Transfers exactly `amount` of `token` from `payer` to the caller, or reverts.
    /// @param channelId the channel that the payer consents to pay into
    /// @param data the payer's consent, in the collector's own encoding
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata data) external;
}
