// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {DebtMath} from "plimsoll/libraries/DebtMath.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {CallInvariants} from "./CallInvariants.sol";

/// @notice Collateral and debt, by assets and by shares, for oneself and for others, with and without a callback.
abstract contract BorrowerActions is CallInvariants {
    function _supplyCollateral(uint256 k, address caller, address onBehalf) internal {
        uint256 assets = _between(1, _scales[_collateralTokens[k]] * 100);
        uint256 was = _position(k, onBehalf).collateral;
        Before memory b = _before(k);
        Worth memory w = _worth(k, caller, onBehalf);
        vm.prank(caller);
        plimsoll.supplyCollateral(_params[k], assets, onBehalf, "");
        _after(b, address(0));
        assertEq(_position(k, onBehalf).collateral, was + assets);
        _assertOnlyRoundingWasLost(k, w, caller, onBehalf);
        _recordHit(_isBroken(k) ? "collateral supplied while the oracle is broken" : "collateral supplied");
    }

    function _withdrawCollateral(uint256 k, address caller, address onBehalf, address receiver) internal {
        Market memory m = _accrued(k);
        Position memory p = _position(k, onBehalf);
        if (p.borrowShares != 0 && _isBroken(k)) return _mustNotLowerHealthBlindly(k, onBehalf, p.collateral);
        uint256 debt = _debt(m, p);
        uint256 needed = _collateralFor(k, debt);
        if (p.collateral <= needed) return;
        if (debt != 0 && debt < _params[k].risk.minDebt()) return _mustNotLeaveDust(k, onBehalf, debt);

        if (debt != 0) _mustNotPassTheBorrowPrice(k, onBehalf, p.collateral - needed + 1);
        Before memory b = _before(k);
        Worth memory w = _worth(k, onBehalf, receiver);
        uint256 assets = _between(1, p.collateral - needed);
        vm.prank(caller);
        plimsoll.withdrawCollateral(_params[k], assets, onBehalf, receiver);
        _after(b, onBehalf);
        assertEq(_position(k, onBehalf).collateral, p.collateral - assets);
        _assertCarriedAtBorrowLtv(k, onBehalf);
        _assertOnlyRoundingWasLost(k, w, onBehalf, receiver);
        if (p.borrowShares != 0) _recordHit("collateral withdrawn from under a debt");
        else if (_isBroken(k)) _recordHit("collateral withdrawn while the oracle is broken");
    }

    /// @notice The accounts of a borrowing: caller, borrower and receiver.
    struct Borrowing {
        address caller;
        address onBehalf;
        address receiver;
        uint256 assets;
        uint256 shares;
        bool byShares;
    }

    function _borrow(uint256 k, address caller, address onBehalf, address receiver) internal {
        if (_isBroken(k)) return _mustNotBorrowBlindly(k, onBehalf);
        (uint256 least, uint256 most) = _borrowRange(k, onBehalf);
        _mustNotPassTheSurgeLimit(k, onBehalf);
        if (least > most) return;
        _borrow(k, Borrowing(caller, onBehalf, receiver, _between(least, most), 0, _oneIn(2)));
    }

    function _borrow(uint256 k, Borrowing memory x) private {
        Before memory b = _before(k);
        Worth memory w = _worth(k, x.onBehalf, x.receiver);
        uint256 shares = _position(k, x.onBehalf).borrowShares;
        if (x.byShares) {
            (x.assets, x.shares) = (0, DebtMath.toDebtSharesUp(x.assets, b.market.borrowAssets, b.market.borrowShares));
            _recordHit("borrowing by shares");
        }
        vm.prank(x.caller);
        (, uint256 taken) = plimsoll.borrow(_params[k], x.assets, x.shares, x.onBehalf, x.receiver);
        _after(b, x.onBehalf);
        if (x.byShares) assertLe(taken, x.shares, "A7: more shares than were asked for");
        assertEq(_position(k, x.onBehalf).borrowShares, shares + taken);
        _assertCarriedAtBorrowLtv(k, x.onBehalf);
        uint256 debt = _debt(plimsoll.market(_ids[k]), _position(k, x.onBehalf));
        assertGe(debt, _params[k].risk.minDebt(), "H5: a debt below the smallest");
        _assertOnlyRoundingWasLost(k, w, x.onBehalf, x.receiver);
        _recordHit("borrowing");
    }

    /// @dev Rounding of the debt, and of shares to units, may cost two grains.
    function _borrowRange(uint256 k, address onBehalf) private view returns (uint256 least, uint256 most) {
        Market memory m = _accrued(k);
        Position memory p = _position(k, onBehalf);
        least = _leastBorrow(k, m, p);
        uint256 carried = _borrowValue(k, p.collateral) * _params[k].risk.borrowLtvBps() / BPS;
        uint256 room = FixedPointMathLib.zeroFloorSub(carried, _debt(m, p) + 2 * _grain(m));
        most = FixedPointMathLib.min(room, m.supplyAssets - m.borrowAssets);
        most = FixedPointMathLib.min(most, _surgeRoom(k, m));
    }

    /// @dev The least borrowing that reaches the minimum debt and the fewest shares of debt.
    function _leastBorrow(uint256 k, Market memory m, Position memory p) private view returns (uint256) {
        uint256 missing = FixedPointMathLib.zeroFloorSub(_params[k].risk.minDebt(), _debt(m, p));
        uint256 missingShares = FixedPointMathLib.zeroFloorSub(DebtMath.MIN_SHARES, p.borrowShares);
        if (m.borrowShares == 0) return missing + 1;
        return FixedPointMathLib.max(missing, DebtMath.toDebtUp(missingShares, m.borrowAssets, m.borrowShares)) + 1;
    }

    function _repay(uint256 k, address caller, address onBehalf) internal {
        Market memory m = _accrued(k);
        Position memory p = _position(k, onBehalf);
        if (p.borrowShares == 0) return;
        uint256 debt = _debt(m, p);
        uint256 assets;
        uint256 shares;
        // The fewest shares that a loan has are repaid together.
        uint256 way = p.borrowShares <= DebtMath.MIN_SHARES ? 3 : _below(4);
        if (way == 0) shares = _between(1, p.borrowShares);
        else if (way == 1) shares = _oneIn(2) ? type(uint256).max : 1;
        else if (way == 2) assets = _between(_grain(m), FixedPointMathLib.max(_grain(m), debt));
        else assets = debt + _between(0, debt);

        Before memory b = _before(k);
        Worth memory w = _worth(k, caller, onBehalf);
        bytes memory data = _maybeWithdrawInCallback(k, p, caller, onBehalf, assets >= debt || shares >= p.borrowShares);
        vm.prank(caller);
        (assets, shares) = plimsoll.repay(_params[k], assets, shares, onBehalf, data);
        _after(b, data.length == 0 ? address(0) : onBehalf);
        assertEq(_position(k, onBehalf).borrowShares, p.borrowShares - shares);
        assertLe(assets, debt, "nobody repays more than is owed");
        _assertOnlyRoundingWasLost(k, w, caller, onBehalf);
        if (shares != p.borrowShares) _recordHit("repayment in part");
        else _recordHit(_isBroken(k) ? "repayment in full while the oracle is broken" : "repayment in full");
    }

    /// @dev In the callback of a full repayment the collateral is withdrawn before the repayment is pulled, which
    /// elsewhere needs a flash loan.
    function _maybeWithdrawInCallback(uint256 k, Position memory p, address caller, address onBehalf, bool all)
        private
        returns (bytes memory)
    {
        if (!all || caller != onBehalf || p.collateral == 0 || _oneIn(2)) return "";
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IPlimsoll.withdrawCollateral, (_params[k], p.collateral, caller, caller));
        _recordHit("collateral withdrawn in the callback of its repayment");
        return abi.encode(calls);
    }

    /// H2, H5: a part of the debt for at most the same part of the collateral, whatever the price and its oracle.
    function _deleverage(uint256 k, address caller, address onBehalf, address receiver) internal {
        Market memory m = _accrued(k);
        Position memory p = _position(k, onBehalf);
        if (p.borrowShares == 0 || p.collateral == 0) return;
        uint256 debt = _debt(m, p);
        if (_oneIn(3)) return _deleverage(k, caller, onBehalf, receiver, debt + _between(0, debt), p.collateral);

        uint256 kept = _params[k].risk.minDebt() + 2 * _grain(m);
        if (debt <= kept) return;
        uint256 assets = _between(1, debt - kept);
        uint256 shares = DebtMath.toDebtSharesDown(assets, m.borrowAssets, m.borrowShares);
        uint256 most = p.collateral * shares / p.borrowShares;
        if (most == 0 || shares + DebtMath.MIN_SHARES > p.borrowShares) return;
        if (most < p.collateral) {
            vm.prank(caller);
            vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotProportional.selector, most + 1, most));
            plimsoll.deleverage(_params[k], assets, most + 1, onBehalf, receiver, "");
            _recordHit("more collateral refused than the part that is repaid");
        }
        _deleverage(k, caller, onBehalf, receiver, assets, most);
    }

    function _deleverage(uint256 k, address caller, address onBehalf, address receiver, uint256 assets, uint256 most)
        private
    {
        Position memory was = _position(k, onBehalf);
        Before memory b = _before(k);
        Worth memory w = _worth(k, caller, onBehalf);
        uint256 out = _between(1, most);
        vm.prank(caller);
        plimsoll.deleverage(_params[k], assets, out, onBehalf, receiver, "");
        _after(b, onBehalf);
        Position memory p = _position(k, onBehalf);
        assertEq(p.collateral, was.collateral - out);
        if (p.borrowShares == 0) {
            _recordHit("deleveraging of the whole debt");
        } else {
            uint256 debt = _debt(plimsoll.market(_ids[k]), p);
            assertGe(debt, _params[k].risk.minDebt(), "H5: a deleveraging left dust");
            // Seen rounded up, both debts are off by up to a unit.
            assertTrue(_productLe(was.collateral, debt - 1, p.collateral, _debt(b.market, was)), "H2: health fell");
            _recordHit("deleveraging of a part");
        }
        if (_isBroken(k)) _recordHit("deleveraging while the oracle is broken");
        else if (_isUnhealthy(k, b.market, was)) _recordHit("deleveraging of a liquidatable loan");
        if (receiver == caller || receiver == onBehalf) _assertOnlyRoundingWasLost(k, w, caller, onBehalf);
    }

    /// L2: dust is repaid by another account ahead of a full repayment, by assets or by shares; the full repayment
    /// succeeds.
    function _repayAllBehindDust(uint256 k, address meddler, address payer, address onBehalf) internal {
        Market memory m = _accrued(k);
        uint256 shares = _position(k, onBehalf).borrowShares;
        if (shares <= DebtMath.MIN_SHARES) return;
        uint256 seen = _debt(m, _position(k, onBehalf));
        Before memory b = _before(k);
        vm.prank(meddler);
        plimsoll.repay(_params[k], 0, _between(1, FixedPointMathLib.min(shares, 1e6)), onBehalf, "");
        vm.prank(payer);
        if (_oneIn(2)) plimsoll.repay(_params[k], seen, 0, onBehalf, "");
        else plimsoll.repay(_params[k], 0, shares, onBehalf, "");
        _after(b, address(0));
        assertEq(_position(k, onBehalf).borrowShares, 0, "L2: a dust ahead kept a loan from being paid off");
        _recordHit("repayment in full behind dust");
    }

    /// @dev Collateral out of nothing: it is supplied with a callback that borrows against it.
    function _openLoan(uint256 k, address who) internal {
        Before memory b = _before(k);
        uint256 liquidity = b.market.supplyAssets - b.market.borrowAssets;
        liquidity = FixedPointMathLib.min(liquidity, _surgeRoom(k, b.market));
        uint256 least = _leastBorrow(k, b.market, _position(k, who));
        if (_isBroken(k) || liquidity < least) return;
        uint256 assets = _between(least, FixedPointMathLib.min(liquidity, least + _scales[_loanTokens[k]] * 500));
        uint256 added = _collateralMissing(k, who, assets + 2 * _grain(b.market));
        // Half of all loans are as large as the collateral allows.
        if (_oneIn(2)) added += _between(0, added);
        if (_tokens[_collateralTokens[k]].balanceOf(who) < added) return;

        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IPlimsoll.borrow, (_params[k], assets, 0, who, who));
        Worth memory w = _worth(k, who, who);
        vm.prank(who);
        plimsoll.supplyCollateral(_params[k], added, who, abi.encode(calls));
        _after(b, who);
        _assertCarriedAtBorrowLtv(k, who);
        _assertOnlyRoundingWasLost(k, w, who, who);
        _recordHit("loan opened in the callback of its collateral");
    }

    /// @dev For this much more debt; at least a unit.
    function _collateralMissing(uint256 k, address who, uint256 moreDebt) private view returns (uint256) {
        Position memory p = _position(k, who);
        uint256 needed = _collateralFor(k, _debt(_accrued(k), p) + moreDebt);
        return needed > p.collateral ? needed - p.collateral : 1;
    }

    /* H2, S2 */

    /// @dev A unit more than the room, where there is liquidity for it.
    function _mustNotPassTheSurgeLimit(uint256 k, address who) private {
        Market memory m = _accrued(k);
        uint256 room = _surgeRoom(k, m);
        if (m.supplyAssets - m.borrowAssets <= room) return;
        vm.prank(who);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.SurgeLimitExceeded.selector, room + 1, room));
        plimsoll.borrow(_params[k], room + 1, 0, who, who);
        _recordHit("borrowing refused by the surge limit");
    }

    function _assertCarriedAtBorrowLtv(uint256 k, address who) private view {
        Market memory m = _accrued(k);
        Position memory p = _position(k, who);
        uint256 debt = _debt(m, p);
        if (debt == 0) return;
        uint256 carried = _borrowValue(k, p.collateral) * _params[k].risk.borrowLtvBps();
        assertLe(debt * BPS, carried, "H2: more debt than is carried");
    }

    function _mustNotBorrowBlindly(uint256 k, address who) private {
        vm.prank(who);
        try plimsoll.borrow(_params[k], _params[k].risk.minDebt(), 0, who, who) {
            assertTrue(false, "borrowed while the oracle was broken");
        } catch (bytes memory why) {
            bytes4 cause = bytes4(why);
            bool refusedBefore =
                cause == IPlimsoll.InsufficientLiquidity.selector || cause == IPlimsoll.SurgeLimitExceeded.selector;
            assertTrue(cause == TestOracle.Broken.selector || refusedBefore);
            if (cause == TestOracle.Broken.selector) _recordHit("borrowing refused while the oracle is broken");
        }
    }

    function _mustNotLowerHealthBlindly(uint256 k, address who, uint256 collateral) private {
        if (collateral == 0) return;
        vm.prank(who);
        try plimsoll.withdrawCollateral(_params[k], 1, who, who) {
            assertTrue(false, "collateral left a debt while the oracle was broken");
        } catch (bytes memory why) {
            bytes4 cause = bytes4(why);
            assertTrue(cause == TestOracle.Broken.selector || cause == IPlimsoll.DebtTooSmall.selector);
            if (cause == TestOracle.Broken.selector) {
                _recordHit("withdrawal of collateral refused while the oracle is broken");
            }
        }
    }

    /// @dev H2: a unit of collateral more than the borrow price frees.
    function _mustNotPassTheBorrowPrice(uint256 k, address who, uint256 assets) private {
        vm.prank(who);
        vm.expectPartialRevert(IPlimsoll.Unhealthy.selector);
        plimsoll.withdrawCollateral(_params[k], assets, who, who);
        if (_borrowPrices[k] < _prices[k]) _recordHit("collateral held by the borrow price, the lower of two");
    }

    /// @dev H5: the collateral of a debt below the minimum stays.
    function _mustNotLeaveDust(uint256 k, address who, uint256 debt) private {
        vm.prank(who);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.DebtTooSmall.selector, debt, _params[k].risk.minDebt()));
        plimsoll.withdrawCollateral(_params[k], 1, who, who);
        _recordHit("withdrawal of collateral refused to a debt below the minimum");
    }

    /// @notice The least collateral that carries a debt at the borrow LTV.
    function _collateralFor(uint256 k, uint256 debt) internal view returns (uint256) {
        uint256 value = FixedPointMathLib.divUp(debt * BPS, _params[k].risk.borrowLtvBps());
        return FixedPointMathLib.fullMulDivUp(value, ORACLE_SCALE, _borrowPrices[k]);
    }
}
