// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title An oracle over Chainlink feeds: `IOracle`, plus what it was made of and why it refuses
/// @notice The price is the product of up to two base feeds over the product of up to two quote feeds, with the
/// decimals of feeds and tokens folded in, in exact arithmetic rounded down once. Typical wirings:
///  - ETH / USD over USDC / USD, for WETH against USDC;
///  - wstETH / stETH × stETH / ETH over nothing, for wstETH against WETH;
///  - nothing over ETH / USD, for a stablecoin taken to be worth a dollar against WETH.
/// Everything is fixed at construction and lives in the code: nobody can change it, and reading it costs no storage.
interface IChainlinkOracle {
    /// @notice One feed and how old its answer may be. The reasons for choosing ages are in `docs/oracles.md`.
    /// @param aggregator the feed, normally Chainlink's proxy
    /// @param borrowMaxAge seconds, 60 to 7 days; a little more than the feed's heartbeat
    /// @param liquidationMaxAge seconds, `borrowMaxAge` to 30 days, or 2³² − 1 for no bound at all
    struct Feed {
        address aggregator;
        uint32 borrowMaxAge;
        uint32 liquidationMaxAge;
    }

    /// @notice On a layer 2: the feed that says whether the sequencer runs. All zero for none.
    /// @param uptimeFeed Chainlink's sequencer uptime feed
    /// @param graceSecs how long borrowing stays refused after the sequencer came back, 60 to 1 day
    struct Sequencer {
        address uptimeFeed;
        uint32 graceSecs;
    }

    /// @notice A second opinion for borrowing: the average price of a Uniswap V3 pool of the two tokens. All zero for
    /// none.
    /// @param pool the pool
    /// @param windowSecs what the average is taken over, 300 to 1 day
    /// @param blockSecs the chain's block time, 1 to 60: how often the pool may write an observation, and so how many
    /// it must keep for the window
    /// @param maxDeviationBps how far the lower of the two prices may lie under the higher one, 10 to 5,000 basis
    /// points
    struct Twap {
        address pool;
        uint32 windowSecs;
        uint32 blockSecs;
        uint16 maxDeviationBps;
    }

    /// @notice All that an oracle is made of.
    struct Setup {
        address collateralToken;
        address loanToken;
        Feed[] baseFeeds;
        Feed[] quoteFeeds;
        Sequencer sequencer;
        Twap twap;
    }

    /// @notice What whoever deploys expects one whole collateral token to be worth in whole loan tokens, × 1e18.
    /// @dev Checked once, at construction, and not kept. It is the only defence against a feed that says something else
    /// than was thought, such as a ratio wired as a dollar price: chains cannot read descriptions.
    struct ExpectedRange {
        uint256 lowE18;
        uint256 highE18;
    }

    /* REFUSED AT CONSTRUCTION */

    /// @notice `account`, named as `role`, has no code: a zero or a mistyped address, or one of another chain.
    error NotAContract(string role, address account);
    /// @notice Collateral and loan are the same token.
    error SameToken(address token);
    /// @notice There must be one feed at least, and at most two on either side.
    error FeedCountOutOfBounds(uint256 baseFeeds, uint256 quoteFeeds);
    /// @notice A feed is listed twice.
    error DuplicateFeed(address aggregator);
    /// @notice `source` does not say how many decimals it has.
    error DecimalsUnreadable(address source);
    /// @notice `source` has more decimals than `max`.
    error DecimalsOutOfBounds(address source, uint256 decimals, uint256 max);
    /// @notice The age up to which a feed is good for borrowing.
    error BorrowAgeOutOfBounds(address aggregator, uint256 age, uint256 min, uint256 max);
    /// @notice The age up to which a feed is good for liquidation; the least is its age for borrowing.
    error LiquidationAgeOutOfBounds(address aggregator, uint256 age, uint256 min, uint256 max);
    /// @notice Decimals combine to a power of ten that does not fit: the price could not be computed exactly.
    error ScaleOutOfBounds(int256 exponent, int256 max);
    /// @notice The price has so few digits that rounding would move it noticeably.
    error PriceTooCoarse(uint256 price, uint256 min);
    /// @notice The expected range must be `0 < low < high ≤ 10 × low`; a wider one expects nothing.
    error ExpectedRangeOutOfBounds(uint256 lowE18, uint256 highE18);
    /// @notice One whole collateral token is not worth what was expected: look for a feed that says something else.
    error PriceOutsideExpectedRange(uint256 wholePriceE18, uint256 lowE18, uint256 highE18);
    /// @notice Grace out of bounds, or a grace without a feed (`max` is 0).
    error SequencerGraceOutOfBounds(uint256 graceSecs, uint256 min, uint256 max);
    /// @notice A sequencer's state is 0 or 1; a feed that says something else is not one.
    error NotASequencerFeed(address uptimeFeed, int256 answer);
    /// @notice Window out of bounds, or a window without a pool (`max` is 0).
    error TwapWindowOutOfBounds(uint256 windowSecs, uint256 min, uint256 max);
    /// @notice Block time out of bounds, or a block time without a pool (`max` is 0).
    error TwapBlockTimeOutOfBounds(uint256 blockSecs, uint256 min, uint256 max);
    /// @notice Deviation out of bounds, or a deviation without a pool (`max` is 0).
    error TwapDeviationOutOfBounds(uint256 maxDeviationBps, uint256 min, uint256 max);
    /// @notice The pool does not trade the two tokens (zero where it does not even say what it trades).
    error TwapPairMismatch(address pool, address token0, address token1);
    /// @notice The pool keeps too few observations for the window: call `increaseObservationCardinalityNext` on it and
    /// wait until they are written.
    error TwapCardinalityTooLow(address pool, uint256 cardinality, uint256 required);

    /* REFUSED WHEN ASKED FOR A PRICE */

    /// @notice The feed reverted, or answered less than a round.
    error FeedFailed(address aggregator);
    /// @notice The answer is not between 1 and 2¹²⁸ − 1.
    error AnswerOutOfBounds(address aggregator, int256 answer);
    /// @notice The answer's time is 0, which is a round not finished, or lies ahead: its age could never be told.
    error AnswerTimeInvalid(address aggregator, uint256 updatedAt, uint256 nowSecs);
    /// @notice The answer is older than allowed for this purpose.
    error AnswerTooOld(address aggregator, uint256 updatedAt, uint256 maxAge);
    /// @notice The price rounds to 0.
    error PriceRoundsToZero(uint256 numerator, uint256 denominator);
    /// @notice The price does not fit 256 bits.
    error PriceOverflows(uint256 numerator, uint256 denominator);
    /// @notice Borrowing only: the sequencer is down.
    error SequencerDown(address uptimeFeed);
    /// @notice Borrowing only: the sequencer came back at `upSince` (0: unknown) and borrowing waits for the grace to
    /// pass.
    error SequencerInGrace(uint256 upSince, uint256 graceSecs);
    /// @notice Borrowing only: the pool could not tell its average over the window.
    error TwapUnavailable(address pool, uint256 windowSecs);
    /// @notice Borrowing only: feeds and pool disagree by more than the bound.
    error TwapDeviates(uint256 feedPrice, uint256 twapPrice, uint256 maxDeviationBps);

    /// @notice What the oracle was made of, as given at construction.
    function setup() external view returns (Setup memory);

    /// @notice The wiring in the feeds' own words, for a person to read before trusting it:
    /// `"[wstETH / stETH] x [stETH / ETH] over 1"`.
    function describe() external view returns (string memory);
}
