// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IFeeSplitter} from "plimsoll/interfaces/IFeeSplitter.sol";
import {BackstopHandler} from "./BackstopHandler.sol";
import {BackstopTest} from "./BackstopTest.sol";

/// @title Invariants of a backstop after any history of deposits, redemptions, share transfers, income, losses, limit
/// changes and donations.
contract BackstopInvariants is BackstopTest {
    BackstopHandler private handler;

    function setUp() public override {
        super.setUp();
        bytes memory args = abi.encode(backstop, makeAddr("treasury"), 5_000);
        IFeeSplitter splitter = IFeeSplitter(deployCode("FeeSplitter.sol:FeeSplitter", args));
        vm.startPrank(OWNER);
        plimsoll.setFee(params, 2_500);
        plimsoll.setFeeRecipient(id, address(splitter));
        vm.stopPrank();
        // A market that earns, and so large that uncovered losses do not ruin it before the campaign ends.
        supply(LENDER, 1e15);
        openLoan(BORROWER, 1e15 * WAD / 1_500e6, 0.999e15);
        handler = new BackstopHandler(plimsoll, backstop, splitter, params, id);
        targetContract(address(handler));
    }

    /// @dev One campaign over all of them: each invariant of its own would walk the same histories again.
    /// forge-config: default.invariant.depth = 100
    function invariant_ofABackstop() public view {
        _R6_coverIsWhatCameInLessWhatWentOutOrWasLost();
        _A1_sharesAddUp();
        _A4_claimsAreCovered();
        _A5_onlyLossesLowerThePrice();
        _R6_nobodyLeavesBeyondTheirCooldown();
        _R6_aRemnantStays();
        _L3_theNextDepositIsFair();
    }

    /// @notice Every unit is accounted for, and nothing but losses and withdrawals takes any (A2, A6, R6).
    function _R6_coverIsWhatCameInLessWhatWentOutOrWasLost() private view {
        assertEq(vault.totalAssets(), cover());
        assertEq(cover() + handler.withdrawn() + handler.slashed(), handler.deposited() + handler.income());
        assertGe(loanToken.balanceOf(address(plimsoll)), cover());
    }

    /// @notice A1: shares are the holders'.
    function _A1_sharesAddUp() private view {
        uint256 sum;
        for (uint256 i; i < 4; ++i) {
            sum += vault.balanceOf(handler.actors(i));
        }
        assertEq(sum, vault.totalSupply());
    }

    /// @notice A4: all holders together could take out no more than there is.
    function _A4_claimsAreCovered() private view {
        uint256 claims;
        for (uint256 i; i < 4; ++i) {
            claims += worth(handler.actors(i));
        }
        assertLe(claims, cover());
    }

    /// @notice A5: only a realised loss lowers the price.
    function _A5_onlyLossesLowerThePrice() private view {
        assertEq(handler.priceLostWithoutLoss(), 0);
    }

    /// @notice R6: cooldowns hold, counted from without; no account's is larger than its balance.
    function _R6_nobodyLeavesBeyondTheirCooldown() private view {
        assertEq(handler.leftBeyondCooldown(), 0);
        for (uint256 i; i < 4; ++i) {
            address actor = handler.actors(i);
            assertEq(backstop.cooldown(actor).shares, handler.mayLeave(actor));
            assertLe(backstop.cooldown(actor).shares, vault.balanceOf(actor));
            assertLe(vault.maxRedeem(actor), backstop.cooldown(actor).shares);
        }
    }

    /// @notice R6: after any loss the floor is at least a hundredth of the remaining cover, and shares worth a unit at
    /// the initial price are never worthless.
    function _R6_aRemnantStays() private view {
        assertEq(handler.takenBelowFloor(), 0);
        assertLe(coverFloor(), cover());
        assertGe(coverFloor() * 100, cover());
    }

    /// @notice L3: whatever the state, the next deposit is possible and fairly priced.
    function _L3_theNextDepositIsFair() private view {
        assertGt(vault.maxDeposit(ALICE), type(uint64).max);
        uint256 shares = vault.previewDeposit(1e12);
        if (shares != 0) {
            uint256 back = (shares * (cover() + 1e12 + 1)) / (vault.totalSupply() + shares + 1e6);
            assertLe(back, 1e12);
            assertGe(back + 1 + (cover() + 1e12) / (vault.totalSupply() + shares + 1e6), 1e12);
        }
    }
}
