// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {IDepositCollector} from "plimsoll/interfaces/IDepositCollector.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ITokenHook, OddToken, Payout} from "../rewards/OddToken.sol";
import {ChannelsTest} from "./ChannelsTest.sol";

/// @notice The collector that must never exist: it spends what anybody approved, without the payer's consent to the
/// channel.
contract AllowanceCollector is IDepositCollector {
    function collect(address payer, address token, uint256 amount, bytes32, bytes calldata) external {
        IERC20(token).transferFrom(payer, msg.sender, amount);
    }
}

/// @notice Calls the channels contract with given data whenever a token, or a deposit, calls it.
contract Reentrant is ITokenHook, IDepositCollector {
    IChannels public immutable CHANNELS;
    bytes[] public calls;
    uint256 public refused;

    constructor(IChannels channels) {
        CHANNELS = channels;
    }

    function add(bytes calldata call_) external {
        calls.push(call_);
    }

    function onToken(address) external {
        _tryAll();
    }

    function collect(address, address token, uint256 amount, bytes32, bytes calldata) external {
        _tryAll();
        OddToken(token).mint(msg.sender, amount);
    }

    function approve(OddToken token) external {
        token.approve(address(CHANNELS), type(uint256).max);
    }

    function depositFrom(IChannels.ChannelConfig calldata config, uint128 amount) external {
        CHANNELS.depositFrom(config, amount);
    }

    function _tryAll() private {
        for (uint256 i; i < calls.length; ++i) {
            (bool done, bytes memory reason) = address(CHANNELS).call(calls[i]);
            require(!done && bytes4(reason) == IChannels.Reentered.selector, "a call was let in");
            ++refused;
        }
    }
}

