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
    function testFuzz_riskWithinBounds(uint16 borrowLtv, uint16 liquidationLtv, uint128 smallest, uint96 rest)
        public
        pure
    {
        liquidationLtv = uint16(bound(liquidationLtv, 0, 9_810));
        borrowLtv = uint16(bound(borrowLtv, 0, uint256(liquidationLtv) + 5));
        if (smallest % 2 == 0) smallest = uint128(bound(smallest, 0, 20_000));
        if (rest % 2 == 0) rest = 0;
        Risk risk = Risk.wrap(uint256(bytes32(abi.encodePacked(rest, borrowLtv, liquidationLtv, smallest))));
        bool valid = rest == 0 && smallest >= 10_000 && borrowLtv != 0 && liquidationLtv <= 9_800
            && uint256(borrowLtv) * 1_000 <= uint256(liquidationLtv) * 995;
        assertEq(risk.isValid(), valid);
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
