// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketId} from "../types/MarketParams.sol";

/// @title A backstop: depositors who pay for the bad debt of chosen markets, and earn part of those markets' income
/// @notice An ERC-4626 vault (see `IERC4626` for that half) for one loan token, whose assets are its cover in the core.
/// A loss lowers that number inside the liquidation that realises it, without a call to the vault, and so lowers what
/// all shares are worth, those on their way out included. Nothing else can take from the vault but its shares' holders.
///
/// Leaving takes notice, and so does everything else that would pull cover away from lenders or put depositors at new
/// risk:
///  - a depositor starts a cooldown for a number of shares, waits it out, and leaves within the window that follows;
///  - the curator announces a market's limit. Lowering it takes as long as a cooldown; raising it, or covering another
///    market, takes longer than cooldown and window together, so that who disagrees can be gone before.
///
/// A hundredth of what was put in stays out of every loss's reach. Without that remnant, shares would be worth nothing
/// after a total loss, and the next depositor would get all of them, and the income to come, for one unit.
///
/// Amounts are rounded against the caller. The token must move exactly what it is asked to, as in the core.
interface IBackstop {
    /// @notice Shares on their way out.
    /// @param shares how many may leave: those chosen, less what left the account since
    /// @param opensAt the first second at which they may
    /// @param closesAt the last second at which they may
    struct Cooldown {
        uint256 shares;
        uint256 opensAt;
        uint256 closesAt;
    }

    /// @notice A market's coming limit. All zero where none is announced.
    /// @param limit how much of the cover the market may use from when this is applied
    /// @param opensAt the first second at which it may be applied
    /// @param closesAt the last second at which it may be applied
    struct Announcement {
        uint256 limit;
        uint256 opensAt;
        uint256 closesAt;
    }

    /// @notice An account's cooldown began, in place of any other; `shares` 0 ended it. From then on it falls by what
    /// the account transfers and redeems.
    event StartCooldown(address indexed account, uint256 shares, uint256 opensAt, uint256 closesAt);
    /// @notice Somebody added to what all shares are worth.
    event AddIncome(address indexed payer, uint256 assets);
    /// @notice A market's limit was announced, in place of any other announcement for it.
    event AnnounceLimit(MarketId indexed id, uint256 limit);
    event CancelLimit(MarketId indexed id);
    /// @notice A market's limit in the core is now this.
    event ApplyLimit(MarketId indexed id, uint256 limit);
    event CuratorshipTransferStarted(address indexed curator, address indexed pendingCurator);
    event CuratorshipTransferred(address indexed previousCurator, address indexed newCurator);

    error ZeroAddress();
    /// @notice The window must last a day at least, the cooldown as long as the window at least, and 60 days at most.
    error InvalidTimes(uint256 cooldownSecs, uint256 windowSecs);
    /// @notice The amount is 0, or is worth less than one share.
    error AmountTooSmall(uint256 assets);
    /// @notice Nobody holds shares, so the income would be nobody's. Deposit first.
    error NoShares();
    /// @notice One cannot let more shares cool down than one holds.
    error InsufficientShares(uint256 shares, uint256 available);
    error NotCurator(address caller);
    error NotPendingCurator(address caller);
    /// @notice The market does not exist or lends another token.
    error WrongLoanToken(MarketId id, address loanToken, address asset);
    error LimitNotAnnounced(MarketId id);
    /// @notice The announced limit may be applied from `opensAt` to `closesAt`.
    error LimitNotApplicable(MarketId id, uint256 opensAt, uint256 closesAt);

    /* LEAVING */

    /// @notice Lets this many of the caller's shares cool down, in place of those that did before; 0 ends it. They stay
    /// the caller's and can be slashed until they are redeemed. Shares that come later do not join them; a transfer
    /// takes from them first.
    function startCooldown(uint256 shares) external;

    /// @notice An account's cooldown; all 0 where none was started or nothing is left of it.
    function cooldown(address account) external view returns (Cooldown memory);

    /* INCOME */

    /// @notice Adds to what all shares are worth, from the caller's tokens. Joining just before and leaving right after
    /// does not work: leaving takes a cooldown.
    function addIncome(uint256 assets) external;

    /* COVERED MARKETS */

    /// @notice Announces how much of the cover a market may use, 0 for none; what losses use up lowers it. The market's
    /// loan token must be the vault's asset. A market is covered only when the core's owner, too, chose this backstop.
    function announceLimit(MarketId id, uint256 limit) external;

    /// @notice Takes back an announcement.
    function cancelLimit(MarketId id) external;

    /// @notice Carries out an announcement when its time has come. Anybody may. It lapses after as long as a
    /// depositor's window, so that no old announcement lies ready to be used just ahead of a loss.
    function applyLimit(MarketId id) external;

    /// @notice What is announced for a market. Whether it raises or lowers the limit, and so its time, is judged
    /// against what losses have left of the limit now.
    function announcedLimit(MarketId id) external view returns (Announcement memory);

    /// @notice How much more of the cover a market may use.
    function limit(MarketId id) external view returns (uint256);

    /* CURATOR: a timelock in production. */

    /// @notice Offers the curatorship to another account, which has to accept it.
    function transferCuratorship(address newCurator) external;

    /// @notice Accepts the curatorship.
    function acceptCuratorship() external;

    function curator() external view returns (address);

    function pendingCurator() external view returns (address);

    /* WHAT IT IS MADE OF */

    /// @notice The core, which keeps the vault's assets.
    function plimsoll() external view returns (address);

    /// @notice How long shares cool down, and how long before it takes effect a lower limit is announced.
    function cooldownSecs() external view returns (uint256);

    /// @notice For how long shares may leave after their cooldown.
    function windowSecs() external view returns (uint256);

    /// @notice How long before it takes effect a higher limit is announced: cooldown, window and a day to notice.
    function raiseDelaySecs() external view returns (uint256);
}
