// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {Watch} from "./Watch.sol";

/// @notice What one loan's liquidation may do, from the written rules and in arithmetic of its own (H3, H4, H5, H8).
abstract contract LiquidationRules is Watch {
    uint256 internal constant WAD = 1e18;

    /// @notice One loan as its liquidation finds it, and what was done.
    struct Done {
        uint256 k;
        uint256 debt;
        uint256 value;
        uint256 repaid;
        uint256 shares;
        uint256 seized;
        uint256 badDebt;
        uint256 maxBonus;
        uint256 minBonus;
    }

    /// @param m the market just before; left as it is just after
    /// @param p the position just before; left as it is just after
    function _checkLiquidation(Done memory d, Market memory m, Position memory p) internal {
        d.debt = _debt(m, p);
        d.value = _value(d.k, p.collateral);
        uint256 ltv = _params[d.k].risk.liquidationLtvBps();
        d.maxBonus = FixedPointMathLib.min(1.15e18, 1e23 / (70_000 + 3 * ltv));
        d.minBonus = WAD + (d.maxBonus - WAD) / 4;
        assertGt(d.debt * BPS, d.value * ltv, "H3: a healthy loan was liquidated");
        assertLe(d.repaid, d.debt, "H4: more was repaid than was owed");

        if (d.value * WAD > d.maxBonus * d.debt) _checkRamp(d, p, ltv);
        else _checkWholePosition(d, p, ltv);

        uint256 tolerance = 2 + _grain(m);
        _apply(d, m, p);
        _checkAfter(d, m, p, tolerance);
    }

    /// @dev The bonus lies between the two that rounding leaves open; so does what is seized for it.
    function _checkRamp(Done memory d, Position memory p, uint256 ltv) private {
        uint256 width = (d.maxBonus - d.minBonus) * (d.debt * BPS - d.value * ltv);
        uint256 bonus = d.minBonus + width / d.debt * WAD / (BPS * WAD - ltv * d.maxBonus);
        uint256 most = FixedPointMathLib.fullMulDivUp(d.repaid * (bonus + 10), WAD, _prices[d.k]);
        uint256 least = FixedPointMathLib.fullMulDiv(d.repaid * (bonus - 10), WAD, _prices[d.k]);
        assertLe(d.seized, most, "H4: more was seized than the bonus allows");
        assertGe(d.seized, FixedPointMathLib.min(least, p.collateral), "H4: less was seized than the bonus is");
        assertEq(d.badDebt, 0, "H8: bad debt on the ramp");

        // What lifts health to the target 1 + (1 - L) ÷ 2, in bonuses of 1e18 and twice basis points.
        uint256 twiceTarget = 30_000 - ltv;
        uint256 lift = (twiceTarget * d.debt - 2 * ltv * d.value) * WAD / (twiceTarget * WAD - 2 * ltv * bonus);
        uint256 smallest = _params[d.k].risk.smallestDebt();
        bool closes = d.debt < lift + smallest + 2;
        if (!closes) assertLe(d.repaid, lift + 2 + lift / 1e12, "H3: more was repaid than lifts health to its target");
        if (d.repaid == d.debt) _happens("ramp: a loan closed because its rest was too small");
        else if (d.repaid + 2 + lift / 1e12 >= lift) _happens("ramp: a loan lifted to its target");
        else _happens("ramp: a slice");
    }

    function _checkWholePosition(Done memory d, Position memory p, uint256 ltv) private {
        uint256 ceiling = d.debt;
        string memory zone = "kink";
        if (d.value * WAD < d.minBonus * d.debt) {
            zone = "under water";
            // The bonus rises from the smallest to the largest while V ÷ D falls by another 1/L - βmax.
            uint256 fall = d.minBonus - d.value * WAD / d.debt;
            uint256 bonus = d.minBonus + (d.maxBonus - d.minBonus) * fall / (BPS * WAD / ltv - d.maxBonus);
            bonus = FixedPointMathLib.min(bonus, d.maxBonus);
            ceiling = FixedPointMathLib.divUp(d.value * WAD, bonus);
            if (d.value == 0) zone = "worthless";
        }
        assertLe(d.repaid, ceiling + 1 + ceiling / 1e15, "H4: more was repaid than the ceiling");
        // The same part of the debt, of the collateral and of the write-off.
        assertTrue(
            _productLe(d.seized, p.borrowShares, d.shares + 1, p.collateral), "H4: too much collateral for a slice"
        );
        assertTrue(_productLe(d.shares, p.collateral, d.seized + 1, p.borrowShares), "H4: too little for a slice");
        uint256 loss =
            FixedPointMathLib.fullMulDiv(d.debt - FixedPointMathLib.min(ceiling, d.debt), d.shares, p.borrowShares);
        assertApproxEqAbs(d.badDebt, loss, 2 + ceiling / 1e15, "H8: bad debt is what the rules say, in proportion");
        bool whole = d.shares == p.borrowShares;
        if (whole) assertEq(d.seized, p.collateral, "H8: a written-off loan keeps no collateral");
        _happens(string.concat(zone, whole ? ": the whole" : ": a slice"));
    }

    function _apply(Done memory d, Market memory m, Position memory p) private pure {
        m.borrowShares -= d.shares;
        uint256 lowest = (m.borrowShares + 1e6 - 1) / 1e6;
        uint256 left = m.borrowAssets - d.repaid - d.badDebt;
        m.borrowAssets = left < lowest ? lowest : left;
        p.borrowShares -= d.shares;
        p.collateral -= d.seized;
    }

    function _checkAfter(Done memory d, Market memory m, Position memory p, uint256 tolerance) private view {
        uint256 debt = _debt(m, p);
        if (debt == 0) return;
        assertGe(debt, _params[d.k].risk.smallestDebt(), "H5: a debt below the smallest was left");
        uint256 value = _value(d.k, p.collateral);
        uint256 seen = debt > tolerance ? debt - tolerance : 0;
        assertTrue(_productLe(d.value, seen, value + 1, d.debt), "H3: health fell");
        bool ramp = d.value * WAD > d.maxBonus * d.debt;
        if (ramp && d.repaid > d.debt / 100) {
            assertFalse(_productLe(value, d.debt, d.value, debt), "H3: health did not rise");
        }
    }
}
