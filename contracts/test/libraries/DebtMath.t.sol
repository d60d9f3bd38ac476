// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {DebtMath} from "plimsoll/libraries/DebtMath.sol";

/// @title Tests of debt shares: each quotient, its rounding direction, and the lowest price, over all possible totals.
contract DebtMathTest is Test {
    uint256 internal constant MAX_AMOUNT = type(uint128).max;

    /// @dev Totals as they can be: a share is worth a millionth of a unit at the least, both are 0 or neither.
    function totals(uint256 assets, uint256 shares) internal pure returns (uint256, uint256) {
        shares = bound(shares, 1, MAX_AMOUNT);
        return (bound(assets, (shares + 1e6 - 1) / 1e6, MAX_AMOUNT), shares);
    }

    function testFuzz_assetsToShares(uint256 assets, uint256 totalAssets, uint256 totalShares) public pure {
        (totalAssets, totalShares) = totals(totalAssets, totalShares);
        assets = bound(assets, 0, MAX_AMOUNT);
        uint256 exact = assets * totalShares;

        uint256 down = DebtMath.toDebtSharesDown(assets, totalAssets, totalShares);
        assertLe(down * totalAssets, exact);
        assertLt(exact - down * totalAssets, totalAssets);
        uint256 up = DebtMath.toDebtSharesUp(assets, totalAssets, totalShares);
        assertEq(up, down + (exact % totalAssets == 0 ? 0 : 1));
        assertLe(up, assets * 1e6, "cheaper than a millionth of a unit");
    }

    function testFuzz_sharesToAssets(uint256 shares, uint256 totalAssets, uint256 totalShares) public pure {
        (totalAssets, totalShares) = totals(totalAssets, totalShares);
        shares = bound(shares, 0, MAX_AMOUNT);
        uint256 exact = shares * totalAssets;

        uint256 down = DebtMath.toDebtDown(shares, totalAssets, totalShares);
        assertLe(down * totalShares, exact);
        assertLt(exact - down * totalShares, totalShares);
        uint256 up = DebtMath.toDebtUp(shares, totalAssets, totalShares);
        assertEq(up, down + (exact % totalShares == 0 ? 0 : 1));
        // A3: shares are never worth nothing, and no loan is more than all loans.
        if (shares != 0) assertGt(up, 0);
        if (shares <= totalShares) assertLe(up, totalAssets);
    }

    function testFuzz_withoutDebt(uint256 amount) public pure {
        amount = bound(amount, 0, MAX_AMOUNT);
        assertEq(DebtMath.toDebtSharesUp(amount, 0, 0), amount * 1e6);
        assertEq(DebtMath.toDebtDown(amount, 0, 0), amount / 1e6);
        assertEq(DebtMath.toDebtUp(0, 0, 0), 0);
    }

    /// @dev A3: borrow assets fall by what went, not below a millionth of the shares that are left, and are 0 exactly
    /// when those are.
    function testFuzz_saturatingTotalAfterRepay(uint256 totalAssets, uint256 totalShares, uint256 gone) public pure {
        (totalAssets, totalShares) = totals(totalAssets, totalShares);
        gone = bound(gone, 0, totalShares);
        uint256 removed = DebtMath.toDebtUp(gone, totalAssets, totalShares);
        uint256 left = totalShares - gone;
        uint256 assets = DebtMath.saturatingTotalAfterRepay(totalAssets, removed, left);

        uint256 lowest = left / 1e6 + (left % 1e6 == 0 ? 0 : 1);
        assertEq(assets, totalAssets - removed > lowest ? totalAssets - removed : lowest);
        assertEq(assets == 0, left == 0);
        assertLe(assets, totalAssets);
    }
}
