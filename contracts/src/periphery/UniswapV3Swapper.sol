// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {ISwapper} from "../interfaces/ISwapper.sol";
import {IUniswapV3Swapper} from "../interfaces/IUniswapV3Swapper.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {UniswapV3Path} from "./libraries/UniswapV3Path.sol";

/// @title Swap function of a Uniswap V3 pool.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
interface IUniswapV3Pool {
    /// @notice Swaps with the pool, which calls back to be paid.
    /// @param amountSpecified the exact input if positive, the exact output if negative
    function swap(
        address recipient,
        bool zeroForOne,
        int256 amountSpecified,
        uint160 sqrtPriceLimitX96,
        bytes calldata data
    ) external returns (int256 amount0, int256 amount1);
}

/// @title Swap adapter of Uniswap V3.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `ISwapper` and `IUniswapV3Swapper`.
/// @dev A pool is identified by its address, which follows from factory, tokens and fee: this is how a callback's
/// sender is verified. A pool may swap less than the requested amount; this is refused, since the rest would remain
/// here.
contract UniswapV3Swapper is ISwapper, IUniswapV3Swapper {
    using Tokens for address;
    using UniswapV3Path for bytes;

    uint256 internal constant MAX_AMOUNT = type(uint128).max;

    /// @inheritdoc IUniswapV3Swapper
    address public immutable factory;
    /// @inheritdoc IUniswapV3Swapper
    bytes32 public immutable poolInitCodeHash;

    bool internal transient _swapping;

    constructor(address factory_, bytes32 poolInitCodeHash_) {
        if (factory_.code.length == 0) revert NoCode(factory_);
        factory = factory_;
        poolInitCodeHash = poolInitCodeHash_;
    }

    /// @dev During a swap this contract holds tokens, which a token's callback could otherwise swap for its own
    /// account.
    modifier nonReentrant() {
        if (_swapping) revert Reentered();
        _swapping = true;
        _;
        _swapping = false;
    }

    /// @inheritdoc ISwapper
    function swapExactIn(
        address tokenIn,
        address tokenOut,
        uint256 amountIn,
        uint256 minOut,
        address receiver,
        bytes calldata route
    ) external nonReentrant returns (uint256 amountOut) {
        _checkRoute(tokenIn, tokenOut, route);
        _checkPushed(tokenIn, amountIn);
        uint256 hops = route.hops();
        amountOut = amountIn;
        for (uint256 i; i < hops; ++i) {
            // The output of one pool is held here until the next one calls back to be paid.
            amountOut = _sellToPool(amountOut, i + 1 == hops ? receiver : address(this), route.hop(i));
        }
        if (amountOut < minOut) revert TooLittleOut(amountOut, minOut);
    }

    /// @inheritdoc ISwapper
    function swapExactOut(
        address tokenIn,
        address tokenOut,
        uint256 amountOut,
        uint256 maxIn,
        address receiver,
        address refundTo,
        bytes calldata route
    ) external nonReentrant returns (uint256 amountIn) {
        _checkRoute(tokenIn, tokenOut, route);
        uint256 held = _checkPushed(tokenIn, maxIn);
        if (amountOut != 0) {
            _buyFromLastPool(amountOut, receiver, route);
            uint256 left = tokenIn.balanceOrZero(address(this));
            (amountIn, held) = (held - left, left);
            if (amountIn > maxIn) revert TooMuchIn(amountIn, maxIn);
        }
        tokenIn.push(refundTo, held);
    }

    /// @inheritdoc IUniswapV3Swapper
    function uniswapV3SwapCallback(int256 amount0Delta, int256 amount1Delta, bytes calldata data) external {
        if (data.length < UniswapV3Path.HOP_BYTES) revert NotThePool(msg.sender, address(0));
        (address tokenIn, uint24 fee, address tokenOut) = data.lastHop().decodeHop();
        address pool = poolOf(tokenIn, tokenOut, fee);
        if (msg.sender != pool) revert NotThePool(msg.sender, pool);

        // One of the two is to be paid and the other was received, unless the pool is empty, which the caller of the
        // swap refuses.
        int256 delta = amount0Delta > amount1Delta ? amount0Delta : amount1Delta;
        if (delta <= 0) return;
        uint256 owed = uint256(delta);
        if (data.length > UniswapV3Path.HOP_BYTES) {
            // The path continues towards its beginning: the preceding pool pays this one.
            _buyFromLastPool(owed, pool, data.withoutLastHop());
        } else {
            uint256 held = tokenIn.balanceOrZero(address(this));
            if (owed > held) revert TooMuchIn(owed, held);
            tokenIn.push(pool, owed);
        }
    }

    /// @inheritdoc IUniswapV3Swapper
    function poolOf(address tokenA, address tokenB, uint24 fee) public view returns (address) {
        (address token0, address token1) = tokenA < tokenB ? (tokenA, tokenB) : (tokenB, tokenA);
        bytes32 salt = keccak256(abi.encode(token0, token1, fee));
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", factory, salt, poolInitCodeHash)))));
    }

    /// @dev Sells exactly this amount to the pool of a hop.
    function _sellToPool(uint256 amountIn, address recipient, bytes calldata hop) internal returns (uint256) {
        _checkAmount(amountIn);
        (address pool, uint256 paid, uint256 received) = _swap(int256(amountIn), recipient, hop, hop);
        if (paid != amountIn) revert PoolTooShallow(pool, amountIn, paid);
        return received;
    }

    /// @dev Buys exactly this amount from the last pool of a path, which the preceding pool or this contract pays.
    function _buyFromLastPool(uint256 amountOut, address recipient, bytes calldata path) internal {
        _checkAmount(amountOut);
        (address pool,, uint256 received) = _swap(-int256(amountOut), recipient, path.lastHop(), path);
        if (received != amountOut) revert PoolTooShallow(pool, amountOut, received);
    }

    function _swap(int256 amount, address recipient, bytes calldata hop, bytes calldata data)
        internal
        returns (address pool, uint256 paid, uint256 received)
    {
        (address tokenIn, uint24 fee, address tokenOut) = hop.decodeHop();
        pool = poolOf(tokenIn, tokenOut, fee);
        if (pool.code.length == 0) revert NoPool(tokenIn, tokenOut, fee);
        bool zeroForOne = tokenIn < tokenOut;
        // No price limit: the amounts are bounded instead.
        uint160 limit = zeroForOne ? TickMath.MIN_SQRT_PRICE + 1 : TickMath.MAX_SQRT_PRICE - 1;
        (int256 amount0, int256 amount1) = IUniswapV3Pool(pool).swap(recipient, zeroForOne, amount, limit, data);
        (int256 amountIn, int256 amountOut) = zeroForOne ? (amount0, amount1) : (amount1, amount0);
        (paid, received) = (uint256(amountIn), uint256(-amountOut));
    }

    function _checkAmount(uint256 amount) internal pure {
        if (amount == 0 || amount > MAX_AMOUNT) revert AmountOutOfRange(amount);
    }

    function _checkRoute(address tokenIn, address tokenOut, bytes calldata route) internal pure {
        if (!route.leads(tokenIn, tokenOut)) revert InvalidRoute(tokenIn, tokenOut, route);
    }

    function _checkPushed(address token, uint256 amount) internal view returns (uint256 held) {
        held = token.balanceOrZero(address(this));
        if (held < amount) revert NotPushed(token, held, amount);
    }
}
