// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestToken} from "../support/TestToken.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title Who may do what, and when: raising risk waits, lowering it does not.
contract VaultRolesTest is VaultFixture {
    bytes32 internal capId;

    function setUp() public override {
        super.setUp();
        capId = MarketId.unwrap(ids[1]);
    }

    /* DELAYS */

    function test_V10_aChangeWaitsForTheDelayAndLapsesAWeekLater() public {
        bytes memory call = abi.encodeCall(IVault.setFee, (2_000));
        uint256 opensAt = vm.getBlockTimestamp() + RAISE_DELAY;
        vm.prank(OWNER);
        bytes32 hash = vault.submit(call);
        assertEq(hash, keccak256(call));
        assertEq(vault.executableAt(hash), opensAt);

        vm.expectRevert(abi.encodeWithSelector(IVault.AlreadySubmitted.selector, hash, opensAt));
        vm.prank(OWNER);
        vault.submit(call);

        bytes memory early = abi.encodeWithSelector(IVault.NotExecutable.selector, opensAt, opensAt + 7 days);
        vm.warp(opensAt - 1);
        vm.expectRevert(early);
        vault.execute(call);
        vm.warp(opensAt + 7 days + 1);
        vm.expectRevert(early);
        vault.execute(call);

        // It lapsed, so it is submitted again, and waits again.
        vm.prank(OWNER);
        vault.submit(call);
        vm.expectRevert();
        vault.execute(call);
        skip(RAISE_DELAY);
        vm.prank(STRANGER);
        vault.execute(call);
        assertEq(vault.state().feeBps, 2_000);
        vm.expectRevert(abi.encodeWithSelector(IVault.NotSubmitted.selector, hash));
        vault.execute(call);
    }

    /// @notice No role, and no stranger, raises anything at once.
    function test_V10_nobodyRaisesRiskAtOnce() public {
        bytes[9] memory calls = [
            abi.encodeCall(IVault.enableMarket, (ids[0])),
            abi.encodeCall(IVault.setCap, (bytes32(uint256(1)), 1, 1)),
            abi.encodeCall(IVault.setFee, (FEE_BPS + 1)),
            abi.encodeCall(IVault.setMaxRate, (MAX_RATE + 1)),
            abi.encodeCall(IVault.setFeeRecipient, (ALICE)),
            abi.encodeCall(IVault.setCurator, (ALICE)),
            abi.encodeCall(IVault.setGuardian, (ALICE)),
            abi.encodeCall(IVault.setAllocator, (ALICE, true)),
            abi.encodeCall(IVault.abdicate, (IVault.setFee.selector))
        ];
        address[5] memory callers = [OWNER, CURATOR, GUARDIAN, ALLOCATOR, STRANGER];
        for (uint256 i; i < calls.length; ++i) {
            for (uint256 n; n < callers.length; ++n) {
                vm.prank(callers[n]);
                (bool done, bytes memory reason) = address(vault).call(calls[i]);
                assertFalse(done);
                assertEq(reason, abi.encodeWithSelector(IVault.Unauthorized.selector, callers[n]));
            }
        }
    }

    function test_V10_eachRoleSubmitsItsOwnChanges() public {
        bytes memory owners = abi.encodeCall(IVault.setFee, (0));
        bytes memory curators = abi.encodeCall(IVault.setMaxRate, (0));
        address[3] memory others = [GUARDIAN, ALLOCATOR, STRANGER];
        for (uint256 n; n < others.length; ++n) {
            vm.startPrank(others[n]);
            vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, others[n]));
            vault.submit(owners);
            vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, others[n]));
            vault.submit(curators);
            vm.stopPrank();
        }
        vm.prank(CURATOR);
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, CURATOR));
        vault.submit(owners);
        vm.prank(CURATOR);
        vault.submit(curators);
    }

    /// @notice A verb of a depositor, executed by the vault for itself, could deposit the vault's own tokens.
    function test_V10_onlyChangesCanBeSubmitted() public {
        bytes[7] memory calls = [
            abi.encodeCall(IERC4626.deposit, (1, OWNER)),
            abi.encodeCall(IERC4626.withdraw, (1, OWNER, ALICE)),
            abi.encodeCall(IERC4626.transfer, (OWNER, 1)),
            abi.encodeCall(IERC4626.approve, (OWNER, 1)),
            abi.encodeCall(IVault.nudgeCap, (capId, 1)),
            abi.encodeCall(IVault.transferOwnership, (OWNER)),
            abi.encodeCall(IVault.execute, (""))
        ];
        vm.startPrank(OWNER);
        for (uint256 i; i < calls.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IVault.NotSubmittable.selector, bytes4(calls[i])));
            vault.submit(calls[i]);
        }
        vm.stopPrank();
    }

    function test_V10_whatIsAbdicatedStaysAbdicated() public {
        bytes4 selector = IVault.enableMarket.selector;
        MarketParams memory other = params;
        other.collateralToken = address(new TestToken("NEW", 18));
        MarketId added = plimsoll.createMarket(other);
        bytes memory call = abi.encodeCall(IVault.enableMarket, (added));
        vm.prank(CURATOR);
        vault.submit(call);
        change(OWNER, abi.encodeCall(IVault.abdicate, (selector)));
        assertTrue(vault.abdicated(selector));
        vm.expectRevert(abi.encodeWithSelector(IVault.Abdicated.selector, selector));
        vault.execute(call);
        vm.expectRevert(abi.encodeWithSelector(IVault.Abdicated.selector, selector));
        vm.prank(CURATOR);
        vault.submit(call);
    }

    function test_curatorAndGuardianRevoke() public {
        bytes memory call = abi.encodeCall(IVault.setCap, (capId, 1, 1));
        bytes32 hash = keccak256(call);
        address[2] memory may = [CURATOR, GUARDIAN];
        for (uint256 n; n < 2; ++n) {
            vm.prank(CURATOR);
            vault.submit(call);
            vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, OWNER));
            vm.prank(OWNER);
            vault.revoke(hash);
            vm.prank(may[n]);
            vault.revoke(hash);
            assertEq(vault.executableAt(hash), 0);
            vm.expectRevert(abi.encodeWithSelector(IVault.NotSubmitted.selector, hash));
            vm.prank(may[n]);
            vault.revoke(hash);
        }
        skip(RAISE_DELAY);
        vm.expectRevert(abi.encodeWithSelector(IVault.NotSubmitted.selector, hash));
        vault.execute(call);
    }

    /* LOWERING */

    function test_loweringIsInstant() public {
        vm.startPrank(GUARDIAN);
        vault.setCap(capId, 5e6, 9_000);
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, GUARDIAN));
        vault.setCap(capId, 5e6, 9_001);
        vault.setCap(capId, 0, 0);
        vault.setAllocator(ALLOCATOR, false);
        vault.setDepositMarket(MarketId.wrap(0));
        vm.stopPrank();
        assertFalse(vault.isAllocator(ALLOCATOR));
        assertEq(MarketId.unwrap(vault.state().depositMarket), 0);
        vm.prank(OWNER);
        vault.setFee(1);
        vm.prank(CURATOR);
        vault.setMaxRate(1);
        assertEq(vault.state().feeBps, 1);
        assertEq(vault.state().maxRatePerSecond, 1);
    }

    function test_theGuardianLeavesAMarket() public {
        deposit(ALICE, 1_000e6);
        takeLoan(0, 300e6);
        vm.prank(GUARDIAN);
        vault.deallocate(ids[0]);
        assertEq(idle(), 700e6);
        assertEq(vault.holdings()[0].withdrawable, 0);
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, STRANGER));
        vm.prank(STRANGER);
        vault.deallocate(ids[0]);
        assertBacked();
    }

    function test_onlyAllocatorsAllocate() public {
        bytes memory refused = abi.encodeWithSelector(IVault.Unauthorized.selector, OWNER);
        vm.startPrank(OWNER);
        vm.expectRevert(refused);
        vault.reallocate(new IVault.Source[](0), new IVault.Target[](0), 0, type(uint256).max);
        vm.expectRevert(refused);
        vault.setWithdrawOrder(new MarketId[](0));
        vm.expectRevert(refused);
        vault.setDepositMarket(ids[1]);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IVault.DeadlinePassed.selector, vm.getBlockTimestamp() - 1));
        vm.prank(ALLOCATOR);
        vault.reallocate(new IVault.Source[](0), new IVault.Target[](0), 0, vm.getBlockTimestamp() - 1);
    }

    function test_ownershipMovesInTwoSteps() public {
        vm.prank(OWNER);
        vault.transferOwnership(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, BOB));
        vm.prank(BOB);
        vault.acceptOwnership();
        vm.prank(ALICE);
        vault.acceptOwnership();
        assertEq(vault.owner(), ALICE);
        assertEq(vault.pendingOwner(), address(0));
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, OWNER));
        vm.prank(OWNER);
        vault.transferOwnership(OWNER);
    }

    /* STEPS OF A CAP */

    function test_theCuratorRaisesACapByStepsOnly() public {
        vm.startPrank(CURATOR);
        vault.setCap(capId, 100e6, BPS);
        vm.expectRevert(abi.encodeWithSelector(IVault.NudgeTooLarge.selector, 110e6 + 1, 110e6));
        vault.nudgeCap(capId, 110e6 + 1);
        vault.nudgeCap(capId, 110e6);
        assertEq(vault.cap(capId).absolute, 110e6);
        uint256 possibleAt = vm.getBlockTimestamp() + 1 days;
        vm.expectRevert(abi.encodeWithSelector(IVault.NudgeTooSoon.selector, possibleAt));
        vault.nudgeCap(capId, 111e6);
        vm.warp(possibleAt);
        vault.nudgeCap(capId, 121e6);
        // From 0 there are no steps.
        vault.setCap(capId, 0, BPS);
        skip(1 days);
        vm.expectRevert(abi.encodeWithSelector(IVault.NudgeTooLarge.selector, 1, 0));
        vault.nudgeCap(capId, 1);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, OWNER));
        vm.prank(OWNER);
        vault.nudgeCap(capId, 0);
    }

    function test_V10_stepsWithinADelayRaiseACapByHalfAtMost() public {
        vm.prank(CURATOR);
        vault.setCap(capId, 1_000e6, BPS);
        uint256 end = vm.getBlockTimestamp() + RAISE_DELAY;
        while (vm.getBlockTimestamp() <= end) {
            uint256 most = vault.cap(capId).absolute * 11 / 10;
            vm.prank(CURATOR);
            vault.nudgeCap(capId, most);
            skip(1 days);
        }
        assertLe(vault.cap(capId).absolute, 1_500e6);
        IVault.Setup memory setup = defaultSetup();
        setup.nudgeBps = 1_100;
        vm.expectRevert(abi.encodeWithSelector(IVault.NudgesTooLarge.selector, 1_100, 1 days));
        this.construct(setup);
    }

    /* MARKETS */

    function test_aMarketWithAnotherLoanTokenIsRefused() public {
        MarketParams memory other = params;
        (other.loanToken, other.collateralToken) = (address(otherCollateral), address(loanToken));
        MarketId wrong = plimsoll.createMarket(other);
        bytes memory call = abi.encodeCall(IVault.enableMarket, (wrong));
        vm.prank(CURATOR);
        vault.submit(call);
        skip(RAISE_DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(IVault.WrongLoanToken.selector, wrong, address(otherCollateral), address(loanToken))
        );
        vault.execute(call);

        MarketId none = MarketId.wrap(bytes32(uint256(1)));
        IVault.Setup memory setup = defaultSetup();
        setup.markets[2] = none;
        vm.expectRevert(abi.encodeWithSelector(IVault.WrongLoanToken.selector, none, address(0), address(loanToken)));
        this.construct(setup);
        setup.markets[2] = ids[0];
        vm.expectRevert(abi.encodeWithSelector(IVault.MarketAlreadyEnabled.selector, ids[0]));
        this.construct(setup);
    }

    function test_settingsBeyondTheirBoundsAreRefused() public {
        IVault.Setup memory setup = defaultSetup();
        setup.feeBps = 2_501;
        vm.expectRevert(abi.encodeWithSelector(IVault.OutOfBounds.selector, 2_501, 0, 2_500));
        this.construct(setup);
        setup = defaultSetup();
        setup.penaltyBps = 101;
        vm.expectRevert(abi.encodeWithSelector(IVault.OutOfBounds.selector, 101, 5, 100));
        this.construct(setup);
        setup = defaultSetup();
        setup.maxRatePerSecond = 2e18 / uint256(365 days) + 1;
        vm.expectRevert();
        this.construct(setup);
        setup = defaultSetup();
        setup.raiseDelaySecs = 1 days - 1;
        vm.expectRevert(abi.encodeWithSelector(IVault.OutOfBounds.selector, 1 days - 1, 1 days, 30 days));
        this.construct(setup);
        setup = defaultSetup();
        setup.caps[0].absolute = uint256(type(uint128).max) + 1;
        vm.expectRevert();
        this.construct(setup);
        setup = defaultSetup();
        setup.curator = address(0);
        vm.expectRevert(IVault.ZeroAddress.selector);
        this.construct(setup);
    }

    function test_thereAreTwelveMarketsAtMost() public {
        MarketId last;
        for (uint256 n; n < 10; ++n) {
            MarketParams memory other = params;
            other.collateralToken = address(new TestToken("NEW", 18));
            last = plimsoll.createMarket(other);
            if (n < 9) change(CURATOR, abi.encodeCall(IVault.enableMarket, (last)));
        }
        assertEq(vault.markets().length, 12);
        bytes memory call = abi.encodeCall(IVault.enableMarket, (last));
        vm.prank(CURATOR);
        vault.submit(call);
        skip(RAISE_DELAY);
        vm.expectRevert(abi.encodeWithSelector(IVault.TooManyMarkets.selector, 12));
        vault.execute(call);
    }

    function test_anEmptyMarketIsRemovedAndTheLastTakesItsPlace() public {
        deposit(ALICE, 1_000e6);
        move(0, 2, 400e6);
        move(0, 1, 600e6);
        MarketId[] memory order = new MarketId[](3);
        (order[0], order[1], order[2]) = (ids[2], ids[0], ids[1]);
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(order);
        setDepositMarket(ids[2]);
        uint256 countedBefore = counted(2);

        vm.expectRevert(abi.encodeWithSelector(IVault.MarketNotEmpty.selector, ids[1], 600e6));
        vm.prank(CURATOR);
        vault.removeMarket(ids[1]);
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, GUARDIAN));
        vm.prank(GUARDIAN);
        vault.removeMarket(ids[0]);
        vm.prank(CURATOR);
        vault.removeMarket(ids[0]);

        IVault.Holding[] memory all = vault.holdings();
        assertEq(all.length, 2);
        assertEq(MarketId.unwrap(all[0].id), MarketId.unwrap(ids[2]));
        assertEq(all[0].shares, countedBefore);
        assertEq(all[0].assets, 400e6);
        assertEq(MarketId.unwrap(vault.state().depositMarket), MarketId.unwrap(ids[2]));
        MarketId[] memory now_ = vault.withdrawOrder();
        assertEq(MarketId.unwrap(now_[0]), MarketId.unwrap(ids[2]));
        assertEq(MarketId.unwrap(now_[1]), MarketId.unwrap(ids[1]));
        assertEq(redeem(ALICE, shares.balanceOf(ALICE)), 1_000e6);
        // It can be added again.
        change(CURATOR, abi.encodeCall(IVault.enableMarket, (ids[0])));
        assertEq(vault.markets().length, 3);
    }

    function test_theOrderOfWithdrawalsSurvivesARemoval() public {
        MarketId[] memory order = new MarketId[](3);
        (order[0], order[1], order[2]) = (ids[0], ids[1], ids[2]);
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(order);
        setDepositMarket(MarketId.wrap(0));
        vm.prank(CURATOR);
        vault.removeMarket(ids[0]);
        MarketId[] memory left = vault.withdrawOrder();
        assertEq(left.length, 2);
        assertEq(MarketId.unwrap(left[0]), MarketId.unwrap(ids[1]));
        assertEq(MarketId.unwrap(left[1]), MarketId.unwrap(ids[2]));
        vm.expectRevert(abi.encodeWithSelector(IVault.MarketNotEnabled.selector, ids[0]));
        vm.prank(ALLOCATOR);
        vault.setDepositMarket(ids[0]);
    }

    function test_aWorthlessPositionIsRemovedBySubmissionOnly() public {
        deposit(ALICE, 200e6);
        address borrower = exhaust(0);
        useMarket(0);
        oracle.set(1);
        liquidate(borrower, type(uint128).max);
        skip(1);
        assertEq(valueIn(0), 0);
        assertGt(counted(0), 0);
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, CURATOR));
        vm.prank(CURATOR);
        vault.removeMarket(ids[0]);
        change(CURATOR, abi.encodeCall(IVault.removeMarket, (ids[0])));
        assertEq(vault.markets().length, 2);
    }

    /// @notice Nothing of a removed market counts for one that takes its index later.
    function test_V1_theSharesOfARemovedMarketCountForNoOther() public {
        deposit(ALICE, 200e6);
        move(0, 2, 200e6);
        address borrower = exhaust(2);
        useMarket(2);
        oracle.set(1);
        liquidate(borrower, type(uint128).max);
        oracle.set(PRICE);
        skip(1);
        assertGt(counted(2), 0);
        change(CURATOR, abi.encodeCall(IVault.removeMarket, (ids[2])));
        MarketParams memory other = params;
        other.oracle = address(new TestOracle(PRICE));
        change(CURATOR, abi.encodeCall(IVault.enableMarket, (plimsoll.createMarket(other))));
        assertEq(counted(2), 0);
        assertEq(valueIn(2), 0);
        deposit(BOB, 1_000e6);
        assertBacked();
    }

    /* CAPS */

    function test_V8_capsOfMarketCollateralAndOracleBoundASupply() public {
        deposit(ALICE, 1_000e6);
        move(0, NONE, 1_000e6);
        vm.startPrank(GUARDIAN);
        vault.setCap(MarketId.unwrap(ids[2]), 300e6, BPS);
        vault.setCap(collateralCapId(address(otherCollateral)), 250e6, BPS);
        vault.setCap(oracleCapId(address(oracles[1])), 400e6, BPS);
        vm.stopPrank();
        move(NONE, 1, 1_000e6);
        assertEq(valueIn(1), 250e6, "by collateral");
        move(NONE, 2, 1_000e6);
        assertEq(valueIn(2), 150e6, "by oracle");
        move(1, NONE, 100e6);
        move(NONE, 2, 1_000e6);
        assertEq(valueIn(2), 250e6, "by oracle");
        move(1, NONE, 150e6);
        move(NONE, 2, 1_000e6);
        assertEq(valueIn(2), 300e6, "by market");
        assertEq(vault.holdings()[2].room, 0);
    }

    /// @notice A full cap refuses no deposit: what does not fit stays idle.
    function test_V8_aFullCapRefusesNoDeposit() public {
        vm.prank(GUARDIAN);
        vault.setCap(MarketId.unwrap(ids[0]), 100e6, BPS);
        deposit(ALICE, 1_000e6);
        assertEq(valueIn(0), 100e6);
        assertEq(idle(), 900e6);
        vm.prank(GUARDIAN);
        vault.setCap(MarketId.unwrap(ids[0]), 0, 0);
        deposit(ALICE, 1_000e6);
        assertEq(idle(), 1_900e6);
        assertBacked();
    }
}
