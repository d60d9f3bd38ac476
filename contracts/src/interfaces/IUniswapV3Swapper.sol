// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Swap adapter of Uniswap V3, in addition to `ISwapper`.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Swaps with pools directly, including those of forks that kept the callback's name and whose factory creates
/// the pools itself. A route is a Uniswap path in the direction of the swap, whether its input or its output is exact:
/// token (20 bytes), fee (3 bytes), token, and so on for any number of pools.
interface IUniswapV3Swapper {
    /// @notice The address has no code.
    error NoCode(address account);
    /// @notice The route is not a path from the one token to the other.
    error InvalidRoute(address tokenIn, address tokenOut, bytes route);
    /// @notice The factory has not created this pool.
    error NoPool(address tokenA, address tokenB, uint24 fee);
    /// @notice The pool's liquidity does not suffice to swap the amount at any price.
    error PoolTooShallow(address pool, uint256 amount, uint256 possible);
    /// @notice The caller of the callback is not the pool that the path names.
    error NotThePool(address caller, address pool);

    /// @notice Returns the factory whose pools are used.
    function factory() external view returns (address);

    /// @notice Returns the keccak256 of the creation code of the factory's pools.
    function poolInitCodeHash() external view returns (bytes32);

    /// @notice Returns the address of the factory's pool of two tokens, in any order, whether it exists or not.
    function poolOf(address tokenA, address tokenB, uint24 fee) external view returns (address);

    /// @notice Called by a pool to be paid for a swap that this contract began.
    /// @param data the rest of the path, whose last hop is the calling pool
    function uniswapV3SwapCallback(int256 amount0Delta, int256 amount1Delta, bytes calldata data) external;
}
