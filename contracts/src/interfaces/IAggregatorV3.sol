// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title What is read of a price feed
/// @notice The part of Chainlink's aggregator interface that oracles here, and those who watch them, depend on.
/// Many other providers publish their feeds in the same form.
interface IAggregatorV3 {
    /// @notice A new answer. Chainlink's own feeds emit it from the aggregator behind the proxy, not from the proxy.
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    /// @notice How many decimals an answer has.
    function decimals() external view returns (uint8);

    /// @notice What the answer says, in words: usually `"ETH / USD"`.
    function description() external view returns (string memory);

    /// @notice The newest answer.
    /// @return roundId the round it belongs to
    /// @return answer the answer, with `decimals()` decimals; a feed of a sequencer's state says 0 for up and 1 for
    /// down
    /// @return startedAt when the round began; for a sequencer's state, when it last changed
    /// @return updatedAt when the answer was given
    /// @return answeredInRound without meaning today, kept for the form
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}
