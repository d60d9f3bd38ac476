// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";

/// @title Tests of supply shares: each quotient and its rounding direction, over all possible totals.
contract SharesMathTest is Test {
    uint256 internal constant MAX_AMOUNT = type(uint128).max;
    uint256 internal constant MAX_SHARES = MAX_AMOUNT - 1e6;

    /// @dev q = ⌊a·b ÷ c⌋ says q·c ≤ a·b < (q + 1)·c, without a division.
    function testFuzz_assetsToShares(uint256 assets, uint256 totalAssets, uint256 totalShares) public pure {
        (assets, totalAssets) = (bound(assets, 0, MAX_AMOUNT), bound(totalAssets, 0, MAX_AMOUNT));
        totalShares = bound(totalShares, 0, MAX_SHARES);
        uint256 exact = assets * (totalShares + 1e6);
        uint256 divisor = totalAssets + 1;

        uint256 down = SharesMath.toSharesDown(assets, totalAssets, totalShares);
        assertLe(down * divisor, exact);
        assertLt(exact - down * divisor, divisor);
        uint256 up = SharesMath.toSharesUp(assets, totalAssets, totalShares);
        assertEq(up, down + (exact % divisor == 0 ? 0 : 1));
    }

    function testFuzz_sharesToAssets(uint256 shares, uint256 totalAssets, uint256 totalShares) public pure {
        (shares, totalShares) = (bound(shares, 0, MAX_AMOUNT), bound(totalShares, 0, MAX_SHARES));
        totalAssets = bound(totalAssets, 0, MAX_AMOUNT);
        uint256 exact = shares * (totalAssets + 1);
        uint256 divisor = totalShares + 1e6;

        uint256 down = SharesMath.toAssetsDown(shares, totalAssets, totalShares);
        assertLe(down * divisor, exact);
        assertLt(exact - down * divisor, divisor);
        uint256 up = SharesMath.toAssetsUp(shares, totalAssets, totalShares);
        assertEq(up, down + (exact % divisor == 0 ? 0 : 1));
    }

    /// @dev A7: there and back is never a gain, at the same totals.
    function testFuzz_roundTripsGainNothing(uint256 amount, uint256 totalAssets, uint256 totalShares) public pure {
        amount = bound(amount, 0, type(uint64).max);
        (totalAssets, totalShares) = (bound(totalAssets, 0, MAX_AMOUNT), bound(totalShares, 0, type(uint64).max));
        uint256 shares = SharesMath.toSharesDown(amount, totalAssets, totalShares);
        assertLe(SharesMath.toAssetsDown(shares, totalAssets, totalShares), amount);
        uint256 assets = SharesMath.toAssetsUp(amount, totalAssets, totalShares);
        assertGe(SharesMath.toSharesDown(assets, totalAssets, totalShares), amount);
    }

    function test_known() public pure {
        assertEq(SharesMath.toSharesDown(1, 0, 0), 1e6);
        assertEq(SharesMath.toAssetsUp(1, 0, 0), 1);
        assertEq(SharesMath.toAssetsDown(999_999, 0, 0), 0);
        // 100 units, of which interest made 150: a new unit is worth two thirds of a million shares.
        assertEq(SharesMath.toSharesDown(3, 150, 100e6), 2_006_622);
        assertEq(SharesMath.toSharesUp(3, 150, 100e6), 2_006_623);
        assertEq(SharesMath.toAssetsDown(2_006_623, 150, 100e6), 3);
        assertEq(SharesMath.toAssetsUp(2_006_623, 150, 100e6), 4);
    }
}
