// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IJobs} from "plimsoll/interfaces/IJobs.sol";
import {INodes} from "plimsoll/interfaces/INodes.sol";
import {IRewards} from "plimsoll/interfaces/IRewards.sol";
import {BlocklistToken} from "../support/OddTokens.sol";
import {JobsHandler} from "./JobsHandler.sol";
import {JobsReplay} from "./JobsReplay.sol";

/// @title What is true of jobs after any history.
contract JobsInvariantsTest is Test {
    bytes32 internal constant KIND = keccak256("a kind");
    uint256 internal constant ACTIONS = 11;

    IJobs internal board;
    INodes internal nodes;
    BlocklistToken internal token;
    JobsHandler internal handler;

    function setUp() public {
        vm.warp(3000 * 1 weeks);
        vm.roll(1000);
        vm.recordLogs();
        token = new BlocklistToken();
        IRewards rewards = IRewards(deployCode("Rewards.sol:Rewards"));
        IJobs.Config memory config = IJobs.Config({
            token: address(token),
            rewards: address(rewards),
            sink: makeAddr("sink"),
            minBond: 1000e18,
            cooldown: 7 days,
            drawDelay: 8,
            commitSecs: 1 hours,
            revealSecs: 30 minutes,
            challengeSecs: 2 hours,
            minFee: 1e18
        });
        board = IJobs(deployCode("Jobs.sol:Jobs", abi.encode(config)));
        nodes = INodes(board.nodes());
        address[] memory list = new address[](1);
        list[0] = address(token);
        rewards.createPool(address(nodes), list, 0);
        handler = new JobsHandler(board, token);
        for (uint256 i; i < 30; ++i) {
            handler.register();
        }
        skip(6 hours);
        targetContract(address(handler));
    }

    function invariant_N1_N14_N17_N19() public view {
        check();
    }

    /// @dev One fixed history, so that the invariants are known to have been checked where something happened; and what it
    /// left is rebuilt from its events alone.
    function test_N14_theHistoriesReachEveryOutcome() public {
        for (uint256 i; i < 900; ++i) {
            uint256 r = uint256(keccak256(abi.encode(i)));
            step(r % ACTIONS, r >> 16);
            if (i % 20 == 0) check();
        }
        check();
        assertEq(board.count(), 24);
        assertGt(handler.settled(), 10, "settled");
        assertGt(handler.challenged(), 2, "challenged");
        assertGt(handler.expired(), 0, "expired");
        assertGt(handler.withdrawals(), 0, "owed and withdrawn");
        checkReplay();
    }

    function checkReplay() internal {
        JobsReplay replay = new JobsReplay(address(board), address(nodes));
        replay.apply_(vm.getRecordedLogs());
        for (uint256 id = 1; id <= board.count(); ++id) {
            assertEq(replay.digestOf(id), replay.digestOf(board.job(id), board.seatsOf(id)), "a job");
        }
        for (uint32 id = 1; id <= nodes.count(); ++id) {
            assertEq(replay.digestOfNode(id), replay.digestOf(nodes.node(id)), "a node");
            address operator = nodes.node(id).operator;
            assertEq(replay.sharesOf(id, operator), nodes.position(id, operator).shares, "shares");
        }
        for (uint256 i; i < 4; ++i) {
            assertEq(replay.owed(handler.account(i)), board.owed(handler.account(i)), "owed");
        }
    }

    function step(uint256 action, uint256 r) internal {
        if (action == 0) handler.register();
        else if (action == 1) handler.post(r, r >> 8, r >> 16, uint32(r));
        else if (action == 2) handler.draw(r, bytes32(r), r % 8 == 0);
        else if (action == 3) handler.answer(r, r >> 8, r >> 60, r >> 120);
        else if (action == 4) handler.challenge(r, r >> 8);
        else if (action == 5) handler.finalize(r);
        else if (action == 6) handler.resume(uint32(r));
        else if (action == 7) handler.setBlocked(r, r >> 8 & 1 == 1);
        else if (action == 8) handler.withdrawOwed(r);
        else if (action == 9) handler.donate(r);
        else handler.wait_(r % 1 hours);
    }

    function owedSum() internal view returns (uint256 sum) {
        for (uint256 i; i < 4; ++i) {
            sum += board.owed(handler.account(i));
        }
    }

    function check() internal view {
        uint256 held = owedSum();
        uint256 open;
        uint256[] memory seats = new uint256[](nodes.count() + 1);
        for (uint256 id = 1; id <= board.count(); ++id) {
            IJobs.Job memory j = board.job(id);
            bool ended = j.state > IJobs.State.Submitted;
            if (j.state == IJobs.State.Open) ++open;
            // What was paid for the rounds that are not over.
            if (ended) continue;
            held += j.price;
            if (j.round == 2) held += board.depositOf(id);
            // A hundredth of each was the tip of its draw.
            if (j.round == 2 || j.state != IJobs.State.Open) held -= j.price / 100;
            if (j.round == 2 && j.state == IJobs.State.Drawn) held -= board.depositOf(id) / 100;
            IJobs.Seat[] memory list = board.seatsOf(id);
            for (uint256 i; i < list.length; ++i) {
                ++seats[list[i].node];
            }
        }
        // N1, N14: every unit is accounted for; nothing but donations is above what is owed.
        assertEq(token.balanceOf(address(board)), held + handler.donated(), "N1");
        // N17: a kind's list is frozen for the draws that are open, and for no other.
        assertEq(nodes.openDraws(KIND), open, "N17");
        for (uint32 id = 1; id < seats.length; ++id) {
            uint32 leaf = nodes.node(id).leaf;
            assertEq(leaf == 0 ? 0 : nodes.leaf(KIND, leaf - 1).seats, seats[id], "N19");
            assertLe(seats[id], 8, "N19: the largest number");
        }
    }
}
