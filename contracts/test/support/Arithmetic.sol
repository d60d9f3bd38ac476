// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {InterestMath} from "plimsoll/libraries/InterestMath.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";

/// @notice Exposes the contracts' arithmetic to calls from a test outside the chain.
contract Arithmetic {
    function expWad(int256 x) external pure returns (int256) {
        return FixedPointMathLib.expWad(x);
    }

    function fullMulDiv(uint256 x, uint256 y, uint256 d) external pure returns (uint256) {
        return FixedPointMathLib.fullMulDiv(x, y, d);
    }

    function fullMulDivUp(uint256 x, uint256 y, uint256 d) external pure returns (uint256) {
        return FixedPointMathLib.fullMulDivUp(x, y, d);
    }

    function compounded(uint256 ratePerSecond, uint256 elapsed) external pure returns (uint256) {
        return InterestMath.compounded(ratePerSecond, elapsed);
    }

    function borrowRate(uint256 rateAtTarget, int256 distance, uint256 steepness) external pure returns (uint256) {
        return InterestMath.borrowRate(rateAtTarget, distance, steepness);
    }

    function distanceFromTarget(uint256 supplyAssets, uint256 borrowAssets, uint256 targetBps)
        external
        pure
        returns (int256)
    {
        return InterestMath.distanceFromTarget(supplyAssets, borrowAssets, targetBps);
    }

    /// @notice `times` updates one after another, `elapsed` apart, at the same distance from the target.
    /// @return average of the rate at target over the last of them
    /// @return end the rate at target after all of them
    function drift(uint256 rateAtTarget, int256 distance, uint256 speedPerYear, uint256 elapsed, uint256 times)
        external
        pure
        returns (uint256 average, uint256 end)
    {
        end = rateAtTarget;
        for (uint256 i; i < times; ++i) {
            (average, end) = InterestMath.drift(end, distance, speedPerYear, elapsed);
        }
    }

    function maxIncentiveFactor(uint256 liquidationLtvBps) external pure returns (uint256) {
        return LiquidationMath.incentiveOf(liquidationLtvBps).maxIncentiveFactor;
    }
}
