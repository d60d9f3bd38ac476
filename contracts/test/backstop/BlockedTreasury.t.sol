// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IFeeSplitter} from "plimsoll/interfaces/IFeeSplitter.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {TestToken} from "../support/TestToken.sol";
import {BackstopTest} from "./BackstopTest.sol";

/// @notice A token whose issuer can refuse transfers to one account, in three ways.
contract RefusingToken is TestToken("USD", 6) {
    enum Way {
        None,
        Reverts,
        ReturnsFalse,
        MovesAndReturnsFalse
    }

    address private _refused;
    Way private _way;

    function refuse(address account, Way way) external {
        (_refused, _way) = (account, way);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (to != _refused || _way == Way.None) return super.transfer(to, amount);
        require(_way != Way.Reverts, "refused");
        if (_way == Way.MovesAndReturnsFalse) super.transfer(to, amount);
        return false;
    }
}

/// @title Tests of a splitter of which one side cannot be paid.
contract BlockedTreasuryTest is BackstopTest {
    address private immutable TREASURY = makeAddr("treasury");
    IFeeSplitter private splitter;

    function newTokens() internal override returns (TestToken loan, TestToken collateral) {
        return (new RefusingToken(), new TestToken("ETH", 18));
    }

    function setUp() public override {
        super.setUp();
        bytes memory args = abi.encode(address(backstop), TREASURY, 2_000);
        splitter = IFeeSplitter(deployCode("FeeSplitter.sol:FeeSplitter", args));
        vm.startPrank(OWNER);
        plimsoll.setFee(params, 2_500);
        plimsoll.setFeeRecipient(id, address(splitter));
        vm.stopPrank();
        deposit(ALICE, 10_000e6);
    }

    function test_aBlockedTreasuryDoesNotHoldTheBackstopsPart() public {
        _blocked(RefusingToken.Way.Reverts);
    }

    function test_aTreasuryRefusedByAFalseAnswerDoesNotEither() public {
        _blocked(RefusingToken.Way.ReturnsFalse);
    }

    function _blocked(RefusingToken.Way way) private {
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1_000e18, 990_000e6);
        skip(45 days);
        supply(LENDER, 1_000_000e6);
        RefusingToken(address(loanToken)).refuse(TREASURY, way);
        uint256 coverBefore = cover();
        (uint256 toBackstop, uint256 toTreasury) = splitter.collect(params);
        assertGt(toBackstop, 1_000e6);
        assertEq(toTreasury, 0);
        assertEq(cover(), coverBefore + toBackstop);
        (uint256 owedToBackstop, uint256 owedToTreasury) = splitter.owed();
        assertEq(owedToBackstop, 0);
        assertApproxEqAbs(owedToTreasury, toBackstop / 4, 1);
        assertEq(loanToken.balanceOf(address(splitter)), owedToTreasury);

        // What is owed is not divided again, and is paid with the next income once that is possible.
        loanToken.mint(address(splitter), 1_000);
        (toBackstop, toTreasury) = splitter.distribute(address(loanToken));
        assertApproxEqAbs(toBackstop, 800, 1);
        RefusingToken(address(loanToken)).refuse(TREASURY, RefusingToken.Way.None);
        (toBackstop, toTreasury) = splitter.distribute(address(loanToken));
        assertEq(toBackstop, 0);
        assertApproxEqAbs(toTreasury, owedToTreasury + 200, 1);
        assertEq(loanToken.balanceOf(address(splitter)), 0);
    }

    /// @notice A token that moves tokens and returns false does not pay the treasury repeatedly.
    function test_aTokenThatMovesAndReturnsFalseIsRefused() public {
        loanToken.mint(address(splitter), 1_000);
        RefusingToken(address(loanToken)).refuse(TREASURY, RefusingToken.Way.MovesAndReturnsFalse);
        vm.expectPartialRevert(IPlimsoll.TransferFailed.selector);
        splitter.distribute(address(loanToken));
    }

    /// @notice Nor does a gift of more than is ever owed stop a distribution.
    function test_aGiftOfAnyAmountIsDividedInTheEnd() public {
        loanToken.mint(address(splitter), type(uint120).max);
        loanToken.mint(address(splitter), 10);
        splitter.distribute(address(loanToken));
        splitter.distribute(address(loanToken));
        assertEq(loanToken.balanceOf(address(splitter)), 0);
        assertEq(loanToken.balanceOf(TREASURY), (uint256(type(uint120).max) + 10) / 5);
    }
}
