// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAggregatorV3} from "plimsoll/interfaces/IAggregatorV3.sol";
import {IChainlinkOracle} from "plimsoll/interfaces/IChainlinkOracle.sol";
import {ISettableFeed} from "plimsoll/interfaces/ISettableFeed.sol";
import {OracleFixture} from "./OracleFixture.sol";

/// @notice Has code and nothing to say.
contract ContractWithoutFunctions {}

/// @title Tests of errors at construction, with their values (attack 7).
contract ChainlinkOracleConstructionTest is OracleFixture {
    address private constant NOBODY = address(0xdead);

    /* TOKENS */

    function test_tokensMustBeContracts() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.collateralToken = address(0);
        expectRefused(given, _notAContract("collateral token", address(0)));
        given.collateralToken = weth;
        given.loanToken = NOBODY;
        expectRefused(given, _notAContract("loan token", NOBODY));
    }

    /// @dev Too short an answer, and a long error.
    function test_decimalsMustBeAWord() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        bytes memory unreadable = abi.encodeWithSelector(IChainlinkOracle.DecimalsUnreadable.selector, usdc);
        bytes memory call = abi.encodeWithSignature("decimals()");
        vm.mockCall(usdc, call, new bytes(31));
        expectRefused(given, unreadable);
        vm.mockCallRevert(usdc, call, abi.encode(6));
        expectRefused(given, unreadable);
    }

    function test_tokensMustDiffer() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.loanToken = weth;
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.SameToken.selector, weth));
    }

    function test_tokensMustHaveDecimals() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.loanToken = address(new ContractWithoutFunctions());
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.DecimalsUnreadable.selector, given.loanToken));
    }

    function test_tokensHaveAtMost36Decimals() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.collateralToken = newToken(37);
        expectRefused(
            given, abi.encodeWithSelector(IChainlinkOracle.DecimalsOutOfBounds.selector, given.collateralToken, 37, 36)
        );
    }

    /* FEEDS */

    function test_oneFeedAtLeastAndTwoOnEitherSideAtMost() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.baseFeeds = listOf();
        given.quoteFeeds = listOf();
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.FeedCountOutOfBounds.selector, 0, 0));
        given.baseFeeds = new IChainlinkOracle.Feed[](3);
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.FeedCountOutOfBounds.selector, 3, 0));
        given.baseFeeds = listOf(ethUsd);
        given.quoteFeeds = new IChainlinkOracle.Feed[](3);
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.FeedCountOutOfBounds.selector, 1, 3));
    }

    function test_noFeedTwice() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        bytes memory ethTwice = abi.encodeWithSelector(IChainlinkOracle.DuplicateFeed.selector, ethUsd);
        given.baseFeeds = listOf(ethUsd, ethUsd);
        expectRefused(given, ethTwice);
        given.baseFeeds = listOf(usdcUsd, ethUsd);
        given.quoteFeeds = listOf(ethUsd);
        expectRefused(given, ethTwice);
        given.baseFeeds = listOf(usdcUsd);
        given.quoteFeeds = listOf(ethUsd, ethUsd);
        expectRefused(given, ethTwice);
    }

    function test_feedsMustBeContracts() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.quoteFeeds[0].aggregator = address(0);
        expectRefused(given, _notAContract("feed", address(0)));
        given.quoteFeeds[0].aggregator = NOBODY;
        expectRefused(given, _notAContract("feed", NOBODY));
    }

    function test_feedsHaveAtMost18Decimals() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        ISettableFeed fine = newFeed(19, "too fine", 1);
        given.baseFeeds = listOf(ethUsd, fine);
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.DecimalsOutOfBounds.selector, fine, 19, 18));
    }

    function test_feedsMustHaveDecimals() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.baseFeeds[0].aggregator = address(new ContractWithoutFunctions());
        expectRefused(
            given, abi.encodeWithSelector(IChainlinkOracle.DecimalsUnreadable.selector, given.baseFeeds[0].aggregator)
        );
    }

    function test_feedsMustAnswer() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        vm.mockCallRevert(address(usdcUsd), abi.encodeCall(IAggregatorV3.latestRoundData, ()), "");
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.FeedFailed.selector, usdcUsd));
    }

    function test_feedsMustAnswerWithinTheAgeForLiquidation() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        uint64 then = uint64(block.timestamp) - DAY - 1;
        ethUsd.setRound(2500e8, then, then);
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.AnswerTooOld.selector, ethUsd, then, DAY));
    }

    /* AGES */

    function test_borrowAgeBounds() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        _expectBorrowAgeRefused(given, 0);
        _expectBorrowAgeRefused(given, 24); // hours, not seconds
        _expectBorrowAgeRefused(given, 59);
        _expectBorrowAgeRefused(given, 7 days + 1);
        _expectBorrowAgeRefused(given, HOUR * 1000); // milliseconds
        given.baseFeeds[0].borrowMaxAge = 60;
        newOracle(given, 2500);
        given.baseFeeds[0] = IChainlinkOracle.Feed(address(ethUsd), 7 days, 7 days);
        newOracle(given, 2500);
    }

    function test_liquidationAgeBounds() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        _expectLiquidationAgeRefused(given, HOUR - 1); // below the age for borrowing
        _expectLiquidationAgeRefused(given, 30 days + 1);
        _expectLiquidationAgeRefused(given, NO_AGE_LIMIT - 1);
        given.baseFeeds[0].liquidationMaxAge = HOUR;
        newOracle(given, 2500);
        given.baseFeeds[0].liquidationMaxAge = 30 days;
        newOracle(given, 2500);
        given.baseFeeds[0].liquidationMaxAge = NO_AGE_LIMIT;
        newOracle(given, 2500);
    }

    /* SCALE */

    function test_attack04_scaleMustFit() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        // 36 + 30 + 18 − 8 + 2 = 78
        given.collateralToken = newToken(8);
        given.loanToken = newToken(30);
        given.baseFeeds = listOf(newFeed(0, "base", 1));
        given.quoteFeeds = listOf(newFeed(18, "quote", 1e18), newFeed(2, "quote", 100));
        bytes memory tooMuch =
            abi.encodeWithSelector(IChainlinkOracle.ScaleOutOfBounds.selector, int256(78), int256(77));
        expectRefused(given, tooMuch);
        given.quoteFeeds[1].aggregator = address(newFeed(1, "quote", 10));
        newOracle(given, 1);
    }

    function test_attack04_priceMustHaveEnoughDigits() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.collateralToken = newToken(36);
        given.loanToken = newToken(0);
        given.baseFeeds = listOf(newFeed(0, "base", 999_999_999));
        given.quoteFeeds = listOf();
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.PriceTooCoarse.selector, 1e9 - 1, 1e9));
        given.baseFeeds = listOf(newFeed(0, "base", 1e9));
        newOracle(given, 1e9);
    }

    /* EXPECTED RANGE */

    function test_attack07_ratioFeedWiredAsDollarFeedIsRefused() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        ISettableFeed ratio = newFeed(18, "stETH / ETH", 0.9991e18);
        given.baseFeeds = listOf(ratio);
        expectRefused(
            given,
            abi.encodeWithSelector(
                IChainlinkOracle.PriceOutsideExpectedRange.selector, 0.9991e18, 1250e18, uint256(5000e18)
            )
        );
        // With the feed that was forgotten it is right.
        given.baseFeeds = listOf(ratio, ethUsd);
        newOracle(given, 2500);
    }

    function test_attack07_feedWithWrongDecimalsIsRefused() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.baseFeeds = listOf(newFeed(18, "ETH / USD", 2500e8));
        expectRefused(
            given,
            abi.encodeWithSelector(
                IChainlinkOracle.PriceOutsideExpectedRange.selector, 2500e8, 1250e18, uint256(5000e18)
            )
        );
    }

    function test_attack07_baseAndQuoteSwappedAreRefused() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.baseFeeds = listOf(usdcUsd);
        given.quoteFeeds = listOf(ethUsd);
        expectRefused(
            given,
            abi.encodeWithSelector(
                IChainlinkOracle.PriceOutsideExpectedRange.selector, 0.0004e18, 1250e18, uint256(5000e18)
            )
        );
    }

    function test_expectedRangeIncludesItsEnds() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        _expectRange(given, 2500e18, 25_000e18, "");
        _expectRange(given, 250e18, 2500e18, "");
        bytes4 outside = IChainlinkOracle.PriceOutsideExpectedRange.selector;
        uint256 price = 2500e18;
        _expectRange(given, price + 1, 3000e18, abi.encodeWithSelector(outside, price, price + 1, 3000e18));
        _expectRange(given, 2000e18, price - 1, abi.encodeWithSelector(outside, price, 2000e18, price - 1));
    }

    function test_expectedRangeMustSaySomething() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        bytes4 meaningless = IChainlinkOracle.ExpectedRangeOutOfBounds.selector;
        _expectRange(given, 0, 5000e18, abi.encodeWithSelector(meaningless, 0, 5000e18));
        _expectRange(given, 2500e18, 2500e18, abi.encodeWithSelector(meaningless, 2500e18, 2500e18));
        _expectRange(given, 1000e18, 10_000e18 + 1, abi.encodeWithSelector(meaningless, 1000e18, 10_000e18 + 1));
        _expectRange(given, 1, type(uint256).max, abi.encodeWithSelector(meaningless, 1, type(uint256).max));
        // The lowest range says something.
        bytes4 outside = IChainlinkOracle.PriceOutsideExpectedRange.selector;
        _expectRange(given, 1, 10, abi.encodeWithSelector(outside, 2500e18, 1, 10));
    }

    /* SEQUENCER */

    function test_sequencerGraceBounds() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.sequencer.uptimeFeed = address(newFeed(0, "up", 0));
        _expectGraceRefused(given, 0, 60, DAY);
        _expectGraceRefused(given, 59, 60, DAY);
        _expectGraceRefused(given, DAY + 1, 60, DAY);
        given.sequencer.graceSecs = 60;
        newOracle(given, 2500);
        given.sequencer.graceSecs = DAY;
        newOracle(given, 2500);
        given.sequencer.uptimeFeed = address(0);
        _expectGraceRefused(given, HOUR, 0, 0);
    }

    function test_sequencerFeedMustBeAContractThatAnswers() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.sequencer = IChainlinkOracle.Sequencer(NOBODY, HOUR);
        expectRefused(given, _notAContract("sequencer uptime feed", NOBODY));
        address mute = address(new ContractWithoutFunctions());
        given.sequencer.uptimeFeed = mute;
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.FeedFailed.selector, mute));
    }

    function test_attack07_priceFeedWiredAsSequencerFeedIsRefused() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.sequencer = IChainlinkOracle.Sequencer(address(ethUsd), HOUR);
        expectRefused(given, abi.encodeWithSelector(IChainlinkOracle.NotASequencerFeed.selector, ethUsd, 2500e8));
    }

    /// @notice An oracle can be deployed while the sequencer is down: only borrowing has to wait.
    function test_sequencerMayBeDownAtConstruction() public {
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.sequencer = IChainlinkOracle.Sequencer(address(newFeed(0, "down", 1)), HOUR);
        newOracle(given, 2500);
    }

    /* HELPERS */

    function _expectBorrowAgeRefused(IChainlinkOracle.Setup memory given, uint32 age) private {
        given.baseFeeds[0].borrowMaxAge = age;
        expectRefused(
            given, abi.encodeWithSelector(IChainlinkOracle.BorrowAgeOutOfBounds.selector, ethUsd, age, 60, 7 days)
        );
    }

    function _expectLiquidationAgeRefused(IChainlinkOracle.Setup memory given, uint32 age) private {
        given.baseFeeds[0].liquidationMaxAge = age;
        expectRefused(
            given,
            abi.encodeWithSelector(IChainlinkOracle.LiquidationAgeOutOfBounds.selector, ethUsd, age, HOUR, 30 days)
        );
    }

    function _expectGraceRefused(IChainlinkOracle.Setup memory given, uint32 graceSecs, uint256 min, uint256 max)
        private
    {
        given.sequencer.graceSecs = graceSecs;
        expectRefused(
            given, abi.encodeWithSelector(IChainlinkOracle.SequencerGraceOutOfBounds.selector, graceSecs, min, max)
        );
    }

    function _expectRange(IChainlinkOracle.Setup memory given, uint256 lowE18, uint256 highE18, bytes memory reason)
        private
    {
        bytes memory initCode = oracleInitCode(given, IChainlinkOracle.ExpectedRange(lowE18, highE18));
        if (reason.length != 0) vm.expectRevert(reason);
        this.create(initCode);
    }

    function _notAContract(string memory role, address account) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IChainlinkOracle.NotAContract.selector, role, account);
    }
}
