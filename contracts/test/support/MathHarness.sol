// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DebtMath} from "plimsoll/libraries/DebtMath.sol";
import {InterestMath} from "plimsoll/libraries/InterestMath.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {RateCurve} from "plimsoll/types/RateCurve.sol";

/// @notice The core's arithmetic on many states in one call, for whoever computes the same elsewhere.
contract MathHarness {
    /// @param amount to be converted into shares and back
    /// @param price of the collateral, 1e36-scaled
    struct Case {
        Market market;
        uint256 curve;
        uint256 timestamp;
        uint256 borrowShares;
        uint256 collateral;
        uint256 amount;
        uint256 price;
        uint256 ltvBps;
        uint256 smallestDebt;
        uint256 limit;
    }

    /// @param accrued the market at the timestamp; all that follows goes by it
    /// @param conversions of the amount: supply shares down and up, assets down and up, debt shares up and down, debt
    /// up
    /// @param totalAfter what is left of borrow assets without the loan's debt and shares
    struct Answer {
        Market accrued;
        uint256 interest;
        uint256 feeShares;
        uint256[7] conversions;
        uint256 debt;
        uint256 totalAfter;
        uint256 value;
        bool healthy;
        uint256 ceiling;
        uint256 bonus;
        uint256 repaid;
        uint256 seized;
    }

    function answers(Case[] calldata cases) external pure returns (Answer[] memory all) {
        all = new Answer[](cases.length);
        for (uint256 i; i < cases.length; ++i) {
            Case memory c = cases[i];
            Answer memory a = all[i];
            if (c.timestamp != c.market.lastUpdate) {
                (a.interest, a.feeShares) = InterestMath.accrue(c.market, RateCurve.wrap(c.curve), c.timestamp);
            }
            a.accrued = c.market;
            _convert(c.market, c.amount, a.conversions);
            _judge(c, a);
        }
    }

    function _convert(Market memory m, uint256 amount, uint256[7] memory converted) internal pure {
        converted[0] = SharesMath.toSharesDown(amount, m.supplyAssets, m.supplyShares);
        converted[1] = SharesMath.toSharesUp(amount, m.supplyAssets, m.supplyShares);
        converted[2] = SharesMath.toAssetsDown(amount, m.supplyAssets, m.supplyShares);
        converted[3] = SharesMath.toAssetsUp(amount, m.supplyAssets, m.supplyShares);
        converted[4] = DebtMath.toDebtSharesUp(amount, m.borrowAssets, m.borrowShares);
        if (m.borrowAssets == 0) return;
        converted[5] = DebtMath.toDebtSharesDown(amount, m.borrowAssets, m.borrowShares);
        converted[6] = DebtMath.toDebtUp(amount, m.borrowAssets, m.borrowShares);
    }

    function _judge(Case memory c, Answer memory a) internal pure {
        a.debt = DebtMath.toDebtUp(c.borrowShares, c.market.borrowAssets, c.market.borrowShares);
        a.totalAfter = DebtMath.totalAfter(c.market.borrowAssets, a.debt, c.market.borrowShares - c.borrowShares);
        a.value = LiquidationMath.valueDown(c.collateral, c.price);
        LiquidationMath.Terms memory terms = LiquidationMath.termsOf(c.ltvBps);
        a.healthy = LiquidationMath.isHealthy(a.debt, a.value, terms.ltvBps);
        if (a.healthy) return;
        (a.ceiling, a.bonus) = LiquidationMath.ceilingOf(terms, a.debt, a.value, c.smallestDebt);
        a.repaid = LiquidationMath.repayWithinDown(a.ceiling, a.bonus, a.debt, c.limit, c.smallestDebt);
        if (a.bonus != 0) a.seized = LiquidationMath.seizedDown(a.repaid, a.bonus, c.price);
    }
}
