// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IERC3156FlashBorrower} from "./interfaces/IERC3156FlashBorrower.sol";
import {IOracle} from "./interfaces/IOracle.sol";
import {IPlimsoll} from "./interfaces/IPlimsoll.sol";
import {
    ILiquidateCallback,
    IRepayCallback,
    ISupplyCallback,
    ISupplyCollateralCallback
} from "./interfaces/IPlimsollCallbacks.sol";
import {DebtMath} from "./libraries/DebtMath.sol";
import {InterestMath} from "./libraries/InterestMath.sol";
import {LiquidationMath} from "./libraries/LiquidationMath.sol";
import {MarketPacking} from "./libraries/MarketPacking.sol";
import {Multicall} from "./libraries/Multicall.sol";
import {SharesMath} from "./libraries/SharesMath.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {SurgeMath} from "./libraries/SurgeMath.sol";
import {Tokens} from "./libraries/Tokens.sol";
import {Authorization} from "./types/Authorization.sol";
import {Market, Position, StoredMarket, StoredPosition} from "./types/Market.sol";
import {MarketId, MarketParams} from "./types/MarketParams.sol";
import {RateCurve} from "./types/RateCurve.sol";
import {Risk} from "./types/Risk.sol";

/// @title Lending core.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IPlimsoll`.
/// @dev Every verb follows the same order: check the input; load the market's three slots once and accrue in memory;
/// change the market and the position; read the oracle if health matters; store; emit; and only then make calls that
/// could re-enter. Between loading a market and storing it there are only static calls: a reentrant call there would
/// have its changes to the totals overwritten.
///
/// Sums and differences of amounts are unchecked if `MarketPacking` stores them: amounts fit 128 bits, so a result
/// outside that range, on either side, is refused there.
contract Plimsoll is IPlimsoll {
    using MarketPacking for StoredMarket;
    using MarketPacking for StoredPosition;
    using DebtMath for uint256;
    using SharesMath for uint256;
    using Tokens for address;

    uint256 internal constant BPS = 10_000;
    uint256 internal constant MAX_FEE_BPS = 2_500;
    /// @dev 1 % of a market's debt stays in its reserve, which is the first to pay for bad debt.
    uint256 internal constant RESERVE_FLOOR_DIVISOR = 100;

    bytes32 internal constant CALLBACK_SUCCESS = keccak256("ERC3156FlashBorrower.onFlashLoan");
    bytes32 internal constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant AUTHORIZATION_TYPEHASH =
        keccak256("Authorization(address authorizer,address authorized,uint256 expiry,uint256 nonce,uint256 deadline)");

    /// @inheritdoc IPlimsoll
    address public owner;
    /// @inheritdoc IPlimsoll
    address public pendingOwner;

    mapping(MarketId => StoredMarket) internal _markets;
    mapping(MarketId => mapping(address => StoredPosition)) internal _positions;
    mapping(MarketId => MarketParams) internal _marketParams;

    /// @inheritdoc IPlimsoll
    mapping(MarketId => address) public feeRecipient;
    /// @inheritdoc IPlimsoll
    mapping(MarketId => address) public backstop;
    /// @inheritdoc IPlimsoll
    mapping(address => mapping(address => uint256)) public cover;
    /// @inheritdoc IPlimsoll
    mapping(address => mapping(address => uint256)) public coverFloor;
    /// @inheritdoc IPlimsoll
    mapping(address => mapping(MarketId => uint256)) public coverLimit;
    /// @inheritdoc IPlimsoll
    mapping(address => mapping(address => uint256)) public authorizationExpiry;
    /// @inheritdoc IPlimsoll
    mapping(address => uint256) public nonce;

    constructor(address firstOwner) {
        _requireNotZero(firstOwner);
        owner = firstOwner;
        emit OwnershipTransferred(address(0), firstOwner);
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    /* MARKETS */

    /// @inheritdoc IPlimsoll
    function createMarket(MarketParams calldata params) external returns (MarketId id) {
        id = params.toId();
        if (_markets[id].exists()) revert MarketAlreadyCreated(id);
        _requireCode(params.loanToken);
        _requireCode(params.collateralToken);
        _requireCode(params.oracle);
        if (params.loanToken == params.collateralToken) revert SameToken(params.loanToken);
        if (!params.risk.isValid()) revert InvalidRisk(Risk.unwrap(params.risk));
        if (!params.curve.isValid()) revert InvalidRateCurve(RateCurve.unwrap(params.curve));

        Market memory created;
        created.lastUpdate = block.timestamp;
        created.rateAtTarget = params.curve.startRatePerSecond();
        _markets[id].store(created);
        _marketParams[id] = params;
        emit CreateMarket(id, params);
    }

    /// @inheritdoc IPlimsoll
    function accrue(MarketParams calldata params) external {
        Market memory m;
        (, StoredMarket storage storedMarket) = _loadAccrued(params, m);
        storedMarket.store(m);
    }

    /* SUPPLY */

    /// @inheritdoc IPlimsoll
    function supply(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, bytes calldata data)
        external
        returns (uint256, uint256)
    {
        _requireConsistentInput(assets, shares);
        _requireFits(assets | shares);
        _requireNotZero(onBehalf);
        Market memory m;
        (MarketId id, StoredMarket storage storedMarket) = _loadAccrued(params, m);

        if (assets != 0) shares = assets.toSharesDown(m.supplyAssets, m.supplyShares);
        else assets = shares.toAssetsUp(m.supplyAssets, m.supplyShares);
        if (shares == 0) revert AmountTooSmall(assets);

        unchecked {
            m.supplyAssets += assets;
            m.supplyShares += shares;
            _positions[id][onBehalf].supplyShares += shares;
        }
        storedMarket.store(m);
        emit Supply(id, msg.sender, onBehalf, assets, shares);

        if (data.length != 0) ISupplyCallback(msg.sender).onPlimsollSupply(assets, data);
        params.loanToken.pull(msg.sender, assets);
        return (assets, shares);
    }

    /// @inheritdoc IPlimsoll
    function withdraw(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, address receiver)
        external
        returns (uint256, uint256)
    {
        _requireConsistentInput(assets, shares);
        _requireFits(assets | shares);
        _requireNotZero(receiver);
        _requireAuthorized(onBehalf);
        Market memory m;
        (MarketId id, StoredMarket storage storedMarket) = _loadAccrued(params, m);

        if (assets != 0) shares = assets.toSharesUp(m.supplyAssets, m.supplyShares);
        else assets = shares.toAssetsDown(m.supplyAssets, m.supplyShares);

        StoredPosition storage stored = _positions[id][onBehalf];
        uint256 held = stored.supplyShares;
        if (shares > held) revert InsufficientSupplyShares(shares, held);
        _requireLiquidity(m, assets);

        unchecked {
            m.supplyAssets -= assets;
            m.supplyShares -= shares;
            stored.supplyShares = held - shares;
        }
        storedMarket.store(m);
        emit Withdraw(id, msg.sender, onBehalf, receiver, assets, shares);

        params.loanToken.push(receiver, assets);
        return (assets, shares);
    }

    /// @inheritdoc IPlimsoll
    function transferSupply(MarketId id, uint256 shares, address onBehalf, address receiver) external {
        if (shares == 0) revert AmountTooSmall(shares);
        _requireNotZero(receiver);
        _requireAuthorized(onBehalf);
        // Only markets that exist have shares to transfer.
        StoredPosition storage stored = _positions[id][onBehalf];
        uint256 held = stored.supplyShares;
        if (shares > held) revert InsufficientSupplyShares(shares, held);
        unchecked {
            // In this order a transfer to oneself changes nothing.
            stored.supplyShares = held - shares;
            _positions[id][receiver].supplyShares += shares;
        }
        emit TransferSupply(id, msg.sender, onBehalf, receiver, shares);
    }

    /* COLLATERAL */

    /// @inheritdoc IPlimsoll
    function supplyCollateral(MarketParams calldata params, uint256 assets, address onBehalf, bytes calldata data)
        external
    {
        if (assets == 0) revert AmountTooSmall(assets);
        _requireNotZero(onBehalf);
        MarketId id = params.toId();
        if (!_markets[id].exists()) revert MarketNotCreated(id);
        _requireFits(assets);

        StoredPosition storage stored = _positions[id][onBehalf];
        (uint256 borrowShares, uint256 collateral) = stored.loadDebt();
        unchecked {
            stored.storeDebt(borrowShares, collateral + assets);
        }
        emit SupplyCollateral(id, msg.sender, onBehalf, assets);

        if (data.length != 0) ISupplyCollateralCallback(msg.sender).onPlimsollSupplyCollateral(assets, data);
        params.collateralToken.pull(msg.sender, assets);
    }

    /// @inheritdoc IPlimsoll
    function withdrawCollateral(MarketParams calldata params, uint256 assets, address onBehalf, address receiver)
        external
    {
        if (assets == 0) revert AmountTooSmall(assets);
        _requireNotZero(receiver);
        _requireAuthorized(onBehalf);
        MarketId id = params.toId();
        StoredPosition storage stored = _positions[id][onBehalf];
        (uint256 borrowShares, uint256 collateral) = stored.loadDebt();
        if (assets > collateral) revert InsufficientCollateral(assets, collateral);
        unchecked {
            collateral -= assets;
        }

        if (borrowShares != 0) {
            Market memory m;
            (, StoredMarket storage storedMarket) = _loadAccrued(params, m);
            _requireSound(params, collateral, borrowShares.toDebtUp(m.borrowAssets, m.borrowShares));
            storedMarket.store(m);
        }
        stored.storeDebt(borrowShares, collateral);
        emit WithdrawCollateral(id, msg.sender, onBehalf, receiver, assets);

        params.collateralToken.push(receiver, assets);
    }

    /* DEBT */

    /// @inheritdoc IPlimsoll
    function borrow(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, address receiver)
        external
        returns (uint256, uint256)
    {
        _requireConsistentInput(assets, shares);
        _requireFits(assets | shares);
        _requireNotZero(receiver);
        _requireAuthorized(onBehalf);
        Market memory m;
        (MarketId id, StoredMarket storage storedMarket) = _loadAccrued(params, m);

        if (assets == 0) assets = shares.toDebtDown(m.borrowAssets, m.borrowShares);
        if (assets == 0) revert AmountTooSmall(shares);
        // Shares beyond those of whole units would lower the price of all shares.
        shares = assets.toDebtSharesUp(m.borrowAssets, m.borrowShares);
        _requireLiquidity(m, assets);
        if (params.risk.hasSurgeLimit()) _useSurgeLimit(m, params.risk, assets);

        StoredPosition storage stored = _positions[id][onBehalf];
        (uint256 borrowShares, uint256 collateral) = stored.loadDebt();
        unchecked {
            m.borrowAssets += assets;
            m.borrowShares += shares;
            borrowShares += shares;
        }
        if (borrowShares < DebtMath.MIN_SHARES) revert AmountTooSmall(assets);
        _requireSound(params, collateral, borrowShares.toDebtUp(m.borrowAssets, m.borrowShares));
        stored.storeDebt(borrowShares, collateral);
        storedMarket.store(m);
        emit Borrow(id, msg.sender, onBehalf, receiver, assets, shares);

        params.loanToken.push(receiver, assets);
        return (assets, shares);
    }

    /// @inheritdoc IPlimsoll
    function repay(MarketParams calldata params, uint256 assets, uint256 shares, address onBehalf, bytes calldata data)
        external
        returns (uint256, uint256)
    {
        _requireConsistentInput(assets, shares);
        Market memory m;
        (MarketId id, StoredMarket storage storedMarket) = _loadAccrued(params, m);

        StoredPosition storage stored = _positions[id][onBehalf];
        (uint256 borrowShares, uint256 collateral) = stored.loadDebt();
        (assets, shares) = _repayInMemory(m, params.risk, borrowShares, assets, shares);
        unchecked {
            stored.storeDebt(borrowShares - shares, collateral);
        }
        storedMarket.store(m);
        emit Repay(id, msg.sender, onBehalf, assets, shares);

        if (data.length != 0) IRepayCallback(msg.sender).onPlimsollRepay(assets, data);
        params.loanToken.pull(msg.sender, assets);
        return (assets, shares);
    }

    /// @inheritdoc IPlimsoll
    function deleverage(
        MarketParams calldata params,
        uint256 repayAssets,
        uint256 collateralOut,
        address onBehalf,
        address receiver,
        bytes calldata data
    ) external returns (uint256 repaid, uint256 shares) {
        if (repayAssets == 0 || collateralOut == 0) revert AmountTooSmall(0);
        _requireNotZero(receiver);
        _requireAuthorized(onBehalf);
        Market memory m;
        (MarketId id, StoredMarket storage storedMarket) = _loadAccrued(params, m);

        {
            StoredPosition storage stored = _positions[id][onBehalf];
            (uint256 borrowShares, uint256 collateral) = stored.loadDebt();
            if (collateralOut > collateral) revert InsufficientCollateral(collateralOut, collateral);
            (repaid, shares) = _repayInMemory(m, params.risk, borrowShares, repayAssets, 0);
            if (shares == 0) revert AmountTooSmall(repayAssets);
            unchecked {
                if (shares != borrowShares) {
                    // At most the same part of the collateral as of the debt: both products fit, and are exact.
                    uint256 most = collateral * shares / borrowShares;
                    if (collateralOut > most) revert NotProportional(collateralOut, most);
                    uint256 debt = (borrowShares - shares).toDebtUp(m.borrowAssets, m.borrowShares);
                    if (debt < params.risk.minDebt()) revert DebtTooSmall(debt, params.risk.minDebt());
                }
                stored.storeDebt(borrowShares - shares, collateral - collateralOut);
            }
        }
        storedMarket.store(m);
        emit Repay(id, msg.sender, onBehalf, repaid, shares);
        emit WithdrawCollateral(id, msg.sender, onBehalf, receiver, collateralOut);

        params.collateralToken.push(receiver, collateralOut);
        if (data.length != 0) IRepayCallback(msg.sender).onPlimsollRepay(repaid, data);
        params.loanToken.pull(msg.sender, repaid);
    }

    /// @dev Takes a repayment from the debt of a loan out of a market in memory: all of it, or a part that leaves a loan
    /// of at least the fewest shares.
    /// @return repaid assets, rounded up
    /// @return redeemed shares of the loan, rounded down
    function _repayInMemory(Market memory m, Risk risk, uint256 borrowShares, uint256 assets, uint256 shares)
        internal
        pure
        returns (uint256 repaid, uint256 redeemed)
    {
        uint256 debt = borrowShares.toDebtUp(m.borrowAssets, m.borrowShares);
        if (assets >= debt || shares >= borrowShares) {
            (repaid, redeemed) = (debt, borrowShares);
        } else {
            (repaid, redeemed) = (assets, shares);
            uint256 mostInPart = FixedPointMathLib.zeroFloorSub(borrowShares, DebtMath.MIN_SHARES);
            if (mostInPart == 0) revert AmountTooSmall(assets | shares);
            if (assets != 0) redeemed = assets.toDebtSharesDown(m.borrowAssets, m.borrowShares);
            if (redeemed == 0) revert AmountTooSmall(assets);
            if (redeemed > mostInPart) (repaid, redeemed) = (0, mostInPart);
            if (repaid == 0) repaid = redeemed.toDebtUp(m.borrowAssets, m.borrowShares);
        }
        if (m.surgeLevel != 0) SurgeMath.refund(m, risk, repaid);
        unchecked {
            m.borrowShares -= redeemed;
            m.borrowAssets = m.borrowAssets.saturatingTotalAfterRepay(repaid, m.borrowShares);
        }
    }

    /* LIQUIDATION */

    /// @dev The inputs and sums that all liquidations of a call share.
    struct Batch {
        MarketId id;
        Risk risk;
        uint256 price;
        uint256 maxRepay;
        uint256 repaid;
        uint256 seized;
        uint256 loss;
        bool any;
    }

    /// @inheritdoc IPlimsoll
    function liquidate(
        MarketParams calldata params,
        address[] calldata borrowers,
        uint256 maxRepay,
        uint256 minSeizedPerRepaid,
        address receiver,
        bytes calldata data
    ) external returns (uint256, uint256) {
        if (maxRepay == 0) revert AmountTooSmall(maxRepay);
        _requireNotZero(receiver);
        Market memory m;
        (MarketId id, StoredMarket storage storedMarket) = _loadAccrued(params, m);

        Batch memory batch = Batch({
            id: id,
            risk: params.risk,
            price: _requirePrice(params.oracle, IOracle(params.oracle).liquidationPrice()),
            maxRepay: maxRepay,
            repaid: 0,
            seized: 0,
            loss: 0,
            any: false
        });
        LiquidationMath.LiquidationIncentive memory incentive =
            LiquidationMath.incentiveOf(params.risk.liquidationLtvBps());
        for (uint256 i; i < borrowers.length; ++i) {
            _liquidateLoan(batch, m, incentive, borrowers[i]);
        }
        if (!batch.any) revert NothingToLiquidate();
        if (batch.repaid != 0) {
            uint256 seizedPerRepaid = batch.seized * LiquidationMath.ORACLE_SCALE / batch.repaid;
            if (seizedPerRepaid < minSeizedPerRepaid) revert SeizedTooLittle(seizedPerRepaid, minSeizedPerRepaid);
        }
        if (batch.loss != 0) _realiseLoss(id, params.loanToken, m, batch.loss);
        storedMarket.store(m);

        params.collateralToken.push(receiver, batch.seized);
        if (data.length != 0) ILiquidateCallback(msg.sender).onPlimsollLiquidate(batch.repaid, batch.seized, data);
        params.loanToken.pull(msg.sender, batch.repaid);
        return (batch.repaid, batch.seized);
    }

    /// @dev Liquidates one loan as far as its health and the rest of the caller's limit allow, or skips it.
    function _liquidateLoan(
        Batch memory batch,
        Market memory m,
        LiquidationMath.LiquidationIncentive memory incentive,
        address borrower
    ) internal {
        StoredPosition storage stored = _positions[batch.id][borrower];
        (uint256 borrowShares, uint256 collateral) = stored.loadDebt();
        if (borrowShares == 0) return;
        uint256 debt = borrowShares.toDebtUp(m.borrowAssets, m.borrowShares);
        uint256 value = LiquidationMath.valueDown(collateral, batch.price);
        if (LiquidationMath.isHealthy(debt, value, incentive.ltvBps)) return;

        (LiquidationMath.Zone zone, uint256 maxRepay, uint256 incentiveFactor) =
            LiquidationMath.maxRepayOf(incentive, debt, value, batch.risk.minDebt());
        uint256 repaid =
            LiquidationMath.repayWithinDown(zone, maxRepay, debt, batch.maxRepay - batch.repaid, batch.risk.minDebt());
        uint256 shares;
        uint256 seized;
        uint256 removed = repaid;
        if (zone == LiquidationMath.Zone.Ramp) {
            // Collateral worth the repayment times the incentive factor.
            shares = repaid == debt ? borrowShares : repaid.toDebtSharesDown(m.borrowAssets, m.borrowShares);
            seized = FixedPointMathLib.min(LiquidationMath.seizedDown(repaid, incentiveFactor, batch.price), collateral);
        } else if (repaid == maxRepay) {
            // The whole debt, the part repaid and the part not, for the whole collateral.
            (shares, seized, removed) = (borrowShares, collateral, debt);
        } else {
            // The repayment's part of the debt, in whole units, and the same part of the collateral. A fraction of a
            // unit stays with the loan: written off as a unit, it would lower the debt of others.
            removed = debt * repaid / maxRepay;
            shares = removed.toDebtSharesDown(m.borrowAssets, m.borrowShares);
            seized = collateral * removed / debt;
        }
        if (shares == 0) return;

        // Of what is paid in, not of what is written off: the room of lost debt stays used.
        if (m.surgeLevel != 0) SurgeMath.refund(m, batch.risk, repaid);
        unchecked {
            m.borrowShares -= shares;
            uint256 borrowAssets = m.borrowAssets.saturatingTotalAfterRepay(removed, m.borrowShares);
            // Debt that leaves the books without being repaid is lost.
            uint256 badDebt = FixedPointMathLib.zeroFloorSub(m.borrowAssets - borrowAssets, repaid);
            m.borrowAssets = borrowAssets;
            stored.storeDebt(borrowShares - shares, collateral - seized);
            batch.repaid += repaid;
            batch.seized += seized;
            batch.loss += badDebt;
            batch.any = true;
            emit Liquidate(batch.id, msg.sender, borrower, repaid, shares, seized, badDebt);
        }
    }

    /// @dev Charges a loss to the reserve, then to the cover, then to the suppliers. Only storage changes: there is no
    /// external call that could fail, run out of gas or re-enter.
    function _realiseLoss(MarketId id, address loanToken, Market memory m, uint256 loss) internal {
        // The reserve pays at the share price before the loss, and the shares that it pays with are burned.
        uint256 fromReserve = FixedPointMathLib.min(loss, m.reserveShares.toAssetsDown(m.supplyAssets, m.supplyShares));
        uint256 reserveShares = fromReserve.toSharesUp(m.supplyAssets, m.supplyShares);
        m.reserveShares -= reserveShares;
        m.supplyShares -= reserveShares;

        address vault = backstop[id];
        uint256 fromCover;
        if (fromReserve != loss && vault != address(0)) {
            uint256 limit = coverLimit[vault][id];
            uint256 covered = cover[vault][loanToken];
            uint256 available = FixedPointMathLib.zeroFloorSub(covered, coverFloor[vault][loanToken]);
            fromCover = FixedPointMathLib.min(loss - fromReserve, FixedPointMathLib.min(limit, available));
            coverLimit[vault][id] = limit - fromCover;
            cover[vault][loanToken] = covered - fromCover;
        }

        m.supplyAssets -= loss - fromCover;
        emit RealiseLoss(id, vault, loss, fromReserve, reserveShares, fromCover);
    }

    /* RESERVE AND COVER */

    /// @inheritdoc IPlimsoll
    function collectReserve(MarketParams calldata params) external returns (uint256 assets) {
        Market memory m;
        (MarketId id, StoredMarket storage storedMarket) = _loadAccrued(params, m);
        address recipient = feeRecipient[id];
        if (recipient == address(0)) revert NoFeeRecipient(id);
        if (msg.sender != recipient) revert NotFeeRecipient(msg.sender, recipient);

        uint256 floor = FixedPointMathLib.divUp(m.borrowAssets, RESERVE_FLOOR_DIVISOR);
        uint256 value = m.reserveShares.toAssetsDown(m.supplyAssets, m.supplyShares);
        assets = FixedPointMathLib.min(FixedPointMathLib.zeroFloorSub(value, floor), _liquidity(m));
        uint256 shares = assets.toSharesUp(m.supplyAssets, m.supplyShares);
        m.supplyAssets -= assets;
        m.supplyShares -= shares;
        m.reserveShares -= shares;
        storedMarket.store(m);
        emit CollectReserve(id, recipient, assets, shares);

        params.loanToken.push(recipient, assets);
    }

    /// @inheritdoc IPlimsoll
    function depositCover(address token, uint256 assets) external {
        if (assets == 0) revert AmountTooSmall(assets);
        cover[msg.sender][token] += assets;
        emit DepositCover(msg.sender, token, assets);
        token.pull(msg.sender, assets);
    }

    /// @inheritdoc IPlimsoll
    function withdrawCover(address token, uint256 assets, address receiver) external {
        if (assets == 0) revert AmountTooSmall(assets);
        _requireNotZero(receiver);
        uint256 available = cover[msg.sender][token];
        if (assets > available) revert InsufficientCover(assets, available);
        cover[msg.sender][token] = available - assets;
        emit WithdrawCover(msg.sender, token, receiver, assets);
        token.push(receiver, assets);
    }

    /// @inheritdoc IPlimsoll
    function setCoverFloor(address token, uint256 floor) external {
        coverFloor[msg.sender][token] = floor;
        emit SetCoverFloor(msg.sender, token, floor);
    }

    /// @inheritdoc IPlimsoll
    function setCoverLimit(MarketId id, uint256 limit) external {
        if (!_markets[id].exists()) revert MarketNotCreated(id);
        coverLimit[msg.sender][id] = limit;
        emit SetCoverLimit(msg.sender, id, limit);
    }

    /* FLASH LOANS */

    /// @inheritdoc IPlimsoll
    function flashLoan(address receiver, address token, uint256 assets, bytes calldata data) external returns (bool) {
        if (assets == 0) revert AmountTooSmall(assets);
        uint256 available = maxFlashLoan(token);
        if (assets > available) revert FlashLoanTooLarge(assets, available);
        if (receiver.code.length == 0) revert FlashLoanRefused(receiver);
        emit FlashLoan(msg.sender, receiver, token, assets);

        token.push(receiver, assets);
        bytes32 result = IERC3156FlashBorrower(receiver).onFlashLoan(msg.sender, token, assets, 0, data);
        if (result != CALLBACK_SUCCESS) revert FlashLoanRefused(receiver);
        token.pull(receiver, assets);
        return true;
    }

    /// @inheritdoc IPlimsoll
    function maxFlashLoan(address token) public view returns (uint256) {
        return token.balanceOrZero(address(this));
    }

    /// @inheritdoc IPlimsoll
    function flashFee(address token, uint256) external view returns (uint256) {
        if (maxFlashLoan(token) == 0) revert TokenNotLent(token);
        return 0;
    }

    /* AUTHORISATION */

    /// @inheritdoc IPlimsoll
    function setAuthorization(address authorized, uint256 expiry) external {
        _setAuthorization(msg.sender, authorized, expiry);
    }

    /// @inheritdoc IPlimsoll
    function setAuthorizationWithSig(Authorization calldata authorization, bytes calldata signature) external {
        address authorizer = authorization.authorizer;
        uint256 expected = nonce[authorizer];
        if (authorization.nonce < expected) return;
        if (authorization.nonce != expected) revert InvalidNonce(authorization.nonce, expected);
        if (block.timestamp > authorization.deadline) revert SignatureExpired(authorization.deadline);
        bytes32 structHash = keccak256(abi.encode(AUTHORIZATION_TYPEHASH, authorization));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), structHash));
        // The nonce is used before the authorizer's code is called, which is a static call.
        nonce[authorizer] = expected + 1;
        if (!Signatures.isValid(authorizer, digest, signature)) revert InvalidSignature(authorizer);
        emit UseNonce(authorizer, expected);
        _setAuthorization(authorizer, authorization.authorized, authorization.expiry);
    }

    /// @inheritdoc IPlimsoll
    // forge-lint: disable-next-line(mixed-case-function)
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return
            keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Plimsoll"), keccak256("1"), block.chainid, address(this)));
    }

    function _setAuthorization(address authorizer, address authorized, uint256 expiry) internal {
        authorizationExpiry[authorizer][authorized] = expiry;
        emit SetAuthorization(authorizer, authorized, expiry);
    }

    /// @inheritdoc IPlimsoll
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        return Multicall.run(calls);
    }

    /* OWNER */

    /// @inheritdoc IPlimsoll
    function setFee(MarketParams calldata params, uint256 feeBps) external onlyOwner {
        if (feeBps > MAX_FEE_BPS) revert FeeTooHigh(feeBps, MAX_FEE_BPS);
        Market memory m;
        (MarketId id, StoredMarket storage storedMarket) = _loadAccrued(params, m);
        m.feeBps = feeBps;
        storedMarket.store(m);
        emit SetFee(id, feeBps);
    }

    /// @inheritdoc IPlimsoll
    function setFeeRecipient(MarketId id, address recipient) external onlyOwner {
        if (!_markets[id].exists()) revert MarketNotCreated(id);
        feeRecipient[id] = recipient;
        emit SetFeeRecipient(id, recipient);
    }

    /// @inheritdoc IPlimsoll
    function setBackstop(MarketId id, address vault) external onlyOwner {
        if (!_markets[id].exists()) revert MarketNotCreated(id);
        backstop[id] = vault;
        emit SetBackstop(id, vault);
    }

    /// @inheritdoc IPlimsoll
    function transferOwnership(address newOwner) external onlyOwner {
        pendingOwner = newOwner;
        emit OwnershipTransferStarted(msg.sender, newOwner);
    }

    /// @inheritdoc IPlimsoll
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert NotPendingOwner(msg.sender);
        emit OwnershipTransferred(owner, msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
    }

    /* VIEWS */

    /// @inheritdoc IPlimsoll
    function market(MarketId id) external view returns (Market memory m) {
        _markets[id].loadInto(m);
    }

    /// @inheritdoc IPlimsoll
    function position(MarketId id, address account) external view returns (Position memory p) {
        StoredPosition storage stored = _positions[id][account];
        p.supplyShares = stored.supplyShares;
        (p.borrowShares, p.collateral) = stored.loadDebt();
    }

    /// @inheritdoc IPlimsoll
    function marketParams(MarketId id) external view returns (MarketParams memory) {
        return _marketParams[id];
    }

    /* SHARED */

    /// @dev Loads the market of these parameters into `m` and accrues its interest up to this block.
    function _loadAccrued(MarketParams calldata params, Market memory m)
        internal
        returns (MarketId, StoredMarket storage)
    {
        MarketId id = params.toId();
        StoredMarket storage storedMarket = _markets[id];
        storedMarket.loadInto(m);
        if (m.lastUpdate == 0) revert MarketNotCreated(id);
        if (m.lastUpdate != block.timestamp) {
            unchecked {
                if (m.surgeLevel != 0) SurgeMath.refill(m, params.risk, block.timestamp - m.lastUpdate);
            }
            (uint256 interest, uint256 feeShares) = InterestMath.accrue(m, params.curve, block.timestamp);
            emit Accrue(id, (interest << 32) | m.interestRemainder, feeShares, m.rateAtTarget, block.timestamp);
        }
        return (id, storedMarket);
    }

    /// @dev Every action that lowers a position's health factor ends here: the debt must be at least the market's
    /// minimum, so that whatever becomes liquidatable had collateral for a debt of that size, and the collateral must
    /// cover it at the borrow LTV and the borrow price.
    function _requireSound(MarketParams calldata params, uint256 collateral, uint256 debt) internal view {
        uint256 minDebt = params.risk.minDebt();
        if (debt < minDebt) revert DebtTooSmall(debt, minDebt);
        uint256 price = _requirePrice(params.oracle, IOracle(params.oracle).borrowPrice());
        uint256 value = LiquidationMath.valueDown(collateral, price);
        uint256 ltvBps = params.risk.borrowLtvBps();
        if (!LiquidationMath.isHealthy(debt, value, ltvBps)) revert Unhealthy(debt, value * ltvBps / BPS);
    }

    /// @dev Uses the surge limit of a market that has one, before a borrowing is added to the market's debt.
    function _useSurgeLimit(Market memory m, Risk risk, uint256 assets) internal pure {
        uint256 level = SurgeMath.levelAfterBorrow(m, risk, assets);
        if (level > SurgeMath.FULL) revert SurgeLimitExceeded(assets, SurgeMath.room(m, risk));
        m.surgeLevel = level;
    }

    function _requirePrice(address oracle, uint256 price) internal pure returns (uint256) {
        if (price == 0) revert OraclePriceZero(oracle);
        return price;
    }

    function _requireLiquidity(Market memory m, uint256 assets) internal pure {
        uint256 available = _liquidity(m);
        if (assets > available) revert InsufficientLiquidity(assets, available);
    }

    function _liquidity(Market memory m) internal pure returns (uint256) {
        unchecked {
            return m.supplyAssets - m.borrowAssets;
        }
    }

    function _requireAuthorized(address onBehalf) internal view {
        if (msg.sender == onBehalf || block.timestamp <= authorizationExpiry[onBehalf][msg.sender]) return;
        revert Unauthorized(msg.sender, onBehalf);
    }

    /// @dev Exactly one of the two is not 0.
    function _requireConsistentInput(uint256 assets, uint256 shares) internal pure {
        if ((assets == 0) == (shares == 0)) revert InconsistentInput(assets, shares);
    }

    /// @dev The amount fits 128 bits, like every amount that is stored.
    function _requireFits(uint256 amount) internal pure {
        if (amount >> 128 != 0) revert AmountTooLarge(amount);
    }

    function _requireNotZero(address account) internal pure {
        if (account == address(0)) revert ZeroAddress();
    }

    function _requireCode(address account) internal view {
        if (account.code.length == 0) revert NoCode(account);
    }
}
