// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @title Every setting: who may make it, what it changes from when on, and that it is announced.
contract VaultSettingsTest is VaultFixture {
    /* ANNOUNCEMENTS */

    function test_aVaultAnnouncesWhatItWasMadeWith() public {
        vm.expectEmit();
        emit IVault.OwnershipTransferred(address(0), OWNER);
        vm.expectEmit();
        emit IVault.SetCurator(CURATOR);
        vm.expectEmit();
        emit IVault.SetGuardian(GUARDIAN);
        vm.expectEmit();
        emit IVault.SetAllocator(ALLOCATOR, true);
        vm.expectEmit();
        emit IVault.SetFee(FEE_BPS);
        vm.expectEmit();
        emit IVault.SetMaxRate(MAX_RATE);
        vm.expectEmit();
        emit IVault.SetFeeRecipient(FEE_RECIPIENT);
        vm.expectEmit();
        emit IVault.EnableMarket(ids[2]);
        vm.expectEmit();
        emit IVault.SetCap(oracleCapId(address(oracles[1])), NO_CAP, BPS);
        vm.expectEmit();
        emit IVault.SetDepositMarket(ids[0]);
        this.construct(defaultSetup());
    }

    function test_aChangeIsAnnouncedFromItsSubmissionToItsEnd() public {
        bytes memory call = abi.encodeCall(IVault.setFee, (2_000));
        bytes32 hash = keccak256(call);
        vm.expectEmit(address(vault));
        emit IVault.Submit(hash, IVault.setFee.selector, call, vm.getBlockTimestamp() + RAISE_DELAY);
        vm.prank(OWNER);
        vault.submit(call);
        vm.expectEmit(address(vault));
        emit IVault.Revoke(hash, GUARDIAN);
        vm.prank(GUARDIAN);
        vault.revoke(hash);
        vm.prank(OWNER);
        vault.submit(call);
        skip(RAISE_DELAY);
        vm.expectEmit(address(vault));
        emit IVault.Execute(hash, STRANGER);
        vm.expectEmit(address(vault));
        emit IVault.SetFee(2_000);
        vm.prank(STRANGER);
        vault.execute(call);
    }

    function test_appointmentsAreMadeAndAnnounced() public {
        _expectWithin(abi.encodeCall(IVault.setCurator, (ALICE)));
        emit IVault.SetCurator(ALICE);
        vault.execute(abi.encodeCall(IVault.setCurator, (ALICE)));
        assertEq(vault.curator(), ALICE);
        _expectWithin(abi.encodeCall(IVault.setGuardian, (BOB)));
        emit IVault.SetGuardian(BOB);
        vault.execute(abi.encodeCall(IVault.setGuardian, (BOB)));
        assertEq(vault.guardian(), BOB);
        _expectWithin(abi.encodeCall(IVault.setAllocator, (CAROL, true)));
        emit IVault.SetAllocator(CAROL, true);
        vault.execute(abi.encodeCall(IVault.setAllocator, (CAROL, true)));
        assertTrue(vault.isAllocator(CAROL));
        _expectWithin(abi.encodeCall(IVault.abdicate, (IVault.setFee.selector)));
        emit IVault.Abdicate(IVault.setFee.selector);
        vault.execute(abi.encodeCall(IVault.abdicate, (IVault.setFee.selector)));
        vm.expectEmit(address(vault));
        emit IVault.OwnershipTransferStarted(OWNER, ALICE);
        vm.prank(OWNER);
        vault.transferOwnership(ALICE);
        vm.expectEmit(address(vault));
        emit IVault.OwnershipTransferred(OWNER, ALICE);
        vm.prank(ALICE);
        vault.acceptOwnership();
    }

    /// @dev Submits a change, waits, and expects the event that follows.
    function _expectWithin(bytes memory call) private {
        vm.prank(OWNER);
        vault.submit(call);
        skip(RAISE_DELAY);
        vm.expectEmit(address(vault));
    }

    function test_settingsOfMarketsAreAnnounced() public {
        bytes32 capId = MarketId.unwrap(ids[1]);
        vm.startPrank(CURATOR);
        vm.expectEmit(address(vault));
        emit IVault.SetCap(capId, 100e6, 9_000);
        vault.setCap(capId, 100e6, 9_000);
        vm.expectEmit(address(vault));
        emit IVault.NudgeCap(capId, 110e6);
        vault.nudgeCap(capId, 110e6);
        vm.expectEmit(address(vault));
        emit IVault.RemoveMarket(ids[2], 0);
        vault.removeMarket(ids[2]);
        vm.stopPrank();
        MarketId[] memory order = new MarketId[](1);
        order[0] = ids[1];
        vm.expectEmit(address(vault));
        emit IVault.SetWithdrawOrder(order);
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(order);
        vm.expectEmit(address(vault));
        emit IVault.SetDepositMarket(ids[1]);
        setDepositMarket(ids[1]);
    }

    /* BOUNDS */

    function test_boundsOfASetupAreAllowedAndNothingBeyondThem() public {
        IVault.Setup memory setup = defaultSetup();
        (setup.nudgeBps, setup.nudgeSecs) = (0, 1 hours);
        newVault(setup);
        setup.nudgeSecs = 1 hours - 1;
        vm.expectPartialRevert(IVault.OutOfBounds.selector);
        this.construct(setup);
        setup = defaultSetup();
        setup.owner = address(0);
        vm.expectRevert(IVault.ZeroAddress.selector);
        this.construct(setup);
        setup = defaultSetup();
        setup.maxRatePerSecond = 2e18 / uint256(365 days);
        newVault(setup);
        setup.maxRatePerSecond += 1;
        vm.expectPartialRevert(IVault.OutOfBounds.selector);
        this.construct(setup);
    }

    function test_aVaultWithoutADepositMarketKeepsDepositsIdle() public {
        IVault.Setup memory setup = defaultSetup();
        setup.depositMarket = MarketId.wrap(0);
        IVault made = newVault(setup);
        assertEq(MarketId.unwrap(made.state().depositMarket), 0);
        // The price of a share at first, for 1e27 of them: a unit for a million.
        assertEq(made.state().highWaterMark, 1e21);
    }

    function test_V10_aChangeIsExecutableToItsLastSecondAndNotSubmittedAgainBefore() public {
        bytes memory call = abi.encodeCall(IVault.setFee, (2_000));
        uint256 opensAt = vm.getBlockTimestamp() + RAISE_DELAY;
        vm.prank(OWNER);
        vault.submit(call);
        vm.warp(opensAt + 7 days);
        vm.expectRevert(abi.encodeWithSelector(IVault.AlreadySubmitted.selector, keccak256(call), opensAt));
        vm.prank(OWNER);
        vault.submit(call);
        vault.execute(call);
        assertEq(vault.state().feeBps, 2_000);
    }

    function test_aCapOfMoreThanTheWholeIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(IVault.OutOfBounds.selector, BPS + 1, 0, BPS));
        this.submitAndExecute(abi.encodeCall(IVault.setCap, (bytes32(uint256(1)), 1, BPS + 1)));
    }

    function submitAndExecute(bytes calldata call) external {
        vm.prank(OWNER);
        vault.submit(call);
        skip(RAISE_DELAY);
        vault.execute(call);
    }

    function test_anOrderLongerThanTheListIsRefused() public {
        MarketId[] memory order = new MarketId[](4);
        order[0] = order[3] = ids[0];
        (order[1], order[2]) = (ids[1], ids[2]);
        vm.expectRevert(abi.encodeWithSelector(IVault.TooManyMarkets.selector, 3));
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(order);
    }

    /* WHO, AND FROM WHEN ON */

    function test_eachSeniorRoleDismissesAllocators() public {
        address[3] memory seniors = [OWNER, CURATOR, GUARDIAN];
        for (uint256 n; n < 3; ++n) {
            vm.prank(seniors[n]);
            vault.setAllocator(CAROL, false);
        }
        address[2] memory others = [ALLOCATOR, STRANGER];
        for (uint256 n; n < 2; ++n) {
            vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, others[n]));
            vm.prank(others[n]);
            vault.setAllocator(ALLOCATOR, false);
        }
    }

    function test_whatIsNotRaisedIsSetAtOnceByItsRole() public {
        vm.startPrank(OWNER);
        vault.setFee(FEE_BPS);
        vault.setMaxRate(MAX_RATE);
        vault.setMaxRate(MAX_RATE - 1);
        vm.stopPrank();
        vm.startPrank(CURATOR);
        vault.setMaxRate(MAX_RATE - 2);
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, CURATOR));
        vault.setFee(0);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IVault.Unauthorized.selector, GUARDIAN));
        vm.prank(GUARDIAN);
        vault.setMaxRate(0);
    }

    /// @notice V11: what was gained before pays the old fee, to the old recipient, by the old rate.
    function test_V11_settingsChangeNothingThatIsPast() public {
        deposit(ALICE, 1_000_000e6);
        takeLoan(0, 900_000e6);
        skip(30 days);
        uint256 before = shares.totalAssets();
        assertGt(before, 1_000_000e6);
        vm.prank(OWNER);
        vault.setMaxRate(0);
        assertEq(shares.totalAssets(), before);
        vm.prank(OWNER);
        vault.setFee(0);
        uint256 paid = shares.balanceOf(FEE_RECIPIENT);
        assertGt(paid, 0);

        vault = newVault(defaultSetup());
        shares = IERC4626(address(vault));
        deposit(BOB, 1_000_000e6);
        takeLoan(0, 900_000e6);
        bytes memory call = abi.encodeCall(IVault.setFeeRecipient, (CAROL));
        vm.prank(OWNER);
        vault.submit(call);
        skip(RAISE_DELAY);
        vault.execute(call);
        assertGt(shares.balanceOf(FEE_RECIPIENT), 0);
        assertEq(shares.balanceOf(CAROL), 0);
    }

    /* LIMITS */

    function test_V6_allThatIsLiquidIsAllOfTheShares() public {
        deposit(ALICE, 1_000e6);
        move(0, NONE, 300e6);
        assertEq(shares.maxRedeem(ALICE), shares.balanceOf(ALICE));
        assertEq(shares.maxWithdraw(ALICE), 1_000e6);
        takeLoan(0, 700e6);
        // Idle tokens alone.
        assertEq(shares.maxWithdraw(ALICE), 300e6);
        assertLt(shares.maxRedeem(ALICE), shares.balanceOf(ALICE));
    }

    function test_V6_whatCanBeDepositedEndsAtHalfTheRange() public {
        assertEq(shares.maxDeposit(ALICE), 1 << 127);
        assertEq(shares.maxMint(ALICE), (1 << 127) * 1e6);
        deposit(ALICE, 1_000e6);
        assertEq(shares.maxDeposit(ALICE), (1 << 127) - 1_000e6);
    }

    /// @notice The deposit market that is removed is none any more, and the order keeps the others.
    function test_aRemovedMarketLeavesNoTraceInDepositMarketAndOrder() public {
        MarketId[] memory order = new MarketId[](3);
        (order[0], order[1], order[2]) = (ids[2], ids[0], ids[1]);
        vm.prank(ALLOCATOR);
        vault.setWithdrawOrder(order);
        vm.prank(CURATOR);
        vault.removeMarket(ids[0]);
        assertEq(MarketId.unwrap(vault.state().depositMarket), 0);
        deposit(ALICE, 1_000e6);
        move(NONE, 1, 500e6);
        move(NONE, 2, 500e6);
        // The last market comes first in the order, at its new place.
        vm.prank(ALICE);
        shares.withdraw(400e6, ALICE, ALICE);
        assertEq(vault.holdings()[0].assets, 100e6);
        assertEq(vault.holdings()[1].assets, 500e6);
    }
}
