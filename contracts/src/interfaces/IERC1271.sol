// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Signature validation by a contract (ERC-1271).
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IERC1271 {
    /// @notice Returns whether the contract accepts a signature of a hash as its own.
    /// @return magicValue 0x1626ba7e if it does
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4 magicValue);
}
