// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IGuard} from "../interfaces/IGuard.sol";
import {IGuardExecutor} from "../interfaces/IGuardExecutor.sol";
import {IOracle} from "../interfaces/IOracle.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {IRepayCallback} from "../interfaces/IPlimsollCallbacks.sol";
import {DebtMath} from "../libraries/DebtMath.sol";
import {GuardMath} from "../libraries/GuardMath.sol";
import {LiquidationMath} from "../libraries/LiquidationMath.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Market, Position} from "../types/Market.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Guard.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IGuard`.
/// @dev Many accounts have authorised this contract in the core, which covers everything that the core does for an
/// account. So every change of a position starts from an order of its account, and ends in `deleverage`, which keeps the
/// ratio of collateral to debt, or `repay`. Tokens are pulled from the account of the order, for its own debt, and from
/// the caller of `execute`; nothing is pulled from anybody else.
contract Guard is IGuard, IRepayCallback {
    using DebtMath for uint256;
    using Tokens for address;

    /// @dev An order in storage: two words.
    struct StoredOrder {
        uint16 triggerLtvBps;
        uint16 targetLtvBps;
        uint16 premiumStartPpm;
        uint16 premiumEndPpm;
        uint16 rampBps;
        bool requireBorrowPrice;
        uint8 uses;
        uint40 expiry;
        uint24 cooldownSecs;
        uint40 lastExecuted;
        uint32 epoch;
        // Second word.
        uint96 flatTip;
        uint96 maxOwn;
        uint64 triggerPrice;
    }

    /// @dev The data of the repayment callback.
    struct Payment {
        address loanToken;
        address executor;
        address account;
        uint256 payment;
        uint256 sold;
        bytes data;
    }

    uint256 internal constant MIN_TARGET_LTV_BPS = 100;
    uint256 internal constant MAX_TRIGGER_LTV_BPS = 9_700;
    /// @dev A percentage point: a target nearer to the trigger would be executed again by every tick of the oracle.
    uint256 internal constant MIN_GAP_BPS = 100;
    /// @dev 3 %.
    uint256 internal constant MAX_PREMIUM_PPM = 30_000;
    uint256 internal constant MIN_COOLDOWN = 10 minutes;
    uint256 internal constant MAX_DURATION = 365 days;

    bytes32 internal constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes internal constant ORDER_TYPE =
        "Order(uint16 triggerLtvBps,uint16 targetLtvBps,uint256 triggerPrice,uint16 premiumStartPpm,uint16 premiumEndPpm,uint16 rampBps,bool requireBorrowPrice,uint8 uses,uint40 expiry,uint24 cooldownSecs,uint96 flatTip,uint96 maxOwn)";
    bytes32 internal constant ORDER_TYPEHASH = keccak256(ORDER_TYPE);
    bytes32 internal constant PLACEMENT_TYPEHASH = keccak256(
        bytes.concat(
            "Placement(address account,bytes32 id,uint8 kind,Order order,uint256 nonce,uint256 deadline)", ORDER_TYPE
        )
    );

    IPlimsoll internal immutable PLIMSOLL;

    mapping(address account => mapping(MarketId => mapping(Kind => StoredOrder))) internal _orders;
    /// @dev Orders of an earlier epoch than the account's are cancelled.
    mapping(address account => uint32) internal _epoch;
    /// @inheritdoc IGuard
    mapping(address account => uint256) public nonce;

    bool internal transient _entered;

    constructor(address plimsoll_) {
        if (plimsoll_.code.length == 0) revert NoCode(plimsoll_);
        PLIMSOLL = IPlimsoll(plimsoll_);
    }

    /* PLACE AND CANCEL */

    /// @inheritdoc IGuard
    function place(MarketId id, Kind kind, Order calldata wanted) external {
        _place(msg.sender, id, kind, wanted);
    }

    /// @inheritdoc IGuard
    function placeWithSig(Placement calldata placement, bytes calldata signature) external {
        address account = placement.account;
        uint256 expected = nonce[account];
        if (placement.nonce < expected) return;
        if (placement.nonce != expected) revert InvalidNonce(placement.nonce, expected);
        if (block.timestamp > placement.deadline) revert SignatureExpired(placement.deadline);
        // The nonce is used before the account's code is called, which is a static call.
        nonce[account] = expected + 1;
        if (!Signatures.isValid(account, _digestOf(placement), signature)) revert InvalidSignature(account);
        emit UseNonce(account, expected);
        _place(account, placement.id, placement.kind, placement.order);
    }

    /// @inheritdoc IGuard
    function cancel(MarketId id, Kind kind) external {
        delete _orders[msg.sender][id][kind];
        emit CancelOrder(id, msg.sender, kind);
    }

    /// @inheritdoc IGuard
    function cancelAll() external {
        ++_epoch[msg.sender];
        emit UseNonce(msg.sender, nonce[msg.sender]++);
        emit CancelAllOrders(address(this), msg.sender);
    }

    function _place(address account, MarketId id, Kind kind, Order memory wanted) internal {
        MarketParams memory params = PLIMSOLL.marketParams(id);
        if (params.loanToken == address(0)) revert MarketNotCreated(id);
        _requireValid(wanted, kind, params.risk.liquidationLtvBps());
        uint64 triggerPrice = GuardMath.packPriceDown(wanted.triggerPrice);
        _orders[account][id][kind] = StoredOrder({
            triggerLtvBps: wanted.triggerLtvBps,
            targetLtvBps: wanted.targetLtvBps,
            premiumStartPpm: wanted.premiumStartPpm,
            premiumEndPpm: wanted.premiumEndPpm,
            rampBps: wanted.rampBps,
            requireBorrowPrice: wanted.requireBorrowPrice,
            uses: wanted.uses,
            expiry: wanted.expiry,
            cooldownSecs: wanted.cooldownSecs,
            lastExecuted: 0,
            epoch: _epoch[account],
            flatTip: wanted.flatTip,
            maxOwn: wanted.maxOwn,
            triggerPrice: triggerPrice
        });
        wanted.triggerPrice = GuardMath.unpackPrice(triggerPrice);
        emit PlaceOrder(id, account, kind, wanted);
    }

    function _requireValid(Order memory wanted, Kind kind, uint256 liquidationLtvBps) internal view {
        (uint256 trigger, uint256 target) = (wanted.triggerLtvBps, wanted.targetLtvBps);
        bool valid = kind == Kind.Protect
            ? trigger != 0 && trigger <= MAX_TRIGGER_LTV_BPS && trigger < liquidationLtvBps && wanted.triggerPrice == 0
            : trigger == 0 && wanted.triggerPrice != 0;
        if (!valid) revert InvalidTrigger(trigger, wanted.triggerPrice, liquidationLtvBps);
        if (target != 0 && (target < MIN_TARGET_LTV_BPS || target + MIN_GAP_BPS > trigger)) {
            revert InvalidTarget(target, trigger);
        }
        (uint256 start, uint256 end, uint256 ramp) = (wanted.premiumStartPpm, wanted.premiumEndPpm, wanted.rampBps);
        if (start > end || end > MAX_PREMIUM_PPM || ramp == 0 || ramp > GuardMath.BPS) {
            revert InvalidPremium(start, end, ramp);
        }
        if (wanted.cooldownSecs < MIN_COOLDOWN) revert CooldownTooShort(wanted.cooldownSecs, MIN_COOLDOWN);
        if (wanted.uses == 0) revert NoUses();
        uint256 latest = block.timestamp + MAX_DURATION;
        if (wanted.expiry <= block.timestamp || wanted.expiry > latest) revert InvalidExpiry(wanted.expiry, latest);
    }

    /* EXECUTE */

    /// @inheritdoc IGuard
    function execute(
        MarketParams calldata params,
        address account,
        Kind kind,
        uint256 minSold,
        address receiver,
        bytes calldata data
    ) external returns (Execution memory execution) {
        if (_entered) revert Reentered();
        _entered = true;
        if (receiver == address(0)) revert ZeroAddress();
        MarketId id = params.toId();
        StoredOrder storage stored = _orders[account][id][kind];
        Order memory terms = _requireExecutable(stored, account, id, kind);

        execution = _executionOf(params, account, kind, terms);
        if (execution.sold < minSold) revert SoldTooLittle(execution.sold, minSold);
        uint256 usesLeft = terms.uses - 1;
        if (usesLeft == 0) delete _orders[account][id][kind];
        else (stored.uses, stored.lastExecuted) = (uint8(usesLeft), uint40(block.timestamp));

        uint256 before = params.loanToken.balanceOrZero(address(this));
        _repay(params, account, receiver, execution, data);
        params.loanToken.push(receiver, execution.ownReward);
        // With a token that takes a fee, tokens that were sent here by mistake would have been used.
        uint256 held = params.loanToken.balanceOrZero(address(this));
        if (held < before) revert TokenMissing(params.loanToken, held, before);
        emit ExecuteOrder(id, account, kind, msg.sender, receiver, execution, usesLeft);
        _entered = false;
    }

    /// @dev Returns the order if time, uses and epoch permit its execution.
    function _requireExecutable(StoredOrder storage stored, address account, MarketId id, Kind kind)
        internal
        view
        returns (Order memory terms)
    {
        uint256 lastExecuted;
        (terms, lastExecuted) = _load(stored, account);
        if (terms.uses == 0) revert NoOrder(account, id, kind);
        if (block.timestamp > terms.expiry) revert OrderExpired(terms.expiry);
        uint256 from = lastExecuted + terms.cooldownSecs;
        if (block.timestamp < from) revert CoolingDown(from);
    }

    /// @dev Accrues the market, checks the trigger and computes the amounts.
    function _executionOf(MarketParams calldata params, address account, Kind kind, Order memory terms)
        internal
        returns (Execution memory)
    {
        PLIMSOLL.accrue(params);
        GuardMath.Loan memory loan;
        {
            MarketId id = params.toId();
            Market memory m = PLIMSOLL.market(id);
            Position memory p = PLIMSOLL.position(id, account);
            if (p.borrowShares == 0) revert NoDebt(account, id);
            loan.debt = p.borrowShares.toDebtUp(m.borrowAssets, m.borrowShares);
            (loan.collateral, loan.borrowShares) = (p.collateral, p.borrowShares);
            (loan.totalBorrowAssets, loan.totalBorrowShares) = (m.borrowAssets, m.borrowShares);
        }
        loan.minDebt = params.risk.minDebt();
        loan.price = IOracle(params.oracle).liquidationPrice();
        if (loan.price == 0) revert OraclePriceZero(params.oracle);
        loan.value = LiquidationMath.valueDown(loan.collateral, loan.price);
        if (terms.requireBorrowPrice && IOracle(params.oracle).borrowPrice() == 0) {
            revert OraclePriceZero(params.oracle);
        }

        (bool triggered, uint256 premium) = GuardMath.premiumDown(terms, kind, loan);
        if (!triggered) revert NotTriggered(loan.debt, loan.value, loan.price);
        return GuardMath.executionOf(terms, loan, premium, _budgetOf(account, params.loanToken, terms.maxOwn));
    }

    /// @dev Returns the loan tokens of the account that may be used.
    function _budgetOf(address account, address loanToken, uint256 maxOwn) internal view returns (uint256) {
        if (maxOwn == 0) return 0;
        uint256 allowed = IERC20(loanToken).allowance(account, address(this));
        return FixedPointMathLib.min(maxOwn, FixedPointMathLib.min(allowed, loanToken.balanceOrZero(account)));
    }

    /// @dev Repays with the account's tokens, the executor's, or both; with the executor's, collateral leaves as well.
    function _repay(
        MarketParams calldata params,
        address account,
        address receiver,
        Execution memory execution,
        bytes calldata data
    ) internal {
        params.loanToken.pull(account, execution.own + execution.ownReward);
        uint256 expected = execution.own + execution.payment;
        uint256 repaid;
        if (execution.payment == 0) {
            _approveCore(params.loanToken, expected);
            (repaid,) = PLIMSOLL.repay(params, expected, 0, account, "");
        } else {
            Payment memory payment =
                Payment(params.loanToken, msg.sender, account, execution.payment, execution.sold, data);
            (repaid,) = PLIMSOLL.deleverage(params, expected, execution.sold, account, receiver, abi.encode(payment));
        }
        // A token's callback may have repaid a part of the loan since the amounts were computed.
        if (repaid != expected) revert LoanChanged(repaid, expected);
    }

    /// @inheritdoc IRepayCallback
    /// @dev The core calls back its caller, so during an execution a callback belongs to the call from `_repay` and
    /// carries its data.
    function onPlimsollRepay(uint256 assets, bytes calldata data) external {
        if (msg.sender != address(PLIMSOLL) || !_entered) revert UnexpectedCallback(msg.sender);
        Payment memory p = abi.decode(data, (Payment));
        if (p.data.length != 0) IGuardExecutor(p.executor).onGuardExecute(p.account, p.payment, p.sold, p.data);
        p.loanToken.pull(p.executor, p.payment);
        _approveCore(p.loanToken, assets);
    }

    /// @dev Approves the core for this amount, which it pulls before its call returns.
    function _approveCore(address token, uint256 amount) internal {
        SafeTransferLib.safeApprove(token, address(PLIMSOLL), amount);
    }

    /* VIEWS */

    /// @inheritdoc IGuard
    function order(address account, MarketId id, Kind kind)
        external
        view
        returns (Order memory terms, uint256 lastExecuted)
    {
        return _load(_orders[account][id][kind], account);
    }

    /// @inheritdoc IGuard
    function plimsoll() external view returns (address) {
        return address(PLIMSOLL);
    }

    /// @inheritdoc IGuard
    // forge-lint: disable-next-line(mixed-case-function)
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256("Plimsoll Guard"), keccak256("1"), block.chainid, address(this))
        );
    }

    /// @dev Returns an order; all 0 if it was placed before the account cancelled all.
    function _load(StoredOrder storage stored, address account)
        internal
        view
        returns (Order memory terms, uint256 lastExecuted)
    {
        StoredOrder memory s = stored;
        if (s.uses == 0 || s.epoch != _epoch[account]) return (terms, 0);
        terms = Order({
            triggerLtvBps: s.triggerLtvBps,
            targetLtvBps: s.targetLtvBps,
            triggerPrice: GuardMath.unpackPrice(s.triggerPrice),
            premiumStartPpm: s.premiumStartPpm,
            premiumEndPpm: s.premiumEndPpm,
            rampBps: s.rampBps,
            requireBorrowPrice: s.requireBorrowPrice,
            uses: s.uses,
            expiry: s.expiry,
            cooldownSecs: s.cooldownSecs,
            flatTip: s.flatTip,
            maxOwn: s.maxOwn
        });
        lastExecuted = s.lastExecuted;
    }

    function _digestOf(Placement calldata p) internal view returns (bytes32) {
        bytes32 orderHash = keccak256(abi.encode(ORDER_TYPEHASH, p.order));
        bytes32 structHash =
            keccak256(abi.encode(PLACEMENT_TYPEHASH, p.account, p.id, p.kind, orderHash, p.nonce, p.deadline));
        return keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), structHash));
    }
}
