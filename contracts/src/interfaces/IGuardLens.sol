// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketId} from "../types/MarketParams.sol";
import {IGuard} from "./IGuard.sol";
import {ILens} from "./ILens.sol";

/// @title Batch views of the guard's orders.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Says of each order what an execution in this block would do, or why the guard refuses it, with the guard's own
/// arithmetic. `orders` never reverts: a hostile oracle or token affects only the lines of its own market. Lines are in
/// the order of the keys that were passed.
interface IGuardLens {
    /// @notice Whether an order is executable, or the first reason why it is not, in the guard's order of checks.
    /// `Executable`: `execute` of the guard succeeds, for an executor that pays, as long as the tokens transfer.
    /// `NoOrder`, `Expired`, `CoolingDown`, `NoDebt`, `NotTriggered`: the guard's errors of these names.
    /// `NoPrice`: the oracle has no liquidation price.
    /// `NoBorrowPrice`: the order requires a borrow price, and the oracle has none.
    /// `Unauthorized`: the account has not authorised the guard in the core, or no longer.
    /// `TooSmall`: the core refuses a sale of no collateral (`AmountTooSmall`): there is none, or the price is so high that
    /// the payment is worth less than a unit.
    /// `Unreadable`: a token reverted or used up the gas of the line; all else is 0.
    /// `TooLittleGas`: too little gas was left for the line; call with more gas or for fewer orders.
    enum OrderStatus {
        Executable,
        NoOrder,
        Expired,
        CoolingDown,
        NoDebt,
        NoPrice,
        NoBorrowPrice,
        NotTriggered,
        Unauthorized,
        TooSmall,
        Unreadable,
        TooLittleGas
    }

    /// @notice The key of an order.
    struct OrderKey {
        address account;
        MarketId id;
        IGuard.Kind kind;
    }

    /// @notice An order and what its execution would do now. Prices, debt and amounts are also there while something
    /// else than the price prevents the execution.
    /// @param order its terms; `uses` is how often it may still be executed
    /// @param lastExecuted the time of its last execution; 0 for never
    /// @param executableFrom the time at which its cooldown ends
    /// @param debt of the account in this block, rounded up
    /// @param collateral of the account
    /// @param value of the collateral at the liquidation price, rounded down; 0 without a price
    /// @param borrowPrice read only if the order requires it
    /// @param triggerPrice the liquidation price at which the trigger is met in this block: the highest such price for
    /// `Protect` and `CloseBelow`, the lowest for `CloseAbove`. 0 without a debt, the largest number if every price meets the
    /// trigger. Computed without the oracle
    /// @param distance by which part of itself the liquidation price must still move to the trigger price, 1e18-scaled
    /// and rounded down, at most the largest number; 0 if the trigger is met or there is no price
    /// @param execution the amounts; all 0 if the trigger is not met
    struct OrderLine {
        OrderKey key;
        OrderStatus status;
        IGuard.Order order;
        uint256 lastExecuted;
        uint256 executableFrom;
        uint256 debt;
        uint256 collateral;
        uint256 value;
        ILens.PriceReading liquidationPrice;
        ILens.PriceReading borrowPrice;
        uint256 triggerPrice;
        uint256 distance;
        IGuard.Execution execution;
    }

    /// @notice There is no contract at this address.
    error NoCode(address account);

    /// @notice Returns the guard.
    function guard() external view returns (address);

    /// @notice Returns the gas that a line is given. A line that needs more is `Unreadable`.
    function lineGas() external view returns (uint256);

    /// @notice Returns orders by their keys.
    function orders(OrderKey[] calldata keys) external view returns (OrderLine[] memory);

    /// @notice Returns one order; reverts where `orders` says `Unreadable`.
    function order(OrderKey calldata key) external view returns (OrderLine memory);
}
