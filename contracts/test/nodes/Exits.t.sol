// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {ChannelsTest} from "./ChannelsTest.sol";
import {ContractSigner} from "./ContractSigner.sol";

/// @title Withdrawals by the payer, and refunds by the receiver.
contract ExitsTest is ChannelsTest {
    function setUp() public override {
        super.setUp();
        depositFrom(defaultConfig(), 1000);
    }

    function initiate(uint128 amount) internal {
        vm.prank(PAYER);
        channels.initiateWithdraw(defaultConfig(), amount);
    }

    function finalize() internal {
        vm.prank(PAYER);
        channels.finalizeWithdraw(defaultConfig());
    }

    /* WITHDRAWALS */

    function testFuzz_N21_theUnclaimedIsWithdrawnAfterTheDelay(uint128 claimed, uint128 amount) public {
        claimed = uint128(bound(claimed, 0, 1000));
        amount = uint128(bound(amount, 1, 1000));
        bytes32 id = idOf(defaultConfig());
        vm.expectEmit(address(channels));
        emit IChannels.WithdrawInitiated(id, amount, START + DELAY);
        initiate(amount);
        (uint128 pending, uint40 since) = pendingOf(defaultConfig());
        assertEq(pending, amount);
        assertEq(since, START);
        // The receiver claims while the delay runs.
        claim(list(row(defaultConfig(), 1000, claimed)));

        skip(DELAY - 1);
        vm.expectRevert(IChannels.WithdrawDelayNotElapsed.selector);
        finalize();
        skip(1);
        uint128 paid = amount < 1000 - claimed ? amount : 1000 - claimed;
        vm.expectEmit(address(channels));
        emit IChannels.WithdrawFinalized(id, PAYER, paid);
        finalize();
        assertEq(token.balanceOf(PAYER), 1e12 - 1000 + paid);
        assertEq(balanceOf(defaultConfig()), 1000 - paid);
        (pending, since) = pendingOf(defaultConfig());
        assertEq(pending, 0);
        assertEq(since, 0);
        vm.expectRevert(IChannels.WithdrawalNotPending.selector);
        finalize();
    }

    function test_thePayersAuthorizerWithdrawsForThePayer() public {
        vm.startPrank(SIGNER);
        channels.initiateWithdraw(defaultConfig(), 1000);
        skip(DELAY);
        channels.finalizeWithdraw(defaultConfig());
        assertEq(token.balanceOf(PAYER), 1e12);
        assertEq(token.balanceOf(SIGNER), 0);
    }

    function test_nobodyElseWithdraws() public {
        address[3] memory others = [STRANGER, RECEIVER, AUTHORIZER];
        for (uint256 i; i < others.length; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(IChannels.InvalidChannel.selector);
            channels.initiateWithdraw(defaultConfig(), 1);
            vm.expectRevert(IChannels.NotAuthorizedToFinalizeWithdraw.selector);
            channels.finalizeWithdraw(defaultConfig());
            vm.stopPrank();
        }
    }

    function test_oneWithdrawalAtATimeOfWhatIsThere() public {
        claim(list(row(defaultConfig(), 400, 400)));
        vm.expectRevert(IChannels.NothingToWithdraw.selector);
        initiate(0);
        vm.expectRevert(IChannels.WithdrawAmountExceedsAvailable.selector);
        initiate(601);
        initiate(600);
        vm.expectRevert(IChannels.WithdrawalAlreadyPending.selector);
        initiate(1);
    }

    function test_anEmptiedChannelIsClosedUnlessItWasClaimedFrom() public {
        bytes32 id = idOf(defaultConfig());
        initiate(1000);
        skip(DELAY);
        vm.expectEmit(address(channels));
        emit IChannels.ChannelClosed(id, defaultConfig());
        finalize();
        vm.expectEmit(address(channels));
        emit IChannels.ChannelCreated(id, defaultConfig());
        depositFrom(defaultConfig(), 1000);

        claim(list(row(defaultConfig(), 1000, 1)));
        initiate(999);
        skip(DELAY);
        vm.recordLogs();
        finalize();
        assertEq(vm.getRecordedLogs().length, 2, "WithdrawFinalized and the token's event");
        depositFrom(defaultConfig(), 1);
        assertEq(balanceOf(defaultConfig()), 2);
    }

    /* REFUNDS */

    function testFuzz_aRefundGivesBackTheUnclaimed(uint128 claimed, uint128 amount) public {
        claimed = uint128(bound(claimed, 0, 999));
        amount = uint128(bound(amount, 1, type(uint128).max));
        claim(list(row(defaultConfig(), 1000, claimed)));
        uint128 paid = amount < 1000 - claimed ? amount : 1000 - claimed;
        bytes32 id = idOf(defaultConfig());
        vm.expectEmit(address(channels));
        emit IChannels.Refunded(id, RECEIVER, paid);
        vm.prank(RECEIVER);
        channels.refund(defaultConfig(), amount);
        assertEq(token.balanceOf(PAYER), 1e12 - 1000 + paid);
        assertEq(balanceOf(defaultConfig()), 1000 - paid);
        assertEq(channels.refundNonce(id), 1);
    }

    function test_theReceiversSideRefunds() public {
        vm.prank(AUTHORIZER);
        channels.refund(defaultConfig(), 1);
        address[3] memory others = [STRANGER, PAYER, SIGNER];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(IChannels.NotAuthorizedToRefund.selector);
            vm.prank(others[i]);
            channels.refund(defaultConfig(), 1);
        }
        vm.expectRevert(IChannels.ZeroRefund.selector);
        vm.prank(RECEIVER);
        channels.refund(defaultConfig(), 0);
    }

    function test_aRefundClosesAnUnclaimedChannel() public {
        bytes32 id = idOf(defaultConfig());
        vm.expectEmit(address(channels));
        emit IChannels.ChannelClosed(id, defaultConfig());
        vm.prank(RECEIVER);
        channels.refund(defaultConfig(), 1000);
        // With nothing left the nonce still moves, so that a signed refund is spent.
        vm.recordLogs();
        vm.prank(RECEIVER);
        channels.refund(defaultConfig(), 1);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(channels.refundNonce(id), 2);
    }

    function test_aRefundLowersAPendingWithdrawal() public {
        initiate(600);
        vm.prank(RECEIVER);
        channels.refund(defaultConfig(), 599);
        (uint128 pending, uint40 since) = pendingOf(defaultConfig());
        assertEq(pending, 1);
        assertEq(since, START);
        vm.prank(RECEIVER);
        channels.refund(defaultConfig(), 1);
        (pending, since) = pendingOf(defaultConfig());
        assertEq(pending, 0);
        assertEq(since, 0);
        skip(DELAY);
        vm.expectRevert(IChannels.WithdrawalNotPending.selector);
        finalize();
    }

    function test_aSignedRefundIsValidOnce() public {
        bytes32 id = idOf(defaultConfig());
        bytes memory signature = sign(AUTHORIZER_KEY, channels.getRefundDigest(id, 0, 300));
        vm.expectRevert(IChannels.InvalidRefundNonce.selector);
        channels.refundWithSignature(defaultConfig(), 300, 1, signature);
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.refundWithSignature(defaultConfig(), 301, 0, signature);
        vm.prank(STRANGER);
        channels.refundWithSignature(defaultConfig(), 300, 0, signature);
        assertEq(balanceOf(defaultConfig()), 700);
        vm.expectRevert(IChannels.InvalidRefundNonce.selector);
        channels.refundWithSignature(defaultConfig(), 300, 0, signature);
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.refundWithSignature(defaultConfig(), 300, 1, signature);
        // Nor can another channel use it, nor does the receiver's own signature do.
        depositFrom(saltedConfig(1), 1000);
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.refundWithSignature(saltedConfig(1), 300, 0, signature);
    }

    function test_aDirectRefundSpendsASignedOne() public {
        bytes memory signature = sign(AUTHORIZER_KEY, channels.getRefundDigest(idOf(defaultConfig()), 0, 300));
        vm.prank(RECEIVER);
        channels.refund(defaultConfig(), 1);
        vm.expectRevert(IChannels.InvalidRefundNonce.selector);
        channels.refundWithSignature(defaultConfig(), 300, 0, signature);
    }

    function test_aContractSignsRefundsByERC1271() public {
        ContractSigner wallet = new ContractSigner();
        IChannels.ChannelConfig memory config = defaultConfig();
        config.receiverAuthorizer = address(wallet);
        depositFrom(config, 100);
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.refundWithSignature(config, 100, 0, "contract");
        wallet.sign(channels.getRefundDigest(idOf(config), 0, 100));
        channels.refundWithSignature(config, 100, 0, "contract");
        assertEq(balanceOf(config), 0);
    }
}
