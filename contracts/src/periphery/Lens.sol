// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {ILens} from "../interfaces/ILens.sol";
import {IOracle} from "../interfaces/IOracle.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {DebtMath} from "../libraries/DebtMath.sol";
import {LiquidationMath} from "../libraries/LiquidationMath.sol";
import {SharesMath} from "../libraries/SharesMath.sol";
import {SurgeMath} from "../libraries/SurgeMath.sol";
import {Market, Position} from "../types/Market.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";
import {Risk} from "../types/Risk.sol";
import {MarketReader} from "./libraries/MarketReader.sol";
import {OracleReader} from "./libraries/OracleReader.sol";

/// @title Lens.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `ILens`.
/// @dev Amounts in the core fit 128 bits, for which its arithmetic does not revert.
contract Lens is ILens {
    using DebtMath for uint256;
    using SharesMath for uint256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;

    IPlimsoll internal immutable PLIMSOLL;

    constructor(address plimsoll_) {
        if (plimsoll_.code.length == 0) revert NoCode(plimsoll_);
        PLIMSOLL = IPlimsoll(plimsoll_);
    }

    /// @inheritdoc ILens
    function plimsoll() external view returns (address) {
        return address(PLIMSOLL);
    }

    /// @inheritdoc ILens
    function oracleGas() external pure returns (uint256) {
        return OracleReader.ORACLE_GAS;
    }

    /* MARKETS */

    /// @inheritdoc ILens
    function markets(MarketId[] calldata ids) public view returns (MarketLine[] memory lines) {
        lines = new MarketLine[](ids.length);
        for (uint256 i; i < ids.length; ++i) {
            _fillMarket(lines[i], ids[i]);
        }
    }

    /// @inheritdoc ILens
    function snapshot(MarketId[] calldata ids) external view returns (Snapshot memory) {
        return Snapshot({
            blockNumber: block.number, timestamp: block.timestamp, baseFee: block.basefee, markets: markets(ids)
        });
    }

    function _fillMarket(MarketLine memory line, MarketId id) internal view {
        line.id = id;
        line.stored = PLIMSOLL.market(id);
        if (line.stored.lastUpdate == 0) return;

        line.params = PLIMSOLL.marketParams(id);
        line.accrued = MarketReader.accrued(PLIMSOLL, id, line.params);
        (line.utilisation, line.borrowRatePerSecond, line.supplyRatePerSecond) =
            MarketReader.rates(line.accrued, line.params.curve);
        line.surgePeriodSecs = line.params.risk.surgePeriodSecs();
        line.surgeRoom = _surgeRoom(line.accrued, line.params.risk);
        line.backstop = PLIMSOLL.backstop(id);
        line.availableCover = _availableCover(line.backstop, id, line.params.loanToken);
        line.liquidationPrice = _liquidationPrice(line.params);
        line.borrowPrice = _borrowPrice(line.params);
    }

    function _availableCover(address vault, MarketId id, address token) internal view returns (uint256) {
        uint256 cover = FixedPointMathLib.zeroFloorSub(PLIMSOLL.cover(vault, token), PLIMSOLL.coverFloor(vault, token));
        return FixedPointMathLib.min(PLIMSOLL.coverLimit(vault, id), cover);
    }

    /* POSITIONS */

    /// @inheritdoc ILens
    function positions(MarketId id, address[] calldata accounts) external view returns (Positions memory answer) {
        answer.lines = new PositionLine[](accounts.length);
        MarketParams memory params = PLIMSOLL.marketParams(id);
        Market memory m = MarketReader.accrued(PLIMSOLL, id, params);
        if (m.lastUpdate != 0) {
            answer.liquidationPrice = _liquidationPrice(params);
            answer.borrowPrice = _borrowPrice(params);
        }
        uint256 ltvBps = params.risk.liquidationLtvBps();
        for (uint256 i; i < accounts.length; ++i) {
            PositionLine memory line = answer.lines[i];
            line.account = accounts[i];
            if (m.lastUpdate == 0) continue;
            _fillPosition(line, id, m, ltvBps, answer.liquidationPrice);
            if (answer.borrowPrice.status == PriceStatus.Ok) {
                line.maxBorrow = _maxBorrow(line, m, params.risk, answer.borrowPrice.price);
            }
        }
    }

    function _fillPosition(
        PositionLine memory line,
        MarketId id,
        Market memory m,
        uint256 ltvBps,
        PriceReading memory reading
    ) internal view {
        Position memory p = PLIMSOLL.position(id, line.account);
        line.supplyShares = p.supplyShares;
        line.supplyAssets = p.supplyShares.toAssetsDown(m.supplyAssets, m.supplyShares);
        line.borrowShares = p.borrowShares;
        line.debt = p.borrowShares.toDebtUp(m.borrowAssets, m.borrowShares);
        line.collateral = p.collateral;
        if (reading.status == PriceStatus.Ok) {
            line.collateralValue = LiquidationMath.valueDown(p.collateral, reading.price);
        }
        if (line.debt == 0) {
            line.health = type(uint256).max;
        } else {
            line.health = line.collateralValue * ltvBps * WAD / (line.debt * BPS);
            line.waterlinePrice = MarketReader.priceAtLtv(line.debt, line.collateral, ltvBps);
        }
    }

    function _maxBorrow(PositionLine memory line, Market memory m, Risk risk, uint256 price)
        internal
        pure
        returns (uint256 most)
    {
        uint256 maxDebt = LiquidationMath.valueDown(line.collateral, price) * risk.borrowLtvBps() / BPS;
        // The shares of a borrowing are rounded up, and so is the debt: a share and a unit more than what is borrowed.
        uint256 rounding = m.borrowShares == 0 ? 0 : m.borrowAssets / m.borrowShares + 2;
        most = FixedPointMathLib.zeroFloorSub(maxDebt, line.debt + rounding);
        most = FixedPointMathLib.min(most, m.supplyAssets - m.borrowAssets);
        most = FixedPointMathLib.min(most, _surgeRoom(m, risk));
        // Shares must fit 128 bits, which they need not once the market's supply has earned much and its debt is repaid.
        most = FixedPointMathLib.min(
            most, (type(uint128).max - m.borrowShares).toDebtDown(m.borrowAssets, m.borrowShares)
        );
        uint256 shares = most.toDebtSharesUp(m.borrowAssets, m.borrowShares);
        if (line.debt + most < risk.minDebt() || line.borrowShares + shares < DebtMath.MIN_SHARES) return 0;
    }

    function _surgeRoom(Market memory m, Risk risk) internal pure returns (uint256) {
        return risk.surgePeriodSecs() == 0 ? type(uint256).max : SurgeMath.room(m, risk);
    }

    /* LIQUIDATIONS */

    /// @inheritdoc ILens
    function liquidatable(MarketId id, address[] calldata accounts) external view returns (Liquidations memory answer) {
        answer.lines = new LiquidationLine[](accounts.length);
        MarketParams memory params = PLIMSOLL.marketParams(id);
        Market memory m = MarketReader.accrued(PLIMSOLL, id, params);
        if (m.lastUpdate != 0) answer.liquidationPrice = _liquidationPrice(params);
        LiquidationMath.LiquidationIncentive memory incentive =
            LiquidationMath.incentiveOf(params.risk.liquidationLtvBps());
        uint256 minDebt = params.risk.minDebt();
        for (uint256 i; i < accounts.length; ++i) {
            LiquidationLine memory line = answer.lines[i];
            line.account = accounts[i];
            if (m.lastUpdate != 0) _fillLiquidation(line, id, m, incentive, minDebt, answer.liquidationPrice);
        }
    }

    /// @dev Computes the result of the core's `_liquidateLoan` without a limit by the caller.
    function _fillLiquidation(
        LiquidationLine memory line,
        MarketId id,
        Market memory m,
        LiquidationMath.LiquidationIncentive memory incentive,
        uint256 minDebt,
        PriceReading memory reading
    ) internal view {
        Position memory p = PLIMSOLL.position(id, line.account);
        uint256 debt = p.borrowShares.toDebtUp(m.borrowAssets, m.borrowShares);
        line.debt = debt;
        if (debt == 0 || reading.status != PriceStatus.Ok) return;
        uint256 value = LiquidationMath.valueDown(p.collateral, reading.price);
        if (LiquidationMath.isHealthy(debt, value, incentive.ltvBps)) return;

        (LiquidationMath.Zone zone, uint256 maxRepay, uint256 incentiveFactor) =
            LiquidationMath.maxRepayOf(incentive, debt, value, minDebt);
        if (zone != LiquidationMath.Zone.Ramp) {
            // The whole collateral is seized for the max repay.
            line.seized = p.collateral;
            uint256 borrowAssets = m.borrowAssets.saturatingTotalAfterRepay(debt, m.borrowShares - p.borrowShares);
            line.badDebt = FixedPointMathLib.zeroFloorSub(m.borrowAssets - borrowAssets, maxRepay);
            if (maxRepay != 0) incentiveFactor = value * WAD / maxRepay;
        } else {
            if (maxRepay != debt && maxRepay.toDebtSharesDown(m.borrowAssets, m.borrowShares) == 0) return;
            line.seized = FixedPointMathLib.min(
                LiquidationMath.seizedDown(maxRepay, incentiveFactor, reading.price), p.collateral
            );
        }
        (line.liquidatable, line.maxRepay, line.incentiveFactor) = (true, maxRepay, incentiveFactor);
    }

    /* SHARED */

    function _borrowPrice(MarketParams memory params) internal view returns (PriceReading memory) {
        return OracleReader.read(params.oracle, IOracle.borrowPrice.selector);
    }

    function _liquidationPrice(MarketParams memory params) internal view returns (PriceReading memory) {
        return OracleReader.read(params.oracle, IOracle.liquidationPrice.selector);
    }
}
