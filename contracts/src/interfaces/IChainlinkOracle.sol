// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Oracle over Chainlink feeds, in addition to `IOracle`.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice The price is the product of up to two base feeds divided by the product of up to two quote feeds, scaled by
/// the decimals of feeds and tokens, in exact arithmetic rounded down once. Typical configurations:
///  - ETH / USD over USDC / USD, for WETH against USDC;
///  - wstETH / stETH × stETH / ETH without a quote feed, for wstETH against WETH;
///  - no base feed over ETH / USD, for a stablecoin that counts as a dollar against WETH.
/// The configuration is immutable and part of the code: no account can change it, and reading it accesses no storage.
interface IChainlinkOracle {
    /// @notice A feed and the maximum ages of its answer. How to choose them is described in `docs/reference/oracles.md`.
    /// @param aggregator the feed, normally Chainlink's proxy
    /// @param borrowMaxAge seconds, 60 to 7 days; a little more than the feed's heartbeat
    /// @param liquidationMaxAge seconds, `borrowMaxAge` to 30 days, or 2³² − 1 for no bound
    struct Feed {
        address aggregator;
        uint32 borrowMaxAge;
        uint32 liquidationMaxAge;
    }

    /// @notice The uptime feed of a layer 2's sequencer. All 0 for none.
    /// @param uptimeFeed Chainlink's sequencer uptime feed
    /// @param graceSecs how long borrowing is refused after the sequencer has come back: seconds, 60 to 1 day
    struct Sequencer {
        address uptimeFeed;
        uint32 graceSecs;
    }

    /// @notice A second price for borrowing: the time-weighted average price of a Uniswap V3 pool of the two tokens.
    /// All 0 for none.
    /// @param pool the pool
    /// @param windowSecs the window of the average: seconds, 300 to 1 day
    /// @param blockSecs the chain's block time: seconds, 1 to 60. The pool writes at most one observation a block,
    /// which determines how many it must keep for the window
    /// @param maxDeviationBps how far the lower of the two prices may be below the higher one, 10 to 5,000 basis points
    struct Twap {
        address pool;
        uint32 windowSecs;
        uint32 blockSecs;
        uint16 maxDeviationBps;
    }

    /// @notice The immutable configuration of an oracle.
    struct Setup {
        address collateralToken;
        address loanToken;
        Feed[] baseFeeds;
        Feed[] quoteFeeds;
        Sequencer sequencer;
        Twap twap;
    }

    /// @notice The range in which the deployer expects the value of one whole collateral token in whole loan tokens, ×
    /// 1e18.
    /// @dev Checked once, at construction, and not stored. It is the only protection against a feed with another
    /// meaning than intended, such as a ratio used as a dollar price, since contracts cannot interpret descriptions.
    struct ExpectedRange {
        uint256 lowE18;
        uint256 highE18;
    }

    /* ERRORS AT CONSTRUCTION */

