// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Liquidator without capital.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Liquidates loans, swaps the seized collateral, repays with the proceeds and sends the profit to a receiver,
/// in one call that anyone may make. The caller chooses the loans, the most to repay over all of them (a part, if the
/// exchange's liquidity does not suffice for the whole), the route and the least profit. The core skips loans that were
/// already liquidated by others, so the least profit should follow from the cost of the transaction, not from the profit
/// of all loans.
///
/// This contract charges that cost itself: the gas that it measures and the gas that the caller declares, at the price
/// that the transaction really pays, converted by the caller's own valuation. The same bytes stay guarded at every price,
/// so a replacement with a higher fee needs no other calldata. Refunds of gas are not deducted: the charge is at least
/// what is paid.
///
/// Holds no tokens between calls and keeps no approval: tokens sent here by mistake belong to the next caller. The core
/// sends the collateral directly to the swap adapter, which must be one of those listed at construction; apart from it,
/// the only addresses of the caller's choice that are called are the tokens of the market. Errors besides those named
/// here: `ISwapperClient` and `IGasCharge`.
interface ILiquidator {
    /// @notice The arguments of a liquidation.
    /// @param params the market
    /// @param borrowers the accounts to liquidate, in this order
    /// @param maxRepay the most to repay over all loans
    /// @param swapper the adapter by which the collateral is sold
    /// @param route from the collateral token to the loan token, in the adapter's format
    /// @param profitInCollateral whether only as much collateral is sold as the repayment needs, and the profit is the
    /// rest; if not, all of it is sold, and the profit is the surplus over the repayment
    /// @param minProfit the least profit after the charge for gas, in units of the profit's token
    /// @param unitsPerWeiX96 units of the profit's token that are worth one wei, times 2^96; 0 to charge nothing
    /// @param gasOverhead gas to charge besides what is measured: the transaction's base cost and calldata, and what runs
    /// before and after the measurement
    /// @param extraWei fees to charge besides gas, in wei: what a rollup takes for the transaction's data
    /// @param receiver of the profit
    /// @param deadline the last second at which the call may be executed
    struct Liquidation {
        MarketParams params;
        address[] borrowers;
        uint256 maxRepay;
        address swapper;
        bytes route;
        bool profitInCollateral;
        uint256 minProfit;
        uint128 unitsPerWeiX96;
        uint256 gasOverhead;
        uint256 extraWei;
        address receiver;
        uint256 deadline;
    }

    /// @notice The result of a liquidation.
    /// @param repaid units of the loan token
    /// @param seized units of the collateral token
    /// @param profit units of the profit's token
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

    /// @notice The block's builder was paid `amount` of the chain's coin, a share of a liquidation's profit.
    event BuilderPaid(address indexed builder, uint256 amount);

    error ZeroAddress();
    /// @notice More than the whole was to be paid to the builder.
    error ShareTooHigh(uint256 shareBps);
    /// @notice Coins are accepted only from a token that is being unwrapped.
    error UnexpectedCoins(address from);

    /// @notice Liquidates, swaps, repays and sends the profit to the receiver. Errors of the core (`NothingToLiquidate`
    /// if every loan was already liquidated) and of the adapter are passed on.
    function liquidate(Liquidation calldata liquidation) external returns (Outcome memory);

    /// @notice Liquidates as `liquidate` does, and pays the block's builder (`block.coinbase`) a share of what is left of the
    /// profit after the charge for gas. For transactions that reach the builder privately, which includes what pays it
    /// most, and nothing that reverts: the payment follows the profit that was really made. The profit's token must be
    /// the chain's wrapped coin.
    ///
    /// The payment itself is charged for, and the guard counts after it: what the receiver gets covers the least profit
    /// and the gas of the whole call. A builder that refuses the coins, or wants more than 10,000 gas to take them, is not
    /// paid, and the receiver gets its share.
    /// @param shareBps the builder's share, in basis points, rounded down
    /// @return outcome with the profit that the receiver got
    /// @return paid coins that the builder got
    function liquidateForBuilder(Liquidation calldata liquidation, uint256 shareBps)
        external
        returns (Outcome memory outcome, uint256 paid);

    /// @notice Returns the core.
    function plimsoll() external view returns (address);
}
