// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title The adapter to Uniswap V3, beside `ISwapper`
/// @notice Swaps with pools directly, also with those of forks that kept the callback's name and have the factory
/// itself create the pools. A route is Uniswap's path, in the direction of the swap whether its input or its output is
/// exact: token (20 bytes), fee (3 bytes), token, and so on for as many pools as wanted.
interface IUniswapV3Swapper {
    /// @notice There is no contract at this address.
    error NoCode(address account);
    /// @notice The route is no path from the one token to the other.
    error InvalidRoute(address tokenIn, address tokenOut, bytes route);
    /// @notice The factory has made no such pool.
    error NoPool(address tokenA, address tokenB, uint24 fee);
    /// @notice The pool has not enough to swap the amount at any price.
    error PoolTooShallow(address pool, uint256 amount, uint256 possible);
    /// @notice The caller is not the pool that it says it is.
    error NotThePool(address caller, address pool);

    /// @notice Whose pools are used.
    function factory() external view returns (address);

    /// @notice The keccak256 of the creation code of that factory's pools.
    function poolInitCodeHash() external view returns (bytes32);

    /// @notice Where the factory's pool of two tokens, in any order, is or would be.
    function poolOf(address tokenA, address tokenB, uint24 fee) external view returns (address);

    /// @notice Called by a pool to be paid for a swap that this contract began.
    /// @param data the rest of the path, its last hop being the calling pool
    function uniswapV3SwapCallback(int256 amount0Delta, int256 amount1Delta, bytes calldata data) external;
}
