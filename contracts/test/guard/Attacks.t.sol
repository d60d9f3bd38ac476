// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {IRepayCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {HookedToken, ITransferHook} from "../support/HookedToken.sol";
import {FalseToken, FeeToken, NoZeroToken, SilentToken, VerboseToken} from "../support/OddTokens.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";
import {Executor, GuardTest} from "./GuardTest.sol";

/// @title Attacks on accounts that placed orders or approved the guard, on executors, and by tokens.
contract GuardAttacksTest is GuardTest {
    /* THE EXECUTOR'S CHOICES */

    /// @dev An executor that chooses route, receiver, data, time within the block and the pool's price changes nothing
    /// about the amounts: there is no slippage to take.
    function testFuzz_G4_theExecutorChoosesNoAmount(bytes calldata data, address receiver, uint256 minSold) public {
        vm.assume(receiver != address(0) && receiver != address(plimsoll) && receiver != address(guard));
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        uint256 snapshot = vm.snapshotState();
        IGuard.Execution memory first = execute(IGuard.Kind.Protect);
        vm.revertToState(snapshot);
        Executor other = new Executor(guard);
        loanToken.mint(address(other), first.payment);
        vm.prank(address(other));
        loanToken.approve(address(guard), type(uint256).max);
        minSold = bound(minSold, 0, first.sold);
        IGuard.Execution memory second = other.execute(params, BORROWER, IGuard.Kind.Protect, receiver, data);
        assertEq(abi.encode(second), abi.encode(first));
    }

    /// @dev A tick of the oracle to and fro does not execute again: the gap, the cooldown and the uses bound what many
    /// executions cost, here to 40 % of a fall in steps of 1 %.
    function test_G5_repetitionIsBounded() public {
        openLoan(BORROWER, 10e18, 15_000e6);
        IGuard.Order memory order = protection();
        (order.targetLtvBps, order.uses, order.cooldownSecs) = (7_700, 255, 600);
        order.flatTip = 1e6;
        place(IGuard.Kind.Protect, order);
        uint256 lost;
        uint256 runs;
        for (uint256 price = 100; price > 60; --price) {
            oracle.set(PRICE * price / 100);
            skip(600);
            try executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER) returns (IGuard.Execution memory e) {
                ++runs;
                lost += e.sold * (PRICE * price / 100) / ORACLE_SCALE - e.payment;
                // The same tick again.
                vm.expectPartialRevert(IGuard.CoolingDown.selector);
                executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
            } catch {}
        }
        assertGt(runs, 20);
        assertLe(runs, 40);
        // Less than 1 % of the first debt for all of them.
        assertLe(lost, 150e6);
    }

    /// @dev Repaying a unit or adding dust in front of an execution does not make it fail, and cannot undo the trigger
    /// but by improving the loan.
    function testFuzz_G8_dustInFront(uint256 repaid, uint256 added) public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        give(loanToken, STRANGER, 1e6);
        give(collateralToken, STRANGER, 1e12);
        vm.startPrank(STRANGER);
        repaid = bound(repaid, 0, 1e6);
        added = bound(added, 0, 1e12);
        if (repaid != 0) plimsoll.repay(params, repaid, 0, BORROWER, "");
        if (added != 0) plimsoll.supplyCollateral(params, added, BORROWER, "");
        vm.stopPrank();
        execute(IGuard.Kind.Protect);
    }

    /// @dev A price that is pushed down for a block costs at most the push and the premium on the payment, and a price
    /// that is too high makes executors wait.
    function testFuzz_G4_aPushedPriceCostsTheDifference(uint256 push) public {
        openProtectedLoan();
        push = bound(push, 500, 2_500);
        uint256 pushed = PRICE * (10_000 - push) / 10_000;
        oracle.set(pushed);
        IGuard.Execution memory e = execute(IGuard.Kind.Protect);
        uint256 lost = e.sold * PRICE / ORACLE_SCALE - e.payment;
        uint256 most = e.payment * (WAD + e.premium) / WAD * PRICE / pushed - e.payment;
        assertLe(lost, most + 1);
    }

    /// @dev An order of an earlier loan meets a later one only within its uses and until its expiry, and `cancelAll` ends
    /// it.
    function test_G5_anOrderOutlivesItsLoan() public {
        openProtectedLoan();
        give(loanToken, BORROWER, 15_000e6);
        vm.startPrank(BORROWER);
        plimsoll.repay(params, type(uint256).max, 0, BORROWER, "");
        plimsoll.withdrawCollateral(params, 10e18, BORROWER, BORROWER);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IGuard.NoDebt.selector, BORROWER, id));
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        openLoan(BORROWER, 10e18, 15_000e6);
        oracle.set(PRICE * 95 / 100);
        execute(IGuard.Kind.Protect);
        vm.prank(BORROWER);
        guard.cancelAll();
        skip(1 hours);
        oracle.set(PRICE * 80 / 100);
        vm.expectPartialRevert(IGuard.NoOrder.selector);
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
    }

    /* ATTACK 15: ALLOWANCES */

    /// @dev The guard holds allowances of accounts and executors. An order in the attacker's own market, over the same
    /// token, reaches the attacker's tokens alone.
    function test_attack15_G1_allowancesOfOthers() public {
        address victim = makeAddr("victim");
        loanToken.mint(victim, 1_000_000e6);
        vm.prank(victim);
        loanToken.approve(address(guard), type(uint256).max);
        authorize(victim);
        openLoan(victim, 10e18, 15_000e6);

        // The attacker's market: its collateral and oracle are its own, its loan token is the victim's.
        TestToken worthless = new TestToken("WORTHLESS", 18);
        MarketParams memory hostile = params;
        hostile.collateralToken = address(worthless);
        hostile.oracle = address(new TestOracle(PRICE));
        MarketId hostileId = plimsoll.createMarket(hostile);
        vm.startPrank(STRANGER);
        loanToken.mint(STRANGER, 20_000e6);
        loanToken.approve(address(plimsoll), type(uint256).max);
        plimsoll.supply(hostile, 20_000e6, 0, STRANGER, "");
        worthless.mint(STRANGER, 10e18);
        worthless.approve(address(plimsoll), type(uint256).max);
        plimsoll.supplyCollateral(hostile, 10e18, STRANGER, "");
        plimsoll.borrow(hostile, 15_000e6, 0, STRANGER, STRANGER);
        plimsoll.setAuthorization(address(guard), type(uint256).max);
        IGuard.Order memory order = closing(PRICE * 101 / 100);
        order.maxOwn = type(uint96).max;
        guard.place(hostileId, IGuard.Kind.CloseBelow, order);
        loanToken.transfer(address(0xdead), loanToken.balanceOf(STRANGER));
        // Not as executor without tokens, nor with the victim as account: it has no order there.
        vm.expectPartialRevert(IGuard.TransferFailed.selector);
        guard.execute(hostile, STRANGER, IGuard.Kind.CloseBelow, 0, STRANGER, "");
        vm.expectPartialRevert(IGuard.NoOrder.selector);
        guard.execute(hostile, victim, IGuard.Kind.CloseBelow, 0, STRANGER, "");
        vm.expectPartialRevert(IGuard.NoOrder.selector);
        guard.execute(params, victim, IGuard.Kind.CloseBelow, 0, STRANGER, "");
        vm.stopPrank();
        assertEq(loanToken.balanceOf(victim), 1_015_000e6);
    }

    /// @dev G9: nobody is answered, the core neither outside of an execution, and no call with data of the caller's
    /// reaches the guard.
    function test_attack15_G9_nobodyIsAnswered() public {
        loanToken.mint(BORROWER, 1_000e6);
        vm.prank(BORROWER);
        loanToken.approve(address(guard), type(uint256).max);
        bytes memory data = abi.encode(loanToken, BORROWER, BORROWER, 1_000e6, 0, "");
        address[3] memory callers = [STRANGER, address(plimsoll), BORROWER];
        for (uint256 i; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(IGuard.UnexpectedCallback.selector, callers[i]));
            IRepayCallback(address(guard)).onPlimsollRepay(1_000e6, data);
        }
        vm.prank(STRANGER);
        vm.expectRevert(bytes(""));
        plimsoll.flashLoan(address(guard), address(loanToken), 1e6, "");
    }

    /// @dev G9: during an execution, too, only the core is answered, and only once: from the executor's callback neither
    /// a second execution nor the guard's callback works.
    function test_attack08_G9_theExecutorFindsEverythingClosed() public {
        openProtectedLoan();
        place(IGuard.Kind.CloseBelow, closing(PRICE));
        oracle.set(PRICE * 95 / 100);
        Reentrant reentrant = new Reentrant(guard, plimsoll);
        reentrant.prepare(params, BORROWER);
        State memory was = stateOf(BORROWER);
        (IGuard.Order memory order,) = guard.order(BORROWER, id, IGuard.Kind.Protect);
        IGuard.Execution memory e = reentrant.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        assertEq(reentrant.attempts(), 1);
        assertExecution(IGuard.Kind.Protect, order, was, stateOf(BORROWER), e);
    }

    /// @dev What the executor does for the account in the callback is a gift.
    function test_G1_theExecutorImprovesTheLoanInTheCallback() public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        Generous generous = new Generous(guard, plimsoll, params);
        IGuard.Execution memory e = generous.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        assertEq(debtOf(BORROWER), 15_000e6 - e.payment - 1_000e6);
        assertEq(plimsoll.position(id, BORROWER).collateral, 10e18 - e.sold + 1e18);
    }

    /* TOKENS */

    function test_attack08_G9_hooksOnEveryTransfer() public {
        (HookedToken loan, HookedToken collateral) = (new HookedToken("USD", 6), new HookedToken("ETH", 18));
        _marketOf(loan, collateral);
        IGuard.Order memory order = protection();
        order.maxOwn = 100e6;
        place(IGuard.Kind.Protect, order);
        loan.mint(BORROWER, 50e6);
        vm.prank(BORROWER);
        loan.approve(address(guard), type(uint256).max);
        Intruder intruder = new Intruder(
            guard, abi.encodeCall(IGuard.execute, (params, BORROWER, IGuard.Kind.Protect, 0, address(this), ""))
        );
        loan.setHook(intruder);
        collateral.setHook(intruder);
        execute(IGuard.Kind.Protect);
        // From the account, to the receiver, minted for the executor, from it, to the core, and the reward.
        assertEq(intruder.attempts(), 6);
    }

    /// @dev A hook that repays a part of the loan between the computation and the repayment: refused, or everything
    /// stays consistent.
    function test_G1_theLoanChangesDuringTheExecution() public {
        HookedToken loan = new HookedToken("USD", 6);
        _marketOf(loan, new TestToken("ETH", 18));
        IGuard.Order memory order = closing(PRICE);
        order.maxOwn = 1_000e6;
        place(IGuard.Kind.CloseBelow, order);
        vm.prank(BORROWER);
        loan.approve(address(guard), type(uint256).max);
        loan.setHook(new Repayer(plimsoll, params, BORROWER, guard));
        vm.expectPartialRevert(IGuard.LoanChanged.selector);
        executor.execute(params, BORROWER, IGuard.Kind.CloseBelow, RECEIVER);
    }

    function test_oddTokens() public {
        _worksWith(TestToken(address(new SilentToken())), TestToken(address(new SilentToken())));
        _worksWith(TestToken(address(new NoZeroToken())), TestToken(address(new NoZeroToken())));
        _worksWith(TestToken(address(new VerboseToken())), TestToken(address(new VerboseToken())));
        _worksWith(TestToken(address(new FalseToken())), TestToken(address(new FalseToken())));
    }

    /// @dev Such tokens are not supported by the core. What was sent to the guard by mistake does not pay their fee.
    function test_G7_aFeeOnTransferIsRefused() public {
        TestToken fee = TestToken(address(new FeeToken()));
        TestToken collateral = new TestToken("ETH", 18);
        _marketOf(fee, collateral);
        place(IGuard.Kind.Protect, protection());
        vm.expectPartialRevert(IPlimsoll.TransferFailed.selector);
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        fee.mint(address(guard), 1_000e6);
        vm.expectPartialRevert(IGuard.TokenMissing.selector);
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
    }

    /// @dev Tokens sent here by mistake block nobody, and nobody gets them.
    function testFuzz_G7_strayTokens(uint256 stray) public {
        stray = bound(stray, 1, 1e30);
        openProtectedLoan();
        loanToken.mint(address(guard), stray);
        collateralToken.mint(address(guard), stray);
        oracle.set(PRICE * 95 / 100);
        execute(IGuard.Kind.Protect);
    }

    function test_G7_aTokenThatRefusesApprovals() public {
        openProtectedLoan();
        oracle.set(PRICE * 95 / 100);
        vm.mockCall(
            address(loanToken), abi.encodeWithSignature("approve(address,uint256)", plimsoll), abi.encode(false)
        );
        vm.expectRevert(IGuard.ApproveFailed.selector);
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
    }

    /* THE CODE */

    /// @dev G1: the selectors of everything that an authorisation would allow are not in the bytecode, and neither are
    /// calls that run other code as the guard's, or that end it.
    function test_G1_theCodeCanDoNothingElse() public view {
        bytes memory code = address(guard).code;
        bytes4[6] memory others = [
            IPlimsoll.borrow.selector,
            IPlimsoll.withdraw.selector,
            IPlimsoll.withdrawCollateral.selector,
            IPlimsoll.transferSupply.selector,
            IPlimsoll.setAuthorization.selector,
            IPlimsoll.multicall.selector
        ];
        for (uint256 i; i < others.length; ++i) {
            assertFalse(_contains(code, others[i]), vm.toString(others[i]));
        }
        // The search finds those that are there.
        assertTrue(_contains(code, IPlimsoll.deleverage.selector));
        assertTrue(_contains(code, IPlimsoll.repay.selector));
        assertTrue(_contains(code, IPlimsoll.accrue.selector));

        uint256 calls;
        for (uint256 i; i < code.length; ++i) {
            uint8 op = uint8(code[i]);
            if (op >= 0x60 && op <= 0x7f) i += op - 0x5f;
            else if (op == 0xf1) ++calls;
            else assertFalse(op == 0xf0 || op == 0xf2 || op == 0xf4 || op == 0xf5 || op == 0xff, "another call");
        }
        assertGt(calls, 0);
    }

    function _contains(bytes memory code, bytes4 selector) internal pure returns (bool) {
        for (uint256 i; i + 4 <= code.length; ++i) {
            bytes4 word;
            assembly ("memory-safe") {
                word := mload(add(add(code, 0x20), i))
            }
            if (word == selector) return true;
        }
        return false;
    }

    /* HELPERS */

    function _worksWith(TestToken loan, TestToken collateral) internal {
        _marketOf(loan, collateral);
        IGuard.Order memory order = protection();
        order.maxOwn = 10e6;
        place(IGuard.Kind.Protect, order);
        loan.mint(BORROWER, 10e6);
        vm.prank(BORROWER);
        loan.approve(address(guard), type(uint256).max);
        execute(IGuard.Kind.Protect);
    }

    /// @dev The market with other tokens, and a loan that an order of the fixture's protects.
    function _marketOf(TestToken loan, TestToken collateral) internal {
        (loanToken, collateralToken) = (loan, collateral);
        (params.loanToken, params.collateralToken) = (address(loan), address(collateral));
        oracle.set(PRICE);
        id = plimsoll.createMarket(params);
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 10e18, 15_000e6);
        oracle.set(PRICE * 95 / 100);
    }
}

