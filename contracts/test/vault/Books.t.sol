// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Test} from "forge-std/Test.sol";
import {Market} from "plimsoll/types/Market.sol";
import {Books} from "plimsoll/vault/Books.sol";

/// @notice Functions of the vault's arithmetic, each for numbers of its own.
contract BooksHarness {
    function chargeFee(uint256 total, uint256 supply, uint256 mark, uint256 lastTotal, uint256 feeBps)
        external
        pure
        returns (uint256, uint256, uint256)
    {
        Books memory b;
        (b.total, b.supply, b.highWaterMark) = (total, supply, mark);
        b.chargeFee(lastTotal, feeBps);
        return (b.supply, b.feeShares, b.highWaterMark);
    }

    function recognise(uint256 real, uint256 lastTotal, uint256 maxRate, uint256 elapsed)
        external
        pure
        returns (uint256)
    {
        Books memory b;
        b.real = real;
        b.recognise(lastTotal, maxRate, elapsed);
        return b.total;
    }

    function convert(uint256 total, uint256 supply, uint256 amount, bool toShares, bool roundUp)
        external
        pure
        returns (uint256)
    {
        Books memory b;
        (b.total, b.supply) = (total, supply);
        return toShares ? b.toShares(amount, roundUp) : b.toAssets(amount, roundUp);
    }

    function sharesWithin(uint256 supplyAssets, uint256 supplyShares, uint256 assets)
        external
        pure
        returns (uint256 shares, uint256 cost)
    {
        return _market(supplyAssets, supplyShares, 0, 0).sharesWithin(0, assets);
    }

    function sharesFor(uint256 supplyAssets, uint256 supplyShares, uint256 counted, uint256 value, uint256 assets)
        external
        pure
        returns (uint256)
    {
        return _market(supplyAssets, supplyShares, counted, value).sharesFor(0, assets);
    }

    function withdrawable(uint256 supplyAssets, uint256 borrowAssets, uint256 value) external pure returns (uint256) {
        Books memory b = _market(supplyAssets, 0, 0, value);
        b.markets[0].borrowAssets = uint128(borrowAssets);
        return b.withdrawable(0);
    }

    function isUtilisedAbove(uint256 supplyAssets, uint256 borrowAssets, uint256 bps) external pure returns (bool) {
        Books memory b = _market(supplyAssets, 0, 0, 0);
        b.markets[0].borrowAssets = uint128(borrowAssets);
        return b.isUtilisedAbove(0, bps);
    }

    function _market(uint256 supplyAssets, uint256 supplyShares, uint256 counted, uint256 value)
        private
        pure
        returns (Books memory b)
    {
        b.markets = new Market[](1);
        (b.counted, b.values) = (new uint256[](1), new uint256[](1));
        (b.counted[0], b.values[0]) = (counted, value);
        (b.markets[0].supplyAssets, b.markets[0].supplyShares) = (uint128(supplyAssets), uint128(supplyShares));
    }
}

