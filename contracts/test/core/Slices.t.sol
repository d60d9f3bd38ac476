// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {TestToken} from "../support/TestToken.sol";
import {LiquidationFixture} from "./LiquidationFixture.sol";

/// @title Tests of an insolvent loan that is liquidated in very many, very small parts (H8).
/// @notice The loan token has 2 decimals, so that a unit is worth more than the gas of a liquidation on a cheap chain.
contract SlicesTest is LiquidationFixture {
    uint256 private constant SLICES = 1_000;

    function newTokens() internal override returns (TestToken loan, TestToken collateral) {
        return (new TestToken("USD2", 2), new TestToken("ETH", 18));
    }

    /// @dev Two borrowers, one of them insolvent: 1.6 % more is owed than is repaid. After a month of interest no share
    /// is worth a whole part of a unit.
    function setUp() public override {
        super.setUp();
        params.risk = toRisk(8_000, 8_600, 100e2);
        id = plimsoll.createMarket(params);
        oracle.set(price(2_000));
        supply(LENDER, 100_000e2);
        openLoan(OTHER_BORROWER, 100e18, 50_000e2);
        openLoan(BORROWER, 10e18, 15_990e2);
        skip(30 days);
        plimsoll.accrue(params);
        oracle.set(price(1_600));
        give(loanToken, LIQUIDATOR, type(uint128).max);
    }

    function test_H8_unitSlicesWriteOffNoMoreThanOneLiquidation() public {
        (uint256 debt, uint256 othersDebt, uint256 supplied) = _state();
        uint256 snapshot = vm.snapshotState();
        _liquidate(1, type(uint256).max);
        (, uint256 othersAtOnce, uint256 suppliedAtOnce) = _state();
        vm.revertToState(snapshot);

        _liquidate(SLICES, 1);
        (uint256 debtLeft, uint256 othersLeft, uint256 suppliedLeft) = _state();
        assertEq(suppliedLeft, supplied, "a unit repaid for a unit of debt loses nothing");
        assertEq(othersLeft, othersDebt, "others' debt fell at the lenders' expense");
        assertEq(debtLeft, debt - SLICES);

        _liquidate(1, type(uint256).max);
        (, othersLeft, suppliedLeft) = _state();
        assertGe(suppliedLeft, suppliedAtOnce, "H8: the lenders lost more by slices");
        assertLe(suppliedLeft - suppliedAtOnce, debt / 1_000, "nor is the loss avoided");
        assertApproxEqAbs(othersLeft, othersAtOnce, 1);
    }

    /// @notice Parts of any size, to the end: what was written off in sum is what one liquidation writes off, but for
    /// roundings of the debt and of the collateral's value. They make the max repay at most 3 units too small for the
    /// debt, which a part writes off as far as it is a part of the whole; one liquidation may round a unit less away.
    function testFuzz_H8_slicesOfAnySize(uint256 seed, uint256 dollars) public {
        oracle.set(price(bound(dollars, 200, 1_605)));
        (,, uint256 supplied) = _state();
        uint256 snapshot = vm.snapshotState();
        _liquidate(1, type(uint256).max);
        uint256 atOnce = supplied - _supplied();
        vm.revertToState(snapshot);

        uint256 partsWad;
        for (uint256 i; i < 40 && loanOf(BORROWER).debt != 0; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            (, uint256 maxRepay,) = maxRepayOf(loanOf(BORROWER));
            uint256 repaid = _liquidate(1, i == 39 ? type(uint256).max : 1 + seed % (i % 2 == 0 ? 100 : maxRepay));
            partsWad += repaid * 1e18 / maxRepay + 1;
        }
        assertEq(loanOf(BORROWER).debt, 0);
        assertLe(supplied - _supplied(), atOnce + 1 + 3 * partsWad / 1e18, "H8: the lenders lost more by slices");
    }

    function _liquidate(uint256 times, uint256 maxRepay) private returns (uint256 repaid) {
        repaid = loanToken.balanceOf(LIQUIDATOR);
        address[] memory borrowers = new address[](1);
        borrowers[0] = BORROWER;
        bytes[] memory calls = new bytes[](times);
        for (uint256 i; i < times; ++i) {
            calls[i] = abi.encodeCall(IPlimsoll.liquidate, (params, borrowers, maxRepay, 0, LIQUIDATOR, ""));
        }
        vm.prank(LIQUIDATOR);
        (bool done, bytes memory why) = address(plimsoll).call(abi.encodeCall(IPlimsoll.multicall, (calls)));
        // A part that would leave less than the minimum debt is skipped.
        if (!done) assertTrue(bytes4(why) == IPlimsoll.NothingToLiquidate.selector);
        repaid -= loanToken.balanceOf(LIQUIDATOR);
    }

    function _state() private view returns (uint256 debt, uint256 othersDebt, uint256 supplied) {
        return (debtOf(BORROWER), debtOf(OTHER_BORROWER), _supplied());
    }

    function _supplied() private view returns (uint256) {
        return plimsoll.market(id).supplyAssets;
    }
}
