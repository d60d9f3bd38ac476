// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketId, MarketParams} from "../types/MarketParams.sol";
import {IGuard} from "./IGuard.sol";

/// @title Executor of the guard's orders without capital.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Executes an order, sells the collateral, pays with the proceeds and sends the rest to a receiver, in one call
/// that anyone may make. The caller chooses the order, the route and the least profit; the amounts are the guard's.
///
/// The gas of the call is charged as by `ILiquidator`: what this contract measures and what the caller declares, at the
/// price that the transaction pays, converted by the caller's own valuation.
///
/// Holds no tokens between calls and keeps no approval: tokens sent here by mistake belong to the next caller. Errors
/// besides those named here: `ISwapperClient` and `IGasCharge`.
interface IOrderExecutor {
    /// @notice The arguments of an execution.
    /// @param params the market
    /// @param account whose order is executed
    /// @param kind of the order
    /// @param swapper the adapter by which the collateral is sold
    /// @param route from the collateral token to the loan token, in the adapter's format
    /// @param minProfit the least profit after the charge for gas, in units of the loan token
    /// @param unitsPerWeiX96 units of the loan token that are worth one wei, times 2^96; 0 to charge nothing
    /// @param gasOverhead gas to charge besides what is measured
    /// @param extraWei fees to charge besides gas, in wei
    /// @param receiver of the profit
    /// @param deadline the last second at which the call may be executed
    struct OrderExecution {
        MarketParams params;
        address account;
        IGuard.Kind kind;
        address swapper;
        bytes route;
        uint256 minProfit;
        uint128 unitsPerWeiX96;
        uint256 gasOverhead;
        uint256 extraWei;
        address receiver;
        uint256 deadline;
    }

    /// @notice An order was executed and `profit` of the loan token was sent to `receiver`.
    event ExecuteWithoutCapital(
        MarketId indexed id,
        address indexed account,
        address indexed caller,
        IGuard.Kind kind,
        address receiver,
        uint256 payment,
        uint256 sold,
        uint256 profit
    );

    error ZeroAddress();

    /// @notice Executes the order, sells the collateral, pays and sends the profit to the receiver. Errors of the guard
    /// (`NoOrder` if it was executed by others and is used up), of the core and of the adapter are passed on.
    function execute(OrderExecution calldata wanted) external returns (uint256 profit);

    /// @notice Returns the guard.
    function guard() external view returns (address);
}
