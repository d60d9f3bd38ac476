// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice An account with code that says for itself whether it signed (ERC-1271).
interface IERC1271 {
    /// @return magicValue 0x1626ba7e when it did
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4 magicValue);
}
