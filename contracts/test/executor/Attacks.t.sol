// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {ILiquidateCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {IMorphoLiquidateCallback, IPreLiquidationCallback} from "plimsoll/executor/interfaces/IProtocols.sol";
import {FeeToken, FalseToken} from "../support/OddTokens.sol";
import {HookedToken, ITransferHook} from "../support/HookedToken.sol";
import {TestToken} from "../support/TestToken.sol";
import {IUniswapV3Pool} from "../support/UniswapV3.sol";
import {ExecutorTest} from "./ExecutorTest.sol";

interface ISwapCallbacks {
    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata data) external;
    function uniswapV2Call(address sender, uint256 amount0, uint256 amount1, bytes calldata data) external;
}

/// @notice Attacks on the executor: callbacks by others, calls from a hostile token, hostile collateral.
contract ExecutorAttacksTest is ExecutorTest {
    /* CALLBACKS */

    /// @dev Outside of a job nobody is answered, whether it is a pool or a protocol that calls.
    function test_E2_nobodyIsAnsweredOutsideOfAJob() public {
        coin.mint(address(executor), eth(1));
        bytes memory payment = abi.encode(_paymentOf(address(coin), eth(1)));
        address[8] memory callers = [
            STRANGER,
            address(pool),
            address(pair),
            address(plimsoll),
            address(morpho),
            address(aave),
            address(preLiquidations),
            address(preLiquidation)
        ];
        for (uint256 i; i < callers.length; ++i) {
            bytes memory refusal = abi.encodeWithSelector(IExecutor.UnexpectedCallback.selector, callers[i]);
            vm.startPrank(callers[i]);
            vm.expectRevert(refusal);
            ISwapCallbacks(address(executor)).uniswapV3SwapCallback(1e18, 0, payment);
            vm.expectRevert(refusal);
            ISwapCallbacks(address(executor)).uniswapV2Call(address(executor), 1e18, 0, payment);
            vm.expectRevert(refusal);
            ILiquidateCallback(address(executor)).onPlimsollLiquidate(1, 1, "");
            vm.expectRevert(refusal);
            IMorphoLiquidateCallback(address(executor)).onMorphoLiquidate(1, "");
            vm.expectRevert(refusal);
            IPreLiquidationCallback(address(executor)).onPreLiquidate(1, "");
            vm.stopPrank();
        }
        assertEq(coin.balanceOf(address(executor)), eth(1));
    }

    /// @dev Anybody can make a pool and a protocol call anybody: neither a swap to the executor nor a flash loan for it
    /// is answered.
    function test_E2_swapsAndFlashLoansOfOthersAreNotAnswered() public {
        coin.mint(address(executor), eth(1));
        loanToken.mint(address(executor), usd(1));
        vm.startPrank(STRANGER);
        vm.expectRevert();
        pair.swap(1, 1, address(executor), abi.encode(_paymentOf(address(coin), eth(1))));
        vm.expectRevert();
        plimsoll.flashLoan(address(executor), address(loanToken), usd(1), "");
        vm.expectRevert();
        aave.flashLoanSimple(address(executor), address(loanToken), usd(1), "", 0);
        vm.stopPrank();
        assertEq(coin.balanceOf(address(executor)), eth(1));
    }

    function test_itemsRunInCallsOfTheExecutorOnly() public {
        openOn(PLIMSOLL, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(PLIMSOLL, BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.OnlySelf.selector, STRANGER));
        vm.prank(STRANGER);
        executor.runItem(item, address(loanToken), STRANGER);
    }

    /// @dev A pool that the factory has not created is neither swapped with nor answered, although it has the same
    /// code.
    function test_E2_aPoolOfAnotherFactoryIsNeverUsed() public {
        openOn(PLIMSOLL, BORROWER);
        crashTo(1_800);
        IExecutor.Target[] memory targets = new IExecutor.Target[](1);
        targets[0] = executor.targetAt(PLIMSOLL);
        IExecutor.Venue[] memory list = venues();
        // The true factory with another hash, and another contract with the true hash.
        list[V2].poolInitCodeHash = keccak256("another");
        list[V3].deployer = address(this);
        executor = IExecutor(deployCode("Executor.sol:Executor", abi.encode(coin, targets, list)));
        IExecutor.Item memory item = itemOf(PLIMSOLL, BORROWER);
        for (uint8 venue = V2; venue <= V3; ++venue) {
            uint24 key = venue == V2 ? PAIR_FEE : FEE;
            item.route = hop(venue, key, address(loanToken));
            address missing = executor.poolOf(venue, address(coin), address(loanToken), key);
            assertTrue(missing != address(pool) && missing != address(pair));
            vm.expectRevert(abi.encodeWithSelector(IExecutor.NoPool.selector, missing));
            run(jobOf(item));
        }
    }

    /// @dev A pool that calls back twice for one swap is answered once. The pool stands at the address of the real
    /// one, so its authentication is all that the second callback lacks.
    function test_E2_aSecondCallbackIsRefused() public {
        openOn(MORPHO, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(MORPHO, BORROWER);
        vm.etch(address(pool), address(new GreedyPool(2)).code);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.UnexpectedCallback.selector, address(pool)));
        run(jobOf(item));
        // Nor is one that does not call back taken for paid.
        vm.etch(address(pool), address(new GreedyPool(0)).code);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NoCallback.selector, address(pool)));
        run(jobOf(item));
    }

    /// @dev A protocol that calls back twice, or not at all. It stands at the address of the real one.
    function test_E2_aProtocolIsAnsweredOnce() public {
        bytes32 market = morphoMarketId();
        address[4] memory protocols = [address(plimsoll), address(morpho), address(0), address(preLiquidation)];
        for (uint8 target = PLIMSOLL; target <= PRE; ++target) {
            if (target == AAVE) continue;
            address protocol = protocols[target];
            openOn(target, BORROWER);
            IExecutor.Item memory item = itemOf(target, BORROWER);
            // The stand-in for Morpho Blue knows of no debt.
            if (target == MORPHO) item.data = abi.encode(IExecutor.MorphoLoan(morphoMarket, BORROWER, 0, 1, 0));
            uint256 snapshot = vm.snapshotState();
            vm.etch(protocol, address(new GreedyProtocol(2, address(morpho), market)).code);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.UnexpectedCallback.selector, protocol));
            run(jobOf(item));
            vm.etch(protocol, address(new GreedyProtocol(0, address(morpho), market)).code);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.NoCallback.selector, protocol));
            run(jobOf(item));
            vm.revertToState(snapshot);
        }
    }

    function test_coinsAreTakenFromTheWrappedCoinOnly() public {
        vm.deal(STRANGER, 1 ether);
        vm.prank(STRANGER);
        (bool done, bytes memory answer) = address(executor).call{value: 1}("");
        assertFalse(done);
        assertEq(answer, abi.encodeWithSelector(IExecutor.UnexpectedCoins.selector, STRANGER));
    }

    /// @dev A market may send the coins for which its receipts are redeemed, in parts, too. Meanwhile every entry is closed, and
    /// nobody else's coins are taken.
    function test_E3_aMarketThatSendsCoinsFindsEverythingElseClosed(uint8 parts) public {
        parts = uint8(bound(parts, 1, 4));
        HostileCoinMarket market = new HostileCoinMarket(loanToken, parts);
        vm.deal(address(market), eth(5));
        IExecutor.Target[] memory targets = new IExecutor.Target[](1);
        targets[0] = IExecutor.Target(IExecutor.TargetKind.CompoundV2, address(market));
        executor = IExecutor(deployCode("Executor.sol:Executor", abi.encode(coin, targets, venues())));
        IExecutor.Item memory item;
        (item.debt, item.collateral, item.maxRepay) = (address(loanToken), address(coin), uint128(usd(1_000)));
        item.route = hop(V3, FEE, address(loanToken));
        item.data =
            abi.encode(IExecutor.CompoundLoan(address(market), address(market), BORROWER, 0, false, false, true));
        IExecutor.Job memory job = jobOf(item);
        job.profitToken = address(coin);
        Intruder intruder = new Intruder(executor, job);
        vm.deal(address(intruder), 1);
        market.setIntruder(intruder);
        IExecutor.Outcome memory outcome = run(job);
        assertEq(outcome.results[0].seized, eth(5));
        assertEq(intruder.attempts(), 1);
        assertNothingLeft();
    }

    /* HOSTILE TOKENS */

    /// @dev Hooks of the collateral find every entry closed, and trying changes nothing.
    function test_E3_aHookFindsEverythingClosed(uint8 target, bool exactOut) public {
        target = uint8(bound(target, 0, 2));
        HookedToken hooked = new HookedToken("HOOK", 18);
        IExecutor.Item memory item;
        if (target == PLIMSOLL) {
            _marketOf(TestToken(address(hooked)));
            item = _hostileItem(TestToken(address(hooked)));
        } else {
            item = _hookedOnMorpho(hooked, target == MORPHO ? MORPHO : PRE);
        }
        item.exactOut = exactOut;
        uint256 snapshot = vm.snapshotState();
        IExecutor.Outcome memory undisturbed = run(jobOf(item));
        vm.revertToState(snapshot);

        Intruder intruder = new Intruder(executor, jobOf(item));
        hooked.setHook(intruder);
        IExecutor.Outcome memory outcome = run(jobOf(item));
        assertEq(keccak256(abi.encode(outcome)), keccak256(abi.encode(undisturbed)));
        assertGe(intruder.attempts(), 2);
        assertEq(hooked.balanceOf(address(executor)), 0);
        assertNothingLeft();
    }

    /// @dev The pool gets less than it is owed, and refuses.
    function test_E4_aFeeOnTransferFailsItsItemOnly() public {
        _failsAlone(TestToken(address(new FeeToken())), "");
    }

    function test_E4_aTokenThatAnswersFalseFailsItsItemOnly() public {
        FalseToken token = new FalseToken();
        _failsAlone(
            TestToken(address(token)), abi.encodeWithSignature("transfer(address,uint256)", address(0), uint256(0))
        );
    }

    function test_E4_aTokenThatBurnsGasFailsItsItemOnly() public {
        GrimToken token = new GrimToken();
        _failsAlone(TestToken(address(token)), abi.encodeCall(GrimToken.setMode, (GrimToken.Mode.BurnGas)));
    }

    function test_E4_aReturnBombFailsItsItemOnly() public {
        GrimToken token = new GrimToken();
        _failsAlone(TestToken(address(token)), abi.encodeCall(GrimToken.setMode, (GrimToken.Mode.Bomb)));
    }

    /// @dev Whatever a token says of balances, it is believed about itself only.
    function test_E4_aLyingBalanceHarmsItsItemOnly() public {
        GrimToken token = new GrimToken();
        _failsAlone(TestToken(address(token)), abi.encodeCall(GrimToken.setMode, (GrimToken.Mode.Lie)));
    }

    /* HELPERS */

    struct Payment {
        address start;
        bytes route;
        uint256 hops;
        uint256 owed;
        bytes purchase;
    }

    function _paymentOf(address token, uint256 owed) private pure returns (Payment memory) {
        return Payment(token, "", 0, owed, "");
    }

    /// @dev A market of the core with this collateral, one loan under the line, and a real pool.
    function _marketOf(TestToken token) private {
        params.collateralToken = address(token);
        id = plimsoll.createMarket(params);
        collateralToken = token;
        newPool(address(token), eth(5_000), address(loanToken), usd(10_000_000));
        supply(LENDER, usd(1_000_000));
        openLoan(STRANGER, eth(5), usd(8_000));
        oracle.set(priceOf(1_800));
    }

    /// @dev A market of Morpho Blue with this collateral, one loan under the line, and a real pool.
    function _hookedOnMorpho(HookedToken hooked, uint8 target) private returns (IExecutor.Item memory item) {
        morphoMarket = newMorphoMarket(address(loanToken), address(hooked), oracle, morphoMarket.irm);
        preLiquidation = newPreLiquidation(preLiquidations, 0.8e18, morphoMarket.oracle);
        newPool(address(hooked), eth(5_000), address(loanToken), usd(10_000_000));
        loanToken.mint(LENDER, usd(1_000_000));
        vm.prank(LENDER);
        morpho.supply(morphoMarket, usd(1_000_000), 0, LENDER, "");
        hooked.mint(STRANGER, eth(5));
        vm.startPrank(STRANGER);
        hooked.approve(address(morpho), eth(5));
        morpho.supplyCollateral(morphoMarket, eth(5), STRANGER, "");
        morpho.borrow(morphoMarket, usd(8_000), 0, STRANGER, STRANGER);
        morpho.setAuthorization(address(preLiquidation), true);
        vm.stopPrank();
        oracle.set(priceOf(target == MORPHO ? 1_800 : 1_900));
        item = itemOf(target, STRANGER);
        item.collateral = address(hooked);
    }

    function _hostileItem(TestToken token) private view returns (IExecutor.Item memory item) {
        item = itemOf(PLIMSOLL, STRANGER);
        item.collateral = address(token);
    }

    /// @dev An isolated item with this collateral fails, and the job goes on as if it were not there.
    function _failsAlone(TestToken token, bytes memory provocation) private {
        openOn(MORPHO, BORROWER);
        _marketOf(token);
        crashTo(1_800);
        if (provocation.length != 0 && bytes4(provocation) == GrimToken.setMode.selector) {
            (bool set,) = address(token).call(provocation);
            assertTrue(set);
        } else if (provocation.length != 0) {
            // Answers false from now on.
            vm.mockCall(address(token), abi.encodePacked(bytes4(provocation)), abi.encode(false));
        }
        IExecutor.Item[] memory items = new IExecutor.Item[](2);
        (items[0], items[1]) = (_hostileItem(token), itemOf(MORPHO, BORROWER));
        (items[0].gasCap, items[1].gasCap) = (1_000_000, 1_000_000);
        uint256 snapshot = vm.snapshotState();
        uint256 alone = run(jobOf(items[1])).profit;
        vm.revertToState(snapshot);

        IExecutor.Outcome memory outcome = run(jobOf(items, address(loanToken)));
        assertEq(outcome.done, 2, "the hostile item was done");
        assertEq(outcome.profit, alone);
        assertGt(plimsoll.position(id, STRANGER).borrowShares, 0);
        assertNothingLeft();
    }
}

