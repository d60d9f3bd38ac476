// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAggregatorV3} from "../../interfaces/IAggregatorV3.sol";
import {IChainlinkOracle} from "../../interfaces/IChainlinkOracle.sol";

/// @title Reading a feed's newest round
/// @notice Promises that whatever a feed does – revert, answer too little, answer megabytes – ends in the round or in
/// `FeedFailed`, and copies no more than a round's five words.
library LatestRound {
    /// @dev Written in assembly because the compiler's own call reverts without a word when an answer is too short.
    function read(address aggregator) internal view returns (int256 answer, uint256 startedAt, uint256 updatedAt) {
        bytes4 selector = IAggregatorV3.latestRoundData.selector;
        bool complete;
        assembly ("memory-safe") {
            // Memory past the free pointer serves as scratch space and stays free.
            let round := mload(0x40)
            mstore(round, selector)
            // Arguments are evaluated from right to left: the call comes before the size of what it returned.
            complete := and(gt(returndatasize(), 0x9f), staticcall(gas(), aggregator, round, 0x04, round, 0xa0))
            answer := mload(add(round, 0x20))
            startedAt := mload(add(round, 0x40))
            updatedAt := mload(add(round, 0x60))
        }
        if (!complete) revert IChainlinkOracle.FeedFailed(aggregator);
    }
}
