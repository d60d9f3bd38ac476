// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";

/// @title Treasury that lends what it has and borrows against what it holds.
/// @notice The whole of supplying and borrowing from a contract: approve, call, keep nothing but the market's parameters.
contract Treasury {
    IPlimsoll public immutable PLIMSOLL;
    address public immutable OWNER;

    error NotOwner(address caller);

    constructor(IPlimsoll plimsoll, address owner) {
        (PLIMSOLL, OWNER) = (plimsoll, owner);
    }

    modifier onlyOwner() {
        if (msg.sender != OWNER) revert NotOwner(msg.sender);
        _;
    }

    /// @notice Lends loan tokens of this contract to a market.
    /// @return shares supply shares, which grow in value with interest
    function lend(MarketParams calldata params, uint256 assets) external onlyOwner returns (uint256 shares) {
        IERC20(params.loanToken).approve(address(PLIMSOLL), assets);
        (, shares) = PLIMSOLL.supply(params, assets, 0, address(this), "");
    }

    /// @notice Takes back everything that was lent, as far as it is not lent out.
    function withdrawAll(MarketParams calldata params, MarketId id) external onlyOwner returns (uint256 assets) {
        uint256 shares = PLIMSOLL.position(id, address(this)).supplyShares;
        (assets,) = PLIMSOLL.withdraw(params, 0, shares, address(this), address(this));
    }

    /// @notice Supplies collateral of this contract and borrows against it. Reverts with `Unhealthy` beyond the borrow
    /// LTV and with `DebtTooSmall` below the market's minimum debt.
    function borrow(MarketParams calldata params, uint256 collateral, uint256 debt) external onlyOwner {
        IERC20(params.collateralToken).approve(address(PLIMSOLL), collateral);
        PLIMSOLL.supplyCollateral(params, collateral, address(this), "");
        PLIMSOLL.borrow(params, debt, 0, address(this), OWNER);
    }

    /// @notice Repays the whole loan with loan tokens of this contract and returns the collateral to the owner.
    function close(MarketParams calldata params, MarketId id) external onlyOwner {
        IERC20(params.loanToken).approve(address(PLIMSOLL), type(uint256).max);
        // More shares than are owed are taken as all that is owed, so no unit of interest is left behind.
        PLIMSOLL.repay(params, 0, type(uint256).max, address(this), "");
        IERC20(params.loanToken).approve(address(PLIMSOLL), 0);
        uint256 collateral = PLIMSOLL.position(id, address(this)).collateral;
        PLIMSOLL.withdrawCollateral(params, collateral, address(this), OWNER);
    }
}

interface IERC20 {
    function approve(address spender, uint256 amount) external returns (bool);
}
