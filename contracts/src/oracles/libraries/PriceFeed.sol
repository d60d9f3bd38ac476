// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChainlinkOracle} from "../../interfaces/IChainlinkOracle.sol";
import {LatestRound} from "./LatestRound.sol";

/// @notice A feed and its two ages in one word, so that it fits an immutable: the aggregator in the low 160 bits, the
/// age for borrowing in the next 32, the age for liquidation above. 0 is no feed.
type PriceFeed is uint256;

/// @notice What a price is wanted for decides how old it may be.
enum Purpose {
    Borrowing,
    Liquidation
}

using PriceFeedLib for PriceFeed global;

/// @title A price feed with a maximum age per purpose
/// @notice Promises that an answer it returns is positive, fits 128 bits (so that two multiply exactly) and is of an
/// age allowed for the purpose.
library PriceFeedLib {
    uint256 internal constant MIN_AGE = 60;
    uint256 internal constant MAX_BORROW_AGE = 7 days;
    uint256 internal constant MAX_LIQUIDATION_AGE = 30 days;
    uint256 internal constant NO_AGE_LIMIT = type(uint32).max;

    PriceFeed internal constant NONE = PriceFeed.wrap(0);

    /// @dev The least age catches hours and minutes written for seconds, the greatest catches milliseconds.
    function fromConfig(IChainlinkOracle.Feed memory config) internal view returns (PriceFeed) {
        address feed = config.aggregator;
        if (feed.code.length == 0) revert IChainlinkOracle.NotAContract("feed", feed);

        uint256 borrowAge = config.borrowMaxAge;
        if (borrowAge < MIN_AGE || borrowAge > MAX_BORROW_AGE) {
            revert IChainlinkOracle.BorrowAgeOutOfBounds(feed, borrowAge, MIN_AGE, MAX_BORROW_AGE);
        }
        uint256 liquidationAge = config.liquidationMaxAge;
        if (liquidationAge < borrowAge || (liquidationAge > MAX_LIQUIDATION_AGE && liquidationAge != NO_AGE_LIMIT)) {
            revert IChainlinkOracle.LiquidationAgeOutOfBounds(feed, liquidationAge, borrowAge, MAX_LIQUIDATION_AGE);
        }
        return PriceFeed.wrap(uint256(uint160(feed)) | (borrowAge << 160) | (liquidationAge << 192));
    }

    function toConfig(PriceFeed self) internal pure returns (IChainlinkOracle.Feed memory) {
        return IChainlinkOracle.Feed({
            aggregator: self.aggregator(),
            borrowMaxAge: uint32(self.maxAge(Purpose.Borrowing)),
            liquidationMaxAge: uint32(self.maxAge(Purpose.Liquidation))
        });
    }

    function exists(PriceFeed self) internal pure returns (bool) {
        return PriceFeed.unwrap(self) != 0;
    }

    function aggregator(PriceFeed self) internal pure returns (address) {
        return address(uint160(PriceFeed.unwrap(self)));
    }

    function maxAge(PriceFeed self, Purpose purpose) internal pure returns (uint256) {
        return uint32(PriceFeed.unwrap(self) >> (purpose == Purpose.Borrowing ? 160 : 192));
    }

    /// @notice The feed's answer, or 1 where there is no feed, since answers are multiplied.
    function answerOrOne(PriceFeed self, Purpose purpose) internal view returns (uint256) {
        if (!self.exists()) return 1;

        address feed = self.aggregator();
        (int256 answer,, uint256 updatedAt) = LatestRound.read(feed);
        if (answer <= 0 || answer > int256(uint256(type(uint128).max))) {
            revert IChainlinkOracle.AnswerOutOfBounds(feed, answer);
        }
        // A time ahead would make a feed that stopped look fresh for as long as it lies ahead, so it is refused for
        // liquidation, too: a Chainlink answer carries the time of the block that holds it, never a later one.
        if (updatedAt == 0 || updatedAt > block.timestamp) {
            revert IChainlinkOracle.AnswerTimeInvalid(feed, updatedAt, block.timestamp);
        }
        uint256 allowed = self.maxAge(purpose);
        if (block.timestamp - updatedAt > allowed && allowed != NO_AGE_LIMIT) {
            revert IChainlinkOracle.AnswerTooOld(feed, updatedAt, allowed);
        }
        return uint256(answer);
    }
}
