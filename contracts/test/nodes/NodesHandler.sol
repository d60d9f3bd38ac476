// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {INodes} from "plimsoll/interfaces/INodes.sol";
import {IRewards} from "plimsoll/interfaces/IRewards.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice Operators, delegators, the jobs contract, a funder and a donor act on a registry in any order.
contract NodesHandler is Test {
    uint256 internal constant MIN_BOND = 1000e18;
    uint256 internal constant ACCOUNTS = 5;

    INodes internal immutable NODES;
    IRewards internal immutable REWARDS;
    TestToken internal immutable TOKEN;
    address internal immutable JOBS;

    /// @dev Tokens that accounts put into bonds, funders into emission, and that were sent without a call.
    uint256 public bonded;
    uint256 public funded;
    uint256 public donated;
    /// @dev Draws that are open, by kind.
    uint256[2] public open;
    mapping(uint32 id => uint256) public seats;
    uint256 public slashes;
    uint256 public withdrawals;
    uint256 public harvests;

    constructor(INodes nodes, IRewards rewards, TestToken token, address jobs) {
        (NODES, REWARDS, TOKEN, JOBS) = (nodes, rewards, token, jobs);
        for (uint256 i; i < ACCOUNTS; ++i) {
            vm.prank(account(i));
            token.approve(address(nodes), type(uint256).max);
        }
        token.approve(address(rewards), type(uint256).max);
    }

    function account(uint256 i) public pure returns (address) {
        return address(uint160(0x20000 + i % ACCOUNTS));
    }

    function kind(uint256 i) public pure returns (bytes32) {
        return bytes32(i % 2 + 1);
    }

    function register(uint256 who, uint256 what, uint256 amount, uint16 cutBps) external {
        if (NODES.count() >= 6) return;
        amount = bound(amount, MIN_BOND, 5 * MIN_BOND);
        TOKEN.mint(account(who), amount);
        bonded += amount;
        vm.prank(account(who));
        NODES.register(kind(what), account(who), cutBps % 10_001, "https://node.example", amount);
    }

    function delegate(uint256 who, uint32 id, uint256 amount) external {
        if ((id = _pick(id)) == 0) return;
        amount = bound(amount, MIN_BOND / 100, 5 * MIN_BOND);
        TOKEN.mint(account(who), amount);
        vm.prank(account(who));
        try NODES.delegate(id, amount) {
            bonded += amount;
        } catch (bytes memory reason) {
            // The only error: hundreds of slashes later.
            assertEq(bytes4(reason), INodes.NodeRuined.selector);
            vm.prank(account(who));
            TOKEN.transfer(address(0xdead), amount);
        }
    }

    function unbond(uint256 who, uint32 id, uint256 shares) external {
        if ((id = _pick(id)) == 0) return;
        uint256 owned = NODES.position(id, account(who)).shares;
        if (owned == 0) return;
        vm.prank(account(who));
        NODES.unbond(id, shares % 3 == 0 ? owned : bound(shares, 1, owned));
    }

    function withdraw(uint256 who, uint32 id) external {
        if ((id = _pick(id)) == 0) return;
        INodes.Position memory p = NODES.position(id, account(who));
        if (p.unbonding == 0) return;
        if (block.timestamp < p.releasesAt) vm.warp(p.releasesAt);
        // N7: nothing that others do blocks it, not even a failing emission pool.
        (, uint256 worth) = NODES.assetsOf(id, account(who));
        vm.mockCallRevert(address(REWARDS), "", "");
        vm.prank(account(who));
        assertEq(NODES.withdraw(id, address(0xbeef)), worth);
        vm.clearMockedCalls();
        ++withdrawals;
    }

    function harvest(uint32 id) external {
        if ((id = _pick(id)) == 0) return;
        uint32[] memory ids = new uint32[](2);
        (ids[0], ids[1]) = (id, id);
        NODES.harvest(ids);
        ++harvests;
    }

    function fund(uint256 amount) external {
        amount = bound(amount, 1, 100 * MIN_BOND);
        TOKEN.mint(address(this), amount);
        funded += amount;
        REWARDS.fund(NODES.pool(), address(TOKEN), amount, block.timestamp / 1 weeks + 1, 2);
    }

    function setPaused(uint32 id, bool on) external {
        if ((id = _pick(id)) == 0) return;
        INodes.Node memory n = NODES.node(id);
        if (block.timestamp < n.jailedUntil) vm.warp(n.jailedUntil);
        vm.prank(n.operator);
        if (on) NODES.pause(id);
        else NODES.resume(id);
    }

    function slash(uint32 id, uint256 bps) external {
        if ((id = _pick(id)) == 0) return;
        vm.prank(JOBS);
        NODES.slash(id, bps % 2001);
        ++slashes;
    }

    function jail(uint32 id) external {
        if ((id = _pick(id)) == 0) return;
        vm.prank(JOBS);
        NODES.jail(id);
    }

    function draw(uint256 what, bool opens) external {
        if (!opens && open[what % 2] == 0) return;
        vm.prank(JOBS);
        if (opens) {
            NODES.openDraw(kind(what));
            ++open[what % 2];
        } else {
            NODES.closeDraw(kind(what));
            --open[what % 2];
        }
    }

    function seat(uint32 id, bool takes) external {
        if ((id = _pick(id)) == 0 || NODES.node(id).leaf == 0) return;
        if (takes ? seats[id] == 8 : seats[id] == 0) return;
        vm.prank(JOBS);
        if (takes) {
            NODES.takeSeat(id);
            ++seats[id];
        } else {
            NODES.freeSeat(id);
            --seats[id];
        }
    }

    function compact(uint256 what, uint256 index) external {
        uint256 length = NODES.leaves(kind(what));
        if (length == 0) return;
        INodes.Leaf memory l = NODES.leaf(kind(what), index % length);
        bool allowed = open[what % 2] == 0 && l.weight == 0 && l.seats == 0;
        if (!allowed) vm.expectRevert();
        NODES.compact(kind(what), index % length);
    }

    function wait_(uint256 seconds_) external {
        skip(bound(seconds_, 1, 9 days));
    }

    function donate(uint256 amount) external {
        amount = bound(amount, 1, MIN_BOND);
        TOKEN.mint(address(NODES), amount);
        donated += amount;
    }

    function _pick(uint32 id) private view returns (uint32) {
        uint32 count = NODES.count();
        return count == 0 ? 0 : id % count + 1;
    }
}
