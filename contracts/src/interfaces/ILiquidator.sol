// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Liquidations without capital
/// @notice Liquidates loans, swaps the seized collateral, repays with what comes out, and sends on the profit:
/// anybody's, in one call. Whoever calls chooses the loans, how much to repay over all of them (a slice, where the
/// exchange could not absorb the whole), the route, and the least profit. Loans that somebody else was faster with are
/// skipped by the core, so set `minProfit` by what the transaction costs, not by what all the loans would bring.
///
/// Holds nothing between calls and keeps no approval: what is sent here by mistake belongs to whoever calls next. The
/// collateral goes from the core straight to the exchange's adapter, which must be one of those named at construction;
/// no other address that a caller could choose is called but the tokens of the market.
interface ILiquidator {
    /// @param params the market
    /// @param borrowers whose loans, in this order
    /// @param maxRepay the most to repay over all of them
    /// @param swapper the adapter to sell the collateral by
    /// @param route the adapter's, from the collateral token to the loan token
    /// @param profitInCollateral whether only as much collateral is sold as the repayment needs, and the profit is the
    /// rest; else all of it is sold, and the profit is what exceeds the repayment
    /// @param minProfit in the token that the profit is in
    /// @param receiver of the profit
    /// @param deadline the last second at which this may happen
    struct Liquidation {
        MarketParams params;
        address[] borrowers;
        uint256 maxRepay;
        address swapper;
        bytes route;
        bool profitInCollateral;
        uint256 minProfit;
        address receiver;
        uint256 deadline;
    }

    /// @param repaid units of the loan token
    /// @param seized units of the collateral token
    /// @param profit units of the token that was asked for
    struct Outcome {
        uint256 repaid;
        uint256 seized;
        uint256 profit;
    }

    /// @notice Loans were liquidated and `profit` of `profitToken` was sent to `receiver`.
    event LiquidateWithoutCapital(
        MarketId indexed id,
        address indexed caller,
        address indexed receiver,
        address profitToken,
        uint256 repaid,
        uint256 seized,
        uint256 profit
    );

    /// @notice There is no contract at this address.
    error NoCode(address account);
    error ZeroAddress();
    error DeadlinePassed(uint256 deadline, uint256 timestamp);
    /// @notice This adapter is none of those named at construction.
    error SwapperNotListed(address swapper);
    /// @notice A call is on its way; whoever is called by a token in the middle of it cannot start another.
    error Reentered();
    /// @notice Only the core may call this, in the middle of a call from here.
    error UnexpectedCallback(address caller);
    error ProfitTooLow(uint256 profit, uint256 minProfit);
    error TransferFailed(address token, address from, address to, uint256 amount);
    /// @notice The token refused to let the core take the repayment.
    error ApproveFailed();

    /// @notice Liquidates, swaps, repays and sends on the profit. Errors of the core (`NothingToLiquidate` where others
    /// were faster with every loan) and of the adapter are passed on.
    function liquidate(Liquidation calldata liquidation) external returns (Outcome memory);

    /// @notice The core.
    function plimsoll() external view returns (address);

    /// @notice Whether an adapter may be used. The answer never changes.
    function isSwapper(address swapper) external view returns (bool);
}
