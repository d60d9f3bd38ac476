// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title A feed whose answer its owner sets: for local chains and tests, never for money
/// @notice It is read as an `IAggregatorV3` and emits that interface's `AnswerUpdated`. Its description ends with
/// `" (settable)"`, so that whoever looks at an oracle over it sees what it is.
interface ISettableFeed {
    /// @notice Only `owner` may set answers.
    error NotOwner(address caller, address owner);

    /// @notice Who sets the answers.
    function owner() external view returns (address);

    /// @notice Begins a round that is answered now.
    /// @param answer anything, 0 and negative numbers included, so that refusals can be tried
    function setAnswer(int192 answer) external;

    /// @notice Begins a round with times of the caller's choice.
    /// @param answer anything, see `setAnswer`
    /// @param startedAt when the round began; for a sequencer's state, when it last changed
    /// @param updatedAt when the answer was given: in the past for a stale one, 0 or in the future for an impossible
    /// one
    function setRound(int192 answer, uint64 startedAt, uint64 updatedAt) external;
}
