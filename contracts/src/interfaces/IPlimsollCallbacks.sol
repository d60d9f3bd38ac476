// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Callback of `IPlimsoll.supply`.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface ISupplyCallback {
    /// @notice Called by `supply` before it pulls the tokens, when its `data` is not empty.
    /// @param assets pulled from the caller when this returns
    /// @param data as given to `supply`
    function onPlimsollSupply(uint256 assets, bytes calldata data) external;
}

/// @title Callback of `IPlimsoll.supplyCollateral`.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface ISupplyCollateralCallback {
    /// @notice Called by `supplyCollateral` before it pulls the tokens, when its `data` is not empty.
    /// @param assets pulled from the caller when this returns
    /// @param data as given to `supplyCollateral`
    function onPlimsollSupplyCollateral(uint256 assets, bytes calldata data) external;
}

/// @title Callback of `IPlimsoll.repay`.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IRepayCallback {
    /// @notice Called by `repay` before it pulls the tokens, when its `data` is not empty.
    /// @param assets pulled from the caller when this returns
    /// @param data as given to `repay`
    function onPlimsollRepay(uint256 assets, bytes calldata data) external;
}

/// @title Callback of `IPlimsoll.liquidate`.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface ILiquidateCallback {
    /// @notice Called by `liquidate` after it sent the collateral and before it pulls the repayment, when its `data` is
    /// not empty.
    /// @param repaid units of the loan token that are pulled from the caller when this returns
    /// @param seized units of the collateral token that were sent to the receiver
    /// @param data as given to `liquidate`
    function onPlimsollLiquidate(uint256 repaid, uint256 seized, bytes calldata data) external;
}
