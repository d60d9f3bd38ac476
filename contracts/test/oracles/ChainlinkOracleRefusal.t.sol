// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAggregatorV3} from "plimsoll/interfaces/IAggregatorV3.sol";
import {IChainlinkOracle} from "plimsoll/interfaces/IChainlinkOracle.sol";
import {IOracle} from "plimsoll/interfaces/IOracle.sol";
import {ISettableFeed} from "plimsoll/interfaces/ISettableFeed.sol";
import {OracleFixture} from "./OracleFixture.sol";

/// @notice A good round with a megabyte of zeros after it.
contract EndlessFeed {
    function decimals() external pure returns (uint8) {
        return 8;
    }

    function latestRoundData() external view {
        assembly {
            mstore(0x20, 2500)
            mstore(0x60, timestamp())
            return(0, 0x100000)
        }
    }
}

/// @title Tests of errors when reading a price: a broken feed never makes a loan healthy (attacks 4 and 7).
contract ChainlinkOracleRefusalTest is OracleFixture {
    IOracle private oracle;

    function setUp() public override {
        super.setUp();
        oracle = newOracle(wethUsdcSetup(), 2500);
    }

    /* ANSWERS */

    function test_attack07_zeroAnswer() public {
        ethUsd.setAnswer(0);
        expectBothRefused(oracle, _answerOutOfBounds(ethUsd, 0));
    }

    function test_attack07_zeroAnswerOfTheQuoteDoesNotDivide() public {
        usdcUsd.setAnswer(0);
        expectBothRefused(oracle, _answerOutOfBounds(usdcUsd, 0));
    }

    function test_attack07_twoNegativeAnswersDoNotMakeAPrice() public {
        ethUsd.setAnswer(-2500e8);
        usdcUsd.setAnswer(-1e8);
        expectBothRefused(oracle, _answerOutOfBounds(ethUsd, -2500e8));
    }

    function testFuzz_attack07_answersOutOfBoundsAreRefused(int256 answer) public {
        vm.assume(answer <= 0 || answer >= 1 << 128);
        mockRound(ethUsd, answer, block.timestamp, block.timestamp);
        expectBothRefused(oracle, _answerOutOfBounds(ethUsd, answer));
    }

    function test_largestAnswerIsAcceptedAndOneMoreIsNot() public {
        ethUsd.setAnswer(int192(uint192(type(uint128).max)));
        assertBothPrices(oracle, uint256(type(uint128).max) * 1e16);
        ethUsd.setAnswer(1 << 128);
        expectBothRefused(oracle, _answerOutOfBounds(ethUsd, 1 << 128));
    }

    /// @notice There is no sanity bound around a price: a jump passes as it is, since a bound would stop liquidation
    /// exactly when it is needed.
    function test_attack07_jumpPassesAtOnce() public {
        ethUsd.setAnswer(1);
        assertBothPrices(oracle, 1e16);
        ethUsd.setAnswer(2500e14);
        assertBothPrices(oracle, 2500e30);
    }

    /* SCALE */

    function test_attack04_priceThatRoundsToZeroIsRefused() public {
        ethUsd.setAnswer(1);
        usdcUsd.setAnswer(1e24 + 1);
        expectBothRefused(oracle, abi.encodeWithSelector(IChainlinkOracle.PriceRoundsToZero.selector, 1, 1e24 + 1));
        usdcUsd.setAnswer(1e24);
        assertBothPrices(oracle, 1);
    }

    function test_attack04_priceThatDoesNotFitIsRefused() public {
        IChainlinkOracle.Setup memory given;
        given.collateralToken = newToken(0);
        given.loanToken = newToken(30);
        ISettableFeed base = newFeed(0, "base", 1);
        given.baseFeeds = listOf(base);
        IOracle wide = newOracle(given, 1);
        // 10^66 × 10^11 still fits 256 bits, 10^66 × 2·10^11 does not.
        base.setAnswer(1e11);
        assertBothPrices(wide, 1e77);
        base.setAnswer(2e11);
        expectBothRefused(wide, abi.encodeWithSelector(IChainlinkOracle.PriceOverflows.selector, 2e11, 1));
    }

    /* TIME */

    function test_attack07_staleForBorrowingIsStillGoodForLiquidation() public {
        uint256 given = vm.getBlockTimestamp();
        skip(HOUR);
        assertBothPrices(oracle, 2500e24);
        skip(1);
        assertEq(oracle.liquidationPrice(), 2500e24);
        expectBorrowRefused(oracle, _tooOld(ethUsd, given, HOUR));
    }

    function test_attack07_staleForLiquidationIsRefused() public {
        uint256 given = vm.getBlockTimestamp();
        skip(DAY);
        assertEq(oracle.liquidationPrice(), 2500e24);
        skip(1);
        vm.expectRevert(_tooOld(ethUsd, given, DAY));
        oracle.liquidationPrice();
        expectBorrowRefused(oracle, _tooOld(ethUsd, given, HOUR));
    }

    function test_eachFeedHasItsOwnAges() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.quoteFeeds[0].borrowMaxAge = 25 * HOUR;
        given.quoteFeeds[0].liquidationMaxAge = NO_AGE_LIMIT;
        IOracle patient = newOracle(given, 2500);
        uint256 usdcGiven = vm.getBlockTimestamp();

        skip(25 * HOUR);
        ethUsd.setAnswer(2400e8);
        assertBothPrices(patient, 2400e24);
        skip(1);
        ethUsd.setAnswer(2400e8);
        expectBorrowRefused(patient, _tooOld(usdcUsd, usdcGiven, 25 * HOUR));
    }

    function test_withoutALimitNoAgeStopsLiquidation() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.baseFeeds[0].liquidationMaxAge = NO_AGE_LIMIT;
        given.quoteFeeds[0].liquidationMaxAge = NO_AGE_LIMIT;
        IOracle patient = newOracle(given, 2500);
        skip(500 * 365 days);
        assertEq(patient.liquidationPrice(), 2500e24);
    }

    function test_attack07_timeZeroIsARoundNotFinished() public {
        ethUsd.setRound(2500e8, uint64(block.timestamp), 0);
        expectBothRefused(oracle, _timeInvalid(ethUsd, 0));
    }

    /// @notice A feed whose clock runs ahead would look fresh for as long, even when it has stopped.
    function test_attack07_timeAheadIsRefused() public {
        ethUsd.setRound(2500e8, uint64(block.timestamp), uint64(block.timestamp) + 1);
        expectBothRefused(oracle, _timeInvalid(ethUsd, block.timestamp + 1));
        skip(1);
        assertBothPrices(oracle, 2500e24);
    }

    /* FEEDS THAT FAIL */

    function test_revertingFeed() public {
        vm.mockCallRevert(address(usdcUsd), abi.encodeCall(IAggregatorV3.latestRoundData, ()), "No data present");
        expectBothRefused(oracle, abi.encodeWithSelector(IChainlinkOracle.FeedFailed.selector, usdcUsd));
    }

    function test_feedThatAnswersLessThanARound() public {
        bytes memory short = abi.encode(1, 2500e8, block.timestamp, block.timestamp);
        vm.mockCall(address(ethUsd), abi.encodeCall(IAggregatorV3.latestRoundData, ()), short);
        expectBothRefused(oracle, abi.encodeWithSelector(IChainlinkOracle.FeedFailed.selector, ethUsd));
    }

    function test_feedThatLostItsCode() public {
        vm.etch(address(ethUsd), "");
        expectBothRefused(oracle, abi.encodeWithSelector(IChainlinkOracle.FeedFailed.selector, ethUsd));
    }

    function test_endlessAnswerIsNotCopied() public {
        vm.etch(address(ethUsd), address(new EndlessFeed()).code);
        // The feed itself burns 2.2 million gas on its memory, and so would a caller that copied the data.
        assertEq(oracle.liquidationPrice{gas: 3_000_000}(), 2500e16);
    }

    /* BOTH PRICES TOGETHER */

    /// @notice `IOracle`'s promise: where borrowing has a price, liquidation has one, and it is not lower.
    function testFuzz_borrowPriceNeverExceedsLiquidationPrice(int192[2] memory answers, uint64[2] memory ages, bool odd)
        public
    {
        ISettableFeed[2] memory feeds = [ethUsd, usdcUsd];
        for (uint256 i = 0; i < 2; ++i) {
            int192 answer = odd ? answers[i] : int192(bound(answers[i], 1, 1e30));
            feeds[i].setRound(answer, 1, uint64(block.timestamp - bound(ages[i], 0, 2 * DAY)));
        }
        try oracle.borrowPrice() returns (uint256 price) {
            assertGt(price, 0);
            assertLe(price, oracle.liquidationPrice());
        } catch {}
        try oracle.liquidationPrice() returns (uint256 price) {
            assertGt(price, 0);
        } catch {
            vm.expectRevert();
            oracle.borrowPrice();
        }
    }

    /* REASONS */

    function _answerOutOfBounds(ISettableFeed feed, int256 answer) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IChainlinkOracle.AnswerOutOfBounds.selector, feed, answer);
    }

    function _timeInvalid(ISettableFeed feed, uint256 updatedAt) private view returns (bytes memory) {
        return
            abi.encodeWithSelector(IChainlinkOracle.AnswerTimeInvalid.selector, feed, updatedAt, vm.getBlockTimestamp());
    }

    function _tooOld(ISettableFeed feed, uint256 updatedAt, uint256 maxAge) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IChainlinkOracle.AnswerTooOld.selector, feed, updatedAt, maxAge);
    }
}
