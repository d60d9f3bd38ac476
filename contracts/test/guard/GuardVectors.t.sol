// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {GuardMathHarness} from "../support/GuardMathHarness.sol";
import {IGuardMathHarness} from "../support/IGuardMathHarness.sol";

/// @title The guard's library computes what the keeper computes.
/// @notice `vectors.json` has orders and loans at their extremes, with the amounts by the keeper's arithmetic.
contract GuardVectorsTest is Test {
    uint256 private constant INPUTS = 15;
    uint256 private constant OUTPUTS = 6;
    uint256 private constant LEAST_ROWS = 200;

    function test_theLibraryGivesTheKeepersAmounts() public {
        uint256[] memory v = vm.parseJsonUintArray(vm.readFile("contracts/test/guard/vectors.json"), ".executions");
        uint256 row = INPUTS + OUTPUTS;
        assertEq(v.length % row, 0);
        assertGe(v.length / row, LEAST_ROWS);
        GuardMathHarness harness = new GuardMathHarness();
        for (uint256 at; at < v.length; at += row) {
            IGuardMathHarness.Case[] memory cases = new IGuardMathHarness.Case[](1);
            cases[0] = abi.decode(_words(v, at, INPUTS), (IGuardMathHarness.Case));
            bytes memory answer = abi.encode(harness.answers(cases)[0]);
            assertEq(answer, _words(v, at + INPUTS, OUTPUTS), vm.toString(at / row));
        }
    }

    function _words(uint256[] memory v, uint256 from, uint256 count) private pure returns (bytes memory words) {
        for (uint256 i; i < count; ++i) {
            words = bytes.concat(words, bytes32(v[from + i]));
        }
    }
}
