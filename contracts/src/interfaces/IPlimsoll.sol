// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Authorization} from "../types/Authorization.sol";
import {Market, Position} from "../types/Market.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Collateralised lending in isolated markets, all held by one immutable contract.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Anyone may create markets, and a market never changes. There is no proxy, no pause and no key that can
/// change a position. The owner may set a market's fee within a bound, its fee recipient and its backstop.
///
/// Amounts named `assets` are units of a token; amounts named `shares` are parts of a market's supply or debt. Where
/// both are parameters, exactly one must not be 0. Rounding is always against the caller, by at most one unit.
///
/// A market relies on its tokens and its oracle:
///  1. A transfer moves exactly the requested amount: no fee on transfer, no rebasing, no balance that shrinks by
///     itself. (Measuring each transfer would cost 1,300 gas a call.)
///  2. A token may call back, return nothing, return false or refuse a transfer of 0; it must not report success for a
///     transfer that failed.
///  3. The oracle conforms to `IOracle`. A false oracle ruins its own market and no other.
///  4. A market's totals fit 128 bits, shares included. There are about a million shares to a unit, so a market holds
///     at most about 3.4e32 units.
///
/// Known limits:
///  1. A liquidation realises bad debt at once, for those who are lenders then. A lender who withdraws before, in the
///     same transaction or not, leaves his part of the loss to the others; only the market's liquidity bounds this. The
///     reserve and the cover pay first.
///  2. Interest over a long time without any call is charged at an average of the rate by trapezoids, which is never
///     less than a quarter of the rate at the beginning, however fast that falls: with the steepest and fastest curve
///     a year without a call can cost borrowers several times what frequent calls would. Anyone may call `accrue`.
///  3. The rate at target of a market that is hardly used is anyone's choice, within its bounds of 0.1 % and 200 % a
///     year: a unit lent out, or left idle, moves it as a million would.
///  4. On the ramp collateral is seized in whole units, rounded down. Where one unit is worth more than a max repay
///     (a token of no decimals, at 98,000 loan tokens apiece) no liquidator gains before the breakeven zone, where the
///     whole collateral is seized.
///  5. The debt shares of a market are worth at least a millionth of a unit each. While they are worth just that, the
///     repayment or liquidation of one loan may keep a unit in the market's total that was repaid, so that another
///     loan's debt, rounded up, is one unit higher than it was, and no more than that however often it is repeated.
///     A loan whose health factor is exactly 1, to the unit, can thereby become liquidatable. Otherwise no account's
///     action raises another's debt or lowers its collateral, liquidation apart.
///  6. The surge limit of a market bounds how fast its debt grows, not debt that is already there. While it is used up
///     nobody can borrow, so anybody with collateral can delay others' borrowing by a part of the period, at the cost of
///     interest. Refinancing more aged debt than the limit in one transaction is refused. Markets with the same
///     collateral have a limit each.
///  7. The minimum debt must be large enough for the liquidation incentive on it, at its lowest (βmin − 1: 1.1 % at a
///     liquidation LTV of 86 %, 0.4 % at 94.5 %), to pay for a liquidation's gas. A repayment may leave less than the
///     minimum, together with the collateral of what was repaid.
///
/// When the contract makes an external call (callback or token transfer), its storage already has the values that it
/// will have when the outer call returns; only the contract's token balance may lag behind. Reentrant calls are
/// therefore allowed.
interface IPlimsoll {
    /* EVENTS: they give the changes of every stored value, so that the state can be rebuilt from them */

