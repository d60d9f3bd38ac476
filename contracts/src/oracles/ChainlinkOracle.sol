// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAggregatorV3} from "../interfaces/IAggregatorV3.sol";
import {IChainlinkOracle} from "../interfaces/IChainlinkOracle.sol";
import {IOracle} from "../interfaces/IOracle.sol";
import {PriceFeed, PriceFeedLib, Purpose} from "./libraries/PriceFeed.sol";
import {PriceMath} from "./libraries/PriceMath.sol";
import {SequencerUptime} from "./libraries/SequencerUptime.sol";
import {UniswapV3Twap} from "./libraries/UniswapV3Twap.sol";

/// @title Oracle over Chainlink feeds.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice The price is `base1 × base2 × 10^exponent / (quote1 × quote2)`, in one exact division rounded down. For
/// borrowing the feeds must be fresher and within their aggregators' limits, the sequencer up, and the pool's average,
/// if there is one, close; the lower of the two prices is then used.
contract ChainlinkOracle is IOracle, IChainlinkOracle {
    /// @dev Chainlink's feeds have 8 or 18 decimals.
    uint256 private constant MAX_FEED_DECIMALS = 18;
    /// @dev The lowest price at construction, so that rounding is below a billionth, and below a thousandth after a
    /// fall by a factor of a million.
    uint256 private constant MIN_INITIAL_PRICE = 1e9;
    uint256 private constant MAX_EXPECTED_FACTOR = 10;

    address private immutable COLLATERAL_TOKEN;
    address private immutable LOAN_TOKEN;

    PriceFeed private immutable BASE_1;
    PriceFeed private immutable BASE_2;
    PriceFeed private immutable QUOTE_1;
    PriceFeed private immutable QUOTE_2;
    /// @dev 10^exponent if the exponent is positive, else 1; and 10^-exponent if it is negative, else 1.
    uint256 private immutable SCALE_UP;
    uint256 private immutable SCALE_DOWN;

    address private immutable SEQUENCER_UPTIME_FEED;
    uint256 private immutable SEQUENCER_GRACE_SECS;

    address private immutable TWAP_POOL;
    uint256 private immutable TWAP_WINDOW_SECS;
    uint256 private immutable TWAP_BLOCK_SECS;
    uint256 private immutable TWAP_MAX_DEVIATION_BPS;

    constructor(Setup memory given, ExpectedRange memory expected) {
        (uint256 collateralDecimals, uint256 loanDecimals) =
            PriceMath.tokenDecimals(given.collateralToken, given.loanToken);
        COLLATERAL_TOKEN = given.collateralToken;
        LOAN_TOKEN = given.loanToken;

        _checkFeedList(given.baseFeeds, given.quoteFeeds);
        BASE_1 = _feedAt(given.baseFeeds, 0);
        BASE_2 = _feedAt(given.baseFeeds, 1);
        QUOTE_1 = _feedAt(given.quoteFeeds, 0);
        QUOTE_2 = _feedAt(given.quoteFeeds, 1);
        (SCALE_UP, SCALE_DOWN) = _scale(
            int256(PriceMath.PRICE_DECIMALS) + int256(loanDecimals) - int256(collateralDecimals)
                + _decimals(given.quoteFeeds) - _decimals(given.baseFeeds)
        );

        SequencerUptime.check(given.sequencer);
        SEQUENCER_UPTIME_FEED = given.sequencer.uptimeFeed;
        SEQUENCER_GRACE_SECS = given.sequencer.graceSecs;

        UniswapV3Twap.check(given.twap, given.collateralToken, given.loanToken);
        TWAP_POOL = given.twap.pool;
        TWAP_WINDOW_SECS = given.twap.windowSecs;
        TWAP_BLOCK_SECS = given.twap.blockSecs;
        TWAP_MAX_DEVIATION_BPS = given.twap.maxDeviationBps;

        uint256 price = _feedPrice(Purpose.Liquidation);
        if (price < MIN_INITIAL_PRICE) revert PriceTooCoarse(price, MIN_INITIAL_PRICE);
        _checkExpected(price, expected, collateralDecimals, loanDecimals);
        _lowerOfTwap(price);
    }

    /* PRICES */

    /// @inheritdoc IOracle
    function liquidationPrice() external view returns (uint256) {
        return _feedPrice(Purpose.Liquidation);
    }

    /// @inheritdoc IOracle
    function borrowPrice() external view returns (uint256) {
        if (SEQUENCER_UPTIME_FEED != address(0)) {
            SequencerUptime.requireUpSince(SEQUENCER_UPTIME_FEED, SEQUENCER_GRACE_SECS);
        }
        return _lowerOfTwap(_feedPrice(Purpose.Borrowing));
    }

    /// @dev Two answers multiply without overflow, since each fits 128 bits. Dividing by the quote and then by the
    /// scale rounds like one division by both.
    function _feedPrice(Purpose purpose) private view returns (uint256 price) {
        uint256 numerator;
        uint256 denominator;
        unchecked {
            numerator = BASE_1.answerOrOne(purpose) * BASE_2.answerOrOne(purpose);
            denominator = QUOTE_1.answerOrOne(purpose) * QUOTE_2.answerOrOne(purpose);
        }
        price = PriceMath.mulDivDown(numerator, SCALE_UP, denominator) / SCALE_DOWN;
        if (price == 0) revert PriceRoundsToZero(numerator, denominator);
    }

    /// @dev Returns the lower of the feed price and the pool's average. The bound on their deviation is below 100 %, so
    /// a pool's price of 0 is always refused.
    function _lowerOfTwap(uint256 feedPrice) private view returns (uint256 lower) {
        if (TWAP_POOL == address(0)) return feedPrice;

        uint256 twapPrice = UniswapV3Twap.priceDown(TWAP_POOL, TWAP_WINDOW_SECS, COLLATERAL_TOKEN < LOAN_TOKEN);
        uint256 higher;
        (lower, higher) = feedPrice < twapPrice ? (feedPrice, twapPrice) : (twapPrice, feedPrice);
        uint256 gap = higher - lower;
        if (gap > PriceMath.mulDivDown(higher, TWAP_MAX_DEVIATION_BPS, UniswapV3Twap.BPS)) {
            revert TwapDeviates(feedPrice, twapPrice, TWAP_MAX_DEVIATION_BPS);
        }
    }

    /* CONFIGURATION */

    /// @inheritdoc IChainlinkOracle
    function setup() external view returns (Setup memory) {
        return Setup({
            collateralToken: COLLATERAL_TOKEN,
            loanToken: LOAN_TOKEN,
            baseFeeds: _feedList(BASE_1, BASE_2),
            quoteFeeds: _feedList(QUOTE_1, QUOTE_2),
            sequencer: Sequencer({uptimeFeed: SEQUENCER_UPTIME_FEED, graceSecs: uint32(SEQUENCER_GRACE_SECS)}),
            twap: Twap({
                pool: TWAP_POOL,
                windowSecs: uint32(TWAP_WINDOW_SECS),
                blockSecs: uint32(TWAP_BLOCK_SECS),
                maxDeviationBps: uint16(TWAP_MAX_DEVIATION_BPS)
            })
        });
    }

    /// @inheritdoc IChainlinkOracle
    function describe() external view returns (string memory) {
        return string.concat(_describeProduct(BASE_1, BASE_2), " over ", _describeProduct(QUOTE_1, QUOTE_2));
    }

    function _feedList(PriceFeed first, PriceFeed second) private pure returns (Feed[] memory list) {
        list = new Feed[](second.exists() ? 2 : first.exists() ? 1 : 0);
        if (first.exists()) list[0] = first.toConfig();
        if (second.exists()) list[1] = second.toConfig();
    }

    function _describeProduct(PriceFeed first, PriceFeed second) private view returns (string memory text) {
        if (!first.exists()) return "1";
        text = _describeFeed(first);
        if (second.exists()) text = string.concat(text, " x ", _describeFeed(second));
    }

    function _describeFeed(PriceFeed feed) private view returns (string memory) {
        return string.concat("[", IAggregatorV3(feed.aggregator()).description(), "]");
    }

    /* CONSTRUCTION */

    function _checkFeedList(Feed[] memory baseFeeds, Feed[] memory quoteFeeds) private pure {
        (uint256 bases, uint256 quotes) = (baseFeeds.length, quoteFeeds.length);
        if (bases > 2 || quotes > 2 || bases + quotes == 0) revert FeedCountOutOfBounds(bases, quotes);

        // A feed divided by itself is a constant, and a feed times itself is no price.
        for (uint256 i = 1; i < bases + quotes; ++i) {
            address later = (i < bases ? baseFeeds[i] : quoteFeeds[i - bases]).aggregator;
            for (uint256 j = 0; j < i; ++j) {
                address earlier = (j < bases ? baseFeeds[j] : quoteFeeds[j - bases]).aggregator;
                if (later == earlier) revert DuplicateFeed(later);
            }
        }
    }

    function _feedAt(Feed[] memory feeds, uint256 index) private view returns (PriceFeed) {
        return index < feeds.length ? PriceFeedLib.fromConfig(feeds[index]) : PriceFeedLib.NONE;
    }

    function _decimals(Feed[] memory feeds) private view returns (int256 sum) {
        for (uint256 i = 0; i < feeds.length; ++i) {
            sum += int256(PriceMath.decimalsOf(feeds[i].aggregator, MAX_FEED_DECIMALS));
        }
    }

    function _scale(int256 exponent) private pure returns (uint256 up, uint256 down) {
        int256 max = int256(PriceMath.MAX_EXPONENT);
        if (exponent > max) revert ScaleOutOfBounds(exponent, max);
        return exponent >= 0 ? (10 ** uint256(exponent), uint256(1)) : (uint256(1), 10 ** uint256(-exponent));
    }

    function _checkExpected(
        uint256 price,
        ExpectedRange memory expected,
        uint256 collateralDecimals,
        uint256 loanDecimals
    ) private pure {
        (uint256 low, uint256 high) = (expected.lowE18, expected.highE18);
        if (low == 0 || high <= low || (high - 1) / MAX_EXPECTED_FACTOR >= low) {
            revert ExpectedRangeOutOfBounds(low, high);
        }

        // price = whole × 10^(36 + loan − collateral), and `whole` is to be scaled by 10^18.
        uint256 whole = PriceMath.mulDivDown(price, 10 ** collateralDecimals, 10 ** (18 + loanDecimals));
        if (whole < low || whole > high) revert PriceOutsideExpectedRange(whole, low, high);
    }
}
