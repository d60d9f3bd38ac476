// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {IGuardLens} from "plimsoll/interfaces/IGuardLens.sol";
import {ILens} from "plimsoll/interfaces/ILens.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {GuardTest} from "../guard/GuardTest.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";

/// @title The lens over the guard says what the guard does next, and why it refuses.
contract GuardLensTest is GuardTest {
    IGuardLens private lens;

    function setUp() public override {
        super.setUp();
        lens = IGuardLens(deployCode("GuardLens.sol:GuardLens", abi.encode(guard)));
    }

    /* WHAT IT SAYS IS WHAT HAPPENS */

    /// @dev Any loan, order, price, own tokens, time and authorisation: an order that is called executable executes with
    /// these amounts, another reverts with the reason that is named.
    function testFuzz_anOrderIsWhatTheGuardMakesOfIt(uint256[12] memory seeds) public {
        _openFuzzed(seeds);
        for (uint8 kind; kind < 3; ++kind) {
            _requireAsSaid(IGuard.Kind(kind));
        }
    }

    /// @dev Each status, one after the other, so that the fuzz test's branches are known to be reached.
    function test_everyReasonIsNamed() public {
        IGuard.Kind kind = IGuard.Kind.Protect;
        _requireStatus(kind, IGuardLens.OrderStatus.NoOrder);
        openLoan(BORROWER, 10e18, 15_000e6);
        IGuard.Order memory order = protection();
        order.requireBorrowPrice = true;
        place(kind, order);
        _requireStatus(kind, IGuardLens.OrderStatus.NotTriggered);
        oracle.set(PRICE * 95 / 100);
        _requireStatus(kind, IGuardLens.OrderStatus.Executable);
        _requireStatus(kind, IGuardLens.OrderStatus.CoolingDown);
        skip(1 hours - 1);
        oracle.set(PRICE * 85 / 100);
        _requireStatus(kind, IGuardLens.OrderStatus.CoolingDown);
        skip(1);
        oracle.setBroken(true);
        _requireStatus(kind, IGuardLens.OrderStatus.NoPrice);
        oracle.setBroken(false);
        oracle.setBoth(0, PRICE);
        _requireStatus(kind, IGuardLens.OrderStatus.NoPrice);
        oracle.setBoth(PRICE * 85 / 100, 0);
        _requireStatus(kind, IGuardLens.OrderStatus.NoBorrowPrice);
        oracle.set(PRICE * 85 / 100);
        vm.prank(BORROWER);
        plimsoll.setAuthorization(address(guard), vm.getBlockTimestamp() - 1);
        _requireStatus(kind, IGuardLens.OrderStatus.Unauthorized);
        vm.prank(BORROWER);
        plimsoll.setAuthorization(address(guard), vm.getBlockTimestamp());
        // The last second of an authorisation counts.
        assertEq(uint256(_line(kind).status), uint256(IGuardLens.OrderStatus.Executable));
        // Worth so much that a payment buys less than a unit of it.
        place(IGuard.Kind.CloseAbove, closing(PRICE));
        oracle.set(type(uint256).max);
        _requireStatus(IGuard.Kind.CloseAbove, IGuardLens.OrderStatus.TooSmall);
        oracle.set(PRICE * 85 / 100);
        vm.warp(order.expiry);
        authorize(BORROWER);
        _requireStatus(kind, IGuardLens.OrderStatus.Executable);
        vm.warp(order.expiry + 1);
        _requireStatus(kind, IGuardLens.OrderStatus.Expired);
        order.expiry += 1 days;
        place(kind, order);
        give(loanToken, BORROWER, 20_000e6);
        vm.prank(BORROWER);
        plimsoll.repay(params, type(uint256).max, 0, BORROWER, "");
        _requireStatus(kind, IGuardLens.OrderStatus.NoDebt);
        vm.prank(BORROWER);
        guard.cancelAll();
        _requireStatus(kind, IGuardLens.OrderStatus.NoOrder);
    }

    /// @dev Where own tokens suffice nothing is sold, and the core is not asked for an authorisation.
    function test_ownTokensNeedNoAuthorization() public {
        openLoan(BORROWER, 10e18, 15_000e6);
        IGuard.Order memory order = protection();
        order.maxOwn = 10_000e6;
        place(IGuard.Kind.Protect, order);
        vm.startPrank(BORROWER);
        plimsoll.setAuthorization(address(guard), 0);
        loanToken.approve(address(guard), 5_000e6);
        vm.stopPrank();
        oracle.set(PRICE * 95 / 100);
        IGuardLens.OrderLine memory line = _line(IGuard.Kind.Protect);
        assertEq(line.execution.own, 1_700e6);
        _requireStatus(IGuard.Kind.Protect, IGuardLens.OrderStatus.Executable);
    }

    /* THE TRIGGER */

    /// @dev At the trigger price the trigger is met, and one unit of price before it is not.
    function testFuzz_theTriggerPriceIsExact(uint256[12] memory seeds) public {
        _openFuzzed(seeds);
        oracle.setBroken(false);
        for (uint8 k; k < 3; ++k) {
            IGuard.Kind kind = IGuard.Kind(k);
            uint256 trigger = _line(kind).triggerPrice;
            assertTrue(trigger != 0 && trigger != type(uint256).max);
            oracle.set(trigger);
            assertTrue(_isTriggered(kind), "not triggered at its price");
            assertEq(_line(kind).distance, 0);
            oracle.set(kind == IGuard.Kind.CloseAbove ? trigger - 1 : trigger + 1);
            assertFalse(_isTriggered(kind), "triggered before its price");
            uint256 far = kind == IGuard.Kind.CloseAbove ? trigger / 2 : trigger * 2;
            oracle.set(far);
            uint256 apart = far > trigger ? far - trigger : trigger - far;
            assertEq(_line(kind).distance, apart * WAD / far);
        }
    }

    /// @dev From one unit of price to the largest trigger it is further than the number can say.
    function test_aDistanceSaturates() public {
        openLoan(BORROWER, 10e18, 15_000e6);
        place(IGuard.Kind.CloseAbove, closing(type(uint256).max));
        oracle.set(1);
        assertEq(_line(IGuard.Kind.CloseAbove).distance, type(uint256).max);
        oracle.set(2e18);
        (IGuard.Order memory order,) = guard.order(BORROWER, id, IGuard.Kind.CloseAbove);
        assertEq(_line(IGuard.Kind.CloseAbove).distance, (order.triggerPrice - 2e18) / 2);
    }

    /* WHAT A LINE HAS */

    function test_aLineHasTheOrderAndTheLoan() public {
        openProtectedLoan();
        oracle.setBoth(PRICE * 95 / 100, PRICE * 94 / 100);
        skip(1 days);
        IGuardLens.OrderLine memory line = _line(IGuard.Kind.Protect);
        (IGuard.Order memory order, uint256 last) = guard.order(BORROWER, id, IGuard.Kind.Protect);
        assertEq(abi.encode(line.order), abi.encode(order));
        assertEq(line.lastExecuted, last);
        assertEq(line.executableFrom, last + 1 hours);
        assertEq(line.debt, debtOf(BORROWER));
        assertEq(line.collateral, 10e18);
        assertEq(line.value, 19_000e6);
        assertEq(line.liquidationPrice.price, PRICE * 95 / 100);
        assertEq(line.borrowPrice.price, 0, "read though it is not required");
        order.requireBorrowPrice = true;
        place(IGuard.Kind.Protect, order);
        assertEq(_line(IGuard.Kind.Protect).borrowPrice.price, PRICE * 94 / 100);
        assertEq(lens.guard(), address(guard));
    }

    function test_withoutADebtThereIsNoTrigger() public {
        place(IGuard.Kind.CloseBelow, closing(PRICE));
        IGuardLens.OrderLine memory line = _line(IGuard.Kind.CloseBelow);
        assertEq(line.triggerPrice, 0);
        assertEq(line.execution.payment, 0);
    }

    function test_aLensNeedsAGuard() public {
        bytes memory code = abi.encodePacked(vm.getCode("GuardLens.sol:GuardLens"), abi.encode(STRANGER));
        vm.expectRevert(abi.encodeWithSelector(IGuardLens.NoCode.selector, STRANGER));
        assembly {
            pop(create(0, add(code, 0x20), mload(code)))
        }
    }

    /* HOSTILE MARKETS */

    /// @dev L3: an oracle or a token that burns gas, reverts or answers a megabyte spoils its own line.
    function test_L3_aHostileMarketSpoilsOnlyItsLine() public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        bytes32 good = keccak256(abi.encode(_line(IGuard.Kind.Protect)));
        IGuardLens.OrderKey[] memory keys = new IGuardLens.OrderKey[](13);
        for (uint256 n; n < 13; ++n) {
            keys[n] = n % 2 == 0 ? _key(IGuard.Kind.Protect) : _hostileOrder(n / 2);
        }
        IGuardLens.OrderLine[] memory lines = lens.orders{gas: 14 * lens.lineGas()}(keys);
        for (uint256 n; n < 13; ++n) {
            if (n % 2 == 0) {
                assertEq(keccak256(abi.encode(lines[n])), good);
                continue;
            }
            assertEq(abi.encode(lines[n].key), abi.encode(keys[n]));
            bool byToken = n / 2 < 3;
            assertTrue(
                lines[n].status == (byToken ? IGuardLens.OrderStatus.Unreadable : IGuardLens.OrderStatus.NoPrice)
            );
            if (!byToken) assertEq(lines[n].debt, 15_000e6, "what needs no oracle is there");
        }
    }

    /// @dev Two prices that take all that they are given, in a line that has the least.
    function test_aLineHasGasForTwoHostilePrices() public {
        MarketId hostile = _hostileOrder(3).id;
        IGuard.Order memory order = protection();
        order.requireBorrowPrice = true;
        vm.prank(BORROWER);
        guard.place(hostile, IGuard.Kind.Protect, order);
        IGuardLens.OrderKey[] memory keys = new IGuardLens.OrderKey[](1);
        keys[0] = IGuardLens.OrderKey(BORROWER, hostile, IGuard.Kind.Protect);
        IGuardLens.OrderLine memory line = lens.orders(keys)[0];
        assertTrue(line.liquidationPrice.status == ILens.PriceStatus.Reverted);
        assertTrue(line.borrowPrice.status == ILens.PriceStatus.Reverted);
    }

    /// @dev Whatever gas the call has, a line gets its whole share or is not read.
    function test_aLineGetsItsWholeShareOrIsNotRead() public {
        openProtectedLoan();
        IGuardLens.OrderKey[] memory keys = new IGuardLens.OrderKey[](1);
        keys[0] = _key(IGuard.Kind.Protect);
        for (uint256 gasLimit = 1_400_000; gasLimit < 1_450_000; gasLimit += 1_000) {
            IGuardLens.OrderStatus status = lens.orders{gas: gasLimit}(keys)[0].status;
            assertTrue(
                status == IGuardLens.OrderStatus.NotTriggered || status == IGuardLens.OrderStatus.TooLittleGas,
                "starved"
            );
        }
        assertTrue(lens.orders{gas: 1_400_000}(keys)[0].status == IGuardLens.OrderStatus.TooLittleGas);
        assertTrue(lens.orders{gas: 1_450_000}(keys)[0].status == IGuardLens.OrderStatus.NotTriggered);
    }

    /* HELPERS */

    function _key(IGuard.Kind kind) private view returns (IGuardLens.OrderKey memory) {
        return IGuardLens.OrderKey(BORROWER, id, kind);
    }

    function _line(IGuard.Kind kind) private view returns (IGuardLens.OrderLine memory line) {
        IGuardLens.OrderKey[] memory keys = new IGuardLens.OrderKey[](1);
        keys[0] = _key(kind);
        line = lens.orders(keys)[0];
        assertEq(abi.encode(lens.order(keys[0])), abi.encode(line));
    }

    function _requireStatus(IGuard.Kind kind, IGuardLens.OrderStatus status) private {
        assertEq(uint256(_line(kind).status), uint256(status));
        _requireAsSaid(kind);
    }

    function _requireAsSaid(IGuard.Kind kind) private {
        IGuardLens.OrderLine memory line = _line(kind);
        if (line.status == IGuardLens.OrderStatus.Executable) {
            assertEq(abi.encode(execute(kind)), abi.encode(line.execution), "other amounts than it said");
            return;
        }
        try executor.execute(params, BORROWER, kind, RECEIVER) {
            assertTrue(false, "executed though it said otherwise");
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), _errorOf(line), "another reason than it said");
        }
    }

    function _errorOf(IGuardLens.OrderLine memory line) private pure returns (bytes4) {
        IGuardLens.OrderStatus status = line.status;
        if (status == IGuardLens.OrderStatus.NoOrder) return IGuard.NoOrder.selector;
        if (status == IGuardLens.OrderStatus.Expired) return IGuard.OrderExpired.selector;
        if (status == IGuardLens.OrderStatus.CoolingDown) return IGuard.CoolingDown.selector;
        if (status == IGuardLens.OrderStatus.NoDebt) return IGuard.NoDebt.selector;
        if (status == IGuardLens.OrderStatus.NoPrice) return _priceErrorOf(line.liquidationPrice);
        if (status == IGuardLens.OrderStatus.NoBorrowPrice) return _priceErrorOf(line.borrowPrice);
        if (status == IGuardLens.OrderStatus.NotTriggered) return IGuard.NotTriggered.selector;
        if (status == IGuardLens.OrderStatus.Unauthorized) return IPlimsoll.Unauthorized.selector;
        assertTrue(status == IGuardLens.OrderStatus.TooSmall);
        return IPlimsoll.AmountTooSmall.selector;
    }

    function _priceErrorOf(ILens.PriceReading memory reading) private pure returns (bytes4) {
        return reading.status == ILens.PriceStatus.Zero ? IGuard.OraclePriceZero.selector : bytes4(reading.errorData);
    }

    function _isTriggered(IGuard.Kind kind) private returns (bool) {
        (IGuard.Order memory order,) = guard.order(BORROWER, id, kind);
        bool triggered = isTriggered(kind, order, stateOf(BORROWER));
        IGuardLens.OrderLine memory line = _line(kind);
        assertEq(line.execution.payment + line.execution.own != 0, triggered);
        return triggered;
    }

    /// @dev A loan of any size and age near 70 %, one order of each kind, own tokens, a price, a time, an authorisation.
    function _openFuzzed(uint256[12] memory seeds) private {
        uint256 debt = bound(seeds[0], MIN_DEBT, 1e18);
        supply(LENDER, 2 * debt);
        openLoan(BORROWER, debt * ORACLE_SCALE / PRICE * 10 / 7, debt);
        for (uint8 kind; kind < 3; ++kind) {
            uint256 seed = uint256(keccak256(abi.encode(seeds, kind)));
            IGuard.Order memory order = kind == 0 ? protection() : closing(bound(seed, PRICE / 2, 2 * PRICE));
            if (kind == 0) {
                order.triggerLtvBps = uint16(bound(seeds[2], 300, LIQUIDATION_LTV_BPS - 1));
                order.targetLtvBps = seeds[3] % 4 == 0 ? 0 : uint16(bound(seeds[3], 100, order.triggerLtvBps - 100));
            }
            order.flatTip = uint96(bound(seeds[5], 0, debt / 1_000));
            order.maxOwn = seed % 3 == 0 ? uint96(seed) : uint96(bound(seeds[4], 0, debt));
            order.requireBorrowPrice = seed % 5 == 0;
            order.expiry = uint40(vm.getBlockTimestamp() + bound(seeds[6], 1 days, 60 days));
            place(IGuard.Kind(kind), order);
        }
        vm.prank(BORROWER);
        loanToken.approve(address(guard), bound(seeds[7], 0, 2 * debt));
        skip(bound(seeds[6] >> 128, 0, 60 days));
        if (seeds[8] % 8 == 0) {
            vm.prank(BORROWER);
            plimsoll.setAuthorization(address(guard), 0);
        }
        oracle.setBoth(bound(seeds[9], PRICE / 2, 2 * PRICE), seeds[10] % 3 == 0 ? 0 : PRICE);
        if (seeds[11] % 16 == 0) oracle.setBroken(true);
    }

    /// @dev An order in a market whose loan token (0 to 2) or oracle (3 to 5) burns gas, reverts with a megabyte or has
    /// no code; the loan was taken before.
    function _hostileOrder(uint256 n) private returns (IGuardLens.OrderKey memory key) {
        MarketParams memory hostile = params;
        hostile.loanToken = address(new TestToken("LOAN", 6));
        hostile.oracle = address(new TestOracle(PRICE * 95 / 100));
        MarketParams memory good = params;
        MarketId goodId = id;
        (params, id) = (hostile, plimsoll.createMarket(hostile));
        (TestToken token, TestOracle goodOracle) = (loanToken, oracle);
        (loanToken, oracle) = (TestToken(hostile.loanToken), TestOracle(hostile.oracle));
        supply(LENDER, 20_000e6);
        supplyCollateral(BORROWER, 10e18);
        borrow(BORROWER, 15_000e6);
        IGuard.Order memory order = protection();
        order.maxOwn = 1e6;
        place(IGuard.Kind.Protect, order);
        key = _key(IGuard.Kind.Protect);
        (params, id, loanToken, oracle) = (good, goodId, token, goodOracle);
        address spoiled = n < 3 ? hostile.loanToken : hostile.oracle;
        // Burns all gas; reverts with much; has no code.
        bytes memory code =
            n % 3 == 0 ? bytes(hex"fe") : n % 3 == 1 ? bytes(hex"62100000600052620fffe06000fd") : bytes("");
        vm.etch(spoiled, code);
    }
}