/// @title Attacks on payment channels.
contract ChannelsAttacksTest is ChannelsTest {
    uint256 internal constant THIEF_KEY = 666;
    address internal immutable THIEF = vm.addr(THIEF_KEY);

    /// @dev A channel of the victim whose vouchers the thief signs and whose receiver it is.
    function thiefsChannel() internal view returns (IChannels.ChannelConfig memory config) {
        config = defaultConfig();
        config.payerAuthorizer = THIEF;
        config.receiver = THIEF;
        config.receiverAuthorizer = THIEF;
    }

    /// @dev A29. With a careless collector the theft works; that is what the consent to a channel is for.
    function test_anAllowanceToACarelessCollectorIsStolen() public {
        AllowanceCollector careless = new AllowanceCollector();
        vm.prank(PAYER);
        token.approve(address(careless), 500);
        IChannels.ChannelConfig memory config = thiefsChannel();
        IChannels.VoucherClaim[] memory rows = list(row(config, THIEF_KEY, 500, 500));
        vm.startPrank(THIEF);
        channels.deposit(config, 500, address(careless), "");
        channels.claim(rows);
        channels.settle(THIEF, address(token));
        assertEq(token.balanceOf(THIEF), 500);
    }

    /// @dev A29. Neither an allowance to the channels contract nor a signed authorisation pays into another channel.
    function test_N20_noConsentPaysIntoAThiefsChannel() public {
        IChannels.ChannelConfig memory config = thiefsChannel();
        bytes memory forVictimsChannel = authorization(defaultConfig(), 500, 1);
        vm.startPrank(THIEF);
        vm.expectRevert("invalid signature");
        channels.deposit(config, 500, address(collector), forVictimsChannel);
        vm.expectRevert(abi.encodeWithSelector(IChannels.NotPayer.selector, THIEF, PAYER));
        channels.depositFrom(config, 500);
        vm.stopPrank();
        // Sent by the thief, the authorisation pays into the victim's own channel.
        vm.prank(THIEF);
        channels.deposit(defaultConfig(), 500, address(collector), forVictimsChannel);
        assertEq(balanceOf(defaultConfig()), 500);
        assertEq(balanceOf(config), 0);
    }

    /// @dev A collector that moves nothing, or the token itself as a collector, credits nothing.
    function test_N20_nothingIsCreditedForNothing() public {
        depositFrom(defaultConfig(), 1000);
        vm.startPrank(THIEF);
        vm.expectRevert();
        channels.deposit(thiefsChannel(), 500, address(token), "");
        vm.expectRevert();
        channels.deposit(thiefsChannel(), 500, address(channels), "");
        assertEq(balanceOf(thiefsChannel()), 0);
    }

    function test_N20_aVoucherOfAnotherChannelChainOrContractIsWorthless() public {
        depositFrom(defaultConfig(), 1000);
        depositFrom(saltedConfig(1), 1000);
        IChannels.VoucherClaim memory foreign = row(defaultConfig(), 500, 500);
        foreign.voucher.channel.salt = bytes32(uint256(1));
        vm.expectRevert(IChannels.InvalidSignature.selector);
        vm.prank(AUTHORIZER);
        channels.claim(list(foreign));

        IChannels.VoucherClaim memory ofThisChain = row(defaultConfig(), 500, 500);
        vm.chainId(2);
        // On another chain it is another channel, without a balance; funded, the signature is another, too.
        depositFrom(defaultConfig(), 1000);
        vm.expectRevert(IChannels.InvalidSignature.selector);
        vm.prank(AUTHORIZER);
        channels.claim(list(ofThisChain));
    }

    /// @dev Whatever the receiver's side does, what was not claimed is the payer's after the delay.
    function test_N21_refundsCannotBlockAWithdrawal() public {
        depositFrom(defaultConfig(), 1000);
        vm.prank(PAYER);
        channels.initiateWithdraw(defaultConfig(), 1000);
        // A refund of everything but a unit, in small pieces.
        for (uint256 i; i < 9; ++i) {
            vm.prank(RECEIVER);
            channels.refund(defaultConfig(), 111);
        }
        skip(DELAY);
        vm.prank(PAYER);
        channels.finalizeWithdraw(defaultConfig());
        assertEq(token.balanceOf(PAYER), 1e12);
        assertEq(balanceOf(defaultConfig()), 0);
    }

    /// @dev A32, the other way: rows that are spoilt on purpose are the sender's own fault, and nobody else's money.
    function test_aBatchIsAllOrNothing() public {
        depositFrom(defaultConfig(), 1000);
        depositFrom(saltedConfig(1), 1000);
        IChannels.VoucherClaim[] memory rows = list(row(defaultConfig(), 10, 10), row(saltedConfig(1), 10, 11));
        vm.expectRevert(IChannels.ClaimExceedsCeiling.selector);
        vm.prank(AUTHORIZER);
        channels.claim(rows);
        assertEq(claimedOf(defaultConfig()), 0);
    }

    /* TOKENS AND COLLECTORS THAT CALL BACK */

    function test_N20_everyEntryIsLockedDuringACall() public {
        OddToken odd = new OddToken();
        Reentrant reentrant = new Reentrant(channels);
        IChannels.ChannelConfig memory config = defaultConfig();
        config.token = address(odd);
        config.payer = address(reentrant);
        config.receiver = address(reentrant);
        config.receiverAuthorizer = address(reentrant);
        IChannels.VoucherClaim[] memory rows = list(row(config, 10, 10));
        reentrant.add(abi.encodeCall(IChannels.deposit, (config, 1, address(reentrant), "")));
        reentrant.add(abi.encodeCall(IChannels.depositFrom, (config, 1)));
        reentrant.add(abi.encodeCall(IChannels.claim, (rows)));
        reentrant.add(abi.encodeCall(IChannels.claimWithSignature, (rows, "")));
        reentrant.add(abi.encodeCall(IChannels.settle, (address(reentrant), address(odd))));
        reentrant.add(abi.encodeCall(IChannels.initiateWithdraw, (config, 1)));
        reentrant.add(abi.encodeCall(IChannels.finalizeWithdraw, (config)));
        reentrant.add(abi.encodeCall(IChannels.refund, (config, 1)));
        reentrant.add(abi.encodeCall(IChannels.refundWithSignature, (config, 1, 0, "")));
        bytes[] memory inner = new bytes[](1);
        inner[0] = abi.encodeCall(IChannels.refund, (config, 1));
        reentrant.add(abi.encodeCall(IChannels.multicall, (inner)));

        odd.mint(address(reentrant), 1000);
        odd.setHook(address(reentrant), true);
        reentrant.approve(odd);
        reentrant.depositFrom(config, 500);
        assertEq(reentrant.refused(), 10, "while the token is pulled");
        channels.deposit(config, 500, address(reentrant), "");
        assertEq(reentrant.refused(), 20, "while a collector runs");
        vm.startPrank(address(reentrant));
        channels.claim(rows);
        channels.settle(address(reentrant), address(odd));
        assertEq(reentrant.refused(), 30, "while a receiver is paid");
        channels.refund(config, 100);
        assertEq(reentrant.refused(), 40, "while a payer is refunded");
        channels.initiateWithdraw(config, 100);
        skip(DELAY);
        channels.finalizeWithdraw(config);
        assertEq(reentrant.refused(), 50, "while a payer withdraws");
    }

    /// @dev A receiver that its token blocks stops its own settlement and nobody's claim, withdrawal or refund.
    function test_N21_aBlockedReceiverBlocksNobody() public {
        OddToken odd = new OddToken();
        odd.mint(PAYER, 1000);
        vm.prank(PAYER);
        odd.approve(address(channels), 1000);
        IChannels.ChannelConfig memory config = defaultConfig();
        config.token = address(odd);
        depositFrom(config, 1000);
        claim(list(row(config, 400, 400)));
        Payout[3] memory failures = [Payout.Reverts, Payout.ReturnsFalse, Payout.MovesAndReturnsFalse];
        for (uint256 i; i < failures.length; ++i) {
            odd.setPayout(RECEIVER, failures[i]);
            vm.expectRevert();
            channels.settle(RECEIVER, address(odd));
        }
        vm.startPrank(PAYER);
        channels.initiateWithdraw(config, 600);
        skip(DELAY);
        channels.finalizeWithdraw(config);
        vm.stopPrank();
        assertEq(odd.balanceOf(PAYER), 600);
        odd.setPayout(RECEIVER, Payout.Normal);
        channels.settle(RECEIVER, address(odd));
        assertEq(odd.balanceOf(RECEIVER), 400);
    }
}
