// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Market} from "plimsoll/types/Market.sol";
import {BorrowerActions} from "./BorrowerActions.sol";
import {LenderActions} from "./LenderActions.sol";
import {LiquidatorActions} from "./LiquidatorActions.sol";
import {EnvironmentActions} from "./EnvironmentActions.sol";

/// @notice The actions of a campaign, one function each. The seed determines accounts, market, amounts and variant;
/// every call is bounded so that it must succeed, or must revert with the expected error.
contract LendingHandler is LenderActions, BorrowerActions, LiquidatorActions, EnvironmentActions {
    /// @dev Sets the block's time, and derives all choices from the seed.
    modifier seeded(uint256 seed) {
        vm.warp(clock);
        _setSeed(seed);
        _;
    }

    function supply(uint256 seed) external seeded(seed) {
        address caller = _anybody();
        _supply(_market(), caller, _oneIn(3) ? _anybody() : caller);
    }

    function withdraw(uint256 seed) external seeded(seed) {
        (address caller, address onBehalf) = _entitled();
        _withdraw(_market(), caller, onBehalf, _oneIn(3) ? _anybody() : onBehalf);
    }

    function transferSupply(uint256 seed) external seeded(seed) {
        (address caller, address onBehalf) = _entitled();
        _transferSupply(_market(), caller, onBehalf, _anybody());
    }

    function supplyCollateral(uint256 seed) external seeded(seed) {
        address caller = _anybody();
        _supplyCollateral(_market(), caller, _oneIn(3) ? _anybody() : caller);
    }

    function withdrawCollateral(uint256 seed) external seeded(seed) {
        (address caller, address onBehalf) = _entitled();
        _withdrawCollateral(_market(), caller, onBehalf, _oneIn(3) ? _anybody() : onBehalf);
    }

    function borrow(uint256 seed) external seeded(seed) {
        (address caller, address onBehalf) = _entitled();
        _borrow(_market(), caller, onBehalf, _oneIn(3) ? _anybody() : onBehalf);
    }

    function openLoan(uint256 seed) external seeded(seed) {
        uint256 k = _market();
        Market memory m = _accrued(k);
        if (m.supplyAssets - m.borrowAssets < _scales[_loanTokens[k]]) _supply(k, _anybody(), _anybody());
        _openLoan(k, _anybody());
    }

    function repay(uint256 seed) external seeded(seed) {
        address caller = _anybody();
        uint256 k = _market();
        if (_oneIn(5)) return _repayAllBehindDust(k, caller, _anybody(), _anybody());
        _repay(k, caller, _oneIn(3) ? _anybody() : caller);
    }

    function deleverage(uint256 seed) external seeded(seed) {
        (address caller, address onBehalf) = _entitled();
        _deleverage(_market(), caller, onBehalf, _oneIn(3) ? _anybody() : onBehalf);
    }

    function liquidate(uint256 seed) external seeded(seed) {
        _liquidate(_market(), _anybody());
    }

    function crashAndLiquidate(uint256 seed) external seeded(seed) {
        uint256 k = _market();
        _oracles[k].setBroken(false);
        _moveToThreshold(k, _anybody());
        for (uint256 n = 1 + _below(3); n != 0; --n) {
            _liquidate(k, _anybody());
        }
        // Otherwise all later loans would be opened at the crashed price.
        if (!_oneIn(4)) _movePrice(k);
    }

    function accrue(uint256 seed) external seeded(seed) {
        Before memory b = _before(_market());
        plimsoll.accrue(_params[b.k]);
        _after(b, address(0));
    }

    function passTime(uint256 seed) external seeded(seed) {
        _passTime();
    }

    function movePrice(uint256 seed) external seeded(seed) {
        _movePrice(_market());
    }

    function breakOrMendOracle(uint256 seed) external seeded(seed) {
        _breakOrMendOracle(_market());
    }

    function collectReserve(uint256 seed) external seeded(seed) {
        _collectReserve(_market());
    }

    function moveCover(uint256 seed) external seeded(seed) {
        _moveCover(_market());
    }

    function environmentAction(uint256 seed) external seeded(seed) {
        uint256 way = _below(6);
        if (way == 0) _donate(_below(TOKENS));
        else if (way == 1) _flashLoan(_below(TOKENS), _anybody());
        else if (way == 2) _setFee(_market());
        else if (way == 3) _setBackstop(_market());
        else if (way == 4) _authorize(_anybody(), _anybody());
        else _actUnauthorised(_market(), _anybody(), _anybody());
    }

    /// A4: two accounts together do anything but liquidate, in one market or several, at one time and price; in no
    /// token do they end with more than before.
    function roundTrip(uint256 seed) external seeded(seed) {
        uint256 first = _below(ACTORS);
        address one = address(_actors[first]);
        address two = address(_actors[(first + 1) % ACTORS]);
        int256[TOKENS] memory was = _totalWorth(one, two);
        for (uint256 n = 3 + _below(6); n != 0; --n) {
            _anyStep(_market(), _oneIn(2) ? one : two, _oneIn(2) ? one : two);
        }
        int256[TOKENS] memory now_ = _totalWorth(one, two);
        for (uint256 t; t < TOKENS; ++t) {
            // The views of each supply and debt are rounded: 2 accounts, 2 views, at most 2 markets that lend a token.
            assertLe(now_[t], was[t] + 8, "A4: a round trip paid");
        }
        _recordHit("round trip");
    }

    function _anyStep(uint256 k, address who, address other) private {
        uint256 way = _below(10);
        if (way == 0) _supply(k, who, other);
        else if (way == 1) _withdraw(k, who, who, other);
        else if (way == 2) _supplyCollateral(k, who, other);
        else if (way == 3) _withdrawCollateral(k, who, who, other);
        else if (way == 4) _borrow(k, who, who, other);
        else if (way == 5) _repay(k, who, other);
        else if (way == 6) _openLoan(k, who);
        else if (way == 7) _transferSupply(k, who, who, other);
        else if (way == 8) _deleverage(k, who, who, other);
        else _flashLoan(_below(TOKENS), who);
    }

    /// @dev The amount of each token that two accounts would have if they closed all positions.
    function _totalWorth(address one, address two) private view returns (int256[TOKENS] memory sums) {
        for (uint256 t; t < TOKENS; ++t) {
            sums[t] = int256(_tokens[t].balanceOf(one)) + int256(_tokens[t].balanceOf(two));
        }
        for (uint256 k; k < MARKETS; ++k) {
            Worth memory w = _worth(k, one, two);
            uint256 loan = _loanTokens[k];
            uint256 collateral = _collateralTokens[k];
            sums[loan] += w.loan - int256(_tokens[loan].balanceOf(one)) - int256(_tokens[loan].balanceOf(two));
            sums[collateral] += w.collateral - int256(_tokens[collateral].balanceOf(one))
            - int256(_tokens[collateral].balanceOf(two));
        }
    }

    /* RANDOM ACCOUNTS AND MARKETS */

    function _market() private returns (uint256) {
        return _below(MARKETS);
    }

    function _anybody() private returns (address) {
        return address(_actors[_below(ACTORS)]);
    }

    /// @notice A caller, and an account on whose behalf it may act: itself, or one that authorised it.
    function _entitled() private returns (address caller, address onBehalf) {
        onBehalf = _anybody();
        caller = _anybody();
        if (caller == onBehalf) return (caller, onBehalf);
        if (plimsoll.authorizationExpiry(onBehalf, caller) >= clock) _recordHit("acting for another by authorisation");
        else caller = onBehalf;
    }
}
