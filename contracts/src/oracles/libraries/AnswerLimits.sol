// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAggregatorLimits} from "../../interfaces/IAggregatorLimits.sol";
import {IChainlinkOracle} from "../../interfaces/IChainlinkOracle.sol";

/// @title Answer limits library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Recognises an answer at a limit of its aggregator. Such an answer is fresh and says only that the price is at
/// the limit or anywhere beyond it: collateral that became worthless would be lent against at the lowest answer.
/// @dev Read with every answer instead of once, because the aggregator behind a proxy is replaced from time to time.
library AnswerLimits {
    /// @notice Reverts with `AnswerAtLimit` if the answer is not strictly between the limits of the feed's aggregator. A
    /// feed without limits, or with limits that are none (the lower not below the higher), is not restricted.
    function requireWithin(address feed, int256 answer) internal view {
        (bool found, uint256 word) = _read(feed, IAggregatorLimits.aggregator.selector);
        address source =
            found && word >> 160 == 0 && address(uint160(word)).code.length != 0 ? address(uint160(word)) : feed;
        uint256 min;
        uint256 max;
        (found, min) = _read(source, IAggregatorLimits.minAnswer.selector);
        if (!found) return;
        (found, max) = _read(source, IAggregatorLimits.maxAnswer.selector);
        if (!found || int256(min) >= int256(max)) return;
        if (answer <= int256(min) || answer >= int256(max)) {
            revert IChainlinkOracle.AnswerAtLimit(feed, answer, int256(min), int256(max));
        }
    }

    /// @dev Returns one word, whatever the address does: revert, return too little, return megabytes.
    function _read(address target, bytes4 selector) private view returns (bool found, uint256 word) {
        assembly ("memory-safe") {
            mstore(0x00, selector)
            // Arguments are evaluated from right to left: the call precedes the size of its return data.
            found := and(gt(returndatasize(), 0x1f), staticcall(gas(), target, 0x00, 0x04, 0x00, 0x20))
            word := mload(0x00)
        }
    }
}
