// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice A market's interest rate curve in one word:
/// bits 0–39 starting rate at target (1e18 per second), 40–55 target utilisation in basis points,
/// 56–79 steepness (10,000 is 1), 80–111 adjustment speed a year (10,000 is 1).
type RateCurve is uint256;

using RateCurveLibrary for RateCurve global;

/// @notice Packs a rate curve. Its bounds are checked when a market is created.
/// @param startRatePerSecond the initial borrow rate at the target utilisation, 1e18-scaled per second
/// @param targetBps the utilisation that the curve steers towards, in basis points
/// @param steepness the borrow rate at full utilisation, and the inverse of that at utilisation 0, as multiples of the
/// rate at target; 10,000 is 1
/// @param speedPerYear how fast the rate at target moves at the largest distance from the target; 10,000 is a factor of
/// e a year, 0 leaves it at its initial value, which makes a plain kinked curve
function toRateCurve(uint40 startRatePerSecond, uint16 targetBps, uint24 steepness, uint32 speedPerYear)
    pure
    returns (RateCurve)
{
    return RateCurve.wrap(
        (uint256(speedPerYear) << 80) | (uint256(steepness) << 56) | (uint256(targetBps) << 40) | startRatePerSecond
    );
}

/// @title Rate curve library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Unpacks and validates a market's interest rate curve.
library RateCurveLibrary {
    /// @dev 0.1 % a year: low enough for any market, high enough to climb back from in weeks.
    uint256 internal constant MIN_RATE_AT_TARGET = 0.001e18 / uint256(365 days);
    /// @dev 200 % a year.
    uint256 internal constant MAX_RATE_AT_TARGET = 2e18 / uint256(365 days);
    /// @dev 1 %.
    uint256 internal constant MIN_TARGET_BPS = 100;
    /// @dev 99 %.
    uint256 internal constant MAX_TARGET_BPS = 9_900;
    /// @dev 1: a flat line.
    uint256 internal constant MIN_STEEPNESS = 10_000;
    /// @dev 10.
    uint256 internal constant MAX_STEEPNESS = 100_000;
    /// @dev 200 a year: at full utilisation the rate then doubles in little more than a day.
    uint256 internal constant MAX_SPEED_PER_YEAR = 2_000_000;

    /// @notice Returns the borrow rate at the target utilisation of a new market, 1e18-scaled per second.
    function startRatePerSecond(RateCurve curve) internal pure returns (uint256) {
        return uint40(RateCurve.unwrap(curve));
    }

    /// @notice Returns the utilisation that the curve steers towards, in basis points.
    function targetBps(RateCurve curve) internal pure returns (uint256) {
        return uint16(RateCurve.unwrap(curve) >> 40);
    }

    /// @notice Returns the rate at full utilisation as a multiple of the rate at target; 10,000 is 1.
    function steepness(RateCurve curve) internal pure returns (uint256) {
        return uint24(RateCurve.unwrap(curve) >> 56);
    }

    /// @notice Returns the exponent by which the rate at target moves in a year at the largest distance; 10,000 is 1.
    function speedPerYear(RateCurve curve) internal pure returns (uint256) {
        return uint32(RateCurve.unwrap(curve) >> 80);
    }

    /// @notice Returns whether a market may be created with this curve. Unused bits must be 0, or one market would have
    /// two ids.
    function isValid(RateCurve curve) internal pure returns (bool) {
        uint256 start = curve.startRatePerSecond();
        uint256 target = curve.targetBps();
        uint256 steep = curve.steepness();
        return start >= MIN_RATE_AT_TARGET && start <= MAX_RATE_AT_TARGET && target >= MIN_TARGET_BPS
            && target <= MAX_TARGET_BPS && steep >= MIN_STEEPNESS && steep <= MAX_STEEPNESS
            && curve.speedPerYear() <= MAX_SPEED_PER_YEAR && RateCurve.unwrap(curve) >> 112 == 0;
    }
}
