// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {InterestMath} from "../libraries/InterestMath.sol";
import {SharesMath} from "../libraries/SharesMath.sol";
import {Market} from "../types/Market.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @notice A vault's positions and value in memory, up to now: what one call works on.
/// @param params of each market in the list
/// @param markets with interest up to now; not loaded (`lastUpdate` 0) where the vault has no shares
/// @param counted supply shares that the vault bought
/// @param values assets that these are worth, rounded down
/// @param idle assets that are not supplied
/// @param real idle assets and all values
/// @param total the assets that belong to the vault's shares
/// @param supply the vault's shares, those of the fee included
/// @param feeShares to be minted to the fee recipient
/// @param highWaterMark the price above which gains pay a fee: assets for 1e27 shares, virtual ones included
struct Books {
    MarketParams[] params;
    Market[] markets;
    uint256[] counted;
    uint256[] values;
    uint256 idle;
    uint256 real;
    uint256 total;
    uint256 supply;
    uint256 feeShares;
    uint256 highWaterMark;
}

using BooksMath for Books global;

/// @title Arithmetic of a vault's value.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice A million virtual shares and one virtual asset set the initial share price, as in the core. No function
/// reverts: totals fit 128 bits, the vault's shares 192.
library BooksMath {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant VIRTUAL_SHARES = 1e6;
    uint256 internal constant VIRTUAL_ASSETS = 1;
    /// @dev Prices are assets for this many shares.
    uint256 internal constant PRICE_SCALE = 1e27;
    uint256 internal constant MAX_SHARES = type(uint192).max;

    /// @notice Returns the vault's shares of this many assets, at most 2^256 - 1.
    function toShares(Books memory b, uint256 assets, bool roundUp) internal pure returns (uint256) {
        return _mulDivSaturated(assets, b.supply + VIRTUAL_SHARES, b.total + VIRTUAL_ASSETS, roundUp);
    }

    /// @notice Returns the assets of this many of the vault's shares, at most 2^256 - 1.
    function toAssets(Books memory b, uint256 shares, bool roundUp) internal pure returns (uint256) {
        return _mulDivSaturated(shares, b.total + VIRTUAL_ASSETS, b.supply + VIRTUAL_SHARES, roundUp);
    }

    /// @notice Sets the total to the real value, but no further above the last total than the maximum rate allows.
    function recognise(Books memory b, uint256 lastTotal, uint256 maxRate, uint256 elapsed) internal pure {
        unchecked {
            // 128, 40 and 40 bits.
            uint256 most = lastTotal + lastTotal * maxRate * elapsed / WAD;
            b.total = FixedPointMathLib.min(FixedPointMathLib.min(b.real, most), type(uint128).max);
        }
    }

    /// @notice Sets the shares that the fee on the gain since the last total is worth, and the new mark: the price after
    /// the fee, if it is the highest so far. Only what lies above the mark is a gain.
    function chargeFee(Books memory b, uint256 lastTotal, uint256 feeBps) internal pure {
        unchecked {
            uint256 allShares = b.supply + VIRTUAL_SHARES;
            // The mark of an empty vault starts again: left-over units over the virtual shares alone are a high price.
            if (b.supply == 0) {
                b.highWaterMark = _priceUp(b.total, allShares);
                return;
            }
            if (b.total <= lastTotal) return;
            uint256 price = (b.total + VIRTUAL_ASSETS) * PRICE_SCALE / allShares;
            if (price <= b.highWaterMark) return;
            // At most the price times the shares, which is the total.
            uint256 above = FixedPointMathLib.fullMulDiv(price - b.highWaterMark, allShares, PRICE_SCALE);
            uint256 fee = FixedPointMathLib.min(b.total - lastTotal, above) * feeBps / BPS;
            if (fee != 0) {
                uint256 shares = FixedPointMathLib.fullMulDiv(fee, allShares, b.total + VIRTUAL_ASSETS - fee);
                b.feeShares = FixedPointMathLib.min(shares, FixedPointMathLib.zeroFloorSub(MAX_SHARES, b.supply));
                b.supply += b.feeShares;
            }
            b.highWaterMark = _priceUp(b.total, b.supply + VIRTUAL_SHARES);
        }
    }

    /// @notice Returns the assets that a market has the liquidity for, of what the vault has there.
    function withdrawable(Books memory b, uint256 i) internal pure returns (uint256) {
        if (b.values[i] == 0) return 0;
        Market memory m = b.markets[i];
        return FixedPointMathLib.min(b.values[i], m.supplyAssets - m.borrowAssets);
    }

    /// @notice Returns a market's supply rate after another supply of `assets`, 1e18-scaled per second.
    function supplyRateAfter(Books memory b, uint256 i, uint256 assets) internal pure returns (uint256) {
        Market memory m = b.markets[i];
        uint256 supplied = m.supplyAssets + assets;
        if (supplied == 0) return 0;
        int256 distance = InterestMath.distanceFromTarget(supplied, m.borrowAssets, b.params[i].curve.targetBps());
        uint256 rate = InterestMath.borrowRate(m.rateAtTarget, distance, b.params[i].curve.steepness());
        return rate * m.borrowAssets / supplied * (BPS - m.feeBps) / BPS;
    }

    /// @notice Returns whether a market's utilisation is above a bound; it is 0 where nothing is supplied.
    function isUtilisedAbove(Books memory b, uint256 i, uint256 utilisationBps) internal pure returns (bool) {
        Market memory m = b.markets[i];
        return m.borrowAssets * BPS > FixedPointMathLib.saturatingMul(m.supplyAssets, utilisationBps);
    }

    /// @notice Returns the shares, and what they cost, of the largest supply of at most `assets` that the market's
    /// totals have room for. Bought by the share, they cost the vault at most a unit in rounding, whatever a share is
    /// worth.
    function sharesWithin(Books memory b, uint256 i, uint256 assets)
        internal
        pure
        returns (uint256 shares, uint256 cost)
    {
        Market memory m = b.markets[i];
        assets = FixedPointMathLib.min(assets, type(uint128).max - m.supplyAssets);
        shares = SharesMath.toSharesDown(assets, m.supplyAssets, m.supplyShares);
        shares = FixedPointMathLib.min(shares, type(uint128).max - SharesMath.VIRTUAL_SHARES - m.supplyShares);
        cost = SharesMath.toAssetsUp(shares, m.supplyAssets, m.supplyShares);
    }

    /// @notice Returns the shares that a withdrawal from a market burns: all, if it is the whole value.
    function sharesFor(Books memory b, uint256 i, uint256 assets) internal pure returns (uint256) {
        if (assets == b.values[i]) return b.counted[i];
        Market memory m = b.markets[i];
        return SharesMath.toSharesUp(assets, m.supplyAssets, m.supplyShares);
    }

    /// @notice Returns the sums of the values of the markets with this collateral token, and of those with this oracle.
    function valuesWith(Books memory b, address collateralToken, address oracle)
        internal
        pure
        returns (uint256 withCollateral, uint256 withOracle)
    {
        uint256 count = b.params.length;
        for (uint256 i; i < count; ++i) {
            uint256 value = b.values[i];
            if (value == 0) continue;
            MarketParams memory params = b.params[i];
            if (params.collateralToken == collateralToken) withCollateral += value;
            if (params.oracle == oracle) withOracle += value;
        }
    }

    /// @notice Returns the id of a market with parameters in memory.
    function idOf(MarketParams memory params) internal pure returns (MarketId id) {
        assembly ("memory-safe") {
            id := keccak256(params, 160)
        }
    }

    function _priceUp(uint256 total, uint256 allShares) private pure returns (uint256) {
        uint256 price = FixedPointMathLib.divUp((total + VIRTUAL_ASSETS) * PRICE_SCALE, allShares);
        return FixedPointMathLib.min(price, type(uint128).max);
    }

    function _mulDivSaturated(uint256 x, uint256 y, uint256 d, bool roundUp) private pure returns (uint256) {
        // The usual case; neither y nor d is 0.
        if (x <= type(uint256).max / y) return roundUp ? FixedPointMathLib.divUp(x * y, d) : x * y / d;
        if (y > d && x > FixedPointMathLib.fullMulDiv(type(uint256).max, d, y)) return type(uint256).max;
        return roundUp ? FixedPointMathLib.fullMulDivUp(x, y, d) : FixedPointMathLib.fullMulDiv(x, y, d);
    }
}
