// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {InterestMath} from "plimsoll/libraries/InterestMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {RateCurve, toRateCurve} from "plimsoll/types/RateCurve.sol";

/// @title Tests of interest: known values of the adaptive curve, bounds, and that nothing is lost, wraps or reverts
/// (A9).
contract InterestMathTest is Test {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant MAX_AMOUNT = type(uint128).max;
    uint256 internal constant MAX_SHARES = MAX_AMOUNT - 1e6;
    /// @dev 0.1 %, 4 % and 200 % a year, by the second.
    uint256 internal constant MIN_RATE = 31_709_791;
    uint256 internal constant START_RATE = 1_268_391_679;
    uint256 internal constant MAX_RATE = 63_419_583_967;
    uint256 internal constant MAX_TIME = 2 ** 34 - 1;
    uint256 internal constant MAX_RESERVE_SHARES = 2 ** 114 - 1;
    uint256 internal constant STEEPNESS = 40_000;
    uint256 internal constant SPEED = 500_000;

    /* DISTANCE */

    function test_distance_known() public pure {
        assertEq(InterestMath.distanceFromTarget(0, 0, 9_000), -1e18);
        assertEq(InterestMath.distanceFromTarget(100, 0, 9_000), -1e18);
        assertEq(InterestMath.distanceFromTarget(100, 45, 9_000), -0.5e18);
        assertEq(InterestMath.distanceFromTarget(100, 90, 9_000), 0);
        assertEq(InterestMath.distanceFromTarget(100, 95, 9_000), 0.5e18);
        assertEq(InterestMath.distanceFromTarget(100, 100, 9_000), 1e18);
        assertEq(InterestMath.distanceFromTarget(100, 1, 100), 0);
        assertEq(InterestMath.distanceFromTarget(100, 99, 9_900), 0);
    }

    /// @dev In fractions of one, times the divisors: distance is (B/S - t) ÷ (1 - t) above the target t, (B/S - t) ÷ t
    /// below it; two roundings of 1e-18, the first of them stretched by at most 100, are all that is lost.
    function testFuzz_distance(uint256 supplied, uint256 borrowed, uint256 target) public pure {
        supplied = bound(supplied, 1, MAX_AMOUNT);
        borrowed = bound(borrowed, 0, supplied);
        target = bound(target, 100, 9_900);
        int256 distance = InterestMath.distanceFromTarget(supplied, borrowed, target);
        int256 above = int256(FixedPointMathLib.fullMulDiv(borrowed, 1e22, supplied)) - int256(target * WAD);
        int256 exact = above / int256(above > 0 ? BPS - target : target);
        assertApproxEqAbs(distance, exact, 101);
        assertTrue(distance >= -1e18 && distance <= 1e18);
    }

    /* RATE */

    function test_rate_known() public pure {
        assertEq(InterestMath.borrowRate(START_RATE, 1e18, STEEPNESS), 4 * START_RATE);
        assertEq(InterestMath.borrowRate(START_RATE, 0, STEEPNESS), START_RATE);
        assertEq(InterestMath.borrowRate(START_RATE, -1e18, STEEPNESS), START_RATE / 4);
        assertEq(InterestMath.borrowRate(1_000, 0.5e18, STEEPNESS), 2_500);
        assertEq(InterestMath.borrowRate(1_000, -0.5e18, STEEPNESS), 625);
    }

    /// @dev A line from an inverse steepness, through 1, to the steepness, times the rate at target.
    function testFuzz_rate(uint256 rateAtTarget, int256 distance, uint256 steepness) public pure {
        rateAtTarget = bound(rateAtTarget, MIN_RATE, MAX_RATE);
        distance = bound(distance, -1e18, 1e18);
        steepness = bound(steepness, BPS, 10 * BPS);
        uint256 rate = InterestMath.borrowRate(rateAtTarget, distance, steepness);
        // rate ÷ rateAtTarget = 1 + slope × distance, with slope steepness - 1 above and 1 - 1 ÷ steepness below.
        (uint256 rise, uint256 run) = distance >= 0 ? (steepness - BPS, BPS) : (steepness - BPS, steepness);
        int256 exact = int256(rateAtTarget * run * WAD) + int256(rateAtTarget * rise) * distance;
        assertLe(int256(rate * run * WAD), exact);
        assertGt(int256((rate + 1) * run * WAD), exact);
    }

    /* DRIFT */

    /// @dev Known answers of the formula at 60 digits: start × exp(speed × distance × time), and (start + 2 × middle +
    /// end) ÷ 4. At full distance and a speed of 50 a year the rate doubles in 5.06 days.
    function test_drift_known() public pure {
        assertDrift(1e18, SPEED, 5 days, 1_839_316_401, 2_516_027_353);
        assertDrift(-1e18, SPEED, 5 days, 927_244_935, 639_427_648);
        assertDrift(0.5e18, SPEED, 45 days, 10_193_288_382, 27_658_732_040);
        assertDrift(1e18, 2_000_000, 1 days, 1_699_661_572, 2_193_930_993);
        assertDrift(1e18, SPEED, 1, 1_268_392_685, 1_268_393_690);
        assertDrift(-1e18, SPEED, 45 days, 354_108_723, MIN_RATE);
        assertDrift(0.123456789012345678e18, 300_000, 7_777_777, 2_108_923_245, 3_161_986_286);
        assertDrift(-0.3e18, 10_000, 100 * 365 days, 340_880_263, MIN_RATE);
    }

    function test_drift_ofTheSlowestCurve() public pure {
        (uint256 average, uint256 end) = InterestMath.drift(START_RATE, 1e18, 1, 10 * 365 days);
        assertApproxEqRel(end, START_RATE * 1.0010005e18 / 1e18, 1e12);
        assertApproxEqRel(average, START_RATE * 1.0005e18 / 1e18, 1e12);
    }

    function assertDrift(int256 distance, uint256 speed, uint256 elapsed, uint256 average, uint256 end) internal pure {
        (uint256 gotAverage, uint256 gotEnd) = InterestMath.drift(START_RATE, distance, speed, elapsed);
        assertApproxEqAbs(gotAverage, average, 2, "average");
        assertApproxEqAbs(gotEnd, end, 3, "end");
    }

    /// @dev Published values of the curve's model, within its own tolerances: the borrow rate after five days at full
    /// utilisation is 22.976 % a year, at utilisation 0 0.724 %; at 95 % the rate at target is 87.22 % after 45 days.
    function test_drift_publishedAnswers() public pure {
        (uint256 average,) = InterestMath.drift(START_RATE, 1e18, SPEED, 5 days);
        assertApproxEqRel(InterestMath.borrowRate(average, 1e18, STEEPNESS) * 365 days, 0.22976e18, 0.1e18);
        (average,) = InterestMath.drift(START_RATE, -1e18, SPEED, 5 days);
        assertApproxEqRel(InterestMath.borrowRate(average, -1e18, STEEPNESS) * 365 days, 0.00724e18, 0.1e18);
        (, uint256 end) = InterestMath.drift(START_RATE, 0.5e18, SPEED, 45 days);
        assertApproxEqRel(end * 365 days, 0.8722e18, 0.005e18);
    }

    /// @dev A9: a second at a time the rate goes where it goes at once, but for half a unit a call, on either side.
    /// Rounded down, every call lowered it by a unit or two: a slow curve at the lowest rate could not rise even at
    /// full utilisation, and any curve close to its target fell.
    function test_drift_oftenIsTheSame() public pure {
        assertSameOften(MIN_RATE, 1e18, 10_000);
        assertSameOften(MIN_RATE, 0.03e18, SPEED);
        assertSameOften(START_RATE, -0.0001e18, SPEED);
        assertSameOften(START_RATE, 0.01e18, SPEED);
    }

    function assertSameOften(uint256 rate, int256 distance, uint256 speed) internal pure {
        uint256 secs = 10_000;
        (, uint256 once) = InterestMath.drift(rate, distance, speed, secs);
        for (uint256 i; i < secs; ++i) {
            (, rate) = InterestMath.drift(rate, distance, speed, 1);
        }
        assertApproxEqAbs(rate, once, secs / 2 + 1);
    }

    function testFuzz_drift_doesNotMove(uint256 rate, int256 distance, uint256 speed, uint256 elapsed) public pure {
        rate = bound(rate, MIN_RATE, MAX_RATE);
        distance = bound(distance, -1e18, 1e18);
        elapsed = bound(elapsed, 0, MAX_TIME);
        assertStays(rate, distance, 0, elapsed);
        assertStays(rate, 0, bound(speed, 0, 2_000_000), elapsed);
        assertStays(rate, distance, bound(speed, 0, 2_000_000), 0);
    }

    function assertStays(uint256 rate, int256 distance, uint256 speed, uint256 elapsed) internal pure {
        (uint256 average, uint256 end) = InterestMath.drift(rate, distance, speed, elapsed);
        assertEq(average, rate);
        assertEq(end, rate);
    }

    /// @dev Whatever the time: between the bounds, in the direction of the distance, the average between the ends.
    function testFuzz_drift_bounds(uint256 rate, int256 distance, uint256 speed, uint256 elapsed) public pure {
        rate = bound(rate, MIN_RATE, MAX_RATE);
        distance = bound(distance, -1e18, 1e18);
        speed = bound(speed, 1, 2_000_000);
        elapsed = bound(elapsed, 0, MAX_TIME);
        (uint256 average, uint256 end) = InterestMath.drift(rate, distance, speed, elapsed);
        assertTrue(end >= MIN_RATE && end <= MAX_RATE);
        if (distance > 0) assertTrue(rate <= end + 3 && rate <= average + 3 && average <= end + 1);
        if (distance < 0) assertTrue(end <= rate && average <= rate && end <= average + 1);
    }

    function test_drift_reachesItsBounds() public pure {
        (, uint256 end) = InterestMath.drift(MIN_RATE, 1e18, SPEED, 56 days);
        assertEq(end, MAX_RATE);
        (, end) = InterestMath.drift(MAX_RATE, -1e18, SPEED, 56 days);
        assertEq(end, MIN_RATE);
        (, end) = InterestMath.drift(MIN_RATE, 1e18, 2_000_000, MAX_TIME);
        assertEq(end, MAX_RATE);
        (, end) = InterestMath.drift(MAX_RATE, -1e18, 2_000_000, MAX_TIME);
        assertEq(end, MIN_RATE);
    }

    /* COMPOUNDING */

    /// @dev x + x²/2 + x³/6 with x = rate × time.
    function test_compounded_known() public pure {
        assertEq(InterestMath.compounded(1_268_391_679, 31_536_000), 40_810_666_655_159_581);
        assertEq(InterestMath.compounded(1_000_000_000, 86_400), 86_403_732_587_495);
        assertEq(InterestMath.compounded(50_000_000_000, 31_536_000), 3_473_348_297_472_000_000);
        assertEq(InterestMath.compounded(253_678_335_868, 3_600), 913_659_141_550_723);
        assertEq(InterestMath.compounded(0, MAX_TIME), 0);
        assertEq(InterestMath.compounded(MAX_RATE, 0), 0);
    }

    /// @dev Simple interest ≤ the series ≤ exp(x) - 1, and close to the latter while x is small.
    function testFuzz_compounded(uint256 rate, uint256 elapsed) public pure {
        rate = bound(rate, MIN_RATE, 10 * MAX_RATE);
        elapsed = bound(elapsed, 0, 135e18 / rate);
        uint256 growth = InterestMath.compounded(rate, elapsed);
        uint256 exact = uint256(FixedPointMathLib.expWad(int256(rate * elapsed))) - WAD;
        assertGe(growth, rate * elapsed);
        assertLe(growth, exact + exact / 1e15 + 1);
        if (rate * elapsed <= 0.1e18) assertApproxEqRel(growth + 1e6, exact + 1e6, 0.0001e18);
    }

    /// @dev A9: twice is never less than once, but for units of 1e-18.
    function testFuzz_compounded_oftenIsNotLess(uint256 rate, uint256 first, uint256 second) public pure {
        rate = bound(rate, MIN_RATE, 10 * MAX_RATE);
        (first, second) = (bound(first, 0, 3650 days), bound(second, 0, 3650 days));
        uint256 one = InterestMath.compounded(rate, first);
        uint256 two = InterestMath.compounded(rate, second);
        uint256 once = InterestMath.compounded(rate, first + second);
        // Each of the lesser terms is rounded down by 1 and then multiplied by the other's growth.
        assertGe(one + two + one * two / WAD + 4 + (one + two) * 2 / WAD, once);
    }

    /// @dev A9: up to the largest time, 35,000 years.
    function testFuzz_compounded_saturates(uint256 rate, uint256 elapsed) public pure {
        rate = bound(rate, MIN_RATE, 10 * MAX_RATE);
        elapsed = bound(elapsed, 0, MAX_TIME);
        uint256 x = rate * elapsed;
        uint256 series = x + x * x / 2e18 + x * x / 2e18 * x / 3e18;
        assertEq(InterestMath.compounded(rate, elapsed), series < type(uint96).max ? series : type(uint96).max);
        assertEq(InterestMath.compounded(10 * MAX_RATE, MAX_TIME), type(uint96).max);
    }

    /* INTEREST */

    /// @dev A9: accruing second by second, with the remainder, is as much as accruing once: the loss is below 2^-32 of
    /// a unit each time.
    function testFuzz_interest_nothingIsLost(uint256 borrowed, uint256 growth, uint256 remainder) public pure {
        borrowed = bound(borrowed, 0, MAX_AMOUNT >> 16);
        growth = bound(growth, 0, type(uint96).max);
        remainder = bound(remainder, 0, type(uint32).max);
        uint256 total;
        uint256 left = remainder;
        for (uint256 i; i < 50; ++i) {
            uint256 interest;
            (interest, left) = InterestMath.interestOn(borrowed, growth, left);
            assertLt(left, 2 ** 32);
            total += interest;
        }
        uint256 got = (total << 32) + left - remainder;
        uint256 exact = FixedPointMathLib.fullMulDiv(borrowed * growth, 50 << 32, WAD);
        assertLe(got, exact);
        assertGt(got + 50, exact);
    }

    function testFuzz_interest_fitsWhateverTheDebt(uint256 borrowed, uint256 growth, uint256 remainder) public pure {
        borrowed = bound(borrowed, 0, MAX_AMOUNT);
        growth = bound(growth, 0, type(uint96).max);
        remainder = bound(remainder, 0, type(uint32).max);
        (uint256 interest, uint256 left) = InterestMath.interestOn(borrowed, growth, remainder);
        assertEq((interest << 32) + left, FixedPointMathLib.fullMulDiv(borrowed * growth, 1 << 32, WAD) + remainder);
    }

    /* FEE */

    /// @dev New shares n, worth n × assets ÷ all shares at the price afterwards, are at most the fee, and one share
    /// more would be over it: written without division, with the virtual parts.
    function testFuzz_fee(uint256 interest, uint256 feeBps, uint256 supplied, uint256 shares) public pure {
        supplied = bound(supplied, 1, 1e32);
        interest = bound(interest, 0, supplied);
        shares = bound(shares, 0, 1e34);
        feeBps = bound(feeBps, 0, 2_500);
        uint256 n = InterestMath.feeSharesDown(interest, feeBps, supplied, shares);
        uint256 fee = interest * feeBps;
        assertLe(n * (supplied + 1) * BPS, fee * (shares + n + 1e6));
        assertGt((n + 1) * (supplied + 1) * BPS, fee * (shares + n + 1 + 1e6));
    }

    /// @dev A9: where all shares there can be are there already, the reserve gets what still fits.
    function testFuzz_fee_saturates(uint256 interest, uint256 feeBps, uint256 supplied, uint256 shares) public pure {
        supplied = bound(supplied, 0, MAX_AMOUNT);
        interest = bound(interest, 0, supplied);
        shares = bound(shares, 0, MAX_SHARES);
        feeBps = bound(feeBps, 0, 2_500);
        uint256 n = InterestMath.feeSharesDown(interest, feeBps, supplied, shares);
        assertLe(shares + n, MAX_SHARES);
    }

    function test_fee_largestThatFits() public pure {
        assertEq(InterestMath.feeSharesDown(1e30, 2_500, 1e30, MAX_SHARES), 0);
        assertEq(InterestMath.feeSharesDown(1e30, 2_500, 1e30, MAX_SHARES - 7), 7);
    }

    /* ALL OF IT */

    /// @dev A9: from any state, for any time, nothing reverts and everything still fits where it is stored.
    function testFuzz_accrue_neverRevertsNorWraps(Market memory m, RateCurve curve, uint256 elapsed) public pure {
        curve = anyCurve(curve);
        m.supplyAssets = bound(m.supplyAssets, 0, MAX_AMOUNT);
        m.supplyShares = bound(m.supplyShares, 0, MAX_SHARES);
        m.borrowAssets = bound(m.borrowAssets, 0, m.supplyAssets);
        m.borrowShares = bound(m.borrowShares, 0, MAX_AMOUNT);
        m.lastUpdate = bound(m.lastUpdate, 1, MAX_TIME);
        m.feeBps = bound(m.feeBps, 0, 2_500);
        m.rateAtTarget = bound(m.rateAtTarget, MIN_RATE, MAX_RATE);
        m.interestRemainder = bound(m.interestRemainder, 0, type(uint32).max);
        m.reserveShares =
            bound(m.reserveShares, 0, m.supplyShares < MAX_RESERVE_SHARES ? m.supplyShares : MAX_RESERVE_SHARES);
        uint256 timestamp = m.lastUpdate + bound(elapsed, 0, MAX_TIME - m.lastUpdate);
        Market memory before = abi.decode(abi.encode(m), (Market));

        (uint256 interest, uint256 feeShares) = InterestMath.accrue(m, curve, timestamp);

        assertEq(m.supplyAssets, before.supplyAssets + interest);
        assertEq(m.borrowAssets, before.borrowAssets + interest);
        assertEq(m.supplyShares, before.supplyShares + feeShares);
        assertEq(m.reserveShares, before.reserveShares + feeShares);
        assertEq(m.borrowShares, before.borrowShares);
        assertEq(m.feeBps, before.feeBps);
        assertEq(m.lastUpdate, timestamp);
        assertLe(m.supplyAssets, MAX_AMOUNT);
        assertLe(m.supplyShares, MAX_SHARES);
        assertLe(m.reserveShares, MAX_RESERVE_SHARES);
        assertLe(m.interestRemainder, type(uint32).max);
        assertTrue(m.rateAtTarget >= MIN_RATE && m.rateAtTarget <= MAX_RATE);
    }

    /// @dev S9: the fee for which the reserve has no shares left goes to suppliers, to the share.
    function test_S9_accrue_theReserveIsFullAtItsMostShares() public pure {
        Market memory m;
        m.supplyAssets = 1e30;
        m.supplyShares = 1e36;
        m.borrowAssets = 0.9e30;
        m.borrowShares = 0.9e36;
        m.lastUpdate = 1;
        m.feeBps = 2_500;
        m.rateAtTarget = MIN_RATE;
        m.reserveShares = MAX_RESERVE_SHARES - 7;
        RateCurve curve = toRateCurve(uint40(MIN_RATE), 9_000, 40_000, 0);
        (uint256 interest, uint256 feeShares) = InterestMath.accrue(m, curve, 1 + 365 days);
        assertGt(interest, 1e26);
        assertEq(feeShares, 7);
        assertEq(m.reserveShares, MAX_RESERVE_SHARES);
        (, feeShares) = InterestMath.accrue(m, curve, 1 + 2 * 365 days);
        assertEq(feeShares, 0);
        assertEq(m.supplyShares, 1e36 + 7);
    }

    function anyCurve(RateCurve curve) internal pure returns (RateCurve) {
        return toRateCurve(
            uint40(MIN_RATE),
            uint16(bound(curve.targetBps(), 100, 9_900)),
            uint24(bound(curve.steepness(), BPS, 10 * BPS)),
            uint32(bound(curve.speedPerYear(), 0, 2_000_000))
        );
    }

    /// @dev The rate that is charged is the average over the time, not the one at its end; the fee is of the interest.
    function test_accrue_combinesRateInterestAndFee() public pure {
        Market memory m;
        (m.supplyAssets, m.supplyShares) = (1e18, 1e24);
        (m.borrowAssets, m.borrowShares) = (1e18, 1e24);
        (m.lastUpdate, m.feeBps, m.rateAtTarget) = (1, 2_000, START_RATE);
        RateCurve curve = toRateCurve(uint40(START_RATE), 9_000, uint24(STEEPNESS), uint32(SPEED));
        (uint256 interest, uint256 feeShares) = InterestMath.accrue(m, curve, 1 + 5 days);

        // 4 × 1,839,316,401 a second for 432,000 seconds: x = 0.0031783387, x + x²/2 + x³/6
        assertApproxEqRel(interest, 0.003183395e18, 0.000001e18);
        assertApproxEqAbs(m.rateAtTarget, 2_516_027_353, 3);
        assertApproxEqRel(feeShares * m.supplyAssets / m.supplyShares, interest / 5, 0.000001e18);
    }

    /// @dev A9: six weeks of calls every ten minutes result in the value of the formula for the whole time.
    function test_accrue_often() public pure {
        Market memory m;
        (m.supplyAssets, m.supplyShares, m.rateAtTarget) = (1e30, 1e30, START_RATE);
        (m.borrowAssets, m.borrowShares) = (0.95e30, 0.95e30);
        RateCurve curve = toRateCurve(uint40(START_RATE), 9_000, uint24(STEEPNESS), uint32(SPEED));
        for (uint256 i = 1; i <= 45 days / 10 minutes; ++i) {
            InterestMath.accrue(m, curve, i * 10 minutes);
            // Utilisation is held where it is, as the published figure assumes.
            m.supplyAssets = m.borrowAssets * 100 / 95;
        }
        assertApproxEqRel(m.rateAtTarget * 365 days, 0.8722e18, 0.005e18);
        assertApproxEqRel(m.borrowAssets, 0.95e30 * 1.457, 0.3e18);
    }
}
