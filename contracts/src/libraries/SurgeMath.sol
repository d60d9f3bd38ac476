// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {Market} from "../types/Market.sol";
import {Risk} from "../types/Risk.sol";

/// @title Surge limit library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Limits how fast the debt of a market can grow, so that collateral that has become worthless (by an unbacked
/// mint, a stolen bridge, a false price) draws no more than a part of the liquidity before people can act.
///
/// A leaky bucket: what is borrowed fills it, time empties it in a period, and what is paid in, by repayment or
/// liquidation, is taken out again, down to 0. Debt that is written off is not taken out: its room was used. The bucket
/// holds `limit = floor + share × aged debt`, where aged debt is the market's debt without what is in the bucket, so
/// that borrowing does not raise its own limit.
///
/// The market stores only the used part of the limit, its level, in 1 / `FULL`. With the debt B before a change, the
/// level f and fractions in basis points, `limit = N × FULL / D` where `N = floor × BPS + share × B` and
/// `D = BPS × FULL + share × f`, which solves `limit = floor + share × (B - limit × f / FULL)`.
/// @dev Of amounts of 128 bits: N < 2^142, D < 2^43, so no product exceeds 256 bits, and arithmetic is unchecked. A valid
/// limit has a floor and a period, so no divisor is 0.
/// Charges round up; refunds, refills and room round down.
library SurgeMath {
    uint256 internal constant BPS = 10_000;
    /// @dev The level of an exhausted limit. 28 bits: with fewer, an accrual every second would stop the refill.
    uint256 internal constant FULL = (1 << 28) - 1;

    /// @notice Lowers the level of a market in memory by the refill of `elapsed` seconds.
    function refill(Market memory market, Risk risk, uint256 elapsed) internal pure {
        if (market.surgeLevel == 0) return;
        unchecked {
            market.surgeLevel = FixedPointMathLib.zeroFloorSub(
                market.surgeLevel, FixedPointMathLib.rawDiv(elapsed * FULL, risk.surgePeriodSecs())
            );
        }
    }

    /// @notice Returns the level after `assets` are borrowed from a market with a limit; above `FULL` if they exceed the
    /// room.
    function levelAfterBorrow(Market memory market, Risk risk, uint256 assets) internal pure returns (uint256) {
        (uint256 n, uint256 d) = _limitFraction(market, risk);
        unchecked {
            return market.surgeLevel + FixedPointMathLib.rawDiv(assets * d + n - 1, n);
        }
    }

    /// @notice Lowers the level of a market in memory, which has a limit, by `assets` that are paid in, before its debt
    /// is lowered.
    function refund(Market memory market, Risk risk, uint256 assets) internal pure {
        (uint256 n, uint256 d) = _limitFraction(market, risk);
        unchecked {
            market.surgeLevel =
                FixedPointMathLib.zeroFloorSub(market.surgeLevel, FixedPointMathLib.rawDiv(assets * d, n));
        }
    }

    /// @notice Returns the most that can be borrowed at once, of a market with a limit.
    function room(Market memory market, Risk risk) internal pure returns (uint256) {
        (uint256 n, uint256 d) = _limitFraction(market, risk);
        unchecked {
            return (FULL - market.surgeLevel) * n / d;
        }
    }

    /// @dev N and D of the limit.
    function _limitFraction(Market memory market, Risk risk) private pure returns (uint256 n, uint256 d) {
        unchecked {
            uint256 share = risk.surgeShareBps();
            n = risk.surgeFloor() * BPS + share * market.borrowAssets;
            d = BPS * FULL + share * market.surgeLevel;
        }
    }
}
