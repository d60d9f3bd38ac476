// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {CoreTest} from "../support/CoreTest.sol";
import {StandardVaultFixture} from "../support/StandardVaultFixture.sol";
import {StandardVaultTest} from "../support/StandardVaultTest.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title Tests of the vault as one of the standard's.
/// @dev Time and interest are part of the states, and liquidity is short.
contract StandardTest is VaultFixture, StandardVaultTest {
    function setUp() public override(VaultFixture, CoreTest) {
        super.setUp();
    }

    function makeState(uint256 seed) internal override {
        deposit(ALICE, bound(part(seed, 1), 1e6, MOST));
        deposit(BOB, bound(part(seed, 2), 1, MOST));
        supplyTo(0, 1_000e6);
        address borrower = takeLoan(0, bound(part(seed, 3), MIN_DEBT, 1_000e6));
        if (seed & 1 == 1) skip(bound(part(seed, 4), 1, 400 days));
        if (seed & 2 == 2) move(0, 1, bound(part(seed, 5), 1, MOST));
        if (seed & 4 == 4) exhaust(0);
        if (seed & 8 == 8) skip(bound(part(seed, 6), 1, 400 days));
        if (seed & 16 == 16) realiseLoss(0, borrower);
        if (seed & 32 == 32) deposit(ALICE, bound(part(seed, 7), 1e6, MOST));
        fund(ALICE, type(uint128).max);
    }

    function openExit(address) internal pure override {}

    function requireSound() internal override {
        assertBacked();
    }

    function callOtherViews(address) internal view override {
        vault.holdings();
        vault.state();
        vault.withdrawOrder();
    }

    function standard() internal view override(VaultFixture, StandardVaultFixture) returns (IERC4626) {
        return VaultFixture.standard();
    }

    /* ROUND TRIPS AND MAXIMA */

    /// @notice A deposit and a redemption in one transaction never pay, and cost the others nothing but units.
    function testFuzz_V5_aRoundTripTakesNothingFromOthers(uint256 seed, uint256 assets) public inAnyState(seed) {
        uint256 before = worth(BOB);
        assets = bound(assets, 1, MOST);
        assertLe(_leaveByRedeem(_tryDeposit(assets)), assets);
        assertGe(worth(BOB) + 3, before, "V3: one unit for each market");
        assertBacked();
    }

    function testFuzz_V6_maxWithdrawIsAcceptedAndIsAllThatIsLiquid(uint256 seed) public inAnyState(seed) {
        uint256 most = shares.maxWithdraw(ALICE);
        uint256 liquid = idle();
        IVault.Holding[] memory all = vault.holdings();
        for (uint256 i; i < all.length; ++i) {
            liquid += all[i].withdrawable;
        }
        uint256 mine = worth(ALICE);
        assertEq(most, mine < liquid ? mine : liquid, "not needlessly small");
        vm.prank(ALICE);
        shares.withdraw(most, ALICE, ALICE);
        assertBacked();
    }

    function testFuzz_V6_maxRedeemIsAccepted(uint256 seed) public inAnyState(seed) {
        uint256 most = shares.maxRedeem(ALICE);
        if (shares.maxWithdraw(ALICE) == worth(ALICE)) assertEq(most, shares.balanceOf(ALICE));
        redeem(ALICE, most);
        assertBacked();
    }

    /// @notice Two centuries at the highest rates: the market's totals end at their bound, and nothing reverts.
    function test_V6_extremeAccrualRevertsNothing() public {
        deposit(ALICE, 1_000e6);
        exhaust(0);
        skip(200 * 365 days);
        shares.maxWithdraw(ALICE);
        shares.maxRedeem(ALICE);
        shares.maxDeposit(ALICE);
        vault.accrue();
        deposit(BOB, 1_000e6);
        assertBacked();
        redeemInKind(ALICE, shares.balanceOf(ALICE));
        redeemInKind(BOB, shares.balanceOf(BOB));
        assertBacked();
    }

    function test_V6_afterATotalLossTheVaultGoesOn() public {
        deposit(ALICE, 10_000e6);
        address borrower = exhaust(0);
        realiseLoss(0, borrower);
        for (uint256 n; n < 3; ++n) {
            deposit(BOB, 1_000e6);
            borrower = exhaust(0);
            realiseLoss(0, borrower);
        }
        deposit(CAROL, 1_000e6);
        assertApproxEqRel(worth(CAROL), 1_000e6, 1e9);
        redeem(CAROL, shares.maxRedeem(CAROL));
        assertBacked();
    }

    /* LIMITS OF THE CALLER, ALLOWANCES, REFUSALS */

    function test_verbsRevertBeyondTheCallersLimit() public {
        deposit(ALICE, 1_000e6);
        fund(ALICE, 1_000e6);
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IVault.LimitExceeded.selector, 1e6 * 1e6, 1e6 * 1e6 + 1));
        vault.deposit(1e6, ALICE, 1e6 * 1e6 + 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.LimitExceeded.selector, 1e6, 1e6 - 1));
        vault.mint(1e12, ALICE, 1e6 - 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.LimitExceeded.selector, 1e12, 1e12 - 1));
        vault.withdraw(1e6, ALICE, ALICE, 1e12 - 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.LimitExceeded.selector, 1e6, 1e6 + 1));
        vault.redeem(1e12, ALICE, ALICE, 1e6 + 1);
        assertEq(vault.deposit(1e6, ALICE, 1e12), 1e12);
        assertEq(vault.mint(1e12, ALICE, 1e6), 1e6);
        assertEq(vault.withdraw(1e6, ALICE, ALICE, 1e12), 1e12);
        assertEq(vault.redeem(1e12, ALICE, ALICE, 1e6), 1e6);
        vm.stopPrank();
    }

    function test_attack16_anotherPartyNeedsAnAllowance() public {
        uint256 held = deposit(ALICE, 1_000e6);
        bytes memory refused = abi.encodeWithSelector(IERC4626.ERC20InsufficientAllowance.selector, BOB, held - 1, held);
        vm.prank(ALICE);
        shares.approve(BOB, held - 1);
        vm.startPrank(BOB);
        vm.expectRevert(refused);
        shares.redeem(held, BOB, ALICE);
        vm.expectRevert(refused);
        shares.withdraw(1_000e6, BOB, ALICE);
        vm.expectRevert(refused);
        vault.redeemInKind(held, BOB, ALICE, false);
        shares.redeem(held - 1, BOB, ALICE);
        vm.stopPrank();
        assertEq(shares.allowance(ALICE, BOB), 0);
    }

    function test_aDepositWorthNoShareIsRefused() public {
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IVault.AmountTooSmall.selector, 0));
        shares.deposit(0, ALICE);
        vm.expectRevert(abi.encodeWithSelector(IVault.AmountTooSmall.selector, 0));
        shares.mint(0, ALICE);
        vm.stopPrank();
        assertEq(shares.decimals(), loanToken.decimals() + 6);
        assertEq(shares.asset(), address(loanToken));
    }

    function test_moreThanIsLiquidIsRefusedWithWhatThereIs() public {
        deposit(ALICE, 1_000e6);
        takeLoan(0, 600e6);
        vm.expectRevert(abi.encodeWithSelector(IVault.NotEnoughLiquidity.selector, 401e6, 400e6));
        vm.prank(ALICE);
        shares.withdraw(401e6, ALICE, ALICE);
    }
}