/// @notice Tries to get into a job whenever it is called, and wants to be refused by name.
contract Intruder is ITransferHook {
    IExecutor private immutable EXECUTOR;
    bytes private job;
    bytes private item;
    uint256 public attempts;

    constructor(IExecutor executor, IExecutor.Job memory job_) {
        EXECUTOR = executor;
        job = abi.encodeCall(IExecutor.execute, (job_));
        item = abi.encodeCall(IExecutor.runItem, (job_.items[0], job_.profitToken, address(this)));
    }

    function onTransfer(address, address, uint256) external {
        _expect(job, IExecutor.Reentered.selector);
        _expect(item, IExecutor.OnlySelf.selector);
        bytes4 refusal = IExecutor.UnexpectedCallback.selector;
        _expect(abi.encodeCall(ILiquidateCallback.onPlimsollLiquidate, (0, 1, "")), refusal);
        _expect(abi.encodeCall(IMorphoLiquidateCallback.onMorphoLiquidate, (1, "")), refusal);
        _expect(abi.encodeCall(IPreLiquidationCallback.onPreLiquidate, (1, "")), refusal);
        _expect(abi.encodeCall(ISwapCallbacks.uniswapV3SwapCallback, (1, 1, "")), refusal);
        _expect(abi.encodeCall(ISwapCallbacks.uniswapV2Call, (address(this), 1, 1, "")), refusal);
        // With coins, if there are any.
        if (address(this).balance != 0) _expect("", IExecutor.UnexpectedCoins.selector);
        ++attempts;
    }

    function _expect(bytes memory data, bytes4 refusal) private {
        (bool done, bytes memory answer) = address(EXECUTOR).call{value: data.length == 0 ? 1 : 0}(data);
        require(!done && bytes4(answer) == refusal, "an entry was open");
    }
}

