// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Observations of a Uniswap V3 pool.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice The part of a pool's interface that an average price needs.
interface IUniswapV3Observer {
    /// @notice Returns the pool's token with the lower address; the pool's prices are in `token1` per `token0`.
    function token0() external view returns (address);

    /// @notice Returns the pool's token with the higher address.
    function token1() external view returns (address);

    /// @notice Returns the first four words of the pool's state; the further words differ between forks and are not
    /// read.
    function slot0()
        external
        view
        returns (uint160 sqrtPriceX96, int24 tick, uint16 observationIndex, uint16 observationCardinality);

    /// @notice Returns the sum of the tick over all seconds until each of the given moments. Reverts if a moment is
    /// before the oldest observation that the pool keeps.
    function observe(uint32[] calldata secondsAgos)
        external
        view
        returns (int56[] memory tickCumulatives, uint160[] memory secondsPerLiquidityCumulativeX128s);
}
