// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {INodes} from "plimsoll/interfaces/INodes.sol";
import {ITokenHook, OddToken} from "../rewards/OddToken.sol";
import {NodesTest} from "./NodesTest.sol";

/// @notice Tries every entry of the registry whenever a token calls it.
contract CallingAccount is ITokenHook {
    INodes internal immutable NODES;
    uint256 public refused;

    constructor(INodes nodes) {
        NODES = nodes;
    }

    function withdraw(uint32 id) external {
        NODES.withdraw(id, address(this));
    }

    function enter(address token, bytes32 kind, uint256 amount) external returns (uint32 id) {
        OddToken(token).approve(address(NODES), type(uint256).max);
        id = NODES.register(kind, address(this), 0, "https://node.example", amount);
    }

    function unbond(uint32 id, uint256 shares) external {
        NODES.unbond(id, shares);
    }

    function onToken(address) external {
        uint32[] memory ids = new uint32[](1);
        ids[0] = 1;
        bytes[9] memory calls = [
            abi.encodeCall(INodes.register, (bytes32("kind"), address(this), 0, "u", 1)),
            abi.encodeCall(INodes.delegate, (1, 1)),
            abi.encodeCall(INodes.unbond, (1, 1)),
            abi.encodeCall(INodes.withdraw, (1, address(this))),
            abi.encodeCall(INodes.harvest, (ids)),
            abi.encodeCall(INodes.pause, (1)),
            abi.encodeCall(INodes.resume, (1)),
            abi.encodeCall(INodes.setSigner, (1, address(this))),
            abi.encodeCall(INodes.compact, (bytes32("kind"), 0))
        ];
        for (uint256 i; i < calls.length; ++i) {
            (bool done, bytes memory reason) = address(NODES).call(calls[i]);
            require(!done && bytes4(reason) == INodes.Reentered.selector, "entered");
            ++refused;
        }
    }
}