    /// @notice A market was created, with a fee of 0, at its curve's starting rate.
    event CreateMarket(MarketId indexed id, MarketParams params);
    /// @notice Interest was accrued up to this block. Emitted whenever a market's last update changes.
    /// @param interest accrued, in 2^-32 units: the whole units (`interest >> 32`) were added to supply and borrow
    /// assets, the lower 32 bits are the new interest remainder
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
    event TransferSupply(
        MarketId indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 shares
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
    /// @notice Debt was repaid. Borrow assets fall by `assets`, but not below a millionth of the remaining borrow
    /// shares, rounded up.
    event Repay(MarketId indexed id, address indexed caller, address indexed onBehalf, uint256 assets, uint256 shares);
    /// @notice One loan was liquidated, wholly or in part.
    /// @param repaid by the caller; borrow assets fall by `repaid + badDebt`, but not below a millionth of the
    /// remaining borrow shares, rounded up
    /// @param shares removed from the loan's borrow shares
    /// @param seized from the loan's collateral
    /// @param badDebt written off
    event Liquidate(
        MarketId indexed id,
        address indexed caller,
        address indexed borrower,
        uint256 repaid,
        uint256 shares,
        uint256 seized,
        uint256 badDebt
    );
    /// @notice The bad debt of one call was charged to the reserve, the cover and the suppliers, in this order. Supply
    /// assets fall by `loss - fromCover`.
    /// @param loss the bad debt of all loans in the call
    /// @param reserveShares burned, from supply and reserve shares, for `fromReserve` assets
    /// @param backstop the account whose cover and limit for this market fell by `fromCover`
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

    /// @notice Exactly one of `assets` and `shares` must not be 0.
    error InconsistentInput(uint256 assets, uint256 shares);
    /// @notice The amount is 0, or converts to 0 shares or assets.
    error AmountTooSmall(uint256 amount);
    /// @notice The amount, or a total that it results in, exceeds 2^128 - 1.
    error AmountTooLarge(uint256 amount);
    error ZeroAddress();
    error MarketNotCreated(MarketId id);
    error MarketAlreadyCreated(MarketId id);
    /// @notice A market's tokens and oracle must be contracts; this address has no code.
    error NoCode(address account);
    error SameToken(address token);
    /// @notice The risk limits violate a bound: 0 < borrow LTV ≤ 0.995 × liquidation LTV, liquidation LTV ≤ 98 %,
    /// minimum debt ≥ 10,000; no surge limit, or one with a share of at most 100 %, a period of 1 hour to 30 days and a
    /// floor of at least the minimum debt and below 2^128; no unused bits.
    error InvalidRisk(uint256 risk);
    /// @notice The rate curve violates a bound: starting rate 0.1–200 % a year, target 1–99 %, steepness 1–10, speed at
    /// most 200 a year, no unused bits.
    error InvalidRateCurve(uint256 curve);
    error Unauthorized(address caller, address onBehalf);
    error InsufficientSupplyShares(uint256 shares, uint256 available);
    error InsufficientCollateral(uint256 assets, uint256 available);
    error InsufficientLiquidity(uint256 assets, uint256 available);
    /// @notice The debt would exceed the collateral's value at the borrow price times the borrow LTV.
    error Unhealthy(uint256 debt, uint256 maxDebt);
    /// @notice The debt after a borrowing or a withdrawal of collateral would be below the market's minimum debt.
    error DebtTooSmall(uint256 debt, uint256 minDebt);
    /// @notice The borrowing exceeds the room that the market's surge limit leaves in this block.
    error SurgeLimitExceeded(uint256 assets, uint256 room);
    /// @notice The collateral is a larger part of the loan's collateral than the repayment is of its debt.
    error NotProportional(uint256 collateralOut, uint256 maxCollateralOut);
    error OraclePriceZero(address oracle);
    /// @notice No loan in the list could be liquidated, wholly or in part, for `maxRepay`.
    error NothingToLiquidate();
    /// @notice The collateral seized for each unit repaid, 1e36-scaled, is less than the caller accepts.
    error SeizedTooLittle(uint256 seizedPerRepaid, uint256 minSeizedPerRepaid);
    error FlashLoanTooLarge(uint256 assets, uint256 available);
    /// @notice The address is not a token, or this contract holds none of it.
    error TokenNotLent(address token);
    /// @notice The receiver has no code, or `onFlashLoan` did not return the hash that ERC-3156 requires.
    error FlashLoanRefused(address receiver);
    error TransferFailed(address token, address from, address to, uint256 amount);
    error InsufficientCover(uint256 assets, uint256 available);
    error NoFeeRecipient(MarketId id);
    error NotFeeRecipient(address caller, address feeRecipient);
    error FeeTooHigh(uint256 feeBps, uint256 maxFeeBps);
    error NotOwner(address caller);
    error NotPendingOwner(address caller);
    error SignatureExpired(uint256 deadline);
    /// @notice The nonce is not the authorizer's next one.
    error InvalidNonce(uint256 nonce, uint256 expected);
    error InvalidSignature(address authorizer);

    /* MARKETS */

    /// @notice Creates a market. Its risk limits and rate curve are bounded; its tokens and its oracle are the
    /// creator's free choice: see the assumptions above.
    function createMarket(MarketParams calldata params) external returns (MarketId id);

    /// @notice Accrues a market's interest up to this block. Never reverts for a market that exists.
    function accrue(MarketParams calldata params) external;

    /* SUPPLY */

    /// @notice Supplies to a market, by assets or by shares, on behalf of any account.
    /// @param data when not empty, the caller is called back before the tokens are pulled
    function supply(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, bytes calldata data)
        external
        returns (uint256 suppliedAssets, uint256 suppliedShares);

    /// @notice Withdraws supply, by assets or by shares, up to the market's liquidity.
    function withdraw(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, address receiver)
        external
        returns (uint256 withdrawnAssets, uint256 withdrawnShares);

    /// @notice Moves supply shares to another account's position. Neither interest is accrued nor any token moved, so it
    /// works whatever the market's liquidity.
    function transferSupply(MarketId id, uint256 shares, address onBehalf, address receiver) external;

    /* COLLATERAL */

    /// @notice Supplies collateral on behalf of any account. Collateral earns no interest.
    /// @param data when not empty, the caller is called back before the tokens are pulled
    function supplyCollateral(MarketParams calldata params, uint256 assets, address onBehalf, bytes calldata data)
        external;

    /// @notice Withdraws collateral. With debt, the remaining collateral must cover it at the borrow LTV and the borrow
    /// price, and the debt must be at least the market's minimum debt: a loan whose debt was repaid below the minimum
    /// keeps its collateral until it is repaid in full or the debt is raised again. (Otherwise a loan of dust, of which
    /// nobody is paid to liquidate, could grow by interest in an empty market into a claim on its next lender.) Without
    /// debt, neither interest is accrued nor the oracle read.
    function withdrawCollateral(MarketParams calldata params, uint256 assets, address onBehalf, address receiver)
        external;

    /* DEBT */

    /// @notice Borrows, by assets or by shares, up to the borrow LTV at the borrow price. Shares are rounded down to
    /// those of whole units. The resulting debt must be at least the market's minimum debt.
    function borrow(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, address receiver)
        external
        returns (uint256 borrowedAssets, uint256 borrowedShares);

    /// @notice Repays debt, by assets or by shares, on behalf of any account. An amount above the debt is lowered to
    /// the debt, so `shares = type(uint256).max` pays off a loan even if part of it is repaid by another transaction
    /// first; without debt, nothing is pulled. A partial repayment leaves at least a million shares of debt, about a
    /// unit, and is lowered to leave that. It may leave a debt below the minimum: a check would let others block the
    /// repayment.
    /// @param data when not empty, the caller is called back before the tokens are pulled
    function repay(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, bytes calldata data)
        external
        returns (uint256 repaidAssets, uint256 repaidShares);

    /// @notice Repays part of a debt and withdraws at most the same part of its collateral, or repays all of it and
    /// withdraws as much as is wanted. The rest of the loan is no less healthy than before, at any price, so the oracle
    /// is not read: it works while the oracle is stale or broken, and for a loan beyond the borrow LTV. An amount above
    /// the debt is lowered to the debt. The debt left is 0 or at least the market's minimum debt; since others may repay
    /// ahead, a part should leave some margin above it.
    /// @param repayAssets to be repaid by the caller, in units of the loan token
    /// @param collateralOut to be withdrawn, in units of the collateral token
    /// @param receiver of the collateral
    /// @param data when not empty, the caller is called back, by `onPlimsollRepay`, after the collateral was sent and
    /// before the repayment is pulled
    function deleverage(
        MarketParams calldata params,
        uint256 repayAssets,
        uint256 collateralOut,
        address onBehalf,
        address receiver,
        bytes calldata data
    ) external returns (uint256 repaid, uint256 shares);

    /* LIQUIDATION */

    /// @notice Liquidates loans with a health factor below 1, in the order given. Each loan has a max repay and an
    /// incentive, which follow from its health (see `LiquidationMath`); the caller may repay less. Healthy loans are
    /// skipped, as are loans of which no part can be repaid within the limit without leaving a debt below the minimum.
    /// A part of the max repay of a loan in the breakeven or the insolvent zone removes the same part of its debt, in
    /// whole units rounded down, and seizes the same part of its collateral as of its debt: all parts together write
    /// off no more than one liquidation would. So of an insolvent loan a repayment of a few units seizes less than it
    /// is worth; one of a few hundred does not.
    /// The price is read once, interest accrued once, and each token transferred once.
    /// @param maxRepay the most that the caller repays over all loans
    /// @param minSeizedPerRepaid the least collateral for each unit repaid, over all loans, 1e36-scaled
    /// @param receiver of the collateral
    /// @param data when not empty, the caller is called back after the collateral was sent and before the repayment is
    /// pulled
    function liquidate(
        MarketParams calldata params,
        address[] calldata borrowers,
        uint256 maxRepay,
        uint256 minSeizedPerRepaid,
        address receiver,
        bytes calldata data
    ) external returns (uint256 repaid, uint256 seized);

    /* RESERVE AND COVER */

    /// @notice Sends the part of a market's reserve that exceeds 1 % of its debt to the market's fee recipient, up to
    /// the market's liquidity. The reserve holds at most 2^114 - 1 shares, so of a debt of more than 2e30 units at the
    /// initial share price nothing exceeds the floor, and the fee goes to suppliers. Only the fee recipient may call it:
    /// a recipient that cannot use the reserve, such as a splitter whose backstop has no shares yet, leaves it in the
    /// market, where it is the first to pay for losses.
    function collectReserve(MarketParams calldata params) external returns (uint256 assets);

    /// @notice Adds to the caller's cover: tokens that pay for the bad debt of markets to which the caller gave a limit
    /// by `setCoverLimit` and whose backstop, set by the owner, is the caller.
    function depositCover(address token, uint256 assets) external;

    /// @notice Withdraws from the caller's cover.
    function withdrawCover(address token, uint256 assets, address receiver) external;

    /// @notice Sets the amount of the caller's cover that losses cannot use, so that a backstop's own shares never
    /// become worthless. It does not restrict the caller's withdrawals.
    function setCoverFloor(address token, uint256 floor) external;

    /// @notice Sets how much of the caller's cover the losses of a market may use. Use lowers the limit.
    function setCoverLimit(MarketId id, uint256 limit) external;

    /* FLASH LOANS */

    /// @notice Lends any token that this contract holds until the end of the call, without a fee (ERC-3156). Tokens
    /// supplied as collateral are lent, too, and with them the votes that they carry: a vote that counts balances of
    /// one moment can be decided by borrowed ones.
    function flashLoan(address receiver, address token, uint256 assets, bytes calldata data) external returns (bool);

    /// @notice Returns the amount of a token that can be flash-borrowed; 0 if the address is not a token.
    function maxFlashLoan(address token) external view returns (uint256);

    /// @notice Returns 0: flash loans are free. Reverts with `TokenNotLent` if none of the token can be flash-borrowed.
    function flashFee(address token, uint256 assets) external view returns (uint256);

    /* AUTHORISATION */

    /// @notice Authorises another account to withdraw, transfer supply, withdraw collateral, borrow and deleverage on the
    /// caller's behalf, up to and including the second `expiry`; 0 revokes the authorisation.
    function setAuthorization(address authorized, uint256 expiry) external;

    /// @notice Sets an authorisation by an EIP-712 signature of the authorizer: of its key, or by ERC-1271 if it has
    /// code; an EIP-7702 account may use either. A signature whose nonce is already used changes nothing and does not
    /// revert, so a front-run signature does not break the transaction that includes it. Success therefore proves
    /// nothing to a contract that calls this for somebody else: it neither means that this authorisation is in effect
    /// (read `authorizationExpiry`) nor that the authorizer consented to anything now.
    function setAuthorizationWithSig(Authorization calldata authorization, bytes calldata signature) external;

    /// @notice Executes several calls to this contract for the same caller, in order; reverts if one of them does.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    /* OWNER */

    /// @notice Sets the part of a market's interest that goes to its reserve, at most 2,500 basis points.
    function setFee(MarketParams calldata params, uint256 feeBps) external;

    /// @notice Sets the recipient of a market's reserve above its floor; 0 for none.
    function setFeeRecipient(MarketId id, address recipient) external;

    /// @notice Sets the backstop that covers a market; 0 for none. Anyone can create a market with a false oracle, so a
    /// backstop pays only if both it and the owner chose the market.
    function setBackstop(MarketId id, address backstop) external;

    /// @notice Offers the ownership to another account, which has to accept it.
    function transferOwnership(address newOwner) external;

    /// @notice Accepts the ownership. Reverts unless the caller is the pending owner.
    function acceptOwnership() external;

    /* VIEWS */

    /// @notice Returns a market as of its last update; all 0 if it does not exist.
    function market(MarketId id) external view returns (Market memory);

    /// @notice Returns an account's position in a market.
    function position(MarketId id, address account) external view returns (Position memory);

    /// @notice Returns the parameters of a market; all 0 if it does not exist.
    function marketParams(MarketId id) external view returns (MarketParams memory);

    /// @notice Returns the cover of a backstop in a token.
    function cover(address backstop, address token) external view returns (uint256);

    /// @notice Returns the part of a backstop's cover in a token that losses cannot use.
    function coverFloor(address backstop, address token) external view returns (uint256);

    /// @notice Returns how much of a backstop's cover the losses of a market may still use.
    function coverLimit(address backstop, MarketId id) external view returns (uint256);

    /// @notice Returns the recipient of a market's reserve above its floor; 0 for none.
    function feeRecipient(MarketId id) external view returns (address);

    /// @notice Returns the backstop of a market; 0 for none.
    function backstop(MarketId id) external view returns (address);

    /// @notice Returns the last second at which `authorized` may act for `authorizer`.
    function authorizationExpiry(address authorizer, address authorized) external view returns (uint256);

    /// @notice Returns the nonce of an account's next signature.
    function nonce(address authorizer) external view returns (uint256);

    /// @notice Returns the EIP-712 domain separator of this contract on this chain.
    // forge-lint: disable-next-line(mixed-case-function)
    function DOMAIN_SEPARATOR() external view returns (bytes32);

    /// @notice Returns the owner.
    function owner() external view returns (address);

    /// @notice Returns the account to which the ownership is offered; 0 for none.
    function pendingOwner() external view returns (address);
}
