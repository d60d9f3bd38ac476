// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {IGuardExecutor} from "plimsoll/interfaces/IGuardExecutor.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {CoreTest} from "../support/CoreTest.sol";
import {TestToken} from "../support/TestToken.sol";
import {GuardRules} from "./GuardRules.sol";

/// @notice Fixture of the guard's tests: the real guard over the real core, a borrower who authorised it, and an
/// executor without tokens, whose callback stands for an exchange.
abstract contract GuardTest is CoreTest, GuardRules {
    address internal immutable RECEIVER = makeAddr("receiver");

    IGuard internal guard;
    Executor internal executor;

    function setUp() public virtual override {
        super.setUp();
        guard = IGuard(deployCode("Guard.sol:Guard", abi.encode(plimsoll)));
        executor = new Executor(guard);
        supply(LENDER, 1_000_000e6);
        authorize(BORROWER);
    }

    function authorize(address account) internal {
        vm.prank(account);
        plimsoll.setAuthorization(address(guard), type(uint256).max);
    }

    /* ORDERS */

    /// @notice From 78 % back to 70 %, for 0.1 % at 78 % to 1 % at 82 %.
    function protection() internal view returns (IGuard.Order memory order) {
        order.triggerLtvBps = 7_800;
        order.targetLtvBps = 7_000;
        order.premiumStartPpm = 1_000;
        order.premiumEndPpm = 10_000;
        order.rampBps = 400;
        order.uses = 3;
        order.expiry = uint40(vm.getBlockTimestamp() + 30 days);
        order.cooldownSecs = 1 hours;
    }

    /// @notice Closes at this price, for 0.1 % there to 1 % at a distance of 4 %.
    function closing(uint256 price) internal view returns (IGuard.Order memory order) {
        order = protection();
        (order.triggerLtvBps, order.targetLtvBps) = (0, 0);
        order.triggerPrice = price;
    }

    function place(IGuard.Kind kind, IGuard.Order memory order) internal {
        vm.prank(BORROWER);
        guard.place(id, kind, order);
    }

    /// @notice A loan of 15,000 against 10 ETH at 2,000: 75 %.
    function openProtectedLoan() internal {
        openLoan(BORROWER, 10e18, 15_000e6);
        place(IGuard.Kind.Protect, protection());
    }

    /* EXECUTION */

    function execute(IGuard.Kind kind) internal returns (IGuard.Execution memory) {
        return execute(BORROWER, kind);
    }

    /// @notice Executes through the executor and checks the rules of every execution.
    function execute(address account, IGuard.Kind kind) internal returns (IGuard.Execution memory execution) {
        (IGuard.Order memory order,) = guard.order(account, id, kind);
        State memory was = stateOf(account);
        execution = executor.execute(params, account, kind, RECEIVER);
        assertExecution(kind, order, was, stateOf(account), execution);
    }

    function stateOf(address account) internal returns (State memory s) {
        plimsoll.accrue(params);
        return stateOf(guard, plimsoll, params, account, address(executor), RECEIVER);
    }
}

/// @notice Executes orders without capital: it gets the payment in the callback, as from an exchange.
contract Executor is IGuardExecutor {
    IGuard internal immutable GUARD;
    address internal loanToken;

    address public seenAccount;
    uint256 public seenPayment;
    uint256 public seenSold;
    bytes public seenData;

    constructor(IGuard guard) {
        GUARD = guard;
    }

    function execute(MarketParams calldata params, address account, IGuard.Kind kind, address receiver)
        external
        returns (IGuard.Execution memory)
    {
        return execute(params, account, kind, receiver, "route");
    }

    function execute(
        MarketParams calldata params,
        address account,
        IGuard.Kind kind,
        address receiver,
        bytes memory data
    ) public returns (IGuard.Execution memory) {
        loanToken = params.loanToken;
        return GUARD.execute(params, account, kind, 0, receiver, data);
    }

    function onGuardExecute(address account, uint256 payment, uint256 sold, bytes calldata data) external virtual {
        require(msg.sender == address(GUARD), "not the guard");
        (seenAccount, seenPayment, seenSold, seenData) = (account, payment, sold, data);
        _pay(payment);
    }

    function _pay(uint256 payment) internal {
        TestToken(loanToken).mint(address(this), payment);
        TestToken(loanToken).approve(address(GUARD), payment);
    }
}
