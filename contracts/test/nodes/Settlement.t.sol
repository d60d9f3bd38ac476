// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IJobs} from "plimsoll/interfaces/IJobs.sol";
import {INodes} from "plimsoll/interfaces/INodes.sol";
import {JobsTest} from "./JobsTest.sol";

/// @title Where the money of a job goes, against the rules in words.
contract SettlementTest is JobsTest {
    uint256 internal constant ABSENT = 0;
    uint256 internal constant MUTE = 1;
    uint256 internal constant TRUTH = 2;
    uint256 internal constant LIE = 3;

    struct Script {
        uint8 k;
        bool audits;
        bool trueReceipt;
        bool challenged;
        uint256 first;
        uint256 second;
        uint128 price;
    }

    /// @dev What an account should have at the end of the script.
    mapping(address account => int256) internal expected;
    /// @dev Seats by what they do, in order.
    uint256[] internal acts;

    function testFuzz_N14_N15_N16_N17_N19_everyOutcome(Script memory s) public {
        s.k = uint8([1, 3, 5][s.k % 3]);
        s.price = uint128(bound(s.price, board.smallestPrice(s.k), 3000e18));
        populate(17);
        uint256 supply = token.totalSupply();
        uint256 posterBefore = token.balanceOf(POSTER);
        uint256 challengerBefore = token.balanceOf(CHALLENGER);

        uint256 id = begin(s);
        draw(id);
        play(id, 0, s.k, s.first);
        board.close(id);
        bytes32 provisional = board.job(id).result;
        assertEq(provisional, majority(0, s.k), "N15: first round");
        bytes32 result = provisional;
        uint256 deposit;
        if (s.challenged) {
            deposit = board.depositOf(id);
            challenge(id);
            draw(id);
            play(id, s.k, 2 * uint256(s.k) + 1, s.second);
            vm.prank(KEEPER);
            board.close(id);
            result = majority(s.k, 2 * uint256(s.k) + 1);
        } else {
            finalize(id);
        }
        // N17: it ended, within the times of its rounds.
        assertEq(state(id), uint256(result == 0 ? IJobs.State.Rejected : IJobs.State.Completed));
        assertEq(board.job(id).result, result);

        expect(id, s, deposit, result, provisional);
        // N14: nothing is left, nothing is missing.
        assertEq(token.balanceOf(address(board)), 0, "N14");
        assertEq(token.totalSupply(), supply);
        assertEq(int256(token.balanceOf(POSTER)) - int256(posterBefore), expected[POSTER], "poster");
        assertEq(int256(token.balanceOf(CHALLENGER)) - int256(challengerBefore), expected[CHALLENGER], "challenger");
        assertEq(int256(token.balanceOf(KEEPER)), expected[KEEPER], "keeper");
        assertEq(int256(token.balanceOf(SINK)), expected[SINK], "sink");
        for (uint32 node = 1; node <= 17; ++node) {
            assertEq(int256(token.balanceOf(operatorOf(node))), expected[operatorOf(node)], "operator");
            assertEq(nodes.leaf(KIND, node - 1).seats, 0, "N19");
        }
    }

    function begin(Script memory s) internal returns (uint256) {
        if (s.audits) {
            IJobs.Receipt memory receipt = receiptOf(17, s.trueReceipt ? RIGHT : WRONG);
            bytes memory signature = sign(keyOf(17), board.receiptDigest(receipt));
            vm.prank(POSTER);
            return board.audit(receipt, signature, INPUT, s.price, s.k);
        }
        vm.prank(POSTER);
        return board.post(KIND, INPUT, s.price, s.k);
    }

    /// @dev Two bits of `script` for each seat say what it does.
    function play(uint256 id, uint256 from, uint256 seats, uint256 script) internal {
        for (uint256 i; i < seats; ++i) {
            uint256 act = script >> 2 * i & 3;
            acts.push(act);
            if (act != ABSENT) commit(id, from + i, act == LIE ? WRONG : RIGHT);
        }
        vm.warp(board.job(id).deadline + 1);
        for (uint256 i; i < seats; ++i) {
            if (acts[from + i] == TRUTH) reveal(id, from + i, RIGHT);
            if (acts[from + i] == LIE) reveal(id, from + i, WRONG);
        }
        skip(REVEAL);
    }

    function majority(uint256 from, uint256 seats) internal view returns (bytes32) {
        uint256 truths;
        uint256 lies;
        for (uint256 i = from; i < from + seats; ++i) {
            if (acts[i] == TRUTH) ++truths;
            if (acts[i] == LIE) ++lies;
        }
        if (2 * truths > seats) return resultOf(RIGHT);
        if (2 * lies > seats) return resultOf(WRONG);
        return 0;
    }

    function expect(uint256 id, Script memory s, uint256 deposit, bytes32 result, bytes32 provisional) internal {
        uint256 slashed;
        uint256[2] memory winners;
        for (uint256 i; i < acts.length; ++i) {
            bool won = result != 0 && (acts[i] == TRUTH ? resultOf(RIGHT) : resultOf(WRONG)) == result && acts[i] > MUTE;
            uint256 lost;
            if (acts[i] == ABSENT || (acts[i] == MUTE && result == 0)) lost = MIN_BOND / 100;
            else if (result != 0 && !won) lost = MIN_BOND / 5;
            slashed += lost;
            uint32 node = nodeOf(id, i);
            assertEq(nodes.node(node).active.assets, MIN_BOND - lost, "N15");
            assertEq(nodes.node(node).jailedUntil != 0, acts[i] < TRUTH, "jail");
            if (won) {
                ++winners[i < s.k ? 0 : 1];
                uint256 seats = i < s.k ? s.k : 2 * uint256(s.k) + 1;
                expected[operatorOf(node)] += int256((i < s.k ? s.price : deposit) * 98 / (100 * seats));
            }
        }
        bool accusedWrong = s.audits && result != 0 && result != resultOf(s.trueReceipt ? RIGHT : WRONG);
        if (accusedWrong) slashed += MIN_BOND / 5;
        if (s.audits) assertEq(nodes.node(17).active.assets, MIN_BOND - (accusedWrong ? MIN_BOND / 5 : 0), "accused");

        uint256 tips = uint256(s.price) / 100 + deposit / 100;
        expected[KEEPER] = int256(2 * tips);
        uint256 paid = 2 * (uint256(s.price) / 100) + winners[0] * (uint256(s.price) * 98 / (100 * uint256(s.k)));
        uint256 paidSecond = 2 * (deposit / 100) + winners[1] * (deposit * 98 / (100 * (2 * uint256(s.k) + 1)));
        expected[POSTER] = -int256(paid);
        expected[CHALLENGER] = -int256(paidSecond);

        uint256 rest = slashed;
        bool challengerRight = s.challenged && result != 0 && result != provisional;
        if (challengerRight) {
            uint256 replaced = paidSecond < rest ? paidSecond : rest;
            expected[CHALLENGER] += int256(replaced);
            rest -= replaced;
        }
        if (accusedWrong) {
            uint256 replaced = paid < rest ? paid : rest;
            expected[POSTER] += int256(replaced);
            rest -= replaced;
        }
        uint256 reward = challengerRight || accusedWrong ? rest / 10 : 0;
        expected[challengerRight ? CHALLENGER : POSTER] += int256(reward);
        expected[SINK] = int256(rest - reward);
    }
}
