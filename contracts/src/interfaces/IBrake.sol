// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Brake of depositors on governance.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Whoever holds shares of a vault or of a backstop locks them here and opposes operations that are scheduled in
/// an `AccessManager` of OpenZeppelin. Enough weight cancels an operation, which then has to be scheduled again and waits
/// its whole delay again; each further cancellation of the same operation needs more weight. A brake can do nothing
/// besides: it has no owner and no setting, and what a lowering of risk needs is never scheduled.
///
/// Weight is exposure: shares that oppose stay locked for `LOCK_SECS` from then on. They count once in a round of an
/// operation, and a round ends before they can move on to another account.
///
/// The supply that weight is measured against falls with the shares' supply at once, and rises by 10 % a day at most, one
/// day at a time: to deposit in front of a cancellation raises no threshold. Anybody may `poke` it.
interface IBrake {
    /// @notice A call that is scheduled in the manager.
    /// @param caller who scheduled it
    struct Operation {
        address caller;
        address target;
        bytes data;
    }

    /// @notice The shares of an account that are locked.
    /// @param freeAt timestamp from which they can be unlocked
    struct Lock {
        uint128 shares;
        uint40 freeAt;
    }

    /// @notice What opposes an operation.
    /// @param weight shares that oppose it in the round, each counted once
    /// @param needed weight that cancels it
    /// @param cancels times that it was cancelled already, of those that are remembered
    /// @param endsAt when the round ends; 0 if there is none
    struct Opposition {
        uint256 weight;
        uint256 needed;
        uint256 cancels;
        uint256 endsAt;
    }

    event Locked(address indexed account, uint256 shares, uint256 freeAt);
    event Unlocked(address indexed account, address indexed to, uint256 shares);
    /// @notice Shares oppose an operation. `weight` is that of the round, of which the account added `added`.
    event Opposed(
        bytes32 indexed id, uint32 indexed nonce, address indexed account, uint256 added, uint256 weight, uint256 needed
    );
    /// @notice An operation was cancelled, for this time of those that are remembered.
    event Cancelled(bytes32 indexed id, uint32 indexed nonce, uint256 cancels);

    error ZeroAddress();
    error ZeroShares();
    /// @notice The locked shares are not free yet.
    error StillLocked(uint256 freeAt);
    error TooFewLocked(uint256 locked, uint256 wanted);
    /// @notice None of the operations is scheduled; some may have been executed, cancelled or have expired.
    error NothingScheduled();
    /// @notice The shares are too few to stop anybody. They rise with time, and with each `poke`.
    error SupplyTooLow(uint256 supply, uint256 minimum);

    /// @notice Locks shares of the caller, all of whose locked shares are free `LOCK_SECS` from now at the earliest.
    function lock(uint256 shares) external;

    /// @notice Sends locked shares of the caller that are free.
    function unlock(uint256 shares, address to) external;

    /// @notice Opposes operations with all locked shares of the caller, and cancels those that meet their threshold.
    /// What is not scheduled, or not any more, is skipped. Reverts if the manager lets the brake cancel one no more.
    /// @return cancelled how many were cancelled
    function oppose(Operation[] calldata operations) external returns (uint256 cancelled);

    /// @notice Brings the supply that weight is measured against up to date.
    function poke() external returns (uint256 supply);

    /// @notice Returns what opposes an operation now; all zero but `needed` and `cancels` if it is not scheduled.
    function opposition(Operation calldata operation) external view returns (Opposition memory);

    function locked(address account) external view returns (Lock memory);
    /// @notice Returns the supply that weight is measured against, as `poke` would make it.
    function referenceSupply() external view returns (uint256);
    function manager() external view returns (address);
    /// @notice Returns the token whose holders brake.
    function sharesToken() external view returns (address);
    /// @notice Returns the least supply with which anything is cancelled.
    function minSupply() external view returns (uint256);
    /// @notice Returns the weight, in basis points of the supply, that an operation's cancellation number `cancels` + 1
    /// needs.
    function thresholdBps(uint256 cancels) external pure returns (uint256);
}
