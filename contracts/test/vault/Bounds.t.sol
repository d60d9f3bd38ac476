// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
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

    /* ALL IN ONE CALL */

    /// @notice V8: what a call supplied to one market counts for the caps of the next.
    function test_V8_theFirstTargetCountsForTheCapsOfTheSecond() public {
        setDepositMarket(NO_MARKET);
        deposit(ALICE, 1_000e6);
        vm.prank(CURATOR);
        vault.setCap(collateralCapId(address(collateralToken)), 500e6, BPS);
        IVault.Target[] memory targets = new IVault.Target[](2);
        targets[0] = IVault.Target({id: ids[0], assets: 400e6, maxUtilisationBps: BPS, minRatePerSecond: 0});
        targets[1] = IVault.Target({id: ids[2], assets: 400e6, maxUtilisationBps: BPS, minRatePerSecond: 0});
        vm.prank(ALLOCATOR);
        vault.reallocate(new IVault.Source[](0), targets, 0, vm.getBlockTimestamp());
        assertEq(valueIn(0), 400e6);
        assertEq(valueIn(2), 100e6);
    }

    /// @notice V8: what a call withdrew makes room in the caps for what it supplies.
    function test_V8_aSourceMakesRoomForATarget() public {
        deposit(ALICE, 500e6);
        vm.prank(CURATOR);
        vault.setCap(collateralCapId(address(collateralToken)), 500e6, BPS);
        move(0, 2, 300e6);
        assertEq(valueIn(2), 300e6);
        assertEq(idle(), 0);
    }

    /// @notice A source that is named twice gives what it has once.
    function test_aSourceThatIsNamedTwiceGivesWhatItHas() public {
        deposit(ALICE, 500e6);
        IVault.Source[] memory sources = new IVault.Source[](2);
        (sources[0], sources[1]) = (IVault.Source(ids[0], 300e6), IVault.Source(ids[0], 300e6));
        vm.prank(ALLOCATOR);
        vault.reallocate(sources, new IVault.Target[](0), 0, vm.getBlockTimestamp());
        assertEq(idle(), 500e6);
        assertEq(counted(0), 0);
    }

    /* FEES AND LIMITS */

    /// @notice V11: the gain until now pays the fee that falls now.
    function test_V11_aFeeIsChargedBeforeItFalls() public {
        deposit(ALICE, 1_000_000e6);
        takeLoan(0, 900_000e6);
        skip(30 days);
        uint256 snapshot = vm.snapshotState();
        vault.accrue();
        uint256 due = shares.balanceOf(FEE_RECIPIENT);
        assertGt(due, 0);
        vm.revertToState(snapshot);
        vm.prank(OWNER);
        vault.setFee(0);
        assertEq(shares.balanceOf(FEE_RECIPIENT), due);
    }

    /// @notice V6: a balance whose worth, rounded down, is all that is liquid can be redeemed as a whole.
    function test_V6_aBalanceOfWhatIsLiquidIsRedeemedWholly() public {
        deposit(ALICE, 1_000e6);
        deposit(BOB, 5_000e6);
        takeLoan(0, 3_000e6);
        skip(12_345);
        vault.accrue();
        uint256 mine = worth(ALICE);
        uint256 held = shares.balanceOf(ALICE);
        assertLt(shares.convertToShares(mine), held, "worth a part of a unit more");
        takeLoan(0, vault.holdings()[0].withdrawable - mine);
        assertEq(vault.holdings()[0].withdrawable, mine);
        assertEq(shares.maxRedeem(ALICE), held);
        assertEq(redeem(ALICE, held), mine);
    }

    /// @notice V6: the limits of deposits for every total and supply that can be stored, against 512 bits.
    function testFuzz_V6_limitsOfDeposits(uint256 total, uint256 supply) public {
        total = bound(total >> (total % 128), 0, type(uint128).max);
        supply = bound(supply >> (supply % 192), 0, type(uint192).max);
        _requireLimits(total, supply);
        _requireLimits(total, type(uint192).max - supply % 1e9);
        _requireLimits((1 << 127) - total % 1e9, supply);
        _requireLimits((1 << 127) + total % 1e9, supply);
    }

    function test_V6_limitsOfDepositsAtTheLargestNumbers() public {
        _requireLimits(0, type(uint192).max);
        _requireLimits(type(uint128).max, type(uint192).max);
        _requireLimits(type(uint128).max, 0);
        _requireLimits(1 << 127, 1);
        _requireLimits((1 << 127) - 1, 1 << 147);
    }

    function _requireLimits(uint256 total, uint256 supply) private {
        _overwrite(total, supply);
        uint256 byTotal = total > 1 << 127 ? 0 : (1 << 127) - total;
        uint256 bySupply = type(uint192).max - supply;
        uint256 expected = _mulDivOrMax(bySupply, total + 1, supply + 1e6);
        assertEq(shares.maxDeposit(CAROL), byTotal < expected ? byTotal : expected, "maxDeposit");
        expected = _mulDivOrMax(byTotal, supply + 1e6, total + 1);
        assertEq(shares.maxMint(CAROL), bySupply < expected ? bySupply : expected, "maxMint");
    }

    function _mulDivOrMax(uint256 x, uint256 y, uint256 d) private pure returns (uint256) {
        (uint256 high,) = Math.mul512(x, y);
        return high >= d ? type(uint256).max : Math.mulDiv(x, y, d);
    }

    /// @dev Writes the vault's total, all of it idle, and its supply of shares.
    function _overwrite(uint256 total, uint256 supply) private {
        vm.record();
        shares.totalSupply();
        (bytes32[] memory slots,) = vm.accesses(address(vault));
        vm.store(address(vault), slots[slots.length - 1], bytes32(supply));
        vm.record();
        IVault.State memory s = vault.state();
        (slots,) = vm.accesses(address(vault));
        for (uint256 n; n < slots.length; ++n) {
            uint256 word = uint256(vm.load(address(vault), slots[n]));
            bool isTotals = word >> 128 == s.highWaterMark;
            bool isSettings = uint40(word >> 128) == s.lastUpdate;
            if (isTotals || isSettings) vm.store(address(vault), slots[n], bytes32((word >> 128 << 128) | total));
        }
        assertEq(shares.totalSupply(), supply);
        assertEq(shares.totalAssets(), total);
        assertEq(vault.state().idle, total);
    }

    /* THE ORDER OF WITHDRAWALS */

    /// @notice Every place of the order counts, of twelve markets, and removals keep it.
    function test_V7_everyPlaceOfTheOrderCounts() public {
        for (uint256 n; n < 9; ++n) {
            MarketParams memory other = params;
            other.collateralToken = address(new TestToken("NEW", 18));
            change(CURATOR, abi.encodeCall(IVault.enableMarket, (plimsoll.createMarket(other))));
        }
        setDepositMarket(NO_MARKET);
        MarketParams[] memory all = vault.markets();
        MarketId[] memory order = new MarketId[](12);
        // Every index once, far from its place.
        for (uint256 n; n < 12; ++n) {
            order[n] = MarketId.wrap(keccak256(abi.encode(all[(5 * n + 7) % 12])));
        }
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(order);
        assertEq(abi.encode(vault.withdrawOrder()), abi.encode(order));

        // One from the middle, the first, and the last, while the list's last market takes the place of each.
        uint256[3] memory removed = [uint256(6), 0, 9];
        for (uint256 k; k < 3; ++k) {
            vm.prank(CURATOR);
            vault.removeMarket(order[removed[k]]);
            order = _without(order, removed[k]);
            assertEq(abi.encode(vault.withdrawOrder()), abi.encode(order));
        }

        // The deposit market comes first, wherever it stands, and once.
        setDepositMarket(order[5]);
        MarketId[] memory got = vault.withdrawOrder();
        assertEq(MarketId.unwrap(got[0]), MarketId.unwrap(order[5]));
        order = _without(order, 5);
        for (uint256 n; n < order.length; ++n) {
            assertEq(MarketId.unwrap(got[n + 1]), MarketId.unwrap(order[n]));
        }

        // An order of a part is followed by the others in the order of the list.
        MarketId[] memory part = new MarketId[](2);
        (part[0], part[1]) = (order[7], order[3]);
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(part);
        got = vault.withdrawOrder();
        assertEq(MarketId.unwrap(got[1]), MarketId.unwrap(part[0]));
        assertEq(MarketId.unwrap(got[2]), MarketId.unwrap(part[1]));
        all = vault.markets();
        uint256 at = 3;
        for (uint256 i; i < all.length; ++i) {
            bytes32 each = keccak256(abi.encode(all[i]));
            bool named = each == MarketId.unwrap(part[0]) || each == MarketId.unwrap(part[1]);
            if (named || each == MarketId.unwrap(got[0])) continue;
            assertEq(MarketId.unwrap(got[at++]), each);
        }
        assertEq(at, got.length);
    }

    function _without(MarketId[] memory order, uint256 place) private pure returns (MarketId[] memory rest) {
        rest = new MarketId[](order.length - 1);
        for (uint256 n; n < rest.length; ++n) {
            rest[n] = order[n < place ? n : n + 1];
        }
    }

    /// @notice A market that is named twice in an order is used once.
    function test_V7_aMarketThatIsNamedTwiceIsUsedOnce() public {
        MarketId[] memory order = new MarketId[](3);
        (order[0], order[1], order[2]) = (ids[2], ids[2], ids[1]);
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(order);
        MarketId[] memory got = vault.withdrawOrder();
        assertEq(got.length, 3);
        assertEq(MarketId.unwrap(got[0]), MarketId.unwrap(ids[0]));
        assertEq(MarketId.unwrap(got[1]), MarketId.unwrap(ids[2]));
        assertEq(MarketId.unwrap(got[2]), MarketId.unwrap(ids[1]));
    }
}
