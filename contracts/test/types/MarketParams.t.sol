// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {RateCurve, toRateCurve} from "plimsoll/types/RateCurve.sol";
import {Risk, toRisk} from "plimsoll/types/Risk.sol";

/// @title Tests of a market's parameters: packing, bounds and id.
contract MarketParamsTest is Test {
    function idOf(MarketParams calldata params) external pure returns (MarketId) {
        return params.toId();
    }

    function testFuzz_idIsTheHashOfTheWords(MarketParams memory params) public view {
        assertEq(MarketId.unwrap(this.idOf(params)), keccak256(abi.encode(params)));
    }

    /* RISK */

    function testFuzz_risk(uint16 borrowLtv, uint16 liquidationLtv, uint128 smallest) public pure {
        Risk risk = toRisk(borrowLtv, liquidationLtv, smallest);
        bytes memory packed = abi.encodePacked(uint96(0), borrowLtv, liquidationLtv, smallest);
        assertEq(Risk.unwrap(risk), uint256(bytes32(packed)));
        assertEq(risk.borrowLtvBps(), borrowLtv);
        assertEq(risk.liquidationLtvBps(), liquidationLtv);
        assertEq(risk.minDebt(), smallest);
    }

    /// @dev Any word, near the bounds in each of its fields: the borrow LTV is at most 0.995 of the other, which is at
    /// most 98 %.
    function testFuzz_riskWithinBounds(uint16 borrowLtv, uint16 liquidationLtv, uint128 smallest) public pure {
        liquidationLtv = uint16(bound(liquidationLtv, 0, 9_810));
        borrowLtv = uint16(bound(borrowLtv, 0, uint256(liquidationLtv) + 5));
        if (smallest % 2 == 0) smallest = uint128(bound(smallest, 0, 20_000));
        Risk risk = Risk.wrap(uint256(bytes32(abi.encodePacked(uint96(0), borrowLtv, liquidationLtv, smallest))));
        bool valid = smallest >= 10_000 && borrowLtv != 0 && liquidationLtv <= 9_800
            && uint256(borrowLtv) * 1_000 <= uint256(liquidationLtv) * 995;
        assertEq(risk.isValid(), valid);
    }

    function testFuzz_surgeLimit(uint256 word, uint16 share, uint24 period, uint32 multiple) public pure {
        word = uint160(word);
        Risk risk = Risk.wrap(word).withSurgeLimit(share, period, multiple);
        bytes memory packed = abi.encodePacked(uint24(0), multiple, period, share, uint160(word));
        assertEq(Risk.unwrap(risk), uint256(bytes32(packed)));
        assertEq(risk.surgeShareBps(), share);
        assertEq(risk.surgePeriodSecs(), period);
        assertEq(risk.surgeFloor(), uint256(multiple) * uint128(word));
        // One limit replaces another.
        assertEq(Risk.unwrap(risk.withSurgeLimit(0, 0, 0)), word);
    }

    /// @dev Any limit, near the bounds in each of its fields: none at all, or all of it within them.
    function testFuzz_surgeLimitWithinBounds(uint256 seed, uint16 share, uint24 period, uint32 multiple, uint24 rest)
        public
        pure
    {
        uint256 way = seed % 4;
        share = uint16(bound(share, way == 0 ? 0 : 9_995, way == 0 ? 0 : 10_005));
        period = uint24(way < 2 ? bound(period, 0, 3) : bound(period, 3_595, 3_605));
        if (way == 3 && seed % 8 < 4) period = uint24(bound(period, 2_591_995, 2_592_005));
        multiple = uint32(bound(multiple, 0, way == 2 ? type(uint32).max : 3));
        rest = seed % 5 == 0 ? uint24(bound(rest, 0, 3)) : 0;
        // Such that the largest multiples exceed 128 bits.
        uint128 smallest = seed % 3 == 0 ? type(uint128).max / type(uint32).max : 10_000;
        if (seed % 6 == 0) ++smallest;
        Risk risk = toRisk(8_000, 8_600, smallest).withSurgeLimit(share, period, multiple);
        risk = Risk.wrap(Risk.unwrap(risk) | (uint256(rest) << 232));
        bool none = share == 0 && period == 0 && multiple == 0;
        bool within = share <= 10_000 && period >= 3_600 && period <= 2_592_000 && multiple >= 1
            && uint256(multiple) * smallest < 2 ** 128;
        assertEq(risk.isValid(), rest == 0 && (none || within));
    }

    /* RATE CURVE */

    function testFuzz_curve(uint40 start, uint16 target, uint24 steepness, uint32 speed) public pure {
        RateCurve curve = toRateCurve(start, target, steepness, speed);
        bytes memory packed = abi.encodePacked(uint144(0), speed, steepness, target, start);
        assertEq(RateCurve.unwrap(curve), uint256(bytes32(packed)));
        assertEq(curve.startRatePerSecond(), start);
        assertEq(curve.targetBps(), target);
        assertEq(curve.steepness(), steepness);
        assertEq(curve.speedPerYear(), speed);
    }

    /// @dev Any word, near the bounds in each of its fields; 0.1 % and 200 % a year are these by the second.
    function testFuzz_curveWithinBounds(uint40 start, uint16 target, uint24 steepness, uint32 speed, uint144 rest)
        public
        pure
    {
        start = uint40(start % 2 == 0 ? bound(start, 31_709_700, 31_709_900) : bound(start, 0, 63_500_000_000));
        target = uint16(bound(target, 90, 9_910));
        steepness = uint24(bound(steepness, 9_900, 100_100));
        speed = uint32(bound(speed, 0, 2_000_100));
        if (rest % 4 != 0) rest = 0;
        RateCurve curve = RateCurve.wrap(uint256(bytes32(abi.encodePacked(rest, speed, steepness, target, start))));
        bool valid = rest == 0 && start >= 31_709_791 && start <= 63_419_583_967 && target >= 100 && target <= 9_900
            && steepness >= 10_000 && steepness <= 100_000 && speed <= 2_000_000;
        assertEq(curve.isValid(), valid);
    }
}
