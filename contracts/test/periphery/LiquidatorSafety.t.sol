// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ILiquidator} from "plimsoll/interfaces/ILiquidator.sol";
import {ILiquidateCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {ISwapper} from "plimsoll/interfaces/ISwapper.sol";
import {ISwapperClient} from "plimsoll/interfaces/ISwapperClient.sol";
import {HookedToken, ITransferHook} from "../support/HookedToken.sol";
import {FeeToken, SilentToken} from "../support/OddTokens.sol";
import {TestToken} from "../support/TestToken.sol";
import {LiquidatorTest} from "./LiquidatorTest.sol";

/// @notice Tests of attack 15 and of unusual tokens: spending the liquidator's tokens, and calls during a liquidation.
contract LiquidatorSafetyTest is LiquidatorTest {
    /* ATTACK 15 */

    function test_onlyListedAdaptersAreCalled() public {
        address[] memory borrowers = openLoans(1);
        crashTo(1_800);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        address[4] memory others = [STRANGER, address(loanToken), address(plimsoll), address(liquidator)];
        for (uint256 i; i < others.length; ++i) {
            assertFalse(ISwapperClient(address(liquidator)).isSwapper(others[i]));
            wanted.swapper = others[i];
            vm.expectRevert(abi.encodeWithSelector(ISwapperClient.SwapperNotListed.selector, others[i]));
            run(wanted);
        }
        assertTrue(ISwapperClient(address(liquidator)).isSwapper(address(swapper)));
        assertEq(liquidator.plimsoll(), address(plimsoll));
    }

    function test_nobodyButTheCoreIsAnswered() public {
        collateralToken.mint(address(swapper), eth(1));
        bytes memory data =
            abi.encode(address(loanToken), address(collateralToken), address(swapper), false, routeToLoan());
        // Nor the core outside of a liquidation.
        address[2] memory callers = [STRANGER, address(plimsoll)];
        for (uint256 i; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(ISwapperClient.UnexpectedCallback.selector, callers[i]));
            ILiquidateCallback(address(liquidator)).onPlimsollLiquidate(0, eth(1), data);
        }
    }

    /// @dev Anyone can make the core lend to any account; only a receiver with the callback accepts a loan.
    function test_flashLoansAreNotAnswered() public {
        vm.prank(STRANGER);
        vm.expectRevert(bytes(""));
        plimsoll.flashLoan(address(liquidator), address(loanToken), usd(1), "");
        assertNothingLeftIn(address(liquidator));
    }

    /// @dev Tokens sent to liquidator and adapter by mistake block no call and do not remain there.
    function test_strayTokensStopNobody(uint256 stray) public {
        stray = bound(stray, 1, eth(100));
        address[] memory borrowers = openLoans(2);
        crashTo(1_800);
        for (uint256 way; way < 2; ++way) {
            collateralToken.mint(address(swapper), stray);
            collateralToken.mint(address(liquidator), stray);
            loanToken.mint(address(liquidator), stray);
            ILiquidator.Liquidation memory wanted = liquidationOf(listOf(borrowers[way]));
            wanted.profitInCollateral = way == 1;
            run(wanted);
            assertNothingLeftIn(address(liquidator));
            if (way == 1) assertNothingLeftIn(address(swapper));
        }
    }

    function test_anAddressWithoutCodeIsRefusedAtConstruction() public {
        address[] memory list = swappers();
        bytes memory code = vm.getCode("Liquidator.sol:Liquidator");
        bytes memory refusal = abi.encodeWithSelector(ISwapperClient.NoCode.selector, STRANGER);
        expectCreationRefused(abi.encodePacked(code, abi.encode(STRANGER, list)), refusal);
        list[0] = STRANGER;
        expectCreationRefused(abi.encodePacked(code, abi.encode(plimsoll, list)), refusal);
    }

    /* ODD TOKENS */

    /// @dev Both tokens answer nothing, as some old ones do.
    function test_tokensThatReturnNothing() public {
        (SilentToken loan, SilentToken collateral) = (new SilentToken(), new SilentToken());
        _marketOf(TestToken(address(loan)), TestToken(address(collateral)));
        for (uint256 way; way < 2; ++way) {
            ILiquidator.Liquidation memory wanted = liquidationOf(listOf(BORROWER));
            wanted.profitInCollateral = way == 1;
            wanted.maxRepay = usd(500);
            ILiquidator.Outcome memory outcome = run(wanted);
            assertEq((way == 1 ? collateral : loan).balanceOf(TREASURY), outcome.profit);
            assertGt(outcome.profit, 0);
            assertNothingLeftIn(address(liquidator));
        }
    }

    /// @dev Such tokens are not supported by the core; here they are refused by name.
    function test_aFeeOnTransferIsRefused() public {
        _marketOf(new TestToken("USD", loanDecimals()), TestToken(address(new FeeToken())));
        ILiquidator.Liquidation memory wanted = liquidationOf(listOf(BORROWER));
        vm.expectPartialRevert(ISwapper.NotPushed.selector);
        run(wanted);
    }

    function test_aTokenThatRefusesApprovalsIsToldByName() public {
        ILiquidator.Liquidation memory wanted = liquidationOf(openLoans(1));
        crashTo(1_800);
        vm.mockCall(address(loanToken), abi.encodeWithSelector(IERC20.approve.selector), abi.encode(false));
        vm.expectRevert(ISwapperClient.ApproveFailed.selector);
        run(wanted);
    }

    /// @dev Attack 8: a token's hook during a liquidation can neither start another nor call the callback, and trying
    /// changes nothing.
    function test_aHookFindsEverythingClosed() public {
        (HookedToken loan, HookedToken collateral) = _hookedMarket();
        ILiquidator.Liquidation memory wanted = liquidationOf(listOf(BORROWER));
        uint256 snapshot = vm.snapshotState();
        ILiquidator.Outcome memory undisturbed = run(wanted);
        vm.revertToState(snapshot);

        Intruder intruder = new Intruder(liquidator, wanted);
        loan.setHook(intruder);
        collateral.setHook(intruder);
        ILiquidator.Outcome memory outcome = run(wanted);
        assertEq(keccak256(abi.encode(outcome)), keccak256(abi.encode(undisturbed)));
        // To the adapter, to the pool, from the pool, to the core, to the receiver.
        assertEq(intruder.attempts(), 5);
        assertEq(loan.balanceOf(TREASURY), outcome.profit);
    }

    /// @dev A token whose transfers let others take what is in the adapter spoils its own market's liquidations; the
    /// loss is nobody's.
    function test_aTokenThatRobsTheAdapterOnlyMakesTheLiquidationFail() public {
        (, HookedToken collateral) = _hookedMarket();
        collateral.setHook(new Robber(swapper, routeToLoan()));
        ILiquidator.Liquidation memory wanted = liquidationOf(listOf(BORROWER));
        vm.expectPartialRevert(ISwapper.NotPushed.selector);
        run(wanted);
    }

    /* HELPERS */

    /// @dev Tokens that call somebody on every transfer.
    function _hookedMarket() private returns (HookedToken loan, HookedToken collateral) {
        (loan, collateral) = (new HookedToken("USD", loanDecimals()), new HookedToken("ETH", collateralDecimals()));
        _marketOf(loan, collateral);
    }

    /// @dev The market with other tokens, and one loan under the line.
    function _marketOf(TestToken loan, TestToken collateral) private {
        (loanToken, collateralToken) = (loan, collateral);
        (params.loanToken, params.collateralToken) = (address(loan), address(collateral));
        id = plimsoll.createMarket(params);
        oracle.set(priceOf(2_000));
        pool = newPool(address(collateral), eth(POOL_ETH), address(loan), usd(POOL_USD));
        supply(LENDER, usd(1_000_000));
        openLoan(BORROWER, eth(5), usd(8_000));
        crashTo(1_800);
    }
}

