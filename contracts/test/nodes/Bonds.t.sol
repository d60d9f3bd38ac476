// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {INodes} from "plimsoll/interfaces/INodes.sol";
import {IRewards} from "plimsoll/interfaces/IRewards.sol";
import {OddToken} from "../rewards/OddToken.sol";
import {NodesTest} from "./NodesTest.sol";

/// @title Registration, delegation and exits.
contract BondsTest is NodesTest {
    function test_registration() public {
        give(OPERATOR, address(nodes), MIN_BOND);
        vm.expectEmit(address(nodes));
        emit INodes.Register(1, OPERATOR, KIND, SIGNER, 250, URL);
        vm.expectEmit(address(nodes));
        emit INodes.SetSigner(1, SIGNER, address(0), START + COOLDOWN);
        vm.expectEmit(address(nodes));
        emit INodes.Delegate(1, OPERATOR, MIN_BOND, MIN_BOND * SHARES_PER_UNIT);
        vm.expectEmit(address(nodes));
        emit INodes.Weight(1, 1, 4, MIN_BOND);
        vm.prank(OPERATOR);
        assertEq(nodes.register(KIND, SIGNER, 250, URL, MIN_BOND), 1);

        INodes.Node memory n = nodes.node(1);
        assertEq(n.operator, OPERATOR);
        assertEq(n.cutBps, 250);
        assertEq(n.leaf, 1);
        assertFalse(n.paused);
        assertEq(n.jailedUntil, 0);
        assertEq(n.kind, KIND);
        assertEq(n.active.assets, MIN_BOND);
        assertEq(n.active.shares, MIN_BOND * SHARES_PER_UNIT);
        assertEq(n.unbonding, 0);
        assertEq(n.factor, FIRST_FACTOR);
        assertEq(n.emissionStake, MIN_BOND);
        assertEq(staked(1), MIN_BOND);
        assertEq(nodes.count(), 1);
        assertEq(nodes.signerOf(1), SIGNER);
        assertTrue(nodes.isSigner(1, SIGNER));
        assertFalse(nodes.isSigner(1, OPERATOR));
        assertEq(nodes.leaves(KIND), 1);
        INodes.Leaf memory l = nodes.leaf(KIND, 0);
        assertEq(l.node, 1);
        assertEq(l.weight, 4);
        assertEq(l.weightAtStart, 0);
        assertEq(l.weightAtPreviousStart, 0);
        assertEq(l.period, START / 6 hours);
        assertEq(token.balanceOf(address(nodes)), MIN_BOND);
        assertEq(nodes.staker(1).code.length, 0);

        assertEq(register(2 * MIN_BOND), 2);
        assertEq(weightOf(2), 8);
    }

    function test_registrationIsChecked() public {
        give(OPERATOR, address(nodes), 2 ** 98);
        vm.startPrank(OPERATOR);
        vm.expectRevert(INodes.ZeroKind.selector);
        nodes.register(0, SIGNER, 0, URL, MIN_BOND);
        vm.expectRevert(INodes.ZeroAddress.selector);
        nodes.register(KIND, address(0), 0, URL, MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(INodes.CutTooHigh.selector, 10_001));
        nodes.register(KIND, SIGNER, 10_001, URL, MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(INodes.UrlLengthOutOfRange.selector, 0, 256));
        nodes.register(KIND, SIGNER, 0, "", MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(INodes.UrlLengthOutOfRange.selector, 257, 256));
        nodes.register(KIND, SIGNER, 0, string(new bytes(257)), MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(INodes.AmountTooSmall.selector, MIN_BOND - 1, MIN_BOND));
        nodes.register(KIND, SIGNER, 0, URL, MIN_BOND - 1);
        vm.expectRevert(abi.encodeWithSelector(INodes.BondTooLarge.selector, 2 ** 96 + 1));
        nodes.register(KIND, SIGNER, 0, URL, 2 ** 96 + 1);
        nodes.register(KIND, SIGNER, 10_000, string(new bytes(256)), 2 ** 96);
    }

    function test_construction() public {
        assertEq(nodes.token(), address(token));
        assertEq(nodes.rewards(), address(rewards));
        assertEq(nodes.jobs(), jobs);
        assertEq(nodes.minBond(), MIN_BOND);
        assertEq(nodes.cooldown(), COOLDOWN);
        address[] memory list = new address[](1);
        list[0] = address(token);
        assertEq(nodes.pool(), rewards.poolId(address(nodes), list, 0));

        vm.expectRevert(abi.encodeWithSelector(INodes.NoCode.selector, STRANGER));
        newNodes(STRANGER, address(rewards), jobs, MIN_BOND, COOLDOWN);
        vm.expectRevert(abi.encodeWithSelector(INodes.NoCode.selector, STRANGER));
        newNodes(address(token), STRANGER, jobs, MIN_BOND, COOLDOWN);
        vm.expectRevert(INodes.ZeroAddress.selector);
        newNodes(address(token), address(rewards), address(0), MIN_BOND, COOLDOWN);
        vm.expectRevert(abi.encodeWithSelector(INodes.OutOfRange.selector, 9999, 10_000, 2 ** 96));
        newNodes(address(token), address(rewards), jobs, 9999, COOLDOWN);
        vm.expectRevert(abi.encodeWithSelector(INodes.OutOfRange.selector, 2 ** 96 + 1, 10_000, 2 ** 96));
        newNodes(address(token), address(rewards), jobs, 2 ** 96 + 1, COOLDOWN);
        vm.expectRevert(abi.encodeWithSelector(INodes.OutOfRange.selector, 5 days - 1, 5 days, 60 days));
        newNodes(address(token), address(rewards), jobs, MIN_BOND, 5 days - 1);
        vm.expectRevert(abi.encodeWithSelector(INodes.OutOfRange.selector, 60 days + 1, 5 days, 60 days));
        newNodes(address(token), address(rewards), jobs, MIN_BOND, 60 days + 1);
        newNodes(address(token), address(rewards), jobs, 10_000, 5 days);
        newNodes(address(token), address(rewards), jobs, 2 ** 96, 60 days);
    }

    /// @dev Before somebody has created the emission pool, no node can be registered.
    function test_registrationNeedsTheEmissionPool() public {
        nodes = newNodes(address(token), address(rewards), jobs, MIN_BOND, COOLDOWN);
        give(OPERATOR, address(nodes), MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(IRewards.PoolNotCreated.selector, nodes.pool()));
        vm.prank(OPERATOR);
        nodes.register(KIND, SIGNER, 0, URL, MIN_BOND);
    }

    function test_aTokenThatTakesAFeeIsRefused() public {
        OddToken odd = new OddToken();
        nodes = newNodes(address(odd), address(rewards), jobs, MIN_BOND, COOLDOWN);
        odd.setFeeBps(1);
        odd.mint(OPERATOR, MIN_BOND);
        vm.startPrank(OPERATOR);
        odd.approve(address(nodes), MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(INodes.InexactTransfer.selector, MIN_BOND, MIN_BOND - MIN_BOND / 10_000));
        nodes.register(KIND, SIGNER, 0, URL, MIN_BOND);
    }

    function test_delegation() public {
        uint32 id = register(MIN_BOND);
        assertEq(delegateAs(DELEGATOR, id, MIN_BOND), MIN_BOND * SHARES_PER_UNIT);
        assertEq(activeOf(id, DELEGATOR), MIN_BOND);
        assertEq(weightOf(id), 8);
        assertEq(staked(id), 2 * MIN_BOND);

        give(DELEGATOR, address(nodes), 2 ** 97);
        vm.startPrank(DELEGATOR);
        vm.expectRevert(abi.encodeWithSelector(INodes.UnknownNode.selector, 2));
        nodes.delegate(2, MIN_BOND);
        vm.expectRevert(abi.encodeWithSelector(INodes.AmountTooSmall.selector, MIN_BOND / 100 - 1, MIN_BOND / 100));
        nodes.delegate(id, MIN_BOND / 100 - 1);
        nodes.delegate(id, MIN_BOND / 100);
        uint256 room = 2 ** 96 - nodes.node(id).active.assets;
        vm.expectRevert(abi.encodeWithSelector(INodes.BondTooLarge.selector, 2 ** 96 + 1));
        nodes.delegate(id, room + 1);
        nodes.delegate(id, room);
    }

    /// @dev A21, the first half: what counts is at most ten times the operator's own, and at most four bonds.
    function test_whatCountsIsBoundedByTheOperatorsOwn() public {
        uint32 id = register(MIN_BOND);
        delegateAs(DELEGATOR, id, 20 * MIN_BOND);
        assertEq(staked(id), 10 * MIN_BOND);
        assertEq(weightOf(id), 16);
        // One share less than the bond's: the node counts for nothing.
        unbondAs(OPERATOR, id, SHARES_PER_UNIT);
        assertEq(staked(id), 0);
        assertEq(weightOf(id), 0);
        delegateAs(OPERATOR, id, MIN_BOND / 100);
        assertEq(weightOf(id), 16);
    }

    function test_exit() public {
        uint32 id = register(MIN_BOND);
        delegateAs(DELEGATOR, id, MIN_BOND);
        uint256 shares = sharesOf(id, DELEGATOR);
        vm.expectRevert(abi.encodeWithSelector(INodes.SharesOutOfRange.selector, 0, shares));
        unbondAs(DELEGATOR, id, 0);
        vm.expectRevert(abi.encodeWithSelector(INodes.SharesOutOfRange.selector, shares + 1, shares));
        unbondAs(DELEGATOR, id, shares + 1);
        vm.expectRevert(abi.encodeWithSelector(INodes.NothingUnbonding.selector, id, DELEGATOR));
        withdrawAs(DELEGATOR, id);

        assertEq(nodes.previewUnbond(id, shares / 2), MIN_BOND / 2);
        vm.expectEmit(address(nodes));
        emit INodes.Unbond(id, DELEGATOR, shares / 2, MIN_BOND / 2, START + COOLDOWN);
        assertEq(unbondAs(DELEGATOR, id, shares / 2), MIN_BOND / 2);
        assertEq(unbondingOf(id, DELEGATOR), MIN_BOND / 2);
        assertEq(nodes.node(id).unbonding, MIN_BOND / 2);
        assertEq(staked(id), MIN_BOND * 3 / 2);

        // More that leaves starts the clock again for all.
        skip(1 days);
        unbondAs(DELEGATOR, id, shares / 2);
        skip(COOLDOWN - 1);
        vm.expectRevert(abi.encodeWithSelector(INodes.NotReleased.selector, START + 1 days + COOLDOWN));
        withdrawAs(DELEGATOR, id);
        skip(1);
        vm.expectRevert(INodes.ZeroAddress.selector);
        vm.prank(DELEGATOR);
        nodes.withdraw(id, address(0));
        vm.expectEmit(address(nodes));
        emit INodes.Withdraw(id, DELEGATOR, STRANGER, MIN_BOND);
        vm.prank(DELEGATOR);
        nodes.withdraw(id, STRANGER);
        assertEq(token.balanceOf(STRANGER), MIN_BOND);
        assertEq(nodes.node(id).unbonding, 0);
        vm.expectRevert(abi.encodeWithSelector(INodes.NothingUnbonding.selector, id, DELEGATOR));
        withdrawAs(DELEGATOR, id);
    }

    function test_pauseAndResume() public {
        uint32 id = register(MIN_BOND);
        bytes memory refusal = abi.encodeWithSelector(INodes.NotOperator.selector, STRANGER, OPERATOR);
        vm.startPrank(STRANGER);
        vm.expectRevert(refusal);
        nodes.pause(id);
        vm.expectRevert(refusal);
        nodes.resume(id);
        vm.expectRevert(refusal);
        nodes.setSigner(id, STRANGER);
        vm.expectRevert(refusal);
        nodes.setUrl(id, URL);
        vm.stopPrank();

        vm.startPrank(OPERATOR);
        vm.expectEmit(address(nodes));
        emit INodes.Pause(id);
        nodes.pause(id);
        assertEq(weightOf(id), 0);
        assertEq(staked(id), 0);
        vm.expectEmit(address(nodes));
        emit INodes.Resume(id);
        nodes.resume(id);
        assertEq(weightOf(id), 4);
        assertEq(staked(id), MIN_BOND);
        vm.expectEmit(address(nodes));
        emit INodes.SetUrl(id, "https://other.example");
        nodes.setUrl(id, "https://other.example");
        vm.expectRevert(abi.encodeWithSelector(INodes.UrlLengthOutOfRange.selector, 0, 256));
        nodes.setUrl(id, "");
        vm.expectRevert(INodes.ZeroAddress.selector);
        nodes.setSigner(id, address(0));
    }

    function test_jail() public {
        uint32 id = register(MIN_BOND);
        vm.expectEmit(address(nodes));
        emit INodes.Jail(id, START + 1 days);
        vm.prank(jobs);
        nodes.jail(id);
        assertEq(weightOf(id), 0);
        assertEq(staked(id), 0);
        // Neither time nor income ends it, only the operator.
        skip(1 days - 1);
        vm.expectRevert(abi.encodeWithSelector(INodes.Jailed.selector, START + 1 days));
        vm.prank(OPERATOR);
        nodes.resume(id);
        skip(1);
        harvest(id);
        delegateAs(DELEGATOR, id, MIN_BOND);
        assertEq(weightOf(id), 0);
        vm.prank(OPERATOR);
        nodes.resume(id);
        assertEq(weightOf(id), 8);
        assertEq(nodes.node(id).jailedUntil, 0);
    }

    function test_onlyTheJobsContract() public {
        uint32 id = register(MIN_BOND);
        bytes memory refusal = abi.encodeWithSelector(INodes.NotJobs.selector, STRANGER);
        vm.startPrank(STRANGER);
        vm.expectRevert(refusal);
        nodes.openDraw(KIND);
        vm.expectRevert(refusal);
        nodes.closeDraw(KIND);
        vm.expectRevert(refusal);
        nodes.takeSeat(id);
        vm.expectRevert(refusal);
        nodes.freeSeat(id);
        vm.expectRevert(refusal);
        nodes.slash(id, 1);
        vm.expectRevert(refusal);
        nodes.jail(id);
        vm.stopPrank();

        vm.startPrank(jobs);
        vm.expectRevert(abi.encodeWithSelector(INodes.SlashTooHigh.selector, 2001, 2000));
        nodes.slash(id, 2001);
        for (uint256 i; i < 8; ++i) {
            nodes.takeSeat(id);
        }
        vm.expectRevert(abi.encodeWithSelector(INodes.NoSeat.selector, id));
        nodes.takeSeat(id);
        nodes.freeSeat(id);
        nodes.takeSeat(id);
    }

    function test_severalCallsInOneTransaction() public {
        uint32 id = register(MIN_BOND);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(INodes.pause, (id));
        calls[1] = abi.encodeCall(INodes.unbond, (id, sharesOf(id, OPERATOR)));
        vm.prank(OPERATOR);
        nodes.multicall(calls);
        assertEq(unbondingOf(id, OPERATOR), MIN_BOND);
    }

    /// @dev N3: nobody but the pool moves the stake token, and only between the registry and the pool.
    function test_N3_theStakeTokenIsNotTransferable() public {
        register(MIN_BOND);
        assertEq(nodes.balanceOf(address(rewards)), MIN_BOND);
        assertEq(nodes.balanceOf(address(nodes)), 0);
        vm.startPrank(STRANGER);
        vm.expectRevert(INodes.NotTransferable.selector);
        nodes.transfer(address(nodes), 1);
        vm.expectRevert(INodes.NotTransferable.selector);
        nodes.transferFrom(address(nodes), address(rewards), 1);
        bytes32 pool = nodes.pool();
        vm.expectRevert();
        rewards.stake(pool, 1, STRANGER);
        address staker = nodes.staker(1);
        vm.expectRevert(abi.encodeWithSelector(IRewards.Unauthorized.selector, STRANGER, staker));
        rewards.unstake(pool, 1, staker, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IRewards.Unauthorized.selector, STRANGER, staker));
        rewards.claim(pool, address(token), staker, STRANGER);
        vm.stopPrank();
        vm.startPrank(address(rewards));
        vm.expectRevert(INodes.NotTransferable.selector);
        nodes.transfer(STRANGER, 1);
        vm.expectRevert(INodes.NotTransferable.selector);
        nodes.transferFrom(STRANGER, address(rewards), 1);
        vm.expectRevert(INodes.NotTransferable.selector);
        nodes.transferFrom(address(nodes), STRANGER, 1);
    }

    /* EMISSION */

    function test_N2_N8_emissionIsSharedByStake() public {
        uint32 first = register(MIN_BOND);
        uint32 second = registerAs(STRANGER, KIND, 0, 3 * MIN_BOND);
        fund(4000e18);
        skip(2 * WEEK);
        uint32[] memory ids = new uint32[](2);
        (ids[0], ids[1]) = (first, second);
        nodes.harvest(ids);
        assertApproxEqAbs(nodes.node(first).active.assets, MIN_BOND + 1000e18, 1e6);
        assertApproxEqAbs(nodes.node(second).active.assets, 3 * MIN_BOND + 3000e18, 1e6);
        assertEq(staked(first), nodes.node(first).active.assets);
        // A newcomer gets none of it.
        delegateAs(DELEGATOR, first, MIN_BOND);
        assertApproxEqAbs(activeOf(first, DELEGATOR), MIN_BOND, 1);
    }

    function testFuzz_theCut(uint16 cutBps, uint256 own, uint256 delegated) public {
        cutBps = uint16(bound(cutBps, 0, 10_000));
        own = bound(own, MIN_BOND, 100 * MIN_BOND);
        delegated = bound(delegated, MIN_BOND / 100, 100 * MIN_BOND);
        uint32 id = registerAs(OPERATOR, KIND, cutBps, own);
        delegateAs(DELEGATOR, id, delegated);
        fund(700e18);
        skip(2 * WEEK);
        harvest(id);
        uint256 income = nodes.node(id).active.assets - own - delegated;
        assertApproxEqAbs(income, 700e18, 1e6);
        uint256 cut = income * cutBps / 10_000;
        uint256 part = (income - cut) * own / (own + delegated);
        assertApproxEqAbs(activeOf(id, OPERATOR), own + cut + part, 1e4);
        assertApproxEqAbs(activeOf(id, DELEGATOR), delegated + (income - cut) - part, 1e4);
    }

    /// @dev What is paused, jailed or unbonding earns nothing, and what was earned before is not lost.
    function test_N7_whatDoesNotCountEarnsNothing() public {
        uint32 id = register(MIN_BOND);
        uint32 other = registerAs(STRANGER, KIND, 0, MIN_BOND);
        fund(1400e18);
        vm.warp((START / WEEK + 1) * WEEK + WEEK / 2);
        vm.prank(OPERATOR);
        nodes.pause(id);
        skip(WEEK);
        harvest(id);
        harvest(other);
        assertApproxEqAbs(nodes.node(id).active.assets, MIN_BOND + 350e18, 1e6);
        assertApproxEqAbs(nodes.node(other).active.assets, MIN_BOND + 1050e18, 1e6);
    }
}
