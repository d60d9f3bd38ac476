// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGasCharge} from "plimsoll/interfaces/IGasCharge.sol";
import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {IGuardExecutor} from "plimsoll/interfaces/IGuardExecutor.sol";
import {IOrderExecutor} from "plimsoll/interfaces/IOrderExecutor.sol";
import {ISwapper} from "plimsoll/interfaces/ISwapper.sol";
import {ISwapperClient} from "plimsoll/interfaces/ISwapperClient.sol";
import {Creator} from "../support/Creator.sol";
import {HookedToken, ITransferHook} from "../support/HookedToken.sol";
import {ExchangeTest} from "./ExchangeTest.sol";

/// @title Tests of executing orders without capital, over a real exchange.
contract OrderExecutorTest is Creator, ExchangeTest {
    address internal immutable KEEPER = makeAddr("keeper");
    address internal immutable TREASURY = makeAddr("treasury");

    IGuard internal guard;
    IOrderExecutor internal executor;

    function setUp() public virtual override {
        super.setUp();
        guard = IGuard(deployCode("Guard.sol:Guard", abi.encode(plimsoll)));
        executor = IOrderExecutor(deployCode("OrderExecutor.sol:OrderExecutor", abi.encode(guard, swappers())));
        protect(0);
    }

    /// @notice A loan of 8,000 against 5 ETH, 80 % at 2,000, with an order from 82 % back to 75 % for 0.3 % to 1 %.
    function protect(uint96 maxOwn) internal {
        openLoan(BORROWER, eth(5), usd(8_000));
        IGuard.Order memory order;
        (order.triggerLtvBps, order.targetLtvBps) = (8_200, 7_500);
        (order.premiumStartPpm, order.premiumEndPpm, order.rampBps) = (3_000, 10_000, 300);
        (order.uses, order.cooldownSecs, order.maxOwn) = (3, 1 hours, maxOwn);
        order.expiry = uint40(vm.getBlockTimestamp() + 30 days);
        vm.startPrank(BORROWER);
        guard.place(id, IGuard.Kind.Protect, order);
        plimsoll.setAuthorization(address(guard), type(uint256).max);
        loanToken.approve(address(guard), type(uint256).max);
        loanToken.transfer(address(0xdead), loanToken.balanceOf(BORROWER));
        vm.stopPrank();
    }

    function executionOf() internal view returns (IOrderExecutor.OrderExecution memory wanted) {
        (wanted.params, wanted.account) = (params, BORROWER);
        (wanted.swapper, wanted.route) = (address(swapper), routeToLoan());
        (wanted.receiver, wanted.deadline) = (TREASURY, vm.getBlockTimestamp());
    }

    function run(IOrderExecutor.OrderExecution memory wanted) internal returns (uint256) {
        vm.prank(KEEPER);
        return executor.execute(wanted);
    }

    /* WHAT IT DOES */

    /// @dev The keeper has no tokens: the collateral is sold, pays, and what is left is the profit.
    function test_theProfitIsThePremiumLessTheExchange() public {
        crashTo(1_920);
        uint256 snapshot = vm.snapshotState();
        uint256 profit = run(executionOf());
        assertEq(loanToken.balanceOf(TREASURY), profit);
        assertEq(collateralToken.balanceOf(TREASURY), 0);
        // 8,000 ÷ 9,600 is 1.33 points above the trigger, a premium of 0.61 %; the exchange takes 0.05 % and its impact.
        uint256 payment = usd(8_000) - debtOf(BORROWER);
        assertGt(profit, payment * 50 / 10_000);
        assertLt(profit, payment * 61 / 10_000);
        assertNothingLeftIn(address(executor));
        assertNothingLeftIn(address(swapper));
        assertNothingLeftIn(address(guard));
        assertEq(loanToken.allowance(address(executor), address(guard)), 0);

        vm.revertToState(snapshot);
        vm.expectEmit(true, true, true, false, address(executor));
        emit IOrderExecutor.ExecuteWithoutCapital(
            id, BORROWER, KEEPER, IGuard.Kind.Protect, TREASURY, payment, 0, profit
        );
        run(executionOf());
    }

    /// @dev The loan comes out as by an executor with capital.
    function testFuzz_theLoanComesOutAsByTheGuardItself(uint256 price) public {
        crashTo(bound(price, 1_750, 1_940));
        uint256 snapshot = vm.snapshotState();
        loanToken.mint(KEEPER, usd(10_000));
        vm.startPrank(KEEPER);
        loanToken.approve(address(guard), type(uint256).max);
        guard.execute(params, BORROWER, IGuard.Kind.Protect, 0, KEEPER, "");
        vm.stopPrank();
        bytes memory directly = abi.encode(plimsoll.position(id, BORROWER));
        vm.revertToState(snapshot);
        run(executionOf());
        assertEq(abi.encode(plimsoll.position(id, BORROWER)), directly);
    }

    /// @dev Where the account's own tokens suffice nothing is sold, and the reward is the profit.
    function test_theRewardFromOwnTokensIsProfit() public {
        protect(uint96(usd(5_000)));
        loanToken.mint(BORROWER, usd(5_000));
        crashTo(1_920);
        uint256 pool_ = loanToken.balanceOf(address(pool));
        uint256 profit = run(executionOf());
        assertGt(profit, 0);
        assertEq(loanToken.balanceOf(TREASURY), profit);
        assertEq(loanToken.balanceOf(address(pool)), pool_);
        assertNothingLeftIn(address(executor));
    }

    /* WHAT IT REFUSES */

    function test_theExchangePaysTooLittle() public {
        crashTo(1_920);
        arbitrageTo(1_890);
        vm.expectPartialRevert(ISwapper.TooLittleOut.selector);
        run(executionOf());
    }

    /// @dev Whatever the price of gas: the call succeeds exactly where its profit covers the charge.
    function testFuzz_aSuccessNeverCostsMoreThanItBrings(uint256 gasPrice) public {
        crashTo(1_920);
        IOrderExecutor.OrderExecution memory wanted = executionOf();
        uint256 snapshot = vm.snapshotState();
        uint256 profit = run(wanted);
        vm.revertToState(snapshot);
        vm.txGasPrice(bound(gasPrice, 0, 100 gwei));
        // An ether of 2,000: for 6 decimals 2e9 units are worth 1e18 wei.
        wanted.unitsPerWeiX96 = uint128(usd(2_000) * 2 ** 96 / 1 ether);
        wanted.gasOverhead = 40_000;
        vm.prank(KEEPER);
        uint256 gas = gasleft();
        try executor.execute(wanted) returns (uint256 got) {
            gas = gas - gasleft();
            assertEq(got, profit);
            assertGe(got, gas * tx.gasprice * usd(2_000) / 1 ether);
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), IGasCharge.ProfitTooLow.selector);
            assertLt(profit, uint256(800_000) * tx.gasprice * usd(2_000) / 1 ether);
        }
        wanted.unitsPerWeiX96 = 0;
        wanted.minProfit = profit + 1;
        vm.revertToState(snapshot);
        vm.expectRevert(abi.encodeWithSelector(IGasCharge.ProfitTooLow.selector, profit, profit + 1));
        run(wanted);
        wanted.minProfit = profit;
        assertEq(run(wanted), profit);
    }

    function test_refusals() public {
        crashTo(1_920);
        IOrderExecutor.OrderExecution memory wanted = executionOf();
        wanted.receiver = address(0);
        vm.expectRevert(IOrderExecutor.ZeroAddress.selector);
        run(wanted);
        wanted = executionOf();
        wanted.deadline -= 1;
        vm.expectRevert(
            abi.encodeWithSelector(ISwapperClient.DeadlinePassed.selector, wanted.deadline, wanted.deadline + 1)
        );
        run(wanted);
        wanted = executionOf();
        address[4] memory others = [STRANGER, address(loanToken), address(guard), address(executor)];
        for (uint256 i; i < others.length; ++i) {
            wanted.swapper = others[i];
            vm.expectRevert(abi.encodeWithSelector(ISwapperClient.SwapperNotListed.selector, others[i]));
            run(wanted);
        }
        wanted = executionOf();
        wanted.account = STRANGER;
        vm.expectRevert(abi.encodeWithSelector(IGuard.NoOrder.selector, STRANGER, id, IGuard.Kind.Protect));
        run(wanted);
        assertEq(executor.guard(), address(guard));
        assertTrue(ISwapperClient(address(executor)).isSwapper(address(swapper)));
        bytes memory code = vm.getCode("OrderExecutor.sol:OrderExecutor");
        bytes memory refusal = abi.encodeWithSelector(ISwapperClient.NoCode.selector, STRANGER);
        expectCreationRefused(abi.encodePacked(code, abi.encode(STRANGER, swappers())), refusal);
    }

    /* ATTACKS */

    function test_attack15_nobodyButTheGuardIsAnswered() public {
        loanToken.mint(address(executor), usd(1_000));
        collateralToken.mint(address(executor), eth(1));
        bytes memory data = abi.encode(loanToken, collateralToken, swapper, routeToLoan());
        address[3] memory callers = [STRANGER, address(guard), address(plimsoll)];
        for (uint256 i; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(ISwapperClient.UnexpectedCallback.selector, callers[i]));
            IGuardExecutor(address(executor)).onGuardExecute(BORROWER, usd(1_000), eth(1), data);
        }
    }

    function testFuzz_A6_strayTokensStopNobody(uint256 stray) public {
        stray = bound(stray, 1, eth(100));
        collateralToken.mint(address(executor), stray);
        loanToken.mint(address(executor), stray);
        collateralToken.mint(address(swapper), stray);
        crashTo(1_920);
        run(executionOf());
        assertNothingLeftIn(address(executor));
    }

    function test_attack08_aHookFindsEverythingClosed() public {
        HookedToken loan = new HookedToken("USD", loanDecimals());
        HookedToken collateral = new HookedToken("ETH", collateralDecimals());
        (loanToken, collateralToken) = (loan, collateral);
        (params.loanToken, params.collateralToken) = (address(loan), address(collateral));
        oracle.set(priceOf(2_000));
        id = plimsoll.createMarket(params);
        pool = newPool(address(collateral), eth(POOL_ETH), address(loan), usd(POOL_USD));
        supply(LENDER, usd(1_000_000));
        protect(0);
        crashTo(1_920);
        OrderIntruder intruder = new OrderIntruder(executor, executionOf());
        loan.setHook(intruder);
        collateral.setHook(intruder);
        run(executionOf());
        // To the executor, to the adapter, to the pool, from the pool, to the guard, to the core, to the receiver.
        assertEq(intruder.attempts(), 7);
    }
}

/// @notice Tries to get into an execution whenever a token moves.
contract OrderIntruder is ITransferHook {
    IOrderExecutor private immutable EXECUTOR;
    bytes private execution;
    uint256 public attempts;

    constructor(IOrderExecutor executor, IOrderExecutor.OrderExecution memory wanted) {
        EXECUTOR = executor;
        execution = abi.encodeCall(IOrderExecutor.execute, (wanted));
    }

    function onTransfer(address, address, uint256) external {
        (bool done, bytes memory answer) = address(EXECUTOR).call(execution);
        require(!done && bytes4(answer) == ISwapperClient.Reentered.selector, "a second execution began");
        (done, answer) = address(EXECUTOR).call(abi.encodeCall(IGuardExecutor.onGuardExecute, (address(0), 0, 1, "")));
        require(!done && bytes4(answer) == ISwapperClient.UnexpectedCallback.selector, "the callback was answered");
        ++attempts;
    }
}
