// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Chainlink price feed.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice The part of Chainlink's aggregator interface that oracles and their monitoring use. Many other providers
/// publish their feeds in the same form.
interface IAggregatorV3 {
    /// @notice A new answer was given. Chainlink's own feeds emit this from the aggregator behind the proxy, not from
    /// the proxy.
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    /// @notice Returns the number of decimals of an answer.
    function decimals() external view returns (uint8);

    /// @notice Returns the meaning of the answer, usually such as `"ETH / USD"`.
    function description() external view returns (string memory);

    /// @notice Returns the newest round.
    /// @return roundId the id of the round
    /// @return answer the answer, with `decimals()` decimals; a sequencer uptime feed answers 0 for up and 1 for down
    /// @return startedAt when the round began; for a sequencer's state, when it last changed
    /// @return updatedAt when the answer was given
    /// @return answeredInRound deprecated
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}
