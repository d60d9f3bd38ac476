// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Uniswap V3 path library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Reads paths through Uniswap V3 pools: token (20 bytes), fee (3 bytes), token, and so on.
/// @dev Only `leads` checks a path: call it before the other functions.
library UniswapV3Path {
    uint256 private constant TOKEN_BYTES = 20;
    uint256 private constant STEP_BYTES = 23;
    /// @dev One hop: two tokens and a fee.
    uint256 internal constant HOP_BYTES = 43;

    /// @notice Returns whether this is a path of at least one hop from one token to another.
    function leads(bytes calldata path, address from, address to) internal pure returns (bool) {
        return path.length >= HOP_BYTES && (path.length - TOKEN_BYTES) % STEP_BYTES == 0
            && address(bytes20(path)) == from && address(bytes20(path[path.length - TOKEN_BYTES:])) == to;
    }

    /// @notice Returns the number of hops.
    function hops(bytes calldata path) internal pure returns (uint256) {
        return path.length / STEP_BYTES;
    }

    /// @notice Returns a hop by its index.
    function hop(bytes calldata path, uint256 index) internal pure returns (bytes calldata) {
        return path[index * STEP_BYTES:index * STEP_BYTES + HOP_BYTES];
    }

    /// @notice Returns the last hop.
    function lastHop(bytes calldata path) internal pure returns (bytes calldata) {
        return path[path.length - HOP_BYTES:];
    }

    /// @notice Returns the path without its last hop.
    function withoutLastHop(bytes calldata path) internal pure returns (bytes calldata) {
        return path[:path.length - STEP_BYTES];
    }

    /// @notice Returns the two tokens and the fee of a hop.
    function decodeHop(bytes calldata hop_) internal pure returns (address tokenIn, uint24 fee, address tokenOut) {
        tokenIn = address(bytes20(hop_));
        fee = uint24(bytes3(hop_[TOKEN_BYTES:]));
        tokenOut = address(bytes20(hop_[STEP_BYTES:]));
    }
}
