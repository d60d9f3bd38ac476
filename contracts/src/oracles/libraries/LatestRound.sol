// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAggregatorV3} from "../../interfaces/IAggregatorV3.sol";
import {IChainlinkOracle} from "../../interfaces/IChainlinkOracle.sol";

/// @title Latest round reading library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Whatever a feed does – revert, return too little, return megabytes – the result is a round or `FeedFailed`,
/// and no more than the five words of a round are copied.
library LatestRound {
    /// @notice Returns a feed's newest round. Reverts with `FeedFailed` if the feed reverts or returns less than a
    /// round.
    /// @dev Written in assembly because a call by the compiler reverts without data if the return data is too short.
    function read(address aggregator) internal view returns (int256 answer, uint256 startedAt, uint256 updatedAt) {
        bytes4 selector = IAggregatorV3.latestRoundData.selector;
        bool complete;
        assembly ("memory-safe") {
            // Memory past the free memory pointer serves as scratch space and remains free.
            let round := mload(0x40)
            mstore(round, selector)
            // Arguments are evaluated from right to left: the call precedes the size of its return data.
            complete := and(gt(returndatasize(), 0x9f), staticcall(gas(), aggregator, round, 0x04, round, 0xa0))
            answer := mload(add(round, 0x20))
            startedAt := mload(add(round, 0x40))
            updatedAt := mload(add(round, 0x60))
        }
        if (!complete) revert IChainlinkOracle.FeedFailed(aggregator);
    }
}