    /// @notice `account`, given as `role`, has no code: a zero or a mistyped address, or one of another chain.
    error NotAContract(string role, address account);
    /// @notice Collateral and loan are the same token.
    error SameToken(address token);
    /// @notice There must be at least one feed, and at most two on either side.
    error FeedCountOutOfBounds(uint256 baseFeeds, uint256 quoteFeeds);
    /// @notice A feed is listed twice.
    error DuplicateFeed(address aggregator);
    /// @notice `source` does not return its decimals.
    error DecimalsUnreadable(address source);
    /// @notice `source` has more decimals than `max`.
    error DecimalsOutOfBounds(address source, uint256 decimals, uint256 max);
    /// @notice The feed's maximum age for borrowing is out of bounds.
    error BorrowAgeOutOfBounds(address aggregator, uint256 age, uint256 min, uint256 max);
    /// @notice The feed's maximum age for liquidation is out of bounds; the lowest is its maximum age for borrowing.
    error LiquidationAgeOutOfBounds(address aggregator, uint256 age, uint256 min, uint256 max);
    /// @notice The decimals result in a power of ten that does not fit 256 bits, so the price could not be computed
    /// exactly.
    error ScaleOutOfBounds(int256 exponent, int256 max);
    /// @notice The price has so few digits that rounding would change it noticeably.
    error PriceTooCoarse(uint256 price, uint256 min);
    /// @notice The expected range must be `0 < low < high ≤ 10 × low`; a wider range would check nothing.
    error ExpectedRangeOutOfBounds(uint256 lowE18, uint256 highE18);
    /// @notice The value of one whole collateral token is outside the expected range: check the meaning of each feed.
    error PriceOutsideExpectedRange(uint256 wholePriceE18, uint256 lowE18, uint256 highE18);
    /// @notice The grace is out of bounds, or given without a feed (`max` is 0).
    error SequencerGraceOutOfBounds(uint256 graceSecs, uint256 min, uint256 max);
    /// @notice The feed's answer is neither 0 nor 1, so it is not a sequencer uptime feed.
    error NotASequencerFeed(address uptimeFeed, int256 answer);
    /// @notice The window is out of bounds, or given without a pool (`max` is 0).
    error TwapWindowOutOfBounds(uint256 windowSecs, uint256 min, uint256 max);
    /// @notice The block time is out of bounds, or given without a pool (`max` is 0).
    error TwapBlockTimeOutOfBounds(uint256 blockSecs, uint256 min, uint256 max);
    /// @notice The deviation is out of bounds, or given without a pool (`max` is 0).
    error TwapDeviationOutOfBounds(uint256 maxDeviationBps, uint256 min, uint256 max);
    /// @notice The pool does not trade the two tokens; a token is 0 if the pool does not return it.
    error TwapPairMismatch(address pool, address token0, address token1);
    /// @notice The pool keeps too few observations for the window: call `increaseObservationCardinalityNext` on it and
    /// wait until they are written.
    error TwapCardinalityTooLow(address pool, uint256 cardinality, uint256 required);

    /* ERRORS WHEN READING A PRICE */

    /// @notice The feed reverted, or returned less than a round.
    error FeedFailed(address aggregator);
    /// @notice The answer is not between 1 and 2¹²⁸ − 1.
    error AnswerOutOfBounds(address aggregator, int256 answer);
    /// @notice The answer's time is 0, which means an unfinished round, or in the future, so that its age is unknown.
    error AnswerTimeInvalid(address aggregator, uint256 updatedAt, uint256 nowSecs);
    /// @notice The answer is older than allowed for this purpose.
    error AnswerTooOld(address aggregator, uint256 updatedAt, uint256 maxAge);
    /// @notice The price rounds to 0.
    error PriceRoundsToZero(uint256 numerator, uint256 denominator);
    /// @notice The price does not fit 256 bits.
    error PriceOverflows(uint256 numerator, uint256 denominator);
    /// @notice Borrowing only: the answer is at the lowest or the highest that its aggregator gives, so that the price may
    /// be anywhere beyond.
    error AnswerAtLimit(address aggregator, int256 answer, int256 min, int256 max);
    /// @notice Borrowing only: the sequencer is down.
    error SequencerDown(address uptimeFeed);
    /// @notice Borrowing only: the sequencer came back at `upSince` (0: unknown), and its grace has not passed.
    error SequencerInGrace(uint256 upSince, uint256 graceSecs);
    /// @notice Borrowing only: the pool has no average over the window.
    error TwapUnavailable(address pool, uint256 windowSecs);
    /// @notice Borrowing only: feeds and pool disagree by more than the bound.
    error TwapDeviates(uint256 feedPrice, uint256 twapPrice, uint256 maxDeviationBps);

    /// @notice Returns the configuration that was given at construction.
    function setup() external view returns (Setup memory);

    /// @notice Returns the configuration by the feeds' descriptions, to be read by a person before using the oracle:
    /// `"[wstETH / stETH] x [stETH / ETH] over 1"`.
    function describe() external view returns (string memory);
}
