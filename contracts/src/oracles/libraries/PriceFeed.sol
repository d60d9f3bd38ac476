// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChainlinkOracle} from "../../interfaces/IChainlinkOracle.sol";
import {AnswerLimits} from "./AnswerLimits.sol";
import {LatestRound} from "./LatestRound.sol";

/// @notice A feed and its two maximum ages in one word, so that it fits an immutable: the aggregator in the low 160
/// bits, the age for borrowing in the next 32, the age for liquidation above. 0 is no feed.
type PriceFeed is uint256;

/// @notice The purpose of reading a price, which determines its maximum age.
enum Purpose {
    Borrowing,
    Liquidation
}

using PriceFeedLib for PriceFeed global;

/// @title Price feed library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Reads a feed with a maximum age for each purpose. A returned answer is positive, fits 128 bits (so that the
/// product of two is exact) and is not older than the purpose allows; for borrowing it is not at a limit of its
/// aggregator.
library PriceFeedLib {
    uint256 internal constant MIN_AGE = 60;
    uint256 internal constant MAX_BORROW_AGE = 7 days;
    uint256 internal constant MAX_LIQUIDATION_AGE = 30 days;
    uint256 internal constant NO_AGE_LIMIT = type(uint32).max;

    PriceFeed internal constant NONE = PriceFeed.wrap(0);

    /// @notice Checks and packs a feed's configuration. Reverts if the feed has no code or an age is out of bounds.
    /// @dev The lowest age catches hours and minutes written as seconds, the highest catches milliseconds.
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

    /// @notice Returns a feed's configuration.
    function toConfig(PriceFeed self) internal pure returns (IChainlinkOracle.Feed memory) {
        return IChainlinkOracle.Feed({
            aggregator: self.aggregator(),
            borrowMaxAge: uint32(self.maxAge(Purpose.Borrowing)),
            liquidationMaxAge: uint32(self.maxAge(Purpose.Liquidation))
        });
    }

    /// @notice Returns whether there is a feed.
    function exists(PriceFeed self) internal pure returns (bool) {
        return PriceFeed.unwrap(self) != 0;
    }

    /// @notice Returns the feed's address; 0 without a feed.
    function aggregator(PriceFeed self) internal pure returns (address) {
        return address(uint160(PriceFeed.unwrap(self)));
    }

    /// @notice Returns the maximum age of an answer for a purpose, in seconds.
    function maxAge(PriceFeed self, Purpose purpose) internal pure returns (uint256) {
        return uint32(PriceFeed.unwrap(self) >> (purpose == Purpose.Borrowing ? 160 : 192));
    }

    /// @notice Returns the feed's answer, or 1 without a feed, since answers are multiplied. Reverts if the answer is
    /// out of bounds, too old, of an invalid time or, for borrowing, at a limit of the aggregator.
    function answerOrOne(PriceFeed self, Purpose purpose) internal view returns (uint256) {
        if (!self.exists()) return 1;

        address feed = self.aggregator();
        (int256 answer,, uint256 updatedAt) = LatestRound.read(feed);
        if (answer <= 0 || answer > int256(uint256(type(uint128).max))) {
            revert IChainlinkOracle.AnswerOutOfBounds(feed, answer);
        }
        // An answer's time in the future would make a feed that stopped look fresh until then, so it is refused for
        // liquidation, too. A Chainlink answer has the time of its block, never a later one.
        if (updatedAt == 0 || updatedAt > block.timestamp) {
            revert IChainlinkOracle.AnswerTimeInvalid(feed, updatedAt, block.timestamp);
        }
        uint256 allowed = self.maxAge(purpose);
        if (block.timestamp - updatedAt > allowed && allowed != NO_AGE_LIMIT) {
            revert IChainlinkOracle.AnswerTooOld(feed, updatedAt, allowed);
        }
        if (purpose == Purpose.Borrowing) AnswerLimits.requireWithin(feed, answer);
        return uint256(answer);
    }
}
