// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Price feed with an answer set by its owner, for local chains and tests only.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice It is read as an `IAggregatorV3` and emits that interface's `AnswerUpdated`. Its description ends with `"
/// (settable)"`, so that it can be recognised in the description of an oracle.
interface ISettableFeed {
    /// @notice Only `owner` may set answers.
    error NotOwner(address caller, address owner);

    /// @notice Returns the account that sets the answers.
    function owner() external view returns (address);

    /// @notice Starts a round with this answer and the block's time.
    /// @param answer any value, including 0 and negative ones, so that an oracle's errors can be tested
    function setAnswer(int192 answer) external;

    /// @notice Starts a round with this answer and these times.
    /// @param answer any value, see `setAnswer`
    /// @param startedAt when the round began; for a sequencer's state, when it last changed
    /// @param updatedAt when the answer was given: in the past for a stale one, 0 or in the future for an invalid one
    function setRound(int192 answer, uint64 startedAt, uint64 updatedAt) external;
}
