// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DebtMath} from "plimsoll/libraries/DebtMath.sol";
import {InterestMath} from "plimsoll/libraries/InterestMath.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {SurgeMath} from "plimsoll/libraries/SurgeMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {RateCurve} from "plimsoll/types/RateCurve.sol";
import {Risk} from "plimsoll/types/Risk.sol";
import {IMathHarness} from "./IMathHarness.sol";

/// @title Harness of the core's arithmetic.
/// @notice See `IMathHarness`.
contract MathHarness is IMathHarness {
    /// @inheritdoc IMathHarness
    function answers(Case[] calldata cases) external pure returns (Answer[] memory all) {
        all = new Answer[](cases.length);
        for (uint256 i; i < cases.length; ++i) {
            Case memory c = cases[i];
            Answer memory a = all[i];
            if (c.timestamp != c.market.lastUpdate) {
                SurgeMath.refill(c.market, Risk.wrap(c.risk), c.timestamp - c.market.lastUpdate);
                (a.interest, a.feeShares) = InterestMath.accrue(c.market, RateCurve.wrap(c.curve), c.timestamp);
            }
            a.accrued = c.market;
            _convert(c.market, c.amount, a.conversions);
            _liquidate(c, a);
            _surge(c, a.surge);
        }
    }

    function _convert(Market memory m, uint256 amount, uint256[7] memory converted) internal pure {
        converted[0] = SharesMath.toSharesDown(amount, m.supplyAssets, m.supplyShares);
        converted[1] = SharesMath.toSharesUp(amount, m.supplyAssets, m.supplyShares);
        converted[2] = SharesMath.toAssetsDown(amount, m.supplyAssets, m.supplyShares);
        converted[3] = SharesMath.toAssetsUp(amount, m.supplyAssets, m.supplyShares);
        converted[4] = DebtMath.toDebtSharesUp(amount, m.borrowAssets, m.borrowShares);
        if (m.borrowAssets == 0) return;
        converted[5] = DebtMath.toDebtSharesDown(amount, m.borrowAssets, m.borrowShares);
        converted[6] = DebtMath.toDebtUp(amount, m.borrowAssets, m.borrowShares);
    }

    function _surge(Case memory c, uint256[3] memory surge) internal pure {
        Risk risk = Risk.wrap(c.risk);
        if (risk.surgePeriodSecs() == 0) return;
        Market memory m = abi.decode(abi.encode(c.market), (Market));
        surge[0] = SurgeMath.room(m, risk);
        surge[1] = SurgeMath.levelAfterBorrow(m, risk, c.amount);
        SurgeMath.refund(m, risk, c.amount);
        surge[2] = m.surgeLevel;
    }

    function _liquidate(Case memory c, Answer memory a) internal pure {
        a.debt = DebtMath.toDebtUp(c.borrowShares, c.market.borrowAssets, c.market.borrowShares);
        a.totalAfterRepay =
            DebtMath.saturatingTotalAfterRepay(c.market.borrowAssets, a.debt, c.market.borrowShares - c.borrowShares);
        a.value = LiquidationMath.valueDown(c.collateral, c.price);
        LiquidationMath.LiquidationIncentive memory incentive =
            LiquidationMath.incentiveOf(Risk.wrap(c.risk).liquidationLtvBps());
        a.healthy = LiquidationMath.isHealthy(a.debt, a.value, incentive.ltvBps);
        if (a.healthy) return;
        LiquidationMath.Zone zone;
        uint256 minDebt = Risk.wrap(c.risk).minDebt();
        (zone, a.maxRepay, a.incentiveFactor) = LiquidationMath.maxRepayOf(incentive, a.debt, a.value, minDebt);
        a.repaid = LiquidationMath.repayWithinDown(zone, a.maxRepay, a.debt, c.limit, minDebt);
        if (zone == LiquidationMath.Zone.Ramp) {
            a.seized = LiquidationMath.seizedDown(a.repaid, a.incentiveFactor, c.price);
        }
    }
}
