// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {Creator} from "./Creator.sol";

interface IUniswapV3Factory {
    function createPool(address tokenA, address tokenB, uint24 fee) external returns (address);
}

interface IUniswapV3Pool {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function initialize(uint160 sqrtPriceX96) external;
    function increaseObservationCardinalityNext(uint16 next) external;
    function mint(address recipient, int24 tickLower, int24 tickUpper, uint128 amount, bytes calldata data)
        external
        returns (uint256, uint256);
    function swap(address recipient, bool zeroForOne, int256 amount, uint160 sqrtPriceLimitX96, bytes calldata data)
        external
        returns (int256, int256);
    function slot0() external view returns (uint160 sqrtPriceX96, int24 tick);
}

interface IMintable {
    function mint(address to, uint256 amount) external;
}

/// @title Real Uniswap V3 pools, from the bytecode that Uniswap published.
/// @notice A derived contract provides their liquidity and trades with them; anyone must be able to mint their tokens.
abstract contract UniswapV3 is Creator {
    string private constant ARTIFACTS = "node_modules/@uniswap/v3-core/artifacts/contracts/";
    int24 private constant TICK_SPACING = 10;
    /// @dev The last tick that is a multiple of every fee's spacing up to 10.
    int24 private constant LAST_TICK = 887270;
    /// @dev 0.05 %
    uint24 internal constant FEE = 500;

    IUniswapV3Factory internal uniswapV3Factory;

    function deployUniswapV3() internal {
        bytes memory initCode = vm.getCode(string.concat(ARTIFACTS, "UniswapV3Factory.sol/UniswapV3Factory.json"));
        uniswapV3Factory = IUniswapV3Factory(this.create(initCode));
    }

    function poolInitCodeHash() internal view returns (bytes32) {
        return keccak256(vm.getCode(string.concat(ARTIFACTS, "UniswapV3Pool.sol/UniswapV3Pool.json")));
    }

    function newPool(address tokenA, address tokenB, uint160 sqrtPriceX96) internal returns (IUniswapV3Pool pool) {
        pool = IUniswapV3Pool(uniswapV3Factory.createPool(tokenA, tokenB, FEE));
        pool.initialize(sqrtPriceX96);
    }

    /// @dev A pool over the whole range that holds these amounts, and so has their price.
    function newPool(address tokenA, uint256 amountA, address tokenB, uint256 amountB)
        internal
        returns (IUniswapV3Pool pool)
    {
        pool = newPool(tokenA, tokenB, sqrtPriceOf(tokenA, amountA, tokenB, amountB));
        addFullRange(pool, uint128(FixedPointMathLib.sqrt(amountA * amountB)));
    }

    /// @dev The root at which the amounts are worth the same.
    function sqrtPriceOf(address tokenA, uint256 amountA, address tokenB, uint256 amountB)
        internal
        pure
        returns (uint160)
    {
        if (tokenA > tokenB) (amountA, amountB) = (amountB, amountA);
        return uint160(FixedPointMathLib.sqrt(FixedPointMathLib.fullMulDiv(amountB, 1 << 192, amountA)));
    }

    /// @dev Room for observations is taken when the next one is written.
    function growObservations(IUniswapV3Pool pool, uint16 cardinality) internal {
        pool.increaseObservationCardinalityNext(cardinality);
        vm.warp(vm.getBlockTimestamp() + 1);
        (, int24 tick) = pool.slot0();
        int24 lower = (tick / TICK_SPACING - (tick % TICK_SPACING < 0 ? int24(1) : int24(0))) * TICK_SPACING;
        pool.mint(address(this), lower, lower + TICK_SPACING, 1, "");
    }

    function addFullRange(IUniswapV3Pool pool, uint128 liquidity) internal {
        pool.mint(address(this), -LAST_TICK, LAST_TICK, liquidity, "");
    }

    /// @dev Trades until the pool has this price.
    function swapTo(IUniswapV3Pool pool, uint160 sqrtPriceX96) internal {
        (uint160 current,) = pool.slot0();
        pool.swap(address(this), sqrtPriceX96 < current, type(int128).max, sqrtPriceX96, "");
    }

    function uniswapV3MintCallback(uint256 owed0, uint256 owed1, bytes calldata) external {
        _pay(owed0, owed1);
    }

    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata) external {
        _pay(delta0 > 0 ? uint256(delta0) : 0, delta1 > 0 ? uint256(delta1) : 0);
    }

    function _pay(uint256 owed0, uint256 owed1) private {
        IUniswapV3Pool pool = IUniswapV3Pool(msg.sender);
        IMintable(pool.token0()).mint(msg.sender, owed0);
        IMintable(pool.token1()).mint(msg.sender, owed1);
    }
}
