// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {DebtMath} from "plimsoll/libraries/DebtMath.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {CoreTest} from "../support/CoreTest.sol";

/// @title `deleverage` allows what the formulas of the proofs allow.
/// @notice The formula is inline in the core, so that vectors cannot reach it: `most_collateral_out` in
/// `lab/proofs/model.py`, and here once more.
contract DeleverageProportionTest is CoreTest {
    /// @notice The same part of the collateral as of the debt can be taken out, and a unit more cannot, at any price of the
    /// debt's shares.
    function testFuzz_mostCollateralOut(uint256 collateral, uint256 debt, uint256 elapsed, uint256 assets) public {
        collateral = bound(collateral, 1e18, 1_000_000e18);
        debt = bound(debt, 10 * MIN_DEBT, collateral * PRICE / ORACLE_SCALE * BORROW_LTV_BPS / BPS);
        supply(LENDER, 2 * debt);
        openLoan(BORROWER, collateral, debt);
        skip(bound(elapsed, 0, 3 * 365 days));
        plimsoll.accrue(params);

        Market memory m = plimsoll.market(id);
        Position memory p = plimsoll.position(id, BORROWER);
        assets = bound(assets, 1, debtOf(BORROWER) - 2 * MIN_DEBT);
        uint256 shares = DebtMath.toDebtSharesDown(assets, m.borrowAssets, m.borrowShares);
        uint256 most = p.collateral * shares / p.borrowShares;

        give(loanToken, BORROWER, assets);
        vm.startPrank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotProportional.selector, most + 1, most));
        plimsoll.deleverage(params, assets, most + 1, BORROWER, BORROWER, "");
        if (most == 0) return;
        plimsoll.deleverage(params, assets, most, BORROWER, BORROWER, "");
        assertEq(plimsoll.position(id, BORROWER).collateral, p.collateral - most);
        assertEq(plimsoll.position(id, BORROWER).borrowShares, p.borrowShares - shares);
    }
}
