// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {INodes} from "plimsoll/interfaces/INodes.sol";
import {NodesHandler} from "./NodesHandler.sol";
import {NodesTest} from "./NodesTest.sol";

/// @title What is true of the registry after any history.
contract NodesInvariantsTest is NodesTest {
    NodesHandler internal handler;

    function setUp() public override {
        super.setUp();
        handler = new NodesHandler(nodes, rewards, token, jobs);
        targetContract(address(handler));
    }

    function invariant_N1_N2_N4_N5_N12_N19() public view {
        check();
    }

    /// @dev One fixed history, so that the invariants are known to have been checked where something happened.
    function test_N4_theHistoriesReachEveryOutcome() public {
        for (uint256 i; i < 1500; ++i) {
            uint256 r = uint256(keccak256(abi.encode(i)));
            step(r % 14, r >> 16);
            if (i % 50 == 0) check();
        }
        check();
        assertGt(handler.slashes(), 20);
        assertGt(handler.withdrawals(), 20);
        assertGt(handler.harvests(), 20);
        assertEq(nodes.count(), 6);
    }

    function step(uint256 action, uint256 r) internal {
        uint32 id = uint32(r);
        if (action == 0) handler.register(r, r >> 8, r, uint16(r));
        else if (action == 1) handler.delegate(r, id >> 3, r);
        else if (action == 2) handler.unbond(r, id >> 3, r);
        else if (action == 3) handler.withdraw(r, id >> 3);
        else if (action == 4) handler.harvest(id);
        else if (action == 5) handler.fund(r);
        else if (action == 6) handler.setPaused(id, r % 3 == 0);
        else if (action == 7) handler.slash(id, r % 500);
        else if (action == 8) handler.jail(r % 4 == 0 ? id : 1);
        else if (action == 9) handler.draw(r, r % 5 < 2);
        else if (action == 10) handler.seat(id, r % 2 == 0);
        else if (action == 11) handler.compact(r, r >> 8);
        else if (action == 12) handler.wait_(r);
        else handler.donate(r);
    }

    function check() internal view {
        uint256 held;
        uint256 stakes;
        for (uint32 id = 1; id <= nodes.count(); ++id) {
            INodes.Node memory n = nodes.node(id);
            held += uint256(n.active.assets) + n.unbonding;
            stakes += n.emissionStake;
            // N2
            assertEq(staked(id), n.emissionStake, "N2: a staker's stake");
            checkAccounts(id, n);
            checkLeaf(id, n);
        }
        // N1: nothing but donations is above what is owed.
        assertEq(token.balanceOf(address(nodes)), held + handler.donated(), "N1");
        assertEq(rewards.poolState(nodes.pool()).totalStaked, stakes, "N2: the pool's total");
        assertEq(nodes.balanceOf(address(rewards)), stakes, "N2: issued");
        // N4: every token is somewhere.
        assertEq(
            handler.bonded() + handler.funded(),
            held + token.balanceOf(address(rewards)) + token.balanceOf(jobs) + token.balanceOf(address(0xbeef)),
            "N4"
        );
        checkLists();
    }

    function checkAccounts(uint32 id, INodes.Node memory n) internal view {
        uint256 shares;
        uint256 active;
        uint256 unbonding;
        for (uint256 i; i < 5; ++i) {
            (uint256 a, uint256 u) = nodes.assetsOf(id, handler.account(i));
            shares += sharesOf(id, handler.account(i));
            active += a;
            unbonding += u;
        }
        assertEq(shares, n.active.shares, "N4: shares");
        assertLe(active, n.active.assets, "N4: active");
        assertLe(unbonding, n.unbonding, "N4: unbonding");
        if (n.active.shares != 0) assertGt(n.active.assets, 0, "N5: shares without assets");
        if (unbonding != 0) assertGt(n.unbonding, 0);
    }

    /// @dev N12, N19, and the weight by its definition.
    function checkLeaf(uint32 id, INodes.Node memory n) internal view {
        uint256 own = (sharesOf(id, n.operator) * (uint256(n.active.assets) + 1)) / (uint256(n.active.shares) + 1e6);
        uint256 counts;
        if (!n.paused && n.jailedUntil == 0 && own >= MIN_BOND) {
            counts = 10 * own < n.active.assets ? 10 * own : n.active.assets;
        }
        assertEq(n.emissionStake, counts, "N2: the stake's definition");
        uint256 weight = counts / (MIN_BOND / 4) < 16 ? counts / (MIN_BOND / 4) : 16;
        if (n.leaf == 0) {
            assertEq(weight, 0, "N12: weight without a leaf");
            assertEq(handler.seats(id), 0, "N19");
        } else {
            INodes.Leaf memory l = nodes.leaf(n.kind, n.leaf - 1);
            assertEq(l.node, id, "N12: another node's leaf");
            assertEq(l.weight, weight, "N12: the weight's definition");
            assertEq(l.seats, handler.seats(id), "N19");
        }
    }

    function checkLists() internal view {
        for (uint256 k; k < 2; ++k) {
            bytes32 kind = handler.kind(k);
            assertEq(nodes.openDraws(kind), handler.open(k));
            uint256 live;
            for (uint32 id = 1; id <= nodes.count(); ++id) {
                if (nodes.node(id).kind == kind && nodes.node(id).leaf != 0) ++live;
            }
            assertEq(nodes.leaves(kind), live, "N12: the list's length");
        }
    }
}
