// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {TestToken} from "../support/TestToken.sol";
import {ChannelsHandler} from "./ChannelsHandler.sol";
import {ChannelsModel} from "./ChannelsModel.sol";

/// @title Channels equal their model after any history.
contract ChannelsInvariantsTest is Test {
    IChannels internal channels;
    ChannelsHandler internal handler;
    TestToken[2] internal tokens;

    function setUp() public {
        vm.warp(1_800_000_000);
        channels = IChannels(deployCode("Channels.sol:Channels"));
        tokens = [new TestToken("USD Coin", 6), new TestToken("Dai", 18)];
        handler = new ChannelsHandler(channels, tokens);
        targetContract(address(handler));
    }

    function invariant_N1_N20_N23() public view {
        IChannels.ChannelConfig[] memory configs = handler.configs();
        uint256[2] memory held;
        for (uint256 i; i < configs.length; ++i) {
            held[configs[i].token == address(tokens[0]) ? 0 : 1] += _check(configs[i]);
        }
        for (uint256 t; t < 2; ++t) {
            held[t] += _checkReceivers(address(tokens[t]));
            // N1: what is held is what was deposited and not paid out, and donations. Donations to others than the
            // channels are with the accounts.
            assertEq(
                tokens[t].totalSupply(), held[t] + _paidOut(address(tokens[t])) + handler.donated(address(tokens[t]))
            );
            assertGe(tokens[t].balanceOf(address(channels)), held[t]);
        }
    }

    /// @dev N21, at the end of a history: every payer gets everything that was not claimed, whatever happened before.
    function afterInvariant() public {
        vm.warp(handler.time());
        IChannels.ChannelConfig[] memory configs = handler.configs();
        for (uint256 i; i < configs.length; ++i) {
            (uint128 balance, uint128 claimed) = channels.channels(channels.getChannelId(configs[i]));
            (, uint40 since) = channels.pendingWithdrawals(channels.getChannelId(configs[i]));
            uint256 before = TestToken(configs[i].token).balanceOf(configs[i].payer);
            vm.startPrank(configs[i].payer);
            if (since != 0) {
                skip(configs[i].withdrawDelay);
                channels.finalizeWithdraw(configs[i]);
            }
            (uint128 rest,) = channels.channels(channels.getChannelId(configs[i]));
            if (rest > claimed) {
                channels.initiateWithdraw(configs[i], rest - claimed);
                skip(configs[i].withdrawDelay);
                channels.finalizeWithdraw(configs[i]);
            }
            vm.stopPrank();
            assertEq(TestToken(configs[i].token).balanceOf(configs[i].payer) - before, balance - claimed, "N21");
        }
        for (uint256 i; i < 8; ++i) {
            channels.settle(handler.accounts(i), address(tokens[0]));
            channels.settle(handler.accounts(i), address(tokens[1]));
        }
    }

    /// @dev One fixed history in which every action succeeds and every error occurs: otherwise the comparison above
    /// could compare nothing.
    function test_N23_theHistoriesReachEveryOutcome() public {
        for (uint256 i; i < 2000; ++i) {
            handler.act(uint256(keccak256(abi.encode(i))));
        }
        bytes4[9] memory actions = [
            IChannels.deposit.selector,
            IChannels.depositFrom.selector,
            IChannels.claim.selector,
            IChannels.claimWithSignature.selector,
            IChannels.settle.selector,
            IChannels.initiateWithdraw.selector,
            IChannels.finalizeWithdraw.selector,
            IChannels.refund.selector,
            IChannels.refundWithSignature.selector
        ];
        for (uint256 i; i < actions.length; ++i) {
            assertGt(handler.outcomes(actions[i], 0), 20, "successes");
        }
        // All errors but those of the configuration, of collectors and of reentrancy.
        bytes4[17] memory errors = [
            IChannels.InvalidChannel.selector,
            IChannels.WithdrawDelayOutOfRange.selector,
            IChannels.ZeroDeposit.selector,
            IChannels.DepositOverflow.selector,
            IChannels.NotPayer.selector,
            IChannels.EmptyBatch.selector,
            IChannels.InvalidSignature.selector,
            IChannels.NotReceiverAuthorizer.selector,
            IChannels.NotAuthorizedToClaim.selector,
            IChannels.ClaimExceedsCeiling.selector,
            IChannels.NothingToWithdraw.selector,
            IChannels.WithdrawalAlreadyPending.selector,
            IChannels.WithdrawAmountExceedsAvailable.selector,
            IChannels.NotAuthorizedToFinalizeWithdraw.selector,
            IChannels.WithdrawalNotPending.selector,
            IChannels.WithdrawDelayNotElapsed.selector,
            IChannels.InvalidRefundNonce.selector
        ];
        for (uint256 i; i < errors.length; ++i) {
            uint256 times;
            for (uint256 j; j < actions.length; ++j) {
                times += handler.outcomes(actions[j], errors[i]);
            }
            assertGt(times, 0, vm.toString(errors[i]));
        }
    }

    /// @return held of the channel's deposits
    function _check(IChannels.ChannelConfig memory config) private view returns (uint256 held) {
        bytes32 id = channels.getChannelId(config);
        ChannelsModel.State memory state = handler.MODEL().stateOf(config);
        (uint128 balance, uint128 claimed) = channels.channels(id);
        (uint128 withdrawal, uint40 since) = channels.pendingWithdrawals(id);
        assertEq(balance, state.deposits - state.returned, "N23: balance");
        assertEq(claimed, state.claimed, "N23: totalClaimed");
        assertEq(withdrawal, state.withdrawal, "N23: withdrawal");
        assertEq(since, state.announced, "N23: initiatedAt");
        assertEq(since != 0, state.pending, "N23: pending");
        assertEq(channels.refundNonce(id), state.refunds, "N23: refundNonce");
        assertLe(claimed, balance, "N20");
        return balance - claimed;
    }

    /// @return held for receivers
    function _checkReceivers(address token) private view returns (uint256 held) {
        for (uint256 i; i < 8; ++i) {
            address receiver = handler.accounts(i);
            (uint128 claimed, uint128 settled) = channels.receivers(receiver, token);
            assertEq(claimed, handler.MODEL().claimedFor(receiver, token), "N23: claimed for a receiver");
            assertEq(settled, handler.MODEL().settledFor(receiver, token), "N23: settled for a receiver");
            held += claimed - settled;
        }
    }

    function _paidOut(address token) private view returns (uint256 sum) {
        for (uint256 i; i < 8; ++i) {
            sum += handler.MODEL().paidOut(handler.accounts(i), token);
        }
    }
}
