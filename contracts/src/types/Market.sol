// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice The state of a market at its last update. Amounts are in units of the loan token.
/// @param supplyAssets total assets of suppliers and the reserve
/// @param supplyShares total supply shares, those of the reserve included
/// @param borrowAssets total debt of borrowers
/// @param borrowShares total shares of that debt
/// @param lastUpdate the second up to which interest is accrued; 0 if the market does not exist
/// @param feeBps the part of the interest that goes to the reserve, in basis points
/// @param rateAtTarget the borrow rate at the target utilisation, 1e18-scaled per second
/// @param interestRemainder interest below one unit, in 2^-32 units: without it a market that is accrued every second
/// would earn nothing on a debt whose interest in a second is less than a unit
/// @param reserveShares the supply shares of the reserve, which is the first to pay for bad debt
/// @param surgeLevel the used part of the surge limit, in 1 / (2^28 - 1); 0 in a market without a limit
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
    uint256 surgeLevel;
}

/// @dev A market in storage: three words, so that a call that accrues writes three slots and no more:
/// `supply` = supply assets u128 · supply shares u128, `borrow` = borrow assets u128 · borrow shares u128,
/// `rest` = last update u34 · fee u12 · rate at target u36 · interest remainder u32 · surge level u28 · reserve shares
/// u114
/// (the field named first is in the uppermost bits).
struct StoredMarket {
    uint256 supply;
    uint256 borrow;
    uint256 rest;
}

/// @notice An account's position in a market.
/// @param supplyShares shares of the market's supply
/// @param borrowShares shares of the market's debt
/// @param collateral units of the collateral token
struct Position {
    uint256 supplyShares;
    uint256 borrowShares;
    uint256 collateral;
}

/// @dev A position in storage: `debt` = borrow shares u128 · collateral u128, so that a liquidation touches one slot.
struct StoredPosition {
    uint256 supplyShares;
    uint256 debt;
}
