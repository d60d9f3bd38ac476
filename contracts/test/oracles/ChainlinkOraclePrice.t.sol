// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChainlinkOracle} from "plimsoll/interfaces/IChainlinkOracle.sol";
import {IOracle} from "plimsoll/interfaces/IOracle.sol";
import {ISettableFeed} from "plimsoll/interfaces/ISettableFeed.sol";
import {BigNat} from "./BigNat.sol";
import {OracleFixture} from "./OracleFixture.sol";

/// @title Tests of the price: configurations in use, exactness over all configurations, direction.
contract ChainlinkOraclePriceTest is OracleFixture {
    using BigNat for uint256[];

    /* WIRINGS THAT ARE IN USE */

    function test_ethOverUsdc() public {
        // 1e18 wei are worth 2500e6: price × 1e18 / 1e36 = 2500e6.
        assertBothPrices(newOracle(wethUsdcSetup(), 2500), 2500e24);
    }

    function test_depegOfTheLoanTokenRaisesThePrice() public {
        IOracle oracle = newOracle(wethUsdcSetup(), 2500);
        usdcUsd.setAnswer(0.88e8);
        assertBothPrices(oracle, uint256(2500e24) * 100 / 88);
    }

    function test_bitcoinWithEightDecimalsInDai() public {
        IChainlinkOracle.Setup memory given;
        given.collateralToken = newToken(8);
        given.loanToken = newToken(18);
        given.baseFeeds = listOf(newFeed(8, "BTC / USD", 65_000e8));
        given.quoteFeeds = listOf(newFeed(8, "DAI / USD", 1e8));
        assertBothPrices(newOracle(given, 65_000), 65_000e46);
    }

    function test_twoFeedsOfDifferentDecimalsMultiplied() public {
        IChainlinkOracle.Setup memory given;
        given.collateralToken = newToken(18);
        given.loanToken = usdc;
        given.baseFeeds = listOf(newFeed(18, "wstETH / stETH", 1.2e18), ethUsd);
        assertBothPrices(newOracle(given, 3000), 3000e24);
    }

    function test_ratioFeedOverNothing() public {
        IChainlinkOracle.Setup memory given;
        given.collateralToken = newToken(18);
        given.loanToken = weth;
        given.baseFeeds = listOf(newFeed(18, "stETH / ETH", 0.9991e18));
        assertBothPrices(newOracle(given, 1), 0.9991e36);
    }

    function test_dollarOverOneFeed() public {
        IChainlinkOracle.Setup memory given;
        given.collateralToken = usdc;
        given.loanToken = weth;
        given.quoteFeeds = listOf(ethUsd);
        bytes memory initCode = oracleInitCode(given, IChainlinkOracle.ExpectedRange(0.0002e18, 0.001e18));
        // 1e6 units are worth 1/2500 of 1e18.
        assertBothPrices(IOracle(this.create(initCode)), 0.0004e48);
    }

    function test_twoFeedsOverTwoFeeds() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.baseFeeds = listOf(newFeed(18, "weETH / ETH", 1.04e18), ethUsd);
        given.quoteFeeds = listOf(newFeed(18, "sUSDC / USDC", 1.25e18), usdcUsd);
        assertBothPrices(newOracle(given, 2080), 2080e24);
    }

    function test_roundsDownOnce() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.quoteFeeds = listOf(usdcUsd, newFeed(0, "thirds", 3));
        usdcUsd.setAnswer(1e8 + 1);
        // 2500e8 × 10^(36 + 6 + 8 − 18 − 8) / (100000001 × 3), by hand.
        assertBothPrices(newOracle(given, 833), 833333325000000083333332500);
    }

    /* EXACT, WHATEVER IS WIRED */

    struct Wiring {
        uint8 collateralDecimals;
        uint8 loanDecimals;
        uint8 bases;
        uint8 quotes;
        uint8[4] feedDecimals;
        uint128[4] answers;
        uint8[4] shifts;
    }

    /// @notice The defining sentence of `IOracle`, cross-multiplied in plain numbers of any size (attack 4):
    /// price × quotes × 10^(collateral + bases' decimals) ≤ bases × 10^(36 + loan + quotes' decimals) < (price + 1) × …
    function testFuzz_priceIsTheExactQuotientRoundedDown(Wiring memory wiring) public {
        (IOracle oracle, ISettableFeed[4] memory feeds) = _wire(wiring);

        uint256[] memory numerator = BigNat.from(1).timesPowerOfTen(36 + uint256(wiring.loanDecimals));
        uint256[] memory unit = BigNat.from(1).timesPowerOfTen(wiring.collateralDecimals);
        for (uint256 i = 0; i < 4; ++i) {
            if (address(feeds[i]) == address(0)) continue;
            // Shifted, so that small answers are as likely as large ones.
            uint128 answer = uint128(bound(wiring.answers[i] >> (wiring.shifts[i] % 128), 1, type(uint128).max));
            feeds[i].setAnswer(int192(uint192(answer)));
            bool isBase = i < 2;
            numerator = isBase ? numerator.times(answer) : numerator.timesPowerOfTen(wiring.feedDecimals[i]);
            unit = isBase ? unit.timesPowerOfTen(wiring.feedDecimals[i]) : unit.times(answer);
        }

        try oracle.liquidationPrice() returns (uint256 price) {
            assertGt(price, 0);
            assertFalse(numerator.lessThan(_timesWord(unit, price)), "rounded up");
            assertTrue(numerator.lessThan(_timesWord(unit, price).plus(unit)), "lost more than the remainder");
            assertEq(oracle.borrowPrice(), price, "fresh feeds and nothing else: one price");
        } catch (bytes memory reason) {
            if (bytes4(reason) == IChainlinkOracle.PriceRoundsToZero.selector) {
                assertTrue(numerator.lessThan(unit), "refused a price that is not 0");
            } else {
                assertEq(bytes4(reason), IChainlinkOracle.PriceOverflows.selector);
                assertFalse(
                    numerator.lessThan(unit.times(1 << 127).times(1 << 127).times(4)), "refused a price that fits"
                );
            }
            vm.expectRevert(reason);
            oracle.borrowPrice();
        }
    }

    function testFuzz_higherBaseNeverLowersAndHigherQuoteNeverRaises(uint128 answer, uint128 raise, uint128 other)
        public
    {
        IOracle oracle = newOracle(wethUsdcSetup(), 2500);
        answer = uint128(bound(answer, 1, type(uint128).max - 1));
        raise = uint128(bound(raise, 1, type(uint128).max - answer));
        // The widest range in which no price rounds to 0.
        other = uint128(bound(other, 1, 1e24));

        ethUsd.setAnswer(int192(uint192(answer)));
        usdcUsd.setAnswer(int192(uint192(other)));
        uint256 before = oracle.liquidationPrice();
        ethUsd.setAnswer(int192(uint192(answer + raise)));
        assertGe(oracle.liquidationPrice(), before, "base");

        usdcUsd.setAnswer(int192(uint192(other + raise % 1e24)));
        ethUsd.setAnswer(int192(uint192(answer)));
        assertLe(_priceOrZero(oracle), before, "quote");
    }

    /* WHAT IT SAYS OF ITSELF */

    function test_setupReturnsTheConstructorArguments() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.baseFeeds[0].borrowMaxAge = 4000;
        given.baseFeeds[0].liquidationMaxAge = NO_AGE_LIMIT;
        given.quoteFeeds = listOf(newFeed(18, "sUSDC / USDC", 1e18), usdcUsd);
        given.sequencer = IChainlinkOracle.Sequencer(address(newFeed(0, "Sequencer", 0)), 1800);
        IOracle oracle = newOracle(given, 2500);
        assertEq(abi.encode(IChainlinkOracle(address(oracle)).setup()), abi.encode(given));
    }

    function test_describesItselfInTheFeedsWords() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.baseFeeds = listOf(newFeed(18, "weETH / ETH", 1e18), ethUsd);
        assertEq(
            IChainlinkOracle(address(newOracle(given, 2500))).describe(),
            "[weETH / ETH (settable)] x [ETH / USD (settable)] over [USDC / USD (settable)]"
        );
        given.quoteFeeds = listOf();
        given.baseFeeds = listOf(ethUsd);
        assertEq(IChainlinkOracle(address(newOracle(given, 2500))).describe(), "[ETH / USD (settable)] over 1");
    }

    /* HELPERS */

    /// @dev Wires feeds that all say 1, which every oracle accepts, whatever its decimals.
    function _wire(Wiring memory wiring) private returns (IOracle oracle, ISettableFeed[4] memory feeds) {
        wiring.collateralDecimals = uint8(bound(wiring.collateralDecimals, 0, 36));
        // At most 27 fewer: with fewer still, a price of 1 is too coarse.
        uint256 fewest = wiring.collateralDecimals > 27 ? wiring.collateralDecimals - 27 : 0;
        wiring.loanDecimals = uint8(bound(wiring.loanDecimals, fewest, 36));
        wiring.bases = uint8(bound(wiring.bases, 0, 2));
        wiring.quotes = uint8(bound(wiring.quotes, wiring.bases == 0 ? 1 : 0, 2));

        int256 room = 77 - (36 + int256(uint256(wiring.loanDecimals)) - int256(uint256(wiring.collateralDecimals)));
        for (uint256 i = 0; i < 4; ++i) {
            bool isBase = i < 2;
            if (isBase ? i >= wiring.bases : i - 2 >= wiring.quotes) continue;
            uint256 most = isBase || room > 18 ? 18 : uint256(room);
            wiring.feedDecimals[i] = uint8(bound(wiring.feedDecimals[i], 0, most));
            room += int256(uint256(wiring.feedDecimals[i])) * (isBase ? int256(1) : -1);
            feeds[i] = newFeed(wiring.feedDecimals[i], "one", int192(uint192(10 ** wiring.feedDecimals[i])));
        }

        IChainlinkOracle.Setup memory given;
        given.collateralToken = newToken(wiring.collateralDecimals);
        given.loanToken = newToken(wiring.loanDecimals);
        given.baseFeeds = _list(feeds[0], feeds[1]);
        given.quoteFeeds = _list(feeds[2], feeds[3]);
        oracle = newOracle(given, 1);
    }

    function _list(ISettableFeed first, ISettableFeed second) private pure returns (IChainlinkOracle.Feed[] memory) {
        if (address(second) != address(0)) return listOf(first, second);
        return address(first) != address(0) ? listOf(first) : listOf();
    }

    function _timesWord(uint256[] memory a, uint256 word) private pure returns (uint256[] memory) {
        return a.times(word >> 128).times(1 << 127).times(2).plus(a.times(uint128(word)));
    }

    function _priceOrZero(IOracle oracle) private view returns (uint256) {
        try oracle.liquidationPrice() returns (uint256 price) {
            return price;
        } catch {
            return 0;
        }
    }
}
