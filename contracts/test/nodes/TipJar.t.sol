// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChannels} from "plimsoll/interfaces/IChannels.sol";
import {ITipJar} from "plimsoll/interfaces/ITipJar.sol";
import {ITokenHook, OddToken} from "../rewards/OddToken.sol";
import {ChannelsTest} from "./ChannelsTest.sol";

/// @notice An operator that collects once more whenever it is paid.
contract CollectingOperator is ITokenHook {
    ITipJar public jar;

    function set(ITipJar jar_) external {
        jar = jar_;
    }

    function onToken(address token) external {
        jar.collect(token, new IChannels.VoucherClaim[](0), "");
    }
}

/// @title A receiver that pays a tip for its collection.
contract TipJarTest is ChannelsTest {
    address internal immutable OPERATOR = makeAddr("operator");
    ITipJar internal jar;

    function setUp() public override {
        super.setUp();
        jar = newJar(OPERATOR, 100);
    }

    function newJar(address operator, uint256 tipBps) internal returns (ITipJar) {
        return ITipJar(deployCode("TipJar.sol:TipJar", abi.encode(channels, operator, tipBps)));
    }

    function jarsConfig() internal view returns (IChannels.ChannelConfig memory config) {
        config = defaultConfig();
        config.receiver = address(jar);
    }

    function none() internal pure returns (IChannels.VoucherClaim[] memory) {
        return new IChannels.VoucherClaim[](0);
    }

    function testFuzz_anyoneCollectsForATip(uint128 amount, uint256 tipBps) public {
        tipBps = bound(tipBps, 0, 2000);
        amount = uint128(bound(amount, 1, 1e12));
        jar = newJar(OPERATOR, tipBps);
        depositFrom(jarsConfig(), amount);
        IChannels.VoucherClaim[] memory rows = list(row(jarsConfig(), amount, amount));
        bytes memory signature = signBatch(AUTHORIZER_KEY, rows);
        uint256 tip = uint256(amount) * tipBps / 10_000;
        vm.expectEmit(address(jar));
        emit ITipJar.Collect(address(token), STRANGER, amount, tip);
        vm.prank(STRANGER);
        assertEq(jar.collect(address(token), rows, signature), tip);
        assertEq(token.balanceOf(STRANGER), tip);
        assertEq(token.balanceOf(OPERATOR), amount - tip);
        assertEq(token.balanceOf(address(jar)), 0);
    }

    /// @dev Who claims or settles past the jar takes no tip away from it: the next to collect gets it.
    function test_whatWasClaimedPastItIsCollected() public {
        depositFrom(jarsConfig(), 1000);
        IChannels.VoucherClaim[] memory rows = list(row(jarsConfig(), 1000, 700));
        bytes memory signature = signBatch(AUTHORIZER_KEY, rows);
        channels.claimWithSignature(rows, signature);
        channels.settle(address(jar), address(token));
        vm.startPrank(STRANGER);
        assertEq(jar.collect(address(token), rows, signature), 7);
        vm.expectRevert(ITipJar.ZeroAmount.selector);
        jar.collect(address(token), rows, signature);
        vm.expectRevert(ITipJar.ZeroAmount.selector);
        jar.collect(address(token), none(), "");
    }

    function test_whatWasSentToItIsPaidOut() public {
        token.mint(address(jar), 1000);
        vm.prank(STRANGER);
        assertEq(jar.collect(address(token), none(), ""), 10);
        assertEq(token.balanceOf(OPERATOR), 990);
    }

    function test_aClaimNeedsItsSignature() public {
        depositFrom(jarsConfig(), 1000);
        IChannels.VoucherClaim[] memory rows = list(row(jarsConfig(), 1000, 700));
        vm.expectRevert(IChannels.InvalidSignature.selector);
        jar.collect(address(token), rows, "");
    }

    /// @dev With a token that calls receivers, an operator that calls back gains nothing: what it could take is the
    /// caller's tip, and then the caller's transaction fails.
    function test_aCallbackTakesNoTip() public {
        OddToken odd = new OddToken();
        CollectingOperator operator = new CollectingOperator();
        jar = newJar(address(operator), 1000);
        operator.set(jar);
        odd.mint(address(jar), 1000);
        odd.setHook(address(operator), true);
        vm.expectRevert();
        vm.prank(STRANGER);
        jar.collect(address(odd), none(), "");
        odd.setHook(address(operator), false);
        vm.prank(STRANGER);
        assertEq(jar.collect(address(odd), none(), ""), 100);
    }

    function test_construction() public {
        assertEq(jar.channels(), address(channels));
        assertEq(jar.operator(), OPERATOR);
        assertEq(jar.tipBps(), 100);
        vm.expectRevert(abi.encodeWithSelector(ITipJar.NoCode.selector, STRANGER));
        deployCode("TipJar.sol:TipJar", abi.encode(STRANGER, OPERATOR, 1));
        vm.expectRevert(ITipJar.ZeroAddress.selector);
        newJar(address(0), 1);
        newJar(OPERATOR, 2000);
        vm.expectRevert(abi.encodeWithSelector(ITipJar.TipTooHigh.selector, 2001, 2000));
        newJar(OPERATOR, 2001);
    }
}
