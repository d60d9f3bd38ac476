// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {IExecutor} from "../interfaces/IExecutor.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {IUniswapV2Pair, IUniswapV3Pool} from "./interfaces/IPools.sol";
import {Route} from "./libraries/Route.sol";

/// @title Swaps with pools of Uniswap V2 and V3 and of their forks.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Pools are computed from the venues that are fixed at construction, so a caller names no address that is
/// swapped with. A callback is accepted from the one account that is awaited, once.
/// @dev All immutables are part of the code and none is in storage: the code of an executor that nobody has deployed can
/// be simulated.
abstract contract Pools {
    using Route for bytes;
    using Tokens for address;

    /// @dev A pool as one hop of a route.
    struct Pool {
        address account;
        IExecutor.VenueKind kind;
        uint24 key;
        address tokenIn;
        address tokenOut;
    }

    /// @dev How a pool is paid: the data of its callback.
    /// @param start the first token of the route
    /// @param route whose first `hops` hops buy what the pool is owed; if `hops` is 0, `start` is paid from here
    /// @param owed to a pair of Uniswap V2; pools of Uniswap V3 say it themselves
    /// @param purchase the liquidation to make with the bought tokens before a payment from here; empty if there is none
    /// @param rest route or split along which `restAmount` is bought before that; empty if everything is bought
    struct Payment {
        address start;
        bytes route;
        uint256 hops;
        uint256 owed;
        bytes purchase;
        bytes rest;
        uint256 restAmount;
    }

    uint256 internal constant MAX_LISTED = 8;
    uint256 private constant MAX_AMOUNT = type(uint128).max;
    uint256 private constant MILLION = 1e6;

    /// @dev The kind above the deployer's address; 0 where there is none.
    uint256 private immutable VENUE_0;
    uint256 private immutable VENUE_1;
    uint256 private immutable VENUE_2;
    uint256 private immutable VENUE_3;
    uint256 private immutable VENUE_4;
    uint256 private immutable VENUE_5;
    uint256 private immutable VENUE_6;
    uint256 private immutable VENUE_7;
    bytes32 private immutable INIT_CODE_HASH_0;
    bytes32 private immutable INIT_CODE_HASH_1;
    bytes32 private immutable INIT_CODE_HASH_2;
    bytes32 private immutable INIT_CODE_HASH_3;
    bytes32 private immutable INIT_CODE_HASH_4;
    bytes32 private immutable INIT_CODE_HASH_5;
    bytes32 private immutable INIT_CODE_HASH_6;
    bytes32 private immutable INIT_CODE_HASH_7;

    /// @dev The account that may call back, set right before the call to it and cleared when it does.
    address internal transient _awaited;
    IExecutor.VenueKind private transient _awaitedKind;

    constructor(IExecutor.Venue[] memory venues) {
        if (venues.length > MAX_LISTED) revert IExecutor.TooMany(venues.length);
        (VENUE_0, INIT_CODE_HASH_0) = _packVenue(venues, 0);
        (VENUE_1, INIT_CODE_HASH_1) = _packVenue(venues, 1);
        (VENUE_2, INIT_CODE_HASH_2) = _packVenue(venues, 2);
        (VENUE_3, INIT_CODE_HASH_3) = _packVenue(venues, 3);
        (VENUE_4, INIT_CODE_HASH_4) = _packVenue(venues, 4);
        (VENUE_5, INIT_CODE_HASH_5) = _packVenue(venues, 5);
        (VENUE_6, INIT_CODE_HASH_6) = _packVenue(venues, 6);
        (VENUE_7, INIT_CODE_HASH_7) = _packVenue(venues, 7);
    }

    /// @dev The callback of a pool. Forks differ in its name only, so it is told by the pool's kind.
    fallback() external {
        _acceptCallback();
        bytes memory data;
        uint256 owed;
        if (_awaitedKind == IExecutor.VenueKind.UniswapV2) {
            (,,, data) = abi.decode(msg.data[4:], (address, uint256, uint256, bytes));
        } else {
            int256 delta0;
            int256 delta1;
            (delta0, delta1, data) = abi.decode(msg.data[4:], (int256, int256, bytes));
            // One of the two is to be paid and the other was received.
            int256 delta = delta0 > delta1 ? delta0 : delta1;
            if (delta > 0) owed = uint256(delta);
        }
        Payment memory payment = abi.decode(data, (Payment));
        if (_awaitedKind == IExecutor.VenueKind.UniswapV2) owed = payment.owed;
        if (payment.hops != 0) {
            // The preceding pool of the route pays this one.
            _buyThrough(payment, owed, msg.sender);
        } else {
            if (payment.rest.length != 0) {
                _buy(payment.start, payment.rest, payment.restAmount, payment.purchase);
            } else if (payment.purchase.length != 0) {
                _liquidateBought(payment.purchase);
            }
            payment.start.push(msg.sender, owed);
        }
    }

    /// @dev Makes the liquidation of a purchase, whose debt tokens are here.
    function _liquidateBought(bytes memory purchase) internal virtual;

    /// @dev Accepts the callback that is awaited. A second one, or one out of turn, is refused.
    function _acceptCallback() internal {
        if (msg.sender != _awaited) revert IExecutor.UnexpectedCallback(msg.sender);
        _awaited = address(0);
    }

    /// @dev Requires that the callback came.
    function _requireCalledBack(address callee) internal view {
        if (_awaited != address(0)) revert IExecutor.NoCallback(callee);
    }

    /// @dev Sells exactly this amount along a route, or along the routes of a split one after another.
    function _sell(address token, bytes memory route, uint256 amount) internal {
        while (route.isSplit()) {
            (bytes memory first, uint256 portion, bytes memory rest) = route.split(amount);
            if (portion != 0) _sellAlong(token, first, portion);
            (route, amount) = (rest, amount - portion);
        }
        _sellAlong(token, route, amount);
    }

    /// @dev The output of one pool is held here until the next one is paid.
    function _sellAlong(address token, bytes memory route, uint256 amount) private {
        uint256 hops = route.hops();
        for (uint256 i; i < hops; ++i) {
            Pool memory pool = _poolAt(token, route, i);
            _checkAmount(amount);
            amount = pool.kind == IExecutor.VenueKind.UniswapV2 ? _sellToPair(pool, amount) : _sellToPool(pool, amount);
        }
    }

    /// @dev Buys exactly this amount along a route, for the tokens that are here when the first pool is paid. Along a split,
    /// each route is bought from in the callback of the one before.
    /// @param purchase the liquidation to make before the first pool is paid; empty if there is none
    function _buy(address start, bytes memory route, uint256 amount, bytes memory purchase) internal {
        bytes memory rest;
        uint256 portion = amount;
        while (rest.length == 0 && route.isSplit()) {
            (bytes memory first, uint256 part, bytes memory others) = route.split(amount);
            if (part == 0) {
                route = others;
            } else {
                (route, portion, rest) = (first, part, others);
            }
        }
        _buyThrough(Payment(start, route, route.hops(), 0, purchase, rest, amount - portion), portion, address(this));
    }

    /// @dev Buys from the last of the payment's hops, which the one before pays.
    function _buyThrough(Payment memory payment, uint256 amount, address recipient) private {
        _checkAmount(amount);
        payment.hops -= 1;
        Pool memory pool = _poolAt(payment.start, payment.route, payment.hops);
        if (pool.kind == IExecutor.VenueKind.UniswapV2) {
            (uint256 reserveIn, uint256 reserveOut) = _reservesOf(pool);
            if (amount >= reserveOut) revert IExecutor.PoolTooShallow(pool.account, amount, reserveOut);
            payment.owed = reserveIn * amount * MILLION / ((reserveOut - amount) * (MILLION - pool.key)) + 1;
            _await(pool);
            // A pair calls back the recipient.
            _swapPair(pool, amount, abi.encode(payment));
            _requireCalledBack(pool.account);
            if (recipient != address(this)) pool.tokenOut.push(recipient, amount);
        } else {
            (, uint256 received) = _swapPool(pool, -int256(amount), recipient, abi.encode(payment));
            if (received != amount) revert IExecutor.PoolTooShallow(pool.account, amount, received);
        }
    }

    /// @dev A pair is paid in advance and does not call back.
    function _sellToPair(Pool memory pool, uint256 amount) private returns (uint256 bought) {
        (uint256 reserveIn, uint256 reserveOut) = _reservesOf(pool);
        uint256 afterFee = amount * (MILLION - pool.key);
        bought = afterFee * reserveOut / (reserveIn * MILLION + afterFee);
        pool.tokenIn.push(pool.account, amount);
        _swapPair(pool, bought, "");
    }

    function _sellToPool(Pool memory pool, uint256 amount) private returns (uint256) {
        bytes memory data = abi.encode(Payment(pool.tokenIn, "", 0, 0, "", "", 0));
        (uint256 paid, uint256 received) = _swapPool(pool, int256(amount), address(this), data);
        if (paid != amount) revert IExecutor.PoolTooShallow(pool.account, amount, paid);
        return received;
    }

    function _swapPair(Pool memory pool, uint256 amount, bytes memory data) private {
        (uint256 out0, uint256 out1) = pool.tokenIn < pool.tokenOut ? (uint256(0), amount) : (amount, uint256(0));
        IUniswapV2Pair(pool.account).swap(out0, out1, address(this), data);
    }

    function _swapPool(Pool memory pool, int256 amount, address recipient, bytes memory data)
        private
        returns (uint256 paid, uint256 received)
    {
        bool zeroForOne = pool.tokenIn < pool.tokenOut;
        // No price limit: the amounts are bounded instead.
        uint160 limit = zeroForOne ? TickMath.MIN_SQRT_PRICE + 1 : TickMath.MAX_SQRT_PRICE - 1;
        _await(pool);
        (int256 amount0, int256 amount1) = IUniswapV3Pool(pool.account).swap(recipient, zeroForOne, amount, limit, data);
        _requireCalledBack(pool.account);
        (int256 amountIn, int256 amountOut) = zeroForOne ? (amount0, amount1) : (amount1, amount0);
        (paid, received) = (uint256(amountIn), uint256(-amountOut));
    }

    function _await(Pool memory pool) private {
        (_awaited, _awaitedKind) = (pool.account, pool.kind);
    }

    function _reservesOf(Pool memory pool) private view returns (uint256 reserveIn, uint256 reserveOut) {
        (uint256 reserve0, uint256 reserve1,) = IUniswapV2Pair(pool.account).getReserves();
        return pool.tokenIn < pool.tokenOut ? (reserve0, reserve1) : (reserve1, reserve0);
    }

    function _poolAt(address start, bytes memory route, uint256 index) private view returns (Pool memory pool) {
        uint8 venue;
        (venue, pool.key, pool.tokenOut) = route.hop(index);
        pool.tokenIn = start;
        if (index != 0) (,, pool.tokenIn) = route.hop(index - 1);
        IExecutor.Venue memory listed = _venueAt(venue);
        pool.kind = listed.kind;
        pool.account = _poolOf(listed, pool.tokenIn, pool.tokenOut, pool.key);
        if (pool.account.code.length == 0) revert IExecutor.NoPool(pool.account);
    }

    function _poolOf(IExecutor.Venue memory venue, address tokenA, address tokenB, uint24 key)
        internal
        pure
        returns (address)
    {
        (address token0, address token1) = tokenA < tokenB ? (tokenA, tokenB) : (tokenB, tokenA);
        bytes32 salt = venue.kind == IExecutor.VenueKind.UniswapV2
            ? keccak256(abi.encodePacked(token0, token1))
            : keccak256(abi.encode(token0, token1, key));
        bytes32 hash = keccak256(abi.encodePacked(hex"ff", venue.deployer, salt, venue.poolInitCodeHash));
        return address(uint160(uint256(hash)));
    }

    function _venueAt(uint256 index) internal view returns (IExecutor.Venue memory venue) {
        uint256 packed;
        if (index == 0) (packed, venue.poolInitCodeHash) = (VENUE_0, INIT_CODE_HASH_0);
        else if (index == 1) (packed, venue.poolInitCodeHash) = (VENUE_1, INIT_CODE_HASH_1);
        else if (index == 2) (packed, venue.poolInitCodeHash) = (VENUE_2, INIT_CODE_HASH_2);
        else if (index == 3) (packed, venue.poolInitCodeHash) = (VENUE_3, INIT_CODE_HASH_3);
        else if (index == 4) (packed, venue.poolInitCodeHash) = (VENUE_4, INIT_CODE_HASH_4);
        else if (index == 5) (packed, venue.poolInitCodeHash) = (VENUE_5, INIT_CODE_HASH_5);
        else if (index == 6) (packed, venue.poolInitCodeHash) = (VENUE_6, INIT_CODE_HASH_6);
        else if (index == 7) (packed, venue.poolInitCodeHash) = (VENUE_7, INIT_CODE_HASH_7);
        if (packed == 0) revert IExecutor.NotListed(index);
        (venue.kind, venue.deployer) = (IExecutor.VenueKind(packed >> 160), address(uint160(packed)));
    }

    function _packVenue(IExecutor.Venue[] memory venues, uint256 index) private view returns (uint256, bytes32) {
        if (index >= venues.length) return (0, 0);
        IExecutor.Venue memory venue = venues[index];
        return (_pack(uint256(venue.kind), venue.deployer), venue.poolInitCodeHash);
    }

    /// @dev A kind above an address that must have code.
    function _pack(uint256 kind, address account) internal view returns (uint256) {
        if (account.code.length == 0) revert IExecutor.NoCode(account);
        return kind << 160 | uint160(account);
    }

    function _checkAmount(uint256 amount) private pure {
        if (amount == 0 || amount > MAX_AMOUNT) revert IExecutor.AmountOutOfRange(amount);
    }
}
