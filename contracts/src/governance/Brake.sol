// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IBrake} from "../interfaces/IBrake.sol";

/// @title Brake of depositors on governance.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IBrake`.
/// @dev The shares are of a vault or a backstop, whose transfers call nobody. Of the manager it is only asked what is
/// scheduled, and told to cancel.
contract Brake is IBrake {
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    /// @dev What opposes an operation since `startedAt`. The cancellations outlast the round.
    struct Round {
        uint128 weight;
        uint32 nonce;
        uint40 startedAt;
        uint8 cancels;
        uint40 cancelledAt;
    }

    /// @dev The supply that weight is measured against, and when it was.
    struct Supply {
        uint128 shares;
        uint40 updatedAt;
    }

    uint256 internal constant BPS = 10_000;
    uint256 internal constant LOCK_SECS = 14 days;
    /// @dev No longer than the lock: shares that counted in a round are free when it has ended, not before.
    uint256 internal constant ROUND_SECS = LOCK_SECS;
    uint256 internal constant MEMORY_SECS = 180 days;
    uint256 internal constant GROWTH_BPS_PER_DAY = 1_000;

    IAccessManager internal immutable MANAGER;
    IERC20 internal immutable SHARES;
    uint256 internal immutable MIN_SUPPLY;

    Supply internal _supply;
    mapping(address account => Lock) internal _locks;
    mapping(bytes32 id => Round) internal _rounds;
    /// @dev Shares of an account that count in a round.
    mapping(bytes32 round => mapping(address account => uint256)) internal _counted;

    constructor(address manager_, address sharesToken_, uint256 minSupply_) {
        if (manager_ == address(0) || sharesToken_ == address(0)) revert ZeroAddress();
        if (minSupply_ == 0) revert ZeroShares();
        (MANAGER, SHARES, MIN_SUPPLY) = (IAccessManager(manager_), IERC20(sharesToken_), minSupply_);
        _supply = Supply(SHARES.totalSupply().toUint128(), uint40(block.timestamp));
    }

    /// @inheritdoc IBrake
    function lock(uint256 shares) external {
        if (shares == 0) revert ZeroShares();
        Lock memory held = _locks[msg.sender];
        held.shares = (held.shares + shares).toUint128();
        _extend(held);
        _locks[msg.sender] = held;
        emit Locked(msg.sender, shares, held.freeAt);
        SHARES.safeTransferFrom(msg.sender, address(this), shares);
    }

    /// @inheritdoc IBrake
    function unlock(uint256 shares, address to) external {
        if (to == address(0)) revert ZeroAddress();
        if (shares == 0) revert ZeroShares();
        Lock memory held = _locks[msg.sender];
        if (shares > held.shares) revert TooFewLocked(held.shares, shares);
        if (block.timestamp < held.freeAt) revert StillLocked(held.freeAt);
        _locks[msg.sender].shares = held.shares - uint128(shares);
        emit Unlocked(msg.sender, to, shares);
        SHARES.safeTransfer(to, shares);
    }

    /// @inheritdoc IBrake
    function oppose(Operation[] calldata operations) external returns (uint256 cancelled) {
        Lock memory held = _locks[msg.sender];
        if (held.shares == 0) revert ZeroShares();
        _extend(held);
        _locks[msg.sender] = held;
        uint256 supply = poke();
        if (supply < MIN_SUPPLY) revert SupplyTooLow(supply, MIN_SUPPLY);
        bool opposed;
        for (uint256 i; i < operations.length; ++i) {
            bytes32 id = _idOf(operations[i]);
            if (MANAGER.getSchedule(id) == 0) continue;
            opposed = true;
            if (_oppose(operations[i], id, held.shares, supply)) ++cancelled;
        }
        if (!opposed) revert NothingScheduled();
    }

    /// @inheritdoc IBrake
    function poke() public returns (uint256 supply) {
        supply = referenceSupply();
        _supply = Supply(supply.toUint128(), uint40(block.timestamp));
    }

    /// @inheritdoc IBrake
    function opposition(Operation calldata operation) external view returns (Opposition memory found) {
        bytes32 id = _idOf(operation);
        Round memory round = _rounds[id];
        found.cancels = _remembered(round);
        found.needed = _needed(found.cancels, referenceSupply());
        if (MANAGER.getSchedule(id) == 0 || !_runs(round, MANAGER.getNonce(id))) return found;
        (found.weight, found.endsAt) = (round.weight, round.startedAt + ROUND_SECS);
    }

    /// @inheritdoc IBrake
    function locked(address account) external view returns (Lock memory) {
        return _locks[account];
    }

    /// @inheritdoc IBrake
    function referenceSupply() public view returns (uint256) {
        Supply memory last = _supply;
        uint256 elapsed = block.timestamp - last.updatedAt;
        // However long nobody asked, only one day counts: else a deposit of a moment could raise it by many days' worth.
        if (elapsed > 1 days) elapsed = 1 days;
        // From nothing it rises, too.
        uint256 base = last.shares > MIN_SUPPLY ? last.shares : MIN_SUPPLY;
        uint256 most = last.shares + base * GROWTH_BPS_PER_DAY * elapsed / (BPS * 1 days);
        uint256 present = SHARES.totalSupply();
        return present < most ? present : most;
    }

    /// @inheritdoc IBrake
    function manager() external view returns (address) {
        return address(MANAGER);
    }

    /// @inheritdoc IBrake
    function sharesToken() external view returns (address) {
        return address(SHARES);
    }

    /// @inheritdoc IBrake
    function minSupply() external view returns (uint256) {
        return MIN_SUPPLY;
    }

    /// @inheritdoc IBrake
    function thresholdBps(uint256 cancels) public pure returns (uint256) {
        if (cancels == 0) return 200;
        if (cancels == 1) return 1_000;
        return cancels == 2 ? 2_500 : 5_000;
    }

    /// @dev Counts what of an account's shares does not count yet. Cancels where that suffices.
    function _oppose(Operation calldata operation, bytes32 id, uint256 shares, uint256 supply) private returns (bool) {
        uint32 nonce = MANAGER.getNonce(id);
        Round memory round = _rounds[id];
        if (!_runs(round, nonce)) {
            (round.weight, round.nonce, round.startedAt) = (0, nonce, uint40(block.timestamp));
        }
        uint256 added = _count(keccak256(abi.encode(id, nonce, round.startedAt)), shares);
        round.weight += uint128(added);
        uint256 cancels = _remembered(round);
        uint256 needed = _needed(cancels, supply);
        emit Opposed(id, nonce, msg.sender, added, round.weight, needed);
        if (round.weight < needed) {
            _rounds[id] = round;
            return false;
        }
        // The count need not go beyond the highest threshold.
        if (cancels != type(uint8).max) ++cancels;
        (round.cancels, round.cancelledAt) = (uint8(cancels), uint40(block.timestamp));
        _rounds[id] = round;
        emit Cancelled(id, nonce, cancels);
        MANAGER.cancel(operation.caller, operation.target, operation.data);
        return true;
    }

    function _count(bytes32 roundId, uint256 shares) private returns (uint256 added) {
        uint256 before = _counted[roundId][msg.sender];
        // Shares that counted are locked until the round has ended.
        added = shares - before;
        if (added != 0) _counted[roundId][msg.sender] = shares;
    }

    /// @dev Shares that are used are exposed for a whole lock from now on.
    function _extend(Lock memory held) private view {
        held.freeAt = uint40(block.timestamp + LOCK_SECS);
    }

    function _runs(Round memory round, uint32 nonce) private view returns (bool) {
        return round.startedAt != 0 && round.nonce == nonce && block.timestamp < round.startedAt + ROUND_SECS;
    }

    function _remembered(Round memory round) private view returns (uint256) {
        return block.timestamp > round.cancelledAt + MEMORY_SECS ? 0 : round.cancels;
    }

    /// @dev Rounded up. Never 0: no operation is cancelled by nobody.
    function _needed(uint256 cancels, uint256 supply) private pure returns (uint256 needed) {
        needed = (supply * thresholdBps(cancels) + BPS - 1) / BPS;
        if (needed == 0) needed = 1;
    }

    function _idOf(Operation calldata operation) private view returns (bytes32) {
        return MANAGER.hashOperation(operation.caller, operation.target, operation.data);
    }
}
