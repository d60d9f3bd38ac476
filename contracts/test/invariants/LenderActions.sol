// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {CallInvariants} from "./CallInvariants.sol";

/// @notice Supplies and withdrawals, by assets and by shares, for the caller and for others, with and without a
/// callback.
abstract contract LenderActions is CallInvariants {
    function _supply(uint256 k, address caller, address onBehalf) internal {
        Market memory m = _accrued(k);
        uint256 most = _mostSupply(k, m);
        uint256 least = SharesMath.toAssetsUp(1, m.supplyAssets, m.supplyShares);
        if (least > most) return _recordHit("a market that can take no supply any more");
        uint256 assets = _between(least, most);
        Before memory b = _before(k);
        Worth memory w = _worth(k, caller, onBehalf);
        if (_oneIn(2)) {
            bytes memory data = _maybeWithdrawInCallback(k, m, assets, caller, onBehalf);
            vm.prank(caller);
            plimsoll.supply(_params[k], assets, 0, onBehalf, data);
        } else {
            uint256 shares = SharesMath.toSharesDown(assets, m.supplyAssets, m.supplyShares);
            vm.prank(caller);
            plimsoll.supply(_params[k], 0, shares, onBehalf, "");
            _recordHit("supply by shares");
        }
        _after(b, address(0));
        _assertOnlyRoundingWasLost(k, w, caller, onBehalf);
        _recordHit(_isBroken(k) ? "supply while the oracle is broken" : "supply");
    }

    function _withdraw(uint256 k, address caller, address onBehalf, address receiver) internal {
        Market memory m = _accrued(k);
        uint256 held = _position(k, onBehalf).supplyShares;
        bool byShares = _oneIn(2);
        uint256 amount = byShares ? _mostShares(m, held) : _mostAssets(m, held);
        if (amount == 0) return;
        amount = _between(1, amount);

        Before memory b = _before(k);
        Worth memory w = _worth(k, onBehalf, receiver);
        vm.prank(caller);
        (, uint256 shares) =
            plimsoll.withdraw(_params[k], byShares ? 0 : amount, byShares ? amount : 0, onBehalf, receiver);
        _after(b, onBehalf);
        assertEq(_position(k, onBehalf).supplyShares, held - shares, "I2: just the shares that it said");
        _assertOnlyRoundingWasLost(k, w, onBehalf, receiver);
        if (byShares) _recordHit("withdrawal by shares");
        _recordHit(_isBroken(k) ? "withdrawal while the oracle is broken" : "withdrawal");
    }

    function _transferSupply(uint256 k, address caller, address onBehalf, address receiver) internal {
        uint256 held = _position(k, onBehalf).supplyShares;
        if (held == 0) return;
        uint256 shares = _between(1, held);
        Before memory b = _before(k);
        Worth memory w = _worth(k, onBehalf, receiver);
        uint256 lastUpdate = plimsoll.market(_ids[k]).lastUpdate;
        vm.prank(caller);
        plimsoll.transferSupply(_ids[k], shares, onBehalf, receiver);
        _after(b, onBehalf);
        assertEq(plimsoll.market(_ids[k]).lastUpdate, lastUpdate, "a transfer of supply accrued");
        _assertOnlyRoundingWasLost(k, w, onBehalf, receiver);
        bool stuck = b.market.borrowAssets == b.market.supplyAssets;
        _recordHit(stuck ? "supply transferred without liquidity" : "supply transferred");
    }

    /// @dev The most assets that the shares and the market's liquidity allow.
    function _mostAssets(Market memory m, uint256 held) private pure returns (uint256) {
        uint256 assets = SharesMath.toAssetsDown(held, m.supplyAssets, m.supplyShares);
        return FixedPointMathLib.min(assets, m.supplyAssets - m.borrowAssets);
    }

    /// @dev The most shares for which the market has the assets.
    function _mostShares(Market memory m, uint256 held) private pure returns (uint256) {
        uint256 liquidity = m.supplyAssets - m.borrowAssets;
        if (SharesMath.toAssetsDown(held, m.supplyAssets, m.supplyShares) <= liquidity) return held;
        uint256 shares = SharesMath.toSharesUp(liquidity, m.supplyAssets, m.supplyShares);
        bool tooMany = SharesMath.toAssetsDown(shares, m.supplyAssets, m.supplyShares) > liquidity;
        return tooMany ? shares - 1 : shares;
    }

    function _collectReserve(uint256 k) internal {
        Before memory b = _before(k);
        vm.prank(COLLECTOR);
        uint256 assets = plimsoll.collectReserve(_params[k]);
        _after(b, address(0));
        Market memory m = plimsoll.market(_ids[k]);
        // H7: the remaining reserve is at least the floor, if anything was collected.
        uint256 left = SharesMath.toAssetsDown(m.reserveShares, m.supplyAssets, m.supplyShares);
        if (assets != 0) {
            assertGe((left + 1) * 100, m.borrowAssets, "H7: the reserve went below its floor");
            _recordHit("reserve collected");
        }
    }

    /// @dev The assets withdrawn in the callback are part of those being supplied.
    function _maybeWithdrawInCallback(uint256 k, Market memory m, uint256 assets, address caller, address onBehalf)
        private
        returns (bytes memory)
    {
        uint256 here = _tokens[_loanTokens[k]].balanceOf(address(plimsoll));
        uint256 most = FixedPointMathLib.min(assets / 2, here);
        if (caller != onBehalf || assets < 4 * _grain(m) || most == 0 || _oneIn(2)) return "";
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IPlimsoll.withdraw, (_params[k], _between(1, most), 0, caller, caller));
        _recordHit("withdrawal in the callback of a supply");
        return abi.encode(calls);
    }

    /// @dev Up to some thousands of the token's scale, as far as the market's shares fit.
    function _mostSupply(uint256 k, Market memory m) internal view returns (uint256) {
        uint256 room = MAX_AMOUNT - SharesMath.VIRTUAL_SHARES - m.supplyShares;
        uint256 fits = SharesMath.toAssetsDown(room, m.supplyAssets, m.supplyShares);
        fits = FixedPointMathLib.min(fits, MAX_AMOUNT - m.supplyAssets);
        return FixedPointMathLib.min(fits, _scales[_loanTokens[k]] * 5_000);
    }
}
