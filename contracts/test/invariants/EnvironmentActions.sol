// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {CallInvariants} from "./CallInvariants.sol";

/// @notice Actions from outside the markets: time, prices, donations, flash loans, the owner and the backstop.
abstract contract EnvironmentActions is CallInvariants {
    /* TIME AND PRICES */

    function _passTime() internal {
        uint256 way = _below(8);
        uint256 most = 1 hours;
        if (way > 2) most = 1 days;
        if (way > 4) most = 30 days;
        if (way == 7 && _oneIn(6)) most = 4 * 365 days;
        if (most > 365 days) _recordHit("years without a call");
        clock += _between(1, most);
        vm.warp(clock);
    }

    /// @dev The price remains between a thousandth and eight times the initial price.
    function _movePrice(uint256 k) internal {
        uint256 price = _prices[k] * _between(700, 1_400) / 1_000;
        if (_oneIn(20)) price = _prices[k] / 20;
        if (_oneIn(3)) price = _startPrices[k];
        _setPrice(k, FixedPointMathLib.clamp(price, _startPrices[k] / 1_000, _startPrices[k] * 8));
    }

    /// @notice Moves the price so that the value of an account's collateral is near a threshold: of health 1, of the
    /// debt, far below it, or of 0.
    function _moveToThreshold(uint256 k, address who) internal {
        Position memory p = _position(k, who);
        if (p.borrowShares == 0 || p.collateral == 0) return;
        uint256 debt = _debt(_accrued(k), p);
        uint256 way = _below(8);
        uint256 valueBps = _between(1_000, 14_000);
        if (way < 3) valueBps = _between(9_700, 10_080) * BPS / _params[k].risk.liquidationLtvBps();
        else if (way < 5) valueBps = _between(9_950, 10_900);
        else if (way == 5) valueBps = _oneIn(2) ? 0 : _below(100);
        uint256 price = FixedPointMathLib.fullMulDiv(debt * valueBps / BPS, ORACLE_SCALE, p.collateral);
        _setPrice(k, FixedPointMathLib.min(price, type(uint128).max * (ORACLE_SCALE / 1e9)));
    }

    /// @dev In half of all cases the borrow price is below the liquidation price.
    function _setPrice(uint256 k, uint256 price) private {
        _prices[k] = FixedPointMathLib.max(price, 1);
        uint256 lower = FixedPointMathLib.fullMulDiv(_prices[k], _between(500, 1_000), 1_000);
        _borrowPrices[k] = _oneIn(2) ? _prices[k] : FixedPointMathLib.max(lower, 1);
        _oracles[k].setBoth(_prices[k], _borrowPrices[k]);
    }

    function _breakOrMendOracle(uint256 k) internal {
        // Broken oracles are repaired sooner than others break, since few actions are possible otherwise.
        if (_isBroken(k) || _oneIn(4)) _oracles[k].setBroken(!_isBroken(k));
    }

    /* DONATIONS AND FLASH LOANS */

    /// @notice What was given to the core of each token, which belongs to nobody.
    uint256[TOKENS] public gifts;

    /// A6: tokens sent to the core change no state.
    function _donate(uint256 t) internal {
        Before memory b = _before(_below(MARKETS));
        uint256 gift = _between(1, _scales[t] * 100);
        gifts[t] += gift;
        vm.prank(DONOR);
        _tokens[t].transfer(address(plimsoll), gift);
        assertEq(abi.encode(_accrued(b.k)), abi.encode(b.market), "A6: a gift changed a market");
        _after(b, address(0));
        _recordHit("donation");
    }

    /// @dev Lends up to the balance, and uses the market during the loan.
    function _flashLoan(uint256 t, address who) internal {
        uint256 available = plimsoll.maxFlashLoan(address(_tokens[t]));
        if (available == 0) return;
        uint256 k = t == 0 ? 0 : 1;
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IPlimsoll.accrue, (_params[k]));
        calls[1] = abi.encodeCall(IPlimsoll.supplyCollateral, (_params[k], 1, who, ""));
        Before memory b = _before(k);
        Worth memory w = _worth(k, who, who);
        uint256 held = _tokens[t].balanceOf(who);
        vm.prank(who);
        plimsoll.flashLoan(who, address(_tokens[t]), _between(1, available), abi.encode(calls));
        assertEq(plimsoll.maxFlashLoan(address(_tokens[t])), available + (_collateralTokens[k] == t ? 1 : 0));
        assertEq(_tokens[t].balanceOf(who), held - (_collateralTokens[k] == t ? 1 : 0));
        _after(b, address(0));
        _assertOnlyRoundingWasLost(k, w, who, who);
        _recordHit("flash loan");
    }

    /* OWNER, BACKSTOP AND RIGHTS */

    function _setFee(uint256 k) internal {
        uint256 feeBps = _between(0, 2_500);
        Before memory b = _before(k);
        vm.prank(OWNER);
        plimsoll.setFee(_params[k], feeBps);
        _after(b, address(0));
        assertEq(plimsoll.market(_ids[k]).feeBps, feeBps);
    }

    function _setBackstop(uint256 k) internal {
        Before memory b = _before(k);
        vm.prank(OWNER);
        plimsoll.setBackstop(_ids[k], _oneIn(3) ? address(0) : BACKSTOP);
        _after(b, address(0));
    }

    function _moveCover(uint256 k) internal {
        uint256 t = _loanTokens[k];
        uint256 covered = plimsoll.cover(BACKSTOP, address(_tokens[t]));
        vm.recordLogs();
        vm.startPrank(BACKSTOP);
        uint256 way = _below(4);
        if (way == 0) plimsoll.depositCover(address(_tokens[t]), _between(1, _scales[t] * 100));
        else if (way == 1 && covered != 0) plimsoll.withdrawCover(address(_tokens[t]), _between(1, covered), BACKSTOP);
        else if (way == 2) plimsoll.setCoverFloor(address(_tokens[t]), _between(0, covered / 2));
        else plimsoll.setCoverLimit(_ids[k], _between(0, _scales[t] * 200));
        vm.stopPrank();
        rebuilt.applyLogs(vm.getRecordedLogs(), clock);
    }

    function _authorize(address who, address authorized) internal {
        vm.recordLogs();
        vm.prank(who);
        plimsoll.setAuthorization(authorized, _oneIn(3) ? 0 : clock + _between(0, 30 days));
        rebuilt.applyLogs(vm.getRecordedLogs(), clock);
    }

    /// I2: without an authorisation no account withdraws or borrows on behalf of another.
    function _actUnauthorised(uint256 k, address intruder, address victim) internal {
        if (intruder == victim || plimsoll.authorizationExpiry(victim, intruder) >= clock) return;
        bytes[5] memory verbs = [
            abi.encodeCall(IPlimsoll.withdraw, (_params[k], 0, 1, victim, intruder)),
            abi.encodeCall(IPlimsoll.transferSupply, (_ids[k], 1, victim, intruder)),
            abi.encodeCall(IPlimsoll.withdrawCollateral, (_params[k], 1, victim, intruder)),
            abi.encodeCall(IPlimsoll.borrow, (_params[k], 1e9, 0, victim, intruder)),
            abi.encodeCall(IPlimsoll.deleverage, (_params[k], MAX_AMOUNT, 1, victim, intruder, ""))
        ];
        vm.prank(intruder);
        (bool done, bytes memory why) = address(plimsoll).call(verbs[_below(5)]);
        assertFalse(done, "I2: somebody acted for another without leave");
        assertEq(bytes4(why), IPlimsoll.Unauthorized.selector);
        _recordHit("unauthorised call refused");
    }
}
