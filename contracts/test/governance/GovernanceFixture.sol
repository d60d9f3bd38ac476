// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IBrake} from "plimsoll/interfaces/IBrake.sol";
import {IVault} from "plimsoll/interfaces/IVault.sol";
import {VaultFixture} from "../vault/VaultFixture.sol";

/// @notice Fixture of governance: OpenZeppelin's own bytecode of the `AccessManager` owns the real core and a real vault,
/// and the vault's depositors have a brake.
abstract contract GovernanceFixture is VaultFixture {
    uint64 internal constant ADMIN = 0;
    /// @dev May change fees, their recipients and backstops.
    uint64 internal constant MONEY = 1;
    /// @dev May hand over what the manager owns.
    uint64 internal constant OWNERSHIP = 2;
    /// @dev May submit changes to a vault, which wait there once more.
    uint64 internal constant VAULT_CHANGES = 3;
    /// @dev May lower risk, at once.
    uint64 internal constant LOWERING = 4;
    /// @dev May cancel what is scheduled, and nothing else.
    uint64 internal constant BRAKE = 5;
    /// @dev Has no member: who cancels the manager's own operations is the guardian of this role.
    uint64 internal constant ADMIN_OPERATIONS = 6;

    uint32 internal constant MONEY_DELAY = 3 days;
    uint32 internal constant ADMIN_DELAY = 7 days;
    /// @dev OpenZeppelin's own: after this an operation that nobody executed has expired.
    uint256 internal constant EXPIRATION = 7 days;
    uint256 internal constant MIN_SUPPLY = 1e12;

    address internal immutable GOVERNOR = makeAddr("governor");
    address internal immutable COUNCIL = makeAddr("council");

    IAccessManager internal manager;
    IBrake internal brake;

    function setUp() public virtual override {
        super.setUp();
        // Alice has 3 % of the shares, Bob 12 %, Carol the rest.
        deposit(ALICE, 30_000e6);
        deposit(BOB, 120_000e6);
        deposit(CAROL, 850_000e6);
        brake = newBrake(address(shares), MIN_SUPPLY);
        setUpRoles();
        handOver();
        passAdmin();
    }

    /// @dev The manager is the guardian of the vault, too, so that it can lower its risk.
    function defaultSetup() internal override returns (IVault.Setup memory setup) {
        if (address(manager) == address(0)) manager = newManager();
        setup = super.defaultSetup();
        setup.guardian = address(manager);
    }

    function newManager() internal returns (IAccessManager) {
        string memory artifact = "node_modules/@openzeppelin/contracts/build/contracts/AccessManager.json";
        return IAccessManager(deployCode(artifact, abi.encode(address(this))));
    }

    function newBrake(address token, uint256 minSupply) internal returns (IBrake) {
        return IBrake(deployCode("Brake.sol:Brake", abi.encode(manager, token, minSupply)));
    }

    /// @dev Overridden where the set-up is the point.
    function setUpRoles() internal virtual {
        assign(
            address(plimsoll),
            MONEY,
            abi.encode(plimsoll.setFee.selector, plimsoll.setFeeRecipient.selector, plimsoll.setBackstop.selector)
        );
        assign(address(plimsoll), OWNERSHIP, abi.encode(plimsoll.transferOwnership.selector));
        assign(address(vault), OWNERSHIP, abi.encode(vault.transferOwnership.selector));
        assign(address(vault), VAULT_CHANGES, abi.encode(vault.submit.selector, vault.setAllocator.selector));
        assign(address(vault), LOWERING, abi.encode(vault.revoke.selector, vault.setCap.selector));
        assign(address(manager), ADMIN_OPERATIONS, adminOperations());
        uint64[4] memory raising = [MONEY, OWNERSHIP, VAULT_CHANGES, ADMIN_OPERATIONS];
        for (uint256 i; i < 4; ++i) {
            manager.setRoleGuardian(raising[i], BRAKE);
        }
        manager.grantRole(MONEY, GOVERNOR, MONEY_DELAY);
        manager.grantRole(OWNERSHIP, GOVERNOR, ADMIN_DELAY);
        manager.grantRole(VAULT_CHANGES, GOVERNOR, MONEY_DELAY);
        manager.grantRole(LOWERING, COUNCIL, 0);
        manager.grantRole(BRAKE, address(brake), 0);
    }

    /// @dev The restricted functions of the manager, which are its administrators' whatever role they have.
    function adminOperations() internal view returns (bytes memory) {
        return abi.encodePacked(
            abi.encode(manager.labelRole.selector, manager.grantRole.selector, manager.revokeRole.selector),
            abi.encode(manager.setRoleAdmin.selector, manager.setRoleGuardian.selector, manager.setGrantDelay.selector),
            abi.encode(
                manager.setTargetAdminDelay.selector,
                manager.setTargetClosed.selector,
                manager.setTargetFunctionRole.selector,
                manager.updateAuthority.selector
            )
        );
    }

    /// @param selectors words of 32 bytes
    function assign(address target, uint64 role, bytes memory selectors) internal {
        uint256 count = selectors.length / 32;
        bytes4[] memory list = new bytes4[](count);
        for (uint256 i; i < count; ++i) {
            bytes32 word;
            assembly ("memory-safe") {
                word := mload(add(add(selectors, 0x20), mul(i, 0x20)))
            }
            list[i] = bytes4(word);
        }
        manager.setTargetFunctionRole(target, list, role);
    }

    /// @dev The manager becomes owner of the core and of the vault.
    function handOver() internal {
        vm.startPrank(OWNER);
        plimsoll.transferOwnership(address(manager));
        vault.transferOwnership(address(manager));
        vm.stopPrank();
        manager.execute(address(plimsoll), abi.encodeCall(plimsoll.acceptOwnership, ()));
        manager.execute(address(vault), abi.encodeCall(vault.acceptOwnership, ()));
    }

    function passAdmin() internal {
        manager.grantRole(ADMIN, GOVERNOR, ADMIN_DELAY);
        manager.renounceRole(ADMIN, address(this));
    }

    /* WHAT PEOPLE DO */

    function schedule(address target, bytes memory data, uint256 delay) internal returns (bytes32 id) {
        vm.prank(GOVERNOR);
        (id,) = manager.schedule(target, data, uint48(block.timestamp + delay));
    }

    function execute(address target, bytes memory data) internal {
        vm.prank(GOVERNOR);
        manager.execute(target, data);
    }

    function lock(address who, uint256 amount) internal {
        vm.startPrank(who);
        shares.approve(address(brake), amount);
        brake.lock(amount);
        vm.stopPrank();
    }

    function operation(address target, bytes memory data) internal view returns (IBrake.Operation memory) {
        return IBrake.Operation(GOVERNOR, target, data);
    }

    function oppose(address who, IBrake.Operation memory what) internal returns (uint256) {
        IBrake.Operation[] memory list = new IBrake.Operation[](1);
        list[0] = what;
        vm.prank(who);
        return brake.oppose(list);
    }

    /// @notice A raise of the market's fee.
    function raise() internal view returns (bytes memory) {
        return abi.encodeCall(plimsoll.setFee, (params, 1_000));
    }
}
