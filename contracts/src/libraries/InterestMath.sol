// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {Market} from "../types/Market.sol";
import {RateCurve, RateCurveLibrary} from "../types/RateCurve.sol";
import {SharesMath} from "./SharesMath.sol";

/// @title Interest accrual library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Computes a market's borrow rate, its adaptation, and the interest. The rate is a line with a kink at the
/// target utilisation. The rate at target drifts by `exp(speed × distance × time)` towards the value that brings
/// utilisation to the target, between 0.1 % and 200 % a year. No function reverts, whatever the state and the elapsed
/// time: exponent, interest and fee saturate.
/// @dev Rates are 1e18-scaled per second. Divisions round down, except for the new rate at target; interest below a
/// unit is kept as a remainder. Amounts fit 128 bits, borrow assets do not exceed supply assets, times fit 34 bits, as
/// in storage: then nothing can overflow, and arithmetic is unchecked.
library InterestMath {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    /// @dev The bound on half the exponent of the drift: exp(8) is 2981, and the bounds of the rate are a factor of
    /// 2000 apart.
    int256 internal constant MAX_HALF_DRIFT = 8e18;
    uint256 internal constant MAX_AMOUNT = type(uint128).max;
    /// @dev The most shares that a market's reserve holds, 2e28 units at the initial share price. The fee on interest
    /// beyond that goes to suppliers.
    uint256 internal constant MAX_RESERVE_SHARES = (1 << 114) - 1;

    /// @notice Accrues the interest of a market in memory up to `timestamp`.
    /// @return interest added to borrow and supply assets
    /// @return feeShares added to supply and reserve shares for the reserve's part of the interest
    function accrue(Market memory market, RateCurve curve, uint256 timestamp)
        internal
        pure
        returns (uint256 interest, uint256 feeShares)
    {
        unchecked {
            uint256 elapsed = timestamp - market.lastUpdate;
            market.lastUpdate = timestamp;

            int256 distance = distanceFromTarget(market.supplyAssets, market.borrowAssets, curve.targetBps());
            (uint256 rateAtTarget, uint256 newRateAtTarget) =
                drift(market.rateAtTarget, distance, curve.speedPerYear(), elapsed);
            market.rateAtTarget = newRateAtTarget;

            uint256 growth = compounded(borrowRate(rateAtTarget, distance, curve.steepness()), elapsed);
            (interest, market.interestRemainder) = interestOn(market.borrowAssets, growth, market.interestRemainder);
            // Debt does not exceed supply, so the bound on supply assets also bounds borrow assets.
            interest = FixedPointMathLib.min(interest, MAX_AMOUNT - market.supplyAssets);
            market.borrowAssets += interest;
            market.supplyAssets += interest;
            if (market.feeBps != 0) {
                feeShares = FixedPointMathLib.min(
                    feeSharesDown(interest, market.feeBps, market.supplyAssets, market.supplyShares),
                    MAX_RESERVE_SHARES - market.reserveShares
                );
                market.supplyShares += feeShares;
                market.reserveShares += feeShares;
            }
        }
    }

    /// @notice Returns the distance of utilisation from the target, 1e18-scaled: -1 at utilisation 0, 0 at the target,
    /// 1 at full utilisation.
    function distanceFromTarget(uint256 supplyAssets, uint256 borrowAssets, uint256 targetBps)
        internal
        pure
        returns (int256)
    {
        unchecked {
            uint256 target = targetBps * (WAD / BPS);
            uint256 utilisation = supplyAssets == 0 ? 0 : borrowAssets * WAD / supplyAssets;
            if (utilisation >= target) return int256((utilisation - target) * WAD / (WAD - target));
            return -int256((target - utilisation) * WAD / target);
        }
    }

    /// @notice Returns the rate at target after `elapsed` seconds, and its average over them (by trapezoids with a
    /// middle point).
    function drift(uint256 rateAtTarget, int256 distance, uint256 speedPerYear, uint256 elapsed)
        internal
        pure
        returns (uint256 average, uint256 end)
    {
        // A kinked curve and a market at its target need no exponential.
        if (speedPerYear == 0 || distance == 0) return (rateAtTarget, rateAtTarget);
        unchecked {
            int256 half = int256(speedPerYear) * distance * int256(elapsed) / int256(2 * BPS * 365 days);
            half = FixedPointMathLib.clamp(half, -MAX_HALF_DRIFT, MAX_HALF_DRIFT);
            uint256 factor = uint256(FixedPointMathLib.expWad(half));
            uint256 middle = _withinBounds(rateAtTarget * factor / WAD);
            // Rounded to the nearest: if rounded down, frequent calls would lower the rate by their rounding errors.
            end = _withinBounds((rateAtTarget * factor * factor + WAD * WAD / 2) / (WAD * WAD));
            average = (rateAtTarget + 2 * middle + end) / 4;
        }
    }

    /// @notice Returns the borrow rate at a distance from the target: the rate at target times `steepness` at full
    /// utilisation and divided by `steepness` at utilisation 0, with straight lines between.
    function borrowRate(uint256 rateAtTarget, int256 distance, uint256 steepness) internal pure returns (uint256) {
        unchecked {
            if (distance >= 0) {
                return rateAtTarget * (BPS * WAD + (steepness - BPS) * uint256(distance)) / (BPS * WAD);
            }
            return rateAtTarget * (steepness * WAD - (steepness - BPS) * uint256(-distance)) / (steepness * WAD);
        }
    }

    /// @notice Returns `exp(rate × elapsed) - 1`, 1e18-scaled, by the first three terms of its series, at most 2^96 -
    /// 1.
    function compounded(uint256 ratePerSecond, uint256 elapsed) internal pure returns (uint256) {
        unchecked {
            // Rates fit 40 bits, so the terms fit 80, 99 and 117.
            uint256 first = ratePerSecond * elapsed;
            uint256 second = first * first / (2 * WAD);
            uint256 third = second * first / (3 * WAD);
            return FixedPointMathLib.min(first + second + third, type(uint96).max);
        }
    }

    /// @notice Returns the whole units of interest on a debt, and the remainder in 2^-32 units.
    function interestOn(uint256 borrowAssets, uint256 growth, uint256 remainder)
        internal
        pure
        returns (uint256 interest, uint256 newRemainder)
    {
        unchecked {
            // (2^128 - 1) × (2^96 - 1) × 2^32 + 2^32 < 2^256.
            uint256 scaled = ((borrowAssets * growth) << 32) / WAD + remainder;
            return (scaled >> 32, uint32(scaled));
        }
    }

    /// @notice Returns the shares that are worth the fee on `interest`. They are computed from the fee before it is
    /// rounded to units, so that frequent accruals do not deprive the reserve of its part.
    /// @param supplyAssets of the market, the interest included
    function feeSharesDown(uint256 interest, uint256 feeBps, uint256 supplyAssets, uint256 supplyShares)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 feeTimesBps = interest * feeBps;
            uint256 shares = FixedPointMathLib.fullMulDiv(
                feeTimesBps,
                supplyShares + SharesMath.VIRTUAL_SHARES,
                (supplyAssets + SharesMath.VIRTUAL_ASSETS) * BPS - feeTimesBps
            );
            return FixedPointMathLib.min(shares, MAX_AMOUNT - SharesMath.VIRTUAL_SHARES - supplyShares);
        }
    }

    function _withinBounds(uint256 rate) private pure returns (uint256) {
        return FixedPointMathLib.clamp(rate, RateCurveLibrary.MIN_RATE_AT_TARGET, RateCurveLibrary.MAX_RATE_AT_TARGET);
    }
}
