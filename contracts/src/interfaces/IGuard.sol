// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Orders that protect loans from liquidation.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice A borrower places an order; once its trigger is met, anyone may execute it: a part of the debt, or all of it,
/// is repaid, and the executor gets collateral of the value of the payment at the market's liquidation price and a
/// premium besides. The executor needs no capital, because the collateral comes before the payment is pulled.
///
/// The amounts follow from the order, the loan and the price alone: the executor chooses no route, no slippage and no
/// part, so executors compete by the premium, which rises with the distance from the trigger. The borrow price is not
/// needed, so orders are executed while it is not available.
///
/// The borrower authorises this contract in the core. It has no owner, cannot be changed, holds no tokens between calls
/// and keeps no approval; the only calls by which it changes a position are the core's `deleverage` and `repay`, for an
/// order of that position's account.
interface IGuard {
    /// @notice The trigger of an order.
    enum Kind {
        /// @dev Executed above a loan-to-value ratio; lowers it to a target, or closes the loan.
        Protect,
        /// @dev Executed at or below a price; repays the whole debt.
        CloseBelow,
        /// @dev Executed at or above a price; repays the whole debt.
        CloseAbove
    }

    /// @notice An order. An account has at most one of each kind in each market.
    /// @param triggerLtvBps the ratio of debt to the collateral's value above which a `Protect` order is executed, in
    /// basis points, below the market's liquidation LTV; 0 for the other kinds
    /// @param targetLtvBps the ratio after the execution, at least 1 percentage point below the trigger; 0 to repay the
    /// whole debt, and for the other kinds
    /// @param triggerPrice the liquidation price of the other kinds' trigger, rounded down to 56 significant bits; 0 for
    /// `Protect`
    /// @param premiumStartPpm the premium at the trigger, in millionths of the payment
    /// @param premiumEndPpm the premium at the end of the ramp and beyond, at most 3 %
    /// @param rampBps the distance from the trigger at which the premium reaches its end: of the ratio for `Protect`, as
    /// a part of the trigger price for the other kinds
    /// @param requireBorrowPrice whether the order is only executed while the oracle has a borrow price: while its
    /// sources are recent and agree
    /// @param uses how often the order may be executed
    /// @param expiry the last second at which it may be executed, at most 365 days ahead
    /// @param cooldownSecs the shortest time between two executions, at least 10 minutes
    /// @param flatTip an amount for the executor besides the premium, in units of the loan token
    /// @param maxOwn the most of the account's own loan tokens to use in an execution, before any collateral is sold and
    /// with premium and tip; as far as balance and allowance suffice. 0 for none
    struct Order {
        uint16 triggerLtvBps;
        uint16 targetLtvBps;
        uint256 triggerPrice;
        uint16 premiumStartPpm;
        uint16 premiumEndPpm;
        uint16 rampBps;
        bool requireBorrowPrice;
        uint8 uses;
        uint40 expiry;
        uint24 cooldownSecs;
        uint96 flatTip;
        uint96 maxOwn;
    }

    /// @notice The EIP-712 message by which an account places an order.
    /// @param account the signer
    /// @param id the market
    /// @param kind of the order
    /// @param order its terms
    /// @param nonce the account's next nonce here
    /// @param deadline the last second at which the signature may be used
    struct Placement {
        address account;
        MarketId id;
        Kind kind;
        Order order;
        uint256 nonce;
        uint256 deadline;
    }

    /// @notice The amounts of an execution.
    /// @param premium the premium, as a part of the payment, 1e18-scaled
    /// @param own loan tokens of the account that are repaid
    /// @param ownReward loan tokens of the account that the receiver gets: the premium on `own`, and the tip
    /// @param payment loan tokens of the executor that are repaid
    /// @param sold collateral that the receiver gets for the payment
    struct Execution {
        uint256 premium;
        uint256 own;
        uint256 ownReward;
        uint256 payment;
        uint256 sold;
    }

    /// @notice An order was placed, with the trigger price as rounded; it replaces the one before. As in the core, the
    /// first topic of an order's events is its market, so that one filter finds the events of some markets.
    event PlaceOrder(MarketId indexed id, address indexed account, Kind indexed kind, Order order);
    event CancelOrder(MarketId indexed id, address indexed account, Kind indexed kind);
    /// @notice All orders of the account up to now were cancelled, in every market: this contract is in the market's place.
    event CancelAllOrders(address indexed guard, address indexed account);
    event UseNonce(address indexed account, uint256 nonce);
    event ExecuteOrder(
        MarketId indexed id,
        address indexed account,
        Kind indexed kind,
        address executor,
        address receiver,
        Execution execution,
        uint256 usesLeft
    );

