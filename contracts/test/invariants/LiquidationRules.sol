// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {CallInvariants} from "./CallInvariants.sol";

/// @notice Checks the liquidation of one loan against the specified rules, with independent arithmetic (H3, H4, H5,
/// H8).
abstract contract LiquidationRules is CallInvariants {
    uint256 internal constant WAD = 1e18;
    uint256 private constant FRACTION = 1e9;

    /// @dev What was written off in each market, and what the rules allow with fractions of units, × 1e9: what adds up
    /// over many small liquidations shows here.
    uint256[MARKETS] private _writtenOff;
    uint256[MARKETS] private _allowedWriteOffs;

    /// @notice One loan as its liquidation finds it, and what was done.
    struct LiquidationResult {
        uint256 k;
        uint256 debt;
        uint256 value;
        uint256 repaid;
        uint256 shares;
        uint256 seized;
        uint256 badDebt;
        uint256 maxIncentiveFactor;
        uint256 minIncentiveFactor;
    }

    /// @param m the market just before; left as it is just after
    /// @param p the position just before; left as it is just after
    function _checkLiquidation(LiquidationResult memory d, Market memory m, Position memory p) internal {
        d.debt = _debt(m, p);
        d.value = _value(d.k, p.collateral);
        uint256 ltv = _params[d.k].risk.liquidationLtvBps();
        d.maxIncentiveFactor = FixedPointMathLib.min(1.15e18, 1e23 / (70_000 + 3 * ltv));
        d.minIncentiveFactor = WAD + (d.maxIncentiveFactor - WAD) / 4;
        assertGt(d.debt * BPS, d.value * ltv, "H3: a healthy loan was liquidated");
        assertLe(d.repaid, d.debt, "H4: more was repaid than was owed");

        if (d.value * WAD > d.maxIncentiveFactor * d.debt) _checkRamp(d, p, ltv);
        else _checkWholePosition(d, p, ltv);

        uint256 tolerance = 2 + _grain(m);
        _apply(d, m, p);
        _checkAfter(d, m, p, tolerance);
    }

    /// @dev The incentive factor lies between the bounds of its rounding, and so does the seized collateral.
    function _checkRamp(LiquidationResult memory d, Position memory p, uint256 ltv) private {
        uint256 width = (d.maxIncentiveFactor - d.minIncentiveFactor) * (d.debt * BPS - d.value * ltv);
        uint256 incentiveFactor = d.minIncentiveFactor + width / d.debt * WAD / (BPS * WAD - ltv * d.maxIncentiveFactor);
        uint256 most = FixedPointMathLib.fullMulDivUp(d.repaid * (incentiveFactor + 10), WAD, _prices[d.k]);
        uint256 least = FixedPointMathLib.fullMulDiv(d.repaid * (incentiveFactor - 10), WAD, _prices[d.k]);
        assertLe(d.seized, most, "H4: more was seized than the bonus allows");
        assertGe(d.seized, FixedPointMathLib.min(least, p.collateral), "H4: less was seized than the bonus is");
        assertEq(d.badDebt, 0, "H8: bad debt on the ramp");

        // The repayment that lifts health to the target 1 + (1 - L) ÷ 2, with factors of 1e18 and twice basis points.
        uint256 twiceTarget = 30_000 - ltv;
        uint256 lift =
            (twiceTarget * d.debt - 2 * ltv * d.value) * WAD / (twiceTarget * WAD - 2 * ltv * incentiveFactor);
        uint256 smallest = _params[d.k].risk.minDebt();
        bool closes = d.debt < lift + smallest + 2;
        if (!closes) assertLe(d.repaid, lift + 2 + lift / 1e12, "H3: more was repaid than lifts health to its target");
        if (d.repaid == d.debt) _recordHit("ramp: a loan closed because its rest was too small");
        else if (d.repaid + 2 + lift / 1e12 >= lift) _recordHit("ramp: a loan lifted to its target");
        else _recordHit("ramp: a slice");
    }

    function _checkWholePosition(LiquidationResult memory d, Position memory p, uint256 ltv) private {
        uint256 maxRepay = d.debt;
        string memory zone = "breakeven";
        if (d.value * WAD < d.minIncentiveFactor * d.debt) {
            zone = "insolvent";
            // The incentive factor rises from the lowest to the highest while V ÷ D falls by a further 1/L - βmax.
            uint256 fall = d.minIncentiveFactor - d.value * WAD / d.debt;
            uint256 incentiveFactor = d.minIncentiveFactor + (d.maxIncentiveFactor - d.minIncentiveFactor) * fall
                / (BPS * WAD / ltv - d.maxIncentiveFactor);
            incentiveFactor = FixedPointMathLib.min(incentiveFactor, d.maxIncentiveFactor);
            maxRepay = FixedPointMathLib.divUp(d.value * WAD, incentiveFactor);
            if (d.value == 0) zone = "worthless";
        }
        assertLe(d.repaid, maxRepay + 1 + maxRepay / 1e15, "H4: more was repaid than the max repay");
        // The same part of the debt and of the collateral; the whole is rounded for the liquidator, who pays the unit.
        uint256 removed = d.shares == p.borrowShares ? d.debt : d.repaid + d.badDebt;
        assertTrue(_productLe(d.seized, d.debt, removed, p.collateral), "H4: too much collateral for a slice");
        assertTrue(_productLe(removed, p.collateral, d.seized + 1, d.debt), "H4: too little for a slice");
        uint256 loss =
            FixedPointMathLib.fullMulDiv(d.debt - FixedPointMathLib.min(maxRepay, d.debt), d.shares, p.borrowShares);
        assertApproxEqAbs(d.badDebt, loss, 2 + maxRepay / 1e15, "H8: bad debt is what the rules say, in proportion");
        bool whole = d.shares == p.borrowShares;
        _checkSumOfWriteOffs(d, maxRepay, whole);
        if (whole) assertEq(d.seized, p.collateral, "H8: a written-off loan keeps no collateral");
        _recordHit(string.concat(zone, whole ? ": the whole" : ": a slice"));
    }

    /// @dev H8 over all calls: no more than the exact part of each, but for the error of the arithmetic here.
    function _checkSumOfWriteOffs(LiquidationResult memory d, uint256 maxRepay, bool whole) private {
        uint256 allowed = d.debt - FixedPointMathLib.min(maxRepay, d.debt) + 2 + maxRepay / 1e15;
        allowed *= FRACTION;
        if (!whole) allowed = FixedPointMathLib.fullMulDivUp(allowed, d.repaid, maxRepay);
        _allowedWriteOffs[d.k] += allowed;
        _writtenOff[d.k] += d.badDebt * FRACTION;
        assertLe(_writtenOff[d.k], _allowedWriteOffs[d.k], "H8: more was written off over time than the rules say");
    }

    function _apply(LiquidationResult memory d, Market memory m, Position memory p) private pure {
        m.borrowShares -= d.shares;
        uint256 lowest = (m.borrowShares + 1e6 - 1) / 1e6;
        uint256 left = m.borrowAssets - d.repaid - d.badDebt;
        m.borrowAssets = left < lowest ? lowest : left;
        p.borrowShares -= d.shares;
        p.collateral -= d.seized;
    }

    function _checkAfter(LiquidationResult memory d, Market memory m, Position memory p, uint256 tolerance)
        private
        view
    {
        uint256 debt = _debt(m, p);
        if (debt == 0) return;
        assertGe(debt, _params[d.k].risk.minDebt(), "H5: a debt below the smallest was left");
        uint256 value = _value(d.k, p.collateral);
        uint256 seen = debt > tolerance ? debt - tolerance : 0;
        assertTrue(_productLe(d.value, seen, value + 1, d.debt), "H3: health fell");
        bool ramp = d.value * WAD > d.maxIncentiveFactor * d.debt;
        if (ramp && d.repaid > d.debt / 100) {
            assertFalse(_productLe(value, d.debt, d.value, debt), "H3: health did not rise");
        }
    }
}
