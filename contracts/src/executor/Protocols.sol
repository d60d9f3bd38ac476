// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IExecutor} from "../interfaces/IExecutor.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {IWrappedCoin} from "../interfaces/IWrappedCoin.sol";
import {ILiquidateCallback} from "../interfaces/IPlimsollCallbacks.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Pools} from "./Pools.sol";
import {
    IAaveV3Pool,
    IAllowances,
    ICoinMarket,
    IComptroller,
    ICompoundLiquidator,
    ICompoundMarket,
    IMorphoBlue,
    IMorphoLiquidateCallback,
    IPreLiquidation,
    IPreLiquidationCallback,
    IPreLiquidationFactory,
    IScaledBalance
} from "./interfaces/IProtocols.sol";
import {Route} from "./libraries/Route.sol";

/// @title Liquidations on lending protocols.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice The protocols are fixed at construction. Amounts are taken from balances wherever a protocol does not tell
/// them.
abstract contract Protocols is Pools, ILiquidateCallback, IMorphoLiquidateCallback, IPreLiquidationCallback {
    using Route for bytes;
    using Tokens for address;

    /// @dev What is done with seized collateral: the data of a protocol's callback.
    /// @param held units of the collateral that were here before
    struct Sale {
        address debt;
        address collateral;
        uint256 held;
        bool exactOut;
        bytes route;
    }

    /// @dev What is done with bought debt tokens.
    struct Purchase {
        IExecutor.Target target;
        address debt;
        address collateral;
        uint256 amount;
        bytes data;
    }

    IWrappedCoin internal immutable WRAPPED_COIN;

    /// @dev The kind above the address; 0 where there is none.
    uint256 private immutable TARGET_0;
    uint256 private immutable TARGET_1;
    uint256 private immutable TARGET_2;
    uint256 private immutable TARGET_3;
    uint256 private immutable TARGET_4;
    uint256 private immutable TARGET_5;
    uint256 private immutable TARGET_6;
    uint256 private immutable TARGET_7;

    /// @dev The market whose receipts are being redeemed for coins.
    address internal transient _payer;
    /// @dev The result of a liquidation inside a pool's callback, which can return nothing.
    uint256 private transient _repaid;
    uint256 private transient _seized;

    constructor(address wrappedCoin_, IExecutor.Target[] memory targets) {
        if (wrappedCoin_.code.length == 0) revert IExecutor.NoCode(wrappedCoin_);
        WRAPPED_COIN = IWrappedCoin(wrappedCoin_);
        if (targets.length > MAX_LISTED) revert IExecutor.TooMany(targets.length);
        TARGET_0 = _packTarget(targets, 0);
        TARGET_1 = _packTarget(targets, 1);
        TARGET_2 = _packTarget(targets, 2);
        TARGET_3 = _packTarget(targets, 3);
        TARGET_4 = _packTarget(targets, 4);
        TARGET_5 = _packTarget(targets, 5);
        TARGET_6 = _packTarget(targets, 6);
        TARGET_7 = _packTarget(targets, 7);
    }

    /// @dev Whether a protocol of this kind takes the repayment before it gives the collateral.
    function _buysFirst(IExecutor.TargetKind kind) internal pure returns (bool) {
        return kind == IExecutor.TargetKind.AaveV3 || kind == IExecutor.TargetKind.CompoundV2;
    }

    /// @dev Liquidates. Afterwards what is left of the collateral or of the debt tokens is here.
    function _liquidate(IExecutor.Target memory target, IExecutor.Item calldata item)
        internal
        returns (uint256 repaid, uint256 seized)
    {
        bool sameToken = item.collateral == item.debt && item.route.length == 0 && !_buysFirst(target.kind);
        if (!sameToken && !item.route.leadsTo(item.debt)) {
            revert IExecutor.InvalidRoute(item.collateral, item.debt, item.route);
        }
        if (target.kind == IExecutor.TargetKind.Plimsoll) return _liquidatePlimsoll(target.account, item);
        if (target.kind == IExecutor.TargetKind.MorphoBlue) return _liquidateMorpho(target.account, item);
        if (target.kind == IExecutor.TargetKind.MorphoPreLiquidation) return _preLiquidateMorpho(target.account, item);
        _checkFreshness(target.kind, item.data);
        Purchase memory purchase = Purchase(target, item.debt, item.collateral, item.maxRepay, item.data);
        _buy(item.collateral, item.route, item.maxRepay, abi.encode(purchase));
        return (_repaid, _seized);
    }

    /* SEIZE FIRST */

    function _liquidatePlimsoll(address core, IExecutor.Item calldata item) private returns (uint256, uint256) {
        IExecutor.PlimsollLoans memory loans = abi.decode(item.data, (IExecutor.PlimsollLoans));
        bytes memory sale = _encodeSale(item);
        _awaited = core;
        (uint256 repaid, uint256 seized) =
            IPlimsoll(core).liquidate(loans.params, loans.borrowers, item.maxRepay, 0, address(this), sale);
        _requireCalledBack(core);
        return (repaid, seized);
    }

    function _liquidateMorpho(address morpho, IExecutor.Item calldata item) private returns (uint256, uint256) {
        IExecutor.MorphoLoan memory loan = abi.decode(item.data, (IExecutor.MorphoLoan));
        _checkMorphoDebt(morpho, keccak256(abi.encode(loan.market)), loan.borrower, loan.minBorrowShares);
        bytes memory sale = _encodeSale(item);
        _awaited = morpho;
        (uint256 seized, uint256 repaid) =
            IMorphoBlue(morpho).liquidate(loan.market, loan.borrower, loan.seizedAssets, loan.repaidShares, sale);
        _requireCalledBack(morpho);
        return (repaid, seized);
    }

    /// @dev Only a contract of the listed factory is called: it pulls from its caller alone, which an approval relies on.
    function _preLiquidateMorpho(address factory, IExecutor.Item calldata item) private returns (uint256, uint256) {
        IExecutor.PreLiquidationLoan memory loan = abi.decode(item.data, (IExecutor.PreLiquidationLoan));
        IPreLiquidation preLiquidation = IPreLiquidation(loan.preLiquidation);
        if (!IPreLiquidationFactory(factory).isPreLiquidation(address(preLiquidation))) {
            revert IExecutor.NotPreLiquidation(address(preLiquidation));
        }
        _checkMorphoDebt(preLiquidation.MORPHO(), preLiquidation.ID(), loan.borrower, loan.minBorrowShares);
        bytes memory sale = _encodeSale(item);
        _awaited = address(preLiquidation);
        (uint256 seized, uint256 repaid) = preLiquidation.preLiquidate(loan.borrower, 0, loan.repaidShares, sale);
        _requireCalledBack(address(preLiquidation));
        return (repaid, seized);
    }

    function _checkMorphoDebt(address morpho, bytes32 market, address borrower, uint256 expected) private view {
        (, uint256 owed,) = IMorphoBlue(morpho).position(market, borrower);
        if (owed < expected) revert IExecutor.StaleDebt(owed, expected);
    }

    function _encodeSale(IExecutor.Item calldata item) private view returns (bytes memory) {
        uint256 held = item.collateral.balanceOrZero(address(this));
        return abi.encode(Sale(item.debt, item.collateral, held, item.exactOut, item.route));
    }

    /// @inheritdoc ILiquidateCallback
    function onPlimsollLiquidate(uint256 repaid, uint256, bytes calldata data) external {
        _sellSeized(repaid, data);
    }

    /// @inheritdoc IMorphoLiquidateCallback
    function onMorphoLiquidate(uint256 repaid, bytes calldata data) external {
        _sellSeized(repaid, data);
    }

    /// @inheritdoc IPreLiquidationCallback
    function onPreLiquidate(uint256 repaid, bytes calldata data) external {
        _sellSeized(repaid, data);
    }

    /// @dev Sells the seized collateral. If nothing is to be repaid it is worth nothing, and kept.
    function _sellSeized(uint256 repaid, bytes calldata data) private {
        _acceptCallback();
        if (repaid == 0) return;
        Sale memory sale = abi.decode(data, (Sale));
        if (sale.route.length != 0) {
            if (sale.exactOut) {
                _buy(sale.collateral, sale.route, repaid, "");
            } else {
                _sell(sale.collateral, sale.route, sale.collateral.balanceOrZero(address(this)) - sale.held);
            }
        }
        _allow(sale.debt, msg.sender, repaid);
    }

    /* BUY FIRST */

    /// @dev Asks before anything is bought: a race that is lost costs little.
    function _checkFreshness(IExecutor.TargetKind kind, bytes calldata data) private view {
        uint256 owed;
        uint256 expected;
        if (kind == IExecutor.TargetKind.AaveV3) {
            IExecutor.AaveLoan memory loan = abi.decode(data, (IExecutor.AaveLoan));
            expected = loan.minScaledDebt;
            if (expected != 0) owed = IScaledBalance(loan.debtToken).scaledBalanceOf(loan.borrower);
        } else {
            IExecutor.CompoundLoan memory loan = abi.decode(data, (IExecutor.CompoundLoan));
            expected = loan.minBorrow;
            if (expected != 0) owed = ICompoundMarket(loan.debtMarket).borrowBalanceStored(loan.borrower);
        }
        if (owed < expected) revert IExecutor.StaleDebt(owed, expected);
    }

    /// @inheritdoc Pools
    function _liquidateBought(bytes memory encoded) internal override {
        Purchase memory purchase = abi.decode(encoded, (Purchase));
        uint256 debtHeld = purchase.debt.balanceOrZero(address(this));
        uint256 collateralHeld = purchase.collateral.balanceOrZero(address(this));
        if (purchase.target.kind == IExecutor.TargetKind.AaveV3) {
            _liquidateAave(purchase);
        } else {
            _liquidateCompound(purchase);
        }
        _repaid = debtHeld - purchase.debt.balanceOrZero(address(this));
        _seized = purchase.collateral.balanceOrZero(address(this)) - collateralHeld;
        if (_repaid == 0) revert IExecutor.NothingRepaid();
    }

    function _liquidateAave(Purchase memory purchase) private {
        address pool = purchase.target.account;
        IExecutor.AaveLoan memory loan = abi.decode(purchase.data, (IExecutor.AaveLoan));
        _allow(purchase.debt, pool, purchase.amount);
        IAaveV3Pool(pool).liquidationCall(purchase.collateral, purchase.debt, loan.borrower, purchase.amount, false);
    }

    function _liquidateCompound(Purchase memory purchase) private {
        IExecutor.CompoundLoan memory loan = abi.decode(purchase.data, (IExecutor.CompoundLoan));
        _requireListed(purchase.target.account, loan.debtMarket);
        _requireListed(purchase.target.account, loan.collateralMarket);
        uint256 value;
        if (loan.debtInCoin) {
            _requireWrappedCoin(purchase.debt);
            value = purchase.amount;
            WRAPPED_COIN.withdraw(value);
        }
        if (loan.byLiquidator) {
            _liquidateByLiquidator(purchase, loan, value);
        } else if (loan.debtInCoin) {
            ICoinMarket(loan.debtMarket).liquidateBorrow{value: value}(loan.borrower, loan.collateralMarket);
        } else {
            _allow(purchase.debt, loan.debtMarket, purchase.amount);
            _requireDone(
                ICompoundMarket(loan.debtMarket).liquidateBorrow(loan.borrower, purchase.amount, loan.collateralMarket)
            );
        }
        uint256 receipts = loan.collateralMarket.balanceOrZero(address(this));
        if (loan.collateralInCoin) {
            _requireWrappedCoin(purchase.collateral);
            _redeemForCoins(loan.collateralMarket, receipts);
        } else {
            _requireDone(ICompoundMarket(loan.collateralMarket).redeem(receipts));
        }
    }

    /// @dev Only the contract that the listed comptroller names is called. Another may be named at any time, so it is approved
    /// for this repayment alone.
    /// @param value coins to repay; 0 if it pulls tokens
    function _liquidateByLiquidator(Purchase memory purchase, IExecutor.CompoundLoan memory loan, uint256 value)
        private
    {
        address liquidator = IComptroller(purchase.target.account).liquidatorContract();
        if (liquidator.code.length == 0) revert IExecutor.NoCode(liquidator);
        if (value == 0) SafeTransferLib.safeApproveWithRetry(purchase.debt, liquidator, purchase.amount);
        ICompoundLiquidator(liquidator).liquidateBorrow{value: value}(
            loan.debtMarket, loan.borrower, purchase.amount, loan.collateralMarket
        );
        if (value == 0 && IAllowances(purchase.debt).allowance(address(this), liquidator) != 0) {
            SafeTransferLib.safeApproveWithRetry(purchase.debt, liquidator, 0);
        }
    }

    /// @dev The market may send coins and nothing else: it is not awaited as a pool is, whose callback is paid.
    function _redeemForCoins(address market, uint256 receipts) private {
        _payer = market;
        _requireDone(ICompoundMarket(market).redeem(receipts));
        _payer = address(0);
        WRAPPED_COIN.deposit{value: address(this).balance}();
    }

    function _requireWrappedCoin(address token) private view {
        if (token != address(WRAPPED_COIN)) revert IExecutor.NotWrappedCoin(token);
    }

    function _requireListed(address comptroller, address market) private view {
        if (!IComptroller(comptroller).markets(market)) revert IExecutor.MarketNotListed(market);
    }

    function _requireDone(uint256 code) private pure {
        if (code != 0) revert IExecutor.Refused(code);
    }

    /* APPROVALS AND TARGETS */

    /// @dev Approves a protocol without a limit: it pulls from its caller only, and nothing is here between calls.
    function _allow(address token, address spender, uint256 amount) private {
        if (IAllowances(token).allowance(address(this), spender) < amount) {
            SafeTransferLib.safeApproveWithRetry(token, spender, type(uint256).max);
        }
    }

    function _targetAt(uint256 index) internal view returns (IExecutor.Target memory target) {
        uint256 packed;
        if (index == 0) packed = TARGET_0;
        else if (index == 1) packed = TARGET_1;
        else if (index == 2) packed = TARGET_2;
        else if (index == 3) packed = TARGET_3;
        else if (index == 4) packed = TARGET_4;
        else if (index == 5) packed = TARGET_5;
        else if (index == 6) packed = TARGET_6;
        else if (index == 7) packed = TARGET_7;
        if (packed == 0) revert IExecutor.NotListed(index);
        (target.kind, target.account) = (IExecutor.TargetKind(packed >> 160), address(uint160(packed)));
    }

    function _packTarget(IExecutor.Target[] memory targets, uint256 index) private view returns (uint256) {
        return index < targets.length ? _pack(uint256(targets[index].kind), targets[index].account) : 0;
    }
}
