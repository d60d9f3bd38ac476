// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {INodes} from "plimsoll/interfaces/INodes.sol";
import {IRewards} from "plimsoll/interfaces/IRewards.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice Fixture of the tests of nodes: the registry with its emission pool, and an account in place of the jobs
/// contract.
abstract contract NodesTest is Test {
    uint256 internal constant WEEK = 1 weeks;
    uint40 internal constant START = 3000 * 1 weeks;
    uint256 internal constant MIN_BOND = 1000e18;
    uint256 internal constant COOLDOWN = 7 days;
    uint256 internal constant SHARES_PER_UNIT = 1e6;
    uint128 internal constant FIRST_FACTOR = 2 ** 96;
    bytes32 internal constant KIND = keccak256("a kind");
    string internal constant URL = "https://node.example";

    address internal immutable OPERATOR = makeAddr("operator");
    address internal immutable DELEGATOR = makeAddr("delegator");
    address internal immutable SIGNER = makeAddr("signer");
    address internal immutable STRANGER = makeAddr("stranger");

    TestToken internal token;
    IRewards internal rewards;
    INodes internal nodes;
    address internal jobs;

    function setUp() public virtual {
        vm.warp(START);
        token = new TestToken("Token", 18);
        rewards = IRewards(deployCode("Rewards.sol:Rewards"));
        deployNodes();
        address[] memory list = new address[](1);
        list[0] = address(token);
        rewards.createPool(address(nodes), list, 0);
    }

    function deployNodes() internal virtual {
        jobs = makeAddr("jobs");
        nodes = newNodes(address(token), address(rewards), jobs, MIN_BOND, COOLDOWN);
    }

    function newNodes(address token_, address rewards_, address jobs_, uint256 minBond, uint256 cooldown)
        internal
        returns (INodes)
    {
        return INodes(deployCode("Nodes.sol:Nodes", abi.encode(token_, rewards_, jobs_, minBond, cooldown)));
    }

    /* VERBS */

    function give(address account, address spender, uint256 amount) internal {
        token.mint(account, amount);
        vm.prank(account);
        token.approve(spender, type(uint256).max);
    }

    function registerAs(address operator, bytes32 kind, uint16 cutBps, uint256 amount) internal returns (uint32 id) {
        give(operator, address(nodes), amount);
        vm.prank(operator);
        return nodes.register(kind, SIGNER, cutBps, URL, amount);
    }

    function register(uint256 amount) internal returns (uint32) {
        return registerAs(OPERATOR, KIND, 0, amount);
    }

    function delegateAs(address account, uint32 id, uint256 amount) internal returns (uint256) {
        give(account, address(nodes), amount);
        vm.prank(account);
        return nodes.delegate(id, amount);
    }

    function unbondAs(address account, uint32 id, uint256 shares) internal returns (uint256) {
        vm.prank(account);
        return nodes.unbond(id, shares);
    }

    function withdrawAs(address account, uint32 id) internal returns (uint256) {
        vm.prank(account);
        return nodes.withdraw(id, account);
    }

    function slash(uint32 id, uint256 bps) internal returns (uint256) {
        vm.prank(jobs);
        return nodes.slash(id, bps);
    }

    function harvest(uint32 id) internal {
        nodes.harvest(idList(id));
    }

    /// @dev Assigns emission to the next epoch.
    function fund(uint256 amount) internal {
        give(address(this), address(rewards), amount);
        rewards.fund(nodes.pool(), address(token), amount, block.timestamp / WEEK + 1, 1);
    }

    /* VIEWS */

    function sharesOf(uint32 id, address account) internal view returns (uint256) {
        return nodes.position(id, account).shares;
    }

    function weightOf(uint32 id) internal view returns (uint256) {
        uint32 place = nodes.node(id).leaf;
        return place == 0 ? 0 : nodes.leaf(nodes.node(id).kind, place - 1).weight;
    }

    function activeOf(uint32 id, address account) internal view returns (uint256 active) {
        (active,) = nodes.assetsOf(id, account);
    }

    function unbondingOf(uint32 id, address account) internal view returns (uint256 unbonding) {
        (, unbonding) = nodes.assetsOf(id, account);
    }

    function staked(uint32 id) internal view returns (uint256) {
        return rewards.staked(nodes.pool(), nodes.staker(id));
    }

    function idList(uint32 id) internal pure returns (uint32[] memory ids) {
        ids = new uint32[](1);
        ids[0] = id;
    }
}
