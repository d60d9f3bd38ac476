// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {HeadersOf} from "./HeadersOf.sol";
import {JobsTest} from "./JobsTest.sol";

/// @title Gas of nodes and jobs. With `--isolate` the figures are those of whole transactions.
contract NodesGasTest is JobsTest {
    function report(string memory what) internal {
        emit log_named_uint(what, vm.lastCallGas().gasTotalUsed);
    }

    function test_gasOfNodes() public {
        uint32 id = register(MIN_BOND);
        give(STRANGER, address(nodes), 3 * MIN_BOND);
        vm.startPrank(STRANGER);
        nodes.register(KIND, SIGNER, 0, URL, MIN_BOND);
        report("register");
        nodes.delegate(id, MIN_BOND);
        report("delegate");
        vm.stopPrank();
        fund(700e18);
        skip(2 * WEEK);
        uint32[] memory ids = idList(id);
        nodes.harvest(ids);
        report("harvest of one");
        uint256 shares = sharesOf(id, STRANGER);
        vm.prank(STRANGER);
        nodes.unbond(id, shares);
        report("unbond");
        skip(COOLDOWN);
        vm.prank(STRANGER);
        nodes.withdraw(id, STRANGER);
        report("withdraw");
        vm.prank(jobs);
        nodes.slash(id, 2000);
        report("slash");
    }

    function test_gasOfJobs() public {
        populate(100);
        bytes memory input = new bytes(1024);
        vm.prank(POSTER);
        uint256 id = board.post(KIND, input, PRICE, 3);
        report("post of 1 kB");
        uint256 drawBlock = board.job(id).drawBlock;
        bytes memory header = HeadersOf.withMix("mix");
        vm.roll(drawBlock + 1);
        vm.setBlockhash(drawBlock, keccak256(header));
        board.draw(id, header);
        report("draw of 3 of 100");
        bytes memory answer = new bytes(300);
        bytes32[3] memory commitments =
            [commitmentOf(id, 0, answer), commitmentOf(id, 1, answer), commitmentOf(id, 2, answer)];
        for (uint256 i; i < 3; ++i) {
            vm.prank(operatorOf(nodeOf(id, i)));
            board.commit(id, i, commitments[i]);
        }
        report("commit");
        for (uint256 i; i < 3; ++i) {
            bytes32 trace = traceOf(answer);
            board.reveal(id, i, answer, trace, "salt");
        }
        report("reveal of 300 bytes");
        board.close(id);
        report("close");
        skip(CHALLENGE + 1);
        board.finalize(id);
        report("finalize, unanimous");
    }

    /// @dev The most that a settlement can cost: sixteen seats, and all but six slashed.
    function test_gasOfTheWorstSettlement() public {
        populate(20);
        uint256 id = post(5);
        draw(id);
        answerRound(id, 0, 5, 31);
        challenge(id);
        draw(id);
        for (uint256 i = 5; i < 11; ++i) {
            commit(id, i, RIGHT);
        }
        skip(COMMIT + 1);
        for (uint256 i = 5; i < 11; ++i) {
            reveal(id, i, RIGHT);
        }
        skip(REVEAL);
        board.close(id);
        report("close of a second round, ten slashed");
        assertLt(vm.lastCallGas().gasTotalUsed, 5_000_000);
    }
}