/// @notice The vault's arithmetic against the same in OpenZeppelin's 512 bits.
contract BooksTest is Test {
    uint256 private constant MAX_SHARES = type(uint192).max;
    uint256 private constant MAX_ASSETS = type(uint128).max;
    uint256 private constant VIRTUAL_SHARES = 1e6;
    uint256 private constant SCALE = 1e27;

    BooksHarness private immutable BOOKS = new BooksHarness();

    /// @dev Of every magnitude.
    function spread(uint256 x, uint256 most) private pure returns (uint256) {
        return bound(x >> (x % 256), 0, most);
    }

    function testFuzz_theFeeIsPaidOnGainsAboveTheMarkAndIsWorthItsPart(
        uint256 total,
        uint256 supply,
        uint256 mark,
        uint256 lastTotal,
        uint256 feeBps
    ) public view {
        (total, supply, lastTotal) =
        (spread(total, MAX_ASSETS), spread(supply, MAX_SHARES), spread(lastTotal, MAX_ASSETS));
        feeBps = bound(feeBps, 0, 2_500);
        uint256 price = Math.mulDiv(total + 1, SCALE, supply + VIRTUAL_SHARES);
        mark = bound(mark, 0, Math.min(price + price / 2 + 1, MAX_ASSETS));
        checkFee(total, supply, mark, lastTotal, feeBps);
        // At the edges.
        if (price <= MAX_ASSETS) checkFee(total, supply, price, lastTotal, feeBps);
        if (price != 0 && price - 1 <= MAX_ASSETS) checkFee(total, supply, price - 1, lastTotal, feeBps);
        checkFee(total, supply, mark, total, feeBps);
        checkFee(total, 0, mark, lastTotal, feeBps);
        checkFee(total, MAX_SHARES, mark, lastTotal, feeBps);
    }

    /// @notice The smallest fee: what lies above the mark is 3.6 units, of which a quarter is none, and a fee of one unit is
    /// paid where it is worth shares.
    function test_theSmallestFees() public view {
        uint256 supply = 9e6;
        // 10 shares of a million each, over 100 units and the virtual one.
        uint256 price = Math.mulDiv(101, SCALE, supply + VIRTUAL_SHARES);
        checkFee(100, supply, price - Math.mulDiv(36, SCALE, 10 * (supply + VIRTUAL_SHARES)), 0, 2_500);
        checkFee(100, supply, price - Math.mulDiv(40, SCALE, 10 * (supply + VIRTUAL_SHARES)), 0, 2_500);
    }

    function checkFee(uint256 total, uint256 supply, uint256 mark, uint256 lastTotal, uint256 feeBps) private view {
        (uint256 newSupply, uint256 feeShares, uint256 newMark) =
            BOOKS.chargeFee(total, supply, mark, lastTotal, feeBps);
        bool rises = total > lastTotal && Math.mulDiv(total + 1, SCALE, supply + VIRTUAL_SHARES) > mark;
        uint256 expected = supply != 0 && rises ? sharesOfFee(total, supply, mark, total - lastTotal, feeBps) : 0;
        assertEq(feeShares, expected, "shares of the fee");
        assertEq(newSupply, supply + expected, "shares");
        uint256 price = Math.mulDiv(total + 1, SCALE, newSupply + VIRTUAL_SHARES, Math.Rounding.Ceil);
        assertEq(newMark, supply == 0 || rises ? Math.min(price, MAX_ASSETS) : mark, "mark");
    }

    /// @dev Worth the fee at the price that they leave behind.
    function sharesOfFee(uint256 total, uint256 supply, uint256 mark, uint256 growth, uint256 feeBps)
        private
        pure
        returns (uint256)
    {
        uint256 all = supply + VIRTUAL_SHARES;
        uint256 above = Math.mulDiv(Math.mulDiv(total + 1, SCALE, all) - mark, all, SCALE);
        uint256 fee = Math.min(growth, above) * feeBps / 10_000;
        return Math.min(Math.mulDiv(fee, all, total + 1 - fee), MAX_SHARES - supply);
    }

    function testFuzz_theTotalRisesByTheMaximumRateAtMost(uint256 real, uint256 last, uint256 rate, uint256 elapsed)
        public
        view
    {
        // 200 % a year at most, and centuries.
        (real, last) = (bound(real, 0, type(uint256).max), spread(last, MAX_ASSETS));
        (rate, elapsed) = (bound(rate, 0, 2e18 / uint256(365 days)), bound(elapsed, 0, 2 ** 40 - 1));
        uint256 most = last + Math.mulDiv(last, rate * elapsed, 1e18);
        uint256 total = BOOKS.recognise(real, last, rate, elapsed);
        assertEq(total, Math.min(Math.min(real, most), MAX_ASSETS));
    }

    function testFuzz_sharesAndAssetsAreConvertedToTheUnitAndSaturate(
        uint256 total,
        uint256 supply,
        uint256 amount,
        bool toShares,
        bool roundUp
    ) public view {
        (total, supply) = (spread(total, MAX_ASSETS), spread(supply, MAX_SHARES));
        amount = spread(amount, type(uint256).max);
        (uint256 y, uint256 d) = toShares ? (supply + VIRTUAL_SHARES, total + 1) : (total + 1, supply + VIRTUAL_SHARES);
        checkConversion(total, supply, amount, y, d, toShares, roundUp);
        // The largest amount that does not saturate, and the next one.
        if (y > d) {
            uint256 edge = Math.mulDiv(type(uint256).max, d, y);
            checkConversion(total, supply, edge, y, d, toShares, roundUp);
            checkConversion(total, supply, edge + 1, y, d, toShares, roundUp);
        }
    }

    function checkConversion(
        uint256 total,
        uint256 supply,
        uint256 amount,
        uint256 y,
        uint256 d,
        bool toShares,
        bool roundUp
    ) private view {
        (uint256 high, uint256 low) = Math.mul512(amount, y);
        (uint256 mostHigh, uint256 mostLow) = Math.mul512(type(uint256).max, d);
        bool saturates = high > mostHigh || (high == mostHigh && low > mostLow);
        uint256 expected = saturates
            ? type(uint256).max
            : Math.mulDiv(amount, y, d, roundUp ? Math.Rounding.Ceil : Math.Rounding.Floor);
        assertEq(BOOKS.convert(total, supply, amount, toShares, roundUp), expected);
    }

    function testFuzz_aSupplyFitsTheMarketAndCostsNoMoreThanItMay(
        uint256 supplyAssets,
        uint256 supplyShares,
        uint256 assets
    ) public view {
        supplyAssets = spread(supplyAssets, MAX_ASSETS);
        supplyShares = spread(supplyShares, MAX_ASSETS - VIRTUAL_SHARES);
        assets = spread(assets, type(uint256).max);
        (uint256 shares, uint256 cost) = BOOKS.sharesWithin(supplyAssets, supplyShares, assets);
        uint256 within = Math.min(assets, MAX_ASSETS - supplyAssets);
        uint256 expected = Math.mulDiv(within, supplyShares + VIRTUAL_SHARES, supplyAssets + 1);
        expected = Math.min(expected, MAX_ASSETS - VIRTUAL_SHARES - supplyShares);
        assertEq(shares, expected);
        assertEq(cost, Math.mulDiv(shares, supplyAssets + 1, supplyShares + VIRTUAL_SHARES, Math.Rounding.Ceil));
        assertLe(cost, assets);
        assertLe(supplyAssets + cost, MAX_ASSETS);
    }

    function testFuzz_aWithdrawalBurnsAllSharesForTheWholeValue(
        uint256 supplyAssets,
        uint256 supplyShares,
        uint256 counted,
        uint256 assets
    ) public view {
        supplyAssets = spread(supplyAssets, MAX_ASSETS);
        supplyShares = spread(supplyShares, MAX_ASSETS - VIRTUAL_SHARES);
        counted = bound(counted, 0, supplyShares);
        uint256 value = Math.mulDiv(counted, supplyAssets + 1, supplyShares + VIRTUAL_SHARES);
        assets = bound(assets, 0, value);
        assertEq(BOOKS.sharesFor(supplyAssets, supplyShares, counted, value, value), counted);
        if (assets == value) return;
        uint256 expected = Math.mulDiv(assets, supplyShares + VIRTUAL_SHARES, supplyAssets + 1, Math.Rounding.Ceil);
        assertEq(BOOKS.sharesFor(supplyAssets, supplyShares, counted, value, assets), expected);
    }

    function testFuzz_whatIsLiquidAndHowFarAMarketIsUsed(
        uint256 supplyAssets,
        uint256 borrowAssets,
        uint256 value,
        uint256 bps
    ) public view {
        supplyAssets = spread(supplyAssets, MAX_ASSETS);
        (borrowAssets, value) = (bound(borrowAssets, 0, supplyAssets), bound(value, 0, supplyAssets));
        assertEq(BOOKS.withdrawable(supplyAssets, borrowAssets, value), Math.min(value, supplyAssets - borrowAssets));
        bps = spread(bps, type(uint256).max);
        bool above = supplyAssets != 0 && bps <= 10_000 && borrowAssets * 10_000 > supplyAssets * bps;
        assertEq(BOOKS.isUtilisedAbove(supplyAssets, borrowAssets, bps), above);
    }
}
