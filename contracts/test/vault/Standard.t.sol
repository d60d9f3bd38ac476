// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title Tests of ERC-4626: previews are what happens, maxima are accepted, views do not revert, round trips gain
/// nothing.
/// @dev Each fuzzed test starts from a state that deposits, loans, time and losses made, so prices are far from the
/// first, and liquidity is short.
contract StandardTest is VaultFixture {
    uint256 private constant MOST = 1e15;

    modifier inAnyState(uint256 seed) {
        _makeState(seed);
        _;
    }

    function _makeState(uint256 seed) private {
        deposit(ALICE, bound(_part(seed, 1), 1e6, MOST));
        deposit(BOB, bound(_part(seed, 2), 1, MOST));
        supplyTo(0, 1_000e6);
        address borrower = takeLoan(0, bound(_part(seed, 3), MIN_DEBT, 1_000e6));
        if (seed & 1 == 1) skip(bound(_part(seed, 4), 1, 400 days));
        if (seed & 2 == 2) move(0, 1, bound(_part(seed, 5), 1, MOST));
        if (seed & 4 == 4) exhaust(0);
        if (seed & 8 == 8) skip(bound(_part(seed, 6), 1, 400 days));
        if (seed & 16 == 16) realiseLoss(0, borrower);
        if (seed & 32 == 32) deposit(ALICE, bound(_part(seed, 7), 1e6, MOST));
        fund(ALICE, type(uint128).max);
    }

    function _part(uint256 seed, uint256 what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }

    /* THE VERBS DO WHAT THEIR PREVIEWS SAY */

    function testFuzz_depositMatchesItsPreview(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 1, MOST);
        uint256 preview = shares.previewDeposit(assets);
        vm.assume(preview != 0);
        uint256 before = loanToken.balanceOf(ALICE);
        vm.expectEmit(address(vault));
        emit IERC4626.Deposit(ALICE, CAROL, assets, preview);
        vm.prank(ALICE);
        assertEq(shares.deposit(assets, CAROL), preview);
        assertEq(shares.balanceOf(CAROL), preview);
        assertEq(before - loanToken.balanceOf(ALICE), assets);
        assertBacked();
    }

    function testFuzz_mintMatchesItsPreview(uint256 seed, uint256 amount) public inAnyState(seed) {
        amount = bound(amount, 1, shares.previewDeposit(MOST));
        uint256 preview = shares.previewMint(amount);
        uint256 before = loanToken.balanceOf(ALICE);
        vm.assume(preview <= before);
        vm.prank(ALICE);
        assertEq(shares.mint(amount, CAROL), preview);
        assertEq(shares.balanceOf(CAROL), amount);
        assertEq(before - loanToken.balanceOf(ALICE), preview);
        assertBacked();
    }

    function testFuzz_withdrawMatchesItsPreview(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 0, shares.maxWithdraw(ALICE));
        uint256 preview = shares.previewWithdraw(assets);
        uint256 before = shares.balanceOf(ALICE);
        vm.expectEmit(address(vault));
        emit IERC4626.Withdraw(ALICE, CAROL, ALICE, assets, preview);
        vm.prank(ALICE);
        assertEq(shares.withdraw(assets, CAROL, ALICE), preview);
        assertEq(before - shares.balanceOf(ALICE), preview);
        assertEq(loanToken.balanceOf(CAROL), assets);
        assertBacked();
    }

    function testFuzz_redeemMatchesItsPreview(uint256 seed, uint256 amount) public inAnyState(seed) {
        amount = bound(amount, 0, shares.maxRedeem(ALICE));
        uint256 preview = shares.previewRedeem(amount);
        uint256 before = shares.balanceOf(ALICE);
        vm.prank(ALICE);
        assertEq(shares.redeem(amount, CAROL, ALICE), preview);
        assertEq(before - shares.balanceOf(ALICE), amount);
        assertEq(loanToken.balanceOf(CAROL), preview);
        assertBacked();
    }

    /// @notice `convertTo*` are not better than what one gets, and at most a unit worse.
    function testFuzz_V14_conversionsArePreviewsRoundedDown(uint256 seed, uint128 amount) public inAnyState(seed) {
        assertEq(shares.convertToShares(amount), shares.previewDeposit(amount));
        assertEq(shares.convertToAssets(amount), shares.previewRedeem(amount));
        uint256 sharesUp = shares.previewWithdraw(amount);
        assertGe(sharesUp, shares.convertToShares(amount));
        assertLe(sharesUp, shares.convertToShares(amount) + 1);
        uint256 assetsUp = shares.previewMint(amount);
        assertGe(assetsUp, shares.convertToAssets(amount));
        assertLe(assetsUp, shares.convertToAssets(amount) + 1);
    }

    /* THE EIGHT ROUND TRIPS (V14) */

    function testFuzz_V14_redeemAfterDeposit(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 1, MOST);
        uint256 got = _tryDeposit(assets);
        assertLe(shares.previewRedeem(got), assets);
    }

    function testFuzz_V14_withdrawAfterDeposit(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 1, MOST);
        uint256 got = _tryDeposit(assets);
        assertGe(shares.previewWithdraw(assets), got);
    }

    function testFuzz_V14_redeemAfterMint(uint256 seed, uint256 amount) public inAnyState(seed) {
        (uint256 minted, uint256 paid) = _tryMint(amount);
        assertLe(shares.previewRedeem(minted), paid);
    }

    function testFuzz_V14_withdrawAfterMint(uint256 seed, uint256 amount) public inAnyState(seed) {
        (uint256 minted, uint256 paid) = _tryMint(amount);
        assertGe(shares.previewWithdraw(paid), minted);
    }

    function testFuzz_V14_depositAfterRedeem(uint256 seed, uint256 amount) public inAnyState(seed) {
        amount = bound(amount, 0, shares.maxRedeem(ALICE));
        uint256 assets = redeem(ALICE, amount);
        assertLe(shares.previewDeposit(assets), amount);
    }

    function testFuzz_V14_mintAfterRedeem(uint256 seed, uint256 amount) public inAnyState(seed) {
        amount = bound(amount, 0, shares.maxRedeem(ALICE));
        uint256 assets = redeem(ALICE, amount);
        assertGe(shares.previewMint(amount), assets);
    }

    function testFuzz_V14_depositAfterWithdraw(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 0, shares.maxWithdraw(ALICE));
        vm.prank(ALICE);
        uint256 burned = shares.withdraw(assets, ALICE, ALICE);
        assertLe(shares.previewDeposit(assets), burned);
    }

    function testFuzz_V14_mintAfterWithdraw(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 0, shares.maxWithdraw(ALICE));
        vm.prank(ALICE);
        uint256 burned = shares.withdraw(assets, ALICE, ALICE);
        assertGe(shares.previewMint(burned), assets);
    }

    /// @notice A deposit and a redemption in one transaction never pay, and cost the others nothing but units.
    function testFuzz_V5_aRoundTripTakesNothingFromOthers(uint256 seed, uint256 assets) public inAnyState(seed) {
        uint256 before = worth(BOB);
        uint256 tokensBefore = loanToken.balanceOf(ALICE);
        uint256 got = _tryDeposit(bound(assets, 1, MOST));
        uint256 most = shares.maxRedeem(CAROL);
        vm.prank(CAROL);
        shares.redeem(got < most ? got : most, ALICE, CAROL);
        assertLe(loanToken.balanceOf(ALICE), tokensBefore);
        assertGe(worth(BOB) + 3, before, "V3: one unit for each market");
        assertBacked();
    }

    function _tryDeposit(uint256 assets) private returns (uint256) {
        vm.assume(shares.previewDeposit(assets) != 0);
        vm.prank(ALICE);
        return shares.deposit(assets, CAROL);
    }

    function _tryMint(uint256 amount) private returns (uint256 minted, uint256 paid) {
        minted = bound(amount, 1, shares.previewDeposit(MOST));
        vm.assume(shares.previewMint(minted) <= loanToken.balanceOf(ALICE));
        vm.prank(ALICE);
        paid = shares.mint(minted, CAROL);
    }

    /* MAXIMA */

    function testFuzz_V6_maxDepositIsAccepted(uint256 seed) public inAnyState(seed) {
        uint256 most = shares.maxDeposit(CAROL);
        assertGt(most, type(uint128).max / 4);
        vm.startPrank(ALICE);
        shares.deposit(most, CAROL);
        uint256 left = shares.maxDeposit(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC4626ExceededMaxDeposit.selector, CAROL, left + 1, left));
        shares.deposit(left + 1, CAROL);
        vm.stopPrank();
    }

    function testFuzz_V6_maxMintIsAccepted(uint256 seed) public inAnyState(seed) {
        uint256 most = shares.maxMint(CAROL);
        vm.startPrank(ALICE);
        shares.mint(most, CAROL);
        most = shares.maxMint(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC4626ExceededMaxMint.selector, CAROL, most + 1, most));
        shares.mint(most + 1, CAROL);
        vm.stopPrank();
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

    function testFuzz_V6_noViewReverts(uint256 seed, address who, uint256 amount, bool empty) public {
        if (!empty) _makeState(seed);
        shares.totalAssets();
        shares.convertToShares(amount);
        shares.convertToAssets(amount);
        shares.previewDeposit(amount);
        shares.previewMint(amount);
        shares.previewWithdraw(amount);
        shares.previewRedeem(amount);
        shares.maxDeposit(who);
        shares.maxMint(who);
        shares.maxRedeem(who);
        shares.maxWithdraw(who);
        vault.holdings();
        vault.state();
        vault.withdrawOrder();
    }

    function test_V6_noViewRevertsAtTheExtremes() public {
        uint256[3] memory amounts = [0, type(uint128).max, type(uint256).max];
        for (uint256 i; i < amounts.length; ++i) {
            testFuzz_V6_noViewReverts(i, ALICE, amounts[i], true);
            testFuzz_V6_noViewReverts(63, ALICE, amounts[i], false);
        }
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
