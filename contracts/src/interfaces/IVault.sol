// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Vault for lenders over markets of the core.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice An ERC-4626 vault (see `IERC4626` for the standard functions) of one token, which supplies it to up to 12
/// markets of the core. No pause, no gate, no adapter and no call to an address that somebody chose: the vault calls
/// its token and the core, and no verb of a depositor asks an oracle.
///
/// Value. The vault counts the supply shares that it bought itself, at their price in the core, and the tokens that it
/// keeps idle. Tokens and supply shares that others give it count nothing. A loss lowers the price of the vault's
/// shares at once; gains raise it by at most a maximum rate, and the rest follows later. Value is updated once in a
/// transaction, so that nobody redeems ahead of a loss and deposits behind it in one. A deposit behind a loss in the
/// same transaction is therefore priced before the loss: the verbs with a limit are for callers who cannot exclude that.
///
/// Exits. Withdrawals take idle tokens first, then the liquidity of the deposit market, then of the markets in the
/// order that the allocator prefers, then of all others. `redeemInKind` works without liquidity: the holder receives
/// his part of every position in the core, and of the idle tokens.
///
/// Roles. Whatever raises depositors' risk waits for the raise delay, which is fixed and readable here: it is submitted
/// as the call's data, can be revoked, and anybody executes it within a week after the delay. Whatever lowers risk is
/// instant. A function can be abdicated for ever.
///  - The owner appoints the others and sets the fee, all by submission; he can dismiss an allocator at once.
///  - The curator submits markets, higher caps and a higher maximum rate; he lowers them at once and raises a cap by
///    small steps.
///  - The guardian revokes what was submitted, lowers caps and withdraws from markets into idle.
///  - Allocators move tokens between enabled markets, within the caps.
///
/// A transfer of the token must move exactly the requested amount, as in the core. While a flash loan of the core is in
/// progress its balance is lower than its books, and a withdrawal that needs those tokens reverts.
interface IVault {
    /// @notice What a vault is made with. Markets and caps in it take effect at once, since there are no depositors.
    /// @param maxRatePerSecond by which the vault's value rises at most, 1e18-scaled; at most 200 % a year
    /// @param feeBps the part of gains for the fee recipient, in basis points; at most 2,500
    /// @param penaltyBps the part of a redemption in kind that stays with the vault, in basis points; 5 to 100
    /// @param raiseDelaySecs the time that changes wait that raise risk; 1 to 30 days
    /// @param nudgeBps the part by which the curator may raise a cap at once, in basis points; 0 for never
    /// @param nudgeSecs the time between two such steps for one cap. All steps within a raise delay raise a cap to at
    /// most 1.5 times its value
    /// @param depositMarket to which deposits are supplied at once; 0 to leave them idle
    struct Setup {
        address plimsoll;
        address asset;
        string name;
        string symbol;
        address owner;
        address curator;
        address guardian;
        address[] allocators;
        address feeRecipient;
        uint256 feeBps;
        uint256 maxRatePerSecond;
        uint256 penaltyBps;
        uint256 raiseDelaySecs;
        uint256 nudgeBps;
        uint256 nudgeSecs;
        MarketId[] markets;
        CapSetup[] caps;
        MarketId depositMarket;
    }

    struct CapSetup {
        bytes32 capId;
        uint256 absolute;
        uint256 relativeBps;
    }

    /// @notice The bound on what the vault supplies to a market, or to all markets of one collateral or oracle. It is
    /// checked when the vault supplies; interest may exceed it.
    /// @param absolute in assets; 0 allows nothing
    /// @param relativeBps in basis points of the vault's value at the beginning of the transaction; 10,000 is no bound
    /// @param lastNudge when the curator last raised it at once
    struct Cap {
        uint256 absolute;
        uint256 relativeBps;
        uint256 lastNudge;
    }

    /// @notice A source of a reallocation.
    /// @param assets to withdraw at most; less if the vault's position or the market's liquidity is smaller
    struct Source {
        MarketId id;
        uint256 assets;
    }

    /// @notice A target of a reallocation. It is skipped where a bound is not met, and limited to what is idle and to
    /// the room of its caps.
    /// @param assets to supply at most
    /// @param maxUtilisationBps the market's highest utilisation before the supply, in basis points
    /// @param minRatePerSecond the market's lowest supply rate after the supply, 1e18-scaled
    struct Target {
        MarketId id;
        uint256 assets;
        uint256 maxUtilisationBps;
        uint256 minRatePerSecond;
    }

    /// @notice The vault's position in one market, up to now.
    /// @param shares supply shares that count
    /// @param assets that these are worth
    /// @param withdrawable the part of the assets that the market has the liquidity for
    /// @param room assets that the caps still allow to be supplied
    struct Holding {
        MarketId id;
        uint256 shares;
        uint256 assets;
        uint256 withdrawable;
        uint256 room;
    }