    error NoCode(address account);
    error ZeroAddress();
    error MarketNotCreated(MarketId id);
    /// @notice The trigger's ratio is not below the liquidation LTV and at most 97 %, a trigger of the other sort is
    /// given, or none.
    error InvalidTrigger(uint256 triggerLtvBps, uint256 triggerPrice, uint256 liquidationLtvBps);
    /// @notice The target is not 0, and below 1 % or less than a percentage point below the trigger.
    error InvalidTarget(uint256 targetLtvBps, uint256 triggerLtvBps);
    /// @notice The premium falls along the ramp, is above the highest, or the ramp is 0 or longer than 100 %.
    error InvalidPremium(uint256 startPpm, uint256 endPpm, uint256 rampBps);
    error CooldownTooShort(uint256 cooldownSecs, uint256 shortest);
    error NoUses();
    /// @notice The expiry is not after now, or later than `latest`.
    error InvalidExpiry(uint256 expiry, uint256 latest);
    error InvalidNonce(uint256 given, uint256 expected);
    error SignatureExpired(uint256 deadline);
    error InvalidSignature(address account);
    /// @notice The account has no such order: it was never placed, or it was cancelled or used up.
    error NoOrder(address account, MarketId id, Kind kind);
    error OrderExpired(uint256 expiry);
    /// @notice The order was executed a short time ago and may be executed again from `from` on.
    error CoolingDown(uint256 from);
    error NoDebt(address account, MarketId id);
    error OraclePriceZero(address oracle);
    error NotTriggered(uint256 debt, uint256 value, uint256 price);
    /// @notice Less collateral would be sold than the executor wants.
    error SoldTooLittle(uint256 sold, uint256 minSold);
    /// @notice The loan was changed by others during the execution.
    error LoanChanged(uint256 repaid, uint256 expected);
    /// @notice The token took a fee on a transfer.
    error TokenMissing(address token, uint256 balance, uint256 expected);
    /// @notice Another execution is in progress.
    error Reentered();
    /// @notice Only the core may call this function, during a call that this contract made to it.
    error UnexpectedCallback(address caller);
    error TransferFailed(address token, address from, address to, uint256 amount);
    error ApproveFailed();

    /// @notice Places an order of the caller's. It has no effect before the caller authorises this contract in the core.
    function place(MarketId id, Kind kind, Order calldata order) external;

    /// @notice Places an order that its account signed, with its key or by ERC-1271. Does nothing if the nonce was used
    /// already: a signature that another account submitted first does not make the caller's transaction fail.
    function placeWithSig(Placement calldata placement, bytes calldata signature) external;

    /// @notice Cancels an order of the caller's. Does nothing if there is none.
    function cancel(MarketId id, Kind kind) external;

    /// @notice Cancels all orders of the caller's, and its signature with the next nonce.
    function cancelAll() external;

    /// @notice Executes an order. The collateral is sent to the receiver; the caller is called back if `data` is not
    /// empty; then the payment is pulled from the caller, who must have approved it. Errors of the core (`Unauthorized`
    /// if the account does not authorise this contract) and of the oracle are passed on.
    /// @param params the market
    /// @param account whose order is executed
    /// @param kind of the order
    /// @param minSold the least collateral that the caller wants; 0 if any will do
    /// @param receiver of the collateral and of the reward in loan tokens
    /// @param data passed to the caller's `onGuardExecute`; empty for none
    function execute(
        MarketParams calldata params,
        address account,
        Kind kind,
        uint256 minSold,
        address receiver,
        bytes calldata data
    ) external returns (Execution memory);

    /// @notice Returns an order, with the time of its last execution; `uses` is what is left. All 0 if there is none.
    function order(address account, MarketId id, Kind kind) external view returns (Order memory, uint256 lastExecuted);

    /// @notice Returns the account's next nonce.
    function nonce(address account) external view returns (uint256);

    /// @notice Returns the core.
    function plimsoll() external view returns (address);

    // forge-lint: disable-next-line(mixed-case-function)
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}
