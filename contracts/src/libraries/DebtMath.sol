// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @title Debt share accounting library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Converts between assets and shares of a market's debt. A share of debt is initially worth a millionth of a
/// unit, and never less. It follows that borrow assets are 0 exactly when borrow shares are, that no account owes more
/// than the market's total debt, and that the debts of all accounts sum up to at least that total.
///
/// These totals have no virtual part, unlike the supply's: no account would owe the debt of virtual shares, yet
/// suppliers would be credited with its interest, and in a market without other debt it would grow without bound at the
/// expense of later suppliers.
/// @dev All amounts fit 128 bits, so products fit 256. If a sum does not (a new total, just before `MarketPacking`
/// refuses it), the result is meaningless.
library DebtMath {
    /// @dev The inverse of the initial and lowest price of a share. Without a lowest price, the unit by which
    /// repayments are rounded up could be used repeatedly, in a market with almost no debt, to halve the price until
    /// the shares of an ordinary loan exceed 128 bits.
    uint256 internal constant MAX_SHARES_PER_ASSET = 1e6;
    /// @dev The fewest shares that a loan has after a borrowing or a partial repayment: a unit at the initial price.
    /// They make the share by which debt is rounded up at most a millionth of the loan. Otherwise a market's whole debt
    /// could consist of a single share, whose value could grow, over years of interest, beyond the debt of later
    /// borrowers, each of whom would owe a whole share.
    uint256 internal constant MIN_SHARES = 1e6;

    /// @notice Returns the shares of a new debt, rounded up.
    function toDebtSharesUp(uint256 assets, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        unchecked {
            if (totalShares == 0) return assets * MAX_SHARES_PER_ASSET;
            return FixedPointMathLib.divUp(assets * totalShares, totalAssets);
        }
    }

    /// @notice Returns the shares that a repayment redeems, rounded down. Total assets must not be 0.
    function toDebtSharesDown(uint256 assets, uint256 totalAssets, uint256 totalShares)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            return assets * totalShares / totalAssets;
        }
    }

    /// @notice Returns the debt of this many shares, rounded up; 0 of no shares, also where there are none at all.
    /// @dev Of amounts of 128 bits the sum fits 256. Division by 0 gives 0, which saves a branch.
    function toDebtUp(uint256 shares, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        unchecked {
            return FixedPointMathLib.rawDiv(shares * totalAssets + totalShares - 1, totalShares);
        }
    }

    /// @notice Returns the assets that may be borrowed for this many shares, rounded down.
    function toDebtDown(uint256 shares, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        unchecked {
            if (totalShares == 0) return shares / MAX_SHARES_PER_ASSET;
            return shares * totalAssets / totalShares;
        }
    }

    /// @notice Returns the market's borrow assets after `removed` of them are repaid or written off and `sharesLeft`
    /// borrow shares remain: the difference, but not below the lowest price of the remaining shares.
    function saturatingTotalAfterRepay(uint256 totalAssets, uint256 removed, uint256 sharesLeft)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 floor = FixedPointMathLib.divUp(sharesLeft, MAX_SHARES_PER_ASSET);
            return FixedPointMathLib.max(totalAssets - removed, floor);
        }
    }
}
