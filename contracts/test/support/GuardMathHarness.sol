// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {DebtMath} from "plimsoll/libraries/DebtMath.sol";
import {GuardMath} from "plimsoll/libraries/GuardMath.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {IGuardMathHarness} from "./IGuardMathHarness.sol";

/// @title Harness of the guard's arithmetic.
/// @notice See `IGuardMathHarness`.
contract GuardMathHarness is IGuardMathHarness {
    /// @inheritdoc IGuardMathHarness
    function answers(Case[] calldata cases) external pure returns (Answer[] memory all) {
        all = new Answer[](cases.length);
        for (uint256 i; i < cases.length; ++i) {
            all[i] = _answer(cases[i]);
        }
    }

    function _answer(Case calldata c) internal pure returns (Answer memory a) {
        IGuard.Order memory order;
        (order.triggerLtvBps, order.targetLtvBps) = (uint16(c.triggerLtvBps), uint16(c.targetLtvBps));
        (order.premiumStartPpm, order.premiumEndPpm) = (uint16(c.premiumStartPpm), uint16(c.premiumEndPpm));
        (order.triggerPrice, order.rampBps, order.flatTip) = (c.triggerPrice, uint16(c.rampBps), uint96(c.flatTip));
        GuardMath.Loan memory loan = GuardMath.Loan({
            debt: DebtMath.toDebtUp(c.borrowShares, c.totalBorrowAssets, c.totalBorrowShares),
            value: LiquidationMath.valueDown(c.collateral, c.price),
            price: c.price,
            collateral: c.collateral,
            borrowShares: c.borrowShares,
            totalBorrowAssets: c.totalBorrowAssets,
            totalBorrowShares: c.totalBorrowShares,
            minDebt: c.minDebt
        });
        (bool triggered, uint256 premium) = GuardMath.premiumDown(order, IGuard.Kind(c.kind), loan);
        if (!triggered) return a;
        IGuard.Execution memory e = GuardMath.executionOf(order, loan, premium, c.budget);
        return Answer(1, e.premium, e.own, e.ownReward, e.payment, e.sold);
    }
}
