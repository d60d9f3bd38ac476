// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Test} from "forge-std/Test.sol";

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {OddToken, Payout} from "./OddToken.sol";
import {RewardsStateFromEvents} from "./RewardsStateFromEvents.sol";

/// @notice Four actors on two pools that share their tokens; one token is staked, rewarded and compounded. Every action
/// is one that must succeed, and asserts what it may change: the rest of what must always hold is in the invariants.
contract RewardsHandler is Test {
    uint256 internal constant WEEK = 1 weeks;

    IRewards public immutable rewards;
    RewardsStateFromEvents public immutable rebuilt;
    OddToken[2] public tokens;
    bytes32[2] public pools;
    address[4] public actors;
    address internal immutable KEEPER = makeAddr("keeper");
    address internal immutable ELSEWHERE = makeAddr("an address that no token blocks");

    /// @dev Kept here, so that nothing depends on whether a change of the clock outlives the call that made it.
    uint256 public time;
    uint256 public updates;
    uint256 public donated;
    mapping(bytes32 pool => mapping(address token => uint256)) public funded;
    mapping(bytes32 pool => mapping(address token => uint256)) public paid;

    uint256[4] internal _before;

    constructor(IRewards rewards_, OddToken[2] memory tokens_, bytes32[2] memory pools_, uint256 time_) {
        rewards = rewards_;
        tokens = tokens_;
        pools = pools_;
        time = time_;
        rebuilt = new RewardsStateFromEvents();
        for (uint256 i; i < 4; i++) {
            actors[i] = makeAddr(string.concat("actor", vm.toString(i)));
            for (uint256 j; j < 2; j++) {
                tokens[j].mint(actors[i], 1e40);
                vm.prank(actors[i]);
                tokens[j].approve(address(rewards), type(uint256).max);
            }
        }
    }

    /// @dev Runs an action at the handler's time and hands its events to the book.
    modifier recorded() {
        vm.warp(time);
        vm.recordLogs();
        _;
        rebuilt.applyLogs(vm.getRecordedLogs(), address(rewards), time);
        updates++;
    }

    /* ACTIONS */

    function pass(uint256 seconds_) external {
        time += bound(seconds_, 1, 10 days);
    }

    function passLong(uint256 seconds_) external {
        if (seconds_ % 8 == 0) time += bound(seconds_, 1, 400 days);
    }

    function stake(uint256 who, uint256 forWhom, uint256 where, uint256 amount) external recorded {
        bytes32 pool = pools[where % 2];
        address onBehalf = actors[forWhom % 4];
        amount = _oftenSmall(amount, 1e24);
        _recordClaims(pool, tokens[0]);
        vm.prank(actors[who % 4]);
        rewards.stake(pool, amount, onBehalf);
        _assertKept(pool, tokens[0], onBehalf);
    }

    function unstake(uint256 who, uint256 where, uint256 amount) external recorded {
        bytes32 pool = pools[where % 2];
        address account = actors[who % 4];
        uint256 held = rewards.staked(pool, account);
        if (held == 0) return;
        amount = amount % 3 == 0 ? held : bound(amount, 1, held);
        _recordClaims(pool, tokens[1]);
        vm.prank(account);
        rewards.unstake(pool, amount, account, account);
        _assertKept(pool, tokens[1], account);
    }

    function claim(uint256 who, uint256 where, uint256 which) external recorded {
        bytes32 pool = pools[where % 2];
        OddToken token = _rewardOf(where, which);
        address account = actors[who % 4];
        _recordClaims(pool, token);
        vm.prank(account);
        uint256 claimed = rewards.claim(pool, address(token), account, ELSEWHERE);
        assertEq(claimed, _before[who % 4], "a claim pays what was claimable");
        paid[pool][address(token)] += claimed;
        _before[who % 4] = 0;
        _assertKept(pool, token, address(0));
    }

    function fund(uint256 where, uint256 which, uint256 amount, uint256 ahead, uint256 epochs) external recorded {
        bytes32 pool = pools[where % 2];
        OddToken token = _rewardOf(where, which);
        amount = _oftenSmall(amount, 1e25);
        ahead = bound(ahead, 1, 26);
        epochs = bound(epochs, 1, 27 - ahead);
        _recordClaims(pool, token);
        vm.prank(actors[0]);
        rewards.fund(pool, address(token), amount, time / WEEK + ahead, epochs);
        funded[pool][address(token)] += amount;
        _assertKept(pool, token, address(0));
    }

    function consent(uint256 who, uint256 where, uint256 which, bool compounds, uint16 tipBps, uint96 smallest)
        external
        recorded
    {
        OddToken token = _rewardOf(where, which);
        vm.prank(actors[who % 4]);
        rewards.setHarvestConsent(
            pools[where % 2],
            address(token),
            IRewards.HarvestConsent({
                enabled: tipBps % 4 != 0,
                compounds: compounds && token == tokens[0],
                tipBps: tipBps % 2001,
                smallest: uint96(_oftenSmall(smallest, 1e25))
            })
        );
    }

    /// Makes the second token refuse to pay an actor, or pay it again.
    function block_(uint256 who, bool refuse) external {
        tokens[1].setPayout(actors[who % 4], refuse ? Payout.Reverts : Payout.Normal);
    }

    /// R4, R5: exactly the accounts that consented, have enough and can be paid are paid, each once, less the tip.
    function harvest(uint256 where, uint256 which, uint256[5] calldata whom) external recorded {
        bytes32 pool = pools[where % 2];
        OddToken token = _rewardOf(where, which);
        address[] memory accounts = new address[](5);
        _recordClaims(pool, token);
        uint256 tips;
        uint256 total;
        uint256[4] memory kept;
        for (uint256 i; i < 5; i++) {
            uint256 who = whom[i] % 4;
            accounts[i] = actors[who];
            IRewards.HarvestConsent memory terms = rewards.harvestConsent(pool, address(token), actors[who]);
            uint256 amount = _before[who];
            bool payable_ = terms.compounds || token.payoutTo(actors[who]) == Payout.Normal;
            if (!terms.enabled || amount == 0 || amount < terms.smallest || !payable_) continue;
            uint256 tip = amount * terms.tipBps / 10_000;
            tips += tip;
            total += amount;
            kept[who] = amount - tip;
            _before[who] = 0;
        }
        if (total == 0) return;

        uint256[4] memory wealth;
        for (uint256 i; i < 4; i++) {
            wealth[i] = token.balanceOf(actors[i]) + rewards.staked(pool, actors[i]);
        }
        uint256 keeperBefore = token.balanceOf(KEEPER);
        vm.prank(KEEPER);
        assertEq(rewards.harvest(pool, address(token), accounts), tips, "the sum of the tips agreed to");
        assertEq(token.balanceOf(KEEPER) - keeperBefore, tips, "tips arrive");
        for (uint256 i; i < 4; i++) {
            assertEq(token.balanceOf(actors[i]) + rewards.staked(pool, actors[i]) - wealth[i], kept[i], "less the tip");
        }
        paid[pool][address(token)] += total;
        _assertKept(pool, token, address(0));
    }

    /// A6: tokens that are just sent here move nothing.
    function donate(uint256 which, uint256 amount) external {
        amount = bound(amount, 1, 1e24);
        vm.prank(actors[1]);
        tokens[which % 2].transfer(address(rewards), amount);
        if (which % 2 == 0) donated += amount;
    }

    /* WHAT EVERY ACTION KEEPS: R3, R4 */

    function _recordClaims(bytes32 pool, OddToken token) private {
        for (uint256 i; i < 4; i++) {
            _before[i] = rewards.claimable(pool, address(token), actors[i]);
        }
    }

    /// @dev Nobody's claim changed; that of `settled` may have been rounded down.
    function _assertKept(bytes32 pool, OddToken token, address settled) private view {
        for (uint256 i; i < 4; i++) {
            uint256 now_ = rewards.claimable(pool, address(token), actors[i]);
            if (actors[i] == settled) {
                assertLe(now_, _before[i], "settled up");
                assertGe(now_ + 1, _before[i], "settled down by more than a unit");
            } else {
                assertEq(now_, _before[i], "somebody else's claim changed");
            }
        }
    }

    /* CHOICES */

    /// @dev Pool 0 pays both tokens, pool 1 only the second.
    function _rewardOf(uint256 where, uint256 which) private view returns (OddToken) {
        return where % 2 == 0 ? tokens[which % 2] : tokens[1];
    }

    /// @dev Half of the time a handful of units, where roundings are largest.
    function _oftenSmall(uint256 amount, uint256 largest) private pure returns (uint256) {
        return amount % 2 == 0 ? amount % 1000 + 1 : bound(amount, 1, largest);
    }
}
