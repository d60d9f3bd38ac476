// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Callback of `IGuard.execute`.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IGuardExecutor {
    /// @notice Called by `execute` after the collateral was sent to the receiver and before the payment is pulled, when
    /// its `data` is not empty and collateral is sold.
    /// @param account whose order is executed
    /// @param payment units of the loan token that are pulled from the caller of `execute` when this returns
    /// @param sold units of the collateral token that the receiver got
    /// @param data as given to `execute`
    function onGuardExecute(address account, uint256 payment, uint256 sold, bytes calldata data) external;
}
