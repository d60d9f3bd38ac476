// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketId} from "../types/MarketParams.sol";

/// @title Backstop vault for the bad debt of chosen markets.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice An ERC-4626 vault (see `IERC4626` for the standard functions) of one loan token. Its depositors pay for the
/// bad debt of the covered markets and earn part of their interest. Its assets are its cover in the core. A loss lowers
/// the cover within the liquidation that realises it, without a call to the vault, and so lowers the value of all
/// shares, those in cooldown included. Only holders of shares can withdraw from the vault otherwise.
///
/// Every action that removes cover from lenders, or exposes depositors to a new risk, takes notice:
///  - A depositor starts a cooldown for a number of shares, waits until it ends, and redeems within the window that
///    follows.
///  - The curator announces a market's limit. Lowering it takes as long as a cooldown; raising it, or covering another
///    market, takes longer than cooldown and window together, so that depositors who disagree can redeem before.
///
/// A hundredth of all deposits is out of reach of losses. Without this floor, shares would be worthless after a total
/// loss, and the next depositor would get almost all shares, and the future income, for one unit.
///
/// Amounts are rounded against the caller. A transfer of the token must move exactly the requested amount, as in the
/// core.
interface IBackstop {
    /// @notice Shares in cooldown.
    /// @param shares that may be redeemed: those chosen, less those that have left the account since
    /// @param opensAt the first second at which they may be redeemed
    /// @param closesAt the last second at which they may be redeemed
    struct Cooldown {
        uint256 shares;
        uint256 opensAt;
        uint256 closesAt;
    }

    /// @notice A market's announced limit. All 0 if none is announced.
    /// @param limit how much of the cover the market's losses may use once this is applied
    /// @param opensAt the first second at which it may be applied
    /// @param closesAt the last second at which it may be applied
    struct Announcement {
        uint256 limit;
        uint256 opensAt;
        uint256 closesAt;
    }

    /// @notice An account's cooldown started and replaced any other; `shares` 0 ended it. Transfers and redemptions of
    /// the account lower it.
    event StartCooldown(address indexed account, uint256 shares, uint256 opensAt, uint256 closesAt);
    /// @notice Income was added to the value of all shares.
    event AddIncome(address indexed payer, uint256 assets);
    /// @notice A market's limit was announced; this replaced any other announcement for the market.
    event AnnounceLimit(MarketId indexed id, uint256 limit);
    event CancelLimit(MarketId indexed id);
    /// @notice A market's limit in the core was set.
    event ApplyLimit(MarketId indexed id, uint256 limit);
    event CuratorshipTransferStarted(address indexed curator, address indexed pendingCurator);
    event CuratorshipTransferred(address indexed previousCurator, address indexed newCurator);

    error ZeroAddress();
    /// @notice The window must be at least a day, and the cooldown at least as long as the window and at most 60 days.
    error InvalidTimes(uint256 cooldownSecs, uint256 windowSecs);
    /// @notice The amount is 0, or is worth less than one share.
    error AmountTooSmall(uint256 assets);
    /// @notice There are no shares that the income could belong to: deposit first.
    error NoShares();
    /// @notice The account holds fewer shares than its cooldown would have.
    error InsufficientShares(uint256 shares, uint256 available);
    error NotCurator(address caller);
    error NotPendingCurator(address caller);
    /// @notice The market does not exist or lends another token.
    error WrongLoanToken(MarketId id, address loanToken, address asset);
    error LimitNotAnnounced(MarketId id);
    /// @notice The announced limit may be applied from `opensAt` to `closesAt`.
    error LimitNotApplicable(MarketId id, uint256 opensAt, uint256 closesAt);

    /* LEAVING */

    /// @notice Starts a cooldown for this many of the caller's shares, which replaces any other; 0 ends it. The shares
    /// remain the caller's and pay for losses until they are redeemed. Shares received later are not part of the
    /// cooldown; transferred shares are subtracted from it first.
    function startCooldown(uint256 shares) external;

    /// @notice Returns an account's cooldown; all 0 if there is none.
    function cooldown(address account) external view returns (Cooldown memory);

    /* INCOME */

    /// @notice Pulls income from the caller and adds it to the value of all shares. It cannot be sandwiched by a
    /// deposit and a redemption, since redeeming takes a cooldown.
    function addIncome(uint256 assets) external;

    /* COVERED MARKETS */

    /// @notice Announces how much of the cover a market's losses may use, 0 for none; losses lower the limit. The
    /// market's loan token must be the vault's asset. A market is covered only if the core's owner has also chosen this
    /// backstop.
    function announceLimit(MarketId id, uint256 limit) external;

    /// @notice Cancels an announcement.
    function cancelLimit(MarketId id) external;

    /// @notice Applies an announced limit within its window. Anyone may call it. An announcement lapses after as long
    /// as a depositor's window, so that no old announcement can be used just ahead of a loss.
    function applyLimit(MarketId id) external;

    /// @notice Returns a market's announced limit. Whether it raises or lowers the limit, and so when it opens, depends
    /// on the current limit, after losses.
    function announcedLimit(MarketId id) external view returns (Announcement memory);

    /// @notice Returns how much of the cover a market's losses may still use.
    function limit(MarketId id) external view returns (uint256);

    /* CURATOR: a timelock in production */

    /// @notice Offers the curatorship to another account, which has to accept it.
    function transferCuratorship(address newCurator) external;

    /// @notice Accepts the curatorship. Reverts unless the caller is the pending curator.
    function acceptCuratorship() external;

    /// @notice Returns the curator.
    function curator() external view returns (address);

    /// @notice Returns the account to which the curatorship is offered; 0 for none.
    function pendingCurator() external view returns (address);

    /* IMMUTABLES */

    /// @notice Returns the core, which holds the vault's assets.
    function plimsoll() external view returns (address);

    /// @notice Returns the length of a cooldown, which is also the notice of a lower limit, in seconds.
    function cooldownSecs() external view returns (uint256);

    /// @notice Returns the length of the window for redeeming after a cooldown, in seconds.
    function windowSecs() external view returns (uint256);

    /// @notice Returns the notice of a higher limit, in seconds: cooldown, window and a day.
    function raiseDelaySecs() external view returns (uint256);
}
