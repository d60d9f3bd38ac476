// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {MarketId} from "../types/MarketParams.sol";
import {IVault} from "./IVault.sol";

/// @title Batch views of vaults.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Reads vaults over this lens's core: value, limits, positions, caps, rates and announced changes, up to this
/// block. A vault asks no oracle, so nothing here does. `vaults`, `accounts` and `changes` never revert: an address that
/// is no vault, or answers what no vault answers, affects only its own lines. Which addresses are vaults of whom is not
/// checked: a contract that answers as a vault does is shown as it answers. Lines are in the order that was passed.
///
/// Rates are 1e18-scaled per second.
interface IVaultLens {
    /// @notice Whether a line was read.
    /// `Ok`: all of it.
    /// `NoAnswer`: the address has no code, is no vault, or used up the gas of the line; all else is 0.
    /// `OtherCore`: the vault is one of another core; all else is 0.
    /// `TooLittleGas`: too little gas was left for the line; call with more gas or for fewer lines.
    enum LineStatus {
        Ok,
        NoAnswer,
        OtherCore,
        TooLittleGas
    }

    /// @notice A cap and what counts towards it.
    /// @param used assets of the vault in all markets that it bounds
    struct CapLine {
        bytes32 capId;
        uint256 absolute;
        uint256 relativeBps;
        uint256 lastNudge;
        uint256 used;
    }

    /// @notice A vault's position in one market.
    /// @param shares supply shares that count
    /// @param assets that these are worth
    /// @param withdrawable the part of the assets that the market has the liquidity for
    /// @param room assets that the caps still allow to be supplied
    /// @param utilisation of the market: borrow assets ÷ supply assets, 1e18-scaled, rounded down
    /// @param supplyRatePerSecond of the market, after its fee
    /// @param marketCap the bound on this market; the other two bound all markets of its collateral token and oracle
    struct HoldingLine {
        MarketId id;
        address collateralToken;
        address oracle;
        uint256 shares;
        uint256 assets;
        uint256 withdrawable;
        uint256 room;
        uint256 utilisation;
        uint256 supplyRatePerSecond;
        CapLine marketCap;
        CapLine collateralCap;
        CapLine oracleCap;
    }

    /// @notice A vault.
    /// @param totalAssets the assets that belong to the shares
    /// @param unrecognised assets of the positions beyond the total, which the maximum rate holds back
    /// @param totalSupply the shares, those of the fee that is due included
    /// @param feeShares the shares of the fee that is due: the next update mints them
    /// @param price assets for 1e27 shares, rounded down; the same unit as the state's `highWaterMark`
    /// @param ratePerSecond the rate at which the vault's positions earn now, by its total
    /// @param netRatePerSecond what depositors get of it: at most the maximum rate, less the fee
    /// @param maxDeposit the most that anybody can deposit
    /// @param maxMint the most shares that anybody can mint
    /// @param liquid the assets that can be withdrawn now, by all holders together
    /// @param withdrawOrder markets in the order in which a withdrawal uses them after idle tokens
    /// @param holdings in the order of the vault's list
    struct VaultLine {
        address vault;
        LineStatus status;
        address asset;
        uint256 totalAssets;
        uint256 unrecognised;
        uint256 totalSupply;
        uint256 feeShares;
        uint256 price;
        uint256 ratePerSecond;
        uint256 netRatePerSecond;
        uint256 maxDeposit;
        uint256 maxMint;
        uint256 liquid;
        IVault.State state;
        address owner;
        address curator;
        address guardian;
        address feeRecipient;
        uint256 penaltyBps;
        uint256 raiseDelaySecs;
        uint256 nudgeBps;
        uint256 nudgeSecs;
        MarketId[] withdrawOrder;
        HoldingLine[] holdings;
    }

    /// @notice A holder of a vault's shares.
    /// @param assets that the shares are worth
    /// @param maxWithdraw the most that `withdraw` gives in this block
    /// @param maxRedeem the most shares that `redeem` takes in this block
    /// @param inKindAssets what `redeemInKind` of all shares redeems them for: their assets less the penalty
    /// @param inKindIdle the idle tokens of it
    /// @param inKindShares the supply shares of it, of each market in the order of the vault's list
    struct AccountLine {
        address account;
        LineStatus status;
        uint256 shares;
        uint256 assets;
        uint256 maxWithdraw;
        uint256 maxRedeem;
        uint256 inKindAssets;
        uint256 inKindIdle;
        uint256[] inKindShares;
    }

    /// @notice Whether a change that was submitted can be executed.
    /// `NotSubmitted`: never submitted, executed or revoked.
    /// `Waiting`: its delay is not over.
    /// `Executable`: anybody may execute it; the change itself may still be refused, such as a market too many.
    /// `Expired`: it was not executed in time.
    /// `Abdicated`: its function was given up for ever.
    enum ChangeStatus {
        NotSubmitted,
        Waiting,
        Executable,
        Expired,
        Abdicated
    }

    /// @notice A change.
    /// @param hash by which it is revoked
    /// @param executableAt the first second at which it can be executed; 0 if it was not submitted
    /// @param expiresAt the last one; 0 if it was not submitted
    struct ChangeLine {
        LineStatus status;
        ChangeStatus change;
        bytes32 hash;
        bytes4 selector;
        uint256 executableAt;
        uint256 expiresAt;
    }

    /// @notice There is no contract at this address.
    error NoCode(address account);

    /// @notice Returns the core.
    function plimsoll() external view returns (address);

    /// @notice Returns the gas that a line is given. A vault that needs more is `NoAnswer`.
    function lineGas() external view returns (uint256);

    /// @notice Returns vaults.
    function vaults(address[] calldata addresses) external view returns (VaultLine[] memory);

    /// @notice Returns holders of a vault's shares.
    function accounts(address vault, address[] calldata addresses) external view returns (AccountLine[] memory);

    /// @notice Returns changes of a vault by their calls' data, which the vault's events `Submit` give.
    function changes(address vault, bytes[] calldata calls) external view returns (ChangeLine[] memory);

    /// @notice Returns one vault; reverts where `vaults` says `NoAnswer`.
    function vaultLine(address vault) external view returns (VaultLine memory);

    /// @notice Returns one holder; reverts where `accounts` says `NoAnswer`.
    function accountLine(address vault, address account) external view returns (AccountLine memory);

    /// @notice Returns one change; reverts where `changes` says `NoAnswer`.
    function changeLine(address vault, bytes calldata call) external view returns (ChangeLine memory);
}
