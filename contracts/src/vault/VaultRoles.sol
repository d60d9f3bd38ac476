// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {IVault} from "../interfaces/IVault.sol";

/// @dev The time in which a change can be executed after its delay.
uint256 constant EXECUTION_WINDOW_SECS = 7 days;

/// @title Roles of a vault, and the delay of changes that raise risk.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IVault`. A change that was submitted is executed by the vault's call to itself: a function is open to
/// `address(this)` where it raises risk, and to a role where it lowers it.
abstract contract VaultRoles is IVault {
    uint256 internal constant MIN_RAISE_DELAY_SECS = 1 days;
    uint256 internal constant MAX_RAISE_DELAY_SECS = 30 days;
    uint256 internal constant MIN_NUDGE_SECS = 1 hours;
    uint256 internal constant MAX_NUDGE_SECS = 365 days;

    uint256 internal immutable RAISE_DELAY_SECS;

    /// @inheritdoc IVault
    address public owner;
    /// @inheritdoc IVault
    address public pendingOwner;
    /// @inheritdoc IVault
    address public curator;
    /// @inheritdoc IVault
    address public guardian;
    /// @inheritdoc IVault
    mapping(address => bool) public isAllocator;
    /// @inheritdoc IVault
    mapping(bytes32 => uint256) public executableAt;
    /// @inheritdoc IVault
    mapping(bytes4 => bool) public abdicated;

    constructor(Setup memory setup) {
        if (setup.owner == address(0) || setup.curator == address(0)) revert ZeroAddress();
        _requireWithin(setup.raiseDelaySecs, MIN_RAISE_DELAY_SECS, MAX_RAISE_DELAY_SECS);
        RAISE_DELAY_SECS = setup.raiseDelaySecs;
        (owner, curator, guardian) = (setup.owner, setup.curator, setup.guardian);
        emit OwnershipTransferred(address(0), setup.owner);
        emit SetCurator(setup.curator);
        emit SetGuardian(setup.guardian);
        for (uint256 i; i < setup.allocators.length; ++i) {
            isAllocator[setup.allocators[i]] = true;
            emit SetAllocator(setup.allocators[i], true);
        }
    }

    /// @dev For changes that raise risk: made by `execute` alone.
    modifier onlySubmitted() {
        if (msg.sender != address(this)) revert Unauthorized(msg.sender);
        _;
    }

    /* SUBMISSION */

    /// @inheritdoc IVault
    function submit(bytes calldata call) external returns (bytes32 hash) {
        bytes4 selector = bytes4(call);
        if (msg.sender != owner && !(msg.sender == curator && _isCurators(selector))) revert Unauthorized(msg.sender);
        _requireSubmittable(selector);
        hash = keccak256(call);
        uint256 opensAt = executableAt[hash];
        if (opensAt != 0 && block.timestamp <= opensAt + EXECUTION_WINDOW_SECS) revert AlreadySubmitted(hash, opensAt);
        opensAt = block.timestamp + RAISE_DELAY_SECS;
        executableAt[hash] = opensAt;
        emit Submit(hash, selector, call, opensAt);
    }

    /// @inheritdoc IVault
    function revoke(bytes32 hash) external {
        if (msg.sender != curator && msg.sender != guardian) revert Unauthorized(msg.sender);
        if (executableAt[hash] == 0) revert NotSubmitted(hash);
        delete executableAt[hash];
        emit Revoke(hash, msg.sender);
    }

    /// @inheritdoc IVault
    function execute(bytes calldata call) external {
        _requireSubmittable(bytes4(call));
        bytes32 hash = keccak256(call);
        uint256 opensAt = executableAt[hash];
        if (opensAt == 0) revert NotSubmitted(hash);
        if (block.timestamp < opensAt || block.timestamp > opensAt + EXECUTION_WINDOW_SECS) {
            revert NotExecutable(opensAt, opensAt + EXECUTION_WINDOW_SECS);
        }
        delete executableAt[hash];
        emit Execute(hash, msg.sender);
        (bool done, bytes memory reason) = address(this).call(call);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(reason, 0x20), mload(reason))
            }
        }
    }

    /// @inheritdoc IVault
    function abdicate(bytes4 selector) external onlySubmitted {
        abdicated[selector] = true;
        emit Abdicate(selector);
    }

    /// @dev Only the functions listed here: a verb of a depositor, called by the vault itself, would deposit the vault's
    /// own tokens.
    function _requireSubmittable(bytes4 selector) internal view {
        if (
            !_isCurators(selector) && selector != IVault.setFee.selector && selector != IVault.setFeeRecipient.selector
                && selector != IVault.setCurator.selector && selector != IVault.setGuardian.selector
                && selector != IVault.setAllocator.selector && selector != IVault.abdicate.selector
        ) revert NotSubmittable(selector);
        if (abdicated[selector]) revert Abdicated(selector);
    }

    function _isCurators(bytes4 selector) internal pure returns (bool) {
        return selector == IVault.enableMarket.selector || selector == IVault.removeMarket.selector
            || selector == IVault.setCap.selector || selector == IVault.setMaxRate.selector;
    }

    /* APPOINTMENTS */

    /// @inheritdoc IVault
    function setCurator(address newCurator) external onlySubmitted {
        curator = newCurator;
        emit SetCurator(newCurator);
    }

    /// @inheritdoc IVault
    function setGuardian(address newGuardian) external onlySubmitted {
        guardian = newGuardian;
        emit SetGuardian(newGuardian);
    }

    /// @inheritdoc IVault
    function setAllocator(address account, bool allowed) external {
        if (msg.sender != address(this) && (allowed || !_isSenior(msg.sender))) revert Unauthorized(msg.sender);
        isAllocator[account] = allowed;
        emit SetAllocator(account, allowed);
    }

    /// @inheritdoc IVault
    function transferOwnership(address newOwner) external {
        if (msg.sender != owner) revert Unauthorized(msg.sender);
        pendingOwner = newOwner;
        emit OwnershipTransferStarted(owner, newOwner);
    }

    /// @inheritdoc IVault
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert Unauthorized(msg.sender);
        emit OwnershipTransferred(owner, msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
    }

    /// @inheritdoc IVault
    function raiseDelaySecs() external view returns (uint256) {
        return RAISE_DELAY_SECS;
    }

    /* SHARED */

    function _isSenior(address account) internal view returns (bool) {
        return account == owner || account == curator || account == guardian;
    }

    function _requireWithin(uint256 value, uint256 min, uint256 max) internal pure {
        if (value < min || value > max) revert OutOfBounds(value, min, max);
    }
}
