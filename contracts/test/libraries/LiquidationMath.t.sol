// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {Risk, toRisk} from "plimsoll/types/Risk.sol";

/// @title The arithmetic of liquidation, over all liquidation LTVs, debts, values and prices there can be
/// @notice What the library computes is held against the rules written as inequalities between whole numbers, or as one
/// exact quotient; never against another computation in the same steps.
contract LiquidationMathTest is Test {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant ORACLE_SCALE = 1e36;
    uint256 internal constant MAX_AMOUNT = type(uint128).max;
    /// @dev The lowest and the highest liquidation LTV of a market that can be created: see
    /// `test_ltvsThatCanBeCreated`.
    uint256 internal constant MIN_LTV_BPS = 2;
    uint256 internal constant MAX_LTV_BPS = 9_800;

    /* WHAT ALL LOANS OF A MARKET SHARE */

    function test_ltvsThatCanBeCreated() public pure {
        assertTrue(toRisk(1, uint16(MIN_LTV_BPS), 10_000).isValid());
        assertFalse(toRisk(1, uint16(MIN_LTV_BPS - 1), 10_000).isValid());
        assertTrue(toRisk(9_751, uint16(MAX_LTV_BPS), 10_000).isValid());
        assertFalse(toRisk(1, uint16(MAX_LTV_BPS + 1), 10_000).isValid());
    }

    /// @dev The published bonus of Morpho's markets with the same rule and the same LTV.
    function test_bonusKnownFromElsewhere() public pure {
        assertEq(LiquidationMath.termsOf(8_600).maxBonus, 1_043_841_336_116_910_229);
        assertEq(LiquidationMath.termsOf(8_600).minBonus, 1_010_960_334_029_227_557);
    }

    /// @notice H4: β·L < 1 in every market that can be created. 1 ÷ (0.3·L + 0.7) is 100,000 ÷ (3·bps + 70,000).
    function test_terms_everyLtv() public pure {
        for (uint256 ltvBps = MIN_LTV_BPS; ltvBps <= MAX_LTV_BPS; ++ltvBps) {
            LiquidationMath.Terms memory terms = LiquidationMath.termsOf(ltvBps);
            uint256 uncapped = WAD * 100_000 / (3 * ltvBps + 70_000);
            assertEq(terms.ltvBps, ltvBps);
            assertEq(terms.maxBonus, uncapped < 1.15e18 ? uncapped : 1.15e18);
            assertEq(terms.minBonus, (3 * WAD + terms.maxBonus) / 4);
            assertGt(terms.minBonus, WAD);
            assertLt(terms.minBonus, terms.maxBonus);
            assertLt(terms.maxBonus * ltvBps, WAD * BPS);
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

    /* CEILINGS */

    /// @notice The ramp: V > βmax·D. H3: health reaches the target, T = 1 + (1 - L) ÷ 2, with the last unit that does
    /// not pass it.
    function testFuzz_ramp(uint256 ltvBps, uint256 debt, uint256 value) public pure {
        LiquidationMath.Terms memory terms = LiquidationMath.termsOf(anyLtv(ltvBps));
        (debt, value) = loanOnTheRamp(terms, debt, value);
        Ceiling memory ceiling = ceilingOf(terms, debt, value, 0);

        assertEq(ceiling.bonus, LiquidationMath.rampBonusDown(terms, debt, value));
        uint256 unhealthiness = debt * BPS - value * terms.ltvBps;
        uint256 exactBonus = terms.minBonus
            + Math.mulDiv(
                (terms.maxBonus - terms.minBonus) * WAD * BPS,
                unhealthiness,
                debt * BPS * (WAD * BPS - terms.ltvBps * terms.maxBonus)
            );
        assertLe(ceiling.bonus, exactBonus);
        assertLe(exactBonus - ceiling.bonus, 2);
        assertGe(ceiling.bonus, terms.minBonus);
        assertLe(ceiling.bonus, terms.maxBonus);

        assertLt(ceiling.repay, debt);
        assertLe(ceiling.repay * ceiling.bonus, value * WAD, "never short of collateral");
        assertFalse(passesTarget(terms, debt, value, ceiling.repay, ceiling.bonus));
        assertTrue(passesTarget(terms, debt, value, ceiling.repay + 1, ceiling.bonus));
    }

    /// @notice On the ramp a loan is repaid whole where less than the smallest debt would be left.
    function testFuzz_ramp_wholeWhenTheRestWouldBeTooSmall(
        uint256 ltvBps,
        uint256 debt,
        uint256 value,
        uint256 smallestDebt
    ) public pure {
        LiquidationMath.Terms memory terms = LiquidationMath.termsOf(anyLtv(ltvBps));
        (debt, value) = loanOnTheRamp(terms, debt, value);
        Ceiling memory free = ceilingOf(terms, debt, value, 0);
        uint256 rest = debt - free.repay;
        assertEq(ceilingOf(terms, debt, value, rest).repay, free.repay);
        assertEq(ceilingOf(terms, debt, value, rest + 1).repay, debt);

        smallestDebt = anyAmount(smallestDebt);
        Ceiling memory ceiling = ceilingOf(terms, debt, value, smallestDebt);
        assertEq(ceiling.bonus, free.bonus);
        assertEq(ceiling.repay, rest < smallestDebt ? debt : free.repay);
        assertLe(ceiling.repay * ceiling.bonus, value * WAD, "never short of collateral");
    }

    /// @notice The kink: βmin·D ≤ V ≤ βmax·D. The whole debt for the whole collateral, and nothing is bad debt (H8).
    function testFuzz_kink(uint256 ltvBps, uint256 debt, uint256 value, uint256 smallestDebt) public pure {
        LiquidationMath.Terms memory terms = LiquidationMath.termsOf(anyLtv(ltvBps));
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT * WAD / 1.15e18);
        uint256 lowest = Math.ceilDiv(terms.minBonus * debt, WAD);
        uint256 highest = terms.maxBonus * debt / WAD;
        vm.assume(lowest <= highest);
        value = bound(value, lowest, highest);
        Ceiling memory ceiling = ceilingOf(terms, debt, value, anyAmount(smallestDebt));
        assertEq(ceiling.bonus, 0);
        assertEq(ceiling.repay, debt);
    }

    /// @notice Under water: V < βmin·D. H8: what is repaid is V ÷ β, rounded up, with β rising by a straight line.
    function testFuzz_underwater(uint256 ltvBps, uint256 debt, uint256 value, uint256 smallestDebt) public pure {
        LiquidationMath.Terms memory terms = LiquidationMath.termsOf(anyLtv(ltvBps));
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT);
        value = bound(value, 0, Math.min(MAX_AMOUNT, (terms.minBonus * debt - 1) / WAD));
        Ceiling memory ceiling = ceilingOf(terms, debt, value, anyAmount(smallestDebt));
        assertEq(ceiling.bonus, 0);
        assertLe(ceiling.repay, debt);

        uint256 bonus = LiquidationMath.underwaterBonusDown(terms, debt, value);
        uint256 exactBonus = Math.min(
            terms.maxBonus,
            terms.minBonus
                + Math.mulDiv(
                    (terms.maxBonus - terms.minBonus) * terms.ltvBps,
                    terms.minBonus * debt - value * WAD,
                    debt * (WAD * BPS - terms.maxBonus * terms.ltvBps)
                )
        );
        assertGe(bonus, terms.minBonus);
        assertLe(bonus, exactBonus, "H4: against the liquidator");
        // The collateral to debt ratio is rounded to 1e-18; the line is steepest, 0.32, at the highest LTV.
        assertLe(exactBonus - bonus, 2);

        assertGe(ceiling.repay * bonus, value * WAD);
        if (ceiling.repay != 0) assertLt((ceiling.repay - 1) * bonus, value * WAD);
        else assertEq(value, 0);
    }

    /// @notice β has no jump: where ramp meets kink it is βmax, where kink meets the waters βmin, and the ceiling there
    /// is the whole debt from both sides.
    function testFuzz_continuousAtBothJoints(uint256 ltvBps, uint256 debt, uint256 smallestDebt) public pure {
        LiquidationMath.Terms memory terms = LiquidationMath.termsOf(anyLtv(ltvBps));
        debt = bound(debt, 1e24, MAX_AMOUNT * WAD / 1.2e18);
        smallestDebt = bound(smallestDebt, 1, 1e18);

        uint256 kinkTop = terms.maxBonus * debt / WAD;
        Ceiling memory above = ceilingOf(terms, debt, kinkTop + 1, 0);
        Ceiling memory joint = ceilingOf(terms, debt, kinkTop, smallestDebt);
        assertApproxEqAbs(above.bonus, terms.maxBonus, 2);
        assertLt(above.repay, debt);
        // A unit of value, and two of 1e-18 of the bonus, over T - βmax·L ≥ 0.024.
        assertLe(debt - above.repay, 100 + 100 * (debt / WAD));
        assertEq(joint.bonus, 0);
        assertEq(joint.repay, debt);

        uint256 kinkBottom = Math.ceilDiv(terms.minBonus * debt, WAD);
        joint = ceilingOf(terms, debt, kinkBottom, smallestDebt);
        Ceiling memory below = ceilingOf(terms, debt, kinkBottom - 1, smallestDebt);
        assertEq(joint.repay, debt);
        assertLe(debt - below.repay, 2 + 2 * (debt / WAD));
        assertEq(LiquidationMath.underwaterBonusDown(terms, debt, kinkBottom - 1), terms.minBonus);
    }

    /// @notice Under water the bonus is back at βmax when V ÷ D has fallen by 1 ÷ L - βmax, not before, and stays
    /// there.
    function testFuzz_underwater_backAtTheHighestBonus(uint256 ltvBps, uint256 debt, uint256 deeper) public pure {
        // Below about 49 % the collateral is worth nothing before βmax is reached.
        LiquidationMath.Terms memory terms = LiquidationMath.termsOf(bound(ltvBps, 5_000, MAX_LTV_BPS));
        debt = bound(debt, 1e24, MAX_AMOUNT);
        uint256 ratio = terms.minBonus + terms.maxBonus - WAD * BPS / terms.ltvBps;
        uint256 value = debt / WAD * ratio;
        assertApproxEqAbs(LiquidationMath.underwaterBonusDown(terms, debt, value), terms.maxBonus, 2);
        assertEq(LiquidationMath.underwaterBonusDown(terms, debt, bound(deeper, 0, value * 999 / 1000)), terms.maxBonus);
        assertLt(LiquidationMath.underwaterBonusDown(terms, debt, value * 1001 / 1000), terms.maxBonus);
    }

    /* LESS THAN A CEILING */

    function testFuzz_repayWithin_theWholeCeilingWhereTheCallerPaysIt(uint256 repay, uint256 limit, uint256 bonus)
        public
        pure
    {
        repay = anyAmount(repay);
        limit = bound(limit, repay, type(uint256).max);
        assertEq(LiquidationMath.repayWithinDown(repay, bonus, repay, limit, type(uint128).max), repay);
    }

    /// @notice H5 on the ramp, where each unit repaid is a unit of debt less.
    function testFuzz_repayWithin_ramp(uint256 debt, uint256 repay, uint256 limit, uint256 smallestDebt) public pure {
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT);
        repay = bound(repay, 1, debt);
        limit = bound(limit, 0, repay - 1);
        smallestDebt = anyAmount(smallestDebt);
        uint256 repaid = LiquidationMath.repayWithinDown(repay, 1.01e18, debt, limit, smallestDebt);
        uint256 mostThatMayGo = debt > smallestDebt ? debt - smallestDebt : 0;
        assertEq(repaid, Math.min(limit, mostThatMayGo));
    }

    /// @notice H5 for slices of a whole position: repaying r of the ceiling R takes away r ÷ R of the debt.
    function testFuzz_repayWithin_slices(uint256 debt, uint256 repay, uint256 limit, uint256 smallestDebt) public pure {
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT);
        repay = bound(repay, 1, debt);
        limit = bound(limit, 0, repay - 1);
        smallestDebt = anyAmount(smallestDebt);
        uint256 repaid = LiquidationMath.repayWithinDown(repay, 0, debt, limit, smallestDebt);
        if (debt <= smallestDebt) {
            assertEq(repaid, 0);
        } else {
            assertLe(repaid, limit);
            assertLe(repaid * debt, repay * (debt - smallestDebt), "leaves the smallest debt");
            assertTrue(repaid == limit || (repaid + 1) * debt > repay * (debt - smallestDebt), "no less than it may");
        }
    }

    function testFuzz_seized_isTheFloor(uint256 repaid, uint256 bonus, uint256 price) public pure {
        repaid = anyAmount(repaid);
        bonus = bound(bonus, WAD, 1.15e18);
        price = anyNumber(price);
        if (price == 0) price = 1;
        uint256 seized = LiquidationMath.seizedDown(repaid, bonus, price);
        // H4: seized × price ≤ repaid × β, and one unit more would be above.
        uint256 claim = repaid * bonus * 1e18;
        (uint256 high, uint256 low) = Math.mul512(seized, price);
        assertTrue(high == 0 && low <= claim);
        (high, low) = Math.mul512(seized + 1, price);
        assertTrue(high != 0 || low > claim);
    }

    /// @dev What `LiquidationMath.ceilingOf` answers, with names.
    struct Ceiling {
        uint256 repay;
        uint256 bonus;
    }

    function ceilingOf(LiquidationMath.Terms memory terms, uint256 debt, uint256 value, uint256 smallestDebt)
        internal
        pure
        returns (Ceiling memory ceiling)
    {
        (ceiling.repay, ceiling.bonus) = LiquidationMath.ceilingOf(terms, debt, value, smallestDebt);
    }

    /* WHAT IS DRAWN */

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

    function loanOnTheRamp(LiquidationMath.Terms memory terms, uint256 debt, uint256 value)
        internal
        pure
        returns (uint256, uint256)
    {
        debt = bound(anyAmount(debt), 1, MAX_AMOUNT * WAD / 1.2e18);
        uint256 lowest = terms.maxBonus * debt / WAD + 1;
        uint256 highest = Math.min(MAX_AMOUNT, (debt * BPS - 1) / terms.ltvBps);
        vm.assume(lowest <= highest);
        return (debt, bound(value, lowest, highest));
    }

    /// @dev Whether (V - β·R)·L ÷ (D - R) > 1 + (1 - L) ÷ 2, without a division.
    function passesTarget(
        LiquidationMath.Terms memory terms,
        uint256 debt,
        uint256 value,
        uint256 repaid,
        uint256 bonus
    ) internal pure returns (bool) {
        uint256 valueLeft = value * WAD - repaid * bonus;
        return valueLeft * 2 * terms.ltvBps > (debt - repaid) * (3 * BPS - terms.ltvBps) * WAD;
    }
}
