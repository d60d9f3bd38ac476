// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IVault} from "plimsoll/interfaces/IVault.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title Gains: how fast they are recognised, and what fee they pay.
contract VaultFeesTest is VaultFixture {
    /// @notice V11: the fee is the part of the gain, to a unit, and of nothing else.
    function testFuzz_V11_theFeeIsThePartOfTheGain(uint256 deposited, uint256 time) public {
        deposited = bound(deposited, 1_000e6, 1e15);
        deposit(ALICE, deposited);
        takeLoan(0, deposited * 7 / 10);
        skip(bound(time, 1 hours, 400 days));
        vault.accrue();
        uint256 gain = shares.totalAssets() - deposited;
        assertApproxEqAbs(worth(FEE_RECIPIENT), gain * FEE_BPS / BPS, 2);
        assertLe(worth(FEE_RECIPIENT), gain * FEE_BPS / BPS, "V11");
        assertApproxEqAbs(worth(ALICE) + worth(FEE_RECIPIENT), shares.totalAssets(), 2);
    }

    function test_V11_aFeeOfOneBasisPointIsPaid() public {
        vm.prank(OWNER);
        vault.setFee(1);
        deposit(ALICE, 1_000_000e6);
        takeLoan(0, 800_000e6);
        skip(100 days);
        vault.accrue();
        assertApproxEqAbs(worth(FEE_RECIPIENT), (shares.totalAssets() - 1_000_000e6) / BPS, 2);
        assertGt(worth(FEE_RECIPIENT), 0);
    }

    /// @notice V11: updated a thousand times or once, the fee is the same part, since the mark is the price after it.
    function test_V11_theFeeDoesNotDependOnHowOftenItIsCharged() public {
        deposit(ALICE, 1_000_000e6);
        takeLoan(0, 800_000e6);
        for (uint256 n; n < 100; ++n) {
            skip(1 days);
            vault.accrue();
        }
        uint256 gain = shares.totalAssets() - 1_000_000e6;
        // What the recipient's shares earn meanwhile is theirs.
        assertApproxEqRel(worth(FEE_RECIPIENT), gain * FEE_BPS / BPS, 0.01e18);
    }

    /// @notice V11: a recovery from a loss pays no fee until the price is above the mark again.
    function test_V11_aRecoveryPaysNoFee() public {
        deposit(ALICE, 1_000_000e6);
        address borrower = takeLoan(0, 5_000e6);
        takeLoan(0, 800_000e6);
        skip(10 days);
        vault.accrue();
        uint256 feeShares = shares.balanceOf(FEE_RECIPIENT);
        uint256 mark = vault.state().highWaterMark;
        realiseLoss(0, borrower);
        vault.accrue();
        uint256 low = shares.totalAssets();
        skip(10 days);
        vault.accrue();
        assertGt(shares.totalAssets(), low, "it recovers");
        assertLt((shares.totalAssets() + 1) * 1e27 / (shares.totalSupply() + 1e6), mark, "and is below the mark");
        assertEq(shares.balanceOf(FEE_RECIPIENT), feeShares);
        assertEq(vault.state().highWaterMark, mark);
        skip(300 days);
        vault.accrue();
        assertGt(shares.balanceOf(FEE_RECIPIENT), feeShares);
        assertGt(vault.state().highWaterMark, mark);
    }

    function test_V11_withoutARecipientThereIsNoFeeAndTheMarkMovesOn() public {
        change(OWNER, abi.encodeCall(IVault.setFeeRecipient, (address(0))));
        deposit(ALICE, 1_000_000e6);
        takeLoan(0, 800_000e6);
        skip(100 days);
        vault.accrue();
        assertEq(shares.totalSupply(), shares.balanceOf(ALICE));
        change(OWNER, abi.encodeCall(IVault.setFeeRecipient, (BOB)));
        assertEq(shares.balanceOf(BOB), 0, "nothing for what was gained before");
        skip(1 days);
        vault.accrue();
        assertGt(shares.balanceOf(BOB), 0);
    }

    /// @notice V4: the price rises by the maximum rate, and what exceeds it is recognised later.
    function testFuzz_V4_gainsAreRecognisedByTheMaximumRate(uint256 time, uint256 pause) public {
        vm.prank(CURATOR);
        vault.setMaxRate(0.02e18 / uint256(365 days));
        deposit(ALICE, 1_000_000e6);
        exhaust(0);
        uint256 maxRate = vault.state().maxRatePerSecond;
        time = bound(time, 1 days, 300 days);
        skip(time);
        vault.accrue();
        assertEq(shares.totalAssets(), 1_000_000e6 + uint256(1_000_000e6) * maxRate * time / WAD, "V4");
        uint256 last = shares.totalAssets();
        pause = bound(pause, 1, 300 days);
        skip(pause);
        assertEq(shares.totalAssets(), last + last * maxRate * pause / WAD, "V4: a view says what accrual does");
        vault.accrue();
        assertEq(shares.totalAssets(), last + last * maxRate * pause / WAD);
        assertBacked();
    }

    /// @notice What the price of each share is made of can be told from the event.
    function test_accrualSaysWhatItRecognised() public {
        deposit(ALICE, 1_000_000e6);
        takeLoan(0, 800_000e6);
        skip(10 days);
        uint256 total = shares.totalAssets();
        uint256 real = idle() + valueIn(0);
        vm.expectEmit(false, false, false, false, address(vault));
        emit IVault.AccrueVault(total, real, 0, 0);
        vault.accrue();
        assertEq(vault.state().lastTotal, total);
        assertEq(vault.state().lastUpdate, vm.getBlockTimestamp());
    }
}
