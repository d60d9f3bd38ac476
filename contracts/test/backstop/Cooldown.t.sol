// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IBackstop} from "plimsoll/interfaces/IBackstop.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {BackstopTest} from "./BackstopTest.sol";

/// @title Tests of cooldowns: redeeming takes notice, and no other action lets more shares be redeemed (R6).
contract CooldownTest is BackstopTest {
    uint256 private constant DEPOSIT = 1_000e6;
    uint256 private constant SHARES = DEPOSIT * SHARES_PER_UNIT;

    function setUp() public override {
        super.setUp();
        deposit(ALICE, DEPOSIT);
        deposit(BOB, DEPOSIT);
    }

    function _expectExceedsMaxRedeem(address who, uint256 shares, uint256 max) private {
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC4626ExceededMaxRedeem.selector, who, shares, max));
    }

    /* TIME */

    function test_R6_nobodyLeavesWithoutACooldown() public {
        skip(365 days);
        _expectExceedsMaxRedeem(ALICE, 1, 0);
        redeem(ALICE, 1);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC4626ExceededMaxWithdraw.selector, ALICE, 1, 0));
        vm.prank(ALICE);
        vault.withdraw(1, ALICE, ALICE);
    }

    function test_R6_theWindowOpensWithItsFirstSecondAndClosesAfterItsLast() public {
        startCooldown(ALICE, SHARES);
        skip(COOLDOWN - 1);
        _expectExceedsMaxRedeem(ALICE, 1, 0);
        redeem(ALICE, 1);

        skip(1);
        assertEq(vault.maxRedeem(ALICE), SHARES);
        redeem(ALICE, 1);

        skip(WINDOW);
        assertEq(vault.maxRedeem(ALICE), SHARES - 1);
        redeem(ALICE, 1);

        skip(1);
        _expectExceedsMaxRedeem(ALICE, 1, 0);
        redeem(ALICE, 1);
    }

    function test_cooldownReturnsSharesAndWindow() public {
        uint256 opensAt = vm.getBlockTimestamp() + COOLDOWN;
        vm.expectEmit(address(backstop));
        emit IBackstop.StartCooldown(ALICE, SHARES, opensAt, opensAt + WINDOW);
        startCooldown(ALICE, SHARES);
        assertEq(abi.encode(backstop.cooldown(ALICE)), abi.encode(SHARES, opensAt, opensAt + WINDOW));
        assertEq(abi.encode(backstop.cooldown(BOB)), abi.encode(0, 0, 0));
    }

    function test_aNewCooldownTakesThePlaceOfTheOld() public {
        openWindow(ALICE, SHARES);
        startCooldown(ALICE, SHARES / 2);
        _expectExceedsMaxRedeem(ALICE, 1, 0);
        redeem(ALICE, 1);
        skip(COOLDOWN);
        assertEq(vault.maxRedeem(ALICE), SHARES / 2);
    }

    function test_aCooldownOfZeroSharesEndsIt() public {
        openWindow(ALICE, SHARES);
        startCooldown(ALICE, 0);
        assertEq(abi.encode(backstop.cooldown(ALICE)), abi.encode(0, 0, 0));
        assertEq(vault.maxRedeem(ALICE), 0);
    }

    function test_aSingleShareInCooldownLeavesWithATransfer() public {
        deposit(ALICE, 1e6);
        startCooldown(ALICE, 1);
        transfer(ALICE, BOB, 1);
        assertEq(backstop.cooldown(ALICE).shares, 0);
    }

    function test_oneCannotCoolMoreThanOneHolds() public {
        vm.expectRevert(abi.encodeWithSelector(IBackstop.InsufficientShares.selector, SHARES + 1, SHARES));
        startCooldown(ALICE, SHARES + 1);
    }

    /* AMOUNT */

    function test_R6_onlyTheChosenAmountLeaves() public {
        openWindow(ALICE, SHARES / 4);
        _expectExceedsMaxRedeem(ALICE, SHARES / 4 + 1, SHARES / 4);
        redeem(ALICE, SHARES / 4 + 1);
        redeem(ALICE, SHARES / 4);
        _expectExceedsMaxRedeem(ALICE, 1, 0);
        redeem(ALICE, 1);
        assertEq(vault.balanceOf(ALICE), SHARES - SHARES / 4);
    }

    function test_R6_laterDepositsDoNotJoin() public {
        startCooldown(ALICE, SHARES);
        deposit(ALICE, DEPOSIT);
        skip(COOLDOWN);
        deposit(ALICE, DEPOSIT);
        assertEq(vault.maxRedeem(ALICE), SHARES);
        redeem(ALICE, SHARES);
        assertEq(vault.maxRedeem(ALICE), 0);
        assertEq(vault.balanceOf(ALICE), 2 * SHARES);
    }

    function test_R6_sharesBoughtInAnOpenWindowDoNotLeaveWithIt() public {
        openWindow(ALICE, SHARES);
        redeem(ALICE, SHARES);
        transfer(BOB, ALICE, SHARES);
        _expectExceedsMaxRedeem(ALICE, 1, 0);
        redeem(ALICE, 1);
    }

    /// @notice Nor by passing shares through: what is sent away comes out of those that were about to leave.
    function test_R6_boughtSharesDoNotTakeThePlaceOfThoseSentAway() public {
        openWindow(ALICE, SHARES);
        transfer(BOB, ALICE, SHARES);
        transfer(ALICE, CAROL, SHARES);
        _expectExceedsMaxRedeem(ALICE, 1, 0);
        redeem(ALICE, 1);
    }

    function test_R6_attack11_aCooldownDoesNotTravelWithTheShares() public {
        openWindow(ALICE, SHARES);
        transfer(ALICE, CAROL, SHARES / 2);
        assertEq(vault.maxRedeem(ALICE), SHARES / 2);
        assertEq(vault.maxRedeem(CAROL), 0);
    }

    function test_R6_attack11_sendingSharesToOneselfGainsNothing() public {
        openWindow(ALICE, SHARES);
        transfer(ALICE, ALICE, SHARES / 2);
        assertEq(vault.maxRedeem(ALICE), SHARES / 2);
    }

    function test_R6_sharesTakenByAnotherShrinkTheCooldownToo() public {
        openWindow(ALICE, SHARES);
        vm.prank(ALICE);
        vault.approve(CAROL, SHARES / 2);
        vm.prank(CAROL);
        vault.transferFrom(ALICE, CAROL, SHARES / 2);
        assertEq(vault.maxRedeem(ALICE), SHARES / 2);
    }

    /// @notice Whatever is deposited, received and sent on meanwhile, in a cooldown's window no more leaves than it was
    /// started for, less what was sent away since.
    function testFuzz_R6_redeemedSharesWereHeldWhenTheCooldownStarted(uint256[6] calldata amounts, uint8 order) public {
        uint256 cooled = bound(amounts[0], 0, SHARES);
        openWindow(ALICE, cooled);
        uint256 sent;
        for (uint256 i = 1; i < 5; ++i) {
            if ((order >> i) & 1 == 1) {
                deposit(ALICE, bound(amounts[i], 1, DEPOSIT));
            } else {
                uint256 shares = bound(amounts[i], 0, vault.balanceOf(ALICE));
                transfer(ALICE, CAROL, shares);
                sent += shares;
            }
        }
        assertEq(vault.maxRedeem(ALICE), sent < cooled ? cooled - sent : 0);
        uint256 left = redeem(ALICE, vault.maxRedeem(ALICE));
        assertLe(left, vault.previewMint(cooled));
        assertEq(vault.maxRedeem(ALICE), 0);
    }

    /* OTHERS */

    function test_attack16_aThirdPartyNeedsAnAllowanceToRedeem() public {
        openWindow(ALICE, SHARES);
        bytes memory refused =
            abi.encodeWithSelector(IERC4626.ERC20InsufficientAllowance.selector, STRANGER, SHARES - 1, SHARES);
        vm.prank(ALICE);
        vault.approve(STRANGER, SHARES - 1);
        vm.expectRevert(refused);
        vm.prank(STRANGER);
        vault.redeem(SHARES, STRANGER, ALICE);
        vm.expectRevert(refused);
        vm.prank(STRANGER);
        vault.withdraw(DEPOSIT, STRANGER, ALICE);
    }

    function test_attack16_anAllowanceIsUsedUpInShares() public {
        openWindow(ALICE, SHARES);
        vm.prank(ALICE);
        vault.approve(STRANGER, SHARES);
        vm.prank(STRANGER);
        vault.redeem(SHARES / 4, CAROL, ALICE);
        assertEq(loanToken.balanceOf(CAROL), DEPOSIT / 4);
        vm.prank(STRANGER);
        uint256 burned = vault.withdraw(DEPOSIT / 4, CAROL, ALICE);
        assertEq(vault.allowance(ALICE, STRANGER), SHARES - SHARES / 4 - burned);
        assertEq(loanToken.balanceOf(CAROL), DEPOSIT / 2);
    }

    /// @notice One's own open window does not open another's shares, nor does an allowance open a closed window.
    function test_attack16_theWindowThatCountsIsTheOwners() public {
        openWindow(ALICE, SHARES);
        vm.prank(BOB);
        vault.approve(ALICE, SHARES);
        _expectExceedsMaxRedeem(BOB, 1, 0);
        vm.prank(ALICE);
        vault.redeem(1, ALICE, BOB);
    }

    /* LOSSES */

    function test_R6_coolingSharesAreSlashedLikeAllOthers() public {
        openWindow(ALICE, SHARES);
        realiseLoss(500e6);
        assertLt(worth(ALICE), 800e6);
        assertEq(worth(ALICE), worth(BOB));
        uint256 expected = worth(ALICE);
        assertEq(redeem(ALICE, SHARES), expected);
        assertEq(loanToken.balanceOf(ALICE), expected);
    }

    /// @notice The loss is in the price at the end of the call that realises it: there is no moment to leave between.
    function test_R6_nobodyLeavesAheadOfARealisedLoss() public {
        openWindow(ALICE, SHARES);
        uint256 before = vault.maxWithdraw(ALICE);
        realiseLoss(500e6);
        assertLt(vault.maxWithdraw(ALICE), before);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC4626.ERC4626ExceededMaxWithdraw.selector, ALICE, before, vault.maxWithdraw(ALICE)
            )
        );
        vm.prank(ALICE);
        vault.withdraw(before, ALICE, ALICE);
    }
}