/// @notice A comptroller and its only market, whose receipts are redeemed for coins.
contract HostileCoinMarket {
    TestToken private immutable DEBT;
    uint256 private immutable PARTS;
    Intruder private _intruder;

    constructor(TestToken debt, uint256 parts) {
        (DEBT, PARTS) = (debt, parts);
    }

    function setIntruder(Intruder intruder) external {
        _intruder = intruder;
    }

    function markets(address) external pure returns (bool) {
        return true;
    }

    function balanceOf(address) external pure returns (uint256) {
        return 1;
    }

    function liquidateBorrow(address, uint256 repay, address) external returns (uint256) {
        DEBT.transferFrom(msg.sender, address(this), repay);
        return 0;
    }

    function redeem(uint256) external returns (uint256) {
        _intruder.onTransfer(address(this), msg.sender, 0);
        for (uint256 i = PARTS; i > 0; --i) {
            // As much gas as markets give.
            payable(msg.sender).transfer(address(this).balance / i);
        }
        return 0;
    }
}

/// @notice Stands in for a pool of Uniswap V3 and calls back any number of times.
contract GreedyPool {
    uint256 private immutable CALLBACKS;

    constructor(uint256 callbacks) {
        CALLBACKS = callbacks;
    }

    function swap(address, bool zeroForOne, int256 amount, uint160, bytes calldata data)
        external
        returns (int256, int256)
    {
        (int256 delta0, int256 delta1) = zeroForOne ? (amount, int256(-1)) : (int256(-1), amount);
        for (uint256 i; i < CALLBACKS; ++i) {
            ISwapCallbacks(msg.sender).uniswapV3SwapCallback(delta0, delta1, data);
        }
        return (delta0, delta1);
    }
}

