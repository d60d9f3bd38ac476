// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";
import {GuardRules} from "./GuardRules.sol";
import {Executor} from "./GuardTest.sol";

/// @notice Three borrowers who place, replace and cancel orders, borrow, repay and are liquidated, while the price moves,
/// the borrow price fails and time passes; and executors. Orders are tracked independently of the guard: each execution
/// must be one that they permit, and each that they permit must succeed.
contract GuardHandler is GuardRules {
    uint256 private constant PRICE = 2_000e24;

    /// @notice What is known of an order without the guard.
    struct Known {
        IGuard.Order order;
        bool live;
        uint256 usesLeft;
        uint256 last;
    }

    IPlimsoll private immutable PLIMSOLL;
    IGuard private immutable GUARD;
    TestToken private immutable LOAN;
    TestToken private immutable COLLATERAL;
    TestOracle private immutable ORACLE;
    Executor private immutable EXECUTOR;
    MarketId private immutable ID;
    MarketParams private params;

    address[3] public accounts = [address(0xB1), address(0xB2), address(0xB3)];
    address private constant RECEIVER = address(0xCAFE);
    mapping(address account => mapping(IGuard.Kind => Known)) private known;

    uint256 public executions;
    uint256 public ownExecutions;
    uint256 public refusals;
    uint256 public stray;
    bool public borrowPriceFails;

    constructor(IPlimsoll plimsoll, IGuard guard, MarketParams memory params_, MarketId id) {
        (PLIMSOLL, GUARD, params, ID) = (plimsoll, guard, params_, id);
        (LOAN, COLLATERAL) = (TestToken(params_.loanToken), TestToken(params_.collateralToken));
        ORACLE = TestOracle(params_.oracle);
        EXECUTOR = new Executor(guard);
        LOAN.approve(address(plimsoll), type(uint256).max);
        for (uint256 i; i < 3; ++i) {
            vm.startPrank(accounts[i]);
            LOAN.approve(address(plimsoll), type(uint256).max);
            COLLATERAL.approve(address(plimsoll), type(uint256).max);
            plimsoll.setAuthorization(address(guard), type(uint256).max);
            vm.stopPrank();
            _open(accounts[i], 3_000 * (i + 1) * 1e6);
        }
    }

    /* ORDERS */

    function place(uint256 seed, uint256 kindSeed, uint16 trigger, uint16 target, uint16 premium, uint96 own) external {
        (address account, IGuard.Kind kind) = (_account(seed), IGuard.Kind(kindSeed % 3));
        IGuard.Order memory order;
        if (kind == IGuard.Kind.Protect) {
            order.triggerLtvBps = uint16(bound(trigger, 5_000, 8_500));
            order.targetLtvBps = target % 5 == 0 ? 0 : uint16(bound(target, 3_000, order.triggerLtvBps - 100));
        } else {
            order.triggerPrice = ORACLE.liquidationPrice() * bound(trigger, 80, 120) / 100;
        }
        order.premiumEndPpm = uint16(bound(premium, 0, 30_000));
        order.premiumStartPpm = order.premiumEndPpm / 3;
        order.rampBps = uint16(bound(own % 10_000, 1, 2_000));
        order.requireBorrowPrice = premium % 7 == 0;
        order.uses = uint8(bound(trigger, 1, 3));
        order.cooldownSecs = uint24(bound(target, 600, 12 hours));
        order.expiry = uint40(vm.getBlockTimestamp() + bound(own, 1 days, 30 days));
        order.flatTip = own % 3 == 0 ? uint96(own % 5e6) : 0;
        order.maxOwn = own % 2 == 0 ? uint96(own % 5_000e6) : 0;
        vm.prank(account);
        GUARD.place(ID, kind, order);
        (IGuard.Order memory stored,) = GUARD.order(account, ID, kind);
        known[account][kind] = Known(stored, true, stored.uses, 0);
    }

    function cancel(uint256 seed, uint256 kindSeed) external {
        (address account, IGuard.Kind kind) = (_account(seed), IGuard.Kind(kindSeed % 3));
        vm.prank(account);
        GUARD.cancel(ID, kind);
        known[account][kind].live = false;
    }

    function cancelAll(uint256 seed) external {
        // Seldom, or nothing would be left to execute.
        if (seed % 4 != 0) return;
        address account = _account(seed / 4);
        vm.prank(account);
        GUARD.cancelAll();
        for (uint256 kind; kind < 3; ++kind) {
            known[account][IGuard.Kind(kind)].live = false;
        }
    }

    /* EXECUTION */

    function execute(uint256 seed, uint256 kindSeed) external {
        _execute(_account(seed), IGuard.Kind(kindSeed % 3));
    }

    /// @dev The price that is just beyond the order's trigger.
    function executeAtItsTrigger(uint256 seed, uint256 kindSeed, uint256 beyond) external {
        (address account, IGuard.Kind kind) = (_account(seed), IGuard.Kind(kindSeed % 3));
        Known storage k = known[account][kind];
        PLIMSOLL.accrue(params);
        State memory s = _stateOf(account);
        if (!k.live || s.debt == 0) return;
        beyond = bound(beyond, 0, 800);
        uint256 price =
            k.order.triggerPrice * (kind == IGuard.Kind.CloseAbove ? 10_000 + beyond : 10_000 - beyond) / 10_000;
        if (kind == IGuard.Kind.Protect) {
            if (s.collateral == 0) return;
            price = s.debt * 1e36 / s.collateral * 10_000 / (uint256(k.order.triggerLtvBps) + beyond);
        }
        _setPrice(price);
        _execute(account, kind);
    }

    function _execute(address account, IGuard.Kind kind) private {
        Known storage k = known[account][kind];
        PLIMSOLL.accrue(params);
        State memory was = _stateOf(account);
        bool permitted = k.live && k.usesLeft != 0 && vm.getBlockTimestamp() <= k.order.expiry
            && (k.last == 0 || vm.getBlockTimestamp() >= k.last + k.order.cooldownSecs)
            && isTriggered(kind, k.order, was) && !(k.order.requireBorrowPrice && borrowPriceFails);
        // The core gives no collateral for nothing.
        bool possible = was.collateral != 0;
        try EXECUTOR.execute(params, account, kind, RECEIVER) returns (IGuard.Execution memory e) {
            assertTrue(permitted, "G5: executed though no order permits it");
            assertExecution(kind, k.order, was, _stateOf(account), e);
            (k.usesLeft, k.last) = (k.usesLeft - 1, vm.getBlockTimestamp());
            ++executions;
            if (e.own != 0) ++ownExecutions;
        } catch {
            assertFalse(permitted && possible, "G8: refused though an order permits it");
            assertEq(abi.encode(_stateOf(account)), abi.encode(was), "G1: a refusal changed something");
            ++refusals;
        }
    }

    /* LOANS */

    function borrow(uint256 seed, uint256 assets) external {
        address account = _account(seed);
        if (borrowPriceFails) return;
        _open(account, bound(assets, 100e6, 10_000e6));
    }

    function repay(uint256 seed, uint256 assets) external {
        address account = _account(seed);
        PLIMSOLL.accrue(params);
        State memory s = _stateOf(account);
        if (s.debt < 100) return;
        LOAN.mint(address(this), s.debt);
        // Less than a share is worth repays nothing, and the core refuses it.
        PLIMSOLL.repay(params, bound(assets, 100, s.debt), 0, account, "");
    }

    function giveOwnTokens(uint256 seed, uint96 balance, uint96 allowance) external {
        address account = _account(seed);
        LOAN.mint(account, bound(balance, 0, 1_000e6));
        vm.prank(account);
        LOAN.approve(address(GUARD), bound(allowance, 0, 2_000e6));
    }

    function donate(uint256 loan, uint256 collateral) external {
        LOAN.mint(address(GUARD), bound(loan, 0, 1e12));
        COLLATERAL.mint(address(GUARD), bound(collateral, 0, 1e21));
    }

    function liquidate(uint256 seed) external {
        address[] memory borrowers = new address[](1);
        borrowers[0] = _account(seed);
        LOAN.mint(address(this), 1e15);
        try PLIMSOLL.liquidate(params, borrowers, type(uint256).max, 0, address(this), "") {} catch {}
    }

    /* THE ENVIRONMENT */

    function movePrice(uint256 percent) external {
        _setPrice(ORACLE.liquidationPrice() * bound(percent, 85, 115) / 100);
    }

    function toggleBorrowPrice() external {
        borrowPriceFails = !borrowPriceFails;
        if (borrowPriceFails) {
            vm.mockCallRevert(address(ORACLE), abi.encodeCall(TestOracle.borrowPrice, ()), "stale");
        } else {
            vm.clearMockedCalls();
        }
    }

    function pass(uint256 time) external {
        vm.warp(vm.getBlockTimestamp() + bound(time, 1, 2 days));
    }

    /* HELPERS */

    /// @dev Without the log of forge-std's `bound`.
    function bound(uint256 x, uint256 min, uint256 max) private pure returns (uint256) {
        return x < min || x > max ? min + x % (max - min + 1) : x;
    }

    function _setPrice(uint256 price) private {
        ORACLE.set(bound(price, PRICE / 10, PRICE * 10));
    }

    function _open(address account, uint256 assets) private {
        // At most 70 % at the present price, what is there already included.
        PLIMSOLL.accrue(params);
        State memory s = _stateOf(account);
        uint256 needed = (s.debt + assets) * 1e36 / s.price * 10 / 7 + 1;
        if (needed > s.collateral) {
            COLLATERAL.mint(account, needed - s.collateral);
            vm.prank(account);
            PLIMSOLL.supplyCollateral(params, needed - s.collateral, account, "");
        }
        Market memory m = PLIMSOLL.market(ID);
        if (m.supplyAssets - m.borrowAssets < assets) return;
        vm.prank(account);
        PLIMSOLL.borrow(params, assets, 0, account, address(0xdead));
    }

    function _account(uint256 seed) private view returns (address) {
        return accounts[seed % 3];
    }

    function _stateOf(address account) private view returns (State memory) {
        return stateOf(GUARD, PLIMSOLL, params, account, address(EXECUTOR), RECEIVER);
    }

    /// @notice Whether the guard's order is what is known of it.
    function agrees(address account, IGuard.Kind kind) external view returns (bool) {
        Known storage k = known[account][kind];
        (IGuard.Order memory seen, uint256 last) = GUARD.order(account, ID, kind);
        if (!k.live || k.usesLeft == 0) return seen.uses == 0;
        return seen.uses == k.usesLeft && last == k.last;
    }
}
