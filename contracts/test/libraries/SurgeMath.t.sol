// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {SurgeMath} from "plimsoll/libraries/SurgeMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {Risk, toRisk} from "plimsoll/types/Risk.sol";

/// @title Tests of the surge limit's arithmetic: against its defining equation, and to the unit at its bounds.
contract SurgeMathTest is Test {
    uint256 internal constant BPS = 10_000;
    uint256 internal constant FULL = 2 ** 28 - 1;
    uint256 internal constant MAX_AMOUNT = type(uint128).max;

    /// @dev Any state that a market with a limit can have: amounts of all orders of magnitude, and any limit.
    struct State {
        uint256 borrowAssets;
        uint256 level;
        uint16 shareBps;
        uint24 periodSecs;
        uint32 floorMultiple;
        uint128 minDebt;
        uint8 magnitude;
    }

    function stateOf(State memory s) internal pure returns (Market memory m, Risk risk) {
        s.shareBps = uint16(bound(s.shareBps, 0, BPS));
        s.periodSecs = uint24(bound(s.periodSecs, 1 hours, 30 days));
        s.minDebt = uint128(bound(s.minDebt, 10_000, MAX_AMOUNT >> (s.magnitude % 114)));
        s.floorMultiple = uint32(bound(s.floorMultiple, 1, min(type(uint32).max, MAX_AMOUNT / s.minDebt)));
        m.borrowAssets = bound(s.borrowAssets, 0, MAX_AMOUNT >> (s.magnitude % 120));
        m.surgeLevel = bound(s.level, 0, FULL);
        risk = toRisk(8_000, 8_600, s.minDebt).withSurgeLimit(s.shareBps, s.periodSecs, s.floorMultiple);
        assertTrue(risk.isValid());
    }

    /* S2: THE ROOM IS EXACT */

    function testFuzz_S2_theRoomIsTheMostThatFits(State memory s) public pure {
        (Market memory m, Risk risk) = stateOf(s);
        uint256 room = SurgeMath.room(m, risk);
        assertLe(SurgeMath.levelAfterBorrow(m, risk, room), FULL, "the room does not fit");
        assertGt(SurgeMath.levelAfterBorrow(m, risk, room + 1), FULL, "more than the room fits");
    }

    /// @dev The limit is the floor and a part of the aged debt: all debt but what was borrowed lately, which is the used
    /// part of the limit. All of it is `room + used`, so with used = limit × level / FULL both sides agree to rounding.
    function testFuzz_theLimitIsTheFloorAndAPartOfAgedDebt(State memory s) public pure {
        s.magnitude = uint8(bound(s.magnitude, 32, 90));
        (Market memory m, Risk risk) = stateOf(s);
        // At a level where the rest of the limit still tells all of it.
        m.surgeLevel = bound(m.surgeLevel, 0, FULL / 2);
        uint256 room = SurgeMath.room(m, risk);
        uint256 used = room * m.surgeLevel / (FULL - m.surgeLevel);
        uint256 limit = room + used;
        uint256 aged = m.borrowAssets < used ? 0 : m.borrowAssets - used;
        if (m.borrowAssets < used) return;
        uint256 expected = risk.surgeFloor() + s.shareBps * aged / BPS;
        assertApproxEqAbs(limit, expected, 8, "floor + share x (debt - used)");
    }

    function test_anEmptyBucketHoldsFloorAndShare() public pure {
        Market memory m;
        m.borrowAssets = 50_000_000e6;
        Risk risk = toRisk(8_000, 8_600, 100e6).withSurgeLimit(1_000, 1 days, 10_000);
        assertEq(SurgeMath.room(m, risk), 6_000_000e6);
        assertEq(SurgeMath.levelAfterBorrow(m, risk, 6_000_000e6), FULL);
        // Half of it leaves half of it: borrowing changes neither the aged debt nor the limit.
        m.surgeLevel = SurgeMath.levelAfterBorrow(m, risk, 3_000_000e6);
        m.borrowAssets += 3_000_000e6;
        assertApproxEqAbs(SurgeMath.room(m, risk), 3_000_000e6, 0.05e6);
        assertLe(SurgeMath.room(m, risk), 3_000_000e6);
    }

    /* CHARGES AND REFUNDS */

    /// @dev A charge is the least level that covers what is borrowed.
    function testFuzz_aChargeIsRoundedUp(State memory s, uint256 assets) public pure {
        (Market memory m, Risk risk) = stateOf(s);
        assets = bound(assets, 1, MAX_AMOUNT);
        uint256 charge = SurgeMath.levelAfterBorrow(m, risk, assets) - m.surgeLevel;
        uint256 n = risk.surgeFloor() * BPS + s.shareBps * m.borrowAssets;
        uint256 d = BPS * FULL + s.shareBps * m.surgeLevel;
        assertGe(charge * n, assets * d);
        assertLt((charge - 1) * n, assets * d);
    }

    /// @dev What is paid in is taken out, rounded down, and no further than to 0.
    function testFuzz_aRefundIsRoundedDown(State memory s, uint256 assets) public pure {
        (Market memory m, Risk risk) = stateOf(s);
        assets = bound(assets, 0, MAX_AMOUNT);
        uint256 level = m.surgeLevel;
        uint256 n = risk.surgeFloor() * BPS + s.shareBps * m.borrowAssets;
        uint256 d = BPS * FULL + s.shareBps * level;
        SurgeMath.refund(m, risk, assets);
        if (m.surgeLevel == 0) {
            assertGe(assets * d + n, level * n);
        } else {
            uint256 refund = level - m.surgeLevel;
            assertLe(refund * n, assets * d);
            assertGt((refund + 1) * n, assets * d);
        }
    }

    /// @dev S3: to borrow and to pay it back leaves the level where it was or higher, in whatever order and parts, even
    /// if another's debt is paid.
    function testFuzz_S3_aCycleDoesNotLowerTheLevel(State memory s, uint256 assets, uint256 part, bool repayFirst)
        public
        pure
    {
        s.magnitude = uint8(bound(s.magnitude, 4, 119));
        (Market memory m, Risk risk) = stateOf(s);
        uint256 level = m.surgeLevel;
        assets = bound(assets, 0, repayFirst ? m.borrowAssets : SurgeMath.room(m, risk));
        part = bound(part, 0, assets);
        if (repayFirst) {
            repay(m, risk, part);
            repay(m, risk, assets - part);
            borrow(m, risk, assets);
        } else {
            borrow(m, risk, part);
            borrow(m, risk, min(assets - part, SurgeMath.room(m, risk)));
            repay(m, risk, m.borrowAssets - bound(s.borrowAssets, 0, MAX_AMOUNT >> (s.magnitude % 120)));
        }
        assertGe(m.surgeLevel, level, "a cycle freed room");
    }

    /// @dev Borrowing in parts gets no more through than at once.
    function testFuzz_partsAreNoCheaper(State memory s, uint256 assets, uint256 part) public pure {
        (Market memory m, Risk risk) = stateOf(s);
        assets = bound(assets, 0, min(SurgeMath.room(m, risk), MAX_AMOUNT - m.borrowAssets));
        part = bound(part, 0, assets);
        uint256 once = SurgeMath.levelAfterBorrow(m, risk, assets);
        m.surgeLevel = SurgeMath.levelAfterBorrow(m, risk, part);
        m.borrowAssets += part;
        assertGe(SurgeMath.levelAfterBorrow(m, risk, assets - part), once);
    }

    /* REFILL */

    function testFuzz_refillIsAPartOfThePeriodRoundedDown(State memory s, uint256 elapsed) public pure {
        (Market memory m, Risk risk) = stateOf(s);
        elapsed = bound(elapsed, 0, 2 ** 34 - 1);
        uint256 level = m.surgeLevel;
        uint256 refill = elapsed * FULL / s.periodSecs;
        SurgeMath.refill(m, risk, elapsed);
        assertEq(m.surgeLevel, refill < level ? level - refill : 0);
        if (elapsed >= s.periodSecs) assertEq(m.surgeLevel, 0, "a period refills all of it");
    }

    /// @dev S8: a refill every second is at most a hundredth slower than one refill, for whatever period.
    function testFuzz_S8_aRefillEverySecondIsHardlySlower(uint24 period, uint256 elapsed) public pure {
        period = uint24(bound(period, 1 hours, 30 days));
        elapsed = bound(elapsed, 1, period);
        Risk risk = toRisk(8_000, 8_600, 10_000).withSurgeLimit(1_000, period, 1);
        Market memory m;
        m.surgeLevel = FULL;
        SurgeMath.refill(m, risk, 1);
        uint256 perSecond = FULL - m.surgeLevel;
        assertGe(perSecond * elapsed * 100, 99 * (elapsed * FULL / period));
    }

    /// @dev S1: without a limit the level is 0 and stays 0, although there is no period to divide by.
    function testFuzz_S1_withoutALimitTheLevelStaysZero(Market memory m, uint256 elapsed) public pure {
        m.surgeLevel = 0;
        Risk risk = toRisk(8_000, 8_600, 10_000);
        SurgeMath.refill(m, risk, elapsed);
        assertEq(m.surgeLevel, 0);
    }

    function borrow(Market memory m, Risk risk, uint256 assets) internal pure {
        m.surgeLevel = SurgeMath.levelAfterBorrow(m, risk, assets);
        m.borrowAssets += assets;
    }

    function repay(Market memory m, Risk risk, uint256 assets) internal pure {
        SurgeMath.refund(m, risk, assets);
        m.borrowAssets -= assets;
    }

    function min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }
}
