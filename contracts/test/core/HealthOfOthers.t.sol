// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market} from "plimsoll/types/Market.sol";
import {LiquidationFixture} from "./LiquidationFixture.sol";

/// @title Tests of H1 in both halves: at one time and price no action of another account lowers a position's health or
/// makes a healthy position liquidatable, but for one unit of debt while debt shares are at their lowest price.
contract HealthOfOthersTest is LiquidationFixture {
    function setUp() public override {
        super.setUp();
        supply(LENDER, 1_000_000e6);
        give(loanToken, STRANGER, 1_000_000e6);
        give(loanToken, LENDER, 1_000_000e6);
    }

    /// @dev The exception: the repayment of one share costs a unit, and the lowest price keeps that unit in the total.
    function test_H1_aUnitAtTheLowestSharePrice() public {
        openLoan(BORROWER, 1e18, MIN_DEBT);
        openLoan(STRANGER, 1e18, MIN_DEBT);
        // The lowest price at which the borrower is healthy, to the unit.
        uint256 value = (MIN_DEBT * BPS - 1) / LIQUIDATION_LTV_BPS + 1;
        oracle.set(value * ORACLE_SCALE / 1e18);
        assertTrue(isHealthy(loanOf(BORROWER)));

        vm.startPrank(STRANGER);
        for (uint256 i; i < 100; ++i) {
            plimsoll.repay(params, 0, 1, STRANGER, "");
            assertEq(debtOf(BORROWER), MIN_DEBT + 1, "more than one unit, or none");
        }
        vm.stopPrank();
        assertFalse(isHealthy(loanOf(BORROWER)));
        // With a unit more of value there was nothing to liquidate.
        oracle.set((value + 1) * ORACLE_SCALE / 1e18);
        assertTrue(isHealthy(loanOf(BORROWER)));
    }

    /// @dev With interest, however little, there is no exception.
    function testFuzz_H1_noActionOfOthersRaisesADebt(uint256 secs, uint256[12] memory steps) public {
        openLoan(BORROWER, 10e18, 8_000e6);
        openLoan(STRANGER, 1_000e18, 500_000e6);
        openLoan(OTHER_BORROWER, 10e18, 15_000e6);
        skip(bound(secs, 1 hours, 1_000 days));
        plimsoll.accrue(params);
        // The other borrower is liquidatable or insolvent; this one is healthy to the unit.
        oracle.set(_leastHealthyPrice());
        assertTrue(isHealthy(loanOf(BORROWER)));
        for (uint256 i; i < steps.length; ++i) {
            uint256 debt = debtOf(BORROWER);
            _step(steps[i]);
            assertLe(debtOf(BORROWER), debt, "H1: another's action raised a debt");
            assertTrue(isHealthy(loanOf(BORROWER)), "H1: another's action made a loan liquidatable");
        }
    }

    function _leastHealthyPrice() private view returns (uint256) {
        Loan memory loan = loanOf(BORROWER);
        return _priceOf(loan.collateral, (loan.debt * BPS - 1) / LIQUIDATION_LTV_BPS + 1);
    }

    function _step(uint256 seed) private {
        uint256 amount = 1 + (uint256(uint128(seed >> 16)) >> (uint8(seed >> 8) % 120));
        uint256 action = seed % 6;
        address[] memory borrowers = new address[](1);
        borrowers[0] = OTHER_BORROWER;
        vm.startPrank(action == 5 ? LENDER : STRANGER);
        if (action == 0) try plimsoll.repay(params, 0, 1 + amount % 1e6, STRANGER, "") {} catch {}
        if (action == 1) try plimsoll.repay(params, amount, 0, STRANGER, "") {} catch {}
        if (action == 2) try plimsoll.repay(params, amount, 0, OTHER_BORROWER, "") {} catch {}
        if (action == 3) try plimsoll.borrow(params, 0, amount, STRANGER, STRANGER) {} catch {}
        if (action == 4) try plimsoll.liquidate(params, borrowers, amount % 1e9 + 1, 0, STRANGER, "") {} catch {}
        if (action == 5) try plimsoll.withdraw(params, amount, 0, LENDER, LENDER) {} catch {}
        vm.stopPrank();
    }
}
