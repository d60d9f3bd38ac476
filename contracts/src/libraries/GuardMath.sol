// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IGuard} from "../interfaces/IGuard.sol";
import {DebtMath} from "./DebtMath.sol";

/// @title Guard arithmetic library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Computes whether an order's trigger is met, its premium, and the amounts of its execution. Rounded in favour
/// of the account: repayments up, premium and collateral down.
/// @dev Debt, value and collateral fit 128 bits, a premium is at most 3 %.
library GuardMath {
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant ORACLE_SCALE = 1e36;
    /// @dev A millionth, 1e18-scaled.
    uint256 internal constant PPM = 1e12;
    uint256 internal constant MANTISSA_BITS = 56;

    /// @notice A loan in a market that is accrued to this block.
    /// @param debt rounded up
    /// @param value of the collateral at the liquidation price, rounded down
    struct Loan {
        uint256 debt;
        uint256 value;
        uint256 price;
        uint256 collateral;
        uint256 borrowShares;
        uint256 totalBorrowAssets;
        uint256 totalBorrowShares;
        uint256 minDebt;
    }

    /* PRICES IN 64 BITS */

    /// @notice Packs a price: mantissa u56 · exponent u8, rounded down.
    function packPriceDown(uint256 price) internal pure returns (uint64) {
        unchecked {
            uint256 bits = price == 0 ? 0 : FixedPointMathLib.log2(price) + 1;
            uint256 exponent = FixedPointMathLib.zeroFloorSub(bits, MANTISSA_BITS);
            return uint64(((price >> exponent) << 8) | exponent);
        }
    }

    /// @notice Returns a price that `packPriceDown` packed.
    function unpackPrice(uint64 packed) internal pure returns (uint256) {
        return uint256(packed >> 8) << (packed & 0xff);
    }

    /* THE TRIGGER */

    /// @notice Returns whether the order's trigger is met, and its premium, 1e18-scaled.
    function premiumDown(IGuard.Order memory order, IGuard.Kind kind, Loan memory loan)
        internal
        pure
        returns (bool triggered, uint256 premium)
    {
        unchecked {
            uint256 distance;
            uint256 ramp;
            if (kind == IGuard.Kind.Protect) {
                (uint256 debt, uint256 line) = (loan.debt * BPS, loan.value * order.triggerLtvBps);
                if (debt <= line) return (false, 0);
                (distance, ramp) = (debt - line, loan.value * order.rampBps);
            } else {
                (uint256 trigger, uint256 price) = (order.triggerPrice, loan.price);
                bool below = kind == IGuard.Kind.CloseBelow;
                if (below ? price > trigger : price < trigger) return (false, 0);
                distance = below ? trigger - price : price - trigger;
                ramp = FixedPointMathLib.fullMulDiv(trigger, order.rampBps, BPS);
            }
            (uint256 start, uint256 end) = (order.premiumStartPpm * PPM, order.premiumEndPpm * PPM);
            premium = distance >= ramp ? end : start + FixedPointMathLib.fullMulDiv(end - start, distance, ramp);
            return (true, premium);
        }
    }

    /* THE AMOUNTS */

    /// @notice Returns the amounts of an execution at this premium.
    ///
    /// With own tokens alone the debt falls to the target times the value. If they do not suffice, the payment x for
    /// collateral of x·(1 + π) and the tip brings the rest of the debt to the target:
    /// x = (D − own − t·(V − tip)) ÷ (1 − t·(1 + π)), where the tip counts unless it is paid from own tokens. A
    /// repayment that the core would not accept as a part is one of the whole debt.
    /// @param budget the account's own tokens that may be used, with premium and tip
    function executionOf(IGuard.Order memory order, Loan memory loan, uint256 premium, uint256 budget)
        internal
        pure
        returns (IGuard.Execution memory execution)
    {
        unchecked {
            uint256 target = order.targetLtvBps;
            uint256 repaid = _partOrAll(loan, loan.debt - loan.value * target / BPS);
            uint256 most = FixedPointMathLib.zeroFloorSub(budget, order.flatTip) * WAD / (WAD + premium);
            uint256 own = FixedPointMathLib.min(repaid, most);
            if (own != repaid && repaid != loan.debt) {
                uint256 tip = own == 0 ? order.flatTip : 0;
                uint256 excess = (loan.debt - own) * BPS + target * tip - target * loan.value;
                uint256 payment = FixedPointMathLib.divUp(excess * WAD, BPS * WAD - target * (WAD + premium));
                repaid = _partOrAll(loan, own + payment);
            }
            execution.premium = premium;
            execution.own = own;
            if (own != 0) execution.ownReward = own * premium / WAD + order.flatTip;
            execution.payment = repaid - own;
            if (own != repaid) execution.sold = _soldDown(loan, execution, own == 0 ? order.flatTip : 0);
        }
    }

    /// @dev Returns the repayment, or the whole debt if the core would refuse to leave the rest.
    function _partOrAll(Loan memory loan, uint256 repaid) private pure returns (uint256) {
        unchecked {
            if (repaid >= loan.debt || loan.debt - repaid < loan.minDebt) return loan.debt;
            if (loan.borrowShares - _redeemedDown(loan, repaid) < DebtMath.MIN_SHARES) return loan.debt;
            return repaid;
        }
    }

    /// @dev Returns the collateral for the payment, its premium and the tip, at most the core's part of the collateral.
    /// A part leaves V above D·(1 + π) and the tip, so that the core's limit binds by rounding alone.
    function _soldDown(Loan memory loan, IGuard.Execution memory execution, uint256 tip)
        private
        pure
        returns (uint256 sold)
    {
        unchecked {
            uint256 repaid = execution.own + execution.payment;
            // 2^128 × 2^60, and 2^129 × 2^120.
            uint256 worth = execution.payment * (WAD + execution.premium) / WAD + tip;
            uint256 most = loan.collateral;
            if (repaid != loan.debt) most = most * _redeemedDown(loan, repaid) / loan.borrowShares;
            return FixedPointMathLib.min(worth * ORACLE_SCALE / loan.price, most);
        }
    }

    function _redeemedDown(Loan memory loan, uint256 repaid) private pure returns (uint256) {
        return DebtMath.toDebtSharesDown(repaid, loan.totalBorrowAssets, loan.totalBorrowShares);
    }
}
