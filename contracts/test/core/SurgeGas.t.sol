// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {toRisk} from "plimsoll/types/Risk.sol";
import {CoreTest} from "../support/CoreTest.sol";

/// @title What a surge limit in use costs each verb, beside the same market without one.
contract SurgeGasTest is CoreTest {
    /// @dev The gas of each verb, of calls in the same state and with the same warm slots.
    struct Gas {
        uint256 accrue;
        uint256 supply;
        uint256 borrow;
        uint256 repay;
        uint256 withdraw;
        uint256 withdrawCollateral;
        uint256 liquidate;
    }

    function test_aLimitInUseCostsAFewHundredGas() public {
        // The first market pays for what all share: cold slots of tokens and balances that were 0.
        measure();
        params.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT + 1);
        id = plimsoll.createMarket(params);
        Gas memory without = measure();
        params.risk = params.risk.withSurgeLimit(1_000, 1 days, 10_000);
        id = plimsoll.createMarket(params);
        Gas memory with = measure();
        assertLe(with.accrue - without.accrue, 160, "accrue");
        assertLe(with.supply - without.supply, 160, "supply");
        assertLe(with.borrow - without.borrow, 370, "borrow");
        assertLe(with.repay - without.repay, 410, "repay");
        assertLe(with.withdraw - without.withdraw, 160, "withdraw");
        assertLe(with.withdrawCollateral - without.withdrawCollateral, 160, "withdrawCollateral");
        assertLe(with.liquidate - without.liquidate, 410, "liquidate");
    }

    function measure() internal returns (Gas memory used) {
        vm.prank(OWNER);
        plimsoll.setFee(params, 1_000);
        oracle.set(2_000e24);
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1_000e18, 500_000e6);
        give(loanToken, BORROWER, 1_000_000e6);
        give(loanToken, LENDER, 1_000_000e6);
        give(loanToken, LIQUIDATOR, 10_000_000e6);

        skip(100);
        uint256 start = gasleft();
        plimsoll.accrue(params);
        used.accrue = start - gasleft();

        skip(100);
        vm.prank(LENDER);
        start = gasleft();
        plimsoll.supply(params, 1e6, 0, LENDER, "");
        used.supply = start - gasleft();

        skip(100);
        vm.prank(BORROWER);
        start = gasleft();
        plimsoll.borrow(params, 1e6, 0, BORROWER, BORROWER);
        used.borrow = start - gasleft();

        skip(100);
        vm.prank(BORROWER);
        start = gasleft();
        plimsoll.repay(params, 1e6, 0, BORROWER, "");
        used.repay = start - gasleft();

        skip(100);
        vm.prank(LENDER);
        start = gasleft();
        plimsoll.withdraw(params, 1e6, 0, LENDER, LENDER);
        used.withdraw = start - gasleft();

        skip(100);
        vm.prank(BORROWER);
        start = gasleft();
        plimsoll.withdrawCollateral(params, 1e12, BORROWER, BORROWER);
        used.withdrawCollateral = start - gasleft();

        address[] memory borrowers = new address[](1);
        borrowers[0] = BORROWER;
        skip(100);
        oracle.set(priceAtHealth(BORROWER, 0.98e18));
        vm.prank(LIQUIDATOR);
        start = gasleft();
        plimsoll.liquidate(params, borrowers, type(uint256).max, 0, LIQUIDATOR, "");
        used.liquidate = start - gasleft();
    }
}
