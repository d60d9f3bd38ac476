// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {IExecutor} from "../../interfaces/IExecutor.sol";

/// @title Morpho Blue, as far as a liquidation needs it.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IMorphoBlue {
    /// @notice Returns the position of an account.
    function position(bytes32 id, address account)
        external
        view
        returns (uint256 supplyShares, uint128 borrowShares, uint128 collateral);

    /// @notice Liquidates by the collateral to seize or by the debt shares to repay; the other one is 0. Sends the
    /// collateral, calls back if there are data, and pulls the repayment.
    function liquidate(
        IExecutor.MorphoMarket calldata market,
        address borrower,
        uint256 seizedAssets,
        uint256 repaidShares,
        bytes calldata data
    ) external returns (uint256 seized, uint256 repaid);
}

/// @title Callback of Morpho Blue's liquidation.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IMorphoLiquidateCallback {
    /// @notice Called after the collateral was sent and before the repayment is pulled.
    function onMorphoLiquidate(uint256 repaid, bytes calldata data) external;
}

/// @title Factory of Morpho Blue's pre-liquidation contracts, as far as a liquidation needs it.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IPreLiquidationFactory {
    /// @notice Returns whether the factory has created a contract.
    function isPreLiquidation(address account) external view returns (bool);
}

/// @title Pre-liquidation contract of Morpho Blue, as far as a liquidation needs it.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IPreLiquidation {
    /// @notice Returns Morpho Blue.
    function MORPHO() external view returns (address);

    /// @notice Returns the id of the market.
    function ID() external view returns (bytes32);

    /// @notice Liquidates by the collateral to seize or by the debt shares to repay; the other one is 0. Sends the
    /// collateral, calls back if there are data, and pulls the repayment.
    function preLiquidate(address borrower, uint256 seizedAssets, uint256 repaidShares, bytes calldata data)
        external
        returns (uint256 seized, uint256 repaid);
}

/// @title Callback of a pre-liquidation.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IPreLiquidationCallback {
    /// @notice Called after the collateral was sent and before the repayment is pulled.
    function onPreLiquidate(uint256 repaid, bytes calldata data) external;
}

/// @title Pool of Aave v3, as far as a liquidation needs it.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IAaveV3Pool {
    /// @notice Pulls at most `debtToCover` and sends collateral.
    function liquidationCall(
        address collateral,
        address debt,
        address borrower,
        uint256 debtToCover,
        bool receiveAToken
    ) external;
}

/// @title Debt token of Aave v3, as far as a liquidation needs it.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IScaledBalance {
    /// @notice Returns the balance divided by the reserve's index.
    function scaledBalanceOf(address account) external view returns (uint256);
}

/// @title Comptroller of a fork of Compound v2, as far as a liquidation needs it.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IComptroller {
    /// @notice Returns whether a market is listed; forks return further words behind it.
    function markets(address market) external view returns (bool isListed);
    /// @notice Returns the contract that alone may liquidate; only Venus' core pool has one.
    function liquidatorContract() external view returns (address);
}

/// @title Contract that alone may liquidate accounts of Venus' core pool.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface ICompoundLiquidator {
    /// @notice Pulls `repay` and transfers receipts of the collateral's market, after keeping a part of the bonus. Reverts if it
    /// does not succeed.
    function liquidateBorrow(address debtMarket, address borrower, uint256 repay, address collateralMarket)
        external
        payable;
}

/// @title Market of a fork of Compound v2, as far as a liquidation needs it.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface ICompoundMarket {
    /// @notice Returns the debt of an account without interest since the last accrual.
    function borrowBalanceStored(address account) external view returns (uint256);
    /// @notice Pulls `repay` and transfers receipts of the collateral's market. Returns 0 if it succeeds.
    function liquidateBorrow(address borrower, uint256 repay, address collateralMarket) external returns (uint256);
    /// @notice Burns receipts for their underlying tokens. Returns 0 if it succeeds.
    function redeem(uint256 receipts) external returns (uint256);
}

/// @title Market of the chain's own coin in a fork of Compound v2, as far as a liquidation needs it.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface ICoinMarket {
    /// @notice Repays the coins that are sent along and transfers receipts of the collateral's market. Reverts if it does not
    /// succeed.
    function liquidateBorrow(address borrower, address collateralMarket) external payable;
}

/// @title Allowances of an ERC-20 token.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IAllowances {
    /// @notice Returns what a spender may pull from an owner.
    function allowance(address owner, address spender) external view returns (uint256);
}
