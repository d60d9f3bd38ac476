// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {LibBit} from "solady/utils/LibBit.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {IVault} from "../interfaces/IVault.sol";
import {InterestMath} from "../libraries/InterestMath.sol";
import {SharesMath} from "../libraries/SharesMath.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {Market} from "../types/Market.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";
import {Books, BooksMath} from "./Books.sol";
import {VaultRoles} from "./VaultRoles.sol";

/// @title Positions of a vault in the core, their value and their caps.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IVault`. The parameters of all markets are the code of one contract: they are read in every call and
/// change seldom, and the code of one account is cheaper to read than a slot for each word.
abstract contract VaultPositions is VaultRoles, ERC20 {
    using BooksMath for MarketParams;
    using SafeCast for uint256;
    using Tokens for address;

    uint256 internal constant BPS = 10_000;
    uint256 internal constant MAX_MARKETS = 12;
    /// @dev No index of a market.
    uint256 internal constant NONE = type(uint8).max;
    uint256 internal constant MAX_FEE_BPS = 2_500;
    /// @dev 200 % a year.
    uint256 internal constant MAX_RATE_PER_SECOND = 2e18 / uint256(365 days);
    /// @dev 1.5, 1e18-scaled.
    uint256 internal constant MAX_NUDGED = 1.5e18;

    /// @dev One word.
    struct StoredTotals {
        uint128 lastTotal;
        uint128 highWaterMark;
    }

    /// @dev One word.
    struct StoredSettings {
        uint128 idle;
        uint40 lastUpdate;
        uint40 maxRate;
        uint16 feeBps;
        uint8 depositIndex;
    }

    /// @dev One word.
    /// @param list the contract whose code is the ABI encoding of all markets' parameters
    /// @param order one byte for each index that withdrawals prefer, the first in the lowest, each index plus 1; 0 ends it
    struct StoredList {
        address list;
        uint96 order;
    }

    /// @dev One word.
    struct StoredCap {
        uint128 absolute;
        uint16 relativeBps;
        uint40 lastNudge;
    }

    IPlimsoll internal immutable PLIMSOLL;
    address internal immutable ASSET;
    uint256 internal immutable NUDGE_BPS;
    uint256 internal immutable NUDGE_SECS;

    StoredTotals internal _totals;
    StoredSettings internal _settings;
    StoredList internal _list;
    /// @dev Supply shares that the vault bought, of each market.
    uint128[MAX_MARKETS] internal _counted;
    mapping(bytes32 => StoredCap) internal _caps;
    /// @inheritdoc IVault
    address public feeRecipient;

    /// @dev The time of the block, once the value was updated in this transaction, and the total then: a later deposit in
    /// the same transaction does not widen relative caps.
    uint256 internal transient _accruedAt;
    uint256 internal transient _firstTotal;

    constructor(Setup memory setup) VaultRoles(setup) {
        _requireWithin(setup.nudgeSecs, MIN_NUDGE_SECS, MAX_NUDGE_SECS);
        PLIMSOLL = IPlimsoll(setup.plimsoll);
        ASSET = setup.asset;
        NUDGE_BPS = setup.nudgeBps;
        NUDGE_SECS = setup.nudgeSecs;
        // Within a delay there may be one step more than there are times between steps.
        uint256 raised = BooksMath.WAD;
        for (uint256 i; setup.nudgeBps != 0 && i <= setup.raiseDelaySecs / setup.nudgeSecs; ++i) {
            raised += raised * setup.nudgeBps / BPS;
            if (raised > MAX_NUDGED) revert NudgesTooLarge(setup.nudgeBps, setup.nudgeSecs);
        }

        _settings.lastUpdate = uint40(block.timestamp);
        _settings.depositIndex = uint8(NONE);
        _totals.highWaterMark = uint128(BooksMath.PRICE_SCALE / BooksMath.VIRTUAL_SHARES);
        _storeList(new MarketParams[](0));
        _storeFee(setup.feeBps);
        _storeMaxRate(setup.maxRatePerSecond);
        _storeFeeRecipient(setup.feeRecipient);
        for (uint256 i; i < setup.markets.length; ++i) {
            _enableMarket(setup.markets[i]);
        }
        for (uint256 i; i < setup.caps.length; ++i) {
            _storeCap(setup.caps[i].capId, setup.caps[i].absolute, setup.caps[i].relativeBps);
        }
        if (MarketId.unwrap(setup.depositMarket) != 0) _storeDepositMarket(setup.depositMarket);
    }

    /* VALUE */

    /// @dev Returns the vault's books up to now. The value of a position is the vault's own arithmetic over the core's
    /// storage: no market can make it fail or cost more.
    function _load() internal view returns (Books memory b) {
        _fill(b);
    }

    function _fill(Books memory b) internal view {
        StoredSettings memory settings = _settings;
        b.params = _marketParams();
        uint256 count = b.params.length;
        b.markets = new Market[](count);
        b.counted = new uint256[](count);
        b.values = new uint256[](count);
        b.idle = settings.idle;
        b.real = settings.idle;
        for (uint256 i; i < count; ++i) {
            uint256 counted = _counted[i];
            if (counted == 0) continue;
            b.counted[i] = counted;
            _loadMarket(b, i);
            _value(b, i);
            b.real += b.values[i];
        }

        StoredTotals memory totals = _totals;
        b.supply = totalSupply();
        b.highWaterMark = totals.highWaterMark;
        if (_isAccrued()) b.total = totals.lastTotal;
        else b.recognise(totals.lastTotal, settings.maxRate, block.timestamp - settings.lastUpdate);
        bool pays = settings.feeBps != 0 && feeRecipient != address(0);
        b.chargeFee(totals.lastTotal, pays ? settings.feeBps : 0);
    }

    /// @dev Loads the books, and stores the value with the first call of a transaction, and the mark of a vault that was
    /// emptied with any.
    function _accrue() internal returns (Books memory b) {
        _fill(b);
        if (!_isAccrued()) (_accruedAt, _firstTotal) = (block.timestamp, b.total);
        StoredTotals memory totals = _totals;
        bool isStored = totals.lastTotal == b.total && totals.highWaterMark == b.highWaterMark;
        if (isStored && _settings.lastUpdate == block.timestamp) return b;
        _settings.lastUpdate = uint40(block.timestamp);
        _totals = StoredTotals({lastTotal: uint128(b.total), highWaterMark: uint128(b.highWaterMark)});
        if (b.feeShares != 0) _mint(feeRecipient, b.feeShares);
        emit AccrueVault(b.total, b.real, b.feeShares, b.highWaterMark);
    }

    function _isAccrued() internal view returns (bool) {
        return _accruedAt == block.timestamp;
    }

    /// @dev Loads a market with its interest up to now, if it is not loaded.
    function _loadMarket(Books memory b, uint256 i) internal view {
        if (b.markets[i].lastUpdate != 0) return;
        Market memory m = PLIMSOLL.market(b.params[i].idOf());
        if (m.lastUpdate != block.timestamp) InterestMath.accrue(m, b.params[i].curve, block.timestamp);
        b.markets[i] = m;
    }

    function _value(Books memory b, uint256 i) internal pure {
        Market memory m = b.markets[i];
        b.values[i] = SharesMath.toAssetsDown(b.counted[i], m.supplyAssets, m.supplyShares);
    }

    /* MARKETS AND CAPS */

    /// @dev Supplies idle assets to a market, within its caps and totals, and at most to what the shares cost.
    function _allocate(Books memory b, uint256 i, uint256 assets) internal {
        _loadMarket(b, i);
        uint256 within = FixedPointMathLib.min(FixedPointMathLib.min(assets, b.idle), _room(b, i, _firstTotal));
        (uint256 shares, uint256 cost) = b.sharesWithin(i, within);
        if (shares == 0) return;

        // Idle and counted until the core has the tokens: a price that is read in the token's callback is true.
        (uint256 paid,) = PLIMSOLL.supply(b.params[i], 0, shares, address(this), "");
        if (paid != cost) revert MarketChanged(b.params[i].idOf());
        Market memory m = b.markets[i];
        m.supplyAssets += cost;
        m.supplyShares += shares;
        b.counted[i] += shares;
        b.idle -= cost;
        _value(b, i);
        _counted[i] = uint128(b.counted[i]);
        _settings.idle = uint128(b.idle);
        emit Allocate(b.params[i].idOf(), cost, shares);
    }

    /// @dev Withdraws assets from a market to idle; at most what it has the liquidity for.
    function _deallocate(Books memory b, uint256 i, uint256 assets) internal {
        assets = FixedPointMathLib.min(assets, b.withdrawable(i));
        if (assets == 0) return;
        bool whole = assets == b.values[i];
        uint256 shares = _takeOut(b, i, assets);
        _withdrawFrom(b.params[i], assets, shares, whole, address(this));
        b.idle += assets;
        _settings.idle = b.idle.toUint128();
        emit Deallocate(b.params[i].idOf(), assets, shares, true);
    }

    /// @dev Takes the shares of a withdrawal out of the books, before the core is called.
    function _takeOut(Books memory b, uint256 i, uint256 assets) internal returns (uint256 shares) {
        shares = b.sharesFor(i, assets);
        Market memory m = b.markets[i];
        m.supplyAssets -= assets;
        m.supplyShares -= shares;
        b.counted[i] -= shares;
        _value(b, i);
        _counted[i] = uint128(b.counted[i]);
    }

    /// @dev Withdraws from the core, by shares where the whole value is withdrawn. Another result than that of the vault's books
    /// would leave shares counted that the vault does not have; only a callback of the token can cause it.
    function _withdrawFrom(MarketParams memory params, uint256 assets, uint256 shares, bool whole, address receiver)
        internal
    {
        (uint256 paid, uint256 burned) =
            PLIMSOLL.withdraw(params, whole ? 0 : assets, whole ? shares : 0, address(this), receiver);
        if (paid != assets || burned != shares) revert MarketChanged(params.idOf());
    }

    /// @dev Returns the assets that the caps of a market still allow.
    /// @param base of relative caps
    function _room(Books memory b, uint256 i, uint256 base) internal view returns (uint256) {
        MarketParams memory params = b.params[i];
        (uint256 withCollateral, uint256 withOracle) = b.valuesWith(params.collateralToken, params.oracle);
        return FixedPointMathLib.min(
            _roomOf(MarketId.unwrap(params.idOf()), b.values[i], base),
            FixedPointMathLib.min(
                _roomOf(collateralCapId(params.collateralToken), withCollateral, base),
                _roomOf(oracleCapId(params.oracle), withOracle, base)
            )
        );
    }

    function _roomOf(bytes32 capId, uint256 value, uint256 base) internal view returns (uint256) {
        StoredCap memory stored = _caps[capId];
        uint256 most = stored.absolute;
        if (stored.relativeBps != BPS) most = FixedPointMathLib.min(most, base * stored.relativeBps / BPS);
        return FixedPointMathLib.zeroFloorSub(most, value);
    }

    /// @dev Returns the indices that withdrawals prefer, one byte each plus 1, the first in the lowest; 0 ends them.
    function _withdrawOrder() internal view returns (uint256 order) {
        order = _list.order;
        uint256 first = _settings.depositIndex;
        if (first != NONE) order = order << 8 | first + 1;
    }

    /// @dev Returns the index that withdrawals use after those in the bit map `used`, and the order from there on: the next
    /// in the order, or the lowest when the order has ended.
    function _nextIndex(uint256 order, uint256 used) internal pure returns (uint256 i, uint256 rest) {
        for (; order != 0; order >>= 8) {
            i = uint8(order) - 1;
            if (used >> i & 1 == 0) return (i, order >> 8);
        }
        return (LibBit.ffs(~used), 0);
    }

    /// @inheritdoc IVault
    function collateralCapId(address collateralToken) public pure returns (bytes32) {
        return keccak256(abi.encode(0, collateralToken));
    }

    /// @inheritdoc IVault
    function oracleCapId(address oracle) public pure returns (bytes32) {
        return keccak256(abi.encode(1, oracle));
    }

    /* STORING */

    /// @dev Nothing else than `_storeList` writes this code, and a market's parameters are the same words in memory as
    /// in it. So the array points into the copy, which is not decoded.
    function _marketParams() internal view returns (MarketParams[] memory params) {
        bytes memory code = SSTORE2.read(_list.list);
        assembly ("memory-safe") {
            params := mload(0x40)
            // Behind the bytes' length and the array's offset.
            let count := mload(add(code, 0x40))
            mstore(params, count)
            let from := add(code, 0x60)
            let to := add(params, 0x20)
            let end := add(to, shl(5, count))
            for {} lt(to, end) {} {
                mstore(to, from)
                to := add(to, 0x20)
                from := add(from, 0xa0)
            }
            mstore(0x40, end)
        }
    }

    function _storeList(MarketParams[] memory params) internal {
        _list.list = SSTORE2.write(abi.encode(params));
    }

    function _enableMarket(MarketId id) internal {
        MarketParams memory added = PLIMSOLL.marketParams(id);
        if (added.loanToken != ASSET) revert WrongLoanToken(id, added.loanToken, ASSET);
        MarketParams[] memory params = _marketParams();
        uint256 count = params.length;
        if (count == MAX_MARKETS) revert TooManyMarkets(MAX_MARKETS);
        MarketParams[] memory longer = new MarketParams[](count + 1);
        for (uint256 i; i < count; ++i) {
            if (MarketId.unwrap(params[i].idOf()) == MarketId.unwrap(id)) revert MarketAlreadyEnabled(id);
            longer[i] = params[i];
        }
        longer[count] = added;
        _storeList(longer);
        emit EnableMarket(id);
    }

    /// @dev Takes a market off the list, and the last one to its place, also in what refers to them by index.
    function _removeMarket(Books memory b, uint256 i) internal {
        MarketId id = b.params[i].idOf();
        uint256 last = b.params.length - 1;
        emit RemoveMarket(id, b.counted[i]);

        if (_settings.depositIndex == i) _settings.depositIndex = uint8(NONE);
        else if (_settings.depositIndex == last) _settings.depositIndex = uint8(i);
        uint256 order;
        uint256 n;
        for (uint256 old = _list.order; old != 0; old >>= 8) {
            uint256 index = uint8(old) - 1;
            if (index == i) continue;
            order |= ((index == last ? i : index) + 1) << (8 * n++);
        }
        _list.order = uint96(order);

        _counted[i] = _counted[last];
        // After that, since both may be the same.
        delete _counted[last];
        MarketParams[] memory params = b.params;
        params[i] = params[last];
        assembly ("memory-safe") {
            mstore(params, last)
        }
        _storeList(params);
    }

    function _storeDepositMarket(MarketId id) internal {
        uint256 index = NONE;
        if (MarketId.unwrap(id) != 0) index = _indexOf(_marketParams(), id);
        _settings.depositIndex = uint8(index);
        emit SetDepositMarket(id);
    }

    function _storeWithdrawOrder(MarketId[] calldata ids) internal {
        MarketParams[] memory params = _marketParams();
        if (ids.length > params.length) revert TooManyMarkets(params.length);
        uint256 order;
        for (uint256 n; n < ids.length; ++n) {
            order |= (_indexOf(params, ids[n]) + 1) << (8 * n);
        }
        _list.order = uint96(order);
        emit SetWithdrawOrder(ids);
    }

    function _storeCap(bytes32 capId, uint256 absolute, uint256 relativeBps) internal {
        _requireWithin(absolute, 0, type(uint128).max);
        _requireWithin(relativeBps, 0, BPS);
        StoredCap storage stored = _caps[capId];
        (stored.absolute, stored.relativeBps) = (uint128(absolute), uint16(relativeBps));
        emit SetCap(capId, absolute, relativeBps);
    }

    function _storeFee(uint256 feeBps) internal {
        _requireWithin(feeBps, 0, MAX_FEE_BPS);
        _settings.feeBps = uint16(feeBps);
        emit SetFee(feeBps);
    }

    function _storeMaxRate(uint256 maxRatePerSecond) internal {
        _requireWithin(maxRatePerSecond, 0, MAX_RATE_PER_SECOND);
        _settings.maxRate = uint40(maxRatePerSecond);
        emit SetMaxRate(maxRatePerSecond);
    }

    function _storeFeeRecipient(address recipient) internal {
        feeRecipient = recipient;
        emit SetFeeRecipient(recipient);
    }

    function _indexOf(MarketParams[] memory params, MarketId id) internal pure returns (uint256 i) {
        for (; i < params.length; ++i) {
            if (MarketId.unwrap(params[i].idOf()) == MarketId.unwrap(id)) return i;
        }
        revert MarketNotEnabled(id);
    }
}
