// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChainlinkOracle} from "../../interfaces/IChainlinkOracle.sol";
import {LatestRound} from "./LatestRound.sol";

/// @title Sequencer uptime library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Checks that a layer 2's sequencer is up and has been for long enough. While it is down, feeds cannot be
/// updated and most accounts cannot transact; right after, prices jump before most accounts can react. Borrowing is
/// refused in both cases; liquidation does not depend on the sequencer.
library SequencerUptime {
    uint256 internal constant MIN_GRACE_SECS = 60;
    uint256 internal constant MAX_GRACE_SECS = 1 days;

    int256 private constant UP = 0;
    int256 private constant DOWN = 1;

    /// @notice Checks a configuration at construction. Reverts if the grace is out of bounds or the feed is not a
    /// sequencer uptime feed.
    function check(IChainlinkOracle.Sequencer memory config) internal view {
        bool configured = config.uptimeFeed != address(0);
        (uint256 min, uint256 max) = configured ? (MIN_GRACE_SECS, MAX_GRACE_SECS) : (0, 0);
        if (config.graceSecs < min || config.graceSecs > max) {
            revert IChainlinkOracle.SequencerGraceOutOfBounds(config.graceSecs, min, max);
        }
        if (!configured) return;

        if (config.uptimeFeed.code.length == 0) {
            revert IChainlinkOracle.NotAContract("sequencer uptime feed", config.uptimeFeed);
        }
        (int256 state,,) = LatestRound.read(config.uptimeFeed);
        if (state != UP && state != DOWN) revert IChainlinkOracle.NotASequencerFeed(config.uptimeFeed, state);
    }

    /// @notice Reverts unless the sequencer is up and has been for more than `graceSecs`.
    function requireUpSince(address uptimeFeed, uint256 graceSecs) internal view {
        (int256 state, uint256 upSince,) = LatestRound.read(uptimeFeed);
        if (state != UP) revert IChainlinkOracle.SequencerDown(uptimeFeed);
        // 0 means a feed without a first round (as Arbitrum's was); the grace of a time in the future has not passed
        // either.
        if (upSince == 0 || upSince > block.timestamp || block.timestamp - upSince <= graceSecs) {
            revert IChainlinkOracle.SequencerInGrace(upSince, graceSecs);
        }
    }
}
