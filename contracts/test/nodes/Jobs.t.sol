// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IJobs} from "plimsoll/interfaces/IJobs.sol";
import {INodes} from "plimsoll/interfaces/INodes.sol";
import {HeadersOf} from "./HeadersOf.sol";
import {JobsTest} from "./JobsTest.sol";

/// @title Jobs from posting to settlement.
contract JobsFlowTest is JobsTest {
    function test_construction() public {
        IJobs.Config memory c = defaultConfig();
        assertEq(abi.encode(board.config()), abi.encode(c));
        assertEq(nodes.jobs(), address(board));
        assertEq(nodes.token(), address(token));
        assertEq(nodes.minBond(), MIN_BOND);
        assertEq(board.smallestPrice(1), (MIN_FEE * 100 + 97) / 98);
        assertEq(board.smallestPrice(5), (5 * MIN_FEE * 100 + 97) / 98);

        c.sink = address(0);
        vm.expectRevert(IJobs.ZeroAddress.selector);
        newJobs(c);
        c = defaultConfig();
        c.cooldown = 3 days + 3 hours + 2 hours + 1 days - 1;
        vm.expectRevert(abi.encodeWithSelector(IJobs.CooldownTooShort.selector, c.cooldown, c.cooldown + 1));
        newJobs(c);
        c = defaultConfig();
        c.drawDelay = 0;
        vm.expectRevert(abi.encodeWithSelector(IJobs.OutOfRange.selector, 0, 1, 10_000));
        newJobs(c);
        c.drawDelay = 10_001;
        vm.expectRevert(abi.encodeWithSelector(IJobs.OutOfRange.selector, 10_001, 1, 10_000));
        newJobs(c);
        c = defaultConfig();
        c.commitSecs = 59;
        vm.expectRevert(abi.encodeWithSelector(IJobs.OutOfRange.selector, 59, 60, 1 days));
        newJobs(c);
        c = defaultConfig();
        c.revealSecs = 1 days + 1;
        vm.expectRevert(abi.encodeWithSelector(IJobs.OutOfRange.selector, 1 days + 1, 60, 1 days));
        newJobs(c);
        c = defaultConfig();
        c.challengeSecs = 59;
        vm.expectRevert(abi.encodeWithSelector(IJobs.OutOfRange.selector, 59, 60, 1 days));
        newJobs(c);
        c = defaultConfig();
        c.minFee = 0;
        vm.expectRevert(abi.encodeWithSelector(IJobs.OutOfRange.selector, 0, 1, 2 ** 96));
        newJobs(c);
    }

    function test_postingIsChecked() public {
        populate(4);
        vm.startPrank(POSTER);
        for (uint8 k; k < 8; ++k) {
            if (k == 1 || k == 3 || k == 5) continue;
            vm.expectRevert(abi.encodeWithSelector(IJobs.InvalidSeats.selector, k));
            board.post(KIND, INPUT, PRICE, k);
        }
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooLong.selector, 8193, 8192));
        board.post(KIND, new bytes(8193), PRICE, 1);
        uint256 smallest = board.smallestPrice(3);
        vm.expectRevert(abi.encodeWithSelector(IJobs.PriceTooLow.selector, smallest - 1, smallest));
        board.post(KIND, INPUT, uint128(smallest - 1), 3);
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooFewNodes.selector, 4, 5));
        board.post(KIND, INPUT, PRICE, 5);
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooFewNodes.selector, 0, 1));
        board.post("another", INPUT, PRICE, 1);
        vm.expectEmit(address(board));
        emit IJobs.Post(1, POSTER, KIND, 3, smallest, block.number + DRAW_DELAY, new bytes(8192));
        assertEq(board.post(KIND, new bytes(8192), uint128(smallest), 3), 1);
        assertEq(token.balanceOf(address(board)), smallest);
        assertEq(nodes.openDraws(KIND), 1);
        IJobs.Job memory j = board.job(1);
        assertEq(j.poster, POSTER);
        assertEq(j.k, 3);
        assertEq(j.round, 1);
        assertEq(j.leaves, 4);
        assertEq(uint256(j.state), uint256(IJobs.State.Open));
    }

    function test_N14_aUnanimousJob() public {
        populate(5);
        uint256 id = post(3);
        draw(id);
        assertEq(token.balanceOf(KEEPER), 3e18);
        assertEq(nodes.openDraws(KIND), 0);
        answerRound(id, 0, 3, 0);
        assertEq(state(id), uint256(IJobs.State.Submitted));
        assertEq(board.job(id).result, resultOf(RIGHT));
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooEarly.selector, block.timestamp + CHALLENGE));
        board.finalize(id);
        finalize(id);
        assertEq(state(id), uint256(IJobs.State.Completed));
        for (uint256 i; i < 3; ++i) {
            assertEq(token.balanceOf(operatorOf(nodeOf(id, i))), 98e18);
        }
        assertEq(token.balanceOf(KEEPER), 6e18);
        assertEq(token.balanceOf(address(board)), 0);
        assertEq(token.balanceOf(SINK), 0);
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongState.selector, id, IJobs.State.Completed));
        board.finalize(id);
    }

    /// @dev The minority loses a fifth of its bond to the sink, its fee returns to the poster, and nobody else gains.
    function test_N16_aLieOfAMinority() public {
        populate(5);
        uint256 id = post(3);
        draw(id);
        answerRound(id, 0, 3, 2);
        uint256 before = token.balanceOf(POSTER);
        finalize(id);
        assertEq(activeOf(nodeOf(id, 1), operatorOf(nodeOf(id, 1))), MIN_BOND * 4 / 5);
        assertEq(token.balanceOf(SINK), MIN_BOND / 5);
        assertEq(token.balanceOf(POSTER) - before, 98e18);
        assertEq(token.balanceOf(operatorOf(nodeOf(id, 0))), 98e18);
        assertEq(token.balanceOf(operatorOf(nodeOf(id, 1))), 0);
        assertEq(token.balanceOf(address(board)), 0);
    }

    /// @dev Silence without a commitment costs a hundredth and service; with one, as much as a lie (A12).
    function test_N15_silence() public {
        populate(5);
        uint256 id = post(5);
        draw(id);
        for (uint256 i; i < 4; ++i) {
            commit(id, i, RIGHT);
        }
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooEarly.selector, board.job(id).deadline));
        reveal(id, 0, RIGHT);
        skip(COMMIT);
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooEarly.selector, block.timestamp));
        reveal(id, 0, RIGHT);
        skip(1);
        bytes32 commitment = commitmentOf(id, 4, RIGHT);
        vm.prank(operatorOf(nodeOf(id, 4)));
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooLate.selector, block.timestamp - 1));
        board.commit(id, 4, commitment);
        for (uint256 i; i < 3; ++i) {
            reveal(id, i, RIGHT);
        }
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooEarly.selector, block.timestamp - 1 + REVEAL));
        board.close(id);
        skip(REVEAL);
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooLate.selector, block.timestamp - 1));
        reveal(id, 3, RIGHT);
        board.close(id);
        finalize(id);
        assertEq(activeOf(nodeOf(id, 3), operatorOf(nodeOf(id, 3))), MIN_BOND * 4 / 5);
        assertEq(activeOf(nodeOf(id, 4), operatorOf(nodeOf(id, 4))), MIN_BOND * 99 / 100);
        for (uint256 i; i < 5; ++i) {
            assertEq(nodes.node(nodeOf(id, i)).jailedUntil != 0, i > 2);
        }
        assertEq(token.balanceOf(SINK), MIN_BOND / 5 + MIN_BOND / 100);
    }

    /// @dev Without a majority nobody is paid and no lie is punished.
    function test_N15_noResult() public {
        populate(5);
        uint256 id = post(3);
        draw(id);
        commit(id, 0, RIGHT);
        commit(id, 1, WRONG);
        skip(COMMIT + 1);
        reveal(id, 0, RIGHT);
        reveal(id, 1, WRONG);
        board.close(id);
        assertEq(board.job(id).result, 0);
        uint256 before = token.balanceOf(POSTER);
        finalize(id);
        assertEq(state(id), uint256(IJobs.State.Rejected));
        assertEq(token.balanceOf(POSTER) - before, 294e18);
        assertEq(token.balanceOf(SINK), MIN_BOND / 100);
        assertEq(activeOf(nodeOf(id, 0), operatorOf(nodeOf(id, 0))), MIN_BOND);
        assertEq(activeOf(nodeOf(id, 1), operatorOf(nodeOf(id, 1))), MIN_BOND);
    }

    /// @dev A lying majority is overturned by seven others: the challenger has its costs back and a tenth of the rest.
    function test_N15_N16_aChallengeThatIsRight() public {
        populate(10);
        uint256 id = post(3);
        draw(id);
        answerRound(id, 0, 3, 3);
        assertEq(board.job(id).result, resultOf(WRONG));
        uint256 deposit = board.depositOf(id);
        assertEq(deposit, 700e18);
        uint256 before = token.balanceOf(CHALLENGER);
        challenge(id);
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongState.selector, id, IJobs.State.Open));
        board.finalize(id);
        assertEq(before - token.balanceOf(CHALLENGER), deposit);
        draw(id);
        answerRound(id, 3, 7, 0);
        assertEq(state(id), uint256(IJobs.State.Completed));
        assertEq(board.job(id).result, resultOf(RIGHT));
        // Two lies pay 400. The second round cost 700: seven fees of 98 and two tips of 7; so the challenger has 400 of
        // it back, and nothing is left.
        assertEq(before - token.balanceOf(CHALLENGER), 300e18);
        assertEq(token.balanceOf(SINK), 0);
        assertEq(token.balanceOf(operatorOf(nodeOf(id, 2))), 98e18);
        assertEq(token.balanceOf(operatorOf(nodeOf(id, 9))), 98e18);
        assertEq(token.balanceOf(operatorOf(nodeOf(id, 0))), 0);
        assertEq(token.balanceOf(address(board)), 0);
        for (uint256 i; i < 10; ++i) {
            assertEq(nodes.leaf(KIND, i).seats, 0);
            for (uint256 other; other < i; ++other) {
                assertNotEq(nodeOf(id, i), nodeOf(id, other));
            }
        }
    }

    /// @dev With a small price, the costs are covered and a tenth of the rest is the challenger's.
    function test_N16_theChallengersReward() public {
        populate(10);
        vm.prank(POSTER);
        uint256 id = board.post(KIND, INPUT, 30e18, 3);
        draw(id);
        answerRound(id, 0, 3, 3);
        uint256 before = token.balanceOf(CHALLENGER);
        challenge(id);
        draw(id);
        answerRound(id, 3, 7, 0);
        // 400 of lies less 70 of costs is 330.
        assertEq(token.balanceOf(CHALLENGER) - before, 33e18);
        assertEq(token.balanceOf(SINK), 297e18);
        assertEq(token.balanceOf(address(board)), 0);
    }

    function test_N16_aChallengeThatIsWrong() public {
        populate(10);
        uint256 id = post(3);
        draw(id);
        answerRound(id, 0, 3, 0);
        uint256 before = token.balanceOf(CHALLENGER);
        challenge(id);
        draw(id);
        answerRound(id, 3, 7, 0);
        assertEq(before - token.balanceOf(CHALLENGER), 700e18);
        assertEq(token.balanceOf(SINK), 0);
        assertEq(token.balanceOf(address(board)), 0);
    }

    function test_challengesAreChecked() public {
        populate(9);
        uint256 id = post(3);
        draw(id);
        answerRound(id, 0, 3, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooFewNodes.selector, 9, 10));
        challenge(id);
        populate(1);
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooLate.selector, board.job(id).deadline));
        challenge(id);
    }

    function test_N18_anAudit() public {
        populate(5);
        uint256 id = audit(1, WRONG, 3);
        IJobs.Receipt memory receipt = receiptOf(1, WRONG);
        bytes32 digest = board.receiptDigest(receipt);
        bytes memory signature = sign(keyOf(1), digest);
        assertEq(board.auditOf(digest), id);
        vm.expectRevert(abi.encodeWithSelector(IJobs.AlreadyAudited.selector, id));
        vm.prank(POSTER);
        board.audit(receipt, signature, INPUT, PRICE, 3);
        draw(id);
        for (uint256 i; i < 3; ++i) {
            assertNotEq(nodeOf(id, i), 1);
        }
        uint256 before = token.balanceOf(POSTER);
        answerRound(id, 0, 3, 0);
        finalize(id);
        // The lie costs 200, less than the audit.
        assertEq(token.balanceOf(POSTER) - before, 200e18);
        assertEq(activeOf(1, operatorOf(1)), MIN_BOND * 4 / 5);
        assertGt(nodes.node(1).jailedUntil, 0);
        assertEq(token.balanceOf(address(board)), 0);
        vm.expectRevert(abi.encodeWithSelector(IJobs.AlreadyAudited.selector, id));
        vm.prank(POSTER);
        board.audit(receipt, signature, INPUT, PRICE, 3);
    }

    function test_N18_anAuditOfATrueReceipt() public {
        populate(5);
        uint256 id = audit(1, RIGHT, 3);
        draw(id);
        answerRound(id, 0, 3, 0);
        finalize(id);
        assertEq(activeOf(1, operatorOf(1)), MIN_BOND);
        assertEq(nodes.node(1).jailedUntil, 0);
    }

    /// @dev A18: an audit without a decision frees the receipt.
    function test_N18_withoutADecision() public {
        populate(5);
        uint256 id = audit(1, WRONG, 3);
        bytes32 digest = board.job(id).receipt;
        draw(id);
        skip(COMMIT + REVEAL + 2);
        board.close(id);
        finalize(id);
        assertEq(board.auditOf(digest), 0);
        assertEq(state(id), uint256(IJobs.State.Rejected));
    }

    function test_auditsAreChecked() public {
        populate(4);
        IJobs.Receipt memory receipt = receiptOf(1, WRONG);
        bytes memory signature = sign(keyOf(1), board.receiptDigest(receipt));
        vm.startPrank(POSTER);
        vm.expectRevert(IJobs.ReceiptMismatch.selector);
        board.audit(receipt, signature, "another question", PRICE, 3);
        bytes memory others = sign(keyOf(2), board.receiptDigest(receipt));
        vm.expectRevert(IJobs.ReceiptMismatch.selector);
        board.audit(receipt, others, INPUT, PRICE, 3);
        vm.expectRevert(IJobs.ReceiptMismatch.selector);
        board.audit(receipt, "", INPUT, PRICE, 3);
        receipt.kind = "another";
        others = sign(keyOf(1), board.receiptDigest(receipt));
        vm.expectRevert(IJobs.ReceiptMismatch.selector);
        board.audit(receipt, others, INPUT, PRICE, 3);
        receipt = receiptOf(1, WRONG);
        receipt.resultHash = 0;
        others = sign(keyOf(1), board.receiptDigest(receipt));
        vm.expectRevert(IJobs.ReceiptMismatch.selector);
        board.audit(receipt, others, INPUT, PRICE, 3);
        receipt = receiptOf(1, WRONG);
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooFewNodes.selector, 4, 6));
        board.audit(receipt, signature, INPUT, PRICE, 5);
        receipt.issuedAt += 1;
        vm.expectRevert(abi.encodeWithSelector(IJobs.ReceiptOutOfTime.selector, receipt.issuedAt));
        board.audit(receipt, signature, INPUT, PRICE, 3);
        receipt.issuedAt -= 1;
        skip(3 days + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobs.ReceiptOutOfTime.selector, receipt.issuedAt));
        board.audit(receipt, signature, INPUT, PRICE, 3);
        rewind(1);
        board.audit(receipt, signature, INPUT, PRICE, 3);
    }

    /// @dev The digest by the definition of EIP-712.
    function test_theReceiptsDigest() public {
        populate(1);
        IJobs.Receipt memory r = receiptOf(1, RIGHT);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Plimsoll Nodes"),
                keccak256("1"),
                block.chainid,
                address(board)
            )
        );
        bytes memory fields = abi.encode(
            keccak256(
                "Receipt(uint32 node,bytes32 kind,bytes32 requestHash,bytes32 resultHash,uint32 promptTokens,uint32 completionTokens,uint40 issuedAt,bytes32 channelId,uint128 charged)"
            ),
            uint256(1),
            KIND,
            keccak256(INPUT),
            resultOf(RIGHT)
        );
        fields =
            bytes.concat(fields, abi.encode(uint256(3), uint256(5), block.timestamp, bytes32("channel"), uint256(7)));
        assertEq(board.receiptDigest(r), keccak256(abi.encodePacked(hex"1901", domain, keccak256(fields))));
    }

    function test_N10_drawsAreChecked() public {
        populate(5);
        uint256 id = post(3);
        uint256 drawBlock = board.job(id).drawBlock;
        bytes memory header = HeadersOf.withMix("mix");
        vm.roll(drawBlock);
        vm.expectRevert(abi.encodeWithSelector(IJobs.NotDrawable.selector, drawBlock));
        board.draw(id, header);
        vm.roll(drawBlock + 256);
        vm.setBlockhash(drawBlock, keccak256(header));
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongHeader.selector, drawBlock));
        board.draw(id, HeadersOf.withMix("another mix"));
        vm.expectRevert(abi.encodeWithSelector(IJobs.NotDrawable.selector, drawBlock));
        board.expire(id);
        uint256 snapshot = vm.snapshotState();
        board.draw(id, header);
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongState.selector, id, IJobs.State.Drawn));
        board.draw(id, header);
        vm.revertToState(snapshot);
        vm.roll(drawBlock + 257);
        vm.expectRevert(abi.encodeWithSelector(IJobs.NotDrawable.selector, drawBlock));
        board.draw(id, header);
    }

    /// @dev A6: a draw that lapses costs a tenth.
    function test_N17_expiry() public {
        populate(5);
        uint256 id = audit(1, WRONG, 3);
        bytes32 digest = board.job(id).receipt;
        vm.roll(board.job(id).drawBlock + 257);
        uint256 before = token.balanceOf(POSTER);
        board.expire(id);
        assertEq(token.balanceOf(POSTER) - before, 270e18);
        assertEq(token.balanceOf(SINK), 30e18);
        assertEq(state(id), uint256(IJobs.State.Expired));
        assertEq(nodes.openDraws(KIND), 0);
        assertEq(board.auditOf(digest), 0);
        assertEq(audit(1, WRONG, 3), id + 1);
    }

    /// @dev A second round that was not drawn leaves the first one's result, and cannot be begun again.
    function test_N17_expiryOfAChallenge() public {
        populate(10);
        uint256 id = post(3);
        draw(id);
        answerRound(id, 0, 3, 4);
        challenge(id);
        vm.roll(board.job(id).drawBlock + 257);
        uint256 before = token.balanceOf(CHALLENGER);
        board.expire(id);
        assertEq(token.balanceOf(CHALLENGER) - before, 630e18);
        assertEq(token.balanceOf(SINK), 70e18);
        vm.expectRevert(IJobs.FinalRound.selector);
        challenge(id);
        skip(1);
        board.finalize(id);
        assertEq(board.job(id).result, resultOf(RIGHT));
        assertEq(token.balanceOf(SINK), 70e18 + 200e18);
        assertEq(token.balanceOf(address(board)), 0);
    }

    /// @dev Too few nodes that can be drawn: the money goes back.
    function test_N17_cancellation() public {
        populate(10);
        uint256 id = post(3);
        for (uint32 i = 1; i <= 8; ++i) {
            vm.prank(operatorOf(i));
            nodes.pause(i);
        }
        uint256 before = token.balanceOf(POSTER);
        draw(id);
        assertEq(token.balanceOf(POSTER) - before, PRICE);
        assertEq(state(id), uint256(IJobs.State.Rejected));
        assertEq(nodes.openDraws(KIND), 0);

        for (uint32 i = 1; i <= 8; ++i) {
            vm.prank(operatorOf(i));
            nodes.resume(i);
        }
        id = post(3);
        draw(id);
        answerRound(id, 0, 3, 0);
        challenge(id);
        for (uint32 i = 1; i <= 10; ++i) {
            if (nodes.leaf(KIND, i - 1).seats != 0) continue;
            vm.prank(operatorOf(i));
            nodes.pause(i);
            break;
        }
        before = token.balanceOf(CHALLENGER);
        draw(id);
        assertEq(token.balanceOf(CHALLENGER) - before, 700e18);
        skip(1);
        board.finalize(id);
        assertEq(board.job(id).result, resultOf(RIGHT));
        assertEq(token.balanceOf(address(board)), 0);
    }

    /// @dev N13: a commitment opens to what was committed, for its own node, once. A signer may commit, strangers not.
    function test_N13_commitments() public {
        populate(5);
        uint256 id = post(3);
        draw(id);
        bytes32 first = commitmentOf(id, 0, RIGHT);
        uint32 node = nodeOf(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobs.NotOfNode.selector, STRANGER, node));
        vm.prank(STRANGER);
        board.commit(id, 0, first);
        vm.startPrank(vm.addr(keyOf(nodeOf(id, 0))));
        vm.expectRevert(IJobs.ZeroCommitment.selector);
        board.commit(id, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongSeat.selector, 3));
        board.commit(id, 3, first);
        board.commit(id, 0, first);
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongSeat.selector, 0));
        board.commit(id, 0, first);
        vm.stopPrank();
        // A11: another node that copies the commitment cannot open it.
        vm.prank(operatorOf(nodeOf(id, 1)));
        board.commit(id, 1, first);
        commit(id, 2, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongAnswer.selector, 0));
        reveal(id, 0, WRONG);
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongAnswer.selector, 0));
        board.reveal(id, 0, RIGHT, "another trace", "salt");
        vm.expectRevert(abi.encodeWithSelector(IJobs.TooLong.selector, 4097, 4096));
        board.reveal(id, 0, new bytes(4097), 0, "salt");
        vm.expectEmit(address(board));
        emit IJobs.Reveal(id, 0, resultOf(RIGHT), RIGHT, traceOf(RIGHT));
        reveal(id, 0, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongSeat.selector, 0));
        reveal(id, 0, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IJobs.WrongAnswer.selector, 1));
        reveal(id, 1, RIGHT);
    }

    /// @dev N19: a node holds at most eight seats; then it is not drawn, and the seats come back at the end.
    function test_N19_seats() public {
        populate(1);
        uint256[8] memory ids;
        for (uint256 i; i < 8; ++i) {
            ids[i] = post(1);
            draw(ids[i]);
        }
        assertEq(nodes.leaf(KIND, 0).seats, 8);
        uint256 ninth = post(1);
        draw(ninth);
        assertEq(state(ninth), uint256(IJobs.State.Rejected));
        for (uint256 i; i < 8; ++i) {
            answerRound(ids[i], 0, 1, 0);
        }
        skip(CHALLENGE + 1);
        for (uint256 i; i < 8; ++i) {
            board.finalize(ids[i]);
        }
        assertEq(nodes.leaf(KIND, 0).seats, 0);
    }
}
