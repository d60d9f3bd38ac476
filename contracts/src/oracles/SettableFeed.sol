// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAggregatorV3} from "../interfaces/IAggregatorV3.sol";
import {ISettableFeed} from "../interfaces/ISettableFeed.sol";

/// @title Price feed with an answer set by its owner, for local chains and tests only.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `ISettableFeed`.
contract SettableFeed is IAggregatorV3, ISettableFeed {
    /// @inheritdoc ISettableFeed
    address public immutable owner;
    /// @inheritdoc IAggregatorV3
    uint8 public immutable decimals;

    /// @dev The answer and its time share a slot, as in Chainlink's aggregators.
    int192 private _answer;
    uint64 private _updatedAt;
    uint64 private _startedAt;
    uint80 private _roundId;
    string private _description;

    constructor(address owner_, uint8 decimals_, string memory description_, int192 answer) {
        owner = owner_;
        decimals = decimals_;
        _description = string.concat(description_, " (settable)");
        _setRound(answer, uint64(block.timestamp), uint64(block.timestamp));
    }

    /// @inheritdoc ISettableFeed
    function setAnswer(int192 answer) external {
        _requireOwner();
        _setRound(answer, uint64(block.timestamp), uint64(block.timestamp));
    }

    /// @inheritdoc ISettableFeed
    function setRound(int192 answer, uint64 startedAt, uint64 updatedAt) external {
        _requireOwner();
        _setRound(answer, startedAt, updatedAt);
    }

    /// @inheritdoc IAggregatorV3
    function description() external view returns (string memory) {
        return _description;
    }

    /// @inheritdoc IAggregatorV3
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (_roundId, _answer, _startedAt, _updatedAt, _roundId);
    }

    function _requireOwner() private view {
        if (msg.sender != owner) revert NotOwner(msg.sender, owner);
    }

    function _setRound(int192 answer, uint64 startedAt, uint64 updatedAt) private {
        _answer = answer;
        _updatedAt = updatedAt;
        _startedAt = startedAt;
        emit AnswerUpdated(answer, ++_roundId, updatedAt);
    }
}