/// @notice Tries to execute again, and to be called back by the core with data of its own, from its callback.
contract Reentrant is Executor {
    IPlimsoll private immutable PLIMSOLL;
    MarketParams private params;
    address private account;
    uint256 public attempts;

    constructor(IGuard guard, IPlimsoll plimsoll) Executor(guard) {
        PLIMSOLL = plimsoll;
    }

    function prepare(MarketParams calldata params_, address account_) external {
        (params, account) = (params_, account_);
    }

    function onGuardExecute(address account_, uint256 payment, uint256 sold, bytes calldata data) external override {
        (bool done, bytes memory answer) = address(GUARD)
            .call(abi.encodeCall(IGuard.execute, (params, account, IGuard.Kind.CloseBelow, 0, address(this), data)));
        require(!done && bytes4(answer) == IGuard.Reentered.selector, "a second execution began");
        (done, answer) = address(GUARD).call(abi.encodeCall(IRepayCallback.onPlimsollRepay, (payment, data)));
        require(!done && bytes4(answer) == IGuard.UnexpectedCallback.selector, "the callback was answered");
        (done,) = address(PLIMSOLL)
            .call(abi.encodeCall(IPlimsoll.deleverage, (params, payment, sold, account_, address(this), data)));
        require(!done, "the core took the executor for the guard");
        ++attempts;
        _pay(payment);
    }
}

