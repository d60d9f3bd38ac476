// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {Market} from "../types/Market.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";

/// @title Batch views of markets and positions.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Reads the core and computes the core's results for this block, with the core's own libraries. No call
/// reverts, whatever the ids, the accounts and the oracles: a market that does not exist results in an empty line, and
/// an oracle that reverts, burns gas or returns a megabyte affects only its own prices.
///
/// Rates are 1e18-scaled per second. Lines are in the order of the ids or accounts that were passed.
interface ILens {
    /// @notice The outcome of reading a price.
    /// `Ok`: the oracle returned a price.
    /// `Reverted`: the oracle reverted, or used up the gas that it was given.
    /// `NoAnswer`: the oracle has no code, or returned less than a word.
    /// `Zero`: the price is 0, which the core refuses.
    /// `TooLittleGas`: too little gas was left to call the oracle; call the lens with more gas or for fewer markets.
    enum PriceStatus {
        Ok,
        Reverted,
        NoAnswer,
        Zero,
        TooLittleGas
    }

    /// @notice A price, or the reason why there is none.
    /// @param price loan units per collateral unit × 1e36; 0 unless `Ok`
    /// @param errorData the first 32 bytes of the oracle's revert data: the selector of its error and the beginning of
    /// the arguments; 0 unless `Reverted`
    struct PriceReading {
        PriceStatus status;
        uint256 price;
        bytes32 errorData;
    }

    /// @notice A market. All 0 except the id if the market does not exist.
    /// @param stored the market as of its last update
    /// @param accrued the market with its interest up to this block
    /// @param utilisation borrow assets ÷ supply assets, 1e18-scaled, rounded down
    /// @param borrowRatePerSecond the borrow rate in this block
    /// @param supplyRatePerSecond the supply rate in this block, after the fee, rounded down
    /// @param surgePeriodSecs the time in which the surge limit refills wholly; 0 for no limit
    /// @param surgeRoom the most that the surge limit lets be borrowed in this block; the largest number for no limit
    /// @param backstop the vault that covers bad debt; 0 for none
    /// @param availableCover the most that the vault would pay for the next bad debt
    struct MarketLine {
        MarketId id;
        MarketParams params;
        Market stored;
        Market accrued;
        uint256 utilisation;
        uint256 borrowRatePerSecond;
        uint256 supplyRatePerSecond;
        uint256 surgePeriodSecs;
        uint256 surgeRoom;
        address backstop;
        uint256 availableCover;
        PriceReading liquidationPrice;
        PriceReading borrowPrice;
    }

    /// @notice Markets and the block in which they were read.
    /// @param blockNumber the EVM's block number, which on some second layers is the first layer's
    struct Snapshot {
        uint256 blockNumber;
        uint256 timestamp;
        uint256 baseFee;
        MarketLine[] markets;
    }

    /// @notice An account's position in a market, with interest up to this block.
    /// @param supplyAssets the assets of the supply shares, rounded down
    /// @param debt the debt of the borrow shares, rounded up
    /// @param collateralValue in units of the loan token, at the liquidation price; 0 without a price
    /// @param health the health factor: collateral value × liquidation LTV ÷ debt, 1e18-scaled, rounded down. Below
    /// 1e18 exactly if the position is liquidatable; the largest number without debt; 0 without a price
    /// @param waterlinePrice the liquidation price (waterline): the highest price at which the position is liquidatable
    /// in this block; 0 if there is none, the largest number if it is liquidatable at every price. Computed without the
    /// oracle
    /// @param maxBorrow an amount that the account can borrow in this block, at most a few units below the most: limited
    /// by the collateral at the borrow price, the liquidity and the surge limit; 0 if the minimum debt is out of reach or
    /// there is no borrow price
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
        uint256 maxBorrow;
    }

    /// @notice Positions in one market and the prices at which they were valued.
    struct Positions {
        PriceReading liquidationPrice;
        PriceReading borrowPrice;
        PositionLine[] lines;
    }

    /// @notice The result of liquidating one account in this block, without a limit by the caller. In a batch each
    /// amount may differ by a unit, since the preceding loans change the market's totals.
    /// @param liquidatable whether anything can be liquidated; if not, all further values except the debt are 0
    /// @param debt of the account, rounded up
    /// @param maxRepay the most that can be repaid; a caller may repay less
    /// @param incentiveFactor the value seized for each unit repaid, 1e18-scaled and rounded down: 1.05e18 is a bonus
    /// of 5 %
    /// @param seized units of the collateral token
    /// @param badDebt units of the loan token that would be written off
    struct LiquidationLine {
        address account;
        bool liquidatable;
        uint256 debt;
        uint256 maxRepay;
        uint256 incentiveFactor;
        uint256 seized;
        uint256 badDebt;
    }

    /// @notice Possible liquidations in one market and the price from which they follow.
    struct Liquidations {
        PriceReading liquidationPrice;
        LiquidationLine[] lines;
    }

    /// @notice There is no contract at this address.
    error NoCode(address account);

    /// @notice Returns the core.
    function plimsoll() external view returns (address);

    /// @notice Returns the gas that an oracle is given for one price. An oracle that needs more counts as reverting.
    function oracleGas() external view returns (uint256);

    /// @notice Returns markets by their ids.
    function markets(MarketId[] calldata ids) external view returns (MarketLine[] memory);

    /// @notice Returns markets by their ids, with the block in which they were read.
    function snapshot(MarketId[] calldata ids) external view returns (Snapshot memory);

    /// @notice Returns the positions of accounts in a market.
    function positions(MarketId id, address[] calldata accounts) external view returns (Positions memory);

    /// @notice Returns the possible liquidations of accounts in a market. Without a liquidation price no account is
    /// liquidatable.
    function liquidatable(MarketId id, address[] calldata accounts) external view returns (Liquidations memory);
}
