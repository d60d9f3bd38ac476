// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {IChainlinkOracle} from "../../interfaces/IChainlinkOracle.sol";
import {IUniswapV3Observer} from "../../interfaces/IUniswapV3Observer.sol";
import {PriceMath} from "./PriceMath.sol";

/// @title Uniswap V3 average price library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Computes a pool's time-weighted average price in the oracle's scale. It is never above the pool's geometric
/// average over the window: every rounding, that of the average tick included, is against the collateral.
library UniswapV3Twap {
    uint256 internal constant MIN_WINDOW_SECS = 300;
    uint256 internal constant MAX_WINDOW_SECS = 1 days;
    uint256 internal constant MAX_BLOCK_SECS = 60;
    /// @dev Rounding alone causes a deviation of up to 2 basis points.
    uint256 internal constant MIN_DEVIATION_BPS = 10;
    uint256 internal constant MAX_DEVIATION_BPS = 5_000;
    uint256 internal constant BPS = 10_000;

    uint256 private constant PRICE_SCALE = 10 ** PriceMath.PRICE_DECIMALS;
    uint256 private constant Q96 = 1 << 96;

    /// @notice Checks a configuration at construction. Reverts if a value is out of bounds, if the pool does not trade
    /// the pair, or if it keeps too few observations for the window.
    function check(IChainlinkOracle.Twap memory config, address collateralToken, address loanToken) internal view {
        bool configured = config.pool != address(0);
        (uint256 min, uint256 max) = configured ? (MIN_WINDOW_SECS, MAX_WINDOW_SECS) : (0, 0);
        if (config.windowSecs < min || config.windowSecs > max) {
            revert IChainlinkOracle.TwapWindowOutOfBounds(config.windowSecs, min, max);
        }
        (min, max) = configured ? (uint256(1), MAX_BLOCK_SECS) : (0, 0);
        if (config.blockSecs < min || config.blockSecs > max) {
            revert IChainlinkOracle.TwapBlockTimeOutOfBounds(config.blockSecs, min, max);
        }
        (min, max) = configured ? (MIN_DEVIATION_BPS, MAX_DEVIATION_BPS) : (0, 0);
        if (config.maxDeviationBps < min || config.maxDeviationBps > max) {
            revert IChainlinkOracle.TwapDeviationOutOfBounds(config.maxDeviationBps, min, max);
        }
        if (!configured) return;

        if (config.pool.code.length == 0) revert IChainlinkOracle.NotAContract("TWAP pool", config.pool);
        _checkPair(config.pool, collateralToken, loanToken);
        _checkCardinality(config);
    }

    /// @notice Returns loan units per collateral unit × 1e36 by the pool's average over the window, rounded down.
    /// Reverts with `TwapUnavailable` if the pool has no average.
    function priceDown(address pool, uint256 windowSecs, bool collateralIsToken0) internal view returns (uint256) {
        uint32[] memory secondsAgos = new uint32[](2);
        secondsAgos[0] = uint32(windowSecs);
        try IUniswapV3Observer(pool).observe(secondsAgos) returns (int56[] memory tickSums, uint160[] memory) {
            int256 drift;
            // The pool's sums wrap around by design, and so must their difference.
            unchecked {
                drift = tickSums[1] - tickSums[0];
            }
            int256 tick = _averageTickAgainstCollateral(drift, int256(windowSecs), collateralIsToken0);
            if (tick >= TickMath.MIN_TICK && tick <= TickMath.MAX_TICK) {
                return _priceAtTickDown(int24(tick), collateralIsToken0);
            }
        } catch {}
        revert IChainlinkOracle.TwapUnavailable(pool, windowSecs);
    }

    /// @dev Returns the average tick, rounded so that its price is not above the pool's. A pool's price is `token1` per
    /// `token0`, grows with the tick, and is up to one tick above the whole ticks that the pool sums.
    function _averageTickAgainstCollateral(int256 drift, int256 windowSecs, bool collateralIsToken0)
        private
        pure
        returns (int256 tick)
    {
        tick = drift / windowSecs;
        if (drift % windowSecs < 0) tick--;
        if (collateralIsToken0) return tick;
        return drift % windowSecs == 0 ? tick + 1 : tick + 2;
    }

    /// @dev Returns the price at a tick, rounded down. Multiplying by the root twice keeps at least 16 digits at the
    /// ends of the tick range and needs no number above 256 bits: the largest price, at the last tick, is 2¹²⁸ × 1e36.
    function _priceAtTickDown(int24 tick, bool collateralIsToken0) private pure returns (uint256) {
        uint256 root = TickMath.getSqrtPriceAtTick(tick);
        (uint256 numerator, uint256 denominator) = collateralIsToken0 ? (root, Q96) : (Q96, root);
        uint256 once = PriceMath.mulDivDown(PRICE_SCALE, numerator, denominator);
        return PriceMath.mulDivDown(once, numerator, denominator);
    }

    function _checkPair(address pool, address collateralToken, address loanToken) private view {
        (, uint256 word0) = PriceMath.tryReadWord(pool, abi.encodeCall(IUniswapV3Observer.token0, ()));
        (, uint256 word1) = PriceMath.tryReadWord(pool, abi.encodeCall(IUniswapV3Observer.token1, ()));
        (address token0, address token1) = (address(uint160(word0)), address(uint160(word1)));
        (address lower, address higher) =
            collateralToken < loanToken ? (collateralToken, loanToken) : (loanToken, collateralToken);
        if (token0 != lower || token1 != higher) revert IChainlinkOracle.TwapPairMismatch(pool, token0, token1);
    }

    /// @dev Reverts if the pool keeps too few observations. A pool that is traded in every block writes an observation
    /// in each; an average over the window needs all of them and the one before.
    function _checkCardinality(IChainlinkOracle.Twap memory config) private view {
        uint256 required = (uint256(config.windowSecs) + config.blockSecs - 1) / config.blockSecs + 1;
        (,,, uint16 cardinality) = IUniswapV3Observer(config.pool).slot0();
        if (cardinality < required) revert IChainlinkOracle.TwapCardinalityTooLow(config.pool, cardinality, required);
    }
}
