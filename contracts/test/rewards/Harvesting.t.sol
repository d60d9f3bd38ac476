// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "plimsoll/interfaces/IRewards.sol";

import {RewardsTest} from "./RewardsTest.sol";
import {Payout} from "./OddToken.sol";

contract HarvestingTest is RewardsTest {
    function setUp() public override {
        super.setUp();
        _stake(alice, 1e18);
        _stake(bob, 1e18);
        _stake(carol, 2e18);
        _fund(4e20, 1);
        skip(WEEK + WEEK / 2);
    }

    function _nothing() private view returns (bytes memory) {
        return abi.encodeWithSelector(IRewards.NothingHarvested.selector, pool, address(reward));
    }

    /* CONSENT */

    function test_R5_nobodyIsHarvestedWithoutConsent() public {
        vm.expectRevert(_nothing());
        _harvest(alice);

        _consent(alice, 100, 0);
        vm.prank(alice);
        rewards.setHarvestConsent(pool, address(reward), IRewards.HarvestConsent(false, false, 100, 0));
        vm.expectRevert(_nothing());
        _harvest(alice);
        assertApproxEqAbs(_claimable(alice), 5e19, 1);
    }

    function test_consentIsKeptAndSaid(bool enabled, uint16 tipBps, uint96 smallest) public {
        tipBps = uint16(bound(tipBps, 0, 2000));
        uint256 offset = rewards.rewardOffset(pool, address(reward), alice);
        vm.expectEmit(address(rewards));
        emit IRewards.SetHarvestConsent(pool, address(reward), alice, enabled, false, tipBps, smallest);
        vm.prank(alice);
        rewards.setHarvestConsent(pool, address(reward), IRewards.HarvestConsent(enabled, false, tipBps, smallest));
        IRewards.HarvestConsent memory consent = rewards.harvestConsent(pool, address(reward), alice);
        assertEq(consent.enabled, enabled);
        assertEq(consent.compounds, false);
        assertEq(consent.tipBps, tipBps);
        assertEq(consent.smallest, smallest);
        assertEq(rewards.rewardOffset(pool, address(reward), alice), offset);
        assertEq(rewards.harvestConsent(pool, address(reward), bob).enabled, false);
    }

    function test_R5_aTipIsAtMostAFifth() public {
        vm.expectRevert(abi.encodeWithSelector(IRewards.TipTooHigh.selector, 2001, 2000));
        _consent(alice, 2001, 0);
    }

    function test_consentIsForAKnownReward() public {
        vm.expectRevert(abi.encodeWithSelector(IRewards.UnknownRewardToken.selector, pool, address(stakeToken)));
        _consent(stakeToken, alice, 0, 0, false);
    }

    function test_onlyTheStakeTokenCompounds() public {
        vm.expectRevert(abi.encodeWithSelector(IRewards.CannotCompound.selector, pool, address(reward)));
        _consent(reward, alice, 0, 0, true);
    }

    /// I2, R5: an authorisation to unstake and claim is none to change somebody's terms.
    function test_R5_onlyTheAccountItselfConsents() public {
        vm.prank(alice);
        rewards.setAuthorization(bob, type(uint256).max);
        _consent(bob, 0, 0);
        assertFalse(rewards.harvestConsent(pool, address(reward), alice).enabled);
    }

    /* PAYING */

    /// R5: the account gets its reward less exactly the tip, rounded in its favour; the caller gets the tips at once.
    function test_R5_theAccountGetsAllButTheTip(uint16 tipBps) public {
        tipBps = uint16(bound(tipBps, 0, 2000));
        _consent(alice, tipBps, 0);
        uint256 earned = _claimable(alice);
        uint256 tip = earned * tipBps / 10_000;
        vm.expectEmit(address(rewards));
        emit IRewards.Harvest(pool, address(reward), alice, earned, tip, false);
        assertEq(_harvest(alice), tip);
        assertEq(reward.balanceOf(alice), earned - tip);
        assertEq(reward.balanceOf(keeper), tip);
        assertEq(_claimable(alice), 0);
    }

    function test_R5_eachAccountByItsOwnTerms() public {
        _consent(alice, 100, 0);
        _consent(bob, 2000, 0);
        _consent(carol, 0, 0);
        uint256 earned = _claimable(alice);
        assertEq(_claimable(bob), earned);
        uint256 carols = _claimable(carol);
        uint256 tips = _harvest(_list(alice, bob, carol));
        assertEq(reward.balanceOf(alice), earned - earned / 100);
        assertEq(reward.balanceOf(bob), earned - earned / 5);
        assertEq(reward.balanceOf(carol), carols);
        assertEq(tips, earned / 100 + earned / 5);
        assertEq(reward.balanceOf(keeper), tips);
    }

    /// R5: exactly the least amount is enough, one unit less is not.
    function test_R5_neverBelowTheSmallestAmount() public {
        uint256 earned = _claimable(alice);
        _consent(alice, 2000, uint96(earned + 1));
        vm.expectRevert(_nothing());
        _harvest(alice);
        _consent(alice, 2000, uint96(earned));
        _harvest(alice);
        assertEq(reward.balanceOf(alice), earned - earned / 5);
    }

    function test_nothingToHarvestIsAnError() public {
        _consent(alice, 100, 0);
        _harvest(alice);
        vm.expectRevert(_nothing());
        _harvest(alice);
        vm.expectRevert(_nothing());
        _harvest(new address[](0));
        vm.expectRevert(_nothing());
        _harvest(address(0));
    }

    function test_onlyListedRewardTokensAreHarvested() public {
        vm.expectRevert(abi.encodeWithSelector(IRewards.UnknownRewardToken.selector, pool, address(stakeToken)));
        rewards.harvest(pool, address(stakeToken), _list(alice));
    }

    /// Attack 12, R4: an account that is listed twice is paid once.
    function test_attack12_R4_duplicatesPayOnce() public {
        _consent(alice, 1000, 0);
        _consent(bob, 1000, 0);
        uint256 earned = _claimable(alice);
        uint256 tips = _harvest(_list(alice, bob, alice));
        assertEq(reward.balanceOf(alice), earned - earned / 10);
        assertEq(tips, 2 * (earned / 10));
        assertEq(reward.balanceOf(address(rewards)), 4e20 - 2 * earned);
    }

    /// A harvest settles like a claim: both together pay what is earned once.
    function test_R1_harvestAndClaimDoNotPayTwice() public {
        _consent(alice, 1000, 0);
        _harvest(alice);
        assertEq(_claim(alice), 0);
        skip(WEEK);
        uint256 rest = _claimable(alice);
        assertApproxEqAbs(rest, 5e19, 1);
        assertEq(_claim(alice), rest);
        vm.expectRevert(_nothing());
        _harvest(alice);
    }

    /* PAYMENTS THAT FAIL */

    function _assertSkipped(Payout payout) private {
        _consent(alice, 1000, 0);
        _consent(bob, 1000, 0);
        _consent(carol, 1000, 0);
        uint256[3] memory earned = [_claimable(alice), _claimable(bob), _claimable(carol)];
        uint256 offset = rewards.rewardOffset(pool, address(reward), bob);
        reward.setPayout(bob, payout);

        uint256 tips = _harvest(_list(alice, bob, carol));

        assertEq(tips, earned[0] / 10 + earned[2] / 10);
        assertEq(reward.balanceOf(alice), earned[0] - earned[0] / 10);
        assertEq(reward.balanceOf(carol), earned[2] - earned[2] / 10);
        assertEq(reward.balanceOf(bob), 0);
        assertEq(rewards.rewardOffset(pool, address(reward), bob), offset);
        assertEq(_claimable(bob), earned[1]);

        reward.setPayout(bob, Payout.Normal);
        assertEq(_claim(bob), earned[1]);
    }

    function test_R4_aBlockedReceiverIsSkippedAndKeepsItsClaim() public {
        _assertSkipped(Payout.Reverts);
    }

    function test_R4_aHarvestOfBlockedReceiversAloneReverts() public {
        _consent(bob, 1000, 0);
        reward.setPayout(bob, Payout.Reverts);
        vm.expectRevert(_nothing());
        _harvest(bob);
    }

    /// A payment that is neither refused nor confirmed undoes the batch, whose caller leaves that account out.
    function _assertUndone(Payout payout) private {
        _consent(alice, 1000, 0);
        _consent(bob, 1000, 0);
        uint256 earned = _claimable(bob);
        reward.setPayout(bob, payout);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRewards.TransferFailed.selector, address(reward), address(rewards), bob, earned - earned / 10
            )
        );
        _harvest(_list(alice, bob));
        assertGt(_harvest(alice), 0);
        assertEq(_claimable(bob), earned);
    }

    function test_aFalseAnswerUndoesTheBatch() public {
        _assertUndone(Payout.ReturnsFalse);
    }

    function test_L4_aHugeAnswerUndoesTheBatch() public {
        uint256 before = gasleft();
        _assertUndone(Payout.ReturnsTooMuch);
        assertLt(before - gasleft(), 1_500_000);
    }

    /// R1: a token that moves tokens and returns false pays no claim twice, and no claim out of stakes.
    function test_R1_aTokenThatMovesAndReturnsFalsePaysNothing() public {
        _consent(alice, 0, 0);
        _consent(bob, 0, 0);
        reward.setPayout(bob, Payout.MovesAndReturnsFalse);
        address[] memory list = new address[](50);
        list[0] = alice;
        for (uint256 i = 1; i < list.length; i++) {
            list[i] = bob;
        }
        uint256 held = reward.balanceOf(address(rewards));
        vm.expectPartialRevert(IRewards.TransferFailed.selector);
        _harvest(list);
        assertEq(reward.balanceOf(address(rewards)), held);
        assertEq(reward.balanceOf(bob), 0);
    }

    /// L4, R4: a payment that burns all gas that it gets costs the batch 500,000 gas and no more.
    function test_L4_R4_aGasBurningReceiverIsSkipped() public {
        uint256 before = gasleft();
        _assertSkipped(Payout.BurnsAllGas);
        assertLt(before - gasleft(), 1_000_000);
    }

    /// L4: a caller that names a limit pays that much for such a receiver.
    function test_L4_R4_theCallerMayNameALowerLimit() public {
        _consent(alice, 1000, 0);
        _consent(bob, 1000, 0);
        uint256 earned = _claimable(bob);
        reward.setPayout(bob, Payout.BurnsAllGas);
        vm.prank(keeper);
        uint256 before = gasleft();
        assertGt(rewards.harvestWithGasLimit(pool, address(reward), _list(alice, bob), 60_000), 0);
        assertLt(before - gasleft(), 300_000);
        assertEq(_claimable(alice), 0);
        assertEq(_claimable(bob), earned);
    }

    /// A higher limit than the contract's own counts as that, so the bound on a hostile receiver stays.
    function test_L4_theLimitCannotBeRaised() public {
        _consent(alice, 1000, 0);
        _consent(bob, 1000, 0);
        reward.setPayout(bob, Payout.BurnsAllGas);
        vm.prank(keeper);
        uint256 before = gasleft();
        rewards.harvestWithGasLimit(pool, address(reward), _list(alice, bob), type(uint256).max);
        assertLt(before - gasleft(), 800_000);
    }

    /// L4: the gas of a batch that was estimated before one of its receivers became hostile suffices with a limit.
    function test_L4_anEstimatedBatchOutlivesAReceiverThatTurnsHostile() public {
        address[] memory list = new address[](21);
        list[0] = carol;
        for (uint256 i = 1; i < list.length; i++) {
            list[i] = makeAddr(vm.toString(i));
            _stake(list[i], 1e18);
        }
        for (uint256 i; i < list.length; i++) {
            _consent(list[i], 100, 0);
        }
        _fund(1e24, 1);
        skip(2 * WEEK);
        bytes memory data =
            abi.encodeCall(IRewards.harvestWithGasLimit, (pool, address(reward), list, uint256(100_000)));
        uint256 snapshot = vm.snapshotState();
        vm.prank(keeper);
        uint256 before = gasleft();
        (bool done,) = address(rewards).call(data);
        uint256 used = before - gasleft();
        assertTrue(done);
        vm.revertToState(snapshot);
        reward.setPayout(carol, Payout.BurnsAllGas);
        vm.prank(keeper);
        (done,) = address(rewards).call{gas: used * 13 / 10}(data);
        assertTrue(done, "one receiver undid the whole batch");
        assertGt(reward.balanceOf(keeper), 0);
    }

    /// R4: a caller that gives too little gas for the payments takes no claim and no tip.
    function test_R4_aCallerCannotStarvePayments(uint256 gasLimit) public {
        gasLimit = bound(gasLimit, 30_000, 250_000);
        _consent(alice, 1000, 0);
        _consent(bob, 1000, 0);
        uint256[2] memory earned = [_claimable(alice), _claimable(bob)];
        vm.prank(keeper);
        try rewards.harvest{gas: gasLimit}(pool, address(reward), _list(alice, bob)) {} catch {}
        address[2] memory accounts = [alice, bob];
        uint256 tips;
        for (uint256 i; i < 2; i++) {
            uint256 left = _claimable(accounts[i]);
            if (left != 0) {
                assertEq(left, earned[i]);
                assertEq(reward.balanceOf(accounts[i]), 0);
            } else {
                assertEq(reward.balanceOf(accounts[i]), earned[i] - earned[i] / 10);
                tips += earned[i] / 10;
            }
        }
        assertEq(reward.balanceOf(keeper), tips);
    }

    /// A keeper that cannot be paid gets nothing done: nobody loses a claim for a tip that went nowhere.
    function test_aKeeperThatTheTokenRefusesFails() public {
        _consent(alice, 1000, 0);
        uint256 earned = _claimable(alice);
        reward.setPayout(keeper, Payout.Reverts);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRewards.TransferFailed.selector, address(reward), address(rewards), keeper, earned / 10
            )
        );
        _harvest(alice);
    }

    /// No tip, no transfer to the keeper: some tokens refuse a transfer of zero.
    function test_withoutATipTheKeeperIsSentNothing() public {
        reward.setRefusesZero(true);
        _consent(alice, 0, 0);
        assertEq(_harvest(alice), 0);
        assertApproxEqAbs(reward.balanceOf(alice), 5e19, 1);
    }
}
