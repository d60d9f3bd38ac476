// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGasCharge} from "plimsoll/interfaces/IGasCharge.sol";
import {ILiquidator} from "plimsoll/interfaces/ILiquidator.sol";
import {LiquidatorTest} from "./LiquidatorTest.sol";

/// @notice The charge for gas: what the profit must exceed at the price that the transaction really pays.
contract LiquidatorChargeTest is LiquidatorTest {
    /// @dev One unit of the loan token for one wei.
    uint128 private constant ONE = 2 ** 96;

    /// @dev Gas of the call that is not measured: dispatch, decoding, the guards at the entry, the return.
    uint256 private constant UNMEASURED = 4_000;

    address[] private borrowers;

    function setUp() public override {
        super.setUp();
        borrowers = openLoans(2);
        crashTo(1_800);
    }

    /// @dev Fees besides gas are converted to the unit, rounded up.
    function test_theChargeIsExactToTheUnit(uint256 extraWei, uint256 rate, uint256 minProfit) public {
        vm.txGasPrice(0);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        uint256 profit = _profit(wanted);
        minProfit = bound(minProfit, 0, profit);
        wanted.unitsPerWeiX96 = uint128(bound(rate, 1, type(uint128).max));
        // At most twice what the profit pays for.
        uint256 most = (2 * (profit - minProfit) + 2) * ONE / wanted.unitsPerWeiX96;
        wanted.extraWei = bound(extraWei, 0, most > type(uint128).max ? type(uint128).max : most);
        wanted.minProfit = minProfit;
        uint256 product = wanted.extraWei * wanted.unitsPerWeiX96;
        uint256 required = minProfit + product / ONE + (product % ONE == 0 ? 0 : 1);
        if (profit < required) {
            vm.expectRevert(abi.encodeWithSelector(IGasCharge.ProfitTooLow.selector, profit, required));
            run(wanted);
        } else {
            assertEq(run(wanted).profit, profit);
        }
    }

    /// @dev The same bytes charge more at a higher price: whatever a replacement pays is covered.
    function test_theChargeFollowsThePriceThatIsPaid(uint256 price) public {
        price = bound(price, 1, 1e15);
        ILiquidator.Liquidation memory wanted = _unreachable();
        uint256 gas = _required(wanted, 1);
        assertEq(_required(wanted, price), gas * price);
    }

    function test_everyUnitOfTheOverheadIsCharged(uint256 overhead, uint256 price) public {
        (overhead, price) = (bound(overhead, 0, 1e9), bound(price, 1, 1e15));
        ILiquidator.Liquidation memory wanted = _unreachable();
        uint256 without = _required(wanted, price);
        wanted.gasOverhead = overhead;
        assertEq(_required(wanted, price), without + overhead * price);
    }

    /// @dev Apart from a few thousand units for entry and exit, all gas is measured, refunds not deducted.
    function test_allGasIsMeasured() public {
        ILiquidator.Liquidation memory wanted = _unreachable();
        uint256 charged = _required(wanted, 1);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        assertLe(charged, used);
        assertLe(used, charged + UNMEASURED);
    }

    /// @dev Whatever rivals took and whatever the price: a call that succeeds earns what it costs.
    function test_aSuccessfulCallEarnsWhatItCosts(uint256 price, uint256 rate, uint256 taken, uint256 minProfit)
        public
    {
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        if (taken % 2 == 0) liquidate(borrowers[taken % 4 / 2], type(uint256).max);
        price = bound(price, 0, 1e12);
        wanted.unitsPerWeiX96 = uint128(bound(rate, 0, ONE / 1e9));
        (wanted.minProfit, wanted.gasOverhead) = (bound(minProfit, 0, usd(200)), UNMEASURED);
        vm.txGasPrice(price);
        vm.prank(KEEPER);
        try liquidator.liquidate(wanted) returns (ILiquidator.Outcome memory outcome) {
            uint256 cost = vm.lastCallGas().gasTotalUsed * price * wanted.unitsPerWeiX96;
            assertGe(outcome.profit, wanted.minProfit + cost / ONE);
            assertEq(loanToken.balanceOf(TREASURY), outcome.profit);
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), IGasCharge.ProfitTooLow.selector);
            assertEq(loanToken.balanceOf(TREASURY), 0);
        }
    }

    /// @dev Without a rate nothing is charged: for callers that count their costs themselves.
    function test_aRateOfZeroChargesNothing() public {
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        (wanted.gasOverhead, wanted.extraWei) = (1e6, 1e30);
        vm.txGasPrice(1e12);
        assertGt(run(wanted).profit, 0);
    }

    function test_theLargestCostThatIsConverted() public {
        vm.txGasPrice(0);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        uint256 profit = _profit(wanted);
        (wanted.extraWei, wanted.unitsPerWeiX96) = (type(uint128).max, type(uint128).max);
        uint256 required = (uint256(type(uint128).max) * type(uint128).max + ONE - 1) / ONE;
        vm.expectRevert(abi.encodeWithSelector(IGasCharge.ProfitTooLow.selector, profit, required));
        run(wanted);
        wanted.extraWei += 1;
        vm.expectRevert(abi.encodeWithSelector(IGasCharge.CostTooHigh.selector, wanted.extraWei));
        run(wanted);
    }

    /// @dev Arguments that would overflow are refused, not wrapped to a small charge.
    function test_overflowsAreRefused() public {
        vm.txGasPrice(1);
        ILiquidator.Liquidation memory wanted = liquidationOf(borrowers);
        (wanted.unitsPerWeiX96, wanted.gasOverhead) = (ONE, type(uint256).max);
        vm.expectRevert();
        run(wanted);
        vm.txGasPrice(2);
        wanted.gasOverhead = type(uint256).max / 2;
        vm.expectRevert();
        run(wanted);
        (wanted.gasOverhead, wanted.extraWei) = (0, type(uint256).max);
        vm.expectRevert();
        run(wanted);
        (wanted.extraWei, wanted.minProfit) = (0, type(uint256).max);
        vm.expectRevert();
        run(wanted);
    }

    /// @dev All races lost: refused before anything is sold.
    function test_aLostRaceCostsLittle() public {
        liquidate(borrowers, type(uint256).max);
        ILiquidator.Liquidation memory wanted = liquidationOf(listOf(borrowers[0]));
        vm.prank(KEEPER);
        try liquidator.liquidate(wanted) {
            fail();
        } catch {
            assertLe(vm.lastCallGas().gasTotalUsed, 30_000);
        }
    }

    /* HELPERS */

    /// @dev What a liquidation would earn, without carrying it out.
    function _profit(ILiquidator.Liquidation memory wanted) private returns (uint256 profit) {
        uint256 snapshot = vm.snapshotState();
        profit = run(wanted).profit;
        vm.revertToState(snapshot);
    }

    /// @dev A liquidation whose charge no profit covers, in wei of the loan token.
    function _unreachable() private view returns (ILiquidator.Liquidation memory wanted) {
        wanted = liquidationOf(borrowers);
        (wanted.unitsPerWeiX96, wanted.extraWei) = (ONE, 2 ** 100);
    }

    /// @dev What is charged for gas at this price, as the refusal says.
    function _required(ILiquidator.Liquidation memory wanted, uint256 price) private returns (uint256 required) {
        vm.txGasPrice(price);
        vm.prank(KEEPER);
        try liquidator.liquidate(wanted) {
            fail();
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), IGasCharge.ProfitTooLow.selector);
            assembly ("memory-safe") {
                required := mload(add(reason, 0x44))
            }
            required -= wanted.extraWei;
        }
    }
}
