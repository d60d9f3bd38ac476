// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Market} from "../types/Market.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Lens: many markets, or many positions, in one call
/// @notice Reads the core and computes what it would compute in this block, with its own arithmetic. No call reverts,
/// whatever the ids, the accounts and the oracles: a market that does not exist gives an empty line, and an oracle that
/// reverts, burns gas or answers a megabyte spoils nothing but its own prices.
///
/// Rates are 1e18 per second. A line stands where its id or account stood in the question.
interface ILens {
    /// @notice How reading a price went.
    /// `Ok`: the price can be relied on as far as the oracle can.
    /// `Reverted`: the oracle refused, or used up the gas that it was given.
    /// `NoAnswer`: there is no contract any more, or what it answered is shorter than a word.
    /// `Zero`: the price is 0, which the core refuses.
    /// `TooLittleGas`: the call to the lens had too little gas left to ask; ask again with more, or about fewer
    /// markets.
    enum PriceStatus {
        Ok,
        Reverted,
        NoAnswer,
        Zero,
        TooLittleGas
    }

    /// @notice A price, or why there is none.
    /// @param price loan units per collateral unit × 1e36; 0 unless `Ok`
    /// @param errorData the first 32 bytes that the oracle reverted with: the selector of its error and what of the
    /// arguments fits; 0 unless `Reverted`
    struct PriceReading {
        PriceStatus status;
        uint256 price;
        bytes32 errorData;
    }

    /// @notice A market. All 0 but the id where there is none.
    /// @param stored as of its last update
    /// @param accrued as it would be stored now
    /// @param utilisation which part of the supply is lent out, 1e18 is all, rounded down
    /// @param borrowRatePerSecond what borrowing costs now
    /// @param supplyRatePerSecond what supplying earns now, the fee taken off, rounded down
    /// @param backstop which vault covers bad debt; 0 for none
    /// @param availableCover how much of the next bad debt that vault would pay
    struct MarketLine {
        MarketId id;
        MarketParams params;
        Market stored;
        Market accrued;
        uint256 utilisation;
        uint256 borrowRatePerSecond;
        uint256 supplyRatePerSecond;
        address backstop;
        uint256 availableCover;
        PriceReading liquidationPrice;
        PriceReading borrowPrice;
    }

    /// @notice All markets asked for, and the block that they were read in.
    /// @param blockNumber as contracts see it, which on some second layers is the first layer's
    struct Snapshot {
        uint256 blockNumber;
        uint256 timestamp;
        uint256 baseFee;
        MarketLine[] markets;
    }

    /// @notice An account's position in a market, interest up to now included.
    /// @param supplyAssets what the supply shares are worth, rounded down
    /// @param debt what the borrow shares owe, rounded up
    /// @param collateralValue in loan token, at the liquidation price; 0 without a price
    /// @param health value × liquidation LTV ÷ debt, 1e18 is 1, rounded down: below 1e18 exactly where the core
    /// liquidates. The largest number without debt; 0 without a price
    /// @param waterlinePrice the highest liquidation price at which the core liquidates the position in this block; 0
    /// where none does, the largest number where every price does. Needs no price
    struct PositionLine {
        address account;
        uint256 supplyShares;
        uint256 supplyAssets;
        uint256 borrowShares;
        uint256 debt;
        uint256 collateral;
        uint256 collateralValue;
        uint256 health;
        uint256 waterlinePrice;
    }

    /// @notice Positions in one market and the price that they were valued at.
    struct Positions {
        PriceReading liquidationPrice;
        PositionLine[] lines;
    }

    /// @notice What liquidating an account alone, without limits from the caller, would do now. In a batch each amount
    /// may be another by a unit, since the loans before it change the market's totals.
    /// @param liquidatable whether anything would be done; all that follows but the debt is 0 where not
    /// @param debt what the account owes, rounded up
    /// @param ceiling how much would be repaid; a caller may repay less
    /// @param bonus the value of what is seized for each unit repaid, 1e18 is 1, rounded down
    /// @param seized units of the collateral token
    /// @param badDebt what would be written off
    struct LiquidationLine {
        address account;
        bool liquidatable;
        uint256 debt;
        uint256 ceiling;
        uint256 bonus;
        uint256 seized;
        uint256 badDebt;
    }

    /// @notice Possible liquidations in one market and the price that they go by.
    struct Liquidations {
        PriceReading liquidationPrice;
        LiquidationLine[] lines;
    }

    /// @notice There is no contract at this address.
    error NoCode(address account);

    /// @notice The core that is read.
    function plimsoll() external view returns (address);

    /// @notice The gas that an oracle gets for one price. An oracle that needs more counts as reverting.
    function oracleGas() external view returns (uint256);

    /// @notice Markets by their ids.
    function markets(MarketId[] calldata ids) external view returns (MarketLine[] memory);

    /// @notice Markets by their ids, with the block that the answer belongs to.
    function snapshot(MarketId[] calldata ids) external view returns (Snapshot memory);

    /// @notice What accounts hold and owe in a market.
    function positions(MarketId id, address[] calldata accounts) external view returns (Positions memory);

    /// @notice What could be liquidated of accounts in a market. Where the liquidation price cannot be had, nothing
    /// can.
    function liquidatable(MarketId id, address[] calldata accounts) external view returns (Liquidations memory);
}
