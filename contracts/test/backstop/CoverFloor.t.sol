// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {CoreTest} from "../support/CoreTest.sol";

/// @title Tests of the part of a backstop's cover that losses cannot use, in the core.
contract CoverFloorTest is CoreTest {
    uint256 private constant COVER = 100_000e6;
    address private immutable VAULT = makeAddr("vault");

    function setUp() public override {
        super.setUp();
        supply(LENDER, 5_000_000e6);
        give(loanToken, VAULT, 2 * COVER);
        vm.startPrank(VAULT);
        plimsoll.depositCover(address(loanToken), COVER);
        plimsoll.setCoverLimit(id, type(uint256).max);
        vm.stopPrank();
        vm.prank(OWNER);
        plimsoll.setBackstop(id, VAULT);
    }

    /// @dev A loan whose bad debt is far more than the cover.
    function _realiseLossOf(string memory name) private {
        address borrower = makeAddr(name);
        oracle.set(PRICE);
        openLoan(borrower, 1_000e18, 1_500_000e6);
        oracle.set(PRICE / 100);
        liquidate(borrower, type(uint128).max);
    }

    function _setFloor(uint256 floor) private {
        vm.prank(VAULT);
        plimsoll.setCoverFloor(address(loanToken), floor);
    }

    function test_H7_withoutAFloorALossTakesAllCover() public {
        _realiseLossOf("first");
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 0);
    }

    /// @notice However many losses there are, in one crash or in many.
    function testFuzz_R6_noNumberOfLossesTakesTheFloor(uint256 floor) public {
        floor = bound(floor, 0, COVER);
        _setFloor(floor);
        for (uint256 i; i < 3; ++i) {
            _realiseLossOf(vm.toString(i));
            assertEq(plimsoll.cover(VAULT, address(loanToken)), floor);
        }
    }

    function test_H7_aFloorAboveTheCoverKeepsAllOfItAndTheSuppliersPay() public {
        _setFloor(COVER + 1);
        uint256 suppliedBefore = suppliedBy(LENDER);
        _realiseLossOf("first");
        assertEq(plimsoll.cover(VAULT, address(loanToken)), COVER);
        assertEq(plimsoll.coverLimit(VAULT, id), type(uint256).max);
        assertLt(suppliedBy(LENDER), suppliedBefore);
    }

    function test_H7_aLossSmallerThanWhatIsAboveTheFloorIsPaidWhole() public {
        _setFloor(COVER / 100);
        address borrower = makeAddr("small");
        openLoan(borrower, 1e18, 1_500e6);
        uint256 suppliedBefore = suppliedBy(LENDER);
        oracle.set(PRICE / 100);
        liquidate(borrower, type(uint128).max);
        assertEq(suppliedBy(LENDER), suppliedBefore);
        assertLt(plimsoll.cover(VAULT, address(loanToken)), COVER);
    }

    function test_theFloorHindersNoWithdrawal() public {
        _setFloor(COVER);
        vm.prank(VAULT);
        plimsoll.withdrawCover(address(loanToken), COVER, VAULT);
        assertEq(plimsoll.cover(VAULT, address(loanToken)), 0);
    }

    function test_theFloorIsTheCallersAloneAndItsEventSaysWhatItIsNow() public {
        vm.expectEmit(address(plimsoll));
        emit IPlimsoll.SetCoverFloor(STRANGER, address(loanToken), 7);
        vm.prank(STRANGER);
        plimsoll.setCoverFloor(address(loanToken), 7);
        assertEq(plimsoll.coverFloor(STRANGER, address(loanToken)), 7);
        assertEq(plimsoll.coverFloor(VAULT, address(loanToken)), 0);
    }
}
