// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IERC4626} from "../interfaces/IERC4626.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {IVault} from "../interfaces/IVault.sol";
import {IVaultLens} from "../interfaces/IVaultLens.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";
import {Books} from "../vault/Books.sol";
import {EXECUTION_WINDOW_SECS} from "../vault/VaultRoles.sol";
import {MarketReader} from "./libraries/MarketReader.sol";

/// @title Lens over vaults.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IVaultLens`.
/// @dev Each line is a call of its own with a bounded amount of gas, so that no address reaches another line.
contract VaultLens is IVaultLens {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    /// @dev Prices are assets for this many shares.
    uint256 internal constant PRICE_SCALE = 1e27;
    /// @dev A vault of twelve markets needs 1,100,000 with cold slots.
    uint256 internal constant LINE_GAS = 3_000_000;
    /// @dev A call gets at most 63/64 of the remaining gas; 10,000 are added for the instructions before it.
    uint256 internal constant GAS_NEEDED = LINE_GAS * 64 / 63 + 10_000;

    IPlimsoll internal immutable PLIMSOLL;

    constructor(address plimsoll_) {
        if (plimsoll_.code.length == 0) revert NoCode(plimsoll_);
        PLIMSOLL = IPlimsoll(plimsoll_);
    }

    /// @inheritdoc IVaultLens
    function plimsoll() external view returns (address) {
        return address(PLIMSOLL);
    }

    /// @inheritdoc IVaultLens
    function lineGas() external pure returns (uint256) {
        return LINE_GAS;
    }

    /* BATCHES */

    /// @inheritdoc IVaultLens
    function vaults(address[] calldata addresses) external view returns (VaultLine[] memory lines) {
        lines = new VaultLine[](addresses.length);
        for (uint256 i; i < addresses.length; ++i) {
            lines[i].vault = addresses[i];
            // With less gas an honest vault could fail, and would be reported as none.
            if (gasleft() < GAS_NEEDED) {
                lines[i].status = LineStatus.TooLittleGas;
                continue;
            }
            try this.vaultLine{gas: LINE_GAS}(addresses[i]) returns (VaultLine memory line) {
                lines[i] = line;
            } catch {
                lines[i].status = LineStatus.NoAnswer;
            }
        }
    }

    /// @inheritdoc IVaultLens
    function accounts(address vault, address[] calldata addresses) external view returns (AccountLine[] memory lines) {
        lines = new AccountLine[](addresses.length);
        for (uint256 i; i < addresses.length; ++i) {
            lines[i].account = addresses[i];
            if (gasleft() < GAS_NEEDED) {
                lines[i].status = LineStatus.TooLittleGas;
                continue;
            }
            try this.accountLine{gas: LINE_GAS}(vault, addresses[i]) returns (AccountLine memory line) {
                lines[i] = line;
            } catch {
                lines[i].status = LineStatus.NoAnswer;
            }
        }
    }

    /// @inheritdoc IVaultLens
    function changes(address vault, bytes[] calldata calls) external view returns (ChangeLine[] memory lines) {
        lines = new ChangeLine[](calls.length);
        for (uint256 i; i < calls.length; ++i) {
            if (gasleft() < GAS_NEEDED) {
                lines[i].status = LineStatus.TooLittleGas;
                continue;
            }
            try this.changeLine{gas: LINE_GAS}(vault, calls[i]) returns (ChangeLine memory line) {
                lines[i] = line;
            } catch {
                lines[i].status = LineStatus.NoAnswer;
            }
        }
    }

    /* A VAULT */

    /// @inheritdoc IVaultLens
    function vaultLine(address vault) external view returns (VaultLine memory line) {
        line.vault = vault;
        if (!_isOfThisCore(vault)) {
            line.status = LineStatus.OtherCore;
            return line;
        }
        IVault v = IVault(vault);
        IERC4626 shares = IERC4626(vault);
        IVault.Holding[] memory held = v.holdings();
        Books memory b = _booksOf(v, held);
        line.state = v.state();
        line.asset = shares.asset();
        (line.totalAssets, line.unrecognised) = (b.total, FixedPointMathLib.zeroFloorSub(b.real, b.total));
        (line.totalSupply, line.feeShares) = (b.supply, b.feeShares);
        line.price = b.toAssets(PRICE_SCALE, false);
        (line.maxDeposit, line.maxMint) = (shares.maxDeposit(address(0)), shares.maxMint(address(0)));
        (line.owner, line.curator, line.guardian) = (v.owner(), v.curator(), v.guardian());
        line.feeRecipient = v.feeRecipient();
        (line.penaltyBps, line.raiseDelaySecs) = (v.penaltyBps(), v.raiseDelaySecs());
        (line.nudgeBps, line.nudgeSecs) = (v.nudgeBps(), v.nudgeSecs());
        line.withdrawOrder = v.withdrawOrder();
        _fillHoldings(line, v, held);
        _fillRates(line);
    }

    function _fillHoldings(VaultLine memory line, IVault v, IVault.Holding[] memory held) internal view {
        line.liquid = line.state.idle;
        line.holdings = new HoldingLine[](held.length);
        for (uint256 i; i < held.length; ++i) {
            HoldingLine memory h = line.holdings[i];
            MarketParams memory params = PLIMSOLL.marketParams(held[i].id);
            (h.id, h.collateralToken, h.oracle) = (held[i].id, params.collateralToken, params.oracle);
            (h.shares, h.assets) = (held[i].shares, held[i].assets);
            (h.withdrawable, h.room) = (held[i].withdrawable, held[i].room);
            (h.utilisation,, h.supplyRatePerSecond) =
                MarketReader.rates(MarketReader.accrued(PLIMSOLL, h.id, params), params.curve);
            line.liquid += h.withdrawable;
        }
        for (uint256 i; i < held.length; ++i) {
            HoldingLine memory h = line.holdings[i];
            uint256 ofCollateral;
            uint256 ofOracle;
            for (uint256 k; k < held.length; ++k) {
                HoldingLine memory other = line.holdings[k];
                if (other.collateralToken == h.collateralToken) ofCollateral += other.assets;
                if (other.oracle == h.oracle) ofOracle += other.assets;
            }
            h.marketCap = _capLine(v, MarketId.unwrap(h.id), h.assets);
            h.collateralCap = _capLine(v, v.collateralCapId(h.collateralToken), ofCollateral);
            h.oracleCap = _capLine(v, v.oracleCapId(h.oracle), ofOracle);
        }
    }

    function _capLine(IVault v, bytes32 capId, uint256 used) internal view returns (CapLine memory) {
        IVault.Cap memory cap = v.cap(capId);
        return CapLine(capId, cap.absolute, cap.relativeBps, cap.lastNudge, used);
    }

    /// @dev Fills the mean of the markets' supply rates by the vault's assets in them; idle assets earn nothing.
    function _fillRates(VaultLine memory line) internal pure {
        if (line.totalAssets == 0) return;
        uint256 income;
        for (uint256 i; i < line.holdings.length; ++i) {
            income += line.holdings[i].assets * line.holdings[i].supplyRatePerSecond;
        }
        line.ratePerSecond = income / line.totalAssets;
        uint256 feeBps = line.feeRecipient == address(0) ? 0 : line.state.feeBps;
        line.netRatePerSecond =
            FixedPointMathLib.min(line.ratePerSecond, line.state.maxRatePerSecond) * (BPS - feeBps) / BPS;
    }

    /* A HOLDER */

    /// @inheritdoc IVaultLens
    function accountLine(address vault, address account) external view returns (AccountLine memory line) {
        line.account = account;
        if (!_isOfThisCore(vault)) {
            line.status = LineStatus.OtherCore;
            return line;
        }
        IERC4626 shares = IERC4626(vault);
        IVault.Holding[] memory held = IVault(vault).holdings();
        Books memory b = _booksOf(IVault(vault), held);
        line.shares = shares.balanceOf(account);
        line.assets = b.toAssets(line.shares, false);
        (line.maxWithdraw, line.maxRedeem) = (shares.maxWithdraw(account), shares.maxRedeem(account));

        line.inKindAssets = line.assets;
        if (line.shares != b.supply) {
            line.inKindAssets = line.assets * (BPS - IVault(vault).penaltyBps()) / BPS;
        }
        uint256 base = FixedPointMathLib.max(FixedPointMathLib.max(b.real, b.total), 1);
        line.inKindIdle = FixedPointMathLib.fullMulDiv(b.idle, line.inKindAssets, base);
        line.inKindShares = new uint256[](held.length);
        for (uint256 i; i < held.length; ++i) {
            line.inKindShares[i] = FixedPointMathLib.fullMulDiv(held[i].shares, line.inKindAssets, base);
        }
    }

    /* A CHANGE */

    /// @inheritdoc IVaultLens
    function changeLine(address vault, bytes calldata call) external view returns (ChangeLine memory line) {
        (line.hash, line.selector) = (keccak256(call), bytes4(call));
        if (!_isOfThisCore(vault)) {
            line.status = LineStatus.OtherCore;
            return line;
        }
        line.executableAt = IVault(vault).executableAt(line.hash);
        if (line.executableAt != 0) line.expiresAt = line.executableAt + EXECUTION_WINDOW_SECS;
        line.change = _changeStatus(line, IVault(vault).abdicated(line.selector));
    }

    /// @dev The checks of the vault, in their order.
    function _changeStatus(ChangeLine memory line, bool abdicated) internal view returns (ChangeStatus) {
        if (abdicated) return ChangeStatus.Abdicated;
        if (line.executableAt == 0) return ChangeStatus.NotSubmitted;
        if (block.timestamp < line.executableAt) return ChangeStatus.Waiting;
        return block.timestamp > line.expiresAt ? ChangeStatus.Expired : ChangeStatus.Executable;
    }

    /* SHARED */

    function _isOfThisCore(address vault) internal view returns (bool) {
        return IVault(vault).plimsoll() == address(PLIMSOLL);
    }

    /// @dev Returns what the vault's conversions use, by the vault's arithmetic.
    function _booksOf(IVault v, IVault.Holding[] memory held) internal view returns (Books memory b) {
        IVault.State memory state = v.state();
        b.idle = state.idle;
        b.real = state.idle;
        for (uint256 i; i < held.length; ++i) {
            b.real += held[i].assets;
        }
        b.total = IERC4626(address(v)).totalAssets();
        b.supply = IERC4626(address(v)).totalSupply();
        b.highWaterMark = state.highWaterMark;
        b.chargeFee(state.lastTotal, v.feeRecipient() == address(0) ? 0 : state.feeBps);
    }
}
