// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title What is read of a Uniswap V3 pool to know its average price
interface IUniswapV3Observer {
    /// @notice The pool's token with the lower address; prices inside the pool are in `token1` per `token0`.
    function token0() external view returns (address);

    /// @notice The pool's token with the higher address.
    function token1() external view returns (address);

    /// @notice The first four words of the pool's state; those that follow differ between forks and are not read.
    function slot0()
        external
        view
        returns (uint160 sqrtPriceX96, int24 tick, uint16 observationIndex, uint16 observationCardinality);

    /// @notice The sum of the tick over all seconds so far, as of each of the moments asked for.
    /// Reverts when a moment lies before the oldest observation that the pool still has.
    function observe(uint32[] calldata secondsAgos)
        external
        view
        returns (int56[] memory tickCumulatives, uint160[] memory secondsPerLiquidityCumulativeX128s);
}
