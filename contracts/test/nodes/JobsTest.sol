// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IJobs} from "plimsoll/interfaces/IJobs.sol";
import {INodes} from "plimsoll/interfaces/INodes.sol";
import {HeadersOf} from "./HeadersOf.sol";
import {NodesTest} from "./NodesTest.sol";

/// @notice Fixture of the tests of jobs: the registry that the jobs contract creates, and nodes with keys.
abstract contract JobsTest is NodesTest {
    uint256 internal constant MIN_FEE = 1e18;
    uint256 internal constant DRAW_DELAY = 8;
    uint256 internal constant COMMIT = 1 hours;
    uint256 internal constant REVEAL = 30 minutes;
    uint256 internal constant CHALLENGE = 2 hours;
    uint128 internal constant PRICE = 300e18;
    bytes internal constant INPUT = "a question";
    bytes internal constant RIGHT = "right";
    bytes internal constant WRONG = "wrong";

    address internal immutable POSTER = makeAddr("poster");
    address internal immutable CHALLENGER = makeAddr("challenger");
    address internal immutable KEEPER = makeAddr("keeper");
    address internal immutable SINK = makeAddr("sink");

    IJobs internal board;

    function deployNodes() internal override {
        board = IJobs(newJobs(defaultConfig()));
        jobs = address(board);
        nodes = INodes(board.nodes());
    }

    function setUp() public virtual override {
        super.setUp();
        vm.roll(1000);
        give(POSTER, jobs, 1e30);
        give(CHALLENGER, jobs, 1e30);
    }

    function defaultConfig() internal view returns (IJobs.Config memory) {
        return IJobs.Config({
            token: address(token),
            rewards: address(rewards),
            sink: SINK,
            minBond: MIN_BOND,
            cooldown: COOLDOWN,
            drawDelay: DRAW_DELAY,
            commitSecs: COMMIT,
            revealSecs: REVEAL,
            challengeSecs: CHALLENGE,
            minFee: MIN_FEE
        });
    }

    function newJobs(IJobs.Config memory config) internal returns (address) {
        return deployCode("Jobs.sol:Jobs", abi.encode(config));
    }

    /* NODES */

    function operatorOf(uint256 id) internal pure returns (address) {
        return address(uint160(0x30000 + id));
    }

    function keyOf(uint256 id) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("key", id)));
    }

    /// @dev Registers nodes and waits until they count.
    function populate(uint256 count) internal {
        for (uint256 i; i < count; ++i) {
            uint32 next = nodes.count() + 1;
            give(operatorOf(next), address(nodes), MIN_BOND);
            vm.prank(operatorOf(next));
            nodes.register(KIND, vm.addr(keyOf(next)), 0, URL, MIN_BOND);
        }
        skip(6 hours);
    }

    /* JOBS */

    function post(uint8 k) internal returns (uint256) {
        vm.prank(POSTER);
        return board.post(KIND, INPUT, PRICE, k);
    }

    function receiptOf(uint32 node, bytes memory answer) internal view returns (IJobs.Receipt memory) {
        return IJobs.Receipt({
            node: node,
            kind: KIND,
            requestHash: keccak256(INPUT),
            resultHash: resultOf(answer),
            promptTokens: 3,
            completionTokens: 5,
            issuedAt: uint40(block.timestamp),
            channelId: "channel",
            charged: 7
        });
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function audit(uint32 node, bytes memory answer, uint8 k) internal returns (uint256) {
        IJobs.Receipt memory receipt = receiptOf(node, answer);
        bytes memory signature = sign(keyOf(node), board.receiptDigest(receipt));
        vm.prank(POSTER);
        return board.audit(receipt, signature, INPUT, PRICE, k);
    }

    function draw(uint256 id) internal {
        drawWith(id, keccak256(abi.encode("mix", id)));
    }

    function drawWith(uint256 id, bytes32 mix) internal {
        uint256 drawBlock = board.job(id).drawBlock;
        bytes memory header = HeadersOf.withMix(mix);
        vm.roll(drawBlock + 1);
        vm.setBlockhash(drawBlock, keccak256(header));
        vm.prank(KEEPER);
        board.draw(id, header);
    }

    function resultOf(bytes memory answer) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(answer), traceOf(answer)));
    }

    function traceOf(bytes memory answer) internal pure returns (bytes32) {
        return keccak256(bytes.concat("trace of ", answer));
    }

    function nodeOf(uint256 id, uint256 seat) internal view returns (uint32) {
        return board.seatsOf(id)[seat].node;
    }

    function commitmentOf(uint256 id, uint256 seat, bytes memory answer) internal view returns (bytes32) {
        return keccak256(abi.encode(id, nodeOf(id, seat), keccak256(answer), traceOf(answer), bytes32("salt")));
    }

    function commit(uint256 id, uint256 seat, bytes memory answer) internal {
        bytes32 commitment = commitmentOf(id, seat, answer);
        vm.prank(operatorOf(nodeOf(id, seat)));
        board.commit(id, seat, commitment);
    }

    function reveal(uint256 id, uint256 seat, bytes memory answer) internal {
        board.reveal(id, seat, answer, traceOf(answer), "salt");
    }

    /// @dev Bit i of `wrong`: seat `from` + i lies.
    function answerRound(uint256 id, uint256 from, uint256 seats, uint256 wrong) internal {
        for (uint256 i; i < seats; ++i) {
            commit(id, from + i, wrong >> i & 1 == 1 ? WRONG : RIGHT);
        }
        for (uint256 i; i < seats; ++i) {
            reveal(id, from + i, wrong >> i & 1 == 1 ? WRONG : RIGHT);
        }
        vm.prank(KEEPER);
        board.close(id);
    }

    function challenge(uint256 id) internal {
        vm.prank(CHALLENGER);
        board.challenge(id);
    }

    function finalize(uint256 id) internal {
        skip(CHALLENGE + 1);
        vm.prank(KEEPER);
        board.finalize(id);
    }

    function state(uint256 id) internal view returns (uint256) {
        return uint256(board.job(id).state);
    }
}