/// @notice Stands in for a protocol and calls back any number of times.
contract GreedyProtocol {
    uint256 private immutable CALLBACKS;
    address public immutable MORPHO;
    bytes32 public immutable ID;

    constructor(uint256 callbacks, address morpho, bytes32 market) {
        CALLBACKS = callbacks;
        MORPHO = morpho;
        ID = market;
    }

    function position(bytes32, address) external pure returns (uint256, uint256, uint256) {
        return (0, 0, 0);
    }

    fallback() external {
        for (uint256 i; i < CALLBACKS; ++i) {
            ILiquidateCallback(msg.sender).onPlimsollLiquidate(0, 0, "");
        }
        assembly ("memory-safe") {
            return(0x00, 0x40)
        }
    }
}

/// @notice A token that turns hostile.
contract GrimToken is TestToken {
    enum Mode {
        None,
        BurnGas,
        Bomb,
        Lie
    }

    Mode private _mode;

    constructor() TestToken("GRIM", 18) {}

    function setMode(Mode mode) external {
        _mode = mode;
    }

    function balanceOf(address account) public view override returns (uint256) {
        if (_mode == Mode.Lie) return type(uint256).max;
        return super.balanceOf(account);
    }

    function _beforeTokenTransfer(address, address, uint256) internal view override {
        if (_mode == Mode.BurnGas) {
            while (true) {}
        }
        if (_mode == Mode.Bomb) {
            assembly ("memory-safe") {
                revert(0x00, 200000)
            }
        }
    }
}
