// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {INodes} from "plimsoll/interfaces/INodes.sol";
import {NodesTest} from "./NodesTest.sol";

/// @title What a slash takes, and from whom.
contract SlashingTest is NodesTest {
    struct Bond {
        uint256 own;
        uint256 ownUnbonding;
        uint256 others;
        uint256 othersUnbonding;
    }

    /// @dev N5, against the statement in words: first what the operator has active, then what it has unbonding, then all
    /// others in proportion; to a unit or two.
    function testFuzz_N5_theOperatorPaysFirst(Bond memory b, uint256 bps) public {
        bps = bound(bps, 0, 2000);
        b.own = bound(b.own, 1, 20 * MIN_BOND);
        b.ownUnbonding = bound(b.ownUnbonding, MIN_BOND, 20 * MIN_BOND);
        b.others = bound(b.others, 1, 20 * MIN_BOND);
        b.othersUnbonding = bound(b.othersUnbonding, MIN_BOND, 20 * MIN_BOND);
        uint32 id = build(b);

        uint256 due = (b.own + b.ownUnbonding + b.others + b.othersUnbonding) * bps / 10_000;
        uint256 taken = slash(id, bps);
        assertApproxEqAbs(taken, due, 3);
        assertEq(token.balanceOf(jobs), taken);

        uint256 fromOwn = due < b.own ? due : b.own;
        due -= fromOwn;
        uint256 fromOwnUnbonding = due < b.ownUnbonding ? due : b.ownUnbonding;
        due -= fromOwnUnbonding;
        assertApproxEqAbs(activeOf(id, OPERATOR), b.own - fromOwn, 3, "own");
        assertApproxEqAbs(unbondingOf(id, OPERATOR), b.ownUnbonding - fromOwnUnbonding, 3, "own unbonding");
        uint256 rest = b.own - fromOwn + b.ownUnbonding - fromOwnUnbonding + b.others + b.othersUnbonding;
        assertApproxEqAbs(activeOf(id, DELEGATOR), b.others - due * b.others / rest, 3, "others");
        assertApproxEqAbs(
            unbondingOf(id, DELEGATOR), b.othersUnbonding - due * b.othersUnbonding / rest, 3, "others unbonding"
        );
    }

    function testFuzz_N4_N5_whatIsTakenIsWhatIsMissing(Bond memory b, uint256[8] memory slashes) public {
        b.own = bound(b.own, 1, 20 * MIN_BOND);
        b.ownUnbonding = bound(b.ownUnbonding, MIN_BOND, 20 * MIN_BOND);
        b.others = bound(b.others, 1, 20 * MIN_BOND);
        b.othersUnbonding = bound(b.othersUnbonding, MIN_BOND, 20 * MIN_BOND);
        uint32 id = build(b);
        for (uint256 i; i < slashes.length; ++i) {
            INodes.Node memory before = nodes.node(id);
            uint256 taken = slash(id, bound(slashes[i], 0, 2000));
            INodes.Node memory n = nodes.node(id);
            assertEq(before.active.assets + before.unbonding - taken, uint256(n.active.assets) + n.unbonding);
            assertEq(token.balanceOf(address(nodes)), uint256(n.active.assets) + n.unbonding);
            assertLe(
                unbondingOf(id, OPERATOR) + unbondingOf(id, DELEGATOR), n.unbonding, "more is promised than is held"
            );
            assertLe(activeOf(id, OPERATOR) + activeOf(id, DELEGATOR), n.active.assets);
        }
        // All get what they are promised, in any order.
        skip(COOLDOWN);
        if (sharesOf(id, OPERATOR) != 0) unbondAs(OPERATOR, id, sharesOf(id, OPERATOR));
        if (sharesOf(id, DELEGATOR) != 0) unbondAs(DELEGATOR, id, sharesOf(id, DELEGATOR));
        skip(COOLDOWN);
        if (nodes.position(id, DELEGATOR).unbonding != 0) withdrawAs(DELEGATOR, id);
        if (nodes.position(id, OPERATOR).unbonding != 0) withdrawAs(OPERATOR, id);
        assertLe(token.balanceOf(address(nodes)), 20, "dust");
    }

    function test_theEventNamesEveryPart() public {
        uint32 id = build(Bond(100e18, MIN_BOND, 2000e18, 1000e18));
        // 20 % of 4,100 is 820.
        vm.expectEmit(address(nodes));
        emit INodes.Slash(id, 100e18, 100e24, 720e18, 0, 0, FIRST_FACTOR);
        slash(id, 2000);
        // 20 % of 3,280 is 656: 280 of the operator, and 376 of 3,000 of the others.
        vm.prank(jobs);
        nodes.slash(id, 2000);
        assertEq(activeOf(id, OPERATOR), 0);
        assertApproxEqAbs(activeOf(id, DELEGATOR), 2000e18 - uint256(376e18) * 2 / 3, 3);
        assertApproxEqAbs(unbondingOf(id, DELEGATOR), 1000e18 - uint256(376e18) / 3, 3);
    }

    /// @dev N5: a hundred slashes leave every bucket with something, and no exit is blocked.
    function test_N5_neverAll() public {
        uint32 id = build(Bond(MIN_BOND, MIN_BOND, MIN_BOND, MIN_BOND));
        for (uint256 i; i < 300; ++i) {
            slash(id, 2000);
        }
        INodes.Node memory n = nodes.node(id);
        assertGt(n.active.assets, 0);
        assertGt(n.unbonding, 0);
        assertGe(n.factor, 2 ** 32);
        unbondAs(DELEGATOR, id, sharesOf(id, DELEGATOR));
        skip(COOLDOWN);
        withdrawAs(DELEGATOR, id);
        if (unbondingOf(id, OPERATOR) != 0) withdrawAs(OPERATOR, id);
        (n) = nodes.node(id);
        assertEq(n.active.shares, 0);
    }

    function test_aSlashOfNothing() public {
        uint32 id = register(MIN_BOND);
        unbondAs(OPERATOR, id, sharesOf(id, OPERATOR));
        skip(COOLDOWN);
        withdrawAs(OPERATOR, id);
        assertEq(slash(id, 2000), 0);
        vm.prank(jobs);
        vm.expectRevert(abi.encodeWithSelector(INodes.UnknownNode.selector, 9));
        nodes.slash(9, 2000);
    }

    /// @dev A slash lowers weight and stake with the bond.
    function test_N2_weightAndStakeFollow() public {
        uint32 id = register(2 * MIN_BOND);
        delegateAs(DELEGATOR, id, MIN_BOND);
        slash(id, 2000);
        assertEq(staked(id), 2400e18);
        assertEq(weightOf(id), 9);
        // The operator's own is 1,400 less 480: below the smallest bond.
        slash(id, 2000);
        assertEq(staked(id), 0);
        assertEq(weightOf(id), 0);
    }

    function build(Bond memory b) internal returns (uint32 id) {
        uint256 first = b.own + b.ownUnbonding;
        id = register(first);
        unbondAs(OPERATOR, id, b.ownUnbonding * SHARES_PER_UNIT);
        delegateAs(DELEGATOR, id, b.others + b.othersUnbonding);
        unbondAs(DELEGATOR, id, b.othersUnbonding * SHARES_PER_UNIT);
    }
}
