// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGasCharge} from "plimsoll/interfaces/IGasCharge.sol";
import {ILiquidator} from "plimsoll/interfaces/ILiquidator.sol";
import {ILiquidateCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {ISwapperClient} from "plimsoll/interfaces/ISwapperClient.sol";
import {WrappedCoin} from "../support/WrappedCoin.sol";
import {LiquidatorTest} from "./LiquidatorTest.sol";

/// @notice The builder's share of the profit: what is paid, to whom, and that the guard counts after it.
contract LiquidatorBuilderTest is LiquidatorTest {
    /// @dev One unit of the wrapped coin for one wei.
    uint128 private constant ONE = 2 ** 96;

    /// @dev Gas of the call that is not measured: dispatch, decoding, the guards at the entry, the return.
    uint256 private constant UNMEASURED = 4_000;

    address private immutable BUILDER = makeAddr("builder");

    address[] private borrowers;

    function setUp() public override {
        super.setUp();
        // The collateral wraps the chain's coin.
        vm.etch(address(collateralToken), address(new WrappedCoin("ETH")).code);
        vm.deal(address(collateralToken), 1_000_000 ether);
        borrowers = openLoans(2);
        crashTo(1_800);
        vm.coinbase(BUILDER);
        vm.txGasPrice(0);
    }

    /* WHAT IS PAID */

    /// @dev The share is of what is left after the charge, rounded down; the receiver has the rest.
    function test_theBuilderGetsItsShareOfWhatIsLeftAfterTheCharge(uint256 shareBps, uint256 charged) public {
        shareBps = bound(shareBps, 0, BPS);
        ILiquidator.Liquidation memory wanted = _wanted();
        uint256 profit = _profit(wanted);
        wanted.extraWei = bound(charged, 0, profit);
        (ILiquidator.Outcome memory outcome, uint256 paid) = _run(wanted, shareBps);
        assertEq(paid, (profit - wanted.extraWei) * shareBps / BPS);
        assertEq(outcome.profit, profit - paid);
        assertEq(BUILDER.balance, paid);
        assertEq(collateralToken.balanceOf(TREASURY), outcome.profit);
        _assertNothingLeft();
    }

    function test_bothEventsTellWhatWasPaid() public {
        ILiquidator.Liquidation memory wanted = _wanted();
        uint256 snapshot = vm.snapshotState();
        (ILiquidator.Outcome memory outcome, uint256 paid) = _run(wanted, 3_000);
        vm.revertToState(snapshot);
        vm.expectEmit(address(liquidator));
        emit ILiquidator.BuilderPaid(BUILDER, paid);
        vm.expectEmit(address(liquidator));
        emit ILiquidator.LiquidateWithoutCapital(
            id, KEEPER, TREASURY, address(collateralToken), outcome.repaid, outcome.seized, outcome.profit
        );
        _run(wanted, 3_000);
    }

    /// @dev Without a share nothing is unwrapped: the profit's token need not be the wrapped coin.
    function test_aShareOfZeroIsALiquidationLikeAnyOther(bool inCollateral) public {
        ILiquidator.Liquidation memory wanted = _wanted();
        wanted.profitInCollateral = inCollateral;
        uint256 profit = _profit(wanted);
        vm.expectCall(address(collateralToken), abi.encodeWithSelector(WrappedCoin.withdraw.selector), 0);
        (ILiquidator.Outcome memory outcome, uint256 paid) = _run(wanted, 0);
        assertEq(paid, 0);
        assertEq(outcome.profit, profit);
        assertEq(BUILDER.balance, 0);
        _assertNothingLeft();
    }

    function test_aTokenThatIsNotTheWrappedCoinPaysNobody() public {
        ILiquidator.Liquidation memory wanted = _wanted();
        wanted.profitInCollateral = false;
        vm.expectRevert();
        _run(wanted, 1);
    }

    function test_moreThanTheWholeIsRefused(uint256 shareBps) public {
        shareBps = bound(shareBps, BPS + 1, type(uint256).max);
        ILiquidator.Liquidation memory wanted = _wanted();
        vm.expectRevert(abi.encodeWithSelector(ILiquidator.ShareTooHigh.selector, shareBps));
        _run(wanted, shareBps);
    }

    /* THE GUARD */

    /// @dev Whatever the builder does and whatever the price: a call that succeeds leaves its receiver what it costs.
    function test_whatIsLeftAfterThePaymentCoversTheGas(
        uint256 price,
        uint256 shareBps,
        uint256 minProfit,
        uint256 kind,
        bool taken
    ) public {
        (price, shareBps) = (bound(price, 0, 1e12), bound(shareBps, 0, BPS));
        if (taken) liquidate(borrowers[0], type(uint256).max);
        _setBuilder(kind % 4);
        ILiquidator.Liquidation memory wanted = _wanted();
        (wanted.minProfit, wanted.gasOverhead) = (bound(minProfit, 0, eth(1) / 10), UNMEASURED);
        vm.txGasPrice(price);
        vm.prank(KEEPER);
        try liquidator.liquidateForBuilder(wanted, shareBps) returns (ILiquidator.Outcome memory outcome, uint256) {
            assertGe(outcome.profit, wanted.minProfit + vm.lastCallGas().gasTotalUsed * price);
            assertEq(collateralToken.balanceOf(TREASURY), outcome.profit);
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), IGasCharge.ProfitTooLow.selector);
            assertEq(collateralToken.balanceOf(TREASURY), 0);
        }
        _assertNothingLeft();
    }

    /// @dev Also a builder that gets everything leaves what the payment itself costs, whoever it is.
    function test_thePaymentIsPaidForBeforeTheBuilder() public {
        for (uint256 kind; kind < 4; ++kind) {
            uint256 snapshot = vm.snapshotState();
            _setBuilder(kind);
            ILiquidator.Liquidation memory wanted = _wanted();
            wanted.gasOverhead = UNMEASURED;
            vm.txGasPrice(10 gwei);
            (ILiquidator.Outcome memory outcome, uint256 paid) = _run(wanted, BPS);
            assertGe(outcome.profit, vm.lastCallGas().gasTotalUsed * 10 gwei);
            assertEq(paid != 0, kind < 2, "paid");
            vm.revertToState(snapshot);
        }
    }

    function test_theLeastProfitCountsAfterThePayment() public {
        ILiquidator.Liquidation memory wanted = _wanted();
        uint256 profit = _profit(wanted);
        uint256 left = profit - profit * 4_000 / BPS;
        wanted.minProfit = left;
        uint256 snapshot = vm.snapshotState();
        (ILiquidator.Outcome memory outcome,) = _run(wanted, 4_000);
        assertEq(outcome.profit, left);
        vm.revertToState(snapshot);
        wanted.minProfit = left + 1;
        vm.expectRevert(abi.encodeWithSelector(IGasCharge.ProfitTooLow.selector, left, left + 1));
        _run(wanted, 4_000);
    }

    /* HOSTILE BUILDERS */

    /// @dev What a builder refuses, or takes too much gas to take, is the receiver's.
    function test_aBuilderThatCannotBePaidLeavesTheWholeProfit() public {
        uint256 profit = _profit(_wanted());
        for (uint256 kind = 2; kind < 4; ++kind) {
            uint256 snapshot = vm.snapshotState();
            address builder = _setBuilder(kind);
            (ILiquidator.Outcome memory outcome, uint256 paid) = _run(_wanted(), 5_000);
            assertEq(paid, 0);
            assertEq(outcome.profit, profit);
            assertEq(builder.balance, 0);
            assertEq(collateralToken.balanceOf(TREASURY), profit);
            _assertNothingLeft();
            vm.revertToState(snapshot);
        }
    }

    function test_aBuilderThatBurnsGasBurnsLittle() public {
        uint256[2] memory used;
        for (uint256 i; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            _setBuilder(2 + i);
            _run(_wanted(), 5_000);
            used[i] = vm.lastCallGas().gasTotalUsed;
            vm.revertToState(snapshot);
        }
        // What it gets, with the stipend of a call that sends coins.
        assertLe(used[1], used[0] + 10_000 + 2_300);
    }

    /// @dev While coins are unwrapped, nothing can be started, and no callback is answered.
    function test_nobodyGetsInWhileCoinsAreUnwrapped() public {
        Intruder intruder = new Intruder(liquidator, _wanted());
        vm.etch(address(collateralToken), address(new CallingCoin("ETH", address(intruder))).code);
        (, uint256 paid) = _run(_wanted(), 5_000);
        assertEq(intruder.attempts(), 1);
        assertEq(BUILDER.balance, paid);
        assertGt(paid, 0);
    }

    function test_coinsAreAcceptedDuringACallAlone() public {
        vm.deal(STRANGER, 1 ether);
        vm.prank(STRANGER);
        (bool done, bytes memory reason) = address(liquidator).call{value: 1}("");
        assertFalse(done);
        assertEq(reason, abi.encodeWithSelector(ILiquidator.UnexpectedCoins.selector, STRANGER));
    }

    function test_aLostRacePaysNobody() public {
        for (uint256 i; i < 2; ++i) {
            liquidate(borrowers[i], type(uint256).max);
        }
        vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
        _run(_wanted(), 5_000);
        assertEq(BUILDER.balance, 0);
    }

    /* HELPERS */

    /// @dev All loans, profit in the wrapped coin, gas charged at its price.
    function _wanted() private view returns (ILiquidator.Liquidation memory wanted) {
        wanted = liquidationOf(borrowers);
        (wanted.profitInCollateral, wanted.unitsPerWeiX96) = (true, ONE);
    }

    function _run(ILiquidator.Liquidation memory wanted, uint256 shareBps)
        private
        returns (ILiquidator.Outcome memory, uint256)
    {
        vm.prank(KEEPER);
        return liquidator.liquidateForBuilder(wanted, shareBps);
    }

    /// @dev What a liquidation would earn without a share, without carrying it out.
    function _profit(ILiquidator.Liquidation memory wanted) private returns (uint256 profit) {
        uint256 snapshot = vm.snapshotState();
        profit = run(wanted).profit;
        vm.revertToState(snapshot);
    }

    /// @dev A new account, one with coins, one that refuses them, one that burns all gas.
    function _setBuilder(uint256 kind) private returns (address builder) {
        builder = BUILDER;
        if (kind == 1) vm.deal(builder, 1);
        if (kind == 2) builder = address(new RefusingBuilder());
        if (kind == 3) builder = address(new BurningBuilder());
        vm.coinbase(builder);
    }

    function _assertNothingLeft() private view {
        assertNothingLeftIn(address(liquidator));
        assertEq(address(liquidator).balance, 0, "coins left");
    }
}

