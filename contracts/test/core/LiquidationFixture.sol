// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {CoreTest} from "../support/CoreTest.sol";

/// @notice Opens loans in any state, and checks everything that must hold after any liquidation of one loan.
abstract contract LiquidationFixture is CoreTest {
    address internal immutable OTHER_BORROWER = makeAddr("other borrower");

    /// @dev A loan as the contract sees it now, interest included.
    struct Loan {
        uint256 debt;
        uint256 value;
        uint256 borrowShares;
        uint256 collateral;
    }

    /// @dev The values of the `Liquidate` event.
    struct LiquidationResult {
        uint256 repaid;
        uint256 shares;
        uint256 seized;
        uint256 badDebt;
    }

    function loanOf(address who) internal view returns (Loan memory loan) {
        Position memory p = plimsoll.position(id, who);
        loan.borrowShares = p.borrowShares;
        loan.collateral = p.collateral;
        loan.debt = debtOf(who);
        loan.value = LiquidationMath.valueDown(p.collateral, oracle.liquidationPrice());
    }

    function incentive() internal view returns (LiquidationMath.LiquidationIncentive memory) {
        return LiquidationMath.incentiveOf(params.risk.liquidationLtvBps());
    }

    function maxRepayOf(Loan memory loan)
        internal
        view
        returns (LiquidationMath.Zone zone, uint256 maxRepay, uint256 incentiveFactor)
    {
        return LiquidationMath.maxRepayOf(incentive(), loan.debt, loan.value, params.risk.minDebt());
    }

    function zoneOf(address borrower) internal view returns (LiquidationMath.Zone zone) {
        (zone,,) = maxRepayOf(loanOf(borrower));
    }

    function isHealthy(Loan memory loan) internal view returns (bool) {
        return loan.debt * BPS <= loan.value * params.risk.liquidationLtvBps();
    }

    /// @notice A whole price of collateral in loan tokens, with both tokens' decimals folded in.
    function price(uint256 loanPerCollateral) internal view returns (uint256) {
        return loanPerCollateral * 10 ** loanToken.decimals() * ORACLE_SCALE / 10 ** collateralToken.decimals();
    }

    /* LOANS IN ANY STATE */

    /// @notice Moves to a market of the same tokens with other limits.
    function useMarket(uint256 liquidationLtvBps, uint256 minDebt) internal {
        uint256 borrowLtvBps = liquidationLtvBps * 9_950 / BPS;
        params.risk = toRisk(uint16(borrowLtvBps), uint16(liquidationLtvBps), uint128(minDebt));
        id = plimsoll.createMarket(params);
    }

    /// @notice A loan of any size in a market of any limits in which other loans have accrued interest for a while.
    function openAnyLoan(uint256 ltvBps, uint256 debt, uint256 collateral, uint256 secs) internal {
        useMarket(bound(ltvBps, 100, 9_800), 10_000);
        debt = bound(debt >> bound(debt, 0, 70), 10_000, 1e28);
        collateral = bound(collateral >> bound(collateral, 0, 70), 1, 1e28);
        uint256 valueAtOpening = 2 * debt * BPS / params.risk.liquidationLtvBps();
        oracle.set(_priceOf(collateral, valueAtOpening));

        supply(LENDER, debt * 2);
        openLoan(OTHER_BORROWER, collateral, debt);
        skip(secs % 1000 days);
        openLoan(BORROWER, collateral, debt);
        skip(secs % 100 days);
    }

    /// @notice Sets the price so that the loan is in this zone, anywhere in it.
    function moveTo(address who, LiquidationMath.Zone zone, uint256 seed) internal {
        Loan memory loan = loanOf(who);
        LiquidationMath.LiquidationIncentive memory t = incentive();
        uint256 breakevenTop = t.maxIncentiveFactor * loan.debt / WAD;
        uint256 breakevenBottom = (t.minIncentiveFactor * loan.debt - 1) / WAD + 1;
        uint256 value;
        if (zone == LiquidationMath.Zone.Ramp) value = bound(seed, breakevenTop + 1, (loan.debt * BPS - 1) / t.ltvBps);
        else if (zone == LiquidationMath.Zone.Breakeven) value = bound(seed, breakevenBottom, breakevenTop);
        else value = bound(seed, 0, breakevenBottom - 1);
        oracle.set(_priceOf(loan.collateral, value));
        assertEq(loanOf(who).value, value);
    }

    /// @dev The lowest price above 0 at which the collateral is worth this, to the unit (it is below 1e36 units).
    function _priceOf(uint256 collateral, uint256 value) internal pure returns (uint256) {
        if (value == 0) return 1;
        return (value * ORACLE_SCALE - 1) / collateral + 1;
    }

    /* CHECKS AFTER ANY LIQUIDATION */

    /// @notice Liquidates one loan, and checks the books, the tokens and H1, H3, H4, H5, H8.
    function liquidateChecked(address who, uint256 maxRepay) internal returns (LiquidationResult memory done) {
        plimsoll.accrue(params);
        Loan memory before = loanOf(who);
        Market memory m = plimsoll.market(id);
        give(loanToken, LIQUIDATOR, type(uint128).max);
        uint256 loanTokens = loanToken.balanceOf(LIQUIDATOR);
        uint256 collateralTokens = collateralToken.balanceOf(STRANGER);

        vm.recordLogs();
        address[] memory borrowers = new address[](1);
        borrowers[0] = who;
        vm.prank(LIQUIDATOR);
        (uint256 repaid, uint256 seized) = plimsoll.liquidate(params, borrowers, maxRepay, 0, STRANGER, "");
        done = _resultOf(who);
        assertEq(repaid, done.repaid);
        assertEq(seized, done.seized);
        assertEq(loanTokens - loanToken.balanceOf(LIQUIDATOR), repaid, "paid");
        assertEq(collateralToken.balanceOf(STRANGER) - collateralTokens, seized, "received");
        assertLe(repaid, maxRepay);

        Loan memory left = loanOf(who);
        assertEq(left.borrowShares, before.borrowShares - done.shares);
        assertEq(left.collateral, before.collateral - done.seized);
        Market memory now_ = plimsoll.market(id);
        assertEq(now_.borrowShares, m.borrowShares - done.shares);
        // The remaining debt, but a share is worth at least a millionth of a unit.
        uint256 rest = m.borrowAssets - done.repaid - done.badDebt;
        uint256 lowest = Math.ceilDiv(now_.borrowShares, 1e6);
        assertEq(now_.borrowAssets, Math.max(rest, lowest));
        if (now_.borrowAssets != lowest) {
            uint256 priceNow = now_.borrowAssets * m.borrowShares;
            assertLe(priceNow, m.borrowAssets * now_.borrowShares, "H1: others owe more");
        }

        assertFalse(isHealthy(before), "H3");
        _assertHealthNotLower(before, left);
        _assertDealt(before, done, m);
        if (before.debt >= params.risk.minDebt()) {
            assertTrue(left.debt == 0 || left.debt >= params.risk.minDebt(), "H5");
        } else {
            assertEq(left.debt, 0, "H5");
        }
        if (left.debt == 0) assertEq(left.borrowShares, 0, "A3");
    }

    /// @dev H3: health is not lower, within a unit of value, one of debt, and what one borrow share is worth.
    function _assertHealthNotLower(Loan memory before, Loan memory left) private pure {
        if (left.borrowShares == 0) return;
        uint256 debtAtLeast = left.debt - 1 - (left.debt / left.borrowShares + 1);
        assertGe((left.value + 1) * before.debt, before.value * debtAtLeast, "H3: health lower than before");
    }

    /// @dev H4 and H8: what was repaid, seized and written off belong together.
    function _assertDealt(Loan memory before, LiquidationResult memory done, Market memory m) private view {
        (LiquidationMath.Zone zone, uint256 maxRepay, uint256 incentiveFactor) = maxRepayOf(before);
        assertLe(done.repaid, maxRepay);
        if (zone == LiquidationMath.Zone.Ramp) {
            uint256 claim = done.repaid * incentiveFactor * (ORACLE_SCALE / WAD);
            assertLe(done.seized * oracle.liquidationPrice(), claim, "H4");
            assertGt((done.seized + 1) * oracle.liquidationPrice(), claim, "no less than the incentive either");
            assertEq(done.badDebt, 0, "H8: no bad debt on the ramp");
            uint256 part = done.repaid * m.borrowShares / m.borrowAssets;
            assertEq(done.shares, done.repaid == before.debt ? before.borrowShares : part);
            return;
        }
        if (done.repaid == maxRepay) {
            assertEq(done.shares, before.borrowShares);
            assertEq(done.seized, before.collateral);
            // The price of the other shares is rounded up to a millionth of a unit, which nobody loses.
            assertApproxEqAbs(done.badDebt, before.debt - maxRepay, 1, "H8");
            assertLe(done.badDebt, before.debt - maxRepay, "H8");
        } else {
            uint256 removed = before.debt * done.repaid / maxRepay;
            assertEq(done.badDebt, removed - done.repaid, "H8: the slice's part of the write-off, in whole units");
            assertEq(done.shares, removed * m.borrowShares / m.borrowAssets, "the slice's part of the debt");
            assertEq(done.seized, before.collateral * removed / before.debt, "H4: the same part of the collateral");
        }
        if (zone == LiquidationMath.Zone.Breakeven) assertEq(done.badDebt, 0, "H8: no bad debt in the breakeven zone");
    }

    /// @dev The liquidation of this loan in the recorded logs.
    function _resultOf(address who) internal returns (LiquidationResult memory done) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        bool found;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IPlimsoll.Liquidate.selector) continue;
            assertFalse(found, "liquidated twice");
            found = true;
            assertEq(logs[i].emitter, address(plimsoll));
            assertEq(logs[i].topics[1], MarketId.unwrap(id));
            assertEq(logs[i].topics[2], bytes32(uint256(uint160(LIQUIDATOR))));
            assertEq(logs[i].topics[3], bytes32(uint256(uint160(who))));
            done = abi.decode(logs[i].data, (LiquidationResult));
        }
        assertTrue(found, "not liquidated");
    }
}
