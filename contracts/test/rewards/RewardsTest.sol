// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Test} from "forge-std/Test.sol";

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {OddToken} from "./OddToken.sol";

/// @notice Fixture of the rewards tests: one pool with one reward token at the beginning of an epoch, four accounts,
/// and short names for their actions.
abstract contract RewardsTest is Test {
    uint256 internal constant WEEK = 1 weeks;
    uint256 internal constant EPOCHS_AHEAD = 26;
    uint256 internal constant MAX_FUNDED = type(uint96).max;

    IRewards internal rewards;
    OddToken internal stakeToken;
    OddToken internal reward;
    bytes32 internal pool;

    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");
    address internal carol = makeAddr("carol");
    address internal keeper = makeAddr("keeper");

    function setUp() public virtual {
        vm.warp(2900 * WEEK);
        rewards = IRewards(deployCode("Rewards.sol:Rewards"));
        stakeToken = new OddToken();
        reward = new OddToken();
        pool = rewards.createPool(address(stakeToken), _list(address(reward)), 0);
    }

    /* TIME */

    function _epoch() internal view returns (uint256) {
        return vm.getBlockTimestamp() / WEEK;
    }

    function _skipToEpoch(uint256 epoch) internal {
        vm.warp(epoch * WEEK);
    }

    /* VERBS */

    function _give(OddToken token, address to, uint256 amount) internal {
        token.mint(to, amount);
        vm.prank(to);
        token.approve(address(rewards), type(uint256).max);
    }

    function _stake(address account, uint256 amount) internal returns (uint256) {
        _give(stakeToken, account, amount);
        vm.prank(account);
        return rewards.stake(pool, amount, account);
    }

    function _unstake(address account, uint256 amount) internal returns (uint256) {
        vm.prank(account);
        return rewards.unstake(pool, amount, account, account);
    }

    function _claim(address account) internal returns (uint256) {
        return _claim(reward, account);
    }

    function _claim(OddToken token, address account) internal returns (uint256) {
        vm.prank(account);
        return rewards.claim(pool, address(token), account, account);
    }

    /// @dev Funds the `epochs` epochs after the current one.
    function _fund(uint256 amount, uint256 epochs) internal returns (uint256) {
        return _fund(reward, amount, _epoch() + 1, epochs);
    }

    function _fund(OddToken token, uint256 amount, uint256 firstEpoch, uint256 epochs) internal returns (uint256) {
        _give(token, address(this), amount);
        return rewards.fund(pool, address(token), amount, firstEpoch, epochs);
    }

    function _consent(address account, uint16 tipBps, uint96 smallest) internal {
        _consent(reward, account, tipBps, smallest, false);
    }

    function _consent(OddToken token, address account, uint16 tipBps, uint96 smallest, bool compounds) internal {
        vm.prank(account);
        rewards.setHarvestConsent(
            pool,
            address(token),
            IRewards.HarvestConsent({enabled: true, compounds: compounds, tipBps: tipBps, smallest: smallest})
        );
    }

    function _harvest(address account) internal returns (uint256) {
        return _harvest(_list(account));
    }

    function _harvest(address[] memory accounts) internal returns (uint256) {
        vm.prank(keeper);
        return rewards.harvest(pool, address(reward), accounts);
    }

    /* VIEWS */

    function _claimable(address account) internal view returns (uint256) {
        return rewards.claimable(pool, address(reward), account);
    }

    function _scheduled(uint256 epochsAhead) internal view returns (uint256) {
        (, uint256[] memory amounts) = rewards.schedule(pool, address(reward));
        return amounts[epochsAhead];
    }

    function _scheduledSum() internal view returns (uint256 sum) {
        (, uint256[] memory amounts) = rewards.schedule(pool, address(reward));
        for (uint256 i; i < amounts.length; i++) {
            sum += amounts[i];
        }
    }

    /* LISTS */

    function _list(address a) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = a;
    }

    function _list(address a, address b) internal pure returns (address[] memory list) {
        list = new address[](2);
        (list[0], list[1]) = (a, b);
    }

    function _list(address a, address b, address c) internal pure returns (address[] memory list) {
        list = new address[](3);
        (list[0], list[1], list[2]) = (a, b, c);
    }
}
