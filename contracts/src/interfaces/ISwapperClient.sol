// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Contracts that act between the core and an exchange.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice What `Lever`, `Liquidator` and `OrderExecutor` have besides their own interfaces: they sell and buy by swap
/// adapters that are listed at construction, one call at a time.
interface ISwapperClient {
    /// @notice The address has no code.
    error NoCode(address account);
    error DeadlinePassed(uint256 deadline, uint256 timestamp);
    /// @notice The adapter was not listed at construction.
    error SwapperNotListed(address swapper);
    /// @notice Another call is in progress: a token's callback cannot start a second one.
    error Reentered();
    /// @notice Only the contract that this one calls, the core or the guard, may call this function, and only during
    /// that call.
    error UnexpectedCallback(address caller);
    error TransferFailed(address token, address from, address to, uint256 amount);
    /// @notice The token refused the approval that the core or the guard needs to pull its payment.
    error ApproveFailed();

    /// @notice Returns whether an adapter was listed at construction and may be used.
    function isSwapper(address swapper) external view returns (bool);
}
