// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TestToken} from "./TestToken.sol";

interface IMadePool {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function slot0() external view returns (uint160 sqrtPriceX96, int24 tick);
    function tickSpacing() external view returns (int24);
    function mint(address recipient, int24 tickLower, int24 tickUpper, uint128 amount, bytes calldata data)
        external
        returns (uint256, uint256);
    function swap(address recipient, bool zeroForOne, int256 amount, uint160 sqrtPriceLimitX96, bytes calldata data)
        external
        returns (int256, int256);
}

/// @notice Provides a Uniswap V3 pool's liquidity and trades with it until it has a price. For local chains: anyone may
/// call it, and its payments are minted.
contract MarketMaker {
    int24 private constant LAST_TICK = 887272;
    uint160 private constant MIN_SQRT_PRICE = 4295128739;
    uint160 private constant MAX_SQRT_PRICE = 1461446703485210103287273052203988822378723970342;

    /// @notice Adds liquidity over the whole range.
    function provide(IMadePool pool, uint128 liquidity) external {
        int24 spacing = pool.tickSpacing();
        int24 last = LAST_TICK / spacing * spacing;
        pool.mint(address(this), -last, last, liquidity, "");
    }

    /// @notice Adds liquidity between two ticks.
    function provideBetween(IMadePool pool, int24 lower, int24 upper, uint128 liquidity) external {
        pool.mint(address(this), lower, upper, liquidity, "");
    }

    /// @notice Sells exactly this amount, and returns what was paid and bought.
    function sell(IMadePool pool, bool zeroForOne, uint128 amount) external returns (int256 paid, int256 bought) {
        uint160 limit = zeroForOne ? MIN_SQRT_PRICE + 1 : MAX_SQRT_PRICE - 1;
        (int256 delta0, int256 delta1) = pool.swap(address(this), zeroForOne, int256(uint256(amount)), limit, "");
        return zeroForOne ? (delta0, -delta1) : (delta1, -delta0);
    }

    /// @notice Trades until the pool has this price.
    function tradeTo(IMadePool pool, uint160 sqrtPriceX96) external {
        (uint160 current,) = pool.slot0();
        if (current == sqrtPriceX96) return;
        pool.swap(address(this), sqrtPriceX96 < current, type(int128).max, sqrtPriceX96, "");
    }

    function uniswapV3MintCallback(uint256 owed0, uint256 owed1, bytes calldata) external {
        _pay(owed0, owed1);
    }

    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata) external {
        _pay(delta0 > 0 ? uint256(delta0) : 0, delta1 > 0 ? uint256(delta1) : 0);
    }

    function _pay(uint256 owed0, uint256 owed1) private {
        IMadePool pool = IMadePool(msg.sender);
        TestToken(pool.token0()).mint(msg.sender, owed0);
        TestToken(pool.token1()).mint(msg.sender, owed1);
    }
}
