// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @title Liquidation arithmetic library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Computes which loans are liquidatable, how much of each may be repaid, and the liquidation incentive. With L
/// the liquidation LTV, D the debt, V the value of the collateral and H = V·L ÷ D the health factor, a loan with H < 1
/// is liquidatable and lies in one of three zones:
///  - *ramp*, V above βmax·D: the incentive factor β grows from βmin at H = 1 to βmax; the max repay lifts the health
///    factor to a target.
///  - *breakeven*, V from βmax·D down to βmin·D: the whole debt against the whole collateral, so that the liquidator
///    gains V − D.
///  - *insolvent*, V below βmin·D: the collateral no longer covers the debt and the smallest incentive. β rises again
///    to βmax, because a loan whose incentive does not pay for the liquidator's costs would never be liquidated; the
///    debt that the collateral does not pay for is bad debt.
/// @dev Incentive factors are 1e18-scaled: 1.05e18 is a bonus of 5 %. They are rounded down and repayments of whole
/// positions are rounded up, both against the liquidator.
library LiquidationMath {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant ORACLE_SCALE = 1e36;
    uint256 internal constant MAX_AMOUNT = type(uint128).max;
    /// @dev A bonus of 15 %, not exceeded however low the liquidation LTV.
    uint256 internal constant MAX_INCENTIVE_FACTOR = 1.15e18;

    /// @notice The rule by which a liquidatable loan is liquidated; see the library's description.
    enum Zone {
        Ramp,
        Breakeven,
        Insolvent
    }

    /// @notice The liquidation incentive that all loans of a market share.
    /// @param ltvBps liquidation LTV L in basis points
    /// @param maxIncentiveFactor βmax, 1e18-scaled
    /// @param minIncentiveFactor βmin, 1e18-scaled
    struct LiquidationIncentive {
        uint256 ltvBps;
        uint256 maxIncentiveFactor;
        uint256 minIncentiveFactor;
    }

    /// @notice Returns the incentive at a liquidation LTV: βmax = min(1.15, 1 ÷ (0.3·L + 0.7)), and βmin a quarter of
    /// the way from 1 to βmax. βmax·L < 1 for every L < 1.
    /// @dev Fields of a named return value are set one by one: a second struct would be allocated besides it.
    function incentiveOf(uint256 ltvBps) internal pure returns (LiquidationIncentive memory incentive) {
        unchecked {
            uint256 maxFactor = FixedPointMathLib.min(MAX_INCENTIVE_FACTOR, WAD * WAD / (0.7e18 + ltvBps * 0.3e14));
            incentive.ltvBps = ltvBps;
            incentive.maxIncentiveFactor = maxFactor;
            incentive.minIncentiveFactor = WAD + (maxFactor - WAD) / 4;
        }
    }

    /// @notice Returns the value of collateral in units of the loan token, at most 2^128 - 1: far above any debt.
    function valueDown(uint256 collateral, uint256 price) internal pure returns (uint256 value) {
        unchecked {
            // Collateral fits 128 bits: up to this price the product fits 256.
            if (price <= type(uint256).max / MAX_AMOUNT) {
                value = collateral * price / ORACLE_SCALE;
            } else {
                if (FixedPointMathLib.fullMulDiv(collateral, price, ORACLE_SCALE << 128) != 0) return MAX_AMOUNT;
                value = FixedPointMathLib.fullMulDiv(collateral, price, ORACLE_SCALE);
            }
            return FixedPointMathLib.min(value, MAX_AMOUNT);
        }
    }

    /// @notice Returns whether the health factor is at least 1: whether collateral of this value covers this debt at
    /// this LTV.
    function isHealthy(uint256 debt, uint256 value, uint256 ltvBps) internal pure returns (bool) {
        return debt * BPS <= value * ltvBps;
    }

    /// @notice Returns the zone of a liquidatable loan, the max repay, and on the ramp the incentive factor.
    /// @param debt of the loan, more than 0
    /// @param value of its collateral, at most 2^128 - 1
    /// @param minDebt the smallest debt that a liquidation may leave
    /// @return zone of the loan
    /// @return maxRepay the most that may be repaid, at most the debt
    /// @return incentiveFactor β on the ramp: the value seized for each unit repaid. 0 in the other zones, where the
    /// whole position is liquidated and the factor follows from `maxRepay`
    function maxRepayOf(LiquidationIncentive memory incentive, uint256 debt, uint256 value, uint256 minDebt)
        internal
        pure
        returns (Zone zone, uint256 maxRepay, uint256 incentiveFactor)
    {
        unchecked {
            uint256 valueWad = value * WAD;
            if (valueWad > incentive.maxIncentiveFactor * debt) {
                zone = Zone.Ramp;
                incentiveFactor = rampIncentiveFactorDown(incentive, debt, value);
                maxRepay = repayToTargetDown(incentive.ltvBps, debt, value, incentiveFactor);
                if (debt - maxRepay < minDebt) maxRepay = debt;
            } else if (valueWad >= incentive.minIncentiveFactor * debt) {
                zone = Zone.Breakeven;
                maxRepay = debt;
            } else {
                zone = Zone.Insolvent;
                maxRepay = FixedPointMathLib.divUp(valueWad, insolventIncentiveFactorDown(incentive, debt, value));
            }
        }
    }

    /// @notice Returns how much of the max repay is repaid by a liquidator who repays no more than `limit`, such that
    /// no debt between 0 and `minDebt` is left; 0 where no part can be repaid.
    function repayWithinDown(Zone zone, uint256 maxRepay, uint256 debt, uint256 limit, uint256 minDebt)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            if (limit >= maxRepay) return maxRepay;
            if (debt <= minDebt) return 0;
            uint256 room = debt - minDebt;
            // A part of a whole position removes debt in proportion.
            if (zone != Zone.Ramp) room = maxRepay * room / debt;
            return FixedPointMathLib.min(limit, room);
        }
    }

    /// @notice Returns β on the ramp: βmin + (βmax - βmin) · (1 - H) ÷ (1 - L·βmax).
    function rampIncentiveFactorDown(LiquidationIncentive memory incentive, uint256 debt, uint256 value)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            (uint256 ltvBps, uint256 maxFactor, uint256 minFactor) =
                (incentive.ltvBps, incentive.maxIncentiveFactor, incentive.minIncentiveFactor);
            uint256 slope = (maxFactor - minFactor) * WAD / (WAD - ltvBps * maxFactor / BPS);
            return minFactor + slope * (debt * BPS - value * ltvBps) / (debt * BPS);
        }
    }

    /// @notice Returns the collateral, in its own units, that is worth β times the repaid amount.
    function seizedDown(uint256 repaid, uint256 incentiveFactor, uint256 price) internal pure returns (uint256) {
        // 2^128 × 2^61 × 2^60 < 2^256.
        unchecked {
            return repaid * incentiveFactor * (ORACLE_SCALE / WAD) / price;
        }
    }

    /// @notice Returns the repayment that lifts the health factor to the target T = 1 + (1 - L) ÷ 2:
    /// R = (T·D - V·L) ÷ (T - β·L).
    /// @dev On the ramp β·D < V, hence R < D, and R·β < V: the collateral always suffices.
    function repayToTargetDown(uint256 ltvBps, uint256 debt, uint256 value, uint256 incentiveFactor)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 twiceTargetBps = 3 * BPS - ltvBps;
            return
                (twiceTargetBps * debt - 2 * ltvBps * value) * WAD
                    / (twiceTargetBps * WAD - 2 * ltvBps * incentiveFactor);
        }
    }

    /// @notice Returns β of an insolvent loan: from βmin back to βmax while V ÷ D falls by a further 1 ÷ L - βmax.
    function insolventIncentiveFactorDown(LiquidationIncentive memory incentive, uint256 debt, uint256 value)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            (uint256 maxFactor, uint256 minFactor) = (incentive.maxIncentiveFactor, incentive.minIncentiveFactor);
            uint256 shortfall = minFactor - FixedPointMathLib.divUp(value * WAD, debt);
            uint256 span = FixedPointMathLib.divUp(BPS * WAD, incentive.ltvBps) - maxFactor;
            return FixedPointMathLib.min(minFactor + (maxFactor - minFactor) * shortfall / span, maxFactor);
        }
    }
}
