// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IBrake} from "plimsoll/interfaces/IBrake.sol";
import {IERC4626} from "plimsoll/interfaces/IERC4626.sol";
import {GovernanceFixture} from "./GovernanceFixture.sol";

/// @notice Locks, rounds, thresholds and the supply that weight is measured against.
contract BrakeTest is GovernanceFixture {
    uint256 private constant LOCK = 14 days;

    function raising() private view returns (IBrake.Operation memory) {
        return operation(address(plimsoll), raise());
    }

    function scheduleRaise() private returns (bytes32) {
        return schedule(address(plimsoll), raise(), MONEY_DELAY);
    }

    function supply() private view returns (uint256) {
        return shares.totalSupply();
    }

    /* LOCKS */

    function test_D4_sharesAreLockedForTheWholeTimeFromTheirLastUse() public {
        lock(ALICE, 1e12);
        assertEq(brake.locked(ALICE).freeAt, block.timestamp + LOCK);
        assertEq(shares.balanceOf(address(brake)), 1e12);
        skip(10 days);
        scheduleRaise();
        oppose(ALICE, raising());
        assertEq(brake.locked(ALICE).freeAt, block.timestamp + LOCK);
        skip(LOCK - 1);
        vm.expectRevert(abi.encodeWithSelector(IBrake.StillLocked.selector, block.timestamp + 1));
        vm.prank(ALICE);
        brake.unlock(1, ALICE);
        skip(1);
        vm.expectEmit(address(brake));
        emit IBrake.Unlocked(ALICE, BOB, 1e12);
        uint256 before = shares.balanceOf(BOB);
        vm.prank(ALICE);
        brake.unlock(1e12, BOB);
        assertEq(shares.balanceOf(BOB) - before, 1e12);
        assertEq(brake.locked(ALICE).shares, 0);
    }

    function test_lockingMoreExtendsAllOfIt() public {
        lock(ALICE, 1e12);
        skip(5 days);
        vm.startPrank(ALICE);
        shares.approve(address(brake), 2e12);
        vm.expectEmit(address(brake));
        emit IBrake.Locked(ALICE, 2e12, block.timestamp + LOCK);
        brake.lock(2e12);
        vm.stopPrank();
        assertEq(brake.locked(ALICE).shares, 3e12);
        assertEq(brake.locked(ALICE).freeAt, block.timestamp + LOCK);
    }

    function test_nothingAndNobodyAreRefused() public {
        lock(ALICE, 1e12);
        skip(LOCK);
        vm.startPrank(ALICE);
        vm.expectRevert(IBrake.ZeroShares.selector);
        brake.lock(0);
        vm.expectRevert(IBrake.ZeroShares.selector);
        brake.unlock(0, ALICE);
        vm.expectRevert(IBrake.ZeroAddress.selector);
        brake.unlock(1, address(0));
        vm.expectRevert(abi.encodeWithSelector(IBrake.TooFewLocked.selector, 1e12, 1e12 + 1));
        brake.unlock(1e12 + 1, ALICE);
        vm.stopPrank();
        scheduleRaise();
        vm.expectRevert(IBrake.ZeroShares.selector);
        this.opposeAs(BOB, raising());
    }

    /// @notice Opposes in a call of its own, which may revert.
    function opposeAs(address who, IBrake.Operation memory what) external returns (uint256) {
        return oppose(who, what);
    }

    function test_aBrakeNeedsAManagerSharesAndALeastSupply() public {
        bytes memory code = vm.getCode("Brake.sol:Brake");
        vm.expectRevert(IBrake.ZeroAddress.selector);
        this.create(abi.encodePacked(code, abi.encode(address(0), shares, 1)));
        vm.expectRevert(IBrake.ZeroAddress.selector);
        this.create(abi.encodePacked(code, abi.encode(manager, address(0), 1)));
        vm.expectRevert(IBrake.ZeroShares.selector);
        this.create(abi.encodePacked(code, abi.encode(manager, shares, 0)));
        assertEq(brake.manager(), address(manager));
        assertEq(brake.sharesToken(), address(shares));
        assertEq(brake.minSupply(), MIN_SUPPLY);
    }

    function create(bytes memory code) external returns (address made) {
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(0x00, 0x00, returndatasize())
                revert(0x00, returndatasize())
            }
        }
    }

    /* CANCELLING */

    function test_twoPercentCancelAndAUnitLessDoesNot() public {
        bytes32 id = scheduleRaise();
        uint256 needed = (supply() * 200 + 9_999) / 10_000;
        lock(ALICE, needed - 1);
        vm.expectEmit(address(brake));
        emit IBrake.Opposed(id, 1, ALICE, needed - 1, needed - 1, needed);
        assertEq(oppose(ALICE, raising()), 0);
        assertNotEq(manager.getSchedule(id), 0);
        IBrake.Opposition memory found = brake.opposition(raising());
        assertEq(found.weight, needed - 1);
        assertEq(found.needed, needed);
        assertEq(found.endsAt, block.timestamp + LOCK);
        lock(BOB, 1);
        vm.expectEmit(address(brake));
        emit IBrake.Cancelled(id, 1, 1);
        assertEq(oppose(BOB, raising()), 1);
        assertEq(manager.getSchedule(id), 0);
        found = brake.opposition(raising());
        assertEq(found.weight, 0);
        assertEq(found.endsAt, 0);
        assertEq(found.cancels, 1);
        assertEq(found.needed, (supply() * 1_000 + 9_999) / 10_000);
    }

    function test_whatIsCancelledCannotBeExecutedAndWaitsTheWholeDelayAgain() public {
        scheduleRaise();
        skip(MONEY_DELAY - 1);
        lock(ALICE, shares.balanceOf(ALICE));
        assertEq(oppose(ALICE, raising()), 1);
        skip(1);
        vm.expectRevert();
        this.executeAs(address(plimsoll), raise());
        vm.expectRevert();
        this.scheduleAs(address(plimsoll), raise(), MONEY_DELAY - 1);
        scheduleRaise();
        skip(MONEY_DELAY);
        execute(address(plimsoll), raise());
        assertEq(plimsoll.market(id).feeBps, 1_000);
    }

    function executeAs(address target, bytes memory data) external {
        execute(target, data);
    }

    function scheduleAs(address target, bytes memory data, uint256 delay) external {
        schedule(target, data, delay);
    }

    /// @notice D5: against less than half of the shares an operation is delayed three times at most.
    function test_D5_eachCancellationNeedsMoreWeightAndHalfSufficeForEver() public {
        uint256[5] memory thresholds = [uint256(200), 1_000, 2_500, 5_000, 5_000];
        lock(CAROL, shares.balanceOf(CAROL));
        for (uint256 i; i < 5; ++i) {
            assertEq(brake.thresholdBps(i), thresholds[i]);
            scheduleRaise();
            IBrake.Opposition memory found = brake.opposition(raising());
            assertEq(found.cancels, i);
            assertEq(found.needed, (supply() * thresholds[i] + 9_999) / 10_000);
            assertEq(oppose(CAROL, raising()), 1);
        }
    }

    function test_D5_aMinorityDelaysOnlyOnce() public {
        lock(ALICE, shares.balanceOf(ALICE));
        scheduleRaise();
        assertEq(oppose(ALICE, raising()), 1);
        scheduleRaise();
        assertEq(oppose(ALICE, raising()), 0);
        skip(MONEY_DELAY);
        execute(address(plimsoll), raise());
        assertEq(plimsoll.market(id).feeBps, 1_000);
    }

    function test_D5_cancellationsAreForgottenAfterHalfAYear() public {
        lock(ALICE, shares.balanceOf(ALICE));
        scheduleRaise();
        assertEq(oppose(ALICE, raising()), 1);
        skip(180 days);
        scheduleRaise();
        assertEq(oppose(ALICE, raising()), 0);
        skip(1);
        assertEq(brake.opposition(raising()).cancels, 0);
        lock(BOB, 1);
        assertEq(oppose(BOB, raising()), 1);
        assertEq(brake.opposition(raising()).cancels, 1);
    }

    function test_whatIsNotScheduledIsSkipped() public {
        lock(ALICE, shares.balanceOf(ALICE));
        IBrake.Operation[] memory list = new IBrake.Operation[](3);
        for (uint256 i; i < 3; ++i) {
            list[i] = operation(address(plimsoll), abi.encodeCall(plimsoll.setFee, (params, i)));
        }
        vm.prank(ALICE);
        vm.expectRevert(IBrake.NothingScheduled.selector);
        brake.oppose(list);
        schedule(list[0].target, list[0].data, MONEY_DELAY);
        schedule(list[2].target, list[2].data, MONEY_DELAY);
        vm.prank(ALICE);
        assertEq(brake.oppose(list), 2);
    }

    function test_whatExpiredOrWasExecutedIsNotScheduled() public {
        lock(ALICE, shares.balanceOf(ALICE));
        scheduleRaise();
        skip(MONEY_DELAY + EXPIRATION);
        vm.expectRevert(IBrake.NothingScheduled.selector);
        this.opposeAs(ALICE, raising());
        scheduleRaise();
        skip(MONEY_DELAY);
        execute(address(plimsoll), raise());
        vm.expectRevert(IBrake.NothingScheduled.selector);
        this.opposeAs(ALICE, raising());
    }

    /* ONCE IN A ROUND */

    function test_D4_sharesCountOnceAndMoreThatAreLockedCountBesides() public {
        scheduleRaise();
        lock(ALICE, 1e15);
        oppose(ALICE, raising());
        oppose(ALICE, raising());
        assertEq(brake.opposition(raising()).weight, 1e15);
        lock(ALICE, 5e14);
        oppose(ALICE, raising());
        assertEq(brake.opposition(raising()).weight, 15e14);
    }

    function test_D4_aSingleShareCountsOnce() public {
        scheduleRaise();
        lock(ALICE, 1);
        oppose(ALICE, raising());
        oppose(ALICE, raising());
        assertEq(brake.opposition(raising()).weight, 1);
    }

    /// @notice D4. The operation lies far ahead, so that locks end before it is due.
    function test_D4_sharesThatMoveOnAfterTheirLockMeetARoundWithoutThem() public {
        schedule(address(plimsoll), raise(), 100 days);
        lock(ALICE, 15e15);
        oppose(ALICE, raising());
        skip(LOCK);
        vm.prank(ALICE);
        brake.unlock(15e15, BOB);
        lock(BOB, 15e15);
        oppose(BOB, raising());
        assertEq(brake.opposition(raising()).weight, 15e15);
        assertEq(brake.opposition(raising()).endsAt, block.timestamp + LOCK);
    }

    function test_D4_anOperationThatIsScheduledAgainBeginsWithoutWeight() public {
        bytes32 id = scheduleRaise();
        lock(ALICE, 1e15);
        oppose(ALICE, raising());
        vm.prank(GOVERNOR);
        manager.cancel(GOVERNOR, address(plimsoll), raise());
        scheduleRaise();
        assertEq(manager.getNonce(id), 2);
        assertEq(brake.opposition(raising()).weight, 0);
        oppose(ALICE, raising());
        assertEq(brake.opposition(raising()).weight, 1e15);
        assertEq(brake.opposition(raising()).cancels, 0);
    }

    /* THE SUPPLY */

    function test_D5_aDepositInFrontOfACancellationRaisesNoThreshold() public {
        scheduleRaise();
        lock(ALICE, shares.balanceOf(ALICE));
        uint256 before = brake.referenceSupply();
        deposit(GOVERNOR, 50_000_000e6);
        assertEq(brake.referenceSupply(), before);
        assertEq(oppose(ALICE, raising()), 1);
    }

    function test_theSupplyRisesByATenthADayAndByOneDayHoweverLongNobodyAsked() public {
        uint256 before = brake.referenceSupply();
        assertEq(before, supply());
        deposit(GOVERNOR, 50_000_000e6);
        skip(6 hours);
        assertEq(brake.poke(), before + before / 40);
        uint256 second = before + before / 40;
        skip(100 days);
        assertEq(brake.poke(), second + second / 10);
        assertEq(brake.poke(), second + second / 10);
    }

    function test_theSupplyFallsAtOnce() public {
        redeem(CAROL, shares.balanceOf(CAROL));
        assertEq(brake.referenceSupply(), supply());
        lock(ALICE, shares.balanceOf(ALICE));
        scheduleRaise();
        oppose(ALICE, raising());
        deposit(CAROL, 850_000e6);
        skip(1 days);
        assertLt(brake.referenceSupply(), supply() / 4);
    }

    function test_fromNothingTheSupplyRisesByTheLeastSupply() public {
        IERC4626 empty = IERC4626(address(newVault(defaultSetup())));
        IBrake young = newBrake(address(empty), MIN_SUPPLY);
        assertEq(young.referenceSupply(), 0);
        fund(ALICE, 1_000_000e6);
        vm.startPrank(ALICE);
        loanToken.approve(address(empty), 1_000_000e6);
        empty.deposit(1_000_000e6, ALICE);
        vm.stopPrank();
        skip(1 days);
        assertEq(young.poke(), MIN_SUPPLY / 10);
        skip(1 days);
        assertEq(young.poke(), MIN_SUPPLY / 5);
    }

    function test_tooFewSharesStopNobody() public {
        IBrake tiny = newBrake(address(shares), supply() + 1);
        vm.startPrank(ALICE);
        shares.approve(address(tiny), 1e12);
        tiny.lock(1e12);
        vm.stopPrank();
        scheduleRaise();
        IBrake.Operation[] memory list = new IBrake.Operation[](1);
        list[0] = raising();
        bytes memory reason = abi.encodeWithSelector(IBrake.SupplyTooLow.selector, supply(), supply() + 1);
        vm.prank(ALICE);
        vm.expectRevert(reason);
        tiny.oppose(list);
    }

    function test_asManySharesAsTheLeastSuffice() public {
        IBrake exact = newBrake(address(shares), supply());
        for (uint256 day; day < 10; ++day) {
            skip(1 days);
            exact.poke();
        }
        assertEq(exact.referenceSupply(), exact.minSupply());
        vm.startPrank(ALICE);
        shares.approve(address(exact), 1e12);
        exact.lock(1e12);
        vm.stopPrank();
        scheduleRaise();
        IBrake.Operation[] memory list = new IBrake.Operation[](1);
        list[0] = raising();
        vm.prank(ALICE);
        assertEq(exact.oppose(list), 0);
        assertEq(exact.opposition(list[0]).weight, 1e12);
    }

    function test_withoutSharesAWholeOneIsNeeded() public {
        IERC4626 empty = IERC4626(address(newVault(defaultSetup())));
        assertEq(newBrake(address(empty), MIN_SUPPLY).opposition(raising()).needed, 1);
    }

    /// @notice Independent statement of the supply: with any deposits and waits it never rises faster than by a tenth of
    /// the larger of itself and the least supply for each day that is waited, and never exceeds the shares.
    function testFuzz_D5_theSupplyIsBounded(uint256[8] calldata waits, uint256[8] calldata amounts) public {
        uint256 last = brake.poke();
        for (uint256 i; i < 8; ++i) {
            uint256 waited = bound(waits[i], 0, 3 days);
            uint256 amount = bound(amounts[i], 1e6, 1e15);
            if (amount % 2 == 0) deposit(BOB, amount);
            else redeem(BOB, shares.balanceOf(BOB) / 3);
            skip(waited);
            uint256 now_ = brake.poke();
            uint256 counted = waited > 1 days ? 1 days : waited;
            uint256 base = last > MIN_SUPPLY ? last : MIN_SUPPLY;
            uint256 most = last + base * counted / 10 days;
            assertEq(now_, most < supply() ? most : supply());
            last = now_;
        }
    }
}