/// @notice Refuses coins.
contract RefusingBuilder {}

/// @notice Burns all gas that it gets.
contract BurningBuilder {
    uint256 private count;

    receive() external payable {
        while (true) {
            ++count;
        }
    }
}

/// @notice A wrapped coin that calls somebody before it is unwrapped.
contract CallingCoin is WrappedCoin {
    address private immutable CALLED;

    constructor(string memory name_, address called) WrappedCoin(name_) {
        CALLED = called;
    }

    function withdraw(uint256 amount) public override {
        Intruder(CALLED).intrude();
        super.withdraw(amount);
    }
}

/// @notice Tries to get into a liquidation, and wants to be refused by name.
contract Intruder {
    ILiquidator private immutable LIQUIDATOR;
    bytes private liquidation;
    uint256 public attempts;

    constructor(ILiquidator liquidator, ILiquidator.Liquidation memory liquidation_) {
        LIQUIDATOR = liquidator;
        liquidation = abi.encodeCall(ILiquidator.liquidateForBuilder, (liquidation_, 1));
    }

    function intrude() external {
        (bool done, bytes memory answer) = address(LIQUIDATOR).call(liquidation);
        require(!done && bytes4(answer) == ISwapperClient.Reentered.selector, "a second liquidation began");
        (done, answer) = address(LIQUIDATOR).call(abi.encodeCall(ILiquidateCallback.onPlimsollLiquidate, (0, 1, "")));
        require(!done && bytes4(answer) == ISwapperClient.UnexpectedCallback.selector, "the callback was answered");
        ++attempts;
    }
}
