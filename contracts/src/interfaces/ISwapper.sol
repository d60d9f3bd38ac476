// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Swap adapter.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice An adapter to one kind of exchange. Tokens are pushed: transfer them to the adapter, then call it, both in
/// one transaction. An adapter is never approved and holds no tokens between calls, so tokens left or sent here outside
/// a call belong to the next caller. Callers measure the tokens received instead of relying on the return value.
///
/// Tokens that transfer less than the requested amount are refused.
interface ISwapper {
    /// @notice Another swap is in progress: a token's callback cannot start a second one.
    error Reentered();
    /// @notice The adapter holds less than the amount to sell: push the tokens first, in the same transaction.
    error NotPushed(address token, uint256 held, uint256 amount);
    /// @notice An amount must be at least 1 and at most 2^128 - 1.
    error AmountOutOfRange(uint256 amount);
    /// @notice The exchange returns less than the caller's minimum.
    error TooLittleOut(uint256 amountOut, uint256 minOut);
    /// @notice The exchange takes more than the caller's maximum.
    error TooMuchIn(uint256 amountIn, uint256 maxIn);
    error TransferFailed(address token, address from, address to, uint256 amount);

    /// @notice Sells exactly `amountIn`, which must have been pushed here.
    /// @param route from `tokenIn` to `tokenOut`, in the adapter's format
    /// @return amountOut sent to `receiver`
    function swapExactIn(
        address tokenIn,
        address tokenOut,
        uint256 amountIn,
        uint256 minOut,
        address receiver,
        bytes calldata route
    ) external returns (uint256 amountOut);

    /// @notice Buys exactly `amountOut`. `maxIn` must have been pushed here; the unused part is sent to `refundTo`.
    /// With an `amountOut` of 0, all of it is.
    /// @param route from `tokenIn` to `tokenOut`, in the adapter's format
    /// @return amountIn sold
    function swapExactOut(
        address tokenIn,
        address tokenOut,
        uint256 amountOut,
        uint256 maxIn,
        address receiver,
        address refundTo,
        bytes calldata route
    ) external returns (uint256 amountIn);
}
