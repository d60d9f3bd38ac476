// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChainlinkOracle} from "../../interfaces/IChainlinkOracle.sol";
import {LatestRound} from "./LatestRound.sol";

/// @title Whether a layer 2's sequencer runs, and has run for long enough
/// @notice While it is down, feeds cannot be updated and most people cannot transact; just after, prices jump and only
/// the quick have acted. Borrowing waits for both to pass; liquidation never asks.
library SequencerUptime {
    uint256 internal constant MIN_GRACE_SECS = 60;
    uint256 internal constant MAX_GRACE_SECS = 1 days;

    int256 private constant UP = 0;
    int256 private constant DOWN = 1;

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

    function requireUpSince(address uptimeFeed, uint256 graceSecs) internal view {
        (int256 state, uint256 upSince,) = LatestRound.read(uptimeFeed);
        if (state != UP) revert IChainlinkOracle.SequencerDown(uptimeFeed);
        // 0 is a feed that was never told anything (Arbitrum's before its first round); a time ahead is not over
        // either.
        if (upSince == 0 || upSince > block.timestamp || block.timestamp - upSince <= graceSecs) {
            revert IChainlinkOracle.SequencerInGrace(upSince, graceSecs);
        }
    }
}
