// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {LiquidationFixture} from "./LiquidationFixture.sol";

/// @title Tests of bad debt: paid by the reserve, then the cover, then the suppliers; and of a market after a total
/// loss.
contract LossesTest is LiquidationFixture {
    address internal immutable VAULT = makeAddr("vault");

    /// @dev The values of the `RealiseLoss` event.
    struct Loss {
        uint256 loss;
        uint256 fromReserve;
        uint256 reserveShares;
        uint256 fromCover;
    }

    function setUp() public override {
        super.setUp();
        supply(LENDER, 100_000e6);
    }

    /* H7 */

    /// @notice H7: reserve, cover and suppliers pay in this order, each all it can, once, and together the whole loss.
    function testFuzz_H7_order(uint256 debt, uint256 fall, uint256 secs, uint256 cover, uint256 limit, uint256 floor)
        public
    {
        _growReserve(bound(secs, 1, 365 days));
        cover = bound(cover, 0, 20_000e6);
        limit = bound(limit, 0, 20_000e6);
        floor = bound(floor, 0, 30_000e6);
        _cover(cover, limit, floor);
        openLoan(BORROWER, 10e18, bound(debt, 10_000e6, 15_990e6));
        // From where nothing is lost to where all is.
        oracle.set(bound(fall, 1, price(1_600)));
        vm.assume(!isHealthy(loanOf(BORROWER)));
        plimsoll.accrue(params);
        Market memory before = plimsoll.market(id);
        uint256 reserve = SharesMath.toAssetsDown(before.reserveShares, before.supplyAssets, before.supplyShares);

        vm.recordLogs();
        (uint256 repaid,) = liquidate(BORROWER, type(uint256).max);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Market memory m = plimsoll.market(id);
        Loss memory l = _lossIn(logs);

        assertEq(l.loss, before.borrowAssets - m.borrowAssets - repaid, "the loss is what the books lost");
        assertEq(l.fromReserve, l.loss < reserve ? l.loss : reserve, "the reserve first");
        uint256 available = cover > floor ? cover - floor : 0;
        if (available > limit) available = limit;
        uint256 rest = l.loss - l.fromReserve;
        assertEq(l.fromCover, rest < available ? rest : available, "then the cover");
        assertEq(before.supplyAssets - m.supplyAssets, l.loss - l.fromCover, "then the suppliers");

        assertEq(plimsoll.cover(VAULT, address(loanToken)), cover - l.fromCover);
        assertEq(plimsoll.coverLimit(VAULT, id), limit - l.fromCover);
        assertEq(before.reserveShares - m.reserveShares, l.reserveShares);
        assertEq(before.supplyShares - m.supplyShares, l.reserveShares);
        // Burned at the price from before, rounding up: no fewer shares are worth what the reserve paid.
        assertGe(SharesMath.toAssetsDown(l.reserveShares, before.supplyAssets, before.supplyShares), l.fromReserve);
        if (l.reserveShares != 0) {
            uint256 fewer = l.reserveShares - 1;
            assertTrue(SharesMath.toAssetsDown(fewer, before.supplyAssets, before.supplyShares) < l.fromReserve);
        }
        assertLe(m.borrowAssets, m.supplyAssets, "A2");

        uint256 priceBefore = SharesMath.toAssetsDown(1e30, before.supplyAssets, before.supplyShares);
        uint256 priceAfter = SharesMath.toAssetsDown(1e30, m.supplyAssets, m.supplyShares);
        if (l.loss == l.fromReserve + l.fromCover) {
            // Burning rounds up by less than a share, a millionth of a unit.
            assertApproxEqRel(priceAfter, priceBefore, 1e6, "A5: suppliers lose nothing");
            assertGe(priceAfter, priceBefore, "A5");
        } else {
            assertLt(priceAfter, priceBefore);
        }
    }

    /// @notice The whole event, with the numbers of a loss that all three pay.
    function test_H7_event() public {
        _growReserve(365 days);
        _cover(500e6, 300e6, 0);
        openLoan(BORROWER, 10e18, 15_990e6);
        oracle.set(price(800));
        Market memory m = plimsoll.market(id);
        uint256 reserve = SharesMath.toAssetsDown(m.reserveShares, m.supplyAssets, m.supplyShares);
        uint256 shares = SharesMath.toSharesUp(reserve, m.supplyAssets, m.supplyShares);
        (, uint256 maxRepay,) = maxRepayOf(loanOf(BORROWER));
        uint256 loss = debtOf(BORROWER) - maxRepay;
        assertGt(reserve, 100e6);
        give(loanToken, LIQUIDATOR, type(uint128).max);
        vm.expectEmit(address(plimsoll));
        emit IPlimsoll.RealiseLoss(id, VAULT, loss, reserve, shares, 300e6);
        vm.prank(LIQUIDATOR);
        plimsoll.liquidate(params, _list(BORROWER, STRANGER), type(uint256).max, 0, STRANGER, "");
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 200e6);
        assertEq(plimsoll.coverLimit(VAULT, id), 0);
    }

    /// @notice A loss that the reserve carries leaves the cover alone.
    function test_H7_aLossWithinTheReserveTouchesNothingElse() public {
        _growReserve(300 days);
        _cover(500e6, 500e6, 0);
        openLoan(BORROWER, 0.1e18, 150e6);
        oracle.set(price(1_490));
        uint256 lenders = suppliedBy(LENDER);
        Loss memory l = _liquidateForLoss();
        assertGt(l.loss, 0);
        assertEq(l.fromReserve, l.loss);
        assertEq(l.fromCover, 0);
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 500e6);
        assertEq(plimsoll.coverLimit(VAULT, id), 500e6);
        assertEq(suppliedBy(LENDER), lenders);
    }

    /// @notice A loss of exactly what the reserve has, and of a unit more.
    function test_H7_whereTheReserveEnds() public {
        _growReserve(300 days);
        _cover(500e6, 500e6, 0);
        Market memory m = plimsoll.market(id);
        uint256 reserve = SharesMath.toAssetsDown(m.reserveShares, m.supplyAssets, m.supplyShares);
        for (uint256 more; more < 3; ++more) {
            uint256 start = vm.snapshotState();
            // Worthless collateral: the loss is the debt, which rounding may have made a unit more than what was
            // borrowed.
            openLoan(BORROWER, 10e18, reserve - 1 + more);
            oracle.set(1);
            Loss memory l = _liquidateForLoss();
            assertApproxEqAbs(l.loss, reserve, 2);
            assertEq(l.fromReserve, l.loss < reserve ? l.loss : reserve);
            assertEq(l.fromCover, l.loss - l.fromReserve);
            vm.revertToState(start);
        }
    }

    /* COVER */

    /// @notice The limit is used up by losses: a second loss gets only what the first left.
    function test_theLimitIsUsedUp() public {
        _cover(50_000e6, 1_000e6, 0);
        openLoan(BORROWER, 10e18, 15_990e6);
        openLoan(OTHER_BORROWER, 10e18, 15_990e6);
        oracle.set(price(1_560));
        Loss memory first = _liquidateForLoss();
        assertEq(first.fromCover, first.loss);
        assertEq(plimsoll.coverLimit(VAULT, id), 1_000e6 - first.loss);
        oracle.set(price(800));
        vm.recordLogs();
        liquidate(OTHER_BORROWER, type(uint256).max);
        Loss memory second = _lossIn(vm.getRecordedLogs());
        assertEq(second.fromCover, 1_000e6 - first.loss);
        assertEq(plimsoll.coverLimit(VAULT, id), 0);
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 49_000e6);
    }

    /// @notice I3: a backstop pays only where both it and the owner chose to, and only for its own token.
    function test_I3_coverThatWasNotChosenIsNotTouched() public {
        give(loanToken, VAULT, 50_000e6);
        give(collateralToken, VAULT, 50_000e18);
        openLoan(BORROWER, 10e18, 15_990e6);
        oracle.set(price(800));

        // Cover and a limit, but not set by the owner.
        vm.startPrank(VAULT);
        plimsoll.depositCover(address(loanToken), 50_000e6);
        plimsoll.depositCover(address(collateralToken), 50_000e18);
        plimsoll.setCoverLimit(id, type(uint256).max);
        vm.stopPrank();
        _assertLossLeavesCover(50_000e6);

        // Set by the owner, but no limit.
        vm.prank(OWNER);
        plimsoll.setBackstop(id, VAULT);
        vm.prank(VAULT);
        plimsoll.setCoverLimit(id, 0);
        _assertLossLeavesCover(50_000e6);

        // Both, but only cover of another token.
        vm.startPrank(VAULT);
        plimsoll.setCoverLimit(id, type(uint256).max);
        plimsoll.withdrawCover(address(loanToken), 50_000e6, VAULT);
        vm.stopPrank();
        _assertLossLeavesCover(0);
        assertEq(plimsoll.cover(VAULT, address(collateralToken)), 50_000e18);
    }

    function _assertLossLeavesCover(uint256 cover) private {
        uint256 start = vm.snapshotState();
        assertEq(_liquidateForLoss().fromCover, 0);
        assertEq(plimsoll.cover(VAULT, address(loanToken)), cover);
        vm.revertToState(start);
    }

    /// @notice I1: two markets share a backstop; a loss in one lowers its limit and the common cover, nothing else.
    function test_I1_aLossElsewhereTakesOnlyFromTheCommonCover() public {
        _cover(50_000e6, 10_000e6, 0);
        MarketId other = id;
        Market memory otherBefore = plimsoll.market(other);
        useMarket(LIQUIDATION_LTV_BPS, 10_000);
        supply(LENDER, 100_000e6);
        vm.prank(OWNER);
        plimsoll.setBackstop(id, VAULT);
        vm.prank(VAULT);
        plimsoll.setCoverLimit(id, 4_000e6);
        openLoan(BORROWER, 10e18, 15_990e6);
        oracle.set(price(800));
        assertEq(_liquidateForLoss().fromCover, 4_000e6);
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 46_000e6);
        assertEq(plimsoll.coverLimit(VAULT, other), 10_000e6);
        assertEq(abi.encode(plimsoll.market(other)), abi.encode(otherBefore));
    }

    /* SEVERAL LOSSES */

    /// @notice Several losses in one call are one loss, charged once.
    function test_severalLossesInOneCall() public {
        _growReserve(365 days);
        _cover(3_000e6, 3_000e6, 0);
        openLoan(BORROWER, 10e18, 15_990e6);
        openLoan(STRANGER, 10e18, 15_000e6);
        oracle.set(price(1_300));
        (, uint256 maxRepayA,) = maxRepayOf(loanOf(BORROWER));
        (, uint256 maxRepayB,) = maxRepayOf(loanOf(STRANGER));
        uint256 loss = debtOf(BORROWER) - maxRepayA + debtOf(STRANGER) - maxRepayB;
        uint256 supplied = plimsoll.market(id).supplyAssets;
        vm.recordLogs();
        liquidate(_list(BORROWER, STRANGER), type(uint256).max);
        Loss memory l = _lossIn(vm.getRecordedLogs());
        assertApproxEqAbs(l.loss, loss, 2);
        assertEq(l.fromCover, 3_000e6);
        assertEq(plimsoll.market(id).supplyAssets, supplied - l.loss + 3_000e6);
    }

    /// @notice A slice charges its part of the loss; all slices together charge what one liquidation would.
    function test_slicesOfALoss() public {
        _cover(1_000e6, 1_000e6, 0);
        openLoan(BORROWER, 10e18, 15_990e6);
        oracle.set(price(1_300));
        (, uint256 maxRepay,) = maxRepayOf(loanOf(BORROWER));
        uint256 loss = debtOf(BORROWER) - maxRepay;
        vm.recordLogs();
        liquidate(BORROWER, maxRepay / 4);
        Loss memory l = _lossIn(vm.getRecordedLogs());
        assertApproxEqAbs(l.loss, loss / 4, 1);
        assertEq(l.fromCover, l.loss);
        vm.recordLogs();
        liquidate(BORROWER, type(uint256).max);
        assertApproxEqAbs(_lossIn(vm.getRecordedLogs()).loss, loss - l.loss, 2);
    }

    function test_noLossNoEvent() public {
        _growReserve(365 days);
        uint256 reserveShares = plimsoll.market(id).reserveShares;
        openLoan(BORROWER, 10e18, 15_990e6);
        oracle.set(price(1_650));
        vm.recordLogs();
        liquidate(BORROWER, type(uint256).max);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            assertTrue(logs[i].topics[0] != IPlimsoll.RealiseLoss.selector);
        }
        assertEq(plimsoll.market(id).reserveShares, reserveShares);
    }

    /* ROUNDING */

    /// @notice A unit repaid removes 1.04… units of debt, which is a unit: the fraction stays with the loan.
    function test_aSliceRemovesWholeUnits() public {
        openLoan(BORROWER, 10e18, 15_990e6);
        oracle.set(price(1_599));
        LiquidationResult memory done = liquidateChecked(BORROWER, 1);
        assertEq(done.repaid, 1);
        assertEq(done.badDebt, 0);
        assertEq(done.shares, 1e6);
        assertEq(plimsoll.market(id).borrowAssets, 15_990e6 - 1);
        assertEq(plimsoll.market(id).supplyAssets, 100_000e6);
    }

    /* A3: AFTER A TOTAL LOSS */

    /// @notice A3: all is lent out and all is lost. The shares are worth nothing, but whatever may still be done works.
    function test_A3_lifeAfterATotalLoss() public {
        openLoan(BORROWER, 100e18, 100_000e6);
        oracle.set(1);
        liquidate(BORROWER, type(uint256).max);
        Market memory m = plimsoll.market(id);
        assertEq(m.supplyAssets, 0);
        assertEq(m.borrowAssets, 0);
        assertEq(m.borrowShares, 0);
        assertEq(suppliedBy(LENDER), 0);

        skip(10 * 365 days);
        plimsoll.accrue(params);
        assertEq(plimsoll.market(id).lastUpdate, vm.getBlockTimestamp());
        vm.prank(STRANGER);
        (uint256 assets,) = plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
        assertEq(assets, 0);

        // Later suppliers keep their assets.
        oracle.set(PRICE);
        supply(STRANGER, 10_000e6);
        assertApproxEqAbs(suppliedBy(STRANGER), 10_000e6, 2);
        uint256 shares = plimsoll.position(id, LENDER).supplyShares;
        assertGt(shares, 0);
        vm.prank(LENDER);
        (assets,) = plimsoll.withdraw(params, 0, shares, LENDER, LENDER);
        assertLe(assets, 1);
        shares = plimsoll.position(id, STRANGER).supplyShares;
        vm.prank(STRANGER);
        (assets,) = plimsoll.withdraw(params, 0, shares, STRANGER, STRANGER);
        assertApproxEqAbs(assets, 10_000e6, 2);
    }

    /// @notice A3: where only a part is lost, the other debt can be repaid and its suppliers leave with it.
    function test_A3_theRestOfTheMarketAfterALoss() public {
        openLoan(BORROWER, 100e18, 60_000e6);
        openLoan(OTHER_BORROWER, 100e18, 40_000e6);
        oracle.set(1);
        liquidate(BORROWER, type(uint256).max);
        assertEq(suppliedBy(LENDER), 40_000e6);
        skip(30 days);
        give(loanToken, OTHER_BORROWER, 10_000e6);
        vm.prank(OTHER_BORROWER);
        (uint256 assets,) = plimsoll.repay(params, 0, type(uint256).max, OTHER_BORROWER, "");
        assertGt(assets, 40_000e6);
        uint256 shares = plimsoll.position(id, LENDER).supplyShares;
        vm.prank(LENDER);
        (uint256 withdrawn,) = plimsoll.withdraw(params, 0, shares, LENDER, LENDER);
        assertApproxEqAbs(withdrawn, assets, 1);
    }

    /* HELPERS */

    /// @dev A quarter of a year's interest or less for the reserve, and liquidity for further loans.
    function _growReserve(uint256 secs) private {
        vm.prank(OWNER);
        plimsoll.setFee(params, 2_500);
        openLoan(OTHER_BORROWER, 1_000e18, 90_000e6);
        skip(secs);
        supply(LENDER, 100_000e6);
    }

    function _cover(uint256 cover, uint256 limit, uint256 floor) private {
        vm.prank(OWNER);
        plimsoll.setBackstop(id, VAULT);
        give(loanToken, VAULT, cover);
        vm.startPrank(VAULT);
        if (cover != 0) plimsoll.depositCover(address(loanToken), cover);
        plimsoll.setCoverLimit(id, limit);
        plimsoll.setCoverFloor(address(loanToken), floor);
        vm.stopPrank();
    }

    function _liquidateForLoss() private returns (Loss memory) {
        vm.recordLogs();
        liquidate(BORROWER, type(uint256).max);
        return _lossIn(vm.getRecordedLogs());
    }

    /// @dev The one loss in these logs; all 0 where there was none.
    function _lossIn(Vm.Log[] memory logs) private view returns (Loss memory loss) {
        bool found;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IPlimsoll.RealiseLoss.selector) continue;
            assertFalse(found, "charged twice");
            found = true;
            assertEq(logs[i].topics[1], MarketId.unwrap(id));
            assertEq(logs[i].topics[2], bytes32(uint256(uint160(plimsoll.backstop(id)))));
            loss = abi.decode(logs[i].data, (Loss));
        }
    }

    function _list(address a, address b) private pure returns (address[] memory list) {
        list = new address[](2);
        (list[0], list[1]) = (a, b);
    }
}
