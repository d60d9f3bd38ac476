// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IBrake} from "plimsoll/interfaces/IBrake.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {GovernanceFixture} from "./GovernanceFixture.sol";

/// @notice The roles of a manager whose depositors have a brake: what waits, what does not, and who can stop it.
contract GovernanceRolesTest is GovernanceFixture {
    function removal() private view returns (bytes memory) {
        return abi.encodeCall(manager.revokeRole, (BRAKE, address(brake)));
    }

    /// @notice D2: the brake cancels its own removal, and every other operation of the administrators.
    function test_D2_theBrakeCancelsItsOwnRemovalAndWhatWouldWeakenIt() public {
        lock(ALICE, shares.balanceOf(ALICE));
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = plimsoll.setFee.selector;
        bytes[7] memory attempts = [
            removal(),
            abi.encodeCall(manager.setRoleGuardian, (MONEY, ADMIN)),
            abi.encodeCall(manager.grantRole, (MONEY, STRANGER, 0)),
            abi.encodeCall(manager.setTargetFunctionRole, (address(plimsoll), selectors, LOWERING)),
            abi.encodeCall(manager.setTargetAdminDelay, (address(plimsoll), 0)),
            abi.encodeCall(manager.updateAuthority, (address(vault), STRANGER)),
            abi.encodeCall(manager.setTargetClosed, (address(vault), true))
        ];
        for (uint256 i; i < attempts.length; ++i) {
            schedule(address(manager), attempts[i], ADMIN_DELAY);
            assertEq(oppose(ALICE, operation(address(manager), attempts[i])), 1, "an operation of administrators");
        }
        assertTrue(isBrake());
    }

    function isBrake() private view returns (bool member) {
        (member,) = manager.hasRole(BRAKE, address(brake));
    }

    /// @notice D3: what a brake may do is to cancel.
    function test_D3_aBrakeMayCallNothing() public view {
        bytes4[9] memory selectors = [
            plimsoll.setFee.selector,
            plimsoll.setFeeRecipient.selector,
            plimsoll.setBackstop.selector,
            plimsoll.transferOwnership.selector,
            vault.submit.selector,
            vault.revoke.selector,
            vault.setCap.selector,
            vault.setAllocator.selector,
            manager.grantRole.selector
        ];
        address[3] memory targets = [address(plimsoll), address(vault), address(manager)];
        for (uint256 i; i < selectors.length; ++i) {
            for (uint256 k; k < targets.length; ++k) {
                (bool immediate, uint32 delay) = manager.canCall(address(brake), targets[k], selectors[i]);
                assertTrue(!immediate && delay == 0);
            }
        }
    }

    /// @notice D6: what lowers risk is not scheduled, so that nobody can stop it.
    function test_D6_loweringRunsAtOnceHoweverManySharesAreLocked() public {
        lock(CAROL, shares.balanceOf(CAROL));
        bytes memory call = abi.encodeCall(IVault.setCap, (MarketId.unwrap(ids[2]), 0, 0));
        vm.prank(COUNCIL);
        manager.execute(address(vault), call);
        assertEq(vault.cap(MarketId.unwrap(ids[2])).absolute, 0);
        vm.expectRevert(IBrake.NothingScheduled.selector);
        this.opposeAs(CAROL, IBrake.Operation(COUNCIL, address(vault), call));
    }

    function opposeAs(address who, IBrake.Operation memory what) external returns (uint256) {
        return oppose(who, what);
    }

    function test_D7_theLoweringRoleRaisesNothing() public {
        bytes memory call = abi.encodeCall(IVault.setCap, (MarketId.unwrap(ids[0]), NO_CAP, BPS));
        setCapTo(0);
        vm.prank(COUNCIL);
        vm.expectRevert();
        manager.execute(address(vault), call);
        vm.prank(COUNCIL);
        vm.expectRevert();
        manager.execute(address(plimsoll), raise());
    }

    function setCapTo(uint256 absolute) private {
        bytes memory call = abi.encodeCall(IVault.setCap, (MarketId.unwrap(ids[0]), absolute, BPS));
        vm.prank(COUNCIL);
        manager.execute(address(vault), call);
    }

    function test_D7_aRaiseWaitsAndThenRuns() public {
        vm.expectRevert();
        this.executeAs(address(plimsoll), raise());
        schedule(address(plimsoll), raise(), MONEY_DELAY);
        skip(MONEY_DELAY - 1);
        vm.expectRevert();
        this.executeAs(address(plimsoll), raise());
        skip(1);
        execute(address(plimsoll), raise());
        assertEq(plimsoll.market(id).feeBps, 1_000);
    }

    function executeAs(address target, bytes memory data) external {
        execute(target, data);
    }

    /// @notice A change of a vault waits twice: in the manager, and in the vault, whose guardian may revoke it.
    function test_D7_aChangeOfAVaultWaitsInBoth() public {
        bytes memory change = abi.encodeCall(IVault.setFee, (2_000));
        bytes memory call = abi.encodeCall(IVault.submit, (change));
        schedule(address(vault), call, MONEY_DELAY);
        skip(MONEY_DELAY);
        execute(address(vault), call);
        vm.expectRevert();
        vault.execute(change);
        skip(RAISE_DELAY);
        vault.execute(change);
        assertEq(vault.state().feeBps, 2_000);
    }

    /// @notice D8: who deployed it has no role any more.
    function test_D8_theDeployerHasNoRole() public view {
        for (uint64 role; role <= ADMIN_OPERATIONS; ++role) {
            (bool member,) = manager.hasRole(role, address(this));
            assertFalse(member);
        }
        (bool governs, uint32 delay) = manager.hasRole(ADMIN, GOVERNOR);
        assertTrue(governs && delay == ADMIN_DELAY);
        (governs,) = manager.hasRole(ADMIN_OPERATIONS, GOVERNOR);
        assertFalse(governs);
    }
}

