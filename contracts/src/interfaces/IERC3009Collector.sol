// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Collector of deposits by ERC-3009 authorisations.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice The payer signs the token's `ReceiveWithAuthorization` with this contract as recipient and
/// `keccak256(abi.encode(channelId, salt))` as nonce. So one authorisation pays into one channel, whatever account
/// sends it. It is an `IDepositCollector`, whose data is
/// `abi.encode(uint256 validAfter, uint256 validBefore, uint256 salt, bytes signature)`.
interface IERC3009Collector {
    /// @notice Only the channels contract may collect: it alone credits what arrives.
    error OnlyChannels(address caller);

    /// @notice The account has no code.
    error NoCode(address account);

    /// @notice Returns the contract that receives the deposits.
    function channels() external view returns (address);
}
