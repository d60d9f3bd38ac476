// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAggregatorV3} from "plimsoll/interfaces/IAggregatorV3.sol";
import {ISettableFeed} from "plimsoll/interfaces/ISettableFeed.sol";
import {OracleFixture} from "./OracleFixture.sol";

/// @title Tests of the settable feed: it behaves like a Chainlink feed, and its description names it.
contract SettableFeedTest is OracleFixture {
    function test_saysThatItIsSettable() public view {
        IAggregatorV3 feed = IAggregatorV3(address(ethUsd));
        assertEq(feed.description(), "ETH / USD (settable)");
        assertEq(feed.decimals(), 8);
        assertEq(ethUsd.owner(), address(this));
    }

    function test_constructorGivesTheFirstRound() public view {
        _assertRound(1, 2500e8, block.timestamp, block.timestamp);
    }

    function testFuzz_setAnswerBeginsARoundNow(int192 answer, uint32 later) public {
        skip(later);
        vm.expectEmit(address(ethUsd));
        emit IAggregatorV3.AnswerUpdated(answer, 2, vm.getBlockTimestamp());
        ethUsd.setAnswer(answer);
        _assertRound(2, answer, vm.getBlockTimestamp(), vm.getBlockTimestamp());
    }

    function testFuzz_setRoundTakesAnyTimes(int192 answer, uint64 startedAt, uint64 updatedAt) public {
        vm.expectEmit(address(ethUsd));
        emit IAggregatorV3.AnswerUpdated(answer, 2, updatedAt);
        ethUsd.setRound(answer, startedAt, updatedAt);
        _assertRound(2, answer, startedAt, updatedAt);
    }

    function testFuzz_onlyItsOwnerSets(address caller) public {
        vm.assume(caller != address(this));
        bytes memory refused = abi.encodeWithSelector(ISettableFeed.NotOwner.selector, caller, address(this));
        vm.startPrank(caller);
        vm.expectRevert(refused);
        ethUsd.setAnswer(1);
        vm.expectRevert(refused);
        ethUsd.setRound(1, 1, 1);
    }

    function _assertRound(uint80 round, int256 answer, uint256 startedAt, uint256 updatedAt) private view {
        (uint80 id, int256 said, uint256 started, uint256 updated, uint80 answeredIn) =
            IAggregatorV3(address(ethUsd)).latestRoundData();
        assertEq(id, round);
        assertEq(said, answer);
        assertEq(started, startedAt);
        assertEq(updated, updatedAt);
        assertEq(answeredIn, round);
    }
}
