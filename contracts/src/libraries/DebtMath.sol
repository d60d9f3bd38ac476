// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @title Shares of a market's debt and assets, each into the other
/// @notice A share of debt begins as a millionth of a unit and is never worth less. It follows that borrow assets are 0
/// exactly when borrow shares are, that no account owes more than all owe together, and that what all owe is at least
/// what the market lent.
///
/// There is no virtual part in these totals as there is in the supply's: nobody would owe what virtual shares owe, yet
/// suppliers would be credited with the interest on it, and in a market that everybody else has left it would grow
/// without end at the expense of whoever supplies next.
/// @dev All amounts fit 128 bits, so products fit 256. Where a sum does not (a new total, just before `MarketPacking`
/// refuses it) the result means nothing.
library DebtMath {
    /// @dev The price of the first share, and the lowest: without a lowest one the unit by which repayments are rounded
    /// up could, in a market with next to no debt, be used again and again to halve it, until the shares of an ordinary
    /// loan exceed 128 bits.
    uint256 internal constant MAX_SHARES_PER_ASSET = 1e6;
    /// @dev What a loan has after a borrowing, and what a repayment in part leaves it: a unit's worth at the first
    /// price. It makes the share by which debt is rounded up at most a millionth of the loan. A market's whole debt in
    /// a single share could otherwise turn, over years of interest, into more than others borrow, who would owe a whole
    /// one each.
    uint256 internal constant MIN_SHARES = 1e6;

    /// @notice The shares that stand for a new debt.
    function toDebtSharesUp(uint256 assets, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        unchecked {
            if (totalShares == 0) return assets * MAX_SHARES_PER_ASSET;
            return FixedPointMathLib.divUp(assets * totalShares, totalAssets);
        }
    }

    /// @notice The shares that a repayment redeems; there must be debt.
    function toDebtSharesDown(uint256 assets, uint256 totalAssets, uint256 totalShares)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            return assets * totalShares / totalAssets;
        }
    }

    /// @notice What is owed on shares.
    function toDebtUp(uint256 shares, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        unchecked {
            if (shares == 0) return 0;
            return FixedPointMathLib.divUp(shares * totalAssets, totalShares);
        }
    }

    /// @notice What may be borrowed for shares.
    function toDebtDown(uint256 shares, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        unchecked {
            if (totalShares == 0) return shares / MAX_SHARES_PER_ASSET;
            return shares * totalAssets / totalShares;
        }
    }

    /// @notice The market's borrow assets after `removed` of them went, and all shares but `sharesLeft` with them.
    function totalAfter(uint256 totalAssets, uint256 removed, uint256 sharesLeft) internal pure returns (uint256) {
        unchecked {
            uint256 floor = FixedPointMathLib.divUp(sharesLeft, MAX_SHARES_PER_ASSET);
            return FixedPointMathLib.max(totalAssets - removed, floor);
        }
    }
}
