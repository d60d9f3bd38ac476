// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {RateCurve, toRateCurve} from "plimsoll/types/RateCurve.sol";
import {Risk, toRisk} from "plimsoll/types/Risk.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `createMarket`: by any account, once, within bounds; parameters never change (I3).
contract CreateMarketTest is VerbTest {
    function test_aNewMarket() public {
        params.risk = toRisk(5_000, 6_000, 1e18);
        MarketId expected = MarketId.wrap(keccak256(abi.encode(params)));
        skip(1 days);

        expectEvent();
        emit IPlimsoll.CreateMarket(expected, params);
        vm.prank(STRANGER);
        MarketId created = plimsoll.createMarket(params);

        assertEq(MarketId.unwrap(created), MarketId.unwrap(expected));
        Market memory want;
        want.lastUpdate = vm.getBlockTimestamp();
        want.rateAtTarget = START_RATE;
        assertMarket(plimsoll.market(created), want);
        assertEq(abi.encode(plimsoll.marketParams(created)), abi.encode(params));
        assertEq(plimsoll.feeRecipient(created), address(0));
        assertEq(plimsoll.backstop(created), address(0));
    }

    /// @dev I3: even after the market was used, and for any caller.
    function test_onlyOnce() public {
        createHistory();
        Balances memory b = balances();
        b.market = plimsoll.market(id);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketAlreadyCreated.selector, id));
        plimsoll.createMarket(params);
        assertBalances(b);
    }

    /// @dev I1: one parameter makes another market, with books of its own.
    function test_marketsKeepTheirOwnBooks() public {
        createHistory();
        Market memory before = plimsoll.market(id);
        MarketParams memory other = params;
        other.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT + 1);
        MarketId otherId = plimsoll.createMarket(other);
        give(loanToken, STRANGER, 1e6);
        vm.startPrank(STRANGER);
        plimsoll.supply(other, 1e6, 0, STRANGER, "");
        assertMarket(plimsoll.market(id), before);
        assertEq(plimsoll.market(otherId).supplyAssets, 1e6);
        assertEq(plimsoll.position(id, STRANGER).supplyShares, 0);
        assertEq(plimsoll.position(otherId, STRANGER).supplyShares, 1e12);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientSupplyShares.selector, 1, 0));
        plimsoll.withdraw(params, 0, 1, STRANGER, STRANGER);
    }

    /* BOUNDS */

    function testFuzz_anyRiskWithinBounds(uint16 borrowLtv, uint16 liquidationLtv, uint128 smallest) public {
        liquidationLtv = uint16(bound(liquidationLtv, 2, 9_800));
        borrowLtv = uint16(bound(borrowLtv, 1, uint256(liquidationLtv) * 995 / 1_000));
        smallest = uint128(bound(smallest, 10_000, type(uint128).max));
        assertCreates(toRisk(borrowLtv, liquidationLtv, smallest), params.curve);
    }

    function test_riskOutOfBounds() public {
        assertRefuses(toRisk(0, 8_600, 10_000));
        assertRefuses(toRisk(0, 0, 10_000));
        assertRefuses(toRisk(1, 1, 10_000));
        assertRefuses(toRisk(8_600, 8_600, 10_000));
        // 0.995 × 8,600 is 8,557.
        assertRefuses(toRisk(8_558, 8_600, 10_000));
        assertCreates(toRisk(8_557, 8_600, 10_000), params.curve);
        assertRefuses(toRisk(8_000, 9_801, 10_000));
        assertCreates(toRisk(8_000, 9_800, 10_000), params.curve);
        assertRefuses(toRisk(8_000, 8_600, 9_999));
        assertRefuses(toRisk(8_000, 8_600, 0));
        assertRefuses(toRisk(type(uint16).max, type(uint16).max, 10_000));
    }

    function testFuzz_riskWithUnusedBits(uint256 bits) public {
        bits = bound(bits, 1, type(uint24).max);
        assertRefuses(Risk.wrap(Risk.unwrap(params.risk) | (bits << 232)));
        Risk limited = params.risk.withSurgeLimit(1_000, 1 days, 1);
        assertRefuses(Risk.wrap(Risk.unwrap(limited) | (bits << 232)));
    }

    function testFuzz_anySurgeLimitWithinBounds(uint16 share, uint24 period, uint32 multiple) public {
        share = uint16(bound(share, 0, 10_000));
        period = uint24(bound(period, 1 hours, 30 days));
        multiple = uint32(bound(multiple, 1, type(uint32).max));
        assertCreates(params.risk.withSurgeLimit(share, period, multiple), params.curve);
    }

    function test_surgeLimitOutsideItsBounds() public {
        assertRefuses(params.risk.withSurgeLimit(10_001, 1 days, 1));
        assertRefuses(params.risk.withSurgeLimit(1_000, 1 hours - 1, 1));
        assertRefuses(params.risk.withSurgeLimit(1_000, 30 days + 1, 1));
        assertRefuses(params.risk.withSurgeLimit(1_000, 1 days, 0));
        assertRefuses(params.risk.withSurgeLimit(1_000, 0, 0));
        assertRefuses(params.risk.withSurgeLimit(0, 0, 1));
    }

    function testFuzz_anyCurveWithinBounds(uint40 start, uint16 target, uint24 steepness, uint32 speed) public {
        start = uint40(bound(start, 31_709_791, 63_419_583_967));
        target = uint16(bound(target, 100, 9_900));
        steepness = uint24(bound(steepness, 10_000, 100_000));
        speed = uint32(bound(speed, 0, 2_000_000));
        assertCreates(params.risk, toRateCurve(start, target, steepness, speed));
    }

    function test_curveOutOfBounds() public {
        // 0.1 % and 200 % a year, by the second.
        assertRefuses(toRateCurve(31_709_790, 9_000, 40_000, 500_000));
        assertRefuses(toRateCurve(63_419_583_968, 9_000, 40_000, 500_000));
        assertRefuses(toRateCurve(0, 9_000, 40_000, 500_000));
        assertRefuses(toRateCurve(START_RATE, 99, 40_000, 500_000));
        assertRefuses(toRateCurve(START_RATE, 9_901, 40_000, 500_000));
        assertRefuses(toRateCurve(START_RATE, 9_000, 9_999, 500_000));
        assertRefuses(toRateCurve(START_RATE, 9_000, 100_001, 500_000));
        assertRefuses(toRateCurve(START_RATE, 9_000, 40_000, 2_000_001));
        assertCreates(params.risk, toRateCurve(31_709_791, 100, 10_000, 0));
        assertCreates(params.risk, toRateCurve(63_419_583_967, 9_900, 100_000, 2_000_000));
    }

    function testFuzz_curveWithUnusedBits(uint256 bits) public {
        bits = bound(bits, 1, type(uint144).max);
        assertRefuses(RateCurve.wrap(RateCurve.unwrap(params.curve) | (bits << 112)));
    }

    function assertCreates(Risk risk, RateCurve curve) internal {
        // Another oracle, since fuzzing may hit on the parameters of the market that is there.
        params.oracle = address(this);
        (params.risk, params.curve) = (risk, curve);
        MarketId created = plimsoll.createMarket(params);
        assertEq(plimsoll.market(created).rateAtTarget, uint40(RateCurve.unwrap(curve)));
    }

    function assertRefuses(Risk risk) internal {
        MarketParams memory bad = params;
        bad.risk = risk;
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InvalidRisk.selector, risk));
        plimsoll.createMarket(bad);
    }

    function assertRefuses(RateCurve curve) internal {
        MarketParams memory bad = params;
        bad.curve = curve;
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InvalidRateCurve.selector, curve));
        plimsoll.createMarket(bad);
    }

    /* TOKENS AND ORACLE */

    function test_refusesAnAddressWithoutCode() public {
        address[2] memory nobodies = [address(0), STRANGER];
        for (uint256 i; i < nobodies.length; ++i) {
            bytes memory error_ = abi.encodeWithSelector(IPlimsoll.NoCode.selector, nobodies[i]);
            MarketParams memory bad = params;
            bad.loanToken = nobodies[i];
            vm.expectRevert(error_);
            plimsoll.createMarket(bad);

            bad.loanToken = params.loanToken;
            bad.collateralToken = nobodies[i];
            vm.expectRevert(error_);
            plimsoll.createMarket(bad);

            bad.collateralToken = params.collateralToken;
            bad.oracle = nobodies[i];
            vm.expectRevert(error_);
            plimsoll.createMarket(bad);
        }
    }

    function test_refusesATokenAgainstItself() public {
        params.collateralToken = params.loanToken;
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.SameToken.selector, loanToken));
        plimsoll.createMarket(params);
    }

    /// @dev An address with stray upper bits is no address: no market can be made of it, and no market is reached by
    /// it.
    function testFuzz_refusesStrayBitsOfAddresses(uint256 word, uint256 bits) public {
        uint256[5] memory words = abi.decode(abi.encode(params), (uint256[5]));
        words[bound(word, 0, 2)] |= bound(bits, 1, type(uint96).max) << 160;

        (bool done,) = address(plimsoll).call(abi.encodeWithSelector(IPlimsoll.createMarket.selector, words));
        assertFalse(done, "created");
        bytes memory answer;
        (done, answer) = address(plimsoll).call(abi.encodeWithSelector(IPlimsoll.accrue.selector, words));
        assertFalse(done, "reached");
        assertEq(answer, abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, keccak256(abi.encode(words))));
    }
}
