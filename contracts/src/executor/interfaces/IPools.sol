// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Pair of Uniswap V2.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IUniswapV2Pair {
    /// @notice Returns what the pair holds of its two tokens, as it accounts for it.
    function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 timestamp);

    /// @notice Sends tokens, calls back if there are data, and requires to have been paid.
    function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes calldata data) external;
}

/// @title Pool of Uniswap V3.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IUniswapV3Pool {
    /// @notice Swaps with the pool, which calls back to be paid.
    /// @param amountSpecified the exact input if positive, the exact output if negative
    function swap(
        address recipient,
        bool zeroForOne,
        int256 amountSpecified,
        uint160 sqrtPriceLimitX96,
        bytes calldata data
    ) external returns (int256 amount0, int256 amount1);
}
