// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {SurgeMath} from "plimsoll/libraries/SurgeMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of the surge limit in the core's verbs: what uses it, what gives it back, what does not care.
contract SurgeLimitTest is VerbTest {
    uint256 internal constant FULL = 2 ** 28 - 1;
    uint256 internal constant FLOOR = 100_000e6;

    /// @dev A tenth of the aged debt and 100,000 a day; a million is supplied.
    function setUp() public override {
        super.setUp();
        params.risk = params.risk.withSurgeLimit(1_000, 1 days, uint32(FLOOR / MIN_DEBT));
        id = plimsoll.createMarket(params);
        supply(LENDER, 1_000_000e6);
        supplyCollateral(BORROWER, 10_000e18);
        supplyCollateral(STRANGER, 10_000e18);
        give(loanToken, BORROWER, 10_000_000e6);
    }

    function room() internal view returns (uint256) {
        return SurgeMath.room(accrued(), params.risk);
    }

    function level() internal view returns (uint256) {
        return plimsoll.market(id).surgeLevel;
    }

    function refuses(address who, uint256 assets) internal {
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.SurgeLimitExceeded.selector, assets, room()));
        vm.prank(who);
        plimsoll.borrow(params, assets, 0, who, who);
    }

    /* WHAT USES IT */

    /// @dev S2 and S7: the first loan of a market may be as large as the floor, to the unit.
    function test_S2_aNewMarketLendsItsFloorAndNotAUnitMore() public {
        assertEq(room(), FLOOR);
        refuses(BORROWER, FLOOR + 1);
        borrow(BORROWER, FLOOR);
        assertEq(level(), FULL);
        refuses(STRANGER, MIN_DEBT);
    }

    /// @dev S2, S7: at the smallest floor there is.
    function test_S7_theSmallestFloorAdmitsTheSmallestLoan() public {
        params.risk = params.risk.withSurgeLimit(0, 30 days, 1);
        id = plimsoll.createMarket(params);
        supply(LENDER, 1_000_000e6);
        supplyCollateral(BORROWER, 1e18);
        borrow(BORROWER, MIN_DEBT);
        refuses(BORROWER, 1);
    }

    function testFuzz_S2_byAssetsAndByShares(uint256 first, uint256 elapsed, bool byShares) public {
        borrow(BORROWER, bound(first, MIN_DEBT, FLOOR));
        skip(bound(elapsed, 0, 2 days));
        Market memory m = accrued();
        uint256 most = SurgeMath.room(m, params.risk);
        if (most < MIN_DEBT) return;
        refuses(STRANGER, most + 1);
        uint256 shares = down(most, m.borrowShares, m.borrowAssets);
        vm.prank(STRANGER);
        plimsoll.borrow(params, byShares ? 0 : most, byShares ? shares : 0, STRANGER, STRANGER);
        assertGt(level(), m.surgeLevel);
        assertLe(level(), FULL);
        if (!byShares) assertGe(level(), FULL - 1e6, "the room is used up, to a share of a unit");
    }

    /// @dev Attack: half of the room again and again does not pump its own base. All debt of the burst is the floor.
    function test_borrowingInPartsDoesNotRaiseTheLimit() public {
        uint256 borrowed;
        for (uint256 i; i < 40 && room() / 2 >= 1e6; ++i) {
            uint256 part = room() / 2 < MIN_DEBT ? MIN_DEBT : room() / 2;
            if (part > room()) break;
            borrow(i % 2 == 0 ? BORROWER : STRANGER, part);
            borrowed += part;
        }
        assertLe(borrowed, FLOOR);
        assertGe(borrowed, FLOOR - 2 * MIN_DEBT);
    }

    /// @dev A limit comes before the oracle and before the minimum debt: it is the cheapest refusal.
    function test_refusedBeforeTheOracleIsAsked() public {
        oracle.setBroken(true);
        refuses(BORROWER, FLOOR + 1);
    }

    /// @dev Liquidity comes first: more than there is, is named so.
    function test_moreThanTheLiquidityIsRefusedAsSuch() public {
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientLiquidity.selector, 1_000_000e6 + 1, 1_000_000e6));
        vm.prank(BORROWER);
        plimsoll.borrow(params, 1_000_000e6 + 1, 0, BORROWER, BORROWER);
    }

    /* TIME */

    /// @dev As much again over each period, and more as the debt ages.
    function test_itRefillsOverThePeriod() public {
        borrow(BORROWER, FLOOR);
        skip(12 hours);
        assertApproxEqRel(room(), FLOOR / 2 + FLOOR / 40, 0.01e18);
        skip(12 hours);
        assertApproxEqRel(room(), FLOOR + FLOOR / 10, 0.001e18);
        plimsoll.accrue(params);
        assertEq(level(), 0);
        uint256 most = room();
        assertApproxEqRel(most, 110_000e6, 0.001e18);
        refuses(STRANGER, most + 1);
        borrow(STRANGER, most);
    }

    /// @dev S8: a stranger who accrues every second hardly slows it down.
    function test_S8_accruingEverySecondDoesNotStopTheRefill() public {
        borrow(BORROWER, FLOOR);
        uint256 snapshot = vm.snapshotState();
        for (uint256 i; i < 600; ++i) {
            skip(1);
            plimsoll.accrue(params);
        }
        uint256 often = FULL - level();
        vm.revertToState(snapshot);
        skip(600);
        plimsoll.accrue(params);
        uint256 once = FULL - level();
        assertGe(often * 1_000, once * 999);
        assertLe(often, once);
    }

    /* WHAT GIVES IT BACK */

    /// @dev What is paid in is room again at once, for any payer and any borrower.
    function testFuzz_S3_whatIsRepaidMayBeBorrowedAgain(uint256 paid, bool byShares) public {
        borrow(BORROWER, FLOOR);
        paid = bound(paid, MIN_DEBT, FLOOR);
        vm.prank(BORROWER);
        plimsoll.repay(params, byShares ? 0 : paid, byShares ? paid * 1e6 : 0, BORROWER, "");
        assertApproxEqAbs(room(), paid, 1_000);
        assertLe(room(), paid);
        uint256 most = room();
        if (most >= MIN_DEBT) borrow(STRANGER, most);
        assertLe(plimsoll.market(id).borrowAssets, FLOOR);
    }

    /// @dev Attack: no credit for more than the bucket holds. The repayment of old debt does not make room for more
    /// than the limit.
    function test_repayingOldDebtEarnsNoCredit() public {
        borrow(BORROWER, FLOOR);
        skip(1 days);
        vm.prank(BORROWER);
        plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertEq(level(), 0);
        assertEq(room(), FLOOR);
        refuses(STRANGER, FLOOR + 1);
    }

    /// @dev Attack: the bucket filled and emptied in one transaction costs a fee in gas and leaves nothing.
    function test_fillingAndEmptyingLeavesTheLevelAsItWas() public {
        borrow(STRANGER, 50_000e6);
        uint256 before = level();
        borrow(BORROWER, room());
        vm.prank(BORROWER);
        plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertApproxEqAbs(level(), before, 1);
        assertGe(level(), before);
    }

    /// @dev Of a liquidated loan what was paid is given back, and what was written off is not: else the loss could be
    /// repeated at once.
    function test_S3_aWrittenOffLoanKeepsItsRoom() public {
        supplyCollateral(LENDER, 100e18);
        borrow(LENDER, FLOOR);
        // The collateral is worth a fifth of the debt.
        oracle.set(PRICE / 10);
        (uint256 repaid,) = liquidate(LENDER, type(uint256).max);
        assertApproxEqRel(repaid, FLOOR / 5, 0.05e18);
        assertEq(plimsoll.market(id).borrowAssets, 0);
        oracle.set(PRICE);
        // The room is what was paid in, of a limit that the lost debt no longer raises.
        assertLt(room(), repaid);
        assertGt(room(), repaid * 9 / 10);
        refuses(BORROWER, repaid);
    }

    /// @dev S6, H9: one by one or together, the level ends at the same.
    function test_aBatchRefundsEachLoan() public {
        address[] memory borrowers = new address[](3);
        for (uint256 i; i < 3; ++i) {
            borrowers[i] = makeAddr(vm.toString(i));
            openLoan(borrowers[i], 16e18, 20_000e6);
        }
        oracle.set(PRICE * 70 / 100);
        uint256 snapshot = vm.snapshotState();
        liquidate(borrowers, type(uint256).max);
        uint256 together = level();
        vm.revertToState(snapshot);
        for (uint256 i; i < 3; ++i) {
            liquidate(borrowers[i], type(uint256).max);
        }
        assertApproxEqAbs(level(), together, 3);
        assertLt(level(), FULL * 3 / 5);
    }

    /* WHAT DOES NOT CARE */

    /// @dev S5: supply, withdrawals, collateral, donations and flash loans change neither level nor room.
    function test_S5_onlyDebtMovesTheLevel() public {
        borrow(BORROWER, FLOOR / 2);
        uint256 was = level();
        uint256 most = room();
        supply(STRANGER, 5_000_000e6);
        vm.startPrank(STRANGER);
        plimsoll.withdraw(params, 4_000_000e6, 0, STRANGER, STRANGER);
        plimsoll.transferSupply(id, 1e12, STRANGER, BORROWER);
        plimsoll.withdrawCollateral(params, 1e18, STRANGER, STRANGER);
        vm.stopPrank();
        loanToken.mint(address(plimsoll), 1_000_000e6);
        assertEq(level(), was);
        assertEq(room(), most);
    }

    /// @dev S6: with the bucket full, every way out is open.
    function test_S6_nothingButBorrowingIsRefused() public {
        borrow(BORROWER, FLOOR);
        refuses(STRANGER, MIN_DEBT);
        skip(1);
        vm.startPrank(BORROWER);
        plimsoll.deleverage(params, 10_000e6, 1e18, BORROWER, BORROWER, "");
        plimsoll.repay(params, 10_000e6, 0, BORROWER, "");
        plimsoll.withdrawCollateral(params, 1e18, BORROWER, BORROWER);
        vm.stopPrank();
        vm.prank(LENDER);
        plimsoll.withdraw(params, 100_000e6, 0, LENDER, LENDER);
        oracle.set(PRICE / 1_000);
        liquidate(BORROWER, type(uint256).max);
    }

    /// @dev S4: the worst policy known, for three periods: every hour what refills until the next, so that the bucket is
    /// almost empty and the aged debt grows, and all of the room in the end. The net new debt stays within
    /// (F/s + B) × ((1 + s) × e^(s × t / P) - 1).
    function test_S4_theWorstPolicyStaysWithinTheBound() public {
        supply(LENDER, 100_000_000e6);
        uint256 net;
        for (uint256 hour; hour < 72; ++hour) {
            uint256 part = room() / 24;
            borrow(BORROWER, part);
            net += part;
            skip(1 hours);
        }
        uint256 last = room();
        borrow(STRANGER, last);
        net += last;
        // F/s = 1M, B = 0: 1M × (1.1 × e^0.3 - 1) = 484,845.
        assertLe(net, 484_845e6);
        assertGe(net, 480_000e6, "the policy is not the worst");
    }

    /// @dev S1: a market without a limit lends all it has at once, and stores no level.
    function test_S1_withoutALimitAllMayBeBorrowed() public {
        params.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT + 1);
        id = plimsoll.createMarket(params);
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 10_000e18, 1_000_000e6);
        assertEq(level(), 0);
        skip(1 days);
        vm.prank(BORROWER);
        plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertEq(level(), 0);
    }
}
