// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice The state of a market at its last update. Amounts are in units of the loan token.
/// @param supplyAssets what suppliers and the reserve own together
/// @param supplyShares into how many shares that is divided
/// @param borrowAssets what borrowers owe together
/// @param borrowShares into how many shares that is divided
/// @param lastUpdate the second up to which interest has been accrued; 0 where no such market exists
/// @param feeBps which part of the interest goes to the reserve
/// @param rateAtTarget what borrowing costs at the target utilisation, 1e18 per second
/// @param interestRemainder interest below one unit, in 2^-32 units: without it a market that is accrued every second
/// would earn nothing on a debt whose interest in a second is less than a unit
/// @param reserveShares the supply shares that belong to the reserve, the first cushion for bad debt
struct Market {
    uint256 supplyAssets;
    uint256 supplyShares;
    uint256 borrowAssets;
    uint256 borrowShares;
    uint256 lastUpdate;
    uint256 feeBps;
    uint256 rateAtTarget;
    uint256 interestRemainder;
    uint256 reserveShares;
}

/// @dev How a market is stored, three words, so that a call that accrues writes three slots and no more:
/// `supply` = supply assets u128 · supply shares u128, `borrow` = borrow assets u128 · borrow shares u128,
/// `rest` = last update u40 · fee u16 · rate at target u40 · interest remainder u32 · reserve shares u128
/// (each first named lies in the upper bits).
struct StoredMarket {
    uint256 supply;
    uint256 borrow;
    uint256 rest;
}

/// @notice A position in a market.
/// @param supplyShares shares of the market's supply
/// @param borrowShares shares of the market's debt
/// @param collateral units of the collateral token
struct Position {
    uint256 supplyShares;
    uint256 borrowShares;
    uint256 collateral;
}

/// @dev How a position is stored: `debt` = borrow shares u128 · collateral u128, so that a liquidation touches one
/// slot.
struct StoredPosition {
    uint256 supplyShares;
    uint256 debt;
}
