// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {CommonBase} from "forge-std/Base.sol";
import {StdAssertions} from "forge-std/StdAssertions.sol";
import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {IOracle} from "plimsoll/interfaces/IOracle.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice What holds for every execution, stated without the guard's formulas: an amount is checked to be the smallest,
/// or the largest, with the property that defines it.
abstract contract GuardRules is CommonBase, StdAssertions {
    uint256 private constant BASIS = 10_000;
    uint256 private constant ONE = 1e18;
    uint256 private constant SCALE = 1e36;
    uint256 private constant FEWEST_SHARES = 1e6;

    /// @notice Everything that an execution could change.
    struct State {
        uint256 price;
        uint256 minDebt;
        uint256 totalAssets;
        uint256 totalShares;
        uint256 supplyShares;
        uint256 borrowShares;
        uint256 collateral;
        uint256 debt;
        uint256 accountLoanTokens;
        uint256 accountCollateralTokens;
        uint256 allowance;
        uint256 executorLoanTokens;
        uint256 receiverLoanTokens;
        uint256 receiverCollateralTokens;
        uint256 guardLoanTokens;
        uint256 guardCollateralTokens;
        uint256 guardAllowance;
    }

    /// @notice The state in an accrued market.
    function stateOf(
        IGuard guard,
        IPlimsoll core,
        MarketParams memory params,
        address account,
        address executor,
        address receiver
    ) internal view returns (State memory s) {
        MarketId id = MarketId.wrap(keccak256(abi.encode(params)));
        Market memory m = core.market(id);
        Position memory p = core.position(id, account);
        s.price = IOracle(params.oracle).liquidationPrice();
        s.minDebt = params.risk.minDebt();
        (s.totalAssets, s.totalShares) = (m.borrowAssets, m.borrowShares);
        (s.supplyShares, s.borrowShares, s.collateral) = (p.supplyShares, p.borrowShares, p.collateral);
        s.debt = m.borrowShares == 0 ? 0 : (p.borrowShares * m.borrowAssets + m.borrowShares - 1) / m.borrowShares;
        (TestToken loan, TestToken collateral) = (TestToken(params.loanToken), TestToken(params.collateralToken));
        s.accountLoanTokens = loan.balanceOf(account);
        s.accountCollateralTokens = collateral.balanceOf(account);
        s.allowance = loan.allowance(account, address(guard));
        s.executorLoanTokens = loan.balanceOf(executor);
        s.receiverLoanTokens = loan.balanceOf(receiver);
        s.receiverCollateralTokens = collateral.balanceOf(receiver);
        s.guardLoanTokens = loan.balanceOf(address(guard));
        s.guardCollateralTokens = collateral.balanceOf(address(guard));
        s.guardAllowance = loan.allowance(address(guard), address(core));
    }

    function assertExecution(
        IGuard.Kind kind,
        IGuard.Order memory order,
        State memory was,
        State memory is_,
        IGuard.Execution memory execution
    ) internal pure {
        assertTrue(isTriggered(kind, order, was), "G6: executed though the trigger was not met");
        _assertPremium(kind, order, was, execution.premium);
        _assertOwn(order, was, execution);
        _assertPayment(order, was, execution);
        _assertSold(order, was, execution);
        _assertChanges(was, is_, execution);
        _assertTarget(order, was, is_, execution);
    }

    /// @notice G6
    function isTriggered(IGuard.Kind kind, IGuard.Order memory order, State memory s) internal pure returns (bool) {
        if (s.debt == 0) return false;
        if (kind == IGuard.Kind.CloseBelow) return s.price <= order.triggerPrice;
        if (kind == IGuard.Kind.CloseAbove) return s.price >= order.triggerPrice;
        return s.debt * BASIS > valueOf(s) * order.triggerLtvBps;
    }

    function valueOf(State memory s) internal pure returns (uint256) {
        return s.collateral * s.price / SCALE;
    }

    /// @dev The largest number not above the line from start to end: (π − start) ÷ (end − start) ≤ distance ÷ ramp.
    function _assertPremium(IGuard.Kind kind, IGuard.Order memory order, State memory was, uint256 premium)
        private
        pure
    {
        (uint256 start, uint256 end) = (uint256(order.premiumStartPpm) * 1e12, uint256(order.premiumEndPpm) * 1e12);
        assertGe(premium, start, "G4: less than the lowest premium");
        assertLe(premium, end, "G4: more than the highest premium");
        // In units of a hundredth of a basis point of the trigger's scale, so that products fit.
        uint256 distance;
        uint256 ramp;
        if (kind == IGuard.Kind.Protect) {
            uint256 value = valueOf(was);
            (distance, ramp) = (was.debt * BASIS - value * order.triggerLtvBps, value * order.rampBps);
        } else {
            uint256 apart =
                was.price > order.triggerPrice ? was.price - order.triggerPrice : order.triggerPrice - was.price;
            (distance, ramp) = (apart, order.triggerPrice * order.rampBps / BASIS);
        }
        if (distance >= ramp) {
            assertEq(premium, end, "G4: not the premium at the end of the ramp");
        } else {
            assertLe((premium - start) * ramp, (end - start) * distance, "G4: above the ramp");
            assertGe((premium - start + 1) * ramp, (end - start) * distance, "G4: below the ramp");
        }
    }

    /// @dev G1: own tokens within what the account granted, and no more reward than agreed.
    function _assertOwn(IGuard.Order memory order, State memory was, IGuard.Execution memory e) private pure {
        uint256 granted = order.maxOwn;
        if (was.allowance < granted) granted = was.allowance;
        if (was.accountLoanTokens < granted) granted = was.accountLoanTokens;
        assertLe(e.own + e.ownReward, granted, "G1: more of the account's tokens than granted");
        assertEq(
            e.ownReward, e.own == 0 ? 0 : e.own * e.premium / ONE + order.flatTip, "G1: another reward than agreed"
        );
        if (e.payment == 0) return;
        // Collateral is sold only if one unit more of own tokens would be too much.
        uint256 next = e.own + 1;
        assertGt(next * (ONE + e.premium) + order.flatTip * ONE, granted * ONE, "G1: sold in spite of own tokens");
    }

    /// @dev G3: the smallest payment that leads to the target, in exact fractions; or the whole debt where a part is not
    /// possible.
    function _assertPayment(IGuard.Order memory order, State memory was, IGuard.Execution memory e) private pure {
        uint256 repaid = e.own + e.payment;
        assertLe(repaid, was.debt, "G3: more than the debt");
        if (repaid == was.debt) {
            if (order.targetLtvBps == 0) return;
            // Even the smallest repayment that leads to the target leaves less than the market's minimum, or too few
            // shares.
            uint256 less = was.debt > was.minDebt ? was.debt - was.minDebt : 0;
            uint256 most = was.borrowShares > FEWEST_SHARES ? was.borrowShares - FEWEST_SHARES : 0;
            uint256 byShares = most * was.totalAssets / was.totalShares;
            if (byShares < less) less = byShares;
            if (less > e.own + 1) assertFalse(_suffices(order, was, e, less - e.own - 1), "G3: a part would do");
            return;
        }
        assertGe(was.debt - repaid, was.minDebt, "G3: leaves less than the minimum debt");
        assertTrue(_suffices(order, was, e, e.payment), "G3: repaid too little");
        if (e.payment != 0) {
            assertFalse(_suffices(order, was, e, e.payment - 1), "G3: repaid too much");
        } else if (e.own != 0) {
            assertGt((was.debt - e.own + 1) * BASIS, order.targetLtvBps * valueOf(was), "G3: own too much");
        }
    }

    /// @dev (D − own − x) ≤ t·(V − x·(1 + π) − tip)
    function _suffices(IGuard.Order memory order, State memory was, IGuard.Execution memory e, uint256 payment)
        private
        pure
        returns (bool)
    {
        uint256 spent = payment == 0 ? 0 : payment * (ONE + e.premium) + (e.own == 0 ? order.flatTip * ONE : 0);
        int256 left = int256(valueOf(was) * ONE) - int256(spent);
        return int256((was.debt - e.own - payment) * BASIS * ONE) <= int256(uint256(order.targetLtvBps)) * left;
    }

    /// @dev G4: worth at most the payment with premium and tip, and the most that is.
    function _assertSold(IGuard.Order memory order, State memory was, IGuard.Execution memory e) private pure {
        if (e.payment == 0) {
            assertEq(e.sold, 0, "G4: sold for nothing");
            return;
        }
        uint256 tip = e.own == 0 ? order.flatTip : 0;
        assertLe(e.sold * was.price, _worth(e, tip) * SCALE, "G4: more than the value of the payment");
        uint256 repaid = e.own + e.payment;
        uint256 most = was.collateral;
        // The core's rule: at most the same part of the collateral as of the debt shares.
        if (repaid != was.debt) most = most * (repaid * was.totalShares / was.totalAssets) / was.borrowShares;
        assertLe(e.sold, most, "G2: more than the repayment's part");
        if (e.sold < most) assertGt((e.sold + 1) * was.price, _worth(e, tip) * SCALE, "G4: less than was paid for");
    }

    function _worth(IGuard.Execution memory e, uint256 tip) private pure returns (uint256) {
        return e.payment + e.payment * e.premium / ONE + tip;
    }

    /// @dev G1, G2 and G7: what changed is what was reported, and nothing else did.
    function _assertChanges(State memory was, State memory is_, IGuard.Execution memory e) private pure {
        uint256 repaid = e.own + e.payment;
        assertEq(is_.collateral, was.collateral - e.sold, "G1: collateral");
        assertEq(is_.supplyShares, was.supplyShares, "G1: supply");
        assertEq(is_.accountLoanTokens, was.accountLoanTokens - e.own - e.ownReward, "G1: the account's tokens");
        assertEq(is_.accountCollateralTokens, was.accountCollateralTokens, "G1: the account's collateral tokens");
        if (repaid == was.debt) {
            assertEq(is_.borrowShares, 0, "G3: debt left");
        } else {
            uint256 shares = repaid * was.totalShares / was.totalAssets;
            assertEq(is_.borrowShares, was.borrowShares - shares, "G1: debt");
        }
        // Health at any price, to the unit by which a debt is seen rounded up.
        if (is_.debt != 0) {
            assertGe(is_.collateral * was.debt, was.collateral * (is_.debt - 1), "G2: health fell");
        }
        assertEq(is_.executorLoanTokens, was.executorLoanTokens, "the executor paid from what it got");
        assertEq(is_.receiverCollateralTokens, was.receiverCollateralTokens + e.sold, "what the receiver got");
        assertEq(is_.receiverLoanTokens, was.receiverLoanTokens + e.ownReward, "the receiver's reward");
        assertEq(is_.guardLoanTokens, was.guardLoanTokens, "G7: loan tokens left");
        assertEq(is_.guardCollateralTokens, was.guardCollateralTokens, "G7: collateral tokens left");
        assertEq(is_.guardAllowance, 0, "G7: an allowance left");
    }

    /// @dev G3: no debt, or a ratio within two units of debt, or what a share is worth, above the target, and not below
    /// it by more than what rounding takes.
    function _assertTarget(IGuard.Order memory order, State memory was, State memory is_, IGuard.Execution memory e)
        private
        pure
    {
        if (is_.debt == 0) return;
        uint256 share = 2 + was.totalAssets / was.totalShares;
        uint256 target = order.targetLtvBps * valueOf(is_);
        assertLe((is_.debt - (is_.debt < share ? is_.debt : share)) * BASIS, target, "G3: above the target");
        // A sale that was capped by the repayment's part leaves more collateral than the target needs.
        bool capped = e.sold == was.collateral * (was.borrowShares - is_.borrowShares) / was.borrowShares;
        if (!capped) {
            uint256 unit = 1 + was.price / SCALE;
            assertGe((is_.debt + share) * BASIS, order.targetLtvBps * (valueOf(is_) - unit), "G3: below the target");
        }
    }
}
