// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {GuardTest} from "./GuardTest.sol";

/// @title Tests of executing orders.
contract GuardExecuteTest is GuardTest {
    /* PROTECT */

    /// @dev The figures of an example, worked out by hand: 15,000 against 10 ETH at 1,900 is 78.947 %, 0.947 points above
    /// the trigger, a premium of 0.1 % + 0.9 % × 0.947 ÷ 4.
    function test_G3_anExample() public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        IGuard.Execution memory e = execute(IGuard.Kind.Protect);
        // The premium is 0.001 + 0.009 × (15,000 ÷ 19,000 − 0.78) ÷ 0.04, and the payment is
        // (15,000 − 0.7 × 19,000) ÷ (1 − 0.7 × 1.003132).
        assertApproxEqAbs(e.premium, 0.003131578947368421e18, 1);
        assertApproxEqAbs(e.payment, 5_708.3774e6, 0.001e6);
        assertApproxEqRel(e.sold, e.payment * 1.003131578947368421e18 / 1_900e6, 1e10);
        assertApproxEqAbs(
            debtOf(BORROWER) * BPS / (plimsoll.position(id, BORROWER).collateral * 1_900e6 / 1e18), 7_000, 1
        );
        assertEq(executor.seenAccount(), BORROWER);
        assertEq(executor.seenPayment(), e.payment);
        assertEq(executor.seenSold(), e.sold);
        assertEq(executor.seenData(), "route");
    }

    /// @dev Every loan, price, target, premium and tip. `execute` checks G1 to G4, G6 and G7.
    function testFuzz_G3_G4_everyLoan(uint256[8] memory seeds) public {
        IGuard.Order memory order = _openFuzzedLoan(seeds);
        uint256 ltv = bound(seeds[4], uint256(order.triggerLtvBps) + 1, 9_900);
        _setLtv(ltv);
        place(IGuard.Kind.Protect, order);
        if (!isTriggered(IGuard.Kind.Protect, order, stateOf(BORROWER))) return;
        execute(IGuard.Kind.Protect);
    }

    /// @dev G2: also of a loan whose collateral is worth less than its debt, where nobody would gain by it.
    function testFuzz_G2_anInsolventLoan(uint256[8] memory seeds) public {
        IGuard.Order memory order = _openFuzzedLoan(seeds);
        _setLtv(bound(seeds[4], 9_900, 100_000));
        place(IGuard.Kind.Protect, order);
        execute(IGuard.Kind.Protect);
    }

    /// @dev G6: one unit of price decides.
    function test_G6_notBeforeItsTrigger() public {
        openProtectedLoan();
        // The highest price at which 15,000 is more than 78 % of 10 ETH.
        uint256 line = 15_000e6 * BPS * ORACLE_SCALE / 7_800 / 10e18;
        oracle.set(line + 1e25);
        uint256 value = (line + 1e25) * 10e18 / ORACLE_SCALE;
        vm.expectRevert(abi.encodeWithSelector(IGuard.NotTriggered.selector, 15_000e6, value, line + 1e25));
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        oracle.set(line - 1e25);
        execute(IGuard.Kind.Protect);
    }

    /// @dev Exactly at the trigger is not above it; a second's interest is.
    function test_G6_exactlyAtItsTrigger() public {
        openLoan(BORROWER, 10e18, 15_600e6);
        place(IGuard.Kind.Protect, protection());
        vm.expectRevert(abi.encodeWithSelector(IGuard.NotTriggered.selector, 15_600e6, 20_000e6, PRICE));
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        skip(1);
        execute(IGuard.Kind.Protect);
    }

    /// @dev Interest alone triggers an order, and is part of what is repaid.
    function test_G6_interestCountsToTheSecond() public {
        openProtectedLoan();
        oracle.set(PRICE * 963 / 1_000);
        vm.expectPartialRevert(IGuard.NotTriggered.selector);
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        IGuard.Order memory order = protection();
        order.expiry = uint40(vm.getBlockTimestamp() + 365 days);
        place(IGuard.Kind.Protect, order);
        skip(360 days);
        execute(IGuard.Kind.Protect);
    }

    /// @dev A loan that would be left smaller than the market's minimum debt is closed.
    function test_G3_noDustIsLeft() public {
        openLoan(BORROWER, 0.1e18, 150e6);
        IGuard.Order memory order = protection();
        order.targetLtvBps = 4_000;
        place(IGuard.Kind.Protect, order);
        oracle.set(PRICE * 95 / 100);
        execute(IGuard.Kind.Protect);
        assertEq(debtOf(BORROWER), 0);
        // What was not sold stays, and leaves without an oracle.
        oracle.setBroken(true);
        uint256 rest = plimsoll.position(id, BORROWER).collateral;
        assertGt(rest, 0);
        vm.prank(BORROWER);
        plimsoll.withdrawCollateral(params, rest, BORROWER, BORROWER);
    }

    /// @dev Exactly the minimum debt may be left.
    function test_G3_theMinimumDebtIsLeft() public {
        openLoan(BORROWER, 0.1e18, 150e6);
        IGuard.Order memory order = protection();
        // Of a value of 160, 100 are left.
        (order.targetLtvBps, order.maxOwn) = (6_250, 100e6);
        place(IGuard.Kind.Protect, order);
        _setOwn(100e6, 100e6);
        oracle.set(PRICE * 80 / 100);
        assertEq(execute(IGuard.Kind.Protect).own, 50e6);
        assertEq(debtOf(BORROWER), MIN_DEBT);
    }

    /// @dev G8: a debt of any size, down to less than the minimum, which a repayment may leave.
    function testFuzz_G8_anyDebt(uint256 debt) public {
        openLoan(BORROWER, 10e18, 15_000e6);
        debt = bound(debt, 1_000, 14_999e6);
        give(loanToken, BORROWER, 15_000e6);
        vm.prank(BORROWER);
        plimsoll.repay(params, 15_000e6 - debt, 0, BORROWER, "");
        place(IGuard.Kind.Protect, protection());
        oracle.set(debtOf(BORROWER) * ORACLE_SCALE / 10e18 * BPS / 7_900);
        execute(IGuard.Kind.Protect);
        if (debt < MIN_DEBT) assertEq(debtOf(BORROWER), 0);
    }

    /// @dev G2, and H3's side of it: a loan that can be liquidated already can still be protected.
    function test_G2_aLoanThatIsLiquidatable() public {
        openProtectedLoan();
        oracle.set(priceAtHealth(BORROWER, 0.97e18));
        execute(IGuard.Kind.Protect);
        vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
        this.liquidateOne();
    }

    function liquidateOne() external {
        address[] memory borrowers = new address[](1);
        borrowers[0] = BORROWER;
        plimsoll.liquidate(params, borrowers, type(uint256).max, 0, address(this), "");
    }

    /* CLOSE */

    function testFuzz_G4_closeBelow(uint256[8] memory seeds, uint256 fall) public {
        _openFuzzedLoan(seeds);
        IGuard.Order memory order = closing(PRICE);
        order.flatTip = uint96(bound(seeds[5], 0, 10e6));
        place(IGuard.Kind.CloseBelow, order);
        // A loan of at most 80 % at the price of 2,000.
        fall = bound(fall, 1, 900);
        oracle.set(PRICE * (10_000 - fall) / 10_000);
        execute(IGuard.Kind.CloseBelow);
        assertEq(debtOf(BORROWER), 0);
    }

    function testFuzz_G4_closeAbove(uint256[8] memory seeds, uint256 rise) public {
        _openFuzzedLoan(seeds);
        place(IGuard.Kind.CloseAbove, closing(PRICE));
        oracle.set(PRICE * bound(rise, 10_000, 1_000_000) / 10_000);
        execute(IGuard.Kind.CloseAbove);
        assertEq(debtOf(BORROWER), 0);
    }

    function test_G6_closingOnlyBeyondItsPrice() public {
        openLoan(BORROWER, 10e18, 15_000e6);
        place(IGuard.Kind.CloseBelow, closing(PRICE * 9 / 10));
        place(IGuard.Kind.CloseAbove, closing(PRICE * 11 / 10));
        for (uint8 kind = 1; kind < 3; ++kind) {
            vm.expectPartialRevert(IGuard.NotTriggered.selector);
            executor.execute(params, BORROWER, IGuard.Kind(kind), RECEIVER);
        }
        uint256 snapshot = vm.snapshotState();
        (IGuard.Order memory below,) = guard.order(BORROWER, id, IGuard.Kind.CloseBelow);
        oracle.set(below.triggerPrice + 1);
        vm.expectPartialRevert(IGuard.NotTriggered.selector);
        executor.execute(params, BORROWER, IGuard.Kind.CloseBelow, RECEIVER);
        oracle.set(below.triggerPrice);
        execute(IGuard.Kind.CloseBelow);
        vm.revertToState(snapshot);
        (IGuard.Order memory above,) = guard.order(BORROWER, id, IGuard.Kind.CloseAbove);
        oracle.set(above.triggerPrice - 1);
        vm.expectPartialRevert(IGuard.NotTriggered.selector);
        executor.execute(params, BORROWER, IGuard.Kind.CloseAbove, RECEIVER);
        oracle.set(above.triggerPrice);
        execute(IGuard.Kind.CloseAbove);
    }

    /// @dev Prices and amounts at the ends of what fits.
    function testFuzz_G6_extremePrices(uint256 trigger, uint256 price) public {
        openLoan(BORROWER, 10e18, 15_000e6);
        trigger = bound(trigger, 1, type(uint256).max);
        price = bound(price, 1, type(uint256).max);
        IGuard.Kind kind = price <= trigger ? IGuard.Kind.CloseBelow : IGuard.Kind.CloseAbove;
        place(kind, closing(trigger));
        (IGuard.Order memory order,) = guard.order(BORROWER, id, kind);
        oracle.set(price);
        if (price <= trigger != price <= order.triggerPrice) return;
        // A price so high that the payment is worth no collateral at all is the only reason to refuse.
        if (15_000e6 * ORACLE_SCALE / price == 0) vm.expectRevert();
        IGuard.Execution memory e = executor.execute(params, BORROWER, kind, RECEIVER);
        if (e.payment != 0) assertEq(debtOf(BORROWER), 0);
    }

    /* WITHOUT A BORROW PRICE */

    function test_G8_whileTheBorrowPriceReverts() public {
        openProtectedLoan();
        place(IGuard.Kind.CloseBelow, closing(PRICE));
        oracle.set(PRICE * 95 / 100);
        vm.mockCallRevert(address(oracle), abi.encodeCall(TestOracle.borrowPrice, ()), "stale");
        vm.prank(BORROWER);
        vm.expectRevert("stale");
        plimsoll.withdrawCollateral(params, 1, BORROWER, BORROWER);
        execute(IGuard.Kind.Protect);
        execute(IGuard.Kind.CloseBelow);
        assertEq(debtOf(BORROWER), 0);
    }

    function test_G8_unlessTheOrderAsksForIt() public {
        openLoan(BORROWER, 10e18, 15_000e6);
        IGuard.Order memory order = protection();
        order.requireBorrowPrice = true;
        place(IGuard.Kind.Protect, order);
        oracle.set(PRICE * 95 / 100);
        vm.mockCallRevert(address(oracle), abi.encodeCall(TestOracle.borrowPrice, ()), "stale");
        vm.expectRevert("stale");
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        vm.mockCall(address(oracle), abi.encodeCall(TestOracle.borrowPrice, ()), abi.encode(0));
        vm.expectRevert(abi.encodeWithSelector(IGuard.OraclePriceZero.selector, oracle));
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        vm.clearMockedCalls();
        execute(IGuard.Kind.Protect);
    }

    function test_G6_notWithoutALiquidationPrice() public {
        openProtectedLoan();
        oracle.setBroken(true);
        vm.expectRevert(TestOracle.Broken.selector);
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        oracle.setBroken(false);
        oracle.set(0);
        vm.expectRevert(abi.encodeWithSelector(IGuard.OraclePriceZero.selector, oracle));
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
    }

    /* OWN TOKENS */

    /// @dev No collateral is sold while they suffice; the caller pays nothing and gets the premium and the tip.
    function test_G1_ownTokensSuffice() public {
        _openWithOwn(10_000e6, type(uint96).max, 2e6);
        vm.prank(BORROWER);
        plimsoll.setAuthorization(address(guard), 0);
        IGuard.Execution memory e = execute(IGuard.Kind.Protect);
        // 15,000 − 0.7 × 19,000.
        assertEq(e.own, 1_700e6);
        assertEq(e.payment, 0);
        assertEq(e.ownReward, 1_700e6 * e.premium / WAD + 2e6);
        assertEq(executor.seenPayment(), 0, "called back without reason");
    }

    /// @dev Any allowance, balance and bound: what they do not pay for is sold.
    function testFuzz_G1_ownTokens(uint256[8] memory seeds, uint256 balance, uint256 allowance, uint96 most) public {
        IGuard.Order memory order = _openFuzzedLoan(seeds);
        order.maxOwn = most;
        _setLtv(bound(seeds[4], uint256(order.triggerLtvBps) + 1, 9_900));
        place(IGuard.Kind.Protect, order);
        State memory s = stateOf(BORROWER);
        if (!isTriggered(IGuard.Kind.Protect, order, s)) return;
        _setOwn(bound(balance, 0, 2 * s.debt), bound(allowance, 0, 2 * s.debt));
        execute(IGuard.Kind.Protect);
    }

    function testFuzz_G1_ownTokensOfAClosing(uint256 balance, uint256 allowance, uint96 most) public {
        openLoan(BORROWER, 10e18, 15_000e6);
        IGuard.Order memory order = closing(PRICE);
        (order.maxOwn, order.flatTip) = (most, 3e6);
        place(IGuard.Kind.CloseBelow, order);
        _setOwn(bound(balance, 0, 20_000e6), bound(allowance, 0, 20_000e6));
        oracle.set(PRICE * 99 / 100);
        execute(IGuard.Kind.CloseBelow);
        assertEq(debtOf(BORROWER), 0);
    }

    /// @dev Without consent none are used, though balance and allowance are there.
    function test_G1_noOwnTokensWithoutConsent() public {
        _openWithOwn(10_000e6, 0, 0);
        assertEq(execute(IGuard.Kind.Protect).own, 0);
    }

    function _openWithOwn(uint256 balance, uint96 most, uint96 tip) internal {
        openLoan(BORROWER, 10e18, 15_000e6);
        IGuard.Order memory order = protection();
        (order.maxOwn, order.flatTip) = (most, tip);
        place(IGuard.Kind.Protect, order);
        _setOwn(balance, type(uint256).max);
        oracle.set(PRICE * 95 / 100);
    }

    function _setOwn(uint256 balance, uint256 allowance) internal {
        uint256 held = loanToken.balanceOf(BORROWER);
        vm.startPrank(BORROWER);
        if (held != 0) loanToken.transfer(address(0xdead), held);
        loanToken.approve(address(guard), allowance);
        vm.stopPrank();
        loanToken.mint(BORROWER, balance);
    }

    /* USES AND TIMES */

    function test_G5_usesCooldownAndExpiry() public {
        openProtectedLoan();
        uint256 price = PRICE;
        for (uint256 i; i < 3; ++i) {
            price = debtOf(BORROWER) * ORACLE_SCALE / plimsoll.position(id, BORROWER).collateral * BPS / 7_900;
            oracle.set(price);
            execute(IGuard.Kind.Protect);
            (IGuard.Order memory order, uint256 last) = guard.order(BORROWER, id, IGuard.Kind.Protect);
            assertEq(order.uses, 2 - i);
            if (i == 2) break;
            assertEq(last, vm.getBlockTimestamp());
            oracle.set(price * 85 / 100);
            vm.expectRevert(abi.encodeWithSelector(IGuard.CoolingDown.selector, last + 1 hours));
            executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
            vm.warp(last + 1 hours - 1);
            vm.expectRevert(abi.encodeWithSelector(IGuard.CoolingDown.selector, last + 1 hours));
            executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
            vm.warp(last + 1 hours);
        }
        skip(1 hours);
        oracle.set(price * 85 / 100);
        vm.expectRevert(abi.encodeWithSelector(IGuard.NoOrder.selector, BORROWER, id, IGuard.Kind.Protect));
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
    }

    function test_G5_untilItsLastSecond() public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        uint256 expiry = vm.getBlockTimestamp() + 30 days;
        vm.warp(expiry + 1);
        vm.expectRevert(abi.encodeWithSelector(IGuard.OrderExpired.selector, expiry));
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        vm.warp(expiry);
        execute(IGuard.Kind.Protect);
    }

    /* REFUSALS */

    function test_G1_notWithoutAuthorization() public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        vm.prank(BORROWER);
        plimsoll.setAuthorization(address(guard), vm.getBlockTimestamp() - 1);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, guard, BORROWER));
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
    }

    function test_refusals() public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        vm.expectRevert(IGuard.ZeroAddress.selector);
        guard.execute(params, BORROWER, IGuard.Kind.Protect, 0, address(0), "");

        // Parameters of another market are another order.
        params.oracle = address(this);
        vm.expectRevert(
            abi.encodeWithSelector(
                IGuard.NoOrder.selector, BORROWER, MarketId.wrap(keccak256(abi.encode(params))), IGuard.Kind.Protect
            )
        );
        guard.execute(params, BORROWER, IGuard.Kind.Protect, 0, RECEIVER, "");
        params.oracle = address(oracle);

        place(IGuard.Kind.CloseBelow, closing(PRICE));
        execute(IGuard.Kind.CloseBelow);
        vm.expectRevert(abi.encodeWithSelector(IGuard.NoDebt.selector, BORROWER, id));
        guard.execute(params, BORROWER, IGuard.Kind.Protect, 0, RECEIVER, "");
    }

    /// @dev The executor's own protection: the price moved since it decided.
    function test_theLeastThatTheExecutorWants() public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        uint256 snapshot = vm.snapshotState();
        uint256 sold = execute(IGuard.Kind.Protect).sold;
        vm.revertToState(snapshot);
        loanToken.mint(STRANGER, 15_000e6);
        vm.startPrank(STRANGER);
        loanToken.approve(address(guard), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IGuard.SoldTooLittle.selector, sold, sold + 1));
        guard.execute(params, BORROWER, IGuard.Kind.Protect, sold + 1, RECEIVER, "");
        // An account with tokens of its own needs no callback.
        guard.execute(params, BORROWER, IGuard.Kind.Protect, sold, RECEIVER, "");
        assertEq(collateralToken.balanceOf(RECEIVER), sold);
    }

    /// @dev An executor that does not pay changes nothing.
    function test_G1_notWithoutPayment() public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        State memory was = stateOf(BORROWER);
        vm.prank(STRANGER);
        vm.expectPartialRevert(IGuard.TransferFailed.selector);
        guard.execute(params, BORROWER, IGuard.Kind.Protect, 0, STRANGER, "");
        assertEq(abi.encode(stateOf(BORROWER)), abi.encode(was));
    }

    /* HELPERS */

    /// @dev A loan of fuzzed size and age near 70 % at the price, and an order that fits it.
    function _openFuzzedLoan(uint256[8] memory seeds) internal returns (IGuard.Order memory order) {
        uint256 debt = bound(seeds[0], MIN_DEBT, 1e18);
        supply(LENDER, 2 * debt);
        openLoan(BORROWER, debt * ORACLE_SCALE / PRICE * 10 / 7, debt);
        skip(bound(seeds[1], 0, 180 days));
        order = protection();
        order.triggerLtvBps = uint16(bound(seeds[2], 300, LIQUIDATION_LTV_BPS - 1));
        order.targetLtvBps = uint16(bound(seeds[3], 99, order.triggerLtvBps - 100));
        if (order.targetLtvBps == 99) order.targetLtvBps = 0;
        order.flatTip = uint96(bound(seeds[5], 0, debt / 1_000));
        order.premiumEndPpm = uint16(bound(seeds[6], 0, 30_000));
        order.premiumStartPpm = uint16(bound(seeds[7], 0, order.premiumEndPpm));
        order.rampBps = uint16(bound(uint256(keccak256(abi.encode(seeds))), 1, 10_000));
    }

    /// @dev Sets the price at which the loan has this ratio, as near as rounding permits.
    function _setLtv(uint256 ltvBps) internal {
        oracle.set(debtOf(BORROWER) * ORACLE_SCALE / plimsoll.position(id, BORROWER).collateral * BPS / ltvBps);
    }
}
