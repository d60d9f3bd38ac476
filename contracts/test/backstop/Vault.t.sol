// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IBackstop} from "plimsoll/interfaces/IBackstop.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {CoreTest} from "../support/CoreTest.sol";
import {StandardVaultFixture} from "../support/StandardVaultFixture.sol";
import {StandardVaultTest} from "../support/StandardVaultTest.sol";
import {BackstopTest} from "./BackstopTest.sol";

/// @title Tests of the backstop as one of the standard's vaults (A4, A7, L3).
contract VaultTest is BackstopTest, StandardVaultTest {
    function setUp() public override(BackstopTest, CoreTest) {
        super.setUp();
    }

    function makeState(uint256 seed) internal override {
        deposit(ALICE, bound(part(seed, 1), 1, MOST));
        deposit(BOB, bound(part(seed, 2), 1, MOST));
        if (seed & 1 == 1) addIncome(bound(part(seed, 3), 1, MOST));
        if (seed & 2 == 2) realiseLoss(bound(part(seed, 4), MIN_DEBT, 4 * MOST));
        if (seed & 4 == 4) deposit(ALICE, bound(part(seed, 5), 1e6, MOST));
        if (seed & 8 == 8) realiseLoss(bound(part(seed, 6), MIN_DEBT, 4 * MOST));
        fund(ALICE, type(uint128).max);
    }

    function openExit(address who) internal override {
        openWindow(who, vault.balanceOf(who));
    }

    function requireSound() internal view override {
        assertEq(loanToken.balanceOf(address(vault)), 0, "all assets are cover");
    }

    function callOtherViews(address who) internal view override {
        backstop.cooldown(who);
    }

    function standard() internal view override(BackstopTest, StandardVaultFixture) returns (IERC4626) {
        return BackstopTest.standard();
    }

    /* ROUND TRIPS AND MAXIMA */

    /// @notice Deposits and redemptions do not lower the value of other accounts' shares by a unit.
    function testFuzz_A4_othersLoseNothing(uint256 seed, uint256 assets, uint256 shares) public inAnyState(seed) {
        uint256 before = worth(BOB);
        _tryDeposit(bound(assets, 1, MOST));
        assertGe(worth(BOB), before);
        redeem(ALICE, bound(shares, 0, vault.maxRedeem(ALICE)));
        assertGe(worth(BOB), before);
    }

    function test_afterIncomeBeyondTheBoundNothingCanBeDeposited() public {
        deposit(ALICE, 1e6);
        addIncome(type(uint128).max);
        assertGt(vault.totalAssets(), type(uint128).max);
        assertEq(vault.maxDeposit(BOB), 0);
        assertEq(vault.maxMint(BOB), 0);
    }

    function testFuzz_L3_maxRedeemIsAcceptedAndIsTheWholeCooldown(uint256 seed) public inAnyState(seed) {
        uint256 held = vault.balanceOf(ALICE);
        assertEq(vault.maxRedeem(ALICE), held);
        assertEq(redeem(ALICE, held), loanToken.balanceOf(ALICE) - type(uint128).max);
        assertEq(vault.balanceOf(ALICE), 0);
    }

    function testFuzz_L3_maxWithdrawIsTheLargestThatIsAccepted(uint256 seed) public inAnyState(seed) {
        uint256 most = vault.maxWithdraw(ALICE);
        assertEq(most, worth(ALICE));
        assertGt(vault.previewWithdraw(most + 1), vault.balanceOf(ALICE));
        vm.prank(ALICE);
        vault.withdraw(most, ALICE, ALICE);
    }

    /// @notice A result that does not fit a word is the largest number instead.
    function test_L3_conversionsSaturate() public {
        assertEq(vault.convertToShares(type(uint256).max), type(uint256).max);
        assertEq(
            vault.convertToShares(type(uint256).max / SHARES_PER_UNIT),
            type(uint256).max - type(uint256).max % SHARES_PER_UNIT
        );
        assertEq(vault.convertToAssets(type(uint256).max), type(uint256).max / SHARES_PER_UNIT);
        deposit(ALICE, 1);
        addIncome(1e30);
        assertEq(vault.convertToAssets(type(uint256).max), type(uint256).max);
    }

    function test_L3_anEmptyVaultAcceptsItsMaxima() public {
        assertEq(vault.maxDeposit(ALICE), type(uint128).max);
        fund(ALICE, type(uint128).max);
        vm.prank(ALICE);
        vault.deposit(type(uint128).max, ALICE);
        assertEq(vault.maxDeposit(ALICE), 0);
        assertEq(vault.maxMint(ALICE), 0);
    }

    /// @notice Even where shares have become so many that they are what bounds a deposit.
    function test_L3_maximaAreAcceptedWhereTheNumberOfSharesIsTheBound() public {
        supply(LENDER, MOST);
        deposit(BOB, 1e6);
        for (uint256 i; i < 9; ++i) {
            realiseLoss(4 * cover() + MIN_DEBT);
            deposit(BOB, 100 * cover());
        }
        fund(ALICE, type(uint128).max);
        uint256 most = vault.maxDeposit(CAROL);
        assertLt(most, type(uint128).max - cover());
        vm.startPrank(ALICE);
        vault.deposit(most / 2, CAROL);
        vault.mint(vault.maxMint(CAROL), CAROL);
        vm.stopPrank();
        assertEq(vault.totalSupply(), type(uint192).max);
        assertEq(vault.maxDeposit(CAROL), 0);
        assertEq(vault.maxMint(CAROL), 0);
        openWindow(CAROL, vault.balanceOf(CAROL));
        redeem(CAROL, vault.maxRedeem(CAROL));
        assertApproxEqAbs(loanToken.balanceOf(CAROL) + loanToken.balanceOf(ALICE), type(uint128).max, 2);
    }

    /* REFUSALS */

    function test_aDepositWorthNoShareIsRefused() public {
        bytes memory refused = abi.encodeWithSelector(IBackstop.AmountTooSmall.selector, 0);
        vm.expectRevert(refused);
        vault.deposit(0, ALICE);
        vm.expectRevert(refused);
        vault.mint(0, ALICE);
        deposit(ALICE, 1);
        addIncome(1e9);
        vm.expectRevert(abi.encodeWithSelector(IBackstop.AmountTooSmall.selector, 100));
        vault.deposit(100, ALICE);
    }

    /// @notice As `maxRedeem` promises: it is refused no amount, be it worth nothing.
    function test_L3_sharesWorthLessThanAUnitCanBeRedeemedForNothing() public {
        uint256 shares = deposit(ALICE, 1e6);
        openWindow(ALICE, shares);
        assertEq(redeem(ALICE, SHARES_PER_UNIT - 1), 0);
        assertEq(vault.balanceOf(ALICE), shares - (SHARES_PER_UNIT - 1));
        assertEq(cover(), 1e6);
    }

    function test_sharesAreAPlainToken() public {
        uint256 shares = deposit(ALICE, 1e6);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC20InsufficientBalance.selector, ALICE, shares, shares + 1));
        transfer(ALICE, BOB, shares + 1);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC20InvalidReceiver.selector, address(0)));
        transfer(ALICE, address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC20InvalidSpender.selector, address(0)));
        vm.prank(ALICE);
        vault.approve(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC20InsufficientAllowance.selector, BOB, 0, 1));
        vm.prank(BOB);
        vault.transferFrom(ALICE, BOB, 1);
    }
}
