// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Authorization} from "../types/Authorization.sol";
import {Market, Position} from "../types/Market.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Plimsoll: collateralised lending, all markets in one immutable contract
/// @notice Anybody creates markets, and a market never changes. There is no proxy, no pause and no key that can touch a
/// position. The owner may set a market's fee within a bound, who collects it, and which backstop covers the market.
///
/// Amounts named `assets` are units of a token, amounts named `shares` are parts of a market's supply or debt. Where
/// both are parameters exactly one is not 0. Rounding is always against the caller, by at most one unit.
///
/// Whoever creates or uses a market relies on its tokens and its oracle:
///  1. a transfer moves exactly what it is asked to: no fee on transfer, no rebasing, no balance that shrinks by
///     itself. (Measuring each transfer would cost everybody 1,300 gas a call.)
///  2. a token may call back, return nothing, return false or refuse a transfer of 0; it may not lie about success.
///  3. the oracle keeps to `IOracle`. A false oracle ruins its market, and no other.
///  4. a market's totals fit 128 bits, shares included, of which there are about a million to a unit: a market holds
///     about 3.4e32 units.
///
/// While a call is on its way to the outside (callbacks, tokens), all books are already as they will be when it
/// returns; only the contract's token balance may lag behind. Calling in again is therefore allowed.
interface IPlimsoll {
    /* EVENTS: their numbers are what was added and taken, so that every stored word can be rebuilt from them. */

    /// @notice A market was created, with no fee, at its curve's starting rate.
    event CreateMarket(MarketId indexed id, MarketParams params);
    /// @notice Interest up to this block: emitted whenever a market's last update moves.
    /// @param interest in 2^-32 units: the whole units (`interest >> 32`) were added to supply and borrow assets, the
    /// rest (the lower 32 bits) is the new interest remainder
    /// @param feeShares added to supply and reserve shares
    /// @param rateAtTarget the new rate at target
    /// @param timestamp the new last update
    event Accrue(MarketId indexed id, uint256 interest, uint256 feeShares, uint256 rateAtTarget, uint256 timestamp);
    event Supply(MarketId indexed id, address indexed caller, address indexed onBehalf, uint256 assets, uint256 shares);
    event Withdraw(
        MarketId indexed id,
        address caller,
        address indexed onBehalf,
        address indexed receiver,
        uint256 assets,
        uint256 shares
    );
    event SupplyCollateral(MarketId indexed id, address indexed caller, address indexed onBehalf, uint256 assets);
    event WithdrawCollateral(
        MarketId indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 assets
    );
    event Borrow(
        MarketId indexed id,
        address caller,
        address indexed onBehalf,
        address indexed receiver,
        uint256 assets,
        uint256 shares
    );
    /// @notice Borrow assets fall by `assets`, but not below a millionth of the borrow shares that are left, rounded
    /// up.
    event Repay(MarketId indexed id, address indexed caller, address indexed onBehalf, uint256 assets, uint256 shares);
    /// @notice One loan was liquidated, whole or in part.
    /// @param repaid by the caller; borrow assets fall by `repaid + badDebt`, but not below a millionth of the borrow
    /// shares that are left, rounded up
    /// @param shares by how much the loan's borrow shares fell
    /// @param seized by how much its collateral fell
    /// @param badDebt what was written off
    event Liquidate(
        MarketId indexed id,
        address indexed caller,
        address indexed borrower,
        uint256 repaid,
        uint256 shares,
        uint256 seized,
        uint256 badDebt
    );
    /// @notice The bad debt of one call and who paid it. Supply assets fall by `loss - fromCover`.
    /// @param reserveShares burned, from supply and reserve shares, for `fromReserve` assets
    /// @param backstop whose cover and limit for this market fell by `fromCover`
    event RealiseLoss(
        MarketId indexed id,
        address indexed backstop,
        uint256 loss,
        uint256 fromReserve,
        uint256 reserveShares,
        uint256 fromCover
    );
    event FlashLoan(address indexed initiator, address indexed receiver, address indexed token, uint256 assets);
    /// @notice Part of a market's reserve was paid out.
    /// @param shares burned, from supply and reserve shares
    event CollectReserve(MarketId indexed id, address indexed recipient, uint256 assets, uint256 shares);
    event DepositCover(address indexed backstop, address indexed token, uint256 assets);
    event WithdrawCover(address indexed backstop, address indexed token, address indexed receiver, uint256 assets);
    event SetCoverFloor(address indexed backstop, address indexed token, uint256 floor);
    event SetCoverLimit(address indexed backstop, MarketId indexed id, uint256 limit);
    event SetAuthorization(address indexed authorizer, address indexed authorized, uint256 expiry);
    event UseNonce(address indexed authorizer, uint256 nonce);
    event SetFee(MarketId indexed id, uint256 feeBps);
    event SetFeeRecipient(MarketId indexed id, address indexed recipient);
    event SetBackstop(MarketId indexed id, address indexed backstop);
    event OwnershipTransferStarted(address indexed owner, address indexed pendingOwner);
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    /* ERRORS */

