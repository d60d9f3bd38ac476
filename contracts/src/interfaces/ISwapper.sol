// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title What the periphery asks of an exchange
/// @notice An adapter to one kind of exchange. Tokens are pushed: transfer them here first, then call, both in one
/// transaction. Nothing is ever approved to an adapter, and it holds nothing between calls, so whatever is left or sent
/// here outside of a call belongs to whoever calls next. Callers measure what came back, whatever the answer says.
///
/// Tokens that move less than they are asked to are refused.
interface ISwapper {
    /// @notice A swap is on its way; whoever is called by a token in the middle of it cannot start another.
    error Reentered();
    /// @notice Fewer tokens are here than the call speaks of: push them first, in the same transaction.
    error NotPushed(address token, uint256 held, uint256 amount);
    /// @notice An amount must be at least 1 and at most 2^128 - 1.
    error AmountOutOfRange(uint256 amount);
    /// @notice The exchange gives less than is asked for.
    error TooLittleOut(uint256 amountOut, uint256 minOut);
    /// @notice The exchange takes more than is allowed.
    error TooMuchIn(uint256 amountIn, uint256 maxIn);
    error TransferFailed(address token, address from, address to, uint256 amount);

    /// @notice Sells exactly `amountIn`, all of which must have been pushed here.
    /// @param route of the adapter's own kind, from `tokenIn` to `tokenOut`
    /// @return amountOut what was sent to `receiver`
    function swapExactIn(
        address tokenIn,
        address tokenOut,
        uint256 amountIn,
        uint256 minOut,
        address receiver,
        bytes calldata route
    ) external returns (uint256 amountOut);

    /// @notice Buys exactly `amountOut`. `maxIn` must have been pushed here; what is not needed of it is sent to
    /// `refundTo`. With an `amountOut` of 0 that is all.
    /// @param route of the adapter's own kind, from `tokenIn` to `tokenOut`
    /// @return amountIn what was needed
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
