// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IGasCharge} from "../interfaces/IGasCharge.sol";
import {IGuard} from "../interfaces/IGuard.sol";
import {IGuardExecutor} from "../interfaces/IGuardExecutor.sol";
import {IOrderExecutor} from "../interfaces/IOrderExecutor.sol";
import {ISwapper} from "../interfaces/ISwapper.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {SwapperClient} from "./SwapperClient.sol";
import {GasCharge} from "./libraries/GasCharge.sol";

/// @title Executor of orders without capital.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IOrderExecutor`.
contract OrderExecutor is IOrderExecutor, IGuardExecutor, SwapperClient {
    using Tokens for address;

    /// @dev The data of the guard's callback.
    struct Sale {
        address loanToken;
        address collateralToken;
        address swapper;
        bytes route;
    }

    IGuard internal immutable GUARD;

    constructor(address guard_, address[] memory swappers) SwapperClient(_coreOf(guard_), swappers) {
        GUARD = IGuard(guard_);
    }

    /// @inheritdoc IOrderExecutor
    function execute(OrderExecution calldata wanted)
        external
        guarded(wanted.deadline, wanted.swapper)
        returns (uint256 profit)
    {
        uint256 gasAtStart = gasleft();
        if (wanted.receiver == address(0)) revert ZeroAddress();
        (address loanToken, address collateralToken) = (wanted.params.loanToken, wanted.params.collateralToken);
        // The reward from the account's own tokens comes here as well, so the collateral is not sent to the adapter.
        IGuard.Execution memory execution = GUARD.execute(
            wanted.params,
            wanted.account,
            wanted.kind,
            0,
            address(this),
            abi.encode(Sale(loanToken, collateralToken, wanted.swapper, wanted.route))
        );
        profit = _sweep(loanToken, wanted.receiver);
        _sweep(collateralToken, wanted.receiver);
        emit ExecuteWithoutCapital(
            wanted.params.toId(),
            wanted.account,
            msg.sender,
            wanted.kind,
            wanted.receiver,
            execution.payment,
            execution.sold,
            profit
        );
        // Last, so that everything above is measured.
        uint256 required = wanted.minProfit
            + GasCharge.chargeUp(gasAtStart - gasleft() + wanted.gasOverhead, wanted.extraWei, wanted.unitsPerWeiX96);
        if (profit < required) revert IGasCharge.ProfitTooLow(profit, required);
    }

    /// @inheritdoc IGuardExecutor
    function onGuardExecute(address, uint256 payment, uint256 sold, bytes calldata data) external {
        // The guard calls back its caller, so during a call from here a callback belongs to it and carries its data.
        if (msg.sender != address(GUARD) || !_entered) revert UnexpectedCallback(msg.sender);
        Sale memory sale = abi.decode(data, (Sale));
        sale.collateralToken.push(sale.swapper, sold);
        ISwapper(sale.swapper)
            .swapExactIn(sale.collateralToken, sale.loanToken, sold, payment, address(this), sale.route);
        SafeTransferLib.safeApprove(sale.loanToken, address(GUARD), payment);
    }

    /// @inheritdoc IOrderExecutor
    function guard() external view returns (address) {
        return address(GUARD);
    }

    function _coreOf(address guard_) private view returns (address) {
        if (guard_.code.length == 0) revert NoCode(guard_);
        return IGuard(guard_).plimsoll();
    }
}
