// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20, ERC4626, IERC20} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IVault} from "../interfaces/IVault.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {MarketId, MarketParams} from "../types/MarketParams.sol";
import {Books, BooksMath} from "./Books.sol";
import {VaultPositions} from "./VaultPositions.sol";

/// @title Vault for lenders over markets of the core.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IVault`, and `IERC4626` for the standard functions.
/// @dev Every verb updates the value first, and takes shares, assets and positions out of the books before it calls the
/// token or the core; what comes in is added when it is there. A price that is read in a callback is therefore true. The
/// lock covers every function that changes value, since the vault needs no reentrant call.
contract Vault is VaultPositions, ERC4626, ReentrancyGuardTransient {
    using BooksMath for MarketParams;
    using SafeCast for uint256;
    using Tokens for address;

    uint256 internal constant MIN_PENALTY_BPS = 5;
    uint256 internal constant MAX_PENALTY_BPS = 100;
    uint8 internal constant SHARE_DECIMALS_OFFSET = 6;
    /// @dev The bound on deposits, with room for interest up to what is stored.
    uint256 internal constant MAX_ASSETS = 1 << 127;

    uint256 internal immutable PENALTY_BPS;

    constructor(Setup memory setup) VaultPositions(setup) ERC4626(IERC20(setup.asset)) ERC20(setup.name, setup.symbol) {
        _requireWithin(setup.penaltyBps, MIN_PENALTY_BPS, MAX_PENALTY_BPS);
        PENALTY_BPS = setup.penaltyBps;
        // The core pulls what is supplied; the vault supplies nothing else than its idle tokens.
        SafeERC20.forceApprove(IERC20(setup.asset), setup.plimsoll, type(uint256).max);
    }

    /* DEPOSITS */

    /// @notice Supplies assets for shares: to the deposit market as far as its caps allow, and idle otherwise.
    function deposit(uint256 assets, address receiver) public override returns (uint256) {
        return deposit(assets, receiver, 0);
    }

    /// @inheritdoc IVault
    function deposit(uint256 assets, address receiver, uint256 minShares) public nonReentrant returns (uint256 shares) {
        Books memory b = _accrue();
        uint256 most = _maxDeposit(b);
        if (assets > most) revert ERC4626ExceededMaxDeposit(receiver, assets, most);
        shares = b.toShares(assets, false);
        if (shares < minShares) revert LimitExceeded(shares, minShares);
        _enter(b, assets, shares, receiver);
    }

    /// @notice Supplies the assets that this many shares cost.
    function mint(uint256 shares, address receiver) public override returns (uint256) {
        return mint(shares, receiver, type(uint256).max);
    }

    /// @inheritdoc IVault
    function mint(uint256 shares, address receiver, uint256 maxAssets) public nonReentrant returns (uint256 assets) {
        Books memory b = _accrue();
        uint256 most = _maxMint(b);
        if (shares > most) revert ERC4626ExceededMaxMint(receiver, shares, most);
        assets = b.toAssets(shares, true);
        if (assets > maxAssets) revert LimitExceeded(assets, maxAssets);
        _enter(b, assets, shares, receiver);
    }

    function _enter(Books memory b, uint256 assets, uint256 shares, address receiver) internal {
        if (shares == 0 || assets == 0) revert AmountTooSmall(assets);
        ASSET.pull(msg.sender, assets);
        b.idle += assets;
        b.total += assets;
        _settings.idle = b.idle.toUint128();
        _totals.lastTotal = uint128(b.total);
        _mint(receiver, shares);
        emit Deposit(msg.sender, receiver, assets, shares);
        uint256 target = _settings.depositIndex;
        if (target != NONE) _allocate(b, target, assets);
    }

    /* EXITS */

    /// @notice Withdraws assets from idle and from markets with liquidity.
    function withdraw(uint256 assets, address receiver, address owner_) public override returns (uint256) {
        return withdraw(assets, receiver, owner_, type(uint256).max);
    }

    /// @inheritdoc IVault
    function withdraw(uint256 assets, address receiver, address owner_, uint256 maxShares)
        public
        nonReentrant
        returns (uint256 shares)
    {
        Books memory b = _accrue();
        shares = b.toShares(assets, true);
        if (shares > maxShares) revert LimitExceeded(shares, maxShares);
        _leave(b, assets, shares, receiver, owner_);
    }

    /// @notice Withdraws the assets of this many shares.
    function redeem(uint256 shares, address receiver, address owner_) public override returns (uint256) {
        return redeem(shares, receiver, owner_, 0);
    }

    /// @inheritdoc IVault
    function redeem(uint256 shares, address receiver, address owner_, uint256 minAssets)
        public
        nonReentrant
        returns (uint256 assets)
    {
        Books memory b = _accrue();
        assets = b.toAssets(shares, false);
        if (assets < minAssets) revert LimitExceeded(assets, minAssets);
        _leave(b, assets, shares, receiver, owner_);
    }

    function _leave(Books memory b, uint256 assets, uint256 shares, address receiver, address owner_) internal {
        _redeemShares(b, assets, shares, owner_);
        emit Withdraw(msg.sender, receiver, owner_, assets, shares);

        uint256 fromIdle = FixedPointMathLib.min(assets, b.idle);
        uint256 needed = assets - fromIdle;
        uint256 count = b.params.length;
        // In the order in which they are taken from.
        uint256[] memory indices = new uint256[](count);
        uint256[] memory taken = new uint256[](count);
        uint256[] memory burned = new uint256[](count);
        uint256 sources;
        uint256 whole;
        uint256 order = _withdrawOrder();
        uint256 used;
        for (uint256 n; n < count && needed != 0; ++n) {
            uint256 i;
            (i, order) = _nextIndex(order, used);
            used |= 1 << i;
            uint256 part = FixedPointMathLib.min(needed, b.withdrawable(i));
            if (part == 0) continue;
            needed -= part;
            if (part == b.values[i]) whole |= 1 << i;
            uint256 sharesBurned = _takeOut(b, i, part);
            (indices[sources], taken[sources], burned[sources]) = (i, part, sharesBurned);
            ++sources;
            emit Deallocate(b.params[i].idOf(), part, sharesBurned, false);
        }
        if (needed != 0) revert NotEnoughLiquidity(assets, assets - needed);
        if (fromIdle != 0) _settings.idle = uint128(b.idle - fromIdle);

        ASSET.push(receiver, fromIdle);
        for (uint256 n; n < sources; ++n) {
            uint256 i = indices[n];
            _withdrawFrom(b.params[i], taken[n], burned[n], whole >> i & 1 != 0, receiver);
        }
    }

    /// @inheritdoc IVault
    function redeemInKind(uint256 shares, address receiver, address owner_, bool leaveIdle)
        external
        nonReentrant
        returns (uint256 assets)
    {
        Books memory b = _accrue();
        assets = b.toAssets(shares, false);
        // What the last holder left would belong to nobody.
        if (shares != b.supply) assets = assets * (BPS - PENALTY_BPS) / BPS;
        _redeemShares(b, assets, shares, owner_);
        emit Withdraw(msg.sender, receiver, owner_, assets, shares);

        // By the larger of the two: a loss later in this transaction than the update of the value is the leaver's, too,
        // and a gain that is not recognised yet is not his.
        uint256 base = FixedPointMathLib.max(FixedPointMathLib.max(b.real, b.total), 1);
        uint256 idleOut = leaveIdle ? 0 : FixedPointMathLib.fullMulDiv(b.idle, assets, base);
        _settings.idle = uint128(b.idle - idleOut);
        uint256[] memory out = new uint256[](b.params.length);
        for (uint256 i; i < out.length; ++i) {
            out[i] = FixedPointMathLib.fullMulDiv(b.counted[i], assets, base);
            _counted[i] = uint128(b.counted[i] - out[i]);
        }
        emit RedeemInKind(owner_, receiver, idleOut, out);
        for (uint256 i; i < out.length; ++i) {
            if (out[i] != 0) PLIMSOLL.transferSupply(b.params[i].idOf(), out[i], address(this), receiver);
        }
        ASSET.push(receiver, idleOut);
    }

    /// @dev Burns shares and takes their assets out of the total.
    function _redeemShares(Books memory b, uint256 assets, uint256 shares, address owner_) internal {
        if (msg.sender != owner_) _spendAllowance(owner_, msg.sender, shares);
        _burn(owner_, shares);
        _totals.lastTotal = uint128(b.total - assets);
    }

    /// @inheritdoc IVault
    function accrue() external nonReentrant {
        _accrue();
    }

    /* ALLOCATION */

    /// @inheritdoc IVault
    function reallocate(Source[] calldata sources, Target[] calldata targets, uint256 minIdle, uint256 deadline)
        external
        nonReentrant
    {
        if (!isAllocator[msg.sender]) revert Unauthorized(msg.sender);
        if (block.timestamp > deadline) revert DeadlinePassed(deadline);
        Books memory b = _accrue();
        for (uint256 n; n < sources.length; ++n) {
            _deallocate(b, _indexOf(b.params, sources[n].id), sources[n].assets);
        }
        for (uint256 n; n < targets.length; ++n) {
            uint256 i = _indexOf(b.params, targets[n].id);
            _loadMarket(b, i);
            // A market that is used up would let others out by the vault's tokens.
            if (b.isUtilisedAbove(i, targets[n].maxUtilisationBps)) continue;
            uint256 assets = FixedPointMathLib.min(targets[n].assets, FixedPointMathLib.zeroFloorSub(b.idle, minIdle));
            assets = FixedPointMathLib.min(assets, _room(b, i, _firstTotal));
            if (b.supplyRateAfter(i, assets) < targets[n].minRatePerSecond) continue;
            _allocate(b, i, assets);
        }
    }

    /// @inheritdoc IVault
    function deallocate(MarketId id) external nonReentrant {
        if (!isAllocator[msg.sender] && msg.sender != curator && msg.sender != guardian) {
            revert Unauthorized(msg.sender);
        }
        Books memory b = _accrue();
        _deallocate(b, _indexOf(b.params, id), type(uint256).max);
    }

    /// @inheritdoc IVault
    function setDepositMarket(MarketId id) external nonReentrant {
        bool toNone = MarketId.unwrap(id) == 0 && (msg.sender == curator || msg.sender == guardian);
        if (!isAllocator[msg.sender] && !toNone) revert Unauthorized(msg.sender);
        _storeDepositMarket(id);
    }

    /// @inheritdoc IVault
    function setWithdrawOrder(MarketId[] calldata ids) external nonReentrant {
        if (!isAllocator[msg.sender]) revert Unauthorized(msg.sender);
        _storeWithdrawOrder(ids);
    }

    /* CHANGES */

    /// @inheritdoc IVault
    function enableMarket(MarketId id) external onlySubmitted nonReentrant {
        _enableMarket(id);
    }

    /// @inheritdoc IVault
    function removeMarket(MarketId id) external nonReentrant {
        Books memory b = _accrue();
        uint256 i = _indexOf(b.params, id);
        if (b.values[i] != 0) revert MarketNotEmpty(id, b.values[i]);
        if (msg.sender != address(this) && (msg.sender != curator || b.counted[i] != 0)) {
            revert Unauthorized(msg.sender);
        }
        _removeMarket(b, i);
    }

    /// @inheritdoc IVault
    function setCap(bytes32 capId, uint256 absolute, uint256 relativeBps) external nonReentrant {
        StoredCap memory old = _caps[capId];
        bool lowers = absolute <= old.absolute && relativeBps <= old.relativeBps;
        if (msg.sender != address(this) && !(lowers && (msg.sender == curator || msg.sender == guardian))) {
            revert Unauthorized(msg.sender);
        }
        _storeCap(capId, absolute, relativeBps);
    }

    /// @inheritdoc IVault
    function nudgeCap(bytes32 capId, uint256 absolute) external nonReentrant {
        if (msg.sender != curator) revert Unauthorized(msg.sender);
        StoredCap storage stored = _caps[capId];
        uint256 most = stored.absolute + uint256(stored.absolute) * NUDGE_BPS / BPS;
        if (absolute > most || absolute > type(uint128).max) revert NudgeTooLarge(absolute, most);
        uint256 possibleAt = stored.lastNudge + NUDGE_SECS;
        if (stored.lastNudge != 0 && block.timestamp < possibleAt) revert NudgeTooSoon(possibleAt);
        (stored.absolute, stored.lastNudge) = (uint128(absolute), uint40(block.timestamp));
        emit NudgeCap(capId, absolute);
    }

    /// @inheritdoc IVault
    function setFee(uint256 feeBps) external nonReentrant {
        _accrue();
        bool lowers = feeBps <= _settings.feeBps;
        if (msg.sender != address(this) && !(lowers && msg.sender == owner)) revert Unauthorized(msg.sender);
        _storeFee(feeBps);
    }

    /// @inheritdoc IVault
    function setMaxRate(uint256 maxRatePerSecond) external nonReentrant {
        _accrue();
        bool lowers = maxRatePerSecond <= _settings.maxRate;
        if (msg.sender != address(this) && !(lowers && (msg.sender == owner || msg.sender == curator))) {
            revert Unauthorized(msg.sender);
        }
        _storeMaxRate(maxRatePerSecond);
    }

    /// @inheritdoc IVault
    function setFeeRecipient(address recipient) external onlySubmitted nonReentrant {
        _accrue();
        _storeFeeRecipient(recipient);
    }

    /* VIEWS */

    /// @notice Returns the assets that belong to the shares, up to now.
    function totalAssets() public view override returns (uint256) {
        return _load().total;
    }

    /// @notice Returns the assets that may still be deposited before a bound is reached.
    function maxDeposit(address) public view override returns (uint256) {
        return _maxDeposit(_load());
    }

    /// @notice Returns the shares that may still be minted before a bound is reached.
    function maxMint(address) public view override returns (uint256) {
        return _maxMint(_load());
    }

    /// @notice Returns the assets of an account that idle tokens and the markets' liquidity can pay now.
    function maxWithdraw(address account) public view override returns (uint256) {
        Books memory b = _load();
        return FixedPointMathLib.min(b.toAssets(balanceOf(account), false), _liquid(b));
    }

    /// @notice Returns the shares of an account that idle tokens and the markets' liquidity can pay now.
    function maxRedeem(address account) public view override returns (uint256) {
        Books memory b = _load();
        uint256 shares = balanceOf(account);
        uint256 liquid = _liquid(b);
        if (b.toAssets(shares, false) <= liquid) return shares;
        return FixedPointMathLib.min(shares, b.toShares(liquid, false));
    }

    /// @inheritdoc IVault
    function holdings() external view returns (Holding[] memory all) {
        Books memory b = _load();
        uint256 base = _isAccrued() ? _firstTotal : b.total;
        all = new Holding[](b.params.length);
        for (uint256 i; i < all.length; ++i) {
            all[i] = Holding({
                id: b.params[i].idOf(),
                shares: b.counted[i],
                assets: b.values[i],
                withdrawable: b.withdrawable(i),
                room: _room(b, i, base)
            });
        }
    }

    /// @inheritdoc IVault
    function state() external view returns (State memory s) {
        StoredSettings memory settings = _settings;
        s.lastTotal = _totals.lastTotal;
        s.highWaterMark = _totals.highWaterMark;
        s.idle = settings.idle;
        s.lastUpdate = settings.lastUpdate;
        s.maxRatePerSecond = settings.maxRate;
        s.feeBps = settings.feeBps;
        if (settings.depositIndex != NONE) s.depositMarket = _marketParams()[settings.depositIndex].idOf();
    }

    /// @inheritdoc IVault
    function markets() external view returns (MarketParams[] memory) {
        return _marketParams();
    }

    /// @inheritdoc IVault
    function withdrawOrder() external view returns (MarketId[] memory ids) {
        MarketParams[] memory params = _marketParams();
        ids = new MarketId[](params.length);
        uint256 order = _withdrawOrder();
        uint256 used;
        for (uint256 n; n < ids.length; ++n) {
            uint256 i;
            (i, order) = _nextIndex(order, used);
            used |= 1 << i;
            ids[n] = params[i].idOf();
        }
    }

    /// @inheritdoc IVault
    function cap(bytes32 capId) external view returns (Cap memory) {
        StoredCap memory stored = _caps[capId];
        return Cap({absolute: stored.absolute, relativeBps: stored.relativeBps, lastNudge: stored.lastNudge});
    }

    /// @inheritdoc IVault
    function plimsoll() external view returns (address) {
        return address(PLIMSOLL);
    }

    /// @inheritdoc IVault
    function penaltyBps() external view returns (uint256) {
        return PENALTY_BPS;
    }

    /// @inheritdoc IVault
    function nudgeBps() external view returns (uint256) {
        return NUDGE_BPS;
    }

    /// @inheritdoc IVault
    function nudgeSecs() external view returns (uint256) {
        return NUDGE_SECS;
    }

    function decimals() public view override(ERC20, ERC4626) returns (uint8) {
        return ERC4626.decimals();
    }

    function _maxDeposit(Books memory b) internal pure returns (uint256) {
        uint256 bySupply = b.toAssets(BooksMath.MAX_SHARES - b.supply, false);
        return FixedPointMathLib.min(FixedPointMathLib.zeroFloorSub(MAX_ASSETS, b.total), bySupply);
    }

    function _maxMint(Books memory b) internal pure returns (uint256) {
        uint256 byTotal = b.toShares(FixedPointMathLib.zeroFloorSub(MAX_ASSETS, b.total), false);
        return FixedPointMathLib.min(BooksMath.MAX_SHARES - b.supply, byTotal);
    }

    /// @dev Returns what a withdrawal could pay: idle tokens, and of each position what its market has liquidity for.
    function _liquid(Books memory b) internal pure returns (uint256 assets) {
        assets = b.idle;
        for (uint256 i; i < b.params.length; ++i) {
            assets += b.withdrawable(i);
        }
    }

    function _decimalsOffset() internal pure override returns (uint8) {
        return SHARE_DECIMALS_OFFSET;
    }

    function _convertToShares(uint256 assets, Math.Rounding rounding) internal view override returns (uint256) {
        return _load().toShares(assets, rounding == Math.Rounding.Ceil);
    }

    function _convertToAssets(uint256 shares, Math.Rounding rounding) internal view override returns (uint256) {
        return _load().toAssets(shares, rounding == Math.Rounding.Ceil);
    }
}