/// @title Attacks on bonds, one test each.
contract NodesAttacksTest is NodesTest {
    /// @dev A19: what a replaced key signed stays valid as long as the bond of that time can be slashed.
    function test_N6_theSignerIsRotated() public {
        uint32 id = register(MIN_BOND);
        address next = makeAddr("next");
        vm.expectEmit(address(nodes));
        emit INodes.SetSigner(id, next, SIGNER, START + COOLDOWN);
        vm.prank(OPERATOR);
        nodes.setSigner(id, next);
        assertEq(nodes.signerOf(id), next);
        assertTrue(nodes.isSigner(id, next));
        skip(COOLDOWN);
        assertTrue(nodes.isSigner(id, SIGNER));
        skip(1);
        assertFalse(nodes.isSigner(id, SIGNER));
        assertTrue(nodes.isSigner(id, next));
        // The same key again stays valid.
        vm.prank(OPERATOR);
        nodes.setSigner(id, next);
        assertEq(nodes.signerValidUntil(id, next), type(uint40).max);
    }

    /// @dev A23: an exit has no window in which a cheat could be paid out before it is slashed.
    function test_N6_noWindowToCheatIn() public {
        uint32 id = register(MIN_BOND);
        unbondAs(OPERATOR, id, sharesOf(id, OPERATOR) / 2);
        // However long it waits after the release, what it cheats with is what counts: the active half.
        skip(COOLDOWN + 30 days);
        assertEq(weightOf(id), 0);
        delegateAs(OPERATOR, id, MIN_BOND);
        assertEq(weightOf(id), 6);
        uint256 active = nodes.node(id).active.assets;
        skip(1 hours);
        unbondAs(OPERATOR, id, sharesOf(id, OPERATOR));
        skip(COOLDOWN - 1);
        vm.expectRevert(abi.encodeWithSelector(INodes.NotReleased.selector, block.timestamp + 1));
        withdrawAs(OPERATOR, id);
        assertGe(slash(id, 2000), active * 2000 / 10_000);
    }

    /// @dev N6: no sequence of an operator's calls lowers what can be slashed before the cooldown is over.
    function testFuzz_N6_nothingGetsOutEarly(uint256[16] memory moves) public {
        uint32 id = register(4 * MIN_BOND);
        delegateAs(DELEGATOR, id, MIN_BOND);
        uint256 signedAt = block.timestamp;
        for (uint256 i; i < moves.length; ++i) {
            uint256 move = moves[i] % 6;
            vm.startPrank(OPERATOR);
            if (move == 0) nodes.pause(id);
            if (move == 1) nodes.resume(id);
            if (move == 2) nodes.setSigner(id, address(uint160(moves[i] % 1000 + 1)));
            if (move == 3 && sharesOf(id, OPERATOR) != 0) {
                nodes.unbond(id, moves[i] % sharesOf(id, OPERATOR) + 1);
            }
            if (move == 4) {
                try nodes.withdraw(id, OPERATOR) {} catch {}
            }
            vm.stopPrank();
            if (move == 5) registerAs(OPERATOR, KIND, 0, MIN_BOND);
            uint256 pause = moves[i] >> 128;
            uint256 left = signedAt + COOLDOWN - 1 - block.timestamp;
            if (left != 0) skip(pause % left);
            INodes.Node memory n = nodes.node(id);
            assertEq(uint256(n.active.assets) + n.unbonding, 5 * MIN_BOND);
            assertTrue(nodes.isSigner(id, SIGNER));
        }
        assertEq(slash(id, 2000), MIN_BOND);
    }

    /// @dev A24: what unbonds earns no more emission; all of it goes to those who stay.
    function test_N7_noYieldOnTheWayOut() public {
        uint32 id = register(MIN_BOND);
        delegateAs(DELEGATOR, id, MIN_BOND);
        fund(700e18);
        vm.warp((START / WEEK + 1) * WEEK);
        unbondAs(DELEGATOR, id, sharesOf(id, DELEGATOR));
        skip(WEEK);
        harvest(id);
        assertEq(unbondingOf(id, DELEGATOR), MIN_BOND);
        assertApproxEqAbs(activeOf(id, OPERATOR), MIN_BOND + 700e18, 1e6);
    }

    /// @dev A25: delegating just before a harvest gets nothing of it.
    function testFuzz_N8_joiningBeforeTheHarvest(uint256 amount) public {
        amount = bound(amount, MIN_BOND / 100, 1000 * MIN_BOND);
        uint32 id = register(MIN_BOND);
        fund(700e18);
        skip(2 * WEEK);
        delegateAs(DELEGATOR, id, amount);
        harvest(id);
        assertLe(unbondAs(DELEGATOR, id, sharesOf(id, DELEGATOR)), amount);
        assertApproxEqAbs(activeOf(id, OPERATOR), MIN_BOND + 700e18, 1e6);
    }

    /// @dev A21, the second half: with the least part of its own that counts, a lie costs the operator everything, and
    /// its delegators a ninth.
    function test_N5_otherPeoplesMoney() public {
        uint32 id = register(MIN_BOND);
        delegateAs(DELEGATOR, id, 9 * MIN_BOND);
        assertEq(slash(id, 2000), 2 * MIN_BOND);
        assertEq(activeOf(id, OPERATOR), 0);
        assertApproxEqAbs(activeOf(id, DELEGATOR), 8 * MIN_BOND, 1);
    }

    /// @dev A22: eight lies cost 83 % of the bond.
    function test_N5_concurrentLies() public {
        uint32 id = register(100 * MIN_BOND);
        uint256 taken;
        for (uint256 i; i < 8; ++i) {
            taken += slash(id, 2000);
        }
        assertApproxEqRel(taken, 100 * MIN_BOND * 8322 / 10_000, 1e15);
    }

    /// @dev A27: a node whose share price fell below a hundredth takes no more delegations, and everybody can leave it.
    function test_N4_aRuinedNode() public {
        uint32 id = register(MIN_BOND);
        delegateAs(DELEGATOR, id, MIN_BOND);
        // What the operator has goes first, and with it its shares: only then the price falls.
        for (uint256 i; i < 25; ++i) {
            slash(id, 2000);
        }
        give(STRANGER, address(nodes), MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(INodes.NodeRuined.selector, id));
        vm.prank(STRANGER);
        nodes.delegate(id, MIN_BOND);
        assertGt(unbondAs(DELEGATOR, id, sharesOf(id, DELEGATOR)), 0);
    }

    /// @dev N7: a token or pool that fails keeps nobody in. What was not harvested is forgone.
    function test_N7_anExitWithoutTheEmissionPool() public {
        uint32 id = register(MIN_BOND);
        delegateAs(DELEGATOR, id, MIN_BOND);
        fund(700e18);
        skip(2 * WEEK);
        vm.mockCallRevert(address(rewards), abi.encodeWithSignature("claim(bytes32,address,address,address)"), "");
        vm.expectRevert();
        harvest(id);
        assertEq(unbondAs(DELEGATOR, id, sharesOf(id, DELEGATOR)), MIN_BOND);
        vm.clearMockedCalls();
        harvest(id);
        assertApproxEqAbs(activeOf(id, OPERATOR), MIN_BOND + 700e18, 1e6);
    }

    /// @dev A token that calls its receivers finds every entry locked.
    function test_N4_everyEntryIsLockedDuringACall() public {
        OddToken odd = new OddToken();
        nodes = newNodes(address(odd), address(rewards), jobs, MIN_BOND, COOLDOWN);
        address[] memory list = new address[](1);
        list[0] = address(odd);
        rewards.createPool(address(nodes), list, 0);
        CallingAccount caller = new CallingAccount(nodes);
        odd.mint(address(caller), MIN_BOND);
        odd.setHook(address(caller), true);
        uint32 id = caller.enter(address(odd), KIND, MIN_BOND);
        assertEq(caller.refused(), 9);
        caller.unbond(id, sharesOf(id, address(caller)));
        skip(COOLDOWN);
        caller.withdraw(id);
        assertEq(caller.refused(), 18);
        assertEq(odd.balanceOf(address(caller)), MIN_BOND);
    }

    /// @dev Donations move no price.
    function test_N4_donations() public {
        uint32 id = register(MIN_BOND);
        token.mint(address(nodes), 1000 * MIN_BOND);
        delegateAs(DELEGATOR, id, MIN_BOND);
        assertEq(activeOf(id, DELEGATOR), MIN_BOND);
    }
}
