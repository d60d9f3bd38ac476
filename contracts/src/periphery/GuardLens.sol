// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IGuard} from "../interfaces/IGuard.sol";
import {IGuardLens} from "../interfaces/IGuardLens.sol";
import {ILens} from "../interfaces/ILens.sol";
import {IOracle} from "../interfaces/IOracle.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {DebtMath} from "../libraries/DebtMath.sol";
import {GuardMath} from "../libraries/GuardMath.sol";
import {LiquidationMath} from "../libraries/LiquidationMath.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Market, Position} from "../types/Market.sol";
import {MarketParams} from "../types/MarketParams.sol";
import {MarketReader} from "./libraries/MarketReader.sol";
import {OracleReader} from "./libraries/OracleReader.sol";

/// @title Lens over the guard.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IGuardLens`.
/// @dev Each line is a call of its own with a bounded amount of gas, so that no token or oracle reaches another line.
contract GuardLens is IGuardLens {
    using DebtMath for uint256;
    using Tokens for address;

    uint256 internal constant WAD = 1e18;
    /// @dev Two prices, each with its margin, and 300,000 for the rest.
    uint256 internal constant LINE_GAS = 1_400_000;
    /// @dev A call gets at most 63/64 of the remaining gas; 10,000 are added for the instructions before it.
    uint256 internal constant GAS_NEEDED = LINE_GAS * 64 / 63 + 10_000;

    IGuard internal immutable GUARD;
    IPlimsoll internal immutable PLIMSOLL;

    constructor(address guard_) {
        if (guard_.code.length == 0) revert NoCode(guard_);
        GUARD = IGuard(guard_);
        PLIMSOLL = IPlimsoll(GUARD.plimsoll());
    }

    /// @inheritdoc IGuardLens
    function guard() external view returns (address) {
        return address(GUARD);
    }

    /// @inheritdoc IGuardLens
    function lineGas() external pure returns (uint256) {
        return LINE_GAS;
    }

    /// @inheritdoc IGuardLens
    function orders(OrderKey[] calldata keys) external view returns (OrderLine[] memory lines) {
        lines = new OrderLine[](keys.length);
        for (uint256 i; i < keys.length; ++i) {
            lines[i].key = keys[i];
            // With less gas an honest market could fail, and would be reported as unreadable.
            if (gasleft() < GAS_NEEDED) {
                lines[i].status = OrderStatus.TooLittleGas;
                continue;
            }
            try this.order{gas: LINE_GAS}(keys[i]) returns (OrderLine memory line) {
                lines[i] = line;
            } catch {
                lines[i].status = OrderStatus.Unreadable;
            }
        }
    }

    /// @inheritdoc IGuardLens
    function order(OrderKey calldata key) external view returns (OrderLine memory line) {
        line.key = key;
        (line.order, line.lastExecuted) = GUARD.order(key.account, key.id, key.kind);
        if (line.order.uses == 0) {
            line.status = OrderStatus.NoOrder;
            return line;
        }
        line.executableFrom = line.lastExecuted + line.order.cooldownSecs;
        MarketParams memory params = PLIMSOLL.marketParams(key.id);
        GuardMath.Loan memory loan = _loanOf(key, params);
        _fillLoan(line, params, loan);
        bool triggered = _fillExecution(line, params, loan);
        line.status = _statusOf(line, loan, triggered);
    }

    /// @dev Returns the loan in the market as it would be accrued now, without price and value.
    function _loanOf(OrderKey calldata key, MarketParams memory params)
        internal
        view
        returns (GuardMath.Loan memory loan)
    {
        Market memory m = MarketReader.accrued(PLIMSOLL, key.id, params);
        Position memory p = PLIMSOLL.position(key.id, key.account);
        loan.debt = p.borrowShares.toDebtUp(m.borrowAssets, m.borrowShares);
        (loan.collateral, loan.borrowShares) = (p.collateral, p.borrowShares);
        (loan.totalBorrowAssets, loan.totalBorrowShares) = (m.borrowAssets, m.borrowShares);
        loan.minDebt = params.risk.minDebt();
    }

    function _fillLoan(OrderLine memory line, MarketParams memory params, GuardMath.Loan memory loan) internal view {
        line.liquidationPrice = OracleReader.read(params.oracle, IOracle.liquidationPrice.selector);
        if (line.order.requireBorrowPrice) {
            line.borrowPrice = OracleReader.read(params.oracle, IOracle.borrowPrice.selector);
        }
        loan.price = line.liquidationPrice.price;
        if (loan.price != 0) loan.value = LiquidationMath.valueDown(loan.collateral, loan.price);
        (line.debt, line.collateral, line.value) = (loan.debt, loan.collateral, loan.value);
    }

    /// @dev Fills what follows from the trigger, which only a loan has.
    function _fillExecution(OrderLine memory line, MarketParams memory params, GuardMath.Loan memory loan)
        internal
        view
        returns (bool triggered)
    {
        if (loan.debt == 0) return false;
        (IGuard.Order memory terms, IGuard.Kind kind) = (line.order, line.key.kind);
        line.triggerPrice = kind == IGuard.Kind.Protect
            ? MarketReader.priceAtLtv(loan.debt, loan.collateral, terms.triggerLtvBps)
            : terms.triggerPrice;
        if (loan.price == 0) return false;
        uint256 premium;
        (triggered, premium) = GuardMath.premiumDown(terms, kind, loan);
        if (triggered) {
            uint256 budget = _budgetOf(line.key.account, params.loanToken, terms.maxOwn);
            line.execution = GuardMath.executionOf(terms, loan, premium, budget);
        } else {
            uint256 apart = FixedPointMathLib.dist(loan.price, line.triggerPrice);
            line.distance = apart / loan.price >= type(uint256).max / WAD
                ? type(uint256).max
                : FixedPointMathLib.fullMulDiv(apart, WAD, loan.price);
        }
    }

    /// @dev The guard's rule for own loan tokens.
    function _budgetOf(address account, address loanToken, uint256 maxOwn) internal view returns (uint256) {
        if (maxOwn == 0) return 0;
        uint256 allowed = IERC20(loanToken).allowance(account, address(GUARD));
        return FixedPointMathLib.min(maxOwn, FixedPointMathLib.min(allowed, loanToken.balanceOrZero(account)));
    }

    /// @dev The checks of the guard, and then of the core, in their order.
    function _statusOf(OrderLine memory line, GuardMath.Loan memory loan, bool triggered)
        internal
        view
        returns (OrderStatus)
    {
        if (block.timestamp > line.order.expiry) return OrderStatus.Expired;
        if (block.timestamp < line.executableFrom) return OrderStatus.CoolingDown;
        if (loan.borrowShares == 0) return OrderStatus.NoDebt;
        if (line.liquidationPrice.status != ILens.PriceStatus.Ok) return OrderStatus.NoPrice;
        if (line.borrowPrice.status != ILens.PriceStatus.Ok) return OrderStatus.NoBorrowPrice;
        if (!triggered) return OrderStatus.NotTriggered;

        // Own tokens alone repay by a function that everybody may call. A part that is repaid is at least a hundredth of
        // the debt, and the core accepts that of every loan that may be repaid in part.
        if (line.execution.payment == 0) return OrderStatus.Executable;
        if (line.execution.sold == 0) return OrderStatus.TooSmall;
        if (PLIMSOLL.authorizationExpiry(line.key.account, address(GUARD)) < block.timestamp) {
            return OrderStatus.Unauthorized;
        }
        return OrderStatus.Executable;
    }
}
