// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {CoreTest} from "../support/CoreTest.sol";

/// @notice Attacks 4, 6 and 7 as far as they are the core's: prices that are nothing, gifts that look like prices. What
/// the oracle itself refuses is tried in `test/oracles`.
contract PricesAttackTest is CoreTest {
    /// @dev A division elsewhere made the price of a loan 0, and any collateral carried it.
    function test_attack04_aPriceOfZeroIsRefusedAndNeverPasses() public {
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1e18, 1_000e6);
        oracle.set(0);
        address[] memory borrowers = new address[](1);
        borrowers[0] = BORROWER;
        bytes memory zero = abi.encodeWithSelector(IPlimsoll.OraclePriceZero.selector, address(oracle));

        vm.prank(BORROWER);
        vm.expectRevert(zero);
        plimsoll.borrow(params, 1, 0, BORROWER, BORROWER);
        vm.prank(BORROWER);
        vm.expectRevert(zero);
        plimsoll.withdrawCollateral(params, 1, BORROWER, BORROWER);
        vm.expectRevert(zero);
        plimsoll.liquidate(params, borrowers, type(uint256).max, 0, STRANGER, "");
    }

    /// @dev The price is not 0, but what it says of the collateral is: it carries nothing.
    function testFuzz_attack04_collateralWhoseValueRoundsToZeroBacksNoDebt(uint256 price) public {
        supply(LENDER, 1_000_000e6);
        supplyCollateral(BORROWER, 1e18);
        oracle.set(bound(price, 1, ORACLE_SCALE / 1e18 - 1));
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, MIN_DEBT, 0));
        plimsoll.borrow(params, MIN_DEBT, 0, BORROWER, BORROWER);
    }

    /// @dev A feed wired with 1e12 too much lent everything for dust; the most that such a market can lose is what was
    /// supplied to it, and a market cannot be created without anything to price by.
    function test_attack07_amountsAtTheWrongScaleReachNoFurtherThanTheMarketsOwnLiquidity() public {
        supply(LENDER, 1_000_000e6);
        oracle.set(PRICE * 1e12);
        supplyCollateral(STRANGER, 1e12);
        vm.startPrank(STRANGER);
        plimsoll.borrow(params, 1_000_000e6, 0, STRANGER, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientLiquidity.selector, 1, 0));
        plimsoll.borrow(params, 1, 0, STRANGER, STRANGER);
        vm.stopPrank();
    }

    /// @dev A price that jumps within a block serves borrowing only as far as the conservative one follows.
    function test_attack07_aJumpOfTheLiquidationPriceDoesNotLetAnybodyBorrowMore() public {
        supply(LENDER, 1_000_000e6);
        supplyCollateral(STRANGER, 1e18);
        oracle.setBoth(PRICE * 1_000, PRICE);
        vm.startPrank(STRANGER);
        plimsoll.borrow(params, 1_600e6, 0, STRANGER, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, 1_600e6 + 1, 1_600e6));
        plimsoll.borrow(params, 1, 0, STRANGER, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unhealthy.selector, 1_600e6, 1_600e6 - 1));
        plimsoll.withdrawCollateral(params, 1, STRANGER, STRANGER);
        vm.stopPrank();
    }

    /// @dev A6: neither prices, nor debts, nor what anybody may take out or borrow.
    function testFuzz_attack06_directTransfersMoveNothing(uint128 loanGift, uint128 collateralGift) public {
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1e18, 1_000e6);
        skip(30 days);
        bytes memory was = abi.encode(accrued(), suppliedBy(LENDER), debtOf(BORROWER), plimsoll.position(id, BORROWER));
        loanToken.mint(address(plimsoll), loanGift);
        collateralToken.mint(address(plimsoll), collateralGift);

        bytes memory now_ = abi.encode(accrued(), suppliedBy(LENDER), debtOf(BORROWER), plimsoll.position(id, BORROWER));
        assertEq(now_, was);
        vm.startPrank(BORROWER);
        vm.expectRevert();
        plimsoll.withdrawCollateral(params, 0.5e18, BORROWER, BORROWER);
        vm.stopPrank();
        uint256 liquidity = accrued().supplyAssets - accrued().borrowAssets;
        vm.prank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InsufficientLiquidity.selector, liquidity + 1, liquidity));
        plimsoll.withdraw(params, liquidity + 1, 0, LENDER, LENDER);
    }

    /// @dev A gift elsewhere distorted utilisation beyond 100 %, and the interest on a dust of debt became a fortune. A
    /// market with the gift and one without go the same way.
    function testFuzz_attack06_giftsDoNotMoveTheRate(uint128 gift, uint256 secs) public {
        supply(STRANGER, MIN_DEBT);
        openLoan(STRANGER, 1e18, MIN_DEBT);
        secs = bound(secs, 1, 365 days);
        uint256 snapshot = vm.snapshotState();
        skip(secs);
        plimsoll.accrue(params);
        bytes memory without = abi.encode(plimsoll.market(id));

        vm.revertToState(snapshot);
        loanToken.mint(address(plimsoll), gift);
        skip(secs);
        plimsoll.accrue(params);
        Market memory m = plimsoll.market(id);
        assertEq(abi.encode(m), without);
        assertLe(m.borrowAssets, m.supplyAssets, "utilisation is at most 100 %");
    }
}
