// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGasCharge} from "../interfaces/IGasCharge.sol";
import {ILiquidator} from "../interfaces/ILiquidator.sol";
import {ILiquidateCallback} from "../interfaces/IPlimsollCallbacks.sol";
import {ISwapper} from "../interfaces/ISwapper.sol";
import {IWrappedCoin} from "../interfaces/IWrappedCoin.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {SwapperClient} from "./SwapperClient.sol";
import {GasCharge} from "./libraries/GasCharge.sol";

/// @title Liquidator without capital.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `ILiquidator`.
contract Liquidator is ILiquidator, ILiquidateCallback, SwapperClient {
    using Tokens for address;

    /// @dev One whole, in basis points.
    uint256 private constant WHOLE_BPS = 10_000;

    /// @dev Gas that a builder gets to take its payment: enough for a wallet that is a contract, and little to waste.
    uint256 private constant BUILDER_GAS = 10_000;

    /// @dev Gas of everything from the payment on, at most: unwrapping, paying an account that is new or wrapping again
    /// what was refused, sending the rest, the events. What is left of it is part of the profit.
    uint256 private constant PAYMENT_GAS = 120_000;

    /// @dev The data of the liquidation callback.
    struct Exchange {
        address loanToken;
        address collateralToken;
        address swapper;
        bool profitInCollateral;
        bytes route;
    }

    constructor(address plimsoll_, address[] memory swappers) SwapperClient(plimsoll_, swappers) {}

    /// @inheritdoc ILiquidator
    function liquidate(Liquidation calldata wanted)
        external
        guarded(wanted.deadline, wanted.swapper)
        returns (Outcome memory outcome)
    {
        uint256 gasAtStart = gasleft();
        (outcome.repaid, outcome.seized) = _liquidate(wanted);
        uint256 loanLeft = _sweep(wanted.params.loanToken, wanted.receiver);
        uint256 collateralLeft = _sweep(wanted.params.collateralToken, wanted.receiver);
        outcome.profit = wanted.profitInCollateral ? collateralLeft : loanLeft;
        _finish(wanted, outcome, gasAtStart);
    }

    /// @inheritdoc ILiquidator
    function liquidateForBuilder(Liquidation calldata wanted, uint256 shareBps)
        external
        guarded(wanted.deadline, wanted.swapper)
        returns (Outcome memory outcome, uint256 paid)
    {
        uint256 gasAtStart = gasleft();
        if (shareBps > WHOLE_BPS) revert ShareTooHigh(shareBps);
        (outcome.repaid, outcome.seized) = _liquidate(wanted);
        (address profitToken, address otherToken) = (_profitToken(wanted), wanted.params.collateralToken);
        if (wanted.profitInCollateral) otherToken = wanted.params.loanToken;
        _sweep(otherToken, wanted.receiver);
        uint256 charge = _charge(wanted, gasAtStart, PAYMENT_GAS);
        uint256 profit = profitToken.balanceOrZero(address(this));
        if (profit > charge) paid = _payBuilder(profitToken, (profit - charge) * shareBps / WHOLE_BPS);
        outcome.profit = _sweep(profitToken, wanted.receiver);
        _finish(wanted, outcome, gasAtStart);
    }

    /// @notice Accepts the coins of a token that is being unwrapped.
    receive() external payable {
        if (!_entered) revert UnexpectedCoins(msg.sender);
    }

    /// @inheritdoc ILiquidateCallback
    function onPlimsollLiquidate(uint256 repaid, uint256 seized, bytes calldata data) external onlyCallback {
        Exchange memory e = abi.decode(data, (Exchange));
        if (e.profitInCollateral || repaid == 0) {
            // If nothing is to be repaid, nothing is bought and all seized collateral is returned.
            ISwapper(e.swapper)
                .swapExactOut(e.collateralToken, e.loanToken, repaid, seized, address(this), address(this), e.route);
        } else {
            ISwapper(e.swapper).swapExactIn(e.collateralToken, e.loanToken, seized, repaid, address(this), e.route);
        }
        _approveCore(e.loanToken, repaid);
    }

    /// @inheritdoc ILiquidator
    function plimsoll() external view returns (address) {
        return address(PLIMSOLL);
    }

    /// @dev Liquidates and repays. What is left of both tokens stays here.
    function _liquidate(Liquidation calldata wanted) private returns (uint256 repaid, uint256 seized) {
        if (wanted.receiver == address(0)) revert ZeroAddress();
        (address loanToken, address collateralToken) = (wanted.params.loanToken, wanted.params.collateralToken);
        bytes memory exchange =
            abi.encode(Exchange(loanToken, collateralToken, wanted.swapper, wanted.profitInCollateral, wanted.route));
        // The core pushes the collateral to the adapter. Its least proceeds are bounded by the least profit.
        return PLIMSOLL.liquidate(wanted.params, wanted.borrowers, wanted.maxRepay, 0, wanted.swapper, exchange);
    }

    /// @dev Pays the builder in coins. Returns what it got: all or nothing.
    function _payBuilder(address wrappedCoin, uint256 amount) private returns (uint256 paid) {
        if (amount == 0) return 0;
        IWrappedCoin(wrappedCoin).withdraw(amount);
        if (SafeTransferLib.trySafeTransferETH(block.coinbase, amount, BUILDER_GAS)) {
            emit BuilderPaid(block.coinbase, amount);
            return amount;
        }
        IWrappedCoin(wrappedCoin).deposit{value: amount}();
    }

    /// @dev Reports a liquidation whose profit was sent, and requires that it covers the charge and the least profit.
    /// Called last, so that everything before it is measured.
    function _finish(Liquidation calldata wanted, Outcome memory outcome, uint256 gasAtStart) private {
        emit LiquidateWithoutCapital(
            wanted.params.toId(),
            msg.sender,
            wanted.receiver,
            _profitToken(wanted),
            outcome.repaid,
            outcome.seized,
            outcome.profit
        );
        uint256 required = wanted.minProfit + _charge(wanted, gasAtStart, 0);
        if (outcome.profit < required) revert IGasCharge.ProfitTooLow(outcome.profit, required);
    }

    /// @dev What is charged for the gas since the start, what is declared and this much besides.
    function _charge(Liquidation calldata wanted, uint256 gasAtStart, uint256 further) private view returns (uint256) {
        uint256 gas = gasAtStart - gasleft() + wanted.gasOverhead + further;
        return GasCharge.chargeUp(gas, wanted.extraWei, wanted.unitsPerWeiX96);
    }

    function _profitToken(Liquidation calldata wanted) private pure returns (address) {
        return wanted.profitInCollateral ? wanted.params.collateralToken : wanted.params.loanToken;
    }
}
