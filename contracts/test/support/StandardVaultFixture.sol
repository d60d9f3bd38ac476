// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {CoreTest} from "./CoreTest.sol";

/// @notice Fixture of the tests of ERC-4626 vaults over the core: three holders and the standard's verbs.
abstract contract StandardVaultFixture is CoreTest {
    address internal immutable ALICE = makeAddr("alice");
    address internal immutable BOB = makeAddr("bob");
    address internal immutable CAROL = makeAddr("carol");

    /// @notice Returns the vault by the standard's interface.
    function standard() internal view virtual returns (IERC4626);

    /// @notice Mints tokens to an account, which approves the vault.
    function fund(address who, uint256 assets) internal {
        loanToken.mint(who, assets);
        vm.prank(who);
        loanToken.approve(address(standard()), type(uint256).max);
    }

    function deposit(address who, uint256 assets) internal returns (uint256) {
        fund(who, assets);
        vm.prank(who);
        return standard().deposit(assets, who);
    }

    function redeem(address who, uint256 amount) internal returns (uint256) {
        vm.prank(who);
        return standard().redeem(amount, who, who);
    }

    /// @notice Returns the assets of an account's shares.
    function worth(address who) internal view returns (uint256) {
        return standard().convertToAssets(standard().balanceOf(who));
    }
}
