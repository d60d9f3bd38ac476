// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Vm} from "forge-std/Test.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {InterestMath} from "plimsoll/libraries/InterestMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title What an allocation or an exit moves, to the unit.
contract VaultAllocationTest is VaultFixture {
    function test_theVaultSaysWhatItWasMadeWith() public view {
        assertEq(vault.plimsoll(), address(plimsoll));
        assertEq(vault.penaltyBps(), PENALTY_BPS);
        assertEq(vault.nudgeBps(), 1_000);
        assertEq(vault.nudgeSecs(), 1 days);
        assertEq(vault.raiseDelaySecs(), RAISE_DELAY);
        assertEq(vault.owner(), OWNER);
        assertEq(vault.curator(), CURATOR);
        assertEq(vault.guardian(), GUARDIAN);
        assertEq(vault.feeRecipient(), FEE_RECIPIENT);
        assertTrue(vault.isAllocator(ALLOCATOR));
        assertEq(vault.collateralCapId(address(collateralToken)), collateralCapId(address(collateralToken)));
        assertEq(vault.oracleCapId(address(oracle)), oracleCapId(address(oracle)));
        assertEq(shares.name(), "Plimsoll Vault USD");
        assertEq(shares.symbol(), "pvUSD");
    }

    function test_aSingleUnitCanBeWithdrawn() public {
        deposit(ALICE, 1_000e6);
        move(0, 1, 1);
        assertEq(valueIn(1), 1);
        assertEq(vault.holdings()[1].withdrawable, 1);
        move(1, NONE, 1);
        assertEq(counted(1), 0);
    }

    /// @notice V8: markets of one collateral share a cap, and other markets have no part in it.
    function test_V8_marketsOfOneCollateralShareACap() public {
        deposit(ALICE, 1_000e6);
        move(0, NONE, 1_000e6);
        vm.prank(GUARDIAN);
        vault.setCap(collateralCapId(address(collateralToken)), 300e6, BPS);
        move(NONE, 1, 500e6);
        move(NONE, 0, 100e6);
        assertEq(vault.holdings()[2].room, 200e6);
        move(NONE, 2, 1_000e6);
        assertEq(valueIn(2), 200e6);
        assertEq(vault.holdings()[0].room, 0);
    }

    /// @notice A target's lowest rate is that of the lenders after the supply that the caps allow, less the market's fee.
    function test_aTargetsRateIsTheLendersAfterTheSupply() public {
        deposit(ALICE, 1_000_000e6);
        move(0, NONE, 1_000_000e6);
        vm.startPrank(OWNER);
        plimsoll.setFee(markets[1], 2_000);
        vm.stopPrank();
        supplyTo(1, 100_000e6);
        takeLoan(1, 90_000e6);
        vm.prank(GUARDIAN);
        vault.setCap(MarketId.unwrap(ids[1]), 10_000e6, BPS);

        Market memory m = accrued();
        uint256 supplied = m.supplyAssets + 10_000e6;
        int256 distance = InterestMath.distanceFromTarget(supplied, m.borrowAssets, params.curve.targetBps());
        uint256 rate = InterestMath.borrowRate(m.rateAtTarget, distance, params.curve.steepness());
        rate = rate * m.borrowAssets / supplied * (BPS - 2_000) / BPS;
        assertGt(rate, 0);
        _supplyAtLeastAt(rate + 1);
        assertEq(valueIn(1), 0);
        _supplyAtLeastAt(rate);
        assertEq(valueIn(1), 10_000e6);
    }

    /// @dev Moves a million units from idle to market 1, as far as its caps allow.
    function _supplyAtLeastAt(uint256 rate) private {
        IVault.Target[] memory targets = new IVault.Target[](1);
        targets[0] = IVault.Target({id: ids[1], assets: 1_000_000e6, maxUtilisationBps: BPS, minRatePerSecond: rate});
        vm.prank(ALLOCATOR);
        vault.reallocate(new IVault.Source[](0), targets, 0, vm.getBlockTimestamp());
    }

    function test_aMarketWithoutLiquidityIsNotWithdrawnFrom() public {
        deposit(ALICE, 1_000e6);
        move(0, 1, 400e6);
        exhaust(0);
        vm.recordLogs();
        vm.prank(ALICE);
        shares.withdraw(100e6, ALICE, ALICE);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 withdrawals;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IVault.Deallocate.selector) continue;
            assertEq(logs[i].topics[1], MarketId.unwrap(ids[1]));
            ++withdrawals;
        }
        assertEq(withdrawals, 1);
    }

    /// @notice V9: what leaves in kind is rounded down, idle tokens too.
    function test_V9_inKindIsRoundedDown() public {
        deposit(ALICE, 1_000e6);
        deposit(BOB, 2_000e6);
        move(0, NONE, 1_000_000_001);
        uint256 countedBefore = counted(0);
        uint256 assets = redeemInKind(ALICE, shares.balanceOf(ALICE));
        assertEq(assets, 999e6);
        assertGt(1_000_000_001 * assets % 3_000e6, 0);
        assertEq(loanToken.balanceOf(ALICE), 1_000_000_001 * assets / 3_000e6);
        assertEq(countedBefore - counted(0), countedBefore * assets / 3_000e6);
    }

    /// @notice V11: what a leaver in kind left is no gain, and a loss that is smaller pays no fee on it.
    function test_V11_aLossBelowAPenaltyPaysNoFee() public {
        deposit(ALICE, 600_000e6);
        deposit(BOB, 400_000e6);
        address borrower = takeLoan(0, MIN_DEBT);
        redeemInKind(ALICE, shares.balanceOf(ALICE));
        skip(1);
        uint256 last = shares.totalAssets();
        realiseLoss(0, borrower);
        vault.accrue();
        assertLt(shares.totalAssets(), last);
        assertGt((shares.totalAssets() + 1) * 1e27 / (shares.totalSupply() + 1e6), vault.state().highWaterMark);
        assertEq(shares.balanceOf(FEE_RECIPIENT), 0);
    }

    /// @notice V14: conversions are exact to the unit also where the product exceeds a word, and end at the largest number.
    function test_V14_conversionsOfHugeAmountsAreExact() public {
        deposit(ALICE, 1_000_000e6 + 7);
        takeLoan(0, 900_000e6);
        skip(100 days);
        vault.accrue();
        uint256 y = shares.totalSupply() + 1e6;
        uint256 d = shares.totalAssets() + 1;
        uint256 x = type(uint256).max / 1e9 + 12_345;
        assertEq(shares.convertToShares(x), Math.mulDiv(x, y, d));
        assertEq(shares.convertToAssets(x), Math.mulDiv(x, d, y));
        assertEq(shares.previewMint(x), Math.mulDiv(x, d, y, Math.Rounding.Ceil));
        assertEq(shares.previewWithdraw(x), Math.mulDiv(x, y, d, Math.Rounding.Ceil));
        uint256 last = Math.mulDiv(type(uint256).max, d, y);
        assertEq(shares.convertToShares(last), Math.mulDiv(last, y, d));
        assertEq(shares.convertToShares(last + 1), type(uint256).max);
    }
}
