// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {ERC3009Token} from "./ERC3009Token.sol";
import {ChannelsTest} from "./ChannelsTest.sol";
import {ContractSigner} from "./ContractSigner.sol";

/// @title Claims by vouchers, and their settlement.
contract ClaimsTest is ChannelsTest {
    uint256 internal constant STRANGER_KEY = 77;

    function setUp() public override {
        super.setUp();
        depositFrom(defaultConfig(), 1000);
    }

    function testFuzz_aVoucherIsClaimedUpToItsCeiling(uint128 ceiling, uint128 total) public {
        ceiling = uint128(bound(ceiling, 1, 1000));
        total = uint128(bound(total, 1, ceiling));
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), ceiling, total));
        bytes32 id = idOf(defaultConfig());
        vm.expectEmit(address(channels));
        emit IChannels.Claimed(id, AUTHORIZER, total, total);
        claim(rows);
        assertEq(claimedOf(defaultConfig()), total);
        assertEq(balanceOf(defaultConfig()), 1000, "a claim does not lower the gross balance");
        assertEq(claimedFor(RECEIVER), total);
    }

    function test_N20_whatWasClaimedIsNotClaimedAgain() public {
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 500, 400));
        claim(rows);
        claim(rows);
        assertEq(claimedFor(RECEIVER), 400);
        // A lower total, and garbage instead of a signature, do nothing either.
        rows[0].totalClaimed = 399;
        rows[0].signature = "garbage";
        vm.recordLogs();
        claim(rows);
        assertEq(vm.getRecordedLogs().length, 0);
        claim(list(row(defaultConfig(), 500, 500)));
        assertEq(claimedFor(RECEIVER), 500);
    }

    function test_theReceiverAndItsAuthorizerClaim() public {
        IChannels.VoucherClaim[] memory first = list(row(defaultConfig(), 1, 1));
        vm.prank(RECEIVER);
        channels.claim(first);
        claim(list(row(defaultConfig(), 2, 2)));
        address[3] memory others = [STRANGER, PAYER, SIGNER];
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 3, 3));
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(IChannels.NotAuthorizedToClaim.selector);
            vm.prank(others[i]);
            channels.claim(rows);
        }
        assertEq(claimedFor(RECEIVER), 2);
    }

    function test_everyRowMustBeTheCallers() public {
        IChannels.ChannelConfig memory others = defaultConfig();
        others.receiver = STRANGER;
        others.receiverAuthorizer = STRANGER;
        depositFrom(others, 1000);
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 3, 3), row(others, 3, 3));
        vm.expectRevert(IChannels.NotAuthorizedToClaim.selector);
        vm.prank(AUTHORIZER);
        channels.claim(rows);
    }

    function test_noRowsAreNoClaim() public {
        vm.expectRevert(IChannels.EmptyBatch.selector);
        channels.claim(new IChannels.VoucherClaim[](0));
        vm.expectRevert(IChannels.EmptyBatch.selector);
        channels.claimWithSignature(new IChannels.VoucherClaim[](0), "");
    }

    function test_N20_noMoreThanTheCeiling() public {
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 500, 501));
        vm.expectRevert(IChannels.ClaimExceedsCeiling.selector);
        vm.prank(AUTHORIZER);
        channels.claim(rows);
    }

    /// @dev The deviation from x402's own contract, which reverts.
    function test_N20_aClaimAboveTheBalanceTakesTheBalance() public {
        bytes32 id = idOf(defaultConfig());
        vm.expectEmit(address(channels));
        emit IChannels.Claimed(id, AUTHORIZER, 1000, 1000);
        claim(list(row(defaultConfig(), 5000, 3000)));
        assertEq(claimedOf(defaultConfig()), 1000);
        // Nothing is left, so nothing happens, not even for a bad signature.
        vm.recordLogs();
        claim(list(row(defaultConfig(), AUTHORIZER_KEY, 5000, 4000)));
        assertEq(vm.getRecordedLogs().length, 0);
        // Later deposits are claimed by the same voucher.
        depositFrom(defaultConfig(), 500);
        claim(list(row(defaultConfig(), 5000, 3000)));
        assertEq(claimedFor(RECEIVER), 1500);
    }

    /// @dev A32: a channel that its payer emptied spoils no batch.
    function test_anEmptyChannelSpoilsNoBatch() public {
        IChannels.ChannelConfig memory emptied = saltedConfig(1);
        depositFrom(emptied, 100);
        IChannels.VoucherClaim[] memory rows = list(row(emptied, 100, 100), row(defaultConfig(), 100, 100));
        vm.startPrank(PAYER);
        channels.initiateWithdraw(emptied, 100);
        skip(DELAY);
        channels.finalizeWithdraw(emptied);
        vm.stopPrank();
        claim(rows);
        assertEq(claimedFor(RECEIVER), 100);
    }

    function test_oneBadRowIsAnError() public {
        IChannels.ChannelConfig memory other = saltedConfig(1);
        depositFrom(other, 100);
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 10, 10), row(other, STRANGER_KEY, 10, 10));
        vm.expectRevert(IChannels.InvalidSignature.selector);
        vm.prank(AUTHORIZER);
        channels.claim(rows);
    }

    /// @dev Sums over consecutive rows of a receiver and a token end where the next begin.
    function testFuzz_rowsAddUpPerReceiverAndToken(uint8[8] calldata kinds) public {
        ERC3009Token second = new ERC3009Token("second", 18);
        second.mint(PAYER, 1e12);
        vm.prank(PAYER);
        second.approve(address(channels), type(uint256).max);
        IChannels.VoucherClaim[] memory rows = new IChannels.VoucherClaim[](kinds.length);
        uint128[4] memory sums;
        for (uint256 i; i < kinds.length; ++i) {
            uint256 kind = kinds[i] % 4;
            IChannels.ChannelConfig memory config = saltedConfig(i + 1);
            if (kind & 1 != 0) config.receiver = STRANGER;
            if (kind & 2 != 0) config.token = address(second);
            depositFrom(config, 1000);
            uint128 amount = uint128(1 + i * i);
            rows[i] = row(config, 1000, amount);
            sums[kind] += amount;
        }
        claim(rows);
        for (uint256 kind; kind < 4; ++kind) {
            (uint128 sum,) = channels.receivers(
                kind & 1 != 0 ? STRANGER : RECEIVER, kind & 2 != 0 ? address(second) : address(token)
            );
            assertEq(sum, sums[kind]);
        }
    }

    function test_N20_aChannelTwiceInABatchIsClaimedOnce() public {
        claim(list(row(defaultConfig(), 100, 60), row(defaultConfig(), 100, 60)));
        assertEq(claimedFor(RECEIVER), 60);
        claim(list(row(defaultConfig(), 100, 70), row(defaultConfig(), 100, 90)));
        assertEq(claimedFor(RECEIVER), 90);
    }

    /* WHO SIGNS */

    function test_thePayersAuthorizerSignsAlone() public {
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), PAYER_KEY, 10, 10));
        vm.expectRevert(IChannels.InvalidSignature.selector);
        vm.prank(AUTHORIZER);
        channels.claim(rows);
    }

    function test_withoutAnAuthorizerThePayerSigns() public {
        IChannels.ChannelConfig memory config = defaultConfig();
        config.payerAuthorizer = address(0);
        depositFrom(config, 1000);
        claim(list(row(config, PAYER_KEY, 10, 10)));
        assertEq(claimedFor(RECEIVER), 10);
        IChannels.VoucherClaim[] memory rows = list(row(config, SIGNER_KEY, 20, 20));
        vm.expectRevert(IChannels.InvalidSignature.selector);
        vm.prank(AUTHORIZER);
        channels.claim(rows);
    }

    function test_aContractPayerSignsByERC1271() public {
        ContractSigner wallet = new ContractSigner();
        IChannels.ChannelConfig memory config = defaultConfig();
        config.payer = address(wallet);
        config.payerAuthorizer = address(0);
        token.mint(address(wallet), 100);
        vm.prank(address(wallet));
        token.approve(address(channels), 100);
        depositFrom(config, 100);
        IChannels.VoucherClaim[] memory rows = list(row(config, PAYER_KEY, 10, 10));
        rows[0].signature = "contract";
        vm.expectRevert(IChannels.InvalidSignature.selector);
        vm.prank(AUTHORIZER);
        channels.claim(rows);
        wallet.sign(channels.getVoucherDigest(idOf(config), 10));
        claim(rows);
        assertEq(claimedFor(RECEIVER), 10);
    }

    /// @dev An authoriser is a key, even if its account has code: what it signed stays valid.
    function test_anAuthorizerIsAKey() public {
        vm.etch(SIGNER, address(new ContractSigner()).code);
        claim(list(row(defaultConfig(), 10, 10)));
        assertEq(claimedFor(RECEIVER), 10);
    }

    /* BY ANYONE */

    function testFuzz_anyoneClaimsWithASignature(address sender, uint128 total) public {
        total = uint128(bound(total, 1, 1000));
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 1000, total));
        bytes memory signature = signBatch(AUTHORIZER_KEY, rows);
        bytes32 id = idOf(defaultConfig());
        vm.expectEmit(address(channels));
        emit IChannels.Claimed(id, sender, total, total);
        vm.startPrank(sender);
        channels.claimWithSignature(rows, signature);
        channels.claimWithSignature(rows, signature);
        assertEq(claimedFor(RECEIVER), total);
    }

    function test_theSignatureCoversEveryRow() public {
        depositFrom(saltedConfig(1), 1000);
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 500, 400), row(saltedConfig(1), 500, 400));
        bytes memory signature = signBatch(AUTHORIZER_KEY, rows);
        for (uint256 i; i < 5; ++i) {
            IChannels.VoucherClaim[] memory changed = list(rows[0], rows[1]);
            if (i == 0) changed[1] = row(saltedConfig(1), 500, 401);
            if (i == 1) changed[1] = row(saltedConfig(1), 501, 400);
            if (i == 2) changed = list(rows[0]);
            if (i == 3) changed = list(rows[1], rows[0]);
            if (i == 4) changed[1] = row(saltedConfig(2), 500, 400);
            vm.expectRevert(IChannels.InvalidSignature.selector);
            channels.claimWithSignature(changed, signature);
        }
        channels.claimWithSignature(rows, signature);
        assertEq(claimedFor(RECEIVER), 800);
    }

    function test_onlyTheAuthorizerSigns() public {
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 500, 400));
        bytes memory signature = signBatch(SIGNER_KEY, rows);
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.claimWithSignature(rows, signature);
    }

    function test_allRowsHaveTheSameAuthorizer() public {
        IChannels.ChannelConfig memory other = defaultConfig();
        other.receiverAuthorizer = RECEIVER;
        depositFrom(other, 1000);
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 5, 5), row(other, 5, 5));
        bytes memory signature = signBatch(AUTHORIZER_KEY, rows);
        vm.expectRevert(IChannels.NotReceiverAuthorizer.selector);
        channels.claimWithSignature(rows, signature);
    }

    function test_aContractSignsBatchesByERC1271() public {
        ContractSigner wallet = new ContractSigner();
        IChannels.ChannelConfig memory config = defaultConfig();
        config.receiverAuthorizer = address(wallet);
        depositFrom(config, 100);
        IChannels.VoucherClaim[] memory rows = list(row(config, 10, 10));
        vm.expectRevert(IChannels.InvalidSignature.selector);
        channels.claimWithSignature(rows, "contract");
        wallet.sign(channels.getClaimBatchDigest(rows));
        channels.claimWithSignature(rows, "contract");
        assertEq(claimedFor(RECEIVER), 10);
    }

    /* SETTLEMENT */

    function test_anyoneSettlesOnce() public {
        claim(list(row(defaultConfig(), 500, 400)));
        vm.expectEmit(address(channels));
        emit IChannels.Settled(RECEIVER, address(token), STRANGER, 400);
        vm.startPrank(STRANGER);
        channels.settle(RECEIVER, address(token));
        vm.recordLogs();
        channels.settle(RECEIVER, address(token));
        channels.settle(STRANGER, address(token));
        assertEq(vm.getRecordedLogs().length, 0, "nothing is not an error, and no event");
        vm.stopPrank();
        assertEq(token.balanceOf(RECEIVER), 400);
        claim(list(row(defaultConfig(), 500, 450)));
        channels.settle(RECEIVER, address(token));
        assertEq(token.balanceOf(RECEIVER), 450);
        (uint128 totalClaimed, uint128 totalSettled) = channels.receivers(RECEIVER, address(token));
        assertEq(totalClaimed, 450);
        assertEq(totalSettled, 450);
    }

    function test_severalCallsAtOnce() public {
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 500, 400));
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(IChannels.claim, (rows));
        calls[1] = abi.encodeCall(IChannels.refund, (defaultConfig(), type(uint128).max));
        calls[2] = abi.encodeCall(IChannels.settle, (RECEIVER, address(token)));
        vm.prank(AUTHORIZER);
        channels.multicall(calls);
        assertEq(token.balanceOf(RECEIVER), 400);
        assertEq(token.balanceOf(PAYER), 1e12 - 400);
        vm.expectRevert(IChannels.NotAuthorizedToClaim.selector);
        channels.multicall(calls);
    }
}
