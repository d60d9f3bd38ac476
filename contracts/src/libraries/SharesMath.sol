// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @title Supply share accounting library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Converts between assets and shares of a market's supply. A million virtual shares and one virtual asset are
/// part of every total. They fix the price of the first share, so that no holder of all shares can manipulate it
/// (inflation attacks), and make a share about a millionth of a unit, so that rounding costs a unit at most. Interest
/// on the virtual shares belongs to no account.
/// @dev Totals fit 128 bits, total shares together with the virtual ones, and so must `shares` and `assets`: their
/// products fit 256. No total with its virtual part is 0.
library SharesMath {
    uint256 internal constant VIRTUAL_SHARES = 1e6;
    uint256 internal constant VIRTUAL_ASSETS = 1;

    /// @notice Returns the shares of this many assets, rounded down.
    function toSharesDown(uint256 assets, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        return FixedPointMathLib.rawDiv(assets * _withVirtualShares(totalShares), _withVirtualAssets(totalAssets));
    }

    /// @notice Returns the shares of this many assets, rounded up.
    function toSharesUp(uint256 assets, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        return FixedPointMathLib.divUp(assets * _withVirtualShares(totalShares), _withVirtualAssets(totalAssets));
    }

    /// @notice Returns the assets of this many shares, rounded down.
    function toAssetsDown(uint256 shares, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        return FixedPointMathLib.rawDiv(shares * _withVirtualAssets(totalAssets), _withVirtualShares(totalShares));
    }

    /// @notice Returns the assets of this many shares, rounded up.
    function toAssetsUp(uint256 shares, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        return FixedPointMathLib.divUp(shares * _withVirtualAssets(totalAssets), _withVirtualShares(totalShares));
    }

    function _withVirtualShares(uint256 totalShares) private pure returns (uint256) {
        unchecked {
            return totalShares + VIRTUAL_SHARES;
        }
    }

    function _withVirtualAssets(uint256 totalAssets) private pure returns (uint256) {
        unchecked {
            return totalAssets + VIRTUAL_ASSETS;
        }
    }
}
