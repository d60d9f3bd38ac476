// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {CoreTest} from "../support/CoreTest.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice Attack 1: the first supplier raises the share price until the next supplier's deposit rounds to 0 shares.
contract FirstDepositorAttackTest is CoreTest {
    uint256 private constant EVERY_DECIMALS = 3;

    function test_attack01_firstDepositorCannotInflateSharesByDonation() public {
        for (uint256 i; i < EVERY_DECIMALS; ++i) {
            uint256 whole = _useDecimals(i);
            supply(STRANGER, 1);
            loanToken.mint(STRANGER, 1_000_000 * whole);
            vm.prank(STRANGER);
            loanToken.transfer(address(plimsoll), 1_000_000 * whole);

            supply(LENDER, 1_000 * whole);

            assertEq(suppliedBy(LENDER), 1_000 * whole, "the deposit is worth what was paid for it");
            assertEq(_withdrawAll(STRANGER), 1, "the attacker gets back his unit");
            assertEq(_withdrawAll(LENDER), 1_000 * whole, "and the supplier everything");
        }
    }

    /// @dev Rounding could raise the price where a donation cannot: by withdrawals of shares that each leave a unit.
    /// The attacker makes many of them; the virtual shares receive most of the units left.
    function testFuzz_attack01_roundingInflatesSharesAtTheAttackersCostOnly(uint256[40] memory steps, uint256 decimals)
        public
    {
        uint256 whole = _useDecimals(decimals % EVERY_DECIMALS);
        give(loanToken, STRANGER, 1_000 * whole);
        uint256 had = loanToken.balanceOf(STRANGER);
        for (uint256 i; i < steps.length; ++i) {
            _supplyOrWithdrawDust(steps[i]);
        }
        uint256 left = had - loanToken.balanceOf(STRANGER);

        supply(LENDER, 1_000 * whole);

        // The share price is the remaining assets divided by a million virtual shares and the attacker's own.
        assertGe(suppliedBy(LENDER) + 1 + left / 1e6, 1_000 * whole, "the supplier lost more than a share's worth");
        _withdrawAll(STRANGER);
        assertLe(loanToken.balanceOf(STRANGER), had, "the attacker gained");
    }

    /// @dev Others burned no shares for a small withdrawal, or gave shares away for nothing, once a share was dear.
    function test_attack01_noShareIsFreeAndNoUnitEither() public {
        for (uint256 i; i < EVERY_DECIMALS; ++i) {
            uint256 whole = _useDecimals(i);
            oracle.set(PRICE * 1e30);
            supply(LENDER, whole * 1_000);
            openLoan(BORROWER, 1e24, whole * 1_000);
            // Until a share is worth far more than a unit.
            skip(60 * 365 days);
            supply(STRANGER, whole * 1e12);
            assertGt(accrued().supplyAssets, accrued().supplyShares, "shares must be dear");

            give(loanToken, STRANGER, whole);
            vm.startPrank(STRANGER);
            (uint256 assets, uint256 shares) = plimsoll.withdraw(params, 1, 0, STRANGER, STRANGER);
            assertGe(shares, assets, "a unit without a share");
            uint256 price = plimsoll.market(id).supplyAssets / plimsoll.market(id).supplyShares;
            (assets,) = plimsoll.supply(params, 0, 1, STRANGER, "");
            assertGe(assets, price, "a share below its price");
            vm.stopPrank();
        }
    }

    function _supplyOrWithdrawDust(uint256 seed) private {
        uint256 held = plimsoll.position(id, STRANGER).supplyShares;
        uint256 amount = 1 + (seed >> 8) % 1_000;
        vm.prank(STRANGER);
        if (seed % 2 == 0) {
            try plimsoll.supply(params, amount, 0, STRANGER, "") {} catch {}
        } else if (held > amount) {
            plimsoll.withdraw(params, 0, held - amount % held, STRANGER, STRANGER);
        }
    }

    function _withdrawAll(address who) private returns (uint256 assets) {
        uint256 held = plimsoll.position(id, who).supplyShares;
        if (held == 0) return 0;
        vm.prank(who);
        (assets,) = plimsoll.withdraw(params, 0, held, who, who);
    }

    function _useDecimals(uint256 i) private returns (uint256 whole) {
        uint8 decimals = [6, 8, 18][i];
        loanToken = new TestToken("first", decimals);
        params.loanToken = address(loanToken);
        id = plimsoll.createMarket(params);
        return 10 ** decimals;
    }
}
