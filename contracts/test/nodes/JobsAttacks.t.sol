// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IJobs} from "plimsoll/interfaces/IJobs.sol";
import {INodes} from "plimsoll/interfaces/INodes.sol";
import {HeadersOf} from "./HeadersOf.sol";
import {JobsTest} from "./JobsTest.sol";

/// @title Attacks on jobs and audits, one test each.
contract JobsAttacksTest is JobsTest {
    /// @dev A1, A3: neither the block of the draw nor other parts of the proven header change who is drawn.
    function test_N10_noGrindingByCallerOrBuilder() public {
        populate(30);
        uint256 id = post(5);
        uint256 drawBlock = board.job(id).drawBlock;
        uint256 snapshot = vm.snapshotState();
        bytes32 drawn;
        for (uint256 i; i < 5; ++i) {
            HeadersOf.Fields memory f;
            f.mix = "mix";
            f.extraData = abi.encode(i);
            f.hashes[3] = bytes32(i);
            bytes memory header = HeadersOf.encode(f);
            vm.roll(drawBlock + 1 + i);
            skip(12 * i);
            vm.prevrandao(bytes32(i));
            vm.setBlockhash(drawBlock, keccak256(header));
            board.draw(id, header);
            bytes32 hash = keccak256(abi.encode(board.seatsOf(id)));
            assertTrue(i == 0 || hash == drawn);
            drawn = hash;
            vm.revertToState(snapshot);
        }
        drawWith(id, "another mix");
        assertNotEq(keccak256(abi.encode(board.seatsOf(id))), drawn);
    }

    /// @dev A2, A8: while a draw is open the list keeps its order.
    function test_N9_noCompactionDuringADraw() public {
        populate(5);
        vm.prank(operatorOf(1));
        nodes.pause(1);
        uint256 id = post(3);
        vm.expectRevert(abi.encodeWithSelector(INodes.DrawOpen.selector, KIND));
        nodes.compact(KIND, 0);
        draw(id);
        nodes.compact(KIND, 0);
        // A moved leaf keeps its seats.
        answerRound(id, 0, 3, 0);
        finalize(id);
        for (uint256 i; i < 4; ++i) {
            assertEq(nodes.leaf(KIND, i).seats, 0);
        }
    }

    /// @dev A16: a majority that frames an honest node gets none of its slashed bond, whether or not it posted the job.
    function test_N16_framing() public {
        populate(5);
        uint256 before = token.balanceOf(POSTER);
        uint256 id = post(3);
        draw(id);
        answerRound(id, 0, 3, 3);
        finalize(id);
        assertEq(activeOf(nodeOf(id, 2), operatorOf(nodeOf(id, 2))), MIN_BOND * 4 / 5);
        // All that the adversary has, with the tips: less than before.
        uint256 has = token.balanceOf(POSTER) + token.balanceOf(KEEPER) + token.balanceOf(operatorOf(nodeOf(id, 0)))
            + token.balanceOf(operatorOf(nodeOf(id, 1)));
        assertLe(has, before);
        assertEq(token.balanceOf(SINK), MIN_BOND / 5);
    }

    /// @dev A17: an audit of one's own false receipt is no exit: nine tenths of what it costs are lost.
    function test_N16_selfAudit() public {
        populate(5);
        uint128 price = uint128(board.smallestPrice(1));
        IJobs.Receipt memory receipt = receiptOf(1, WRONG);
        bytes memory signature = sign(keyOf(1), board.receiptDigest(receipt));
        give(operatorOf(1), jobs, price);
        vm.prank(operatorOf(1));
        uint256 id = board.audit(receipt, signature, INPUT, price, 1);
        draw(id);
        answerRound(id, 0, 1, 0);
        finalize(id);
        uint256 lost = MIN_BOND - activeOf(1, operatorOf(1));
        assertEq(lost, MIN_BOND / 5);
        assertLe(token.balanceOf(operatorOf(1)), price + lost / 10);
    }

    /// @dev A9: more jobs than there are seats harm no node: each has at most eight, further draws are cancelled with all
    /// money returned, and silence in every seat costs less than a twelfth of the bond and happens once.
    function test_N19_exhaustion() public {
        populate(3);
        uint256[] memory ids = new uint256[](30);
        for (uint256 i; i < 30; ++i) {
            ids[i] = post(1);
        }
        uint256 paid = token.balanceOf(POSTER);
        for (uint256 i; i < 30; ++i) {
            draw(ids[i]);
        }
        for (uint32 id = 1; id <= 3; ++id) {
            assertEq(nodes.leaf(KIND, id - 1).seats, 8);
        }
        assertEq(token.balanceOf(POSTER) - paid, 6 * uint256(PRICE));
        skip(COMMIT + REVEAL + 1);
        for (uint256 i; i < 30; ++i) {
            if (state(ids[i]) == uint256(IJobs.State.Drawn)) board.close(ids[i]);
        }
        skip(CHALLENGE + 1);
        for (uint256 i; i < 30; ++i) {
            if (state(ids[i]) == uint256(IJobs.State.Submitted)) board.finalize(ids[i]);
        }
        for (uint32 id = 1; id <= 3; ++id) {
            assertGt(activeOf(id, operatorOf(id)), MIN_BOND * 11 / 12);
            assertGt(nodes.node(id).jailedUntil, 0);
            assertEq(weightOf(id), 0);
        }
    }

    /// @dev A12: the last to reveal, who sees that it is in the minority, saves nothing by silence.
    function test_N15_theLastRevealer() public {
        populate(5);
        uint256 id = post(3);
        draw(id);
        commit(id, 0, RIGHT);
        commit(id, 1, RIGHT);
        commit(id, 2, WRONG);
        reveal(id, 0, RIGHT);
        reveal(id, 1, RIGHT);
        skip(REVEAL + 1);
        board.close(id);
        finalize(id);
        assertEq(activeOf(nodeOf(id, 2), operatorOf(nodeOf(id, 2))), MIN_BOND * 4 / 5);
        assertGt(nodes.node(nodeOf(id, 2)).jailedUntil, 0);
    }

    /// @dev A19, N6: a receipt that a replaced key signed is audited, and what unbonds is slashed for it.
    function test_N6_aReplacedSigner() public {
        populate(5);
        IJobs.Receipt memory receipt = receiptOf(1, WRONG);
        bytes memory signature = sign(keyOf(1), board.receiptDigest(receipt));
        uint256 shares = sharesOf(1, operatorOf(1));
        vm.startPrank(operatorOf(1));
        nodes.setSigner(1, STRANGER);
        nodes.unbond(1, shares);
        vm.stopPrank();
        skip(3 days);
        vm.prank(POSTER);
        uint256 id = board.audit(receipt, signature, INPUT, PRICE, 3);
        draw(id);
        answerRound(id, 0, 3, 0);
        finalize(id);
        assertEq(unbondingOf(1, operatorOf(1)), MIN_BOND * 4 / 5);
    }

    /// @dev N17: a receiver that refuses payments delays nothing; it is owed.
    function test_N17_aReceiverThatRefuses() public {
        populate(5);
        uint256 id = post(3);
        draw(id);
        answerRound(id, 0, 3, 0);
        address blocked = operatorOf(nodeOf(id, 0));
        vm.mockCallRevert(address(token), abi.encodeWithSignature("transfer(address,uint256)", blocked, 98e18), "");
        vm.mockCall(
            address(token), abi.encodeWithSignature("transfer(address,uint256)", KEEPER, 3e18), abi.encode(false)
        );
        finalize(id);
        assertEq(state(id), uint256(IJobs.State.Completed));
        assertEq(board.owed(blocked), 98e18);
        assertEq(board.owed(KEEPER), 3e18);
        assertEq(token.balanceOf(address(board)), 101e18, "N1");
        vm.clearMockedCalls();
        vm.startPrank(blocked);
        vm.expectRevert(IJobs.ZeroAddress.selector);
        board.withdrawOwed(address(0));
        assertEq(board.withdrawOwed(STRANGER), 98e18);
        assertEq(token.balanceOf(STRANGER), 98e18);
        vm.expectRevert(abi.encodeWithSelector(IJobs.NothingOwed.selector, blocked));
        board.withdrawOwed(STRANGER);
    }

    /// @dev N17: whatever everybody else does or does not do, one stranger brings any job to its end.
    function testFuzz_N17_alwaysAnEnd(uint256 stop, bool audits, bool challenges) public {
        populate(12);
        uint256 id = audits ? audit(12, WRONG, 3) : post(3);
        stop = bound(stop, 0, 3);
        if (stop > 0) draw(id);
        if (stop > 1) {
            for (uint256 i; i < 3; ++i) {
                commit(id, i, RIGHT);
            }
        }
        if (stop > 2) {
            for (uint256 i; i < 3; ++i) {
                reveal(id, i, RIGHT);
            }
        }
        if (stop != 0 && challenges) {
            skip(COMMIT + REVEAL + 1);
            board.close(id);
            challenge(id);
        }
        vm.startPrank(STRANGER);
        uint256 started = block.timestamp;
        for (uint256 i; i < 8 && state(id) < uint256(IJobs.State.Completed); ++i) {
            if (state(id) == uint256(IJobs.State.Open)) {
                vm.roll(board.job(id).drawBlock + 257);
                board.expire(id);
            } else if (state(id) == uint256(IJobs.State.Drawn)) {
                skip(COMMIT + REVEAL + 1);
                board.close(id);
            } else {
                vm.warp(board.job(id).deadline + 1);
                board.finalize(id);
            }
        }
        assertGe(state(id), uint256(IJobs.State.Completed));
        assertLe(block.timestamp - started, 2 * (COMMIT + REVEAL) + CHALLENGE + 4);
        assertEq(token.balanceOf(address(board)), 0);
    }

    /// @dev A13, A14: the input is on chain, and so is the answer, as long as both may be.
    function test_thatTheChainHasBoth() public {
        populate(1);
        bytes memory input = new bytes(8192);
        input[5] = 0xff;
        vm.prank(POSTER);
        uint256 id = board.post(KIND, input, PRICE, 1);
        draw(id);
        bytes memory answer = new bytes(4096);
        answer[7] = 0xfe;
        commit(id, 0, answer);
        vm.expectEmit(address(board));
        emit IJobs.Reveal(id, 0, resultOf(answer), answer, traceOf(answer));
        reveal(id, 0, answer);
    }

    /// @dev A20: a receipt that is dated back cannot be audited; its client does not pay for it.
    function test_aReceiptDatedBack() public {
        populate(5);
        IJobs.Receipt memory receipt = receiptOf(1, WRONG);
        receipt.issuedAt = uint40(block.timestamp - 10 days);
        bytes memory signature = sign(keyOf(1), board.receiptDigest(receipt));
        vm.expectRevert(abi.encodeWithSelector(IJobs.ReceiptOutOfTime.selector, receipt.issuedAt));
        vm.prank(POSTER);
        board.audit(receipt, signature, INPUT, PRICE, 3);
    }
}
