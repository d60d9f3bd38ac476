// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice A market's risk limits in one word:
/// bits 0–127 smallest debt in units of the loan token, 128–143 liquidation LTV and 144–159 borrow LTV in basis points.
type Risk is uint256;

using RiskLibrary for Risk global;

/// @notice Makes a `Risk`; whether its values are within bounds is checked where a market is created.
function toRisk(uint16 borrowLtvBps, uint16 liquidationLtvBps, uint128 smallestDebt) pure returns (Risk) {
    return Risk.wrap((uint256(borrowLtvBps) << 144) | (uint256(liquidationLtvBps) << 128) | smallestDebt);
}

/// @title Reads and checks a market's risk limits.
library RiskLibrary {
    /// @dev 0.995: the gap between what may be borrowed and what is liquidated, in basis points of the latter.
    uint256 internal constant BORROW_TO_LIQUIDATION_BPS = 9_950;
    /// @dev 98 %: above this the bonus of a liquidator could not be paid out of the collateral.
    uint256 internal constant MAX_LIQUIDATION_LTV_BPS = 9_800;
    /// @dev Far above rounding errors, which are a few units.
    uint256 internal constant MIN_SMALLEST_DEBT = 10_000;

    /// @notice The debt, in units of the loan token, below which no loan may be left.
    function smallestDebt(Risk risk) internal pure returns (uint256) {
        return uint128(Risk.unwrap(risk));
    }

    /// @notice Debt to collateral value, in basis points, above which anyone may liquidate.
    function liquidationLtvBps(Risk risk) internal pure returns (uint256) {
        return uint16(Risk.unwrap(risk) >> 128);
    }

    /// @notice Debt to collateral value, in basis points, up to which one may borrow.
    function borrowLtvBps(Risk risk) internal pure returns (uint256) {
        return uint16(Risk.unwrap(risk) >> 144);
    }

    /// @notice Whether a market may be created with these limits. Unused bits must be zero, else one market has two
    /// ids.
    function isValid(Risk risk) internal pure returns (bool) {
        uint256 borrowLtv = risk.borrowLtvBps();
        uint256 liquidationLtv = risk.liquidationLtvBps();
        return borrowLtv > 0 && borrowLtv * 10_000 <= liquidationLtv * BORROW_TO_LIQUIDATION_BPS
            && liquidationLtv <= MAX_LIQUIDATION_LTV_BPS && risk.smallestDebt() >= MIN_SMALLEST_DEBT
            && Risk.unwrap(risk) >> 160 == 0;
    }
}
