// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Transfers by signature (ERC-3009).
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice The form with the signature in one piece, as USDC has it since version 2.2.
interface IERC3009 {
    /// @notice Transfers `value` from `from` to the caller, which must be `to`, by a signature of `from`.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external;
}
