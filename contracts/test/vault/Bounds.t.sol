// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IVault} from "plimsoll/interfaces/IVault.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestToken} from "../support/TestToken.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title Amounts, roles and numbers of markets exactly at their bounds.
contract VaultBoundsTest is VaultFixture {
    MarketId private constant NO_MARKET = MarketId.wrap(0);

    function test_aVaultCountsTimeFromItsCreation() public view {
        assertEq(vault.state().lastUpdate, vm.getBlockTimestamp());
    }

    function test_aSingleUnitBeyondWhatIsIdleIsTakenFromAMarket() public {
        deposit(ALICE, 1_000e6);
        move(0, NONE, 400e6);
        vm.prank(ALICE);
        shares.withdraw(400e6 + 1, ALICE, ALICE);
        assertEq(loanToken.balanceOf(ALICE), 400e6 + 1);
        assertEq(valueIn(0), 600e6 - 1);
    }

    function test_V9_aTotalOfOneUnitLeavesInKind() public {
        setDepositMarket(NO_MARKET);
        deposit(ALICE, 1);
        redeemInKind(ALICE, shares.balanceOf(ALICE));
        assertEq(loanToken.balanceOf(ALICE), 1);
    }

    /// @notice V9: of a position whose part is no whole share the leaver gets the share less.
    function test_V9_sharesOfAMarketAreRoundedDown() public {
        deposit(ALICE, 1_000e6 + 1);
        deposit(BOB, 2_000e6);
        takeLoan(0, 1_500e6);
        skip(12_345);
        vault.accrue();
        uint256 total = shares.totalAssets();
        uint256 all = counted(0);
        assertEq(total, valueIn(0), "all of the gain is recognised");
        uint256 assets = redeemInKind(ALICE, shares.balanceOf(ALICE) / 3);
        assertGt(mulmod(all, assets, total), 0);
        assertEq(all - counted(0), all * assets / total);
    }

    /// @notice The penalty of who left all but a share makes the shares that are left dear.
    function test_aDepositOfLessThanAShareIsRefused() public {
        deposit(ALICE, 10_000_000e6);
        redeemInKind(ALICE, shares.balanceOf(ALICE) - 1);
        assertGt(shares.convertToAssets(1), 1);
        fund(BOB, 1);
        vm.startPrank(BOB);
        loanToken.approve(address(vault), 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.AmountTooSmall.selector, 1));
        shares.deposit(1, BOB);
        vm.stopPrank();
    }

    function test_belowTheIdleFloorNothingIsAllocated() public {
        deposit(ALICE, 1_000e6);
        move(0, NONE, 100e6);
        IVault.Target[] memory targets = new IVault.Target[](1);
        targets[0] = IVault.Target({id: ids[1], assets: 50e6, maxUtilisationBps: BPS, minRatePerSecond: 0});
        vm.prank(ALLOCATOR);
        vault.reallocate(new IVault.Source[](0), targets, 100e6 + 1, vm.getBlockTimestamp());
        assertEq(valueIn(1), 0);
        assertEq(idle(), 100e6);
    }

    /// @notice A market that nobody lends to has no rate, and can be a target.
    function test_anEmptyMarketCanBeATargetOfNothing() public {
        deposit(ALICE, 1_000e6);
        move(NONE, 1, 1_000e6);
        assertEq(valueIn(1), 0);
    }

    function test_onlyCuratorAndGuardianUnsetTheDepositMarket() public {
        address[2] memory others = [OWNER, STRANGER];
        for (uint256 n; n < 2; ++n) {
            vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, others[n]));
            vm.prank(others[n]);
            vault.setDepositMarket(NO_MARKET);
        }
        address[2] memory may = [CURATOR, GUARDIAN];
        for (uint256 n; n < 2; ++n) {
            setDepositMarket(ids[0]);
            vm.prank(may[n]);
            vault.setDepositMarket(NO_MARKET);
            assertEq(MarketId.unwrap(vault.state().depositMarket), 0);
            vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, may[n]));
            vm.prank(may[n]);
            vault.setDepositMarket(ids[0]);
        }
    }

    function test_aCapIsNudgedToTheLargestNumberAndNotBeyond() public {
        bytes32 capId = MarketId.unwrap(ids[1]);
        uint256 largest = type(uint128).max;
        vm.startPrank(CURATOR);
        vault.setCap(capId, largest - 1, BPS);
        uint256 most = (largest - 1) + (largest - 1) / 10;
        vm.expectRevert(abi.encodeWithSelector(IVault.NudgeTooLarge.selector, largest + 1, most));
        vault.nudgeCap(capId, largest + 1);
        vault.nudgeCap(capId, largest);
        vm.stopPrank();
        assertEq(vault.cap(capId).absolute, largest);
    }

    /// @notice V10: by half within a delay is allowed, and no more.
    function test_V10_aStepOfAHalfIsAllowed() public {
        IVault.Setup memory setup = defaultSetup();
        (setup.nudgeBps, setup.nudgeSecs) = (5_000, RAISE_DELAY + 1);
        newVault(setup);
        setup.nudgeBps = 5_001;
        vm.expectRevert(abi.encodeWithSelector(IVault.NudgesTooLarge.selector, 5_001, RAISE_DELAY + 1));
        this.construct(setup);
    }

    function test_aVaultOfTwelveMarketsWorks() public {
        for (uint256 n; n < 9; ++n) {
            MarketParams memory other = params;
            other.collateralToken = address(new TestToken("NEW", 18));
            change(CURATOR, abi.encodeCall(IVault.enableMarket, (plimsoll.createMarket(other))));
        }
        deposit(ALICE, 1_000e6);
        vm.prank(ALICE);
        shares.withdraw(400e6, ALICE, ALICE);
        assertEq(shares.totalAssets(), 600e6);
    }
}
