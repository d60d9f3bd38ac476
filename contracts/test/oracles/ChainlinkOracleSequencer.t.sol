// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChainlinkOracle} from "plimsoll/interfaces/IChainlinkOracle.sol";
import {IOracle} from "plimsoll/interfaces/IOracle.sol";
import {ISettableFeed} from "plimsoll/interfaces/ISettableFeed.sol";
import {OracleFixture} from "./OracleFixture.sol";

/// @title Tests of a layer 2's sequencer: its downtime stops borrowing, but never liquidation.
contract ChainlinkOracleSequencerTest is OracleFixture {
    int192 private constant UP = 0;
    int192 private constant DOWN = 1;

    ISettableFeed private uptime;
    IOracle private oracle;

    function setUp() public override {
        super.setUp();
        uptime = newFeed(0, "L2 Sequencer Uptime Status Feed", UP);
        IChainlinkOracle.Setup memory given = wethUsdcSetup();
        given.sequencer = IChainlinkOracle.Sequencer(address(uptime), HOUR);
        oracle = newOracle(given, 2500);
        skip(2 * HOUR);
        _refreshPrices();
    }

    function test_upForLongEnough() public view {
        assertBothPrices(oracle, 2500e24);
    }

    function test_downRefusesBorrowingOnly() public {
        uptime.setAnswer(DOWN);
        _expectOnlyBorrowingRefused(abi.encodeWithSelector(IChainlinkOracle.SequencerDown.selector, uptime));
    }

    function test_graceRefusesBorrowingUntilItHasPassed() public {
        uptime.setAnswer(DOWN);
        skip(10);
        uptime.setAnswer(UP);
        uint256 upSince = vm.getBlockTimestamp();

        skip(HOUR);
        _refreshPrices();
        _expectOnlyBorrowingRefused(abi.encodeWithSelector(IChainlinkOracle.SequencerInGrace.selector, upSince, HOUR));
        skip(1);
        assertBothPrices(oracle, 2500e24);
    }

    /// @notice Arbitrum's feed before its first round: up, since never.
    function test_feedWithoutAFirstRoundCountsAsInGrace() public {
        uptime.setRound(UP, 0, uint64(block.timestamp));
        _expectOnlyBorrowingRefused(abi.encodeWithSelector(IChainlinkOracle.SequencerInGrace.selector, 0, HOUR));
    }

    function test_upSinceTheFutureCountsAsInGrace() public {
        uint64 ahead = uint64(block.timestamp) + 1;
        uptime.setRound(UP, ahead, uint64(block.timestamp));
        _expectOnlyBorrowingRefused(abi.encodeWithSelector(IChainlinkOracle.SequencerInGrace.selector, ahead, HOUR));
    }

    function test_failingUptimeFeedRefusesBorrowingOnly() public {
        vm.etch(address(uptime), "");
        _expectOnlyBorrowingRefused(abi.encodeWithSelector(IChainlinkOracle.FeedFailed.selector, uptime));
    }

    /// @notice Its last change may be years ago: a sequencer that runs has nothing to report.
    function test_uptimeFeedIsNeverTooOld() public {
        skip(1000 * DAY);
        _refreshPrices();
        assertBothPrices(oracle, 2500e24);
    }

    function _expectOnlyBorrowingRefused(bytes memory reason) private {
        assertEq(oracle.liquidationPrice(), 2500e24);
        expectBorrowRefused(oracle, reason);
    }

    function _refreshPrices() private {
        ethUsd.setAnswer(2500e8);
        usdcUsd.setAnswer(1e8);
    }
}
