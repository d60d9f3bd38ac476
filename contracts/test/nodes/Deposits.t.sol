// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {IDepositCollector} from "plimsoll/interfaces/IDepositCollector.sol";
import {IERC3009Collector} from "plimsoll/interfaces/IERC3009Collector.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {OddToken} from "../rewards/OddToken.sol";
import {ChannelsTest} from "./ChannelsTest.sol";
import {MintingCollector} from "./MintingCollector.sol";

/// @title Deposits, by collectors and by allowance.
contract DepositsTest is ChannelsTest {
    function testFuzz_aDepositIsCredited(uint128 first, uint128 second, address sender) public {
        first = uint128(bound(first, 1, type(uint128).max - 1));
        second = uint128(bound(second, 1, type(uint128).max - first));
        IChannels.ChannelConfig memory config = defaultConfig();
        bytes32 id = idOf(config);
        MintingCollector minting = new MintingCollector();

        vm.expectEmit(address(channels));
        emit IChannels.ChannelCreated(id, config);
        vm.expectEmit(address(channels));
        emit IChannels.Deposited(id, sender, first, first);
        vm.prank(sender);
        channels.deposit(config, first, address(minting), "data");
        assertEq(minting.lastCall(), abi.encode(PAYER, token, uint256(first), id, bytes("data")));

        vm.recordLogs();
        vm.prank(sender);
        channels.deposit(config, second, address(minting), "");
        assertEq(vm.getRecordedLogs().length, 2, "the token's event and Deposited");
        assertEq(balanceOf(config), first + second);
        assertEq(token.balanceOf(address(channels)), uint256(first) + second);
    }

    function test_everyFieldMustBeGiven() public {
        for (uint256 field; field < 4; ++field) {
            IChannels.ChannelConfig memory config = defaultConfig();
            if (field == 0) config.payer = address(0);
            if (field == 1) config.receiver = address(0);
            if (field == 2) config.receiverAuthorizer = address(0);
            if (field == 3) config.token = address(0);
            vm.expectRevert(IChannels.InvalidChannel.selector);
            channels.deposit(config, 1, address(collector), "");
            vm.expectRevert(IChannels.InvalidChannel.selector);
            channels.depositFrom(config, 1);
        }
        IChannels.ChannelConfig memory open = defaultConfig();
        open.payerAuthorizer = address(0);
        depositFrom(open, 1);
    }

    function test_theDelayHasBounds() public {
        IChannels.ChannelConfig memory config = defaultConfig();
        uint40[4] memory delays = [uint40(15 minutes - 1), 30 days + 1, 15 minutes, 30 days];
        for (uint256 i; i < delays.length; ++i) {
            config.withdrawDelay = delays[i];
            if (i < 2) vm.expectRevert(IChannels.WithdrawDelayOutOfRange.selector);
            vm.prank(PAYER);
            channels.depositFrom(config, 1);
        }
    }

    function test_nothingIsNoDeposit() public {
        IChannels.ChannelConfig memory config = defaultConfig();
        vm.expectRevert(IChannels.ZeroDeposit.selector);
        channels.deposit(config, 0, address(collector), "");
        vm.expectRevert(IChannels.ZeroDeposit.selector);
        vm.prank(PAYER);
        channels.depositFrom(config, 0);
    }

    function test_aCollectorIsNeeded() public {
        vm.expectRevert(IChannels.InvalidCollector.selector);
        channels.deposit(defaultConfig(), 1, address(0), "");
        // Nor does an account without code collect anything.
        vm.expectRevert();
        channels.deposit(defaultConfig(), 1, STRANGER, "");
    }

    function test_exactlyTheAmountMustArrive() public {
        MintingCollector minting = new MintingCollector();
        token.mint(address(channels), 100);
        minting.set(1, 0);
        vm.expectRevert(IChannels.DepositCollectionFailed.selector);
        channels.deposit(defaultConfig(), 10, address(minting), "");
        minting.set(0, 1);
        vm.expectRevert(IChannels.DepositCollectionFailed.selector);
        channels.deposit(defaultConfig(), 10, address(minting), "");
        assertEq(balanceOf(defaultConfig()), 0);
    }

    function test_aFeeOnTransfersIsRefused() public {
        OddToken odd = new OddToken();
        odd.mint(PAYER, 1000);
        odd.setFeeBps(100);
        IChannels.ChannelConfig memory config = defaultConfig();
        config.token = address(odd);
        vm.startPrank(PAYER);
        odd.approve(address(channels), 1000);
        vm.expectRevert(IChannels.DepositCollectionFailed.selector);
        channels.depositFrom(config, 1000);
    }

    function test_theBalanceFits128Bits() public {
        MintingCollector minting = new MintingCollector();
        channels.deposit(defaultConfig(), type(uint128).max, address(minting), "");
        vm.expectRevert(IChannels.DepositOverflow.selector);
        channels.deposit(defaultConfig(), 1, address(minting), "");
        assertEq(balanceOf(defaultConfig()), type(uint128).max);
    }

    /* BY ALLOWANCE */

    function testFuzz_thePayerDepositsItsOwn(uint128 amount) public {
        amount = uint128(bound(amount, 1, 1e12));
        bytes32 id = idOf(defaultConfig());
        vm.expectEmit(address(channels));
        emit IChannels.ChannelCreated(id, defaultConfig());
        vm.expectEmit(address(channels));
        emit IChannels.Deposited(id, PAYER, amount, amount);
        depositFrom(defaultConfig(), amount);
        assertEq(balanceOf(defaultConfig()), amount);
        assertEq(token.balanceOf(PAYER), 1e12 - amount);
    }

    function test_nobodyElseSpendsAnAllowance() public {
        address[4] memory others = [STRANGER, SIGNER, RECEIVER, AUTHORIZER];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IChannels.NotPayer.selector, others[i], PAYER));
            vm.prank(others[i]);
            channels.depositFrom(defaultConfig(), 1);
        }
    }

    function test_anAllowanceIsNeeded() public {
        vm.startPrank(PAYER);
        token.approve(address(channels), 9);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPlimsoll.TransferFailed.selector, address(token), PAYER, address(channels), uint256(10)
            )
        );
        channels.depositFrom(defaultConfig(), 10);
    }

    /* BY ERC-3009 */

    function testFuzz_anAuthorizationPaysIntoItsChannel(uint128 amount, uint256 salt, address sender) public {
        amount = uint128(bound(amount, 1, 1e12));
        bytes memory data = authorization(defaultConfig(), amount, salt);
        vm.prank(sender);
        channels.deposit(defaultConfig(), amount, address(collector), data);
        assertEq(balanceOf(defaultConfig()), amount);
        assertEq(token.balanceOf(address(collector)), 0);
        vm.expectRevert("authorization is used");
        channels.deposit(defaultConfig(), amount, address(collector), data);
    }

    function test_anAuthorizationPaysItsAmountInItsTime() public {
        bytes memory data = authorization(defaultConfig(), 100, 1);
        vm.expectRevert("invalid signature");
        channels.deposit(defaultConfig(), 101, address(collector), data);
        skip(300);
        vm.expectRevert("authorization is expired");
        channels.deposit(defaultConfig(), 100, address(collector), data);
    }

    function test_onlyTheChannelsContractCollects() public {
        bytes memory data = authorization(defaultConfig(), 100, 1);
        bytes32 id = idOf(defaultConfig());
        vm.expectRevert(abi.encodeWithSelector(IERC3009Collector.OnlyChannels.selector, STRANGER));
        vm.prank(STRANGER);
        IDepositCollector(address(collector)).collect(PAYER, address(token), 100, id, data);
        assertEq(collector.channels(), address(channels));
    }

    function test_aCollectorNeedsChannels() public {
        vm.expectRevert(abi.encodeWithSelector(IERC3009Collector.NoCode.selector, STRANGER));
        deployCode("ERC3009Collector.sol:ERC3009Collector", abi.encode(STRANGER));
    }
}
