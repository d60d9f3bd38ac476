// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {Vm} from "forge-std/Vm.sol";

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {OddToken, Payout} from "./OddToken.sol";
import {RewardsStateFromEvents} from "./RewardsStateFromEvents.sol";
import {RewardsHandler} from "./RewardsHandler.sol";

contract RewardsInvariantsTest is Test {
    uint256 internal constant WEEK = 1 weeks;

    IRewards internal rewards;
    OddToken[2] internal tokens;
    bytes32[2] internal pools;
    RewardsHandler internal handler;
    RewardsStateFromEvents internal rebuilt;

    function setUp() public {
        uint256 start = 2900 * WEEK + 12_345;
        vm.warp(start);
        vm.recordLogs();
        rewards = IRewards(deployCode("Rewards.sol:Rewards"));
        tokens = [new OddToken(), new OddToken()];
        address[] memory both = new address[](2);
        (both[0], both[1]) = (address(tokens[1]), address(tokens[0]));
        address[] memory one = new address[](1);
        one[0] = address(tokens[1]);
        pools[0] = rewards.createPool(address(tokens[0]), both, 0);
        pools[1] = rewards.createPool(address(tokens[0]), one, 0);
        handler = new RewardsHandler(rewards, tokens, pools, start);
        rebuilt = handler.rebuilt();
        rebuilt.applyLogs(vm.getRecordedLogs(), address(rewards), start);
        targetContract(address(handler));
    }

    /// @dev Pool 0 with each token, pool 1 with the second.
    function _streamOf(uint256 i) private view returns (bytes32 pool, address token) {
        return (i < 2 ? pools[0] : pools[1], i == 0 ? address(tokens[0]) : address(tokens[1]));
    }

    function _claimableSum(bytes32 pool, address token) private view returns (uint256 sum) {
        for (uint256 i; i < 4; i++) {
            sum += rewards.claimable(pool, token, handler.actors(i));
        }
    }

    /// All of them on one history: a campaign for each would look at five times fewer.
    function invariant_R1_R2_R3_R4_R5_A6() public {
        vm.warp(handler.time());
        _claimableAndPaidNeverExceedFunded();
        _theBalanceCoversStakesAndRewards();
        _stakesAddUp();
        _nothingIsLost();
    }

    /// R1: what can be claimed and what was paid is never more than what was funded.
    function _claimableAndPaidNeverExceedFunded() private view {
        for (uint256 i; i < 3; i++) {
            (bytes32 pool, address token) = _streamOf(i);
            uint256 funded = handler.funded(pool, token);
            assertEq(rewards.streamState(pool, token).funded, funded);
            assertLe(_claimableSum(pool, token) + handler.paid(pool, token), funded);
        }
    }

    /// R1, A6: the balance is all stakes, all that was funded and not paid, and donations, to the unit.
    function _theBalanceCoversStakesAndRewards() private view {
        uint256 owed = rewards.poolState(pools[0]).totalStaked + rewards.poolState(pools[1]).totalStaked
            + handler.funded(pools[0], address(tokens[0])) - handler.paid(pools[0], address(tokens[0]));
        assertEq(tokens[0].balanceOf(address(rewards)), owed + handler.donated());
    }

    function _stakesAddUp() private view {
        for (uint256 p; p < 2; p++) {
            uint256 sum;
            for (uint256 i; i < 4; i++) {
                sum += rewards.staked(pools[p], handler.actors(i));
            }
            assertEq(rewards.poolState(pools[p]).totalStaked, sum);
        }
    }

    /// R2: paid, claimable and still to come are all that was funded, but for a unit an account and a 604,800th of a
    /// unit an update.
    function _nothingIsLost() private view {
        for (uint256 i; i < 3; i++) {
            (bytes32 pool, address token) = _streamOf(i);
            (, uint256[] memory amounts) = rewards.schedule(pool, token);
            uint256 toCome = amounts[0] * (WEEK - handler.time() % WEEK) / WEEK;
            for (uint256 j = 1; j < amounts.length; j++) {
                toCome += amounts[j];
            }
            uint256 seen = toCome + _claimableSum(pool, token) + handler.paid(pool, token);
            assertGe(seen + _bound(), handler.funded(pool, token));
        }
    }

    /// @dev Four accounts, the division above, the remainder below a unit: stakes stay below 2^96.
    function _bound() private view returns (uint256) {
        return 4 + 2 + handler.updates() / WEEK;
    }

    /// A8 for rewards: state rebuilt from events alone is the contract's, word for word.
    function _stateMatchesEvents() private {
        for (uint256 i; i < 3; i++) {
            (bytes32 pool, address token) = _streamOf(i);
            IRewards.StreamState memory stream = rewards.streamState(pool, token);
            assertEq(abi.encode(rebuilt.streamState(pool, token)), abi.encode(stream));
            vm.warp(stream.lastUpdate);
            (uint256 epoch, uint256[] memory amounts) = rewards.schedule(pool, token);
            for (uint256 j = 1; j < amounts.length; j++) {
                assertEq(rebuilt.scheduled(pool, token, epoch + j), amounts[j]);
            }
            assertEq(rebuilt.totalStaked(pool), rewards.poolState(pool).totalStaked);
            for (uint256 j; j < 4; j++) {
                address actor = handler.actors(j);
                assertEq(rebuilt.staked(pool, actor), rewards.staked(pool, actor));
                assertEq(rebuilt.rewardOffset(pool, token, actor), rewards.rewardOffset(pool, token, actor));
                assertEq(
                    abi.encode(rebuilt.harvestConsent(pool, token, actor)),
                    abi.encode(rewards.harvestConsent(pool, token, actor))
                );
            }
        }
    }

    /// A8, at the end of a history, since a book that has once gone wrong stays wrong. Then R2 to the end: once all
    /// epochs have passed with somebody staked, everybody claims and nothing is left.
    function afterInvariant() public {
        _stateMatchesEvents();
        vm.warp(handler.time());
        address last = handler.actors(0);
        for (uint256 p; p < 2; p++) {
            vm.prank(last);
            rewards.stake(pools[p], 1, last);
        }
        skip(30 * WEEK);
        for (uint256 i; i < 3; i++) {
            (bytes32 pool, address token) = _streamOf(i);
            uint256 paid = handler.paid(pool, token);
            for (uint256 j; j < 4; j++) {
                address actor = handler.actors(j);
                OddToken(token).setPayout(actor, Payout.Normal);
                vm.prank(actor);
                paid += rewards.claim(pool, token, actor, actor);
            }
            assertLe(paid, handler.funded(pool, token));
            assertGe(paid + _bound(), handler.funded(pool, token));
        }
    }
}
