// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {toRateCurve} from "plimsoll/types/RateCurve.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `accrue`: interest for every second, on debt and supply alike, with a part for the reserve; it never
/// reverts.
contract AccrueTest is VerbTest {
    function setUp() public override {
        super.setUp();
        vm.prank(OWNER);
        plimsoll.setFee(params, 1_000);
    }

    /// @dev Known answer: at the target the rate stays where it is, 1,268,391,679 a second; a year by three terms of
    /// the series is 4.0810666655159581 % (`growth`), and a tenth of it goes to the reserve.
    function test_aYearAtTheTarget() public {
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1_000e18, 900_000e6);
        skip(365 days);

        uint256 growth = 40_810_666_655_159_581;
        uint256 interest = 900_000e6 * growth / WAD;
        uint256 remainder = ((900_000e6 * growth) << 32) / WAD - (interest << 32);
        uint256 fee = interest / 10;
        assertEq(interest, 36_729_599_989);

        expectEvent();
        emit IPlimsoll.Accrue(id, (interest << 32) | remainder, 3_555_429_447_639_304, START_RATE, 1_731_536_000);
        vm.prank(STRANGER);
        plimsoll.accrue(params);

        Market memory want;
        want.supplyAssets = 1_000_000e6 + interest;
        want.supplyShares = 1_000_000e12 + 3_555_429_447_639_304;
        want.borrowAssets = 900_000e6 + interest;
        want.borrowShares = 900_000e12;
        want.lastUpdate = 1_731_536_000;
        want.feeBps = 1_000;
        want.rateAtTarget = START_RATE;
        want.interestRemainder = remainder;
        want.reserveShares = 3_555_429_447_639_304;
        assertMarket(plimsoll.market(id), want);
        assertApproxEqAbs(valueOf(want.reserveShares, want), fee, 1, "the reserve's part");
        assertApproxEqAbs(suppliedBy(LENDER), 1_000_000e6 + interest - fee, 1, "the lender's part");
    }

    /// @dev A5: no share price falls; the reserve gets its part of the interest, rounded down, in shares.
    function testFuzz_raisesSharePrices(MarketHistory memory history) public {
        createHistory(history);
        Market memory before = plimsoll.market(id);
        Balances memory b = balances();
        expectAccrue();
        plimsoll.accrue(params);
        assertBalances(b);

        Market memory m = plimsoll.market(id);
        uint256 interest = m.supplyAssets - before.supplyAssets;
        assertEq(m.borrowAssets - before.borrowAssets, interest);
        assertEq(m.borrowShares, before.borrowShares);
        assertEq(m.supplyShares - before.supplyShares, m.reserveShares - before.reserveShares);
        assertGe(
            (m.supplyAssets + VIRTUAL_ASSETS) * (before.supplyShares + VIRTUAL_SHARES),
            (before.supplyAssets + VIRTUAL_ASSETS) * (m.supplyShares + VIRTUAL_SHARES),
            "supply price"
        );
        uint256 reserve = valueOf(m.reserveShares, m);
        assertLe(reserve, interest * m.feeBps / BPS);
        assertGe(reserve + 1, interest * m.feeBps / BPS);
    }

    function valueOf(uint256 shares, Market memory m) internal pure returns (uint256) {
        return down(shares, m.supplyAssets + VIRTUAL_ASSETS, m.supplyShares + VIRTUAL_SHARES);
    }

    function test_nothingTwiceInASecond() public {
        createHistory();
        plimsoll.accrue(params);
        Balances memory b = balances();
        vm.recordLogs();
        plimsoll.accrue(params);
        assertNoAccrual();
        assertBalances(b);
    }

    /// @dev Where nothing is lent nothing is earned; the rate falls, to call borrowers in.
    function test_withoutDebtOnlyTheRateMoves() public {
        supply(LENDER, 1_000e6);
        skip(1 days);
        expectAccrue();
        plimsoll.accrue(params);
        Market memory m = plimsoll.market(id);
        assertEq(m.supplyAssets, 1_000e6);
        assertEq(m.borrowAssets, 0);
        assertEq(m.supplyShares, 1_000e12);
        assertLt(m.rateAtTarget, START_RATE);
    }

    /// @dev A curve of speed 0 is a kinked line for ever: at full utilisation four times the rate at target.
    function test_aKinkedCurveStaysWhereItIs() public {
        params.curve = toRateCurve(START_RATE, 9_000, 40_000, 0);
        id = plimsoll.createMarket(params);
        supply(LENDER, 1_000e6);
        openLoan(BORROWER, 1e18, 1_000e6);
        skip(365 days);
        plimsoll.accrue(params);
        Market memory m = plimsoll.market(id);
        assertEq(m.rateAtTarget, START_RATE);
        // x = 4 × 1,268,391,679 × 31,536,000; x + x²/2 + x³/6
        assertEq(m.borrowAssets, 1_000e6 + 173_482_666);
        assertEq(m.supplyAssets, m.borrowAssets);
    }

    /// @dev A9: 60 bitcoins lent at 0.5 % earn less than a unit of 8 decimals a second; called every second nothing of
    /// it is lost, neither to the lenders nor to the reserve.
    function test_accruingEverySecondLosesNothing() public {
        params.curve = toRateCurve(uint40(0.005e18 / uint256(365 days)), 9_000, 40_000, 500_000);
        id = plimsoll.createMarket(params);
        vm.prank(OWNER);
        plimsoll.setFee(params, 1_000);
        oracle.set(PRICE * 1e3);
        supply(LENDER, 66.66666667e8);
        openLoan(BORROWER, 1_000e18, 60e8);
        uint256 snapshot = vm.snapshotState();

        skip(1_000);
        plimsoll.accrue(params);
        Market memory once = plimsoll.market(id);
        vm.revertToState(snapshot);
        for (uint256 i; i < 1_000; ++i) {
            skip(1);
            plimsoll.accrue(params);
        }
        Market memory often = plimsoll.market(id);

        assertEq(once.borrowAssets, 60e8 + 951);
        assertEq(often.borrowAssets, once.borrowAssets);
        assertEq(often.supplyAssets, once.supplyAssets);
        assertApproxEqRel(often.reserveShares, 95.1e6, 0.001e18);
        assertApproxEqRel(once.reserveShares, 95.1e6, 0.001e18);
    }

    /// @dev A9: for ages, with totals as large as can be, and again: it saturates, and everybody still gets out.
    function testFuzz_neverReverts(uint256 supplied, uint256 borrowed, uint256 timestamp, uint256 again) public {
        supplied = bound(supplied, MIN_DEBT, MAX_SHARES / 1e6);
        borrowed = bound(borrowed, MIN_DEBT, supplied);
        timestamp = bound(timestamp, vm.getBlockTimestamp() + 1, 2 ** 34 - 1);
        again = bound(again, timestamp, 2 ** 34 - 1);
        oracle.set(ORACLE_SCALE);
        supply(LENDER, supplied);
        openLoan(BORROWER, MAX_AMOUNT, borrowed);

        vm.warp(timestamp);
        Balances memory b = balances();
        expectAccrue();
        plimsoll.accrue(params);
        assertBalances(b);
        vm.warp(again);
        plimsoll.accrue(params);
        assertLe(plimsoll.market(id).borrowAssets, plimsoll.market(id).supplyAssets);

        // L2
        give(loanToken, STRANGER, MAX_AMOUNT);
        vm.prank(STRANGER);
        plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        uint256 shares = plimsoll.position(id, LENDER).supplyShares;
        vm.prank(LENDER);
        plimsoll.withdraw(params, 0, shares, LENDER, LENDER);
    }

    /// @dev L1
    function test_doesNotNeedTheOracle() public {
        createHistory();
        oracle.setBroken(true);
        expectAccrue();
        plimsoll.accrue(params);
    }

    function test_refusesAMarketThatIsNotThere() public {
        params.oracle = address(this);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, keccak256(abi.encode(params))));
        plimsoll.accrue(params);
    }
}