/// @notice What OpenZeppelin's `AccessManager` 5.7 does that a set-up has to reckon with.
contract AccessManagerTrapsTest is GovernanceFixture {
    /// @dev As most would do it: the brake is guardian of the roles, and that is all.
    function setUpRoles() internal override {
        assign(address(plimsoll), MONEY, abi.encode(plimsoll.setFee.selector));
        manager.setRoleGuardian(MONEY, BRAKE);
        manager.grantRole(MONEY, GOVERNOR, MONEY_DELAY);
        manager.grantRole(BRAKE, address(brake), 0);
    }

    function test_operationsOfAdministratorsHaveNoGuardianUnlessTheirFunctionsHaveARole() public {
        bytes memory removal = abi.encodeCall(manager.revokeRole, (BRAKE, address(brake)));
        schedule(address(manager), removal, ADMIN_DELAY);
        lock(CAROL, shares.balanceOf(CAROL));
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessManager.AccessManagerUnauthorizedCancel.selector,
                address(brake),
                GOVERNOR,
                address(manager),
                manager.revokeRole.selector
            )
        );
        this.opposeAs(CAROL, operation(address(manager), removal));
    }

    function opposeAs(address who, IBrake.Operation memory what) external returns (uint256) {
        return oppose(who, what);
    }

    function test_administratorsCannotBeGivenAGuardian() public {
        IAccessManager own = newManager();
        vm.expectRevert(abi.encodeWithSelector(IAccessManager.AccessManagerLockedRole.selector, ADMIN));
        own.setRoleGuardian(ADMIN, BRAKE);
    }

    function test_aFunctionWithoutARoleIsTheAdministrators() public view {
        assertEq(manager.getTargetFunctionRole(address(plimsoll), plimsoll.setBackstop.selector), ADMIN);
        (, uint32 delay) = manager.canCall(GOVERNOR, address(plimsoll), plimsoll.setBackstop.selector);
        assertEq(delay, ADMIN_DELAY);
    }

    function test_theFirstGrantDelayTakesFiveDaysToBegin() public {
        IAccessManager own = newManager();
        own.setGrantDelay(MONEY, 3 days);
        skip(5 days - 1);
        assertEq(own.getRoleGrantDelay(MONEY), 0);
        skip(1);
        assertEq(own.getRoleGrantDelay(MONEY), 3 days);
    }

    function test_aMembersDelayFallsAfterTheDifferenceAndAtOnceByRemovalAndGrant() public {
        IAccessManager own = newManager();
        own.grantRole(MONEY, GOVERNOR, 3 days);
        own.grantRole(MONEY, GOVERNOR, 1 days);
        (, uint32 delay) = own.hasRole(MONEY, GOVERNOR);
        assertEq(delay, 3 days);
        own.revokeRole(MONEY, GOVERNOR);
        own.grantRole(MONEY, GOVERNOR, 0);
        (, delay) = own.hasRole(MONEY, GOVERNOR);
        assertEq(delay, 0);
    }

    function test_anOperationMayLieAnyTimeAheadAndExpiresAWeekAfterIt() public {
        bytes32 id = schedule(address(plimsoll), raise(), 3_650 days);
        skip(3_650 days + EXPIRATION - 1);
        assertNotEq(manager.getSchedule(id), 0);
        skip(1);
        assertEq(manager.getSchedule(id), 0);
    }
}
