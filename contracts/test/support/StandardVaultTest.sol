// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {StandardVaultFixture} from "./StandardVaultFixture.sol";

/// @title Tests that every ERC-4626 vault passes: previews are what happens, maxima are accepted, views do not revert,
/// round trips gain nothing.
/// @dev Each fuzzed test starts from a state that deposits, gains and losses made, so prices are far from the first.
abstract contract StandardVaultTest is StandardVaultFixture {
    /// @dev The most that a test deposits, unless maxima are its subject.
    uint256 internal constant MOST = 1e15;

    /// @dev ALICE may redeem all shares, as far as they are liquid, and has tokens to deposit; BOB stays.
    modifier inAnyState(uint256 seed) {
        makeState(seed);
        openExit(ALICE);
        _;
    }

    /* WHAT EACH VAULT DOES ITS OWN WAY */

    /// @notice Makes one of many states, with shares of ALICE and BOB and tokens of ALICE.
    function makeState(uint256 seed) internal virtual;

    /// @notice Waits until an account may redeem its shares.
    function openExit(address who) internal virtual;

    /// @notice Requires what holds after every verb.
    function requireSound() internal virtual;

    /// @notice Calls the views that the standard does not have.
    function callOtherViews(address who) internal view virtual;

    /// @notice Returns a number that is a function of the seed.
    function part(uint256 seed, uint256 what) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }

    /* THE VERBS DO WHAT THEIR PREVIEWS SAY */

    function testFuzz_depositMatchesItsPreview(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 1, MOST);
        uint256 preview = standard().previewDeposit(assets);
        vm.assume(preview != 0);
        uint256 before = loanToken.balanceOf(ALICE);
        vm.expectEmit(address(standard()));
        emit IERC4626.Deposit(ALICE, CAROL, assets, preview);
        assertEq(_depositForCarol(assets), preview);
        assertEq(standard().balanceOf(CAROL), preview);
        assertEq(before - loanToken.balanceOf(ALICE), assets);
        requireSound();
    }

    function testFuzz_mintMatchesItsPreview(uint256 seed, uint256 amount) public inAnyState(seed) {
        amount = bound(amount, 1, standard().maxMint(CAROL));
        uint256 preview = standard().previewMint(amount);
        uint256 before = loanToken.balanceOf(ALICE);
        vm.assume(preview <= before);
        assertEq(_mintForCarol(amount), preview);
        assertEq(standard().balanceOf(CAROL), amount);
        assertEq(before - loanToken.balanceOf(ALICE), preview);
        requireSound();
    }

    function testFuzz_withdrawMatchesItsPreview(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 0, standard().maxWithdraw(ALICE));
        uint256 preview = standard().previewWithdraw(assets);
        uint256 before = standard().balanceOf(ALICE);
        vm.expectEmit(address(standard()));
        emit IERC4626.Withdraw(ALICE, CAROL, ALICE, assets, preview);
        assertEq(_withdraw(assets, CAROL), preview);
        assertEq(before - standard().balanceOf(ALICE), preview);
        assertEq(loanToken.balanceOf(CAROL), assets);
        requireSound();
    }

    function testFuzz_redeemMatchesItsPreview(uint256 seed, uint256 amount) public inAnyState(seed) {
        amount = bound(amount, 0, standard().maxRedeem(ALICE));
        IERC4626 vault_ = standard();
        uint256 preview = vault_.previewRedeem(amount);
        uint256 before = vault_.balanceOf(ALICE);
        vm.prank(ALICE);
        assertEq(vault_.redeem(amount, CAROL, ALICE), preview);
        assertEq(before - vault_.balanceOf(ALICE), amount);
        assertEq(loanToken.balanceOf(CAROL), preview);
        requireSound();
    }

    /// @notice `convertTo*` are not better than what one gets, and at most a unit worse.
    function testFuzz_A7_V14_conversionsArePreviewsRoundedDown(uint256 seed, uint128 amount) public inAnyState(seed) {
        IERC4626 vault_ = standard();
        assertEq(vault_.convertToShares(amount), vault_.previewDeposit(amount));
        assertEq(vault_.convertToAssets(amount), vault_.previewRedeem(amount));
        uint256 sharesUp = vault_.previewWithdraw(amount);
        assertGe(sharesUp, vault_.convertToShares(amount));
        assertLe(sharesUp, vault_.convertToShares(amount) + 1);
        uint256 assetsUp = vault_.previewMint(amount);
        assertGe(assetsUp, vault_.convertToAssets(amount));
        assertLe(assetsUp, vault_.convertToAssets(amount) + 1);
    }

    /* THE EIGHT ROUND TRIPS: each way in and out again, by both measures, and each way out and in again */

    function testFuzz_A4_V14_redeemAfterDeposit(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 1, MOST);
        uint256 got = _tryDeposit(assets);
        assertLe(_leaveByRedeem(got), assets);
    }

    function testFuzz_A4_V14_withdrawAfterDeposit(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 1, MOST);
        uint256 got = _tryDeposit(assets);
        assertGe(standard().previewWithdraw(assets), got);
    }

    function testFuzz_A4_V14_redeemAfterMint(uint256 seed, uint256 amount) public inAnyState(seed) {
        (uint256 minted, uint256 paid) = _tryMint(amount);
        assertLe(_leaveByRedeem(minted), paid);
    }

    function testFuzz_A4_V14_withdrawAfterMint(uint256 seed, uint256 amount) public inAnyState(seed) {
        (uint256 minted, uint256 paid) = _tryMint(amount);
        assertGe(standard().previewWithdraw(paid), minted);
    }

    function testFuzz_A4_V14_depositAfterRedeem(uint256 seed, uint256 amount) public inAnyState(seed) {
        amount = bound(amount, 0, standard().maxRedeem(ALICE));
        uint256 assets = redeem(ALICE, amount);
        assertLe(standard().previewDeposit(assets), amount);
    }

    function testFuzz_A4_V14_mintAfterRedeem(uint256 seed, uint256 amount) public inAnyState(seed) {
        amount = bound(amount, 0, standard().maxRedeem(ALICE));
        uint256 assets = redeem(ALICE, amount);
        assertGe(standard().previewMint(amount), assets);
    }

    function testFuzz_A4_V14_depositAfterWithdraw(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 0, standard().maxWithdraw(ALICE));
        uint256 burned = _withdraw(assets, ALICE);
        assertLe(standard().previewDeposit(assets), burned);
    }

    function testFuzz_A4_V14_mintAfterWithdraw(uint256 seed, uint256 assets) public inAnyState(seed) {
        assets = bound(assets, 0, standard().maxWithdraw(ALICE));
        uint256 burned = _withdraw(assets, ALICE);
        assertGe(standard().previewMint(burned), assets);
    }

    function _tryDeposit(uint256 assets) internal returns (uint256) {
        vm.assume(standard().previewDeposit(assets) != 0);
        return _depositForCarol(assets);
    }

    function _tryMint(uint256 amount) private returns (uint256 minted, uint256 paid) {
        minted = bound(amount, 1, standard().maxMint(CAROL));
        vm.assume(standard().previewMint(minted) <= loanToken.balanceOf(ALICE));
        paid = _mintForCarol(minted);
    }

    /// @dev Redeems CAROL's shares, or as many as are liquid.
    function _leaveByRedeem(uint256 amount) internal returns (uint256) {
        openExit(CAROL);
        uint256 most = standard().maxRedeem(CAROL);
        return redeem(CAROL, amount < most ? amount : most);
    }

    function _depositForCarol(uint256 assets) private returns (uint256) {
        IERC4626 vault_ = standard();
        vm.prank(ALICE);
        return vault_.deposit(assets, CAROL);
    }

    function _mintForCarol(uint256 amount) private returns (uint256) {
        IERC4626 vault_ = standard();
        vm.prank(ALICE);
        return vault_.mint(amount, CAROL);
    }

    function _withdraw(uint256 assets, address receiver) private returns (uint256) {
        IERC4626 vault_ = standard();
        vm.prank(ALICE);
        return vault_.withdraw(assets, receiver, ALICE);
    }

    /* MAXIMA */

    function testFuzz_L3_V6_maxDepositIsAccepted(uint256 seed) public inAnyState(seed) {
        IERC4626 vault_ = standard();
        uint256 most = vault_.maxDeposit(CAROL);
        assertGt(most, type(uint128).max / 4);
        vm.startPrank(ALICE);
        vault_.deposit(most, CAROL);
        uint256 left = vault_.maxDeposit(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC4626ExceededMaxDeposit.selector, CAROL, left + 1, left));
        vault_.deposit(left + 1, CAROL);
        vm.stopPrank();
    }

    function testFuzz_L3_V6_maxMintIsAccepted(uint256 seed) public inAnyState(seed) {
        IERC4626 vault_ = standard();
        uint256 most = vault_.maxMint(CAROL);
        vm.startPrank(ALICE);
        vault_.mint(most, CAROL);
        most = vault_.maxMint(CAROL);
        vm.expectRevert(abi.encodeWithSelector(IERC4626.ERC4626ExceededMaxMint.selector, CAROL, most + 1, most));
        vault_.mint(most + 1, CAROL);
        vm.stopPrank();
    }

    /// @notice For any address and any number, in any state, the empty vault included.
    function testFuzz_L3_V6_noViewReverts(uint256 seed, address who, uint256 amount, bool empty) public {
        if (!empty) makeState(seed);
        IERC4626 vault_ = standard();
        vault_.totalAssets();
        vault_.convertToShares(amount);
        vault_.convertToAssets(amount);
        vault_.previewDeposit(amount);
        vault_.previewMint(amount);
        vault_.previewWithdraw(amount);
        vault_.previewRedeem(amount);
        vault_.maxDeposit(who);
        vault_.maxMint(who);
        vault_.maxRedeem(who);
        vault_.maxWithdraw(who);
        callOtherViews(who);
    }

    function test_L3_V6_noViewRevertsAtTheExtremes() public {
        uint256[3] memory amounts = [0, type(uint128).max, type(uint256).max];
        for (uint256 i; i < amounts.length; ++i) {
            testFuzz_L3_V6_noViewReverts(i, ALICE, amounts[i], true);
            testFuzz_L3_V6_noViewReverts(63, ALICE, amounts[i], false);
        }
    }
}
