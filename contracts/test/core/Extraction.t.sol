// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {LiquidationFixture} from "./LiquidationFixture.sol";

/// @title Tests of the most that accounts with healthy positions can extract together, at one price and time (H6).
/// @notice Two accounts act together, in any order, with any amounts: they supply, borrow, repay, move collateral,
/// liquidate each other and outsiders, and collect the reserve. The outsiders are a healthy borrower, a liquidatable
/// one and an insolvent one.
contract ExtractionTest is LiquidationFixture {
    address internal immutable ALICE = makeAddr("alice");
    address internal immutable BOB = makeAddr("bob");
    address internal immutable INSOLVENT = makeAddr("insolvent");

    /// @dev The earnings of both by liquidating outsiders, in units of the loan token × 1e36: no unit is lost or won by
    /// adding up.
    int256 internal earned;

    function testFuzz_H6_nothingButLiquidationIncentives(
        uint256[16] memory steps,
        uint256 price_,
        uint256 spread,
        uint256 secs
    ) public {
        supply(LENDER, 500_000e6);
        vm.prank(OWNER);
        plimsoll.setFee(params, 2_500);
        oracle.set(price(4_000));
        openLoan(OTHER_BORROWER, 10e18, 15_000e6);
        openLoan(BORROWER, 10e18, 18_500e6);
        openLoan(INSOLVENT, 10e18, 25_000e6);
        skip(secs % 200 days);
        supply(ALICE, 50_000e6);
        supplyCollateral(BOB, 50e18);
        give(loanToken, BOB, 50_000e6);
        give(collateralToken, ALICE, 50e18);

        // Around the price at which the second of the three goes under the line.
        uint256 liquidationPrice = bound(price_, price(1_600), price(2_600));
        oracle.setBoth(liquidationPrice, liquidationPrice / 1000 * bound(spread, 900, 1000));
        uint256 before = _worth(ALICE) + _worth(BOB);

        for (uint256 i; i < steps.length; ++i) {
            _step(steps[i]);
        }
        // Worth is counted down and debt up: a unit each for the positions that were there at the start.
        int256 most = int256(before) + (earned > 0 ? earned / int256(ORACLE_SCALE) : int256(0)) + 4;
        assertLe(int256(_worth(ALICE) + _worth(BOB)), most, "H6");
    }

    /// @dev One step of one of the two; whatever is refused changes nothing.
    function _step(uint256 seed) private {
        address who = seed % 2 == 0 ? ALICE : BOB;
        address whom = (seed >> 1) % 2 == 0 ? ALICE : BOB;
        uint256 amount = uint128(seed >> 16) >> (uint8(seed >> 8) % 120);
        uint256 action = (seed >> 144) % 10;
        vm.startPrank(who);
        if (action == 0) {
            try plimsoll.supply(params, amount, 0, whom, "") {} catch {}
        } else if (action == 1) {
            try plimsoll.supply(params, 0, amount, whom, "") {} catch {}
        } else if (action == 2) {
            try plimsoll.withdraw(params, amount, 0, who, whom) {} catch {}
        } else if (action == 3) {
            try plimsoll.withdraw(params, 0, amount, who, whom) {} catch {}
        } else if (action == 4) {
            try plimsoll.supplyCollateral(params, amount, whom, "") {} catch {}
        } else if (action == 5) {
            try plimsoll.withdrawCollateral(params, amount, who, whom) {} catch {}
        } else if (action == 6) {
            try plimsoll.borrow(params, bound(amount, 1, 50_000e6), 0, who, whom) {} catch {}
        } else if (action == 7) {
            try plimsoll.borrow(params, 0, bound(amount, 1, 5e16), who, whom) {} catch {}
        } else if (action == 8) {
            try plimsoll.repay(params, amount, 0, whom, "") {} catch {}
        } else {
            _liquidateAny(seed, amount);
        }
        vm.stopPrank();
    }

    function _liquidateAny(uint256 seed, uint256 amount) private {
        address[5] memory targets = [ALICE, BOB, OTHER_BORROWER, BORROWER, INSOLVENT];
        address[] memory borrowers = new address[](1);
        borrowers[0] = targets[(seed >> 160) % 5];
        Loan memory loan = loanOf(borrowers[0]);
        if (loan.debt == 0) return;
        (LiquidationMath.Zone zone,, uint256 incentiveFactor) = maxRepayOf(loan);
        try plimsoll.liquidate(params, borrowers, amount, 0, ALICE, "") returns (uint256 repaid, uint256 seized) {
            assertTrue(borrowers[0] != ALICE && borrowers[0] != BOB, "a healthy position was liquidated");
            uint256 received = seized * oracle.liquidationPrice() / ORACLE_SCALE;
            if (zone != LiquidationMath.Zone.Ramp) incentiveFactor = incentive().maxIncentiveFactor;
            assertLe(received, repaid * incentiveFactor / WAD + 1, "H6: at most the incentive");
            earned += int256(seized * oracle.liquidationPrice()) - int256(repaid * ORACLE_SCALE);
        } catch {}
    }

    /// @dev All that an account owns, in units of the loan token, less what it owes.
    function _worth(address who) private view returns (uint256) {
        uint256 collateral = collateralToken.balanceOf(who) + plimsoll.position(id, who).collateral;
        return loanToken.balanceOf(who) + suppliedBy(who) + collateral * oracle.liquidationPrice() / ORACLE_SCALE
            - debtOf(who);
    }
}