    /// @notice Of `assets` and `shares` exactly one must not be 0.
    error AmountAmbiguous(uint256 assets, uint256 shares);
    /// @notice The amount is 0, or so small that it comes to nothing on the other side.
    error AmountTooSmall(uint256 amount);
    /// @notice The amount, or a total that it leads to, exceeds 2^128 - 1.
    error AmountTooLarge(uint256 amount);
    error ZeroAddress();
    error MarketNotCreated(MarketId id);
    error MarketAlreadyCreated(MarketId id);
    /// @notice A market needs contracts for its tokens and its oracle; this is not one.
    error NoCode(address account);
    error SameToken(address token);
    /// @notice 0 < borrow LTV ≤ 0.995 × liquidation LTV, liquidation LTV ≤ 98 %, smallest debt ≥ 10,000, no unused
    /// bits.
    error InvalidRisk(uint256 risk);
    /// @notice Start 0.1–200 % a year, target 1–99 %, steepness 1–10, speed at most 200 a year, no unused bits.
    error InvalidRateCurve(uint256 curve);
    error Unauthorized(address caller, address onBehalf);
    error InsufficientSupplyShares(uint256 shares, uint256 available);
    error InsufficientCollateral(uint256 assets, uint256 available);
    error InsufficientLiquidity(uint256 assets, uint256 available);
    /// @notice The debt would exceed what the collateral carries at the borrow LTV.
    error Unhealthy(uint256 debt, uint256 maxDebt);
    error DebtTooSmall(uint256 debt, uint256 smallestDebt);
    error OraclePriceZero(address oracle);
    /// @notice No borrower in the list could be liquidated, wholly or in part, for `maxRepay`.
    error NothingToLiquidate();
    /// @notice Seized collateral for each unit repaid, 1e36-scaled, is less than the caller accepts.
    error SeizedTooLittle(uint256 seizedPerRepaid, uint256 minSeizedPerRepaid);
    error FlashLoanTooLarge(uint256 assets, uint256 available);
    /// @notice The receiver did not answer `onFlashLoan` as ERC-3156 wants.
    error FlashLoanRefused(address receiver);
    error TransferFailed(address token, address from, address to, uint256 amount);
    error InsufficientCover(uint256 assets, uint256 available);
    error NoFeeRecipient(MarketId id);
    error FeeTooHigh(uint256 feeBps, uint256 maxFeeBps);
    error NotOwner(address caller);
    error NotPendingOwner(address caller);
    error SignatureExpired(uint256 deadline);
    /// @notice The nonce is not the signer's next one.
    error InvalidNonce(uint256 nonce, uint256 expected);
    error InvalidSignature(address authorizer);

    /* MARKETS */

    /// @notice Creates a market. Its risk and rates are bounded, its tokens and its oracle are whatever the creator
    /// chooses: see the assumptions above.
    function createMarket(MarketParams calldata params) external returns (MarketId id);

    /// @notice Brings a market's interest up to this block. Never reverts for a market that exists.
    function accrue(MarketParams calldata params) external;

    /* SUPPLY */

    /// @notice Lends to a market, by assets or by shares. Anybody may do so for anybody.
    /// @param data when not empty, the caller is called back before the tokens are taken
    function supply(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, bytes calldata data)
        external
        returns (uint256 suppliedAssets, uint256 suppliedShares);

    /// @notice Takes back what was lent, by assets or by shares, as far as it is not lent out.
    function withdraw(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, address receiver)
        external
        returns (uint256 withdrawnAssets, uint256 withdrawnShares);

    /* COLLATERAL */

    /// @notice Adds collateral. Anybody may do so for anybody. Collateral earns nothing.
    /// @param data when not empty, the caller is called back before the tokens are taken
    function supplyCollateral(MarketParams calldata params, uint256 assets, address onBehalf, bytes calldata data)
        external;

    /// @notice Takes out collateral. With debt, the rest must carry it at the borrow LTV and the borrow price; without,
    /// neither interest nor the oracle matters.
    function withdrawCollateral(MarketParams calldata params, uint256 assets, address onBehalf, address receiver)
        external;

    /* DEBT */

    /// @notice Borrows, by assets or by shares, up to the borrow LTV at the borrow price. Of the shares only those are
    /// taken on that whole units stand for. The debt must be at least the market's smallest.
    function borrow(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, address receiver)
        external
        returns (uint256 borrowedAssets, uint256 borrowedShares);

    /// @notice Repays, by assets or by shares. Anybody may do so for anybody. More than is owed is taken as all that is
    /// owed, so `shares = type(uint256).max` pays off a loan whatever else is repaid ahead of it; where nothing is owed
    /// any more, nothing is taken. What is repaid in part leaves at least a million shares of debt, about a unit; more
    /// is taken as what leaves that. It may leave a debt below the smallest: a check here would let others block it.
    /// @param data when not empty, the caller is called back before the tokens are taken
    function repay(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, bytes calldata data)
        external
        returns (uint256 repaidAssets, uint256 repaidShares);

    /* LIQUIDATION */

