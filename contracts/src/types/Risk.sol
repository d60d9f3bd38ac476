// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice A market's risk limits in one word:
/// bits 0–127 minimum debt in units of the loan token, 128–143 liquidation LTV and 144–159 borrow LTV in basis points.
type Risk is uint256;

using RiskLibrary for Risk global;

/// @notice Packs risk limits. Their bounds are checked when a market is created.
function toRisk(uint16 borrowLtvBps, uint16 liquidationLtvBps, uint128 minDebt) pure returns (Risk) {
    return Risk.wrap((uint256(borrowLtvBps) << 144) | (uint256(liquidationLtvBps) << 128) | minDebt);
}

/// @title Risk limits library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Unpacks and validates a market's risk limits.
library RiskLibrary {
    /// @dev The highest borrow LTV as a part of the liquidation LTV, in basis points.
    uint256 internal constant BORROW_TO_LIQUIDATION_BPS = 9_950;
    /// @dev 98 %: above this the collateral could not pay the liquidation incentive.
    uint256 internal constant MAX_LIQUIDATION_LTV_BPS = 9_800;
    /// @dev The lowest minimum debt of a market: far above rounding errors, which are a few units.
    uint256 internal constant MIN_DEBT_LOWER_BOUND = 10_000;

    /// @notice Returns the minimum debt, in units of the loan token: a borrowing, a withdrawal of collateral or a
    /// liquidation leaves this much or none.
    function minDebt(Risk risk) internal pure returns (uint256) {
        return uint128(Risk.unwrap(risk));
    }

    /// @notice Returns the ratio of debt to collateral value above which a loan is liquidatable, in basis points.
    function liquidationLtvBps(Risk risk) internal pure returns (uint256) {
        return uint16(Risk.unwrap(risk) >> 128);
    }

    /// @notice Returns the ratio of debt to collateral value up to which an account may borrow, in basis points.
    function borrowLtvBps(Risk risk) internal pure returns (uint256) {
        return uint16(Risk.unwrap(risk) >> 144);
    }

    /// @notice Returns whether a market may be created with these limits. Unused bits must be 0, or one market would
    /// have two ids.
    function isValid(Risk risk) internal pure returns (bool) {
        uint256 borrowLtv = risk.borrowLtvBps();
        uint256 liquidationLtv = risk.liquidationLtvBps();
        return borrowLtv > 0 && borrowLtv * 10_000 <= liquidationLtv * BORROW_TO_LIQUIDATION_BPS
            && liquidationLtv <= MAX_LIQUIDATION_LTV_BPS && risk.minDebt() >= MIN_DEBT_LOWER_BOUND
            && Risk.unwrap(risk) >> 160 == 0;
    }
}