    /// @notice The state of the vault's value at its last update, and its settings.
    /// @param lastTotal the assets that belong to the shares
    /// @param highWaterMark the price above which gains pay a fee: assets for 1e27 shares, virtual ones included
    /// @param idle assets that are not supplied
    struct State {
        uint256 lastTotal;
        uint256 highWaterMark;
        uint256 idle;
        uint256 lastUpdate;
        uint256 maxRatePerSecond;
        uint256 feeBps;
        MarketId depositMarket;
    }

    /* EVENTS: together with those of `IERC4626` they give every stored value */

    /// @notice The value was updated, at the block's time.
    /// @param total the assets that belong to the shares from now on
    /// @param real the assets of all positions; what exceeds `total` is recognised later
    /// @param feeShares minted to the fee recipient
    event AccrueVault(uint256 total, uint256 real, uint256 feeShares, uint256 highWaterMark);
    /// @notice Idle assets were supplied to a market.
    event Allocate(MarketId indexed id, uint256 assets, uint256 shares);
    /// @notice Assets were withdrawn from a market, to idle or directly to the receiver of a withdrawal.
    event Deallocate(MarketId indexed id, uint256 assets, uint256 shares, bool toIdle);
    /// @notice Shares were redeemed for a part of each position. `Withdraw` gives the shares and their assets.
    /// @param idleAssets transferred to the receiver
    /// @param supplyShares of each market in the order of the vault's list, transferred in the core
    event RedeemInKind(address indexed owner, address indexed receiver, uint256 idleAssets, uint256[] supplyShares);
    /// @notice A market was added to the end of the list.
    event EnableMarket(MarketId indexed id);
    /// @notice A market was removed, with shares that were worth nothing; the last of the list took its place.
    event RemoveMarket(MarketId indexed id, uint256 worthlessShares);
    event SetCap(bytes32 indexed capId, uint256 absolute, uint256 relativeBps);
    event NudgeCap(bytes32 indexed capId, uint256 absolute);
    event SetFee(uint256 feeBps);
    event SetMaxRate(uint256 maxRatePerSecond);
    event SetFeeRecipient(address indexed recipient);
    event SetCurator(address indexed curator);
    event SetGuardian(address indexed guardian);
    event SetAllocator(address indexed account, bool allowed);
    event SetDepositMarket(MarketId indexed id);
    event SetWithdrawOrder(MarketId[] ids);
    event OwnershipTransferStarted(address indexed owner, address indexed pendingOwner);
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);
    event Submit(bytes32 indexed hash, bytes4 indexed selector, bytes call, uint256 executableAt);
    event Revoke(bytes32 indexed hash, address indexed account);
    event Execute(bytes32 indexed hash, address indexed account);
    event Abdicate(bytes4 indexed selector);

    /* ERRORS */

    error ZeroAddress();
    /// @notice The amount is 0, or is worth less than one share.
    error AmountTooSmall(uint256 assets);
    /// @notice The result is beyond the caller's limit.
    error LimitExceeded(uint256 result, uint256 limit);
    /// @notice Idle tokens and the liquidity of all markets are less than the withdrawal. `redeemInKind` needs none.
    error NotEnoughLiquidity(uint256 assets, uint256 available);
    /// @notice A callback of the token changed a market between the reading of its totals and the call to it.
    error MarketChanged(MarketId id);
    error WrongLoanToken(MarketId id, address loanToken, address asset);
    error MarketAlreadyEnabled(MarketId id);
    error MarketNotEnabled(MarketId id);
    error TooManyMarkets(uint256 max);
    /// @notice The vault's shares of the market are worth something.
    error MarketNotEmpty(MarketId id, uint256 assets);
    /// @notice The value is outside its bounds.
    error OutOfBounds(uint256 value, uint256 min, uint256 max);
    /// @notice The steps within one raise delay would raise a cap to more than 1.5 times its value.
    error NudgesTooLarge(uint256 nudgeBps, uint256 nudgeSecs);
    error NudgeTooSoon(uint256 possibleAt);
    error NudgeTooLarge(uint256 absolute, uint256 max);
    error DeadlinePassed(uint256 deadline);
    /// @notice The caller does not have the role for this, or the change must be submitted.
    error Unauthorized(address caller);
    /// @notice Changes by this function cannot be submitted.
    error NotSubmittable(bytes4 selector);
    error Abdicated(bytes4 selector);
    error AlreadySubmitted(bytes32 hash, uint256 executableAt);
    error NotSubmitted(bytes32 hash);
    /// @notice Now is not between the two times.
    error NotExecutable(uint256 opensAt, uint256 closesAt);

    /* DEPOSITORS */

    /// @notice `deposit` that reverts with `LimitExceeded` for less than `minShares`.
    function deposit(uint256 assets, address receiver, uint256 minShares) external returns (uint256 shares);
    /// @notice `mint` that reverts with `LimitExceeded` for more than `maxAssets`.
    function mint(uint256 shares, address receiver, uint256 maxAssets) external returns (uint256 assets);
    /// @notice `withdraw` that reverts with `LimitExceeded` for more than `maxShares`.
    function withdraw(uint256 assets, address receiver, address owner, uint256 maxShares)
        external
        returns (uint256 shares);
    /// @notice `redeem` that reverts with `LimitExceeded` for less than `minAssets`.
    function redeem(uint256 shares, address receiver, address owner, uint256 minAssets)
        external
        returns (uint256 assets);
    /// @notice Redeems shares for the same part of every position in the core and of the idle tokens, less the penalty.
    /// Needs no liquidity, no oracle and no role. The last holder pays no penalty.
    /// @param leaveIdle leaves the holder's part of the idle tokens to the vault: the way out where the token refuses to
    /// be transferred by the vault
    /// @return assets that the shares were redeemed for, the part left included
    function redeemInKind(uint256 shares, address receiver, address owner, bool leaveIdle)
        external
        returns (uint256 assets);
    /// @notice Updates the vault's value. Anybody may call it.
    function accrue() external;

    /* ALLOCATION */

    /// @notice Withdraws from the sources to idle, then supplies idle tokens to the targets, each within its bounds.
    /// For an allocator.
    /// @param minIdle assets that stay idle
    function reallocate(Source[] calldata sources, Target[] calldata targets, uint256 minIdle, uint256 deadline)
        external;
    /// @notice Withdraws all of the liquidity that the vault can from a market to idle. For an allocator, the curator
    /// and the guardian.
    function deallocate(MarketId id) external;
    /// @notice Sets the market that deposits are supplied to, or none (0). For an allocator; the curator and the
    /// guardian may set none.
    function setDepositMarket(MarketId id) external;
    /// @notice Sets the order in which withdrawals use markets after the deposit market. Markets that are not named
    /// follow. For an allocator.
    function setWithdrawOrder(MarketId[] calldata ids) external;

    /* CHANGES: those that raise risk are executed after submission only */

    /// @notice Adds a market to the list. By submission only.
    function enableMarket(MarketId id) external;
    /// @notice Removes a market: at once by the curator if the vault has no shares of it, by submission if they are
    /// worth nothing.
    function removeMarket(MarketId id) external;
    /// @notice Sets a cap. The curator and the guardian may lower it at once.
    /// @param capId the market's id, or `collateralCapId` or `oracleCapId` of a collateral token or oracle
    function setCap(bytes32 capId, uint256 absolute, uint256 relativeBps) external;
    /// @notice Raises the absolute part of a cap by a small step at once. For the curator.
    function nudgeCap(bytes32 capId, uint256 absolute) external;
    /// @notice Sets the fee. The owner may lower it at once.
    function setFee(uint256 feeBps) external;
    /// @notice Sets the maximum rate of gains. The owner and the curator may lower it at once.
    function setMaxRate(uint256 maxRatePerSecond) external;
    /// @notice Sets the fee recipient, or none (0), and then gains pay no fee. By submission only.
    function setFeeRecipient(address recipient) external;
    /// @notice By submission only.
    function setCurator(address newCurator) external;
    /// @notice By submission only.
    function setGuardian(address newGuardian) external;
    /// @notice Appoints an allocator by submission; owner, curator and guardian may dismiss one at once.
    function setAllocator(address account, bool allowed) external;
    /// @notice Forbids for ever that a function's change is submitted or executed. By submission only.
    function abdicate(bytes4 selector) external;

    /* SUBMISSION */

    /// @notice Submits a change for execution after the raise delay. For the owner, or the curator: markets, caps and
    /// the maximum rate.
    /// @param call the call's data
    /// @return hash of the call, by which it is revoked
    function submit(bytes calldata call) external returns (bytes32 hash);
    /// @notice Revokes what was submitted. For the curator and the guardian.
    function revoke(bytes32 hash) external;
    /// @notice Executes what was submitted, within a week after its delay. Anybody may call it.
    function execute(bytes calldata call) external;

    /* OWNERSHIP */

    function transferOwnership(address newOwner) external;
    function acceptOwnership() external;

    /* VIEWS */

    /// @notice Returns the vault's positions, with interest up to now, in the order of its list.
    function holdings() external view returns (Holding[] memory);
    function state() external view returns (State memory);
    function markets() external view returns (MarketParams[] memory);
    /// @notice Returns the order of withdrawals, all markets included.
    function withdrawOrder() external view returns (MarketId[] memory);
    function cap(bytes32 capId) external view returns (Cap memory);
    function collateralCapId(address collateralToken) external pure returns (bytes32);
    function oracleCapId(address oracle) external pure returns (bytes32);
    /// @notice Returns the time from which a submitted call can be executed; 0 if it is not submitted.
    function executableAt(bytes32 hash) external view returns (uint256);
    function abdicated(bytes4 selector) external view returns (bool);
    function isAllocator(address account) external view returns (bool);
    function owner() external view returns (address);
    function pendingOwner() external view returns (address);
    function curator() external view returns (address);
    function guardian() external view returns (address);
    function feeRecipient() external view returns (address);
    function plimsoll() external view returns (address);
    function penaltyBps() external view returns (uint256);
    function raiseDelaySecs() external view returns (uint256);
    function nudgeBps() external view returns (uint256);
    function nudgeSecs() external view returns (uint256);
}
