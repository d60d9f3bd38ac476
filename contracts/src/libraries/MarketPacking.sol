// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {Market, StoredMarket, StoredPosition} from "../types/Market.sol";
import {SharesMath} from "./SharesMath.sol";

/// @title Moves markets and positions between storage and memory. Everything that is stored is range-checked here.
library MarketPacking {
    /// @dev Fills a struct of the caller's: a returned one would be zeroed once more on the way, for 150 gas.
    function loadInto(StoredMarket storage stored, Market memory market) internal view {
        (uint256 supply, uint256 borrow, uint256 rest) = (stored.supply, stored.borrow, stored.rest);
        market.supplyAssets = supply >> 128;
        market.supplyShares = uint128(supply);
        market.borrowAssets = borrow >> 128;
        market.borrowShares = uint128(borrow);
        market.lastUpdate = rest >> 216;
        market.feeBps = uint16(rest >> 200);
        market.rateAtTarget = uint40(rest >> 160);
        market.interestRemainder = uint32(rest >> 128);
        market.reserveShares = uint128(rest);
    }

    /// @dev The small fields need no check: a time, a bounded fee, a clamped rate and a remainder that is a cast.
    /// Reserve shares are part of the supply shares.
    function store(StoredMarket storage stored, Market memory market) internal {
        // Supply shares fit together with the virtual ones, so that no amount times that total exceeds 256 bits, and no
        // sum of it and such a quotient wraps around into what fits.
        unchecked {
            if ((market.supplyShares + SharesMath.VIRTUAL_SHARES) >> 128 != 0) {
                revert IPlimsoll.AmountTooLarge(market.supplyShares);
            }
        }
        stored.supply = _pack(market.supplyAssets, market.supplyShares);
        stored.borrow = _pack(market.borrowAssets, market.borrowShares);
        stored.rest = (market.lastUpdate << 216) | (market.feeBps << 200) | (market.rateAtTarget << 160)
            | (market.interestRemainder << 128) | market.reserveShares;
    }

    function exists(StoredMarket storage stored) internal view returns (bool) {
        return stored.rest != 0;
    }

    function loadDebt(StoredPosition storage stored) internal view returns (uint256 borrowShares, uint256 collateral) {
        uint256 word = stored.debt;
        return (word >> 128, uint128(word));
    }

    function storeDebt(StoredPosition storage stored, uint256 borrowShares, uint256 collateral) internal {
        stored.debt = _pack(borrowShares, collateral);
    }

    function _pack(uint256 upper, uint256 lower) private pure returns (uint256) {
        if ((upper | lower) >> 128 != 0) revert IPlimsoll.AmountTooLarge(upper > lower ? upper : lower);
        return (upper << 128) | lower;
    }
}
