// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IJobs} from "plimsoll/interfaces/IJobs.sol";
import {INodes} from "plimsoll/interfaces/INodes.sol";
import {BlocklistToken} from "../support/OddTokens.sol";
import {HeadersOf} from "./HeadersOf.sol";

/// @notice Posters, auditors, honest, lying and silent nodes, challengers, a keeper and a donor act on jobs in any order,
/// some of them with accounts that the token refuses to pay.
contract JobsHandler is Test {
    bytes32 internal constant KIND = keccak256("a kind");
    bytes internal constant INPUT = "a question";
    uint256 internal constant MIN_BOND = 1000e18;
    uint256 internal constant ACCOUNTS = 4;
    uint256 internal constant NODES = 40;
    uint256 internal constant MAX_JOBS = 24;

    IJobs internal immutable BOARD;
    INodes internal immutable REGISTRY;
    BlocklistToken internal immutable TOKEN;

    /// @dev Tokens that were sent without a call.
    uint256 public donated;
    uint256 public settled;
    uint256 public challenged;
    uint256 public expired;
    uint256 public cancelled;
    uint256 public refused;
    uint256 public withdrawals;

    constructor(IJobs board, BlocklistToken token) {
        (BOARD, REGISTRY, TOKEN) = (board, INodes(board.nodes()), token);
        for (uint256 i; i < ACCOUNTS; ++i) {
            vm.prank(account(i));
            token.approve(address(board), type(uint256).max);
        }
    }

    function account(uint256 i) public pure returns (address) {
        return address(uint160(0x40000 + i % ACCOUNTS));
    }

    function operator(uint256 id) public pure returns (address) {
        return address(uint160(0x30000 + id));
    }

    function register() external {
        uint256 id = REGISTRY.count() + 1;
        if (id > NODES) return;
        TOKEN.mint(operator(id), MIN_BOND);
        vm.startPrank(operator(id));
        TOKEN.approve(address(REGISTRY), MIN_BOND);
        REGISTRY.register(KIND, vm.addr(_keyOf(id)), 0, "https://node.example", MIN_BOND);
        vm.stopPrank();
    }

    function post(uint256 who, uint256 price, uint256 k, uint32 accused) external {
        // Logs of a call that reverts are recorded, too, and its payment comes last.
        if (BOARD.count() == MAX_JOBS || TOKEN.blocked(account(who))) return;
        k = [1, 3, 5][k % 3];
        price = bound(price, BOARD.smallestPrice(k), 1e24);
        TOKEN.mint(account(who), price);
        vm.prank(account(who));
        if (accused % 3 == 0) {
            try BOARD.post(KIND, INPUT, uint128(price), uint8(k)) {
                return;
            } catch {}
        } else {
            uint32 node = accused % uint32(NODES) + 1;
            if (REGISTRY.count() < node) return;
            IJobs.Receipt memory receipt = IJobs.Receipt({
                node: node,
                kind: KIND,
                requestHash: keccak256(INPUT),
                resultHash: _resultOf(_answerOf(accused)),
                promptTokens: 0,
                completionTokens: 0,
                issuedAt: uint40(block.timestamp),
                channelId: bytes32(BOARD.count()),
                charged: 0
            });
            bytes memory signature = _sign(node, BOARD.receiptDigest(receipt));
            vm.prank(account(who));
            try BOARD.audit(receipt, signature, INPUT, uint128(price), uint8(k)) {
                return;
            } catch {}
        }
        ++refused;
    }

    function draw(uint256 id, bytes32 mix, bool late) external {
        if ((id = _pick(id, IJobs.State.Open)) == 0) return;
        uint256 drawBlock = BOARD.job(id).drawBlock;
        vm.roll(_max(block.number, drawBlock + (late ? 257 : 1)));
        if (block.number > drawBlock + 256) {
            BOARD.expire(id);
            ++expired;
            return;
        }
        bytes memory header = HeadersOf.withMix(mix);
        vm.setBlockhash(drawBlock, keccak256(header));
        BOARD.draw(id, header);
        if (BOARD.job(id).state != IJobs.State.Drawn) ++cancelled;
    }

    /// @dev All seats of the round: bit i of `silent` says nothing, bit i of `lies` lies, bit i of `hides` does not reveal.
    function answer(uint256 id, uint256 silent, uint256 lies, uint256 hides) external {
        if ((id = _pick(id, IJobs.State.Drawn)) == 0) return;
        (silent, lies, hides) =
        (silent & silent >> 16 & silent >> 32, lies & lies >> 16, hides & hides >> 16 & hides >> 32);
        IJobs.Job memory j = BOARD.job(id);
        IJobs.Seat[] memory seats = BOARD.seatsOf(id);
        if (block.timestamp <= j.deadline) {
            for (uint256 i; i < seats.length; ++i) {
                if (seats[i].round != j.round || seats[i].state != IJobs.SeatState.Drawn || silent >> i & 1 == 1) {
                    continue;
                }
                bytes memory text = _answerOf(lies >> i);
                bytes32 commitment =
                    keccak256(abi.encode(id, seats[i].node, keccak256(text), bytes32("trace"), bytes32("salt")));
                vm.prank(operator(seats[i].node));
                BOARD.commit(id, i, commitment);
            }
            vm.warp(BOARD.job(id).deadline + 1);
            for (uint256 i; i < seats.length; ++i) {
                if (seats[i].round != j.round || silent >> i & 1 == 1 || hides >> i & 1 == 1) continue;
                BOARD.reveal(id, i, _answerOf(lies >> i), "trace", "salt");
            }
        }
        vm.warp(_max(block.timestamp, BOARD.job(id).deadline + 30 minutes + 1));
        BOARD.close(id);
        if (j.round == 2) ++settled;
    }

    function challenge(uint256 who, uint256 id) external {
        if ((id = _pick(id, IJobs.State.Submitted)) == 0) return;
        IJobs.Job memory j = BOARD.job(id);
        if (j.challenger != address(0) || block.timestamp > j.deadline || TOKEN.blocked(account(who))) return;
        uint256 deposit = BOARD.depositOf(id);
        TOKEN.mint(account(who), deposit);
        vm.prank(account(who));
        try BOARD.challenge(id) {
            ++challenged;
        } catch {
            ++refused;
        }
    }

    function finalize(uint256 id) external {
        if ((id = _pick(id, IJobs.State.Submitted)) == 0) return;
        vm.warp(_max(block.timestamp, uint256(BOARD.job(id).deadline) + 1));
        BOARD.finalize(id);
        ++settled;
    }

    function resume(uint32 id) external {
        if (REGISTRY.count() == 0) return;
        id = id % REGISTRY.count() + 1;
        vm.warp(_max(block.timestamp, REGISTRY.node(id).jailedUntil));
        vm.prank(operator(id));
        REGISTRY.resume(id);
    }

    function setBlocked(uint256 who, bool on) external {
        TOKEN.setBlocked(account(who), on);
    }

    function withdrawOwed(uint256 who) external {
        if (BOARD.owed(account(who)) == 0) return;
        vm.prank(account(who));
        BOARD.withdrawOwed(address(0xbeef));
        ++withdrawals;
    }

    function donate(uint256 amount) external {
        amount = bound(amount, 1, MIN_BOND);
        TOKEN.mint(address(BOARD), amount);
        donated += amount;
    }

    function wait_(uint256 seconds_) external {
        skip(bound(seconds_, 1, 1 days));
    }

    function _pick(uint256 id, IJobs.State wanted) private view returns (uint256) {
        uint256 count = BOARD.count();
        for (uint256 i; i < count; ++i) {
            uint256 candidate = (id % count + i) % count + 1;
            if (BOARD.job(candidate).state == wanted) return candidate;
        }
        return 0;
    }

    function _answerOf(uint256 lies) private pure returns (bytes memory) {
        return lies & 1 == 1 ? bytes("wrong") : bytes("right");
    }

    function _resultOf(bytes memory text) private pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(text), bytes32("trace")));
    }

    function _keyOf(uint256 id) private pure returns (uint256) {
        return uint256(keccak256(abi.encode("key", id)));
    }

    function _sign(uint256 id, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keyOf(id), digest);
        return abi.encodePacked(r, s, v);
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }
}
