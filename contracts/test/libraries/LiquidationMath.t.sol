// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {Risk, toRisk} from "plimsoll/types/Risk.sol";

/// @title Tests of the liquidation arithmetic, over all possible liquidation LTVs, debts, values and prices.
/// @notice Results are compared with the rules written as inequalities between whole numbers, or as one exact quotient;
/// never with another computation in the same steps.
contract LiquidationMathTest is Test {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant ORACLE_SCALE = 1e36;
    uint256 internal constant MAX_AMOUNT = type(uint128).max;
    /// @dev The lowest and the highest liquidation LTV of a market that can be created: see
    /// `test_ltvsThatCanBeCreated`.
    uint256 internal constant MIN_LTV_BPS = 2;
    uint256 internal constant MAX_LTV_BPS = 9_800;

    /* THE INCENTIVE OF A MARKET */

    function test_ltvsThatCanBeCreated() public pure {
        assertTrue(toRisk(1, uint16(MIN_LTV_BPS), 10_000).isValid());
        assertFalse(toRisk(1, uint16(MIN_LTV_BPS - 1), 10_000).isValid());
        assertTrue(toRisk(9_751, uint16(MAX_LTV_BPS), 10_000).isValid());
        assertFalse(toRisk(1, uint16(MAX_LTV_BPS + 1), 10_000).isValid());
    }

    /// @dev The published incentive factor of Morpho's markets with the same LTV, whose rule is the same.
    function test_incentiveFactorEqualsMorphos() public pure {
        assertEq(LiquidationMath.incentiveOf(8_600).maxIncentiveFactor, 1_043_841_336_116_910_229);
        assertEq(LiquidationMath.incentiveOf(8_600).minIncentiveFactor, 1_010_960_334_029_227_557);
    }

    /// @notice H4: β·L < 1 in every market that can be created. 1 ÷ (0.3·L + 0.7) is 100,000 ÷ (3·bps + 70,000).
    function test_incentive_everyLtv() public pure {
        for (uint256 ltvBps = MIN_LTV_BPS; ltvBps <= MAX_LTV_BPS; ++ltvBps) {
            LiquidationMath.LiquidationIncentive memory incentive = LiquidationMath.incentiveOf(ltvBps);
            uint256 uncapped = WAD * 100_000 / (3 * ltvBps + 70_000);
            assertEq(incentive.ltvBps, ltvBps);
            assertEq(incentive.maxIncentiveFactor, uncapped < 1.15e18 ? uncapped : 1.15e18);
            assertEq(incentive.minIncentiveFactor, (3 * WAD + incentive.maxIncentiveFactor) / 4);
            assertGt(incentive.minIncentiveFactor, WAD);
            assertLt(incentive.minIncentiveFactor, incentive.maxIncentiveFactor);
            assertLt(incentive.maxIncentiveFactor * ltvBps, WAD * BPS);
        }
    }

    /* VALUE AND HEALTH */

    function testFuzz_value_isTheFloorOrSaturates(uint256 collateral, uint256 price) public pure {
        collateral = anyAmount(collateral);
        price = anyNumber(price);
        uint256 value = LiquidationMath.valueDown(collateral, price);
        assertLe(value, MAX_AMOUNT);
        (uint256 high, uint256 low) = Math.mul512(collateral, price);
        assertTrue(high > 0 || low >= value * ORACLE_SCALE);
        if (value < MAX_AMOUNT) assertTrue(high == 0 && low < (value + 1) * ORACLE_SCALE);
    }

    /// @notice Where the product stops fitting 256 bits, and where the value stops fitting 128.
    function test_value_atTheEdges() public pure {
        uint256 lastThatFits = type(uint256).max / MAX_AMOUNT;
        assertEq(LiquidationMath.valueDown(MAX_AMOUNT, lastThatFits), MAX_AMOUNT);
        assertEq(LiquidationMath.valueDown(MAX_AMOUNT, lastThatFits + 1), MAX_AMOUNT);
        assertEq(LiquidationMath.valueDown(1, lastThatFits), lastThatFits / ORACLE_SCALE);
        assertEq(LiquidationMath.valueDown(1, lastThatFits + 1), (lastThatFits + 1) / ORACLE_SCALE);
        assertEq(LiquidationMath.valueDown(MAX_AMOUNT, ORACLE_SCALE), MAX_AMOUNT);
        assertEq(LiquidationMath.valueDown(MAX_AMOUNT, ORACLE_SCALE - 1), MAX_AMOUNT - MAX_AMOUNT / ORACLE_SCALE - 1);
        assertEq(LiquidationMath.valueDown(1, MAX_AMOUNT * ORACLE_SCALE - 1), MAX_AMOUNT - 1);
        assertEq(LiquidationMath.valueDown(1, MAX_AMOUNT * ORACLE_SCALE), MAX_AMOUNT);
        assertEq(LiquidationMath.valueDown(1, type(uint256).max), MAX_AMOUNT);
        assertEq(LiquidationMath.valueDown(0, type(uint256).max), 0);
        assertEq(LiquidationMath.valueDown(MAX_AMOUNT, 0), 0);
    }

    function testFuzz_healthy_debtWithinLtv(uint256 ltvBps, uint256 debt, uint256 value) public pure {
        ltvBps = anyLtv(ltvBps);
        debt = anyAmount(debt);
        value = anyAmount(value);
        // Debt ≤ value × LTV, with the product split into whole and rest.
        uint256 carried = value / BPS * ltvBps + value % BPS * ltvBps / BPS;
        assertEq(LiquidationMath.isHealthy(debt, value, ltvBps), debt <= carried);
        assertTrue(LiquidationMath.isHealthy(carried, value, ltvBps));
        assertFalse(LiquidationMath.isHealthy(carried + 1, value, ltvBps));
    }

    /* MAX REPAY */

    /// @notice The ramp: V > βmax·D. H3: health reaches the target, T = 1 + (1 - L) ÷ 2, with the last unit that does
    /// not pass it.
    function testFuzz_ramp(uint256 ltvBps, uint256 debt, uint256 value) public pure {
        LiquidationMath.LiquidationIncentive memory incentive = LiquidationMath.incentiveOf(anyLtv(ltvBps));
        (debt, value) = loanOnTheRamp(incentive, debt, value);
        MaxRepay memory maxRepay = maxRepayOf(incentive, debt, value, 0);
        assertZone(maxRepay, LiquidationMath.Zone.Ramp);

        assertEq(maxRepay.incentiveFactor, LiquidationMath.rampIncentiveFactorDown(incentive, debt, value));
        uint256 unhealthiness = debt * BPS - value * incentive.ltvBps;
        uint256 exactFactor = incentive.minIncentiveFactor
            + Math.mulDiv(
                (incentive.maxIncentiveFactor - incentive.minIncentiveFactor) * WAD * BPS,
                unhealthiness,
                debt * BPS * (WAD * BPS - incentive.ltvBps * incentive.maxIncentiveFactor)
            );
        assertLe(maxRepay.incentiveFactor, exactFactor);
        assertLe(exactFactor - maxRepay.incentiveFactor, 2);
        assertGe(maxRepay.incentiveFactor, incentive.minIncentiveFactor);
        assertLe(maxRepay.incentiveFactor, incentive.maxIncentiveFactor);

        assertLt(maxRepay.amount, debt);
        assertLe(maxRepay.amount * maxRepay.incentiveFactor, value * WAD, "never short of collateral");
        assertFalse(passesTarget(incentive, debt, value, maxRepay.amount, maxRepay.incentiveFactor));
        assertTrue(passesTarget(incentive, debt, value, maxRepay.amount + 1, maxRepay.incentiveFactor));
    }

    /// @notice On the ramp the max repay is the whole debt where less than the min debt would be left.
    function testFuzz_ramp_maxRepayIsTheDebtWhenTheRestWouldBeBelowMinDebt(
        uint256 ltvBps,
        uint256 debt,
        uint256 value,
        uint256 minDebt
    ) public pure {
        LiquidationMath.LiquidationIncentive memory incentive = LiquidationMath.incentiveOf(anyLtv(ltvBps));
        (debt, value) = loanOnTheRamp(incentive, debt, value);
        MaxRepay memory free = maxRepayOf(incentive, debt, value, 0);
        uint256 rest = debt - free.amount;
        assertEq(maxRepayOf(incentive, debt, value, rest).amount, free.amount);
        assertEq(maxRepayOf(incentive, debt, value, rest + 1).amount, debt);

        minDebt = anyAmount(minDebt);
        MaxRepay memory maxRepay = maxRepayOf(incentive, debt, value, minDebt);
        assertEq(maxRepay.incentiveFactor, free.incentiveFactor);
        assertEq(maxRepay.amount, rest < minDebt ? debt : free.amount);
        assertLe(maxRepay.amount * maxRepay.incentiveFactor, value * WAD, "never short of collateral");
    }

    /// @notice The breakeven zone: βmin·D ≤ V ≤ βmax·D. The whole debt for the whole collateral, and nothing is bad debt (H8).
    function testFuzz_breakeven(uint256 ltvBps, uint256 debt, uint256 value, uint256 minDebt) public pure {
        LiquidationMath.LiquidationIncentive memory incentive = LiquidationMath.incentiveOf(anyLtv(ltvBps));
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT * WAD / 1.15e18);
        uint256 lowest = Math.ceilDiv(incentive.minIncentiveFactor * debt, WAD);
        uint256 highest = incentive.maxIncentiveFactor * debt / WAD;
        vm.assume(lowest <= highest);
        value = bound(value, lowest, highest);
        MaxRepay memory maxRepay = maxRepayOf(incentive, debt, value, anyAmount(minDebt));
        assertZone(maxRepay, LiquidationMath.Zone.Breakeven);
        assertEq(maxRepay.amount, debt);
    }

    /// @notice The insolvent zone: V < βmin·D. H8: the max repay is V ÷ β, rounded up, with β rising by a straight line.
    function testFuzz_insolvent(uint256 ltvBps, uint256 debt, uint256 value, uint256 minDebt) public pure {
        LiquidationMath.LiquidationIncentive memory incentive = LiquidationMath.incentiveOf(anyLtv(ltvBps));
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT);
        value = bound(value, 0, Math.min(MAX_AMOUNT, (incentive.minIncentiveFactor * debt - 1) / WAD));
        MaxRepay memory maxRepay = maxRepayOf(incentive, debt, value, anyAmount(minDebt));
        assertZone(maxRepay, LiquidationMath.Zone.Insolvent);
        assertLe(maxRepay.amount, debt);

        uint256 incentiveFactor = LiquidationMath.insolventIncentiveFactorDown(incentive, debt, value);
        uint256 exactFactor = Math.min(
            incentive.maxIncentiveFactor,
            incentive.minIncentiveFactor
                + Math.mulDiv(
                    (incentive.maxIncentiveFactor - incentive.minIncentiveFactor) * incentive.ltvBps,
                    incentive.minIncentiveFactor * debt - value * WAD,
                    debt * (WAD * BPS - incentive.maxIncentiveFactor * incentive.ltvBps)
                )
        );
        assertGe(incentiveFactor, incentive.minIncentiveFactor);
        assertLe(incentiveFactor, exactFactor, "H4: against the liquidator");
        // The collateral to debt ratio is rounded to 1e-18; the line is steepest, 0.32, at the highest LTV.
        assertLe(exactFactor - incentiveFactor, 2);

        assertGe(maxRepay.amount * incentiveFactor, value * WAD);
        if (maxRepay.amount != 0) assertLt((maxRepay.amount - 1) * incentiveFactor, value * WAD);
        else assertEq(value, 0);
    }

    /// @notice β has no jump: it is βmax where the ramp ends and βmin where the insolvent zone begins, and at both borders
    /// the max repay is the whole debt from either side.
    function testFuzz_continuousAtBothZoneBorders(uint256 ltvBps, uint256 debt, uint256 minDebt) public pure {
        LiquidationMath.LiquidationIncentive memory incentive = LiquidationMath.incentiveOf(anyLtv(ltvBps));
        debt = bound(debt, 1e24, MAX_AMOUNT * WAD / 1.2e18);
        minDebt = bound(minDebt, 1, 1e18);

        uint256 breakevenTop = incentive.maxIncentiveFactor * debt / WAD;
        MaxRepay memory above = maxRepayOf(incentive, debt, breakevenTop + 1, 0);
        MaxRepay memory border = maxRepayOf(incentive, debt, breakevenTop, minDebt);
        assertApproxEqAbs(above.incentiveFactor, incentive.maxIncentiveFactor, 2);
        assertLt(above.amount, debt);
        // A unit of value, and two of 1e-18 of the incentive factor, over T - βmax·L ≥ 0.024.
        assertLe(debt - above.amount, 100 + 100 * (debt / WAD));
        assertZone(border, LiquidationMath.Zone.Breakeven);
        assertEq(border.amount, debt);

        uint256 breakevenBottom = Math.ceilDiv(incentive.minIncentiveFactor * debt, WAD);
        border = maxRepayOf(incentive, debt, breakevenBottom, minDebt);
        MaxRepay memory below = maxRepayOf(incentive, debt, breakevenBottom - 1, minDebt);
        assertEq(border.amount, debt);
        assertLe(debt - below.amount, 2 + 2 * (debt / WAD));
        assertEq(
            LiquidationMath.insolventIncentiveFactorDown(incentive, debt, breakevenBottom - 1),
            incentive.minIncentiveFactor
        );
    }

    /// @notice In the insolvent zone β is back at βmax when V ÷ D has fallen by 1 ÷ L - βmax, not before, and stays
    /// there.
    function testFuzz_insolvent_incentiveReturnsToTheMaximum(uint256 ltvBps, uint256 debt, uint256 deeper) public pure {
        // Below about 49 % the value of the collateral reaches 0 before β reaches βmax.
        LiquidationMath.LiquidationIncentive memory incentive =
            LiquidationMath.incentiveOf(bound(ltvBps, 5_000, MAX_LTV_BPS));
        debt = bound(debt, 1e24, MAX_AMOUNT);
        uint256 ratio = incentive.minIncentiveFactor + incentive.maxIncentiveFactor - WAD * BPS / incentive.ltvBps;
        uint256 value = debt / WAD * ratio;
        assertApproxEqAbs(
            LiquidationMath.insolventIncentiveFactorDown(incentive, debt, value), incentive.maxIncentiveFactor, 2
        );
        assertEq(
            LiquidationMath.insolventIncentiveFactorDown(incentive, debt, bound(deeper, 0, value * 999 / 1000)),
            incentive.maxIncentiveFactor
        );
        assertLt(
            LiquidationMath.insolventIncentiveFactorDown(incentive, debt, value * 1001 / 1000),
            incentive.maxIncentiveFactor
        );
    }

    /* LESS THAN THE MAX REPAY */

    function testFuzz_repayWithin_allOfMaxRepayWhenTheLimitAllows(uint256 maxRepay, uint256 limit, uint256 zone)
        public
        pure
    {
        maxRepay = anyAmount(maxRepay);
        limit = bound(limit, maxRepay, type(uint256).max);
        uint256 repaid = LiquidationMath.repayWithinDown(
            LiquidationMath.Zone(zone % 3), maxRepay, maxRepay, limit, type(uint128).max
        );
        assertEq(repaid, maxRepay);
    }

    /// @notice H5 on the ramp, where each unit repaid is a unit of debt less.
    function testFuzz_repayWithin_ramp(uint256 debt, uint256 maxRepay, uint256 limit, uint256 minDebt) public pure {
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT);
        maxRepay = bound(maxRepay, 1, debt);
        limit = bound(limit, 0, maxRepay - 1);
        minDebt = anyAmount(minDebt);
        uint256 repaid = LiquidationMath.repayWithinDown(LiquidationMath.Zone.Ramp, maxRepay, debt, limit, minDebt);
        uint256 mostThatMayGo = debt > minDebt ? debt - minDebt : 0;
        assertEq(repaid, Math.min(limit, mostThatMayGo));
    }

    /// @notice H5 for a part of a whole position: repaying r of the max repay R removes r ÷ R of the debt.
    function testFuzz_repayWithin_partOfAWholePosition(
        uint256 debt,
        uint256 maxRepay,
        uint256 limit,
        uint256 minDebt,
        bool insolvent
    ) public pure {
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT);
        maxRepay = bound(maxRepay, 1, debt);
        limit = bound(limit, 0, maxRepay - 1);
        minDebt = anyAmount(minDebt);
        LiquidationMath.Zone zone = insolvent ? LiquidationMath.Zone.Insolvent : LiquidationMath.Zone.Breakeven;
        uint256 repaid = LiquidationMath.repayWithinDown(zone, maxRepay, debt, limit, minDebt);
        if (debt <= minDebt) {
            assertEq(repaid, 0);
        } else {
            assertLe(repaid, limit);
            assertLe(repaid * debt, maxRepay * (debt - minDebt), "leaves the min debt");
            assertTrue(repaid == limit || (repaid + 1) * debt > maxRepay * (debt - minDebt), "no less than it may");
        }
    }

    function testFuzz_seized_isTheFloor(uint256 repaid, uint256 incentiveFactor, uint256 price) public pure {
        repaid = anyAmount(repaid);
        incentiveFactor = bound(incentiveFactor, WAD, 1.15e18);
        price = anyNumber(price);
        if (price == 0) price = 1;
        uint256 seized = LiquidationMath.seizedDown(repaid, incentiveFactor, price);
        // H4: seized × price ≤ repaid × β, and one unit more would be above.
        uint256 claim = repaid * incentiveFactor * 1e18;
        (uint256 high, uint256 low) = Math.mul512(seized, price);
        assertTrue(high == 0 && low <= claim);
        (high, low) = Math.mul512(seized + 1, price);
        assertTrue(high != 0 || low > claim);
    }

    /// @dev The values that `LiquidationMath.maxRepayOf` returns, by name.
    struct MaxRepay {
        LiquidationMath.Zone zone;
        uint256 amount;
        uint256 incentiveFactor;
    }

    function maxRepayOf(
        LiquidationMath.LiquidationIncentive memory incentive,
        uint256 debt,
        uint256 value,
        uint256 minDebt
    ) internal pure returns (MaxRepay memory maxRepay) {
        (maxRepay.zone, maxRepay.amount, maxRepay.incentiveFactor) =
            LiquidationMath.maxRepayOf(incentive, debt, value, minDebt);
    }

    function assertZone(MaxRepay memory maxRepay, LiquidationMath.Zone zone) internal pure {
        assertEq(uint256(maxRepay.zone), uint256(zone), "zone");
        if (zone != LiquidationMath.Zone.Ramp) assertEq(maxRepay.incentiveFactor, 0, "only on the ramp");
    }

    /* FUZZED INPUTS */

    function anyLtv(uint256 seed) internal pure returns (uint256) {
        return bound(seed, MIN_LTV_BPS, MAX_LTV_BPS);
    }

    /// @dev Any number of bits up to 128, each as likely.
    function anyAmount(uint256 seed) internal pure returns (uint256) {
        return uint128(seed) >> (seed >> 249);
    }

    /// @dev Any number of bits up to 256, each as likely.
    function anyNumber(uint256 seed) internal pure returns (uint256) {
        return seed >> uint8(seed);
    }

    function loanOnTheRamp(LiquidationMath.LiquidationIncentive memory incentive, uint256 debt, uint256 value)
        internal
        pure
        returns (uint256, uint256)
    {
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT * WAD / 1.2e18);
        uint256 lowest = incentive.maxIncentiveFactor * debt / WAD + 1;
        uint256 highest = Math.min(MAX_AMOUNT, (debt * BPS - 1) / incentive.ltvBps);
        vm.assume(lowest <= highest);
        return (debt, bound(value, lowest, highest));
    }

    /// @dev Whether (V - β·R)·L ÷ (D - R) > 1 + (1 - L) ÷ 2, without a division.
    function passesTarget(
        LiquidationMath.LiquidationIncentive memory incentive,
        uint256 debt,
        uint256 value,
        uint256 repaid,
        uint256 incentiveFactor
    ) internal pure returns (bool) {
        uint256 valueLeft = value * WAD - repaid * incentiveFactor;
        return valueLeft * 2 * incentive.ltvBps > (debt - repaid) * (3 * BPS - incentive.ltvBps) * WAD;
    }
}