    /// @notice Liquidates loans with health below 1, in the order given. Each has a ceiling, set by its health (see
    /// `docs/protocol.md`), and the caller may take less. Healthy loans are skipped, and so are those of which not even
    /// a part could be repaid without leaving a debt below the smallest. The price is read once, interest accrued once,
    /// tokens moved once.
    /// @param maxRepay the most that the caller will repay over all loans
    /// @param minSeizedPerRepaid the least collateral for each unit repaid, over all loans, 1e36-scaled
    /// @param receiver of the collateral
    /// @param data when not empty, the caller is called back after the collateral was sent and before the repayment is
    /// taken
    function liquidate(
        MarketParams calldata params,
        address[] calldata borrowers,
        uint256 maxRepay,
        uint256 minSeizedPerRepaid,
        address receiver,
        bytes calldata data
    ) external returns (uint256 repaid, uint256 seized);

    /* RESERVE AND COVER */

    /// @notice Sends the part of a market's reserve that exceeds 1 % of its debt to the market's fee recipient, as far
    /// as it is not lent out. Anybody may call it.
    function collectReserve(MarketParams calldata params) external returns (uint256 assets);

    /// @notice Adds to the caller's cover: tokens kept here to pay for the bad debt of markets that the caller chose by
    /// `setCoverLimit` and whose owner-set backstop is the caller.
    function depositCover(address token, uint256 assets) external;

    /// @notice Takes out of the caller's cover.
    function withdrawCover(address token, uint256 assets, address receiver) external;

    /// @notice Says how much of the caller's cover no loss may take from now on, however many there are: so that a
    /// backstop's own shares never become worthless. It does not hinder the caller's withdrawals.
    function setCoverFloor(address token, uint256 floor) external;

    /// @notice Says how much of the caller's cover a market may use from now on. What is used lowers it.
    function setCoverLimit(MarketId id, uint256 limit) external;

    /* FLASH LOANS */

    /// @notice Lends any token that is here until the end of the call, for free (ERC-3156).
    function flashLoan(address receiver, address token, uint256 assets, bytes calldata data) external returns (bool);

    /// @notice What can be flash-borrowed of a token; 0 where it is no token.
    function maxFlashLoan(address token) external view returns (uint256);

    /// @notice 0.
    function flashFee(address token, uint256 assets) external view returns (uint256);

    /* AUTHORISATION */

    /// @notice Lets another account withdraw, withdraw collateral and borrow on the caller's behalf, up to and
    /// including the second `expiry`; 0 ends it.
    function setAuthorization(address authorized, uint256 expiry) external;

    /// @notice The same by a signature (EIP-712) of the authorizer: of its key, or by ERC-1271 where it has code; an
    /// EIP-7702 account may do either. A signature whose nonce was used already changes nothing and does not fail, so
    /// that whoever brings it first does not break the transaction it was meant for.
    function setAuthorizationWithSig(Authorization calldata authorization, bytes calldata signature) external;

    /// @notice Carries out several calls to this contract as one, for the same caller; if one fails, all do.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    /* OWNER */

    /// @notice Sets which part of a market's interest goes to its reserve, at most a quarter.
    function setFee(MarketParams calldata params, uint256 feeBps) external;

    /// @notice Sets who gets a market's reserve above its floor; 0 for nobody.
    function setFeeRecipient(MarketId id, address recipient) external;

    /// @notice Sets which backstop covers a market; 0 for none. Anybody can create a market with a false oracle, so a
    /// backstop pays only where both it and the owner chose to.
    function setBackstop(MarketId id, address backstop) external;

    /// @notice Offers the ownership to another account, which has to accept it.
    function transferOwnership(address newOwner) external;

    /// @notice Accepts the ownership.
    function acceptOwnership() external;

    /* VIEWS */

    /// @notice A market as of its last update; all 0 where there is none.
    function market(MarketId id) external view returns (Market memory);

    /// @notice An account's position in a market.
    function position(MarketId id, address account) external view returns (Position memory);

    /// @notice The parameters of a market; all 0 where there is none.
    function marketParams(MarketId id) external view returns (MarketParams memory);

    /// @notice What a backstop keeps here of a token.
    function cover(address backstop, address token) external view returns (uint256);

    /// @notice What a backstop keeps here of a token that no loss may take.
    function coverFloor(address backstop, address token) external view returns (uint256);

    /// @notice How much more of its cover a backstop lets a market use.
    function coverLimit(address backstop, MarketId id) external view returns (uint256);

    /// @notice Who gets a market's reserve above its floor.
    function feeRecipient(MarketId id) external view returns (address);

    /// @notice Which backstop covers a market.
    function backstop(MarketId id) external view returns (address);

    /// @notice The last second at which `authorized` may act for `authorizer`.
    function authorizationExpiry(address authorizer, address authorized) external view returns (uint256);

    /// @notice The nonce of an account's next signature.
    function nonce(address authorizer) external view returns (uint256);

    /// @notice The EIP-712 domain separator, of this contract on this chain.
    // forge-lint: disable-next-line(mixed-case-function)
    function DOMAIN_SEPARATOR() external view returns (bytes32);

    function owner() external view returns (address);

    function pendingOwner() external view returns (address);
}
