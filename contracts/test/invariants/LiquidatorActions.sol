// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {LiquidationRules} from "./LiquidationRules.sol";

/// @notice Liquidations of any list of accounts – healthy, liquidatable, duplicate – wholly and in parts.
abstract contract LiquidatorActions is LiquidationRules {
    /// @notice The arguments of a liquidation and the state before it.
    struct Liquidation {
        address liquidator;
        address[] borrowers;
        uint256 maxRepay;
        bytes data;
        bool anyUnhealthy;
        uint256 loanTokens;
        uint256 collateralTokens;
        uint256 covered;
    }

    function _liquidate(uint256 k, address liquidator) internal {
        Market memory m = _accrued(k);
        Liquidation memory x;
        x.liquidator = liquidator;
        x.borrowers = new address[](1 + _below(ACTORS + 1));
        uint256 first = _below(ACTORS);
        uint256 owed;
        for (uint256 i; i < x.borrowers.length; ++i) {
            x.borrowers[i] = address(_actors[(first + i) % ACTORS]);
            Position memory p = _position(k, x.borrowers[i]);
            owed += _debt(m, p);
            x.anyUnhealthy = x.anyUnhealthy || _isUnhealthy(k, m, p);
        }
        if (_isBroken(k)) return _mustNotLiquidateBlindly(k, x.borrowers);
        if (!x.anyUnhealthy && !_oneIn(10)) return;
        x.maxRepay = _oneIn(2) ? type(uint256).max : _between(1, 1 + owed);
        x.data = _maybeCallback(k, m, liquidator);
        x.loanTokens = _tokens[_loanTokens[k]].balanceOf(liquidator);
        x.collateralTokens = _tokens[_collateralTokens[k]].balanceOf(liquidator);
        x.covered = plimsoll.cover(BACKSTOP, _params[k].loanToken);
        _liquidate(k, x);
    }

    function _liquidate(uint256 k, Liquidation memory x) private {
        Before memory b = _before(k);
        vm.prank(x.liquidator);
        try plimsoll.liquidate(_params[k], x.borrowers, x.maxRepay, 0, x.liquidator, x.data) returns (
            uint256 repaid, uint256 seized
        ) {
            assertLe(repaid, x.maxRepay, "more was repaid than the caller agreed to");
            assertEq(x.loanTokens - _tokens[_loanTokens[k]].balanceOf(x.liquidator), repaid, "repaid what it said");
            uint256 moved = x.data.length == 0 ? 0 : 1;
            uint256 held = _tokens[_collateralTokens[k]].balanceOf(x.liquidator);
            assertEq(held + moved, x.collateralTokens + seized, "got what it said");
            Vm.Log[] memory logs = _after(b, address(0));
            _checkLoss(b, logs, _checkEach(b, logs, x), x.covered);
        } catch (bytes memory why) {
            vm.getRecordedLogs();
            assertEq(bytes4(why), IPlimsoll.NothingToLiquidate.selector);
            assertFalse(x.anyUnhealthy && x.maxRepay == type(uint256).max, "H3: an unhealthy loan was out of reach");
            _recordHit(
                x.anyUnhealthy ? "liquidation refused: too little for any part" : "liquidation refused: all healthy"
            );
        }
    }

    function _maybeCallback(uint256 k, Market memory m, address liquidator) private returns (bytes memory) {
        if (m.borrowShares == 0 || _oneIn(2)) return "";
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IPlimsoll.supplyCollateral, (_params[k], 1, liquidator, ""));
        _recordHit("a call back into the core in the callback of a liquidation");
        return abi.encode(calls);
    }

    function _checkEach(Before memory b, Vm.Log[] memory logs, Liquidation memory x) private returns (uint256 loss) {
        bool[ACTORS] memory mustBe;
        for (uint256 i; i < x.borrowers.length; ++i) {
            uint256 a = _indexOf(x.borrowers[i]);
            mustBe[a] = x.maxRepay == type(uint256).max && _isUnhealthy(b.k, b.market, b.positions[a]);
        }
        uint256 count;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IPlimsoll.Liquidate.selector) continue;
            LiquidationResult memory d;
            d.k = b.k;
            (d.repaid, d.shares, d.seized, d.badDebt) = abi.decode(logs[i].data, (uint256, uint256, uint256, uint256));
            uint256 a = _indexOf(address(uint160(uint256(logs[i].topics[3]))));
            _checkLiquidation(d, b.market, b.positions[a]);
            mustBe[a] = false;
            loss += d.badDebt;
            ++count;
        }
        for (uint256 a; a < ACTORS; ++a) {
            assertFalse(mustBe[a], "H3: an unhealthy loan was left out");
        }
        assertGt(count, 0, "a liquidation of nobody");
        if (count > 1) _recordHit("several loans in one liquidation");
        if (count < x.borrowers.length) _recordHit("loans left alone in a liquidation");
    }

    /// H7: reserve, cover and suppliers pay the sum of the write-offs, in this order, once.
    function _checkLoss(Before memory b, Vm.Log[] memory logs, uint256 writtenOff, uint256 covered) private {
        uint256 events;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IPlimsoll.RealiseLoss.selector) continue;
            ++events;
            (uint256 loss, uint256 fromReserve,, uint256 fromCover) =
                abi.decode(logs[i].data, (uint256, uint256, uint256, uint256));
            assertEq(loss, writtenOff, "H7: the loss is what was written off");
            _checkParts(b, loss, fromReserve, fromCover, covered);
        }
        assertEq(events, writtenOff == 0 ? 0 : 1, "H7: a loss is realised in its call, once");
    }

    function _checkParts(Before memory b, uint256 loss, uint256 fromReserve, uint256 fromCover, uint256 covered)
        private
    {
        Market memory was = b.market;
        Market memory m = plimsoll.market(_ids[b.k]);
        uint256 fromSuppliers = loss - fromReserve - fromCover;
        uint256 reserve = SharesMath.toAssetsDown(was.reserveShares, was.supplyAssets, was.supplyShares);
        assertEq(was.supplyAssets - m.supplyAssets, fromReserve + fromSuppliers, "H7: supply pays the rest");
        assertEq(fromReserve, FixedPointMathLib.min(reserve, loss), "H7: the reserve pays first");
        uint256 coverLeft = plimsoll.cover(BACKSTOP, _params[b.k].loanToken);
        assertEq(covered - coverLeft, fromCover, "H7: cover pays what it says");
        if (fromCover != 0) {
            uint256 kept = plimsoll.coverFloor(BACKSTOP, _params[b.k].loanToken);
            assertGe(coverLeft, kept, "H7: a loss took from below the cover's floor");
        }
        if (fromSuppliers != 0 && plimsoll.backstop(_ids[b.k]) == BACKSTOP) {
            uint256 floor = plimsoll.coverFloor(BACKSTOP, _params[b.k].loanToken);
            assertTrue(
                coverLeft <= floor || plimsoll.coverLimit(BACKSTOP, _ids[b.k]) == 0,
                "H7: suppliers paid while there was cover"
            );
        }
        if (fromReserve != 0) _recordHit("a loss paid by the reserve");
        if (fromCover != 0) _recordHit("a loss paid by cover");
        if (fromSuppliers != 0) _recordHit("a loss paid by suppliers");
        if (m.supplyAssets == 0) _recordHit("a loss of all that was supplied");
    }

    function _mustNotLiquidateBlindly(uint256 k, address[] memory borrowers) private {
        try plimsoll.liquidate(_params[k], borrowers, type(uint256).max, 0, address(this), "") {
            assertTrue(false, "liquidated while the oracle was broken");
        } catch (bytes memory why) {
            assertEq(bytes4(why), TestOracle.Broken.selector);
            _recordHit("liquidation refused while the oracle is broken");
        }
    }

    function _indexOf(address who) private view returns (uint256 a) {
        while (address(_actors[a]) != who) ++a;
    }
}
