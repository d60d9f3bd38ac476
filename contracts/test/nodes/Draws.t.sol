// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {INodes} from "plimsoll/interfaces/INodes.sol";
import {NodesTest} from "./NodesTest.sol";

/// @title Weights, lists and draws.
contract DrawsTest is NodesTest {
    uint256 internal constant PERIOD = 6 hours;
    uint32[] internal none;

    function operatorOf(uint256 i) internal pure returns (address) {
        return address(uint160(0x10000 + i));
    }

    /// @dev Registers nodes with these bonds and waits until they count.
    function populate(uint256[] memory bonds) internal {
        for (uint256 i; i < bonds.length; ++i) {
            registerAs(operatorOf(i + 1), KIND, 0, bonds[i]);
        }
        skip(PERIOD);
    }

    function equalBonds(uint256 count) internal pure returns (uint256[] memory bonds) {
        bonds = new uint256[](count);
        for (uint256 i; i < count; ++i) {
            bonds[i] = MIN_BOND;
        }
    }

    function sample(bytes32 seed, uint256 seats, uint256 postedAt) internal view returns (uint32[] memory) {
        return nodes.sample(KIND, seed, seats, postedAt, nodes.leaves(KIND), none);
    }

    /* WEIGHTS IN TIME */

    /// @dev Against a record of every second's weight.
    function testFuzz_N9_theWeightAtTheBeginningOfThePeriod(uint256[12] memory moves) public {
        uint32 id = register(MIN_BOND);
        uint256 first = block.timestamp / PERIOD;
        uint256[] memory atStart = new uint256[](100);
        for (uint256 i; i < moves.length; ++i) {
            uint256 now_ = block.timestamp / PERIOD - first;
            skip(moves[i] % (PERIOD * 3 / 2));
            uint256 then_ = block.timestamp / PERIOD - first;
            for (uint256 p = now_ + 1; p <= then_; ++p) {
                atStart[p] = weightOf(id);
            }
            if (moves[i] % 3 != 0 || sharesOf(id, DELEGATOR) == 0) {
                delegateAs(DELEGATOR, id, MIN_BOND / 4 + moves[i] % MIN_BOND);
            } else {
                unbondAs(DELEGATOR, id, sharesOf(id, DELEGATOR));
            }
            assertEq(nodes.weightAt(id, block.timestamp), atStart[then_]);
            if (then_ != 0) assertEq(nodes.weightAt(id, block.timestamp - PERIOD), atStart[then_ - 1]);
        }
        // Out of service: nothing counts.
        vm.prank(OPERATOR);
        nodes.pause(id);
        assertEq(nodes.weightAt(id, block.timestamp), 0);
    }

    /// @dev A7: a node that was registered before a job was posted, but in the same period, does not count for it.
    function test_N9_justInTime() public {
        populate(equalBonds(3));
        vm.warp((block.timestamp / PERIOD + 1) * PERIOD);
        uint256 postedAt = block.timestamp + 1;
        uint32 late = registerAs(STRANGER, KIND, 0, 4 * MIN_BOND);
        for (uint256 i; i < 100; ++i) {
            uint32[] memory ids = sample(bytes32(i), 4, postedAt);
            assertEq(ids.length, 3);
            for (uint256 j; j < 3; ++j) {
                assertNotEq(ids[j], late);
            }
        }
        assertEq(nodes.weightAt(late, postedAt + PERIOD), 16);
    }

    /// @dev N9, A2, A28: an adversary that knows the seed owns half the nodes and has delegated to the others. Whatever
    /// it does after the job was posted, others are drawn as before, and it adds no node of its own.
    function testFuzz_N9_noGrinding(bytes32 seed, uint256[10] memory moves) public {
        populate(equalBonds(8));
        for (uint32 id = 5; id <= 8; ++id) {
            delegateAs(STRANGER, id, MIN_BOND * (id - 4) / 2);
        }
        skip(PERIOD + moves[0] % PERIOD);
        uint256 postedAt = block.timestamp;
        uint256 leaves = nodes.leaves(KIND);
        vm.prank(jobs);
        nodes.openDraw(KIND);
        uint32[] memory before = nodes.sample(KIND, seed, 256, postedAt, leaves, none);
        for (uint256 i; i < moves.length; ++i) {
            skip(moves[i] % 20 minutes);
            grind(moves[i]);
        }
        uint32[] memory ids = nodes.sample(KIND, seed, 256, postedAt, leaves, none);
        uint256 b;
        for (uint256 a; a < ids.length; ++a) {
            // What is missing is the adversary's own.
            while (before[b] != ids[a]) {
                assertLe(before[b], 4);
                ++b;
            }
            ++b;
        }
        for (; b < before.length; ++b) {
            assertLe(before[b], 4);
        }
    }

    function grind(uint256 move) internal {
        uint32 own = uint32(move / 8 % 4 + 1);
        uint32 other = own + 4;
        address operator = operatorOf(own);
        if (move % 8 == 0) delegateAs(STRANGER, own, MIN_BOND);
        if (move % 8 == 1) delegateAs(STRANGER, other, MIN_BOND);
        if (move % 8 == 2 && sharesOf(other, STRANGER) != 0) unbondAs(STRANGER, other, sharesOf(other, STRANGER));
        if (move % 8 == 3) registerAs(STRANGER, KIND, 0, 4 * MIN_BOND);
        if (move % 8 == 4) {
            vm.prank(operator);
            nodes.pause(own);
        }
        if (move % 8 == 5) {
            vm.prank(operator);
            nodes.resume(own);
        }
        if (move % 8 == 6 && sharesOf(own, operator) != 0) unbondAs(operator, own, sharesOf(own, operator));
        if (move % 8 == 7) delegateAs(operator, own, MIN_BOND);
    }

    /// @dev `block.prevrandao` and the block at the time of the draw have no influence.
    function test_N10_onlyTheSeedCounts() public {
        populate(equalBonds(10));
        uint256 postedAt = block.timestamp;
        bytes32 before = keccak256(abi.encode(sample("seed", 5, postedAt)));
        vm.prevrandao(bytes32(uint256(1)));
        vm.roll(block.number + 77);
        vm.coinbase(STRANGER);
        assertEq(keccak256(abi.encode(sample("seed", 5, postedAt))), before);
        assertNotEq(keccak256(abi.encode(sample("another", 5, postedAt))), before);
    }

    /* SAMPLES */

    function testFuzz_N11_distinctNodesThatMayBeDrawn(bytes32 seed, uint256 seats, uint32 first, uint32 second) public {
        populate(equalBonds(12));
        seats = bound(seats, 1, 11);
        uint32[] memory excluded = new uint32[](2);
        (excluded[0], excluded[1]) = (first % 12 + 1, second % 12 + 1);
        vm.startPrank(jobs);
        for (uint256 i; i < 8; ++i) {
            nodes.takeSeat(5);
        }
        vm.stopPrank();
        uint32[] memory ids = nodes.sample(KIND, seed, seats, block.timestamp, 12, excluded);
        assertLe(ids.length, seats);
        for (uint256 i; i < ids.length; ++i) {
            assertTrue(ids[i] != excluded[0] && ids[i] != excluded[1] && ids[i] != 5);
            for (uint256 j; j < i; ++j) {
                assertNotEq(ids[i], ids[j]);
            }
        }
        if (seats <= 3) assertEq(ids.length, seats);
    }

    function test_N11_aDrawEndsWithoutNodes() public {
        assertEq(nodes.sample(KIND, "seed", 3, block.timestamp, 0, none).length, 0);
        populate(equalBonds(2));
        assertEq(sample("seed", 3, block.timestamp).length, 2);
        for (uint256 i = 1; i <= 2; ++i) {
            vm.prank(operatorOf(i));
            nodes.pause(uint32(i));
        }
        assertEq(sample("seed", 3, block.timestamp).length, 0);
    }

    /// @dev N9: how often a node is drawn is in proportion to its weight. Pearson's statistic of 20,000 draws is below
    /// what it exceeds by chance once in a million; the seeds are fixed, so the result is too.
    function test_N9_theChanceIsTheWeight() public {
        uint256[] memory bonds = new uint256[](7);
        for (uint256 i; i < 7; ++i) {
            bonds[i] = MIN_BOND + i * MIN_BOND * 3 / 4;
        }
        // The weights are 4, 7, 10, 13, 16, 16 and 16; six degrees of freedom.
        populate(bonds);
        assertLt(statistic(7, 20_000), 38.26e18);
    }

    function test_N9_theChanceIsTheWeightAmongAHundred() public {
        populate(equalBonds(100));
        // 99 degrees of freedom.
        assertLt(statistic(100, 20_000), 176e18);
    }

    /// @return sum of (drawn − expected)² / expected, in 1e18
    function statistic(uint256 count, uint256 draws) internal view returns (uint256 sum) {
        uint256[] memory drawn = new uint256[](count + 1);
        uint256 total;
        for (uint256 i; i < draws; ++i) {
            ++drawn[sample(keccak256(abi.encode("statistics", i)), 1, block.timestamp)[0]];
        }
        for (uint32 id = 1; id <= count; ++id) {
            total += weightOf(id);
        }
        for (uint32 id = 1; id <= count; ++id) {
            uint256 expected = draws * weightOf(id) * 1e18 / total;
            uint256 got = drawn[id] * 1e18;
            uint256 difference = got > expected ? got - expected : expected - got;
            sum += difference * difference / expected;
        }
    }

    /* LISTS */

    /// @dev A8: empty leaves are removed, but not while a draw is open.
    function test_N12_compaction() public {
        populate(equalBonds(4));
        vm.expectRevert(abi.encodeWithSelector(INodes.LeafInUse.selector, KIND, 1));
        nodes.compact(KIND, 1);
        vm.expectRevert(abi.encodeWithSelector(INodes.LeafInUse.selector, KIND, 4));
        nodes.compact(KIND, 4);
        vm.startPrank(operatorOf(2));
        nodes.pause(2);
        vm.stopPrank();
        vm.prank(jobs);
        assertEq(nodes.openDraw(KIND), 4);
        vm.expectRevert(abi.encodeWithSelector(INodes.DrawOpen.selector, KIND));
        nodes.compact(KIND, 1);
        vm.startPrank(jobs);
        nodes.closeDraw(KIND);
        nodes.takeSeat(2);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(INodes.LeafInUse.selector, KIND, 1));
        nodes.compact(KIND, 1);
        vm.prank(jobs);
        nodes.freeSeat(2);

        vm.expectEmit(address(nodes));
        emit INodes.Compact(KIND, 1, 4);
        nodes.compact(KIND, 1);
        assertEq(nodes.leaves(KIND), 3);
        assertEq(nodes.node(2).leaf, 0);
        assertEq(nodes.node(4).leaf, 2);
        assertEq(nodes.leaf(KIND, 1).node, 4);
        // Back in service, at the end of the list and from the next period on.
        vm.prank(operatorOf(2));
        nodes.resume(2);
        assertEq(nodes.node(2).leaf, 4);
        assertEq(nodes.weightAt(2, block.timestamp), 0);
        assertEq(nodes.weightAt(2, block.timestamp + PERIOD), 4);
        vm.prank(operatorOf(2));
        nodes.pause(2);
        vm.expectEmit(address(nodes));
        emit INodes.Compact(KIND, 3, 0);
        nodes.compact(KIND, 3);
        assertEq(nodes.node(2).leaf, 0);
    }

    /// @dev A list has room for 65,536 leaves: then registration is refused, and nobody's exit is.
    function test_N7_aFullListBlocksNoExit() public {
        uint32 id = register(MIN_BOND);
        vm.prank(OPERATOR);
        nodes.pause(id);
        nodes.compact(KIND, 0);
        // The list's length, where this compiler puts it: the fourth variable.
        bytes32 slot = keccak256(abi.encode(KIND, lengthSlot()));
        vm.store(address(nodes), slot, bytes32(uint256(65_536)));
        assertEq(nodes.leaves(KIND), 65_536);
        give(STRANGER, address(nodes), MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(INodes.KindFull.selector, KIND));
        vm.prank(STRANGER);
        nodes.register(KIND, SIGNER, 0, URL, MIN_BOND);
        vm.prank(OPERATOR);
        nodes.resume(id);
        assertEq(nodes.node(id).leaf, 0);
        assertEq(staked(id), 0);
        unbondAs(OPERATOR, id, sharesOf(id, OPERATOR));
    }

    function lengthSlot() internal returns (uint256 slot) {
        registerAs(STRANGER, "another kind", 0, MIN_BOND);
        for (slot = 0; slot < 16; ++slot) {
            if (vm.load(address(nodes), keccak256(abi.encode(bytes32("another kind"), slot))) == bytes32(uint256(1))) {
                return slot;
            }
        }
        revert("no such variable");
    }
}
