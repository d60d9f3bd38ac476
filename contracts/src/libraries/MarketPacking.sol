// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {Market, StoredMarket, StoredPosition} from "../types/Market.sol";
import {InterestMath} from "./InterestMath.sol";
import {SharesMath} from "./SharesMath.sol";
import {SurgeMath} from "./SurgeMath.sol";

/// @title Storage packing library of markets and positions.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Loads markets and positions from storage and stores them. All range checks on stored values are here.
library MarketPacking {
    uint256 private constant FEE_MASK = (1 << 12) - 1;
    uint256 private constant RATE_MASK = (1 << 36) - 1;

    /// @notice Loads a market into `market`.
    /// @dev Fills the caller's struct, since a returned one would be zeroed a second time, for 150 gas.
    function loadInto(StoredMarket storage stored, Market memory market) internal view {
        (uint256 supply, uint256 borrow, uint256 rest) = (stored.supply, stored.borrow, stored.rest);
        market.supplyAssets = supply >> 128;
        market.supplyShares = uint128(supply);
        market.borrowAssets = borrow >> 128;
        market.borrowShares = uint128(borrow);
        market.lastUpdate = rest >> 222;
        market.feeBps = (rest >> 210) & FEE_MASK;
        market.rateAtTarget = (rest >> 174) & RATE_MASK;
        market.interestRemainder = uint32(rest >> 142);
        market.surgeLevel = (rest >> 114) & SurgeMath.FULL;
        market.reserveShares = rest & InterestMath.MAX_RESERVE_SHARES;
    }

    /// @notice Stores a market. Reverts with `AmountTooLarge` if a total exceeds its range.
    /// @dev The other fields need no check: a block time (34 bits last until the year 2514), a bounded fee, a clamped
    /// rate, a remainder cast to 32 bits, a surge level of at most `SurgeMath.FULL`, and reserve shares, which are
    /// clamped where they are issued.
    function store(StoredMarket storage stored, Market memory market) internal {
        (uint256 supplyAssets, uint256 supplyShares) = (market.supplyAssets, market.supplyShares);
        (uint256 borrowAssets, uint256 borrowShares) = (market.borrowAssets, market.borrowShares);
        unchecked {
            // Supply shares must fit 128 bits together with the virtual ones, so that no amount times that total exceeds
            // 256 bits, and no sum of the total and such a quotient wraps around to a value that fits.
            uint256 allShares = supplyShares + SharesMath.VIRTUAL_SHARES;
            if ((supplyAssets | allShares | supplyShares | borrowAssets | borrowShares) >> 128 != 0) {
                uint256 largest = FixedPointMathLib.max(supplyAssets, FixedPointMathLib.max(borrowAssets, borrowShares));
                revert IPlimsoll.AmountTooLarge(largest >> 128 != 0 ? largest : supplyShares);
            }
        }
        stored.supply = (supplyAssets << 128) | supplyShares;
        stored.borrow = (borrowAssets << 128) | borrowShares;
        stored.rest = (market.lastUpdate << 222) | (market.feeBps << 210) | (market.rateAtTarget << 174)
            | (market.interestRemainder << 142) | (market.surgeLevel << 114) | market.reserveShares;
    }

    /// @notice Returns whether the market was created.
    function exists(StoredMarket storage stored) internal view returns (bool) {
        return stored.rest != 0;
    }

    /// @notice Returns the borrow shares and the collateral of a position.
    function loadDebt(StoredPosition storage stored) internal view returns (uint256 borrowShares, uint256 collateral) {
        uint256 word = stored.debt;
        return (word >> 128, uint128(word));
    }

    /// @notice Stores the borrow shares and the collateral of a position. Reverts with `AmountTooLarge` if one exceeds
    /// 128 bits.
    function storeDebt(StoredPosition storage stored, uint256 borrowShares, uint256 collateral) internal {
        stored.debt = _pack(borrowShares, collateral);
    }

    function _pack(uint256 upper, uint256 lower) private pure returns (uint256) {
        if ((upper | lower) >> 128 != 0) revert IPlimsoll.AmountTooLarge(upper > lower ? upper : lower);
        return (upper << 128) | lower;
    }
}
