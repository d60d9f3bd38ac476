// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @title Shares of a market's supply and assets, each into the other
/// @notice A million virtual shares and one virtual asset are part of every total. They fix the price of the first
/// share, so that nobody can be the only holder and move it (inflation attacks), and make a share a millionth of a
/// unit, so that rounding is felt in units only. What the virtual shares earn belongs to nobody.
/// @dev Totals fit 128 bits, shares together with the virtual ones, and so must `shares` and `assets`: their products
/// fit 256.
library SharesMath {
    uint256 internal constant VIRTUAL_SHARES = 1e6;
    uint256 internal constant VIRTUAL_ASSETS = 1;

    function toSharesDown(uint256 assets, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        return assets * _withVirtualShares(totalShares) / _withVirtualAssets(totalAssets);
    }

    function toSharesUp(uint256 assets, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        return FixedPointMathLib.divUp(assets * _withVirtualShares(totalShares), _withVirtualAssets(totalAssets));
    }

    function toAssetsDown(uint256 shares, uint256 totalAssets, uint256 totalShares) internal pure returns (uint256) {
        return shares * _withVirtualAssets(totalAssets) / _withVirtualShares(totalShares);
    }

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
