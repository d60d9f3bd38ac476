// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {SurgeRules} from "./SurgeRules.sol";

/// @notice Checks everything that must hold across every single call: each action is made between `_before` and
/// `_after`.
abstract contract CallInvariants is SurgeRules {
    /// @notice A market and all its positions, with interest up to this block.
    struct Before {
        uint256 k;
        Market market;
        Position[ACTORS] positions;
    }

    /// @notice How often the handler reached each state of interest; see `HandlerCoverage.t.sol`.
    mapping(string => uint256) public hits;
    /// @notice The most units of each token that repayments may have left with nobody.
    uint256[TOKENS] public strayUnits;
    string[] internal _hitNames;

    function _recordHit(string memory what) internal {
        if (hits[what]++ == 0) _hitNames.push(what);
    }

    function hitNames() external view returns (string[] memory) {
        return _hitNames;
    }

    function _before(uint256 k) internal returns (Before memory b) {
        b.k = k;
        b.market = _accrued(k);
        for (uint256 a; a < ACTORS; ++a) {
            b.positions[a] = _position(k, address(_actors[a]));
        }
        vm.recordLogs();
    }

    /// @param subject the only account whose position the call may make worse, at its own request or with its consent
    function _after(Before memory b, address subject) internal returns (Vm.Log[] memory logs) {
        logs = vm.getRecordedLogs();
        rebuilt.applyLogs(logs, clock);
        bool lost = _onlyEventsOf(b.k, logs);
        Market memory m = plimsoll.market(_ids[b.k]);
        _stateMatchesEvents(b.k, m);
        // If debts do not matter, interest is not accrued and the market is unchanged.
        if (m.lastUpdate != clock) m = _accrued(b.k);
        // Each repayment of a call may leave a unit with nobody while debt shares are at their lowest price.
        if (_atLowestPrice(m)) strayUnits[_loanTokens[b.k]] += ACTORS;
        _sharePricesKeepTheirDirection(b.market, m, lost);
        _checkSurge(b.k, b.market, m, logs);
        for (uint256 a; a < ACTORS; ++a) {
            address who = address(_actors[a]);
            if (who != subject) _nobodyElseIsWorseOff(b, m, a, _wasLiquidated(logs, who));
        }
    }

    /// A8, for the market of this call.
    function _stateMatchesEvents(uint256 k, Market memory m) private view {
        assertEq(abi.encode(rebuilt.market(_ids[k])), abi.encode(m), "A8: the market is not what its events say");
        for (uint256 a; a < ACTORS; ++a) {
            bytes memory told = abi.encode(rebuilt.position(_ids[k], address(_actors[a])));
            assertEq(told, abi.encode(_position(k, address(_actors[a]))), "A8: a position is not what its events say");
        }
    }

    /// I1: every event is of this market, or of no market.
    function _onlyEventsOf(uint256 k, Vm.Log[] memory logs) private view returns (bool lost) {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(plimsoll)) continue;
            bytes32 topic = logs[i].topics[0];
            if (topic == IPlimsoll.RealiseLoss.selector) lost = true;
            if (topic == IPlimsoll.FlashLoan.selector) continue;
            assertEq(logs[i].topics[1], MarketId.unwrap(_ids[k]), "I1: an event of another market");
        }
    }

    /// A5: only a loss lowers the price of supply; only time raises the price of debt, within the unit at its lowest.
    function _sharePricesKeepTheirDirection(Market memory was, Market memory m, bool lost) private pure {
        bool supplyFell =
            !_productLe(was.supplyAssets + 1, m.supplyShares + 1e6, m.supplyAssets + 1, was.supplyShares + 1e6);
        assertFalse(supplyFell && !lost, "A5: the price of supply fell without a loss");
        if (was.borrowShares == 0 || m.borrowShares == 0) return;
        bool debtRose = !_productLe(m.borrowAssets, was.borrowShares, was.borrowAssets, m.borrowShares);
        assertFalse(debtRose && !_atLowestPrice(m), "A5: the price of debt rose without time");
    }

    function _atLowestPrice(Market memory m) private pure returns (bool) {
        return m.borrowAssets == (m.borrowShares + 1e6 - 1) / 1e6;
    }

    /// I2 and H1, in both halves: another's action raises no debt, but for one unit while the price of debt shares is at
    /// its lowest, and but for that unit it makes no healthy position liquidatable.
    function _nobodyElseIsWorseOff(Before memory b, Market memory m, uint256 a, bool liquidated) private view {
        Position memory was = b.positions[a];
        Position memory p = _position(b.k, address(_actors[a]));
        assertGe(p.supplyShares, was.supplyShares, "I2: somebody lost supply shares");
        assertLe(p.borrowShares, was.borrowShares, "I2: somebody got into debt");
        if (liquidated) return;
        assertGe(p.collateral, was.collateral, "I2: somebody lost collateral");
        uint256 debt = _debt(m, p);
        uint256 debtBefore = _debt(b.market, was);
        if (debt > debtBefore) {
            assertTrue(_atLowestPrice(m), "H1: a debt grew above the lowest share price");
            assertEq(debt, debtBefore + 1, "H1: somebody's debt grew");
        } else if (_isHealthy(b.k, debtBefore, was.collateral)) {
            assertTrue(_isHealthy(b.k, debt, p.collateral), "H1: somebody's position became liquidatable");
        }
    }

    function _wasLiquidated(Vm.Log[] memory logs, address who) private pure returns (bool) {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IPlimsoll.Liquidate.selector) continue;
            if (logs[i].topics[3] == bytes32(uint256(uint160(who)))) return true;
        }
        return false;
    }

    /// @notice The assets of two accounts together, in a market and in balances of its tokens.
    struct Worth {
        int256 loan;
        int256 collateral;
    }

    function _worth(uint256 k, address one, address two) internal view returns (Worth memory w) {
        Market memory m = _accrued(k);
        _addWorth(w, k, m, one);
        if (two != one) _addWorth(w, k, m, two);
    }

    function _addWorth(Worth memory w, uint256 k, Market memory m, address who) private view {
        Position memory p = _position(k, who);
        w.loan += int256(_tokens[_loanTokens[k]].balanceOf(who)) + int256(_supplied(m, p)) - int256(_debt(m, p));
        w.collateral += int256(_tokens[_collateralTokens[k]].balanceOf(who)) + int256(p.collateral);
    }

    /// A4 and A7 for one call without a liquidation: these accounts have no more afterwards than before, and less only
    /// by rounding. The views of an account's supply and debt are rounded, so each may be off by a unit.
    function _assertOnlyRoundingWasLost(uint256 k, Worth memory was, address one, address two) internal view {
        Worth memory w = _worth(k, one, two);
        int256 views = one == two ? int256(2) : int256(4);
        int256 grain = int256(_grain(plimsoll.market(_ids[k])));
        assertEq(w.collateral, was.collateral, "A4: collateral came from or went nowhere");
        assertLe(w.loan, was.loan + views, "A4: more came out than went in");
        assertGe(w.loan, was.loan - views - 2 * grain, "A7: more than rounding was lost");
    }
}