/// @notice Repays more and adds collateral in its callback.
contract Generous is Executor {
    IPlimsoll private immutable PLIMSOLL;
    MarketParams private params;

    constructor(IGuard guard, IPlimsoll plimsoll, MarketParams memory params_) Executor(guard) {
        (PLIMSOLL, params) = (plimsoll, params_);
    }

    function onGuardExecute(address account, uint256 payment, uint256, bytes calldata) external override {
        TestToken(params.collateralToken).mint(address(this), 1e18);
        TestToken(params.collateralToken).approve(address(PLIMSOLL), 1e18);
        PLIMSOLL.supplyCollateral(params, 1e18, account, "");
        TestToken(params.loanToken).mint(address(this), 1_000e6);
        TestToken(params.loanToken).approve(address(PLIMSOLL), 1_000e6);
        PLIMSOLL.repay(params, 1_000e6, 0, account, "");
        _pay(payment);
    }
}

/// @notice Tries to get into an execution whenever a token moves.
contract Intruder is ITransferHook {
    IGuard private immutable GUARD;
    bytes private execution;
    uint256 public attempts;

    constructor(IGuard guard, bytes memory execution_) {
        (GUARD, execution) = (guard, execution_);
    }

    function onTransfer(address, address, uint256) external {
        (bool done, bytes memory answer) = address(GUARD).call(execution);
        require(!done && bytes4(answer) == IGuard.Reentered.selector, "a second execution began");
        (done, answer) = address(GUARD).call(abi.encodeCall(IRepayCallback.onPlimsollRepay, (0, "")));
        require(!done && bytes4(answer) == IGuard.UnexpectedCallback.selector, "the callback was answered");
        ++attempts;
    }
}

/// @notice Repays a part of a loan when the guard pulls the account's own tokens.
contract Repayer is ITransferHook {
    IPlimsoll private immutable PLIMSOLL;
    MarketParams private params;
    address private immutable ACCOUNT;
    IGuard private immutable GUARD;
    bool private done;

    constructor(IPlimsoll plimsoll, MarketParams memory params_, address account, IGuard guard) {
        (PLIMSOLL, params, ACCOUNT, GUARD) = (plimsoll, params_, account, guard);
    }

    function onTransfer(address from, address to, uint256) external {
        if (done || from != ACCOUNT || to != address(GUARD)) return;
        done = true;
        TestToken(params.loanToken).mint(address(this), 100e6);
        TestToken(params.loanToken).approve(address(PLIMSOLL), 100e6);
        PLIMSOLL.repay(params, 100e6, 0, ACCOUNT, "");
    }
}
