// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @title Liquidation: who may be liquidated, how much of it, and for which bonus
/// @notice With L the liquidation LTV, D the debt, V the value of the collateral and H = V·L ÷ D the health:
///  - *ramp*, V above βmax·D: the bonus β grows from βmin at health 1 to βmax; the ceiling lifts health to a target.
///  - *kink*, V from βmax·D down to βmin·D: the whole debt for the whole collateral, so that the bonus is what is left.
///  - *under water*, V below βmin·D: the bonus rises again to βmax, because insolvent loans that pay a liquidator less
///    than his costs are left standing; what the collateral does not pay for is bad debt.
/// @dev Bonuses are 1e18-scaled and rounded down, repayments of whole positions up: both against the liquidator.
library LiquidationMath {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant ORACLE_SCALE = 1e36;
    uint256 internal constant MAX_AMOUNT = type(uint128).max;
    /// @dev 15 %: the bonus never exceeds it, however low the liquidation LTV.
    uint256 internal constant MAX_BONUS = 1.15e18;

    /// @notice What every loan of a market has in common.
    /// @param ltvBps liquidation LTV L in basis points
    /// @param maxBonus βmax
    /// @param minBonus βmin
    struct Terms {
        uint256 ltvBps;
        uint256 maxBonus;
        uint256 minBonus;
    }

    /// @notice βmax = min(1.15, 1 ÷ (0.3·L + 0.7)) and βmin a quarter of the way from 1 to it. βmax·L < 1 for every L <
    /// 1.
    function termsOf(uint256 ltvBps) internal pure returns (Terms memory) {
        unchecked {
            uint256 maxBonus = FixedPointMathLib.min(MAX_BONUS, WAD * WAD / (0.7e18 + ltvBps * 0.3e14));
            return Terms({ltvBps: ltvBps, maxBonus: maxBonus, minBonus: WAD + (maxBonus - WAD) / 4});
        }
    }

    /// @notice What the collateral is worth in units of the loan token, saturating far above any debt.
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

    /// @notice Whether collateral of this value carries this debt at this LTV.
    function isHealthy(uint256 debt, uint256 value, uint256 ltvBps) internal pure returns (bool) {
        return debt * BPS <= value * ltvBps;
    }

    /// @notice The most that may be done to an unhealthy loan.
    /// @param debt more than 0
    /// @param value of its collateral, at most 2^128 - 1
    /// @param smallestDebt what may be left of a loan at the least
    /// @return ceiling how much may be repaid, at most the debt
    /// @return bonus β, the value seized for each unit repaid; 0 where the whole debt stands against the whole
    /// collateral
    function ceilingOf(Terms memory terms, uint256 debt, uint256 value, uint256 smallestDebt)
        internal
        pure
        returns (uint256 ceiling, uint256 bonus)
    {
        unchecked {
            uint256 valueWad = value * WAD;
            if (valueWad > terms.maxBonus * debt) {
                bonus = rampBonusDown(terms, debt, value);
                ceiling = repayToTargetDown(terms.ltvBps, debt, value, bonus);
                if (debt - ceiling < smallestDebt) ceiling = debt;
            } else if (valueWad >= terms.minBonus * debt) {
                ceiling = debt;
            } else {
                ceiling = FixedPointMathLib.divUp(valueWad, underwaterBonusDown(terms, debt, value));
            }
        }
    }

    /// @notice How much of a ceiling is repaid when the caller repays no more than `limit`: what is left of the debt
    /// must not be below the smallest. 0 when no part will do.
    function repayWithinDown(uint256 ceiling, uint256 bonus, uint256 debt, uint256 limit, uint256 smallestDebt)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            if (limit >= ceiling) return ceiling;
            if (debt <= smallestDebt) return 0;
            uint256 room = debt - smallestDebt;
            // A slice of a whole position removes debt in proportion.
            if (bonus == 0) room = ceiling * room / debt;
            return FixedPointMathLib.min(limit, room);
        }
    }

    /// @notice β on the ramp: βmin + (βmax - βmin) · (1 - H) ÷ (1 - L·βmax).
    function rampBonusDown(Terms memory terms, uint256 debt, uint256 value) internal pure returns (uint256) {
        unchecked {
            uint256 slope = (terms.maxBonus - terms.minBonus) * WAD / (WAD - terms.ltvBps * terms.maxBonus / BPS);
            return terms.minBonus + slope * (debt * BPS - value * terms.ltvBps) / (debt * BPS);
        }
    }

    /// @notice Collateral that is worth β times what was repaid.
    function seizedDown(uint256 repaid, uint256 bonus, uint256 price) internal pure returns (uint256) {
        // 2^128 × 2^61 × 2^60 < 2^256.
        unchecked {
            return repaid * bonus * (ORACLE_SCALE / WAD) / price;
        }
    }

    /// @notice What lifts health to the target T = 1 + (1 - L) ÷ 2: R = (T·D - V·L) ÷ (T - β·L).
    /// @dev On the ramp β·D < V, hence R < D, and R·β < V: never short of collateral.
    function repayToTargetDown(uint256 ltvBps, uint256 debt, uint256 value, uint256 bonus)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 twiceTargetBps = 3 * BPS - ltvBps;
            return (twiceTargetBps * debt - 2 * ltvBps * value) * WAD / (twiceTargetBps * WAD - 2 * ltvBps * bonus);
        }
    }

    /// @notice β under water: from βmin back to βmax over a further fall of V ÷ D by 1 ÷ L - βmax.
    function underwaterBonusDown(Terms memory terms, uint256 debt, uint256 value) internal pure returns (uint256) {
        unchecked {
            uint256 shortfall = terms.minBonus - FixedPointMathLib.divUp(value * WAD, debt);
            uint256 span = FixedPointMathLib.divUp(BPS * WAD, terms.ltvBps) - terms.maxBonus;
            uint256 bonus = terms.minBonus + (terms.maxBonus - terms.minBonus) * shortfall / span;
            return FixedPointMathLib.min(bonus, terms.maxBonus);
        }
    }
}