/// @notice Tries to get into a liquidation whenever it is called, and wants to be refused by name.
contract Intruder is ITransferHook {
    ILiquidator private immutable LIQUIDATOR;
    bytes private liquidation;
    uint256 public attempts;

    constructor(ILiquidator liquidator, ILiquidator.Liquidation memory liquidation_) {
        LIQUIDATOR = liquidator;
        liquidation = abi.encodeCall(ILiquidator.liquidate, (liquidation_));
    }

    function onTransfer(address, address, uint256) external {
        (bool done, bytes memory answer) = address(LIQUIDATOR).call(liquidation);
        require(!done && bytes4(answer) == ISwapperClient.Reentered.selector, "a second liquidation began");
        (done, answer) = address(LIQUIDATOR).call(abi.encodeCall(ILiquidateCallback.onPlimsollLiquidate, (0, 1, "")));
        require(!done && bytes4(answer) == ISwapperClient.UnexpectedCallback.selector, "the callback was answered");
        ++attempts;
    }
}

/// @notice Swaps for itself what was just pushed to the adapter.
contract Robber is ITransferHook {
    ISwapper private immutable SWAPPER;
    bytes private route;
    bool private done;

    constructor(ISwapper swapper, bytes memory route_) {
        (SWAPPER, route) = (swapper, route_);
    }

    function onTransfer(address, address to, uint256 amount) external {
        if (done || to != address(SWAPPER)) return;
        done = true;
        address tokenOut;
        bytes memory path = route;
        assembly {
            tokenOut := shr(96, mload(add(add(path, 0x20), sub(mload(path), 20))))
        }
        SWAPPER.swapExactIn(msg.sender, tokenOut, amount, 0, address(this), path);
    }
}
