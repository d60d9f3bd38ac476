// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {CommonBase} from "forge-std/Base.sol";
import {StdAssertions} from "forge-std/StdAssertions.sol";
import {StdCheats} from "forge-std/StdCheats.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {DebtMath} from "plimsoll/libraries/DebtMath.sol";
import {InterestMath} from "plimsoll/libraries/InterestMath.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {SurgeMath} from "plimsoll/libraries/SurgeMath.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {toRateCurve} from "plimsoll/types/RateCurve.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {TestToken} from "../support/TestToken.sol";
import {Actor} from "./Actor.sol";
import {StateFromEvents} from "./StateFromEvents.sol";
import {SeededRandom} from "./SeededRandom.sol";

/// @notice Fixture of the lending invariants: three tokens of 6, 18 and 8 decimals, three markets that share them (one
/// token is lent in two markets, another is lent in one and collateral in another, so that a leak between markets
/// shows), four accounts, and a backstop that covers two of the markets at first.
///
/// | market | lent | against | curve | liquidation LTV | fee | backstop | surge limit |
/// |---|---|---|---|---|---|---|---|
/// | 0 | dollars | ether | adaptive | 86 % | 10 % | at first | 300,000 and 25 % a day |
/// | 1 | ether | bitcoin | adaptive, as fast and steep as can be | 94.5 % | 25 % | not at first | none |
/// | 2 | dollars | bitcoin | kinked | 62.5 % | none at first | at first | none |
abstract contract LendingFixture is CommonBase, StdAssertions, StdCheats, SeededRandom {
    uint256 internal constant MARKETS = 3;
    uint256 internal constant TOKENS = 3;
    uint256 internal constant ACTORS = 4;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant ORACLE_SCALE = 1e36;
    uint256 internal constant MAX_AMOUNT = type(uint128).max;

    address internal immutable OWNER = makeAddr("owner");
    address internal immutable BACKSTOP = makeAddr("backstop");
    address internal immutable COLLECTOR = makeAddr("collector");
    address internal immutable DONOR = makeAddr("donor");

    IPlimsoll public plimsoll;
    StateFromEvents public rebuilt;
    Actor[ACTORS] internal _actors;
    TestToken[TOKENS] internal _tokens;
    /// @dev A thousand whole dollars, one ether, a tenth of a bitcoin: amounts are drawn up to some thousands of these.
    uint256[TOKENS] internal _scales;
    uint256[MARKETS] internal _loanTokens;
    uint256[MARKETS] internal _collateralTokens;
    MarketParams[MARKETS] internal _params;
    MarketId[MARKETS] internal _ids;
    TestOracle[MARKETS] internal _oracles;
    uint256[MARKETS] internal _startPrices;
    uint256[MARKETS] internal _prices;
    /// @dev At most `_prices`.
    uint256[MARKETS] internal _borrowPrices;
    /// @notice The current time: the test runner resets the block's time between the calls of a campaign.
    uint256 public clock;

    constructor() {
        clock = 1_700_000_000;
        vm.warp(clock);
        vm.recordLogs();
        plimsoll = IPlimsoll(deployCode("Plimsoll.sol:Plimsoll", abi.encode(OWNER)));
        rebuilt = new StateFromEvents(address(plimsoll));
        _tokens = [new TestToken("USD", 6), new TestToken("ETH", 18), new TestToken("BTC", 8)];
        _scales = [uint256(1_000e6), 1e18, 0.1e8];
        _createMarket(0, 0, 1, 2_000e6 * ORACLE_SCALE / 1e18);
        _createMarket(1, 1, 2, 15e18 * ORACLE_SCALE / 1e8);
        _createMarket(2, 0, 2, 30_000e6 * ORACLE_SCALE / 1e8);
        for (uint256 a; a < ACTORS; ++a) {
            _actors[a] = new Actor(plimsoll, _tokens);
        }
        for (uint256 t; t < TOKENS; ++t) {
            for (uint256 a; a < ACTORS; ++a) {
                _tokens[t].mint(address(_actors[a]), MAX_AMOUNT);
            }
            _tokens[t].mint(DONOR, MAX_AMOUNT);
            _tokens[t].mint(BACKSTOP, MAX_AMOUNT);
            vm.prank(BACKSTOP);
            _tokens[t].approve(address(plimsoll), type(uint256).max);
        }
        vm.startPrank(OWNER);
        plimsoll.setFee(_params[0], 1_000);
        plimsoll.setFee(_params[1], 2_500);
        for (uint256 k; k < MARKETS; ++k) {
            plimsoll.setFeeRecipient(_ids[k], COLLECTOR);
        }
        plimsoll.setBackstop(_ids[0], BACKSTOP);
        plimsoll.setBackstop(_ids[2], BACKSTOP);
        vm.stopPrank();
        rebuilt.applyLogs(vm.getRecordedLogs(), clock);
    }

    function _createMarket(uint256 k, uint256 loanToken, uint256 collateralToken, uint256 price) private {
        _loanTokens[k] = loanToken;
        _collateralTokens[k] = collateralToken;
        _startPrices[k] = _prices[k] = _borrowPrices[k] = price;
        _oracles[k] = new TestOracle(price);
        MarketParams storage params = _params[k];
        params.loanToken = address(_tokens[loanToken]);
        params.collateralToken = address(_tokens[collateralToken]);
        params.oracle = address(_oracles[k]);
        // The minimum debt of the last market is the lowest possible, where rounding has the largest effect.
        params.risk = [
            toRisk(8_000, 8_600, 100e6).withSurgeLimit(2_500, 1 days, 3_000),
            toRisk(9_150, 9_450, 0.05e18),
            toRisk(5_000, 6_250, 10_000)
        ][k];
        uint40 percent = uint40(0.01e18 / uint256(365 days));
        params.curve = [
            toRateCurve(4 * percent, 9_000, 40_000, 500_000),
            toRateCurve(2 * percent, 8_000, 100_000, 2_000_000),
            toRateCurve(10 * percent, 9_000, 30_000, 0)
        ][k];
        _ids[k] = plimsoll.createMarket(params);
    }

    /* ACCESSORS FOR TESTS */

    function actor(uint256 a) external view returns (address) {
        return address(_actors[a]);
    }

    function token(uint256 t) external view returns (TestToken) {
        return _tokens[t];
    }

    function id(uint256 k) external view returns (MarketId) {
        return _ids[k];
    }

    function paramsOf(uint256 k) external view returns (MarketParams memory) {
        return _params[k];
    }

    function backstop() external view returns (address) {
        return BACKSTOP;
    }

    /* VIEWS */

    /// @notice The market with its interest up to now.
    function _accrued(uint256 k) internal view returns (Market memory m) {
        m = plimsoll.market(_ids[k]);
        SurgeMath.refill(m, _params[k].risk, clock - m.lastUpdate);
        if (m.lastUpdate != clock) InterestMath.accrue(m, _params[k].curve, clock);
    }

    /// @notice The most that the surge limit lets anybody borrow now.
    function _surgeRoom(uint256 k, Market memory m) internal view returns (uint256) {
        if (_params[k].risk.surgePeriodSecs() == 0) return type(uint256).max;
        return SurgeMath.room(m, _params[k].risk);
    }

    function _position(uint256 k, address who) internal view returns (Position memory) {
        return plimsoll.position(_ids[k], who);
    }

    function _debt(Market memory m, Position memory p) internal pure returns (uint256) {
        return DebtMath.toDebtUp(p.borrowShares, m.borrowAssets, m.borrowShares);
    }

    function _supplied(Market memory m, Position memory p) internal pure returns (uint256) {
        return SharesMath.toAssetsDown(p.supplyShares, m.supplyAssets, m.supplyShares);
    }

    function _value(uint256 k, uint256 collateral) internal view returns (uint256) {
        return FixedPointMathLib.fullMulDiv(collateral, _prices[k], ORACLE_SCALE);
    }

    /// @notice The value that counts for borrowing and for withdrawing collateral.
    function _borrowValue(uint256 k, uint256 collateral) internal view returns (uint256) {
        return FixedPointMathLib.fullMulDiv(collateral, _borrowPrices[k], ORACLE_SCALE);
    }

    function _isHealthy(uint256 k, uint256 debt, uint256 collateral) internal view returns (bool) {
        return debt * BPS <= _value(k, collateral) * _params[k].risk.liquidationLtvBps();
    }

    function _isBroken(uint256 k) internal view returns (bool) {
        return _oracles[k].broken();
    }

    function _isUnhealthy(uint256 k, Market memory m, Position memory p) internal view returns (bool) {
        return p.borrowShares != 0 && !_isHealthy(k, _debt(m, p), p.collateral);
    }

    /// @notice The highest value of a share in units, which bounds the error of amounts that are rounded to shares.
    function _grain(Market memory m) internal pure returns (uint256 units) {
        units = (m.supplyAssets + 1) / (m.supplyShares + 1e6) + 1;
        if (m.borrowShares != 0) units += m.borrowAssets / m.borrowShares + 1;
    }

    /// @notice Whether a·b ≤ c·d, whatever they are.
    function _productLe(uint256 a, uint256 b, uint256 c, uint256 d) internal pure returns (bool) {
        (uint256 highAb, uint256 lowAb) = _product(a, b);
        (uint256 highCd, uint256 lowCd) = _product(c, d);
        return highAb < highCd || (highAb == highCd && lowAb <= lowCd);
    }

    function _product(uint256 a, uint256 b) private pure returns (uint256 high, uint256 low) {
        unchecked {
            uint256 mm = mulmod(a, b, type(uint256).max);
            low = a * b;
            high = mm - low - (mm < low ? 1 : 0);
        }
    }
}
