// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice A market's risk limits in one word:
/// bits 0–127 minimum debt in units of the loan token, 128–143 liquidation LTV and 144–159 borrow LTV in basis points;
/// and its surge limit, all 0 for none: 160–175 share in basis points, 176–199 period in seconds, 200–231 floor as a
/// multiple of the minimum debt (see `SurgeMath`).
type Risk is uint256;

using RiskLibrary for Risk global;

/// @notice Packs risk limits. Their bounds are checked when a market is created.
function toRisk(uint16 borrowLtvBps, uint16 liquidationLtvBps, uint128 minDebt) pure returns (Risk) {
    return Risk.wrap((uint256(borrowLtvBps) << 144) | (uint256(liquidationLtvBps) << 128) | minDebt);
}

using {withSurgeLimit} for Risk global;

/// @notice Returns the risk limits with a surge limit: a part of the market's aged debt plus a floor may be borrowed at
/// once, and as much again over each period.
/// @param shareBps the part of the aged debt, in basis points
/// @param periodSecs the time in which the limit refills wholly, in seconds
/// @param floorMultiple the floor, as a multiple of the minimum debt
function withSurgeLimit(Risk risk, uint16 shareBps, uint24 periodSecs, uint32 floorMultiple) pure returns (Risk) {
    return Risk.wrap(
        uint160(Risk.unwrap(risk)) | (uint256(shareBps) << 160) | (uint256(periodSecs) << 176)
            | (uint256(floorMultiple) << 200)
    );
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
    /// @dev 100 %.
    uint256 internal constant MAX_SURGE_SHARE_BPS = 10_000;
    uint256 internal constant MIN_SURGE_PERIOD = 1 hours;
    uint256 internal constant MAX_SURGE_PERIOD = 30 days;

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

    /// @notice Returns the part of a market's aged debt that may be borrowed at once, in basis points.
    function surgeShareBps(Risk risk) internal pure returns (uint256) {
        return uint16(Risk.unwrap(risk) >> 160);
    }

    /// @notice Returns the time in which the surge limit refills wholly, in seconds; 0 if the market has no limit.
    function surgePeriodSecs(Risk risk) internal pure returns (uint256) {
        return uint24(Risk.unwrap(risk) >> 176);
    }

    /// @notice Returns whether the market has a surge limit.
    function hasSurgeLimit(Risk risk) internal pure returns (bool) {
        return Risk.unwrap(risk) >> 160 != 0;
    }

    /// @notice Returns the part of the surge limit that does not depend on debt, in units of the loan token.
    function surgeFloor(Risk risk) internal pure returns (uint256) {
        unchecked {
            return uint32(Risk.unwrap(risk) >> 200) * risk.minDebt();
        }
    }

    /// @notice Returns whether a market may be created with these limits. Unused bits must be 0, or one market would
    /// have two ids.
    function isValid(Risk risk) internal pure returns (bool) {
        uint256 borrowLtv = risk.borrowLtvBps();
        uint256 liquidationLtv = risk.liquidationLtvBps();
        return borrowLtv > 0 && borrowLtv * 10_000 <= liquidationLtv * BORROW_TO_LIQUIDATION_BPS
            && liquidationLtv <= MAX_LIQUIDATION_LTV_BPS && risk.minDebt() >= MIN_DEBT_LOWER_BOUND
            && risk.isSurgeLimitValid() && Risk.unwrap(risk) >> 232 == 0;
    }

    /// @notice Returns whether the word has no surge limit, or a valid one: a share of at most 100 %, a period from an
    /// hour to 30 days, and a floor of at least the minimum debt, without which no first loan would be possible.
    function isSurgeLimitValid(Risk risk) internal pure returns (bool) {
        if (!risk.hasSurgeLimit()) return true;
        uint256 period = risk.surgePeriodSecs();
        uint256 floor = risk.surgeFloor();
        return risk.surgeShareBps() <= MAX_SURGE_SHARE_BPS && period >= MIN_SURGE_PERIOD && period <= MAX_SURGE_PERIOD
            && floor != 0 && floor >> 128 == 0;
    }
}
