// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {IPlimsoll} from "../../interfaces/IPlimsoll.sol";
import {InterestMath} from "../../libraries/InterestMath.sol";
import {LiquidationMath} from "../../libraries/LiquidationMath.sol";
import {SurgeMath} from "../../libraries/SurgeMath.sol";
import {Market} from "../../types/Market.sol";
import {MarketId, MarketParams} from "../../types/MarketParams.sol";
import {RateCurve} from "../../types/RateCurve.sol";

/// @title Market reading library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Computes the core's values of a market for this block, with the core's own libraries. No function reverts.
library MarketReader {
    uint256 private constant WAD = 1e18;
    uint256 private constant BPS = 10_000;

    /// @notice Returns the market with its interest up to this block; all 0 if it does not exist.
    function accrued(IPlimsoll core, MarketId id, MarketParams memory params) internal view returns (Market memory m) {
        m = core.market(id);
        if (m.lastUpdate == 0) return m;
        SurgeMath.refill(m, params.risk, block.timestamp - m.lastUpdate);
        InterestMath.accrue(m, params.curve, block.timestamp);
    }

    /// @notice Returns utilisation, borrow rate and supply rate of an accrued market, 1e18-scaled, rates per second.
    function rates(Market memory m, RateCurve curve)
        internal
        pure
        returns (uint256 utilisation, uint256 borrowRate, uint256 supplyRate)
    {
        if (m.supplyAssets != 0) utilisation = m.borrowAssets * WAD / m.supplyAssets;
        int256 distance = InterestMath.distanceFromTarget(m.supplyAssets, m.borrowAssets, curve.targetBps());
        borrowRate = InterestMath.borrowRate(m.rateAtTarget, distance, curve.steepness());
        supplyRate = borrowRate * utilisation * (BPS - m.feeBps) / (WAD * BPS);
    }

    /// @notice Returns the highest price at which a debt is above this part of the value of its collateral; 0 if there is
    /// none, the largest number if it is at every price.
    /// @dev The condition `debt × BPS > value × ltv`, with `value = floor(collateral × price / 1e36)` and at most
    /// 2^128 - 1, solved for the highest price.
    function priceAtLtv(uint256 debt, uint256 collateral, uint256 ltvBps) internal pure returns (uint256) {
        uint256 highestValue = (debt * BPS - 1) / ltvBps;
        if (collateral == 0 || highestValue >= LiquidationMath.MAX_AMOUNT) return type(uint256).max;
        return ((highestValue + 1) * LiquidationMath.ORACLE_SCALE - 1) / collateral;
    }
}
