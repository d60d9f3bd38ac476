// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";
import {LiquidationFixture} from "./LiquidationFixture.sol";

/// @title Tests of liquidating one loan: every zone, wholly and in parts, with every size of debt and of remaining
/// debt.
contract LiquidateTest is LiquidationFixture {
    function setUp() public override {
        super.setUp();
        supply(LENDER, 1_000_000e6);
    }

    /* EXACT NUMBERS: 16,000 owed against 10 of collateral */

    function test_ramp_liftsHealthToTheTarget() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.set(price(1_800));
        LiquidationResult memory done = liquidateChecked(BORROWER, type(uint256).max);
        // Health 0.9675, β 1.021406…: (1.07 × 16,000 - 0.86 × 18,000) ÷ (1.07 - 0.86 × β).
        assertEq(done.repaid, 8_559_937_489);
        assertEq(done.seized, 4_857_321_132_613_044_181);
        Loan memory left = loanOf(BORROWER);
        assertEq(left.debt, 16_000e6 - 8_559_937_489);
        assertApproxEqAbs(left.value * LIQUIDATION_LTV_BPS, left.debt * 10_700, 10_700);
    }

    function test_breakeven_allCollateralForAllDebt() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.set(price(1_650));
        LiquidationResult memory done = liquidateChecked(BORROWER, type(uint256).max);
        assertEq(done.repaid, 16_000e6);
        assertEq(done.seized, 10e18);
    }

    function test_insolvent_theRestIsBadDebt() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.set(price(1_520));
        LiquidationResult memory done = liquidateChecked(BORROWER, type(uint256).max);
        // V ÷ D is 0.95, β 1.027811…: 15,200 ÷ β.
        assertEq(done.repaid, 14_788_703_787);
        assertEq(done.seized, 10e18);
        assertEq(done.badDebt, 1_211_296_213);
    }

    function test_deeplyInsolvent_atTheMaxIncentive() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.set(price(800));
        LiquidationResult memory done = liquidateChecked(BORROWER, type(uint256).max);
        assertEq(done.repaid, 7_664_000_001);
        assertEq(done.seized, 10e18);
        assertEq(done.badDebt, 8_335_999_999);
    }

    /// @notice Both borders of the breakeven zone belong to it: V = βmax·D, where the ramp ends, and V = βmin·D.
    function test_zoneBorders() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        uint256 oneUnit = 1e17; // of price, for a unit of this collateral's value
        oracle.set(16_701_461_378 * oneUnit);
        assertTrue(zoneOf(BORROWER) == LiquidationMath.Zone.Ramp);
        oracle.set(16_701_461_377 * oneUnit);
        assertTrue(zoneOf(BORROWER) == LiquidationMath.Zone.Breakeven);
        assertEq(liquidateChecked(BORROWER, type(uint256).max).repaid, 16_000e6);
    }

    /* ANY LOAN */

    /// @notice On the ramp one liquidation is enough: afterwards the loan is healthy, but no healthier than the target.
    function testFuzz_ramp_whole(uint256 ltvBps, uint256 debt, uint256 collateral, uint256 secs, uint256 seed) public {
        openAnyLoan(ltvBps, debt, collateral, secs);
        moveTo(BORROWER, LiquidationMath.Zone.Ramp, seed);
        (, uint256 maxRepay,) = maxRepayOf(loanOf(BORROWER));
        LiquidationResult memory done = liquidateChecked(BORROWER, type(uint256).max);
        assertEq(done.repaid, maxRepay);
        Loan memory left = loanOf(BORROWER);
        assertTrue(isHealthy(left));
        // At most the target, (3 - L) ÷ 2, but for a unit of collateral and three of debt; or nothing is left.
        uint256 ltv = params.risk.liquidationLtvBps();
        uint256 unit = oracle.liquidationPrice() / ORACLE_SCALE + 1;
        if (left.debt != 0 && left.value > unit) {
            assertLe((left.value - unit) * 2 * ltv, (left.debt + 3) * (3 * BPS - ltv), "past the target");
        }
    }

    function testFuzz_wholePosition(
        uint256 ltvBps,
        uint256 debt,
        uint256 collateral,
        uint256 secs,
        bool breakeven,
        uint256 seed
    ) public {
        openAnyLoan(ltvBps, debt, collateral, secs);
        moveTo(BORROWER, breakeven ? LiquidationMath.Zone.Breakeven : LiquidationMath.Zone.Insolvent, seed);
        LiquidationResult memory done = liquidateChecked(BORROWER, type(uint256).max);
        assertEq(done.seized, loanOf(LIQUIDATOR).collateral + collateralToken.balanceOf(STRANGER));
        assertEq(loanOf(BORROWER).debt, 0);
        assertEq(loanOf(BORROWER).collateral, 0);
    }

    /// @notice H3, H4, H5, H8 for a slice of any size of a loan in any state.
    function testFuzz_slice(
        uint256 ltvBps,
        uint256 debt,
        uint256 collateral,
        uint256 secs,
        uint256 zone,
        uint256 seed,
        uint256 limit
    ) public {
        openAnyLoan(ltvBps, debt, collateral, secs);
        moveTo(BORROWER, LiquidationMath.Zone(zone % 3), seed);
        Loan memory loan = loanOf(BORROWER);
        (LiquidationMath.Zone reached, uint256 maxRepay,) = maxRepayOf(loan);
        assertEq(uint256(reached), zone % 3);
        limit = bound(limit, 1, maxRepay + 1);
        uint256 repaid = LiquidationMath.repayWithinDown(reached, maxRepay, loan.debt, limit, params.risk.minDebt());
        vm.assume(maxRepay == 0 || repaid != 0);
        assertEq(liquidateChecked(BORROWER, limit).repaid, repaid);
    }

    /// @notice H10: a loan that nobody can take whole is worked off in slices, each of which pays its liquidator; in
    /// the end it is healthy or gone, and what was written off is what it would have been at once.
    function testFuzz_H10_slicesThatEachPay(uint256 debt, uint256 zone, uint256 seed, uint256 slices, uint256 secs)
        public
    {
        openAnyLoan(LIQUIDATION_LTV_BPS, bound(debt, 1e14, 1e28) << 70, 1e27 << 70, secs);
        moveTo(BORROWER, LiquidationMath.Zone(zone % 3), seed);
        Loan memory loan = loanOf(BORROWER);
        vm.assume(loan.value > loan.debt / 100);
        (, uint256 maxRepay,) = maxRepayOf(loan);
        slices = bound(slices, 1, 12);
        uint256 badDebt;
        uint256 count;
        while (!isHealthy(loanOf(BORROWER))) {
            ++count;
            LiquidationResult memory done = liquidateChecked(BORROWER, maxRepay / slices + 1);
            badDebt += done.badDebt;
            uint256 received = LiquidationMath.valueDown(done.seized, oracle.liquidationPrice());
            assertGt(received, done.repaid, "a slice that does not pay");
        }
        assertLe(count, slices + 1);
        uint256 atOnce = zone % 3 == 0 ? 0 : loan.debt - maxRepay;
        assertApproxEqAbs(badDebt, atOnce, 2 * count);
        assertLe(badDebt, atOnce + 1, "H8: slices wrote off more than one liquidation would");
        // At the border of the zones rounding may move a loan to the ramp, where some of it remains.
        bool joint = loan.value * WAD > incentive().maxIncentiveFactor * loan.debt / BPS * (BPS - 1);
        if (!joint) assertEq(loanOf(BORROWER).debt, 0);
    }

    /* NOTHING IS OWED, NOTHING IS WORTH ANYTHING */

    function test_H3_healthOfExactlyOneIsHealthy() public {
        openLoan(BORROWER, 10e18, 8_600e6);
        oracle.set(price(1_000));
        vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
        this.liquidateExternally(BORROWER, type(uint256).max);
        // One unit of value less.
        oracle.set(price(1_000) - 1e17);
        assertGt(liquidateChecked(BORROWER, type(uint256).max).repaid, 0);
    }

    function test_withoutDebt() public {
        supplyCollateral(BORROWER, 10e18);
        oracle.set(1);
        vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
        this.liquidateExternally(BORROWER, type(uint256).max);
    }

    /// @notice Collateral worth less than a unit goes to the liquidator who writes the loan off; nothing is repaid.
    function test_zeroValue_isWrittenOffForNothing() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.set(1);
        LiquidationResult memory done = liquidateChecked(BORROWER, 1);
        assertEq(done.repaid, 0);
        assertEq(done.seized, 10e18);
        assertEq(done.badDebt, 16_000e6);
    }

    /// @notice No path leaves debt without collateral, but if there were such a loan it could be written off.
    function test_zeroCollateral_isWrittenOff() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        bytes32 positions = keccak256(abi.encode(id, uint256(3)));
        bytes32 debtSlot = bytes32(uint256(keccak256(abi.encode(BORROWER, positions))) + 1);
        vm.store(address(plimsoll), debtSlot, bytes32(uint256(vm.load(address(plimsoll), debtSlot)) >> 128 << 128));
        assertEq(plimsoll.position(id, BORROWER).collateral, 0);
        assertEq(debtOf(BORROWER), 16_000e6);

        LiquidationResult memory done = liquidateChecked(BORROWER, 1);
        assertEq(done.repaid, 0);
        assertEq(done.seized, 0);
        assertEq(done.badDebt, 16_000e6);
        assertEq(loanOf(BORROWER).borrowShares, 0);
    }

    /* THE MINIMUM DEBT (100) */

    /// @notice Ramp: a limit that would leave less than the minimum debt is lowered to leave exactly that.
    function test_H5_ramp_loweredToLeaveExactlyMinDebt() public {
        openLoan(BORROWER, 0.1e18, 150e6);
        // The repayment to the target would leave too little, so the max repay is the whole debt.
        oracle.set(price(1_700));
        assertEq(liquidateChecked(BORROWER, 60e6).repaid, 50e6);
        assertEq(debtOf(BORROWER), MIN_DEBT);
    }

    function test_H5_ramp_wholeWhereTheLimitAllows() public {
        openLoan(BORROWER, 0.1e18, 150e6);
        oracle.set(price(1_700));
        LiquidationResult memory done = liquidateChecked(BORROWER, 150e6);
        assertEq(done.repaid, 150e6);
        assertLt(done.seized, 0.1e18);
        assertEq(plimsoll.position(id, BORROWER).collateral, 0.1e18 - done.seized);
    }

    function test_H5_breakeven_loweredToLeaveExactlyMinDebt() public {
        openLoan(BORROWER, 0.1e18, 150e6);
        oracle.set(price(1_550));
        LiquidationResult memory done = liquidateChecked(BORROWER, 149e6);
        assertEq(done.repaid, 50e6);
        assertEq(debtOf(BORROWER), MIN_DEBT);
        assertEq(done.seized, uint256(0.1e18) / 3);
    }

    function test_H5_insolvent_loweredToLeaveMinDebt() public {
        openLoan(BORROWER, 0.1e18, 150e6);
        oracle.set(price(1_000));
        (, uint256 maxRepay,) = maxRepayOf(loanOf(BORROWER));
        LiquidationResult memory done = liquidateChecked(BORROWER, maxRepay - 1);
        assertEq(done.repaid, maxRepay / 3);
        // A unit repaid takes away 1.57 units of debt.
        assertApproxEqAbs(debtOf(BORROWER), MIN_DEBT, 2);
    }

    function test_H5_skippedWhereNoPartCanBeRepaid() public {
        openLoan(BORROWER, 0.1e18, MIN_DEBT);
        for (uint256 dollars = 1_100; dollars >= 500; dollars -= 50) {
            oracle.set(price(dollars));
            (, uint256 maxRepay,) = maxRepayOf(loanOf(BORROWER));
            vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
            this.liquidateExternally(BORROWER, maxRepay - 1);
            uint256 snapshot = vm.snapshotState();
            assertEq(liquidateChecked(BORROWER, maxRepay).repaid, maxRepay);
            vm.revertToState(snapshot);
        }
    }

    /// @notice A repayment may leave less than the minimum debt. Such a loan is liquidated wholly or not at all.
    function test_H5_aDebtBelowMinDebtIsLiquidatedWholeOrNotAtAll() public {
        openLoan(BORROWER, 0.1e18, 150e6);
        give(loanToken, BORROWER, 149e6);
        vm.prank(BORROWER);
        plimsoll.repay(params, 149e6, 0, BORROWER, "");
        for (uint256 i; i < 3; ++i) {
            // Ramp, breakeven, insolvent: 0.1 of collateral against a debt of 1.
            oracle.set(price(1) * (i == 0 ? 11 : i == 1 ? 103 : 5) / (i == 1 ? 10 : 1));
            (LiquidationMath.Zone zone, uint256 maxRepay,) = maxRepayOf(loanOf(BORROWER));
            assertEq(uint256(zone), i);
            vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
            this.liquidateExternally(BORROWER, maxRepay - 1);
            uint256 snapshot = vm.snapshotState();
            liquidateChecked(BORROWER, maxRepay);
            assertEq(debtOf(BORROWER), 0);
            vm.revertToState(snapshot);
        }
    }

    /* PRICES */

    function test_onlyTheLiquidationPriceCounts() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.setBoth(PRICE, 1);
        vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
        this.liquidateExternally(BORROWER, type(uint256).max);
        oracle.setBoth(price(1_800), 0);
        assertGt(liquidateChecked(BORROWER, type(uint256).max).repaid, 0);
    }

    function test_priceZeroIsRefused() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.set(0);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.OraclePriceZero.selector, oracle));
        this.liquidateExternally(BORROWER, type(uint256).max);
    }

    function test_aBrokenOracleSaysSoItself() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.setBroken(true);
        vm.expectRevert(TestOracle.Broken.selector);
        this.liquidateExternally(BORROWER, type(uint256).max);
    }

    /// @notice Interest counts: a loan at the very edge becomes liquidatable by time alone.
    function test_interestIsAccruedFirst() public {
        openLoan(BORROWER, 10e18, 8_600e6);
        oracle.set(price(1_000));
        skip(1 days);
        assertGt(debtOf(BORROWER), 8_600e6);
        liquidate(BORROWER, type(uint256).max);
        assertEq(plimsoll.market(id).lastUpdate, vm.getBlockTimestamp());
        assertGt(plimsoll.market(id).supplyAssets, 1_000_000e6);
    }

    /* TOKENS */

    /// @notice The same loan, 16,000 against 10, in tokens of all kinds of decimals, through all zones.
    function test_anyDecimals() public {
        uint8[5] memory decimals = [0, 2, 6, 18, 30];
        uint256[3] memory prices = [uint256(1_800), 1_650, 1_200];
        for (uint256 i; i < decimals.length; ++i) {
            for (uint256 j; j < decimals.length; ++j) {
                _useTokens(decimals[i], decimals[j]);
                // A market holds 340 whole tokens of 30 decimals, so a thousandth of one is used as the unit there.
                uint256 oneLoan = 10 ** (decimals[i] == 30 ? 27 : decimals[i]);
                uint256 oneCollateral = 10 ** decimals[j];
                supply(LENDER, 100_000 * oneLoan);
                for (uint256 k; k < prices.length; ++k) {
                    oracle.set(2_000 * oneLoan * ORACLE_SCALE / oneCollateral);
                    openLoan(BORROWER, 10 * oneCollateral, 16_000 * oneLoan);
                    oracle.set(prices[k] * oneLoan * ORACLE_SCALE / oneCollateral);
                    uint256 repaid = liquidateChecked(BORROWER, 4_000 * oneLoan).repaid;
                    assertEq(repaid, 4_000 * oneLoan);
                    // Units of collateral as coarse as a tenth of the loan round it up to a healthier zone.
                    if (!isHealthy(loanOf(BORROWER))) repaid += liquidateChecked(BORROWER, type(uint256).max).repaid;
                    assertTrue(isHealthy(loanOf(BORROWER)));
                    if (decimals[j] != 0 && k == 1) assertEq(repaid, 16_000 * oneLoan);
                    if (decimals[j] != 0 && k == 2) {
                        assertApproxEqRel(repaid, 12_000 * oneLoan * WAD / incentive().maxIncentiveFactor, 0.002e18);
                    }
                    give(loanToken, BORROWER, type(uint128).max);
                    vm.startPrank(BORROWER);
                    plimsoll.repay(params, 0, type(uint256).max, BORROWER, "");
                    Position memory p = plimsoll.position(id, BORROWER);
                    if (p.collateral != 0) plimsoll.withdrawCollateral(params, p.collateral, BORROWER, BORROWER);
                    vm.stopPrank();
                }
            }
        }
    }

    function _useTokens(uint8 loanDecimals, uint8 collateralDecimals) private {
        loanToken = new TestToken("LOAN", loanDecimals);
        collateralToken = new TestToken("COLL", collateralDecimals);
        params.loanToken = address(loanToken);
        params.collateralToken = address(collateralToken);
        useMarket(LIQUIDATION_LTV_BPS, 10_000);
    }

    /* INPUT */

    function test_maxRepayOfZeroIsRefused() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.set(price(1_650));
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 0));
        this.liquidateExternally(BORROWER, 0);
    }

    function test_receiverZeroIsRefused() public {
        openLoan(BORROWER, 10e18, 16_000e6);
        oracle.set(price(1_650));
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        plimsoll.liquidate(params, new address[](1), 1, 0, address(0), "");
    }

    function test_unknownMarketIsRefused() public {
        params.oracle = address(this);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, keccak256(abi.encode(params))));
        plimsoll.liquidate(params, new address[](1), 1, 0, STRANGER, "");
    }

    function liquidateExternally(address borrower, uint256 maxRepay) external {
        address[] memory borrowers = new address[](1);
        borrowers[0] = borrower;
        plimsoll.liquidate(params, borrowers, maxRepay, 0, STRANGER, "");
    }
}
