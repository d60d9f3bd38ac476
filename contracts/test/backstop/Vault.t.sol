// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IBackstop} from "plimsoll/interfaces/IBackstop.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {BackstopTest} from "./BackstopTest.sol";

/// @title Tests of ERC-4626: previews are bounds, maxima are accepted, views do not revert, round trips gain nothing
/// (A4, A7, L3).
/// @dev Each fuzzed test starts from a state that deposits, income and losses made, so prices are far from the first.
contract VaultTest is BackstopTest {
    uint256 private constant MOST = 1e15;

    /// @dev ALICE may redeem all shares; BOB stays.
    modifier inAnyState(uint256 seed) {
        _makeState(seed);
        openWindow(ALICE, vault.balanceOf(ALICE));
        _;
    }

    function _makeState(uint256 seed) private {
        deposit(ALICE, bound(_part(seed, 1), 1, MOST));
        deposit(BOB, bound(_part(seed, 2), 1, MOST));
        if (seed & 1 == 1) addIncome(bound(_part(seed, 3), 1, MOST));
        if (seed & 2 == 2) realiseLoss(bound(_part(seed, 4), MIN_DEBT, 4 * MOST));
        if (seed & 4 == 4) deposit(ALICE, bound(_part(seed, 5), 1e6, MOST));
        if (seed & 8 == 8) realiseLoss(bound(_part(seed, 6), MIN_DEBT, 4 * MOST));
        fund(ALICE, type(uint128).max);
    }

    function _part(uint256 seed, uint256 what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }

    /* WHAT THE VERBS DO */

    function test_afterIncomeBeyondTheBoundNothingCanBeDeposited() public {
        deposit(ALICE, 1e6);
        addIncome(type(uint128).max);
        assertGt(vault.totalAssets(), type(uint128).max);
        assertEq(vault.maxDeposit(BOB), 0);
        assertEq(vault.maxMint(BOB), 0);
    }

    function testFuzz_depositMatchesItsPreview(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 1, MOST);
        uint256 preview = vault.previewDeposit(assets);
        vm.assume(preview != 0);
        uint256 heldBefore = loanToken.balanceOf(ALICE);
        vm.expectEmit(address(vault));
        emit IERC4626.Deposit(ALICE, CAROL, assets, preview);
        vm.prank(ALICE);
        assertEq(vault.deposit(assets, CAROL), preview);
        assertEq(vault.balanceOf(CAROL), preview);
        assertEq(heldBefore - loanToken.balanceOf(ALICE), assets);
    }

    function testFuzz_mintMatchesItsPreview(uint256 seed, uint256 shares) public inAnyState(seed) {
        shares = bound(shares, 1, vault.maxMint(CAROL));
        uint256 preview = vault.previewMint(shares);
        uint256 heldBefore = loanToken.balanceOf(ALICE);
        vm.assume(preview <= heldBefore);
        vm.prank(ALICE);
        assertEq(vault.mint(shares, CAROL), preview);
        assertEq(vault.balanceOf(CAROL), shares);
        assertEq(heldBefore - loanToken.balanceOf(ALICE), preview);
    }

    function testFuzz_withdrawMatchesItsPreview(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 0, vault.maxWithdraw(ALICE));
        uint256 preview = vault.previewWithdraw(assets);
        uint256 sharesBefore = vault.balanceOf(ALICE);
        vm.expectEmit(address(vault));
        emit IERC4626.Withdraw(ALICE, CAROL, ALICE, assets, preview);
        vm.prank(ALICE);
        assertEq(vault.withdraw(assets, CAROL, ALICE), preview);
        assertEq(sharesBefore - vault.balanceOf(ALICE), preview);
        assertEq(loanToken.balanceOf(CAROL), assets);
    }

    function testFuzz_redeemMatchesItsPreview(uint256 seed, uint256 shares) public inAnyState(seed) {
        shares = bound(shares, 0, vault.maxRedeem(ALICE));
        uint256 preview = vault.previewRedeem(shares);
        uint256 sharesBefore = vault.balanceOf(ALICE);
        vm.prank(ALICE);
        assertEq(vault.redeem(shares, CAROL, ALICE), preview);
        assertEq(sharesBefore - vault.balanceOf(ALICE), shares);
        assertEq(loanToken.balanceOf(CAROL), preview);
    }

    /// @notice `convertTo*` are not better than what one gets, and at most a unit worse.
    function testFuzz_A7_conversionsArePreviewsRoundedDown(uint256 seed, uint128 amount) public inAnyState(seed) {
        assertEq(vault.convertToShares(amount), vault.previewDeposit(amount));
        assertEq(vault.convertToAssets(amount), vault.previewRedeem(amount));
        uint256 sharesUp = vault.previewWithdraw(amount);
        assertGe(sharesUp, vault.convertToShares(amount));
        assertLe(sharesUp, vault.convertToShares(amount) + 1);
        uint256 assetsUp = vault.previewMint(amount);
        assertGe(assetsUp, vault.convertToAssets(amount));
        assertLe(assetsUp, vault.convertToAssets(amount) + 1);
    }

    /* THE EIGHT ROUND TRIPS (A4): each way in and out again, by both measures, and each way out and in again. */

    function testFuzz_A4_redeemAfterDeposit(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 1, MOST);
        uint256 shares = _tryDeposit(assets);
        assertLe(_leaveRedeem(shares), assets);
    }

    function testFuzz_A4_withdrawAfterDeposit(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 1, MOST);
        uint256 shares = _tryDeposit(assets);
        assertGe(vault.previewWithdraw(assets), shares);
    }

    function testFuzz_A4_redeemAfterMint(uint256 seed, uint256 shares) public inAnyState(seed) {
        (uint256 minted, uint256 assets) = _tryMint(shares);
        assertLe(_leaveRedeem(minted), assets);
    }

    function testFuzz_A4_withdrawAfterMint(uint256 seed, uint256 shares) public inAnyState(seed) {
        (uint256 minted, uint256 assets) = _tryMint(shares);
        assertGe(vault.previewWithdraw(assets), minted);
    }

    function testFuzz_A4_depositAfterRedeem(uint256 seed, uint256 shares) public inAnyState(seed) {
        shares = bound(shares, 0, vault.maxRedeem(ALICE));
        uint256 assets = redeem(ALICE, shares);
        assertLe(vault.previewDeposit(assets), shares);
    }

    function testFuzz_A4_mintAfterRedeem(uint256 seed, uint256 shares) public inAnyState(seed) {
        shares = bound(shares, 0, vault.maxRedeem(ALICE));
        uint256 assets = redeem(ALICE, shares);
        assertGe(vault.previewMint(shares), assets);
    }

    function testFuzz_A4_depositAfterWithdraw(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 0, vault.maxWithdraw(ALICE));
        vm.prank(ALICE);
        uint256 shares = vault.withdraw(assets, ALICE, ALICE);
        assertLe(vault.previewDeposit(assets), shares);
    }

    function testFuzz_A4_mintAfterWithdraw(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 0, vault.maxWithdraw(ALICE));
        vm.prank(ALICE);
        uint256 shares = vault.withdraw(assets, ALICE, ALICE);
        assertGe(vault.previewMint(shares), assets);
    }

    function _tryDeposit(uint256 assets) private returns (uint256 shares) {
        vm.assume(vault.previewDeposit(assets) != 0);
        vm.prank(ALICE);
        return vault.deposit(assets, CAROL);
    }

    function _tryMint(uint256 shares) private returns (uint256 minted, uint256 assets) {
        minted = bound(shares, 1, vault.maxMint(CAROL));
        vm.assume(vault.previewMint(minted) <= loanToken.balanceOf(ALICE));
        vm.prank(ALICE);
        assets = vault.mint(minted, CAROL);
    }

    function _leaveRedeem(uint256 shares) private returns (uint256) {
        openWindow(CAROL, shares);
        return redeem(CAROL, shares);
    }

    /// @notice Deposits and redemptions do not lower the value of other accounts' shares by a unit.
    function testFuzz_A4_othersLoseNothing(uint256 seed, uint256 assets, uint256 shares) public inAnyState(seed) {
        uint256 before = worth(BOB);
        _tryDeposit(bound(assets, 1, MOST));
        assertGe(worth(BOB), before);
        redeem(ALICE, bound(shares, 0, vault.maxRedeem(ALICE)));
        assertGe(worth(BOB), before);
    }

    /* MAXIMA (L3) */

    function testFuzz_L3_maxDepositIsAccepted(uint256 seed) public inAnyState(seed) {
        uint256 most = vault.maxDeposit(CAROL);
        assertGt(most, type(uint128).max / 2);
        vm.prank(ALICE);
        vault.deposit(most, CAROL);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC4626.ERC4626ExceededMaxDeposit.selector, CAROL, type(uint128).max, vault.maxDeposit(CAROL)
            )
        );
        vm.prank(ALICE);
        vault.deposit(type(uint128).max, CAROL);
    }

    function testFuzz_L3_maxMintIsAccepted(uint256 seed) public inAnyState(seed) {
        uint256 most = vault.maxMint(CAROL);
        vm.prank(ALICE);
        vault.mint(most, CAROL);
        most = vault.maxMint(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC4626ExceededMaxMint.selector, CAROL, most + 1, most));
        vm.prank(ALICE);
        vault.mint(most + 1, CAROL);
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

    /// @notice For any address and any number, in any state, the empty vault and one after total losses included.
    function testFuzz_L3_noViewReverts(uint256 seed, address who, uint256 amount, bool empty) public {
        if (!empty) _makeState(seed);
        vault.totalAssets();
        vault.convertToShares(amount);
        vault.convertToAssets(amount);
        vault.previewDeposit(amount);
        vault.previewMint(amount);
        vault.previewWithdraw(amount);
        vault.previewRedeem(amount);
        vault.maxDeposit(who);
        vault.maxMint(who);
        vault.maxRedeem(who);
        vault.maxWithdraw(who);
        backstop.cooldown(who);
    }

    function test_L3_noViewRevertsAtTheExtremes() public {
        uint256[3] memory amounts = [0, type(uint128).max, type(uint256).max];
        for (uint256 i; i < amounts.length; ++i) {
            testFuzz_L3_noViewReverts(i, ALICE, amounts[i], true);
            testFuzz_L3_noViewReverts(15, ALICE, amounts[i], false);
        }
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
