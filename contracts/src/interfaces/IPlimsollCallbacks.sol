// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice Called by `supply` before it takes the tokens, when its `data` is not empty.
interface ISupplyCallback {
    /// @param assets what will be taken from the caller when this returns
    /// @param data as given to `supply`
    function onPlimsollSupply(uint256 assets, bytes calldata data) external;
}

/// @notice Called by `supplyCollateral` before it takes the tokens, when its `data` is not empty.
interface ISupplyCollateralCallback {
    /// @param assets what will be taken from the caller when this returns
    /// @param data as given to `supplyCollateral`
    function onPlimsollSupplyCollateral(uint256 assets, bytes calldata data) external;
}

/// @notice Called by `repay` before it takes the tokens, when its `data` is not empty.
interface IRepayCallback {
    /// @param assets what will be taken from the caller when this returns
    /// @param data as given to `repay`
    function onPlimsollRepay(uint256 assets, bytes calldata data) external;
}

/// @notice Called by `liquidate` after it sent the collateral and before it takes the repayment, when its `data` is not
/// empty.
interface ILiquidateCallback {
    /// @param repaid units of the loan token that will be taken from the caller when this returns
    /// @param seized units of the collateral token that the receiver was sent
    /// @param data as given to `liquidate`
    function onPlimsollLiquidate(uint256 repaid, uint256 seized, bytes calldata data) external;
}
