// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of the owner: fees within a bound, fee recipients, backstops, and transfers of ownership (I3).
contract OwnerTest is VerbTest {
    /* FEE */

    /// @dev I3. What was earned before was earned at the old fee.
    function testFuzz_setFee(MarketHistory memory history, uint256 feeBps) public {
        createHistory(history);
        feeBps = bound(feeBps, 0, MAX_FEE_BPS);
        Balances memory b = balances();
        b.market.feeBps = feeBps;

        expectAccrue();
        expectEvent();
        emit IPlimsoll.SetFee(id, feeBps);
        vm.prank(OWNER);
        plimsoll.setFee(params, feeBps);
        assertBalances(b);
    }

    /// @dev I3
    function testFuzz_aFeeOverAQuarterIsRefused(uint256 feeBps) public {
        feeBps = bound(feeBps, 2_501, type(uint256).max);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.FeeTooHigh.selector, feeBps, 2_500));
        plimsoll.setFee(params, feeBps);
    }

    /* RECIPIENT AND BACKSTOP */

    function testFuzz_setFeeRecipient(address recipient) public {
        expectEvent();
        emit IPlimsoll.SetFeeRecipient(id, recipient);
        vm.prank(OWNER);
        plimsoll.setFeeRecipient(id, recipient);
        assertEq(plimsoll.feeRecipient(id), recipient);
        assertEq(plimsoll.backstop(id), address(0));
    }

    function testFuzz_setBackstop(address vault) public {
        expectEvent();
        emit IPlimsoll.SetBackstop(id, vault);
        vm.prank(OWNER);
        plimsoll.setBackstop(id, vault);
        assertEq(plimsoll.backstop(id), vault);
        assertEq(plimsoll.feeRecipient(id), address(0));
    }

    function test_onlyForMarketsThatAreThere() public {
        params.oracle = address(this);
        MarketId nowhere = MarketId.wrap(keccak256(abi.encode(params)));
        bytes memory error_ = abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, nowhere);
        vm.startPrank(OWNER);
        vm.expectRevert(error_);
        plimsoll.setFee(params, 1);
        vm.expectRevert(error_);
        plimsoll.setFeeRecipient(nowhere, STRANGER);
        vm.expectRevert(error_);
        plimsoll.setBackstop(nowhere, STRANGER);
    }

    function testFuzz_onlyTheOwner(address caller) public {
        vm.assume(caller != OWNER);
        bytes memory error_ = abi.encodeWithSelector(IPlimsoll.NotOwner.selector, caller);
        vm.startPrank(caller);
        vm.expectRevert(error_);
        plimsoll.setFee(params, 1);
        vm.expectRevert(error_);
        plimsoll.setFeeRecipient(id, caller);
        vm.expectRevert(error_);
        plimsoll.setBackstop(id, caller);
        vm.expectRevert(error_);
        plimsoll.transferOwnership(caller);
    }

    /* SUCCESSION */

    function test_inTwoSteps() public {
        expectEvent();
        emit IPlimsoll.OwnershipTransferStarted(OWNER, STRANGER);
        vm.prank(OWNER);
        plimsoll.transferOwnership(STRANGER);
        assertEq(plimsoll.owner(), OWNER);
        assertEq(plimsoll.pendingOwner(), STRANGER);

        expectEvent();
        emit IPlimsoll.OwnershipTransferred(OWNER, STRANGER);
        vm.prank(STRANGER);
        plimsoll.acceptOwnership();
        assertEq(plimsoll.owner(), STRANGER);
        assertEq(plimsoll.pendingOwner(), address(0));

        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotOwner.selector, OWNER));
        plimsoll.setFee(params, 1);
        vm.prank(STRANGER);
        plimsoll.setFee(params, 1);
    }

    function test_anOfferCanBeTakenBack() public {
        vm.startPrank(OWNER);
        plimsoll.transferOwnership(STRANGER);
        plimsoll.transferOwnership(address(0));
        vm.stopPrank();
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotPendingOwner.selector, STRANGER));
        plimsoll.acceptOwnership();
    }

    function testFuzz_onlyThePendingOwnerAccepts(address caller) public {
        vm.assume(caller != STRANGER && caller != address(0));
        vm.prank(OWNER);
        plimsoll.transferOwnership(STRANGER);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotPendingOwner.selector, caller));
        plimsoll.acceptOwnership();
    }

    function test_theFirstOwner() public {
        vm.expectEmit(true, true, true, true);
        emit IPlimsoll.OwnershipTransferred(address(0), STRANGER);
        IPlimsoll other = IPlimsoll(deployCode("Plimsoll.sol:Plimsoll", abi.encode(STRANGER)));
        assertEq(other.owner(), STRANGER);
        assertEq(other.pendingOwner(), address(0));
    }

    function test_theZeroAddressIsRefusedAsOwner() public {
        bytes memory code = vm.getCode("Plimsoll.sol:Plimsoll");
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        this.create(abi.encodePacked(code, abi.encode(address(0))));
    }

    /// @dev A constructor's reason, which `deployCode` would swallow.
    function create(bytes memory initCode) external returns (address created) {
        assembly ("memory-safe") {
            created := create(0, add(initCode, 0x20), mload(initCode))
            if iszero(created) {
                returndatacopy(mload(0x40), 0, returndatasize())
                revert(mload(0x40), returndatasize())
            }
        }
    }
}
