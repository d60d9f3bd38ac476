// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20, ERC4626, IERC20} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IBackstop} from "../interfaces/IBackstop.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {MarketId} from "../types/MarketParams.sol";

/// @title Backstop vault for the bad debt of chosen markets.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IBackstop`, and `IERC4626` for the standard functions, which OpenZeppelin's contract implements.
/// @dev All assets are cover in the core: `totalAssets` reads it, losses lower it, and tokens sent to the vault or to
/// the core change nothing. A million virtual shares and one virtual asset set the initial share price, as in the core.
///
/// Tokens are called before shares and cover change or after both did, so a price read during a callback is correct.
/// The lock prevents a caller from changing the price between the pricing of a deposit and its execution.
contract Backstop is IBackstop, ERC4626, ReentrancyGuardTransient {
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    /// @dev A hundredth of all deposits and income is out of reach of losses.
    uint256 internal constant FLOOR_DIVISOR = 100;
    uint256 internal constant MIN_TIME_SECS = 1 days;
    uint256 internal constant MAX_TIME_SECS = 60 days;
    /// @dev The time that depositors have, after a higher limit was announced, to start a cooldown whose whole window
    /// ends before the limit can be applied.
    uint256 internal constant NOTICE_SECS = 1 days;
    uint8 internal constant SHARE_DECIMALS_OFFSET = 6;
    /// @dev The bounds of total assets and shares, so that shares fit `StoredCooldown`. The bound on shares could
    /// affect a deposit only after the vault was filled and emptied a dozen times, losing all but a hundredth each
    /// time.
    uint256 internal constant MAX_ASSETS = type(uint128).max;
    uint256 internal constant MAX_SHARES = type(uint192).max;

    struct StoredCooldown {
        uint192 shares;
        uint64 opensAt;
    }

    struct StoredAnnouncement {
        uint256 limit;
        uint256 announcedAt;
    }

    IPlimsoll internal immutable PLIMSOLL;
    uint256 internal immutable COOLDOWN_SECS;
    uint256 internal immutable WINDOW_SECS;

    /// @inheritdoc IBackstop
    address public curator;
    /// @inheritdoc IBackstop
    address public pendingCurator;
    mapping(address => StoredCooldown) internal _cooldowns;
    mapping(MarketId => StoredAnnouncement) internal _announcements;

    constructor(
        address plimsoll_,
        address asset_,
        address firstCurator,
        uint256 cooldownSecs_,
        uint256 windowSecs_,
        string memory name_,
        string memory symbol_
    ) ERC4626(IERC20(asset_)) ERC20(name_, symbol_) {
        if (plimsoll_ == address(0) || asset_ == address(0) || firstCurator == address(0)) {
            revert ZeroAddress();
        }
        if (windowSecs_ < MIN_TIME_SECS || windowSecs_ > cooldownSecs_ || cooldownSecs_ > MAX_TIME_SECS) {
            revert InvalidTimes(cooldownSecs_, windowSecs_);
        }
        PLIMSOLL = IPlimsoll(plimsoll_);
        COOLDOWN_SECS = cooldownSecs_;
        WINDOW_SECS = windowSecs_;
        curator = firstCurator;
        emit CuratorshipTransferred(address(0), firstCurator);
        // The core pulls deposits and income; the vault holds no other tokens.
        IERC20(asset_).forceApprove(plimsoll_, type(uint256).max);
    }

    modifier onlyCurator() {
        if (msg.sender != curator) revert NotCurator(msg.sender);
        _;
    }

    /* LEAVING */

    /// @inheritdoc IBackstop
    function startCooldown(uint256 shares) external {
        uint256 held = balanceOf(msg.sender);
        if (shares > held) revert InsufficientShares(shares, held);
        uint256 opensAt = block.timestamp + COOLDOWN_SECS;
        _cooldowns[msg.sender] = StoredCooldown({shares: shares.toUint192(), opensAt: opensAt.toUint64()});
        emit StartCooldown(msg.sender, shares, opensAt, opensAt + WINDOW_SECS);
    }

    /// @inheritdoc IBackstop
    function cooldown(address account) public view returns (Cooldown memory c) {
        StoredCooldown memory stored = _cooldowns[account];
        if (stored.shares == 0) return c;
        return Cooldown({shares: stored.shares, opensAt: stored.opensAt, closesAt: stored.opensAt + WINDOW_SECS});
    }

    /// @notice Returns the shares in cooldown if their window is open, else 0.
    function maxRedeem(address account) public view override returns (uint256) {
        Cooldown memory c = cooldown(account);
        return block.timestamp < c.opensAt || block.timestamp > c.closesAt ? 0 : c.shares;
    }

    /// @dev Shares that leave an account are subtracted from its cooldown first, and shares that it receives are not
    /// added: so shares received during an open window cannot be redeemed in it, whatever transfers are made.
    function _update(address from, address to, uint256 shares) internal override {
        super._update(from, to, shares);
        uint256 cooling = _cooldowns[from].shares;
        if (cooling != 0) _cooldowns[from].shares = FixedPointMathLib.zeroFloorSub(cooling, shares).toUint192();
    }

    /* THE VAULT */

    /// @notice Returns the vault's cover in the core. The vault holds no tokens, and tokens sent to it do not count.
    function totalAssets() public view override returns (uint256) {
        return PLIMSOLL.cover(address(this), asset());
    }

    /// @notice Returns the assets that may still be deposited before a bound is reached.
    function maxDeposit(address) public view override returns (uint256) {
        return FixedPointMathLib.min(_assetsLeft(), _convertToAssets(_sharesLeft(), Math.Rounding.Floor));
    }

    /// @notice Returns the shares that may still be minted before a bound is reached.
    function maxMint(address) public view override returns (uint256) {
        return FixedPointMathLib.min(_sharesLeft(), _convertToShares(_assetsLeft(), Math.Rounding.Floor));
    }

    /// @dev The shares are minted before the core pulls the tokens, since the core adds the cover before it calls the
    /// token.
    function _deposit(address caller, address receiver, uint256 assets, uint256 shares) internal override nonReentrant {
        if (shares == 0) revert AmountTooSmall(assets);
        IERC20(asset()).safeTransferFrom(caller, address(this), assets);
        _mint(receiver, shares);
        emit Deposit(caller, receiver, assets, shares);
        _addCover(assets);
    }

    function _withdraw(address caller, address receiver, address owner, uint256 assets, uint256 shares)
        internal
        override
        nonReentrant
    {
        super._withdraw(caller, receiver, owner, assets, shares);
    }

    /// @dev Withdraws cover and lowers the floor by the same part. Shares worth less than a unit are redeemed for
    /// nothing.
    function _transferOut(address to, uint256 assets) internal override {
        if (assets == 0) return;
        uint256 covered = totalAssets();
        uint256 floor = PLIMSOLL.coverFloor(address(this), asset());
        PLIMSOLL.setCoverFloor(asset(), FixedPointMathLib.fullMulDivUp(floor, covered - assets, covered));
        PLIMSOLL.withdrawCover(asset(), assets, to);
    }

    function _addCover(uint256 assets) internal {
        uint256 floor = PLIMSOLL.coverFloor(address(this), asset());
        PLIMSOLL.setCoverFloor(asset(), floor + FixedPointMathLib.divUp(assets, FLOOR_DIVISOR));
        PLIMSOLL.depositCover(asset(), assets);
    }

    function _assetsLeft() internal view returns (uint256) {
        return FixedPointMathLib.zeroFloorSub(MAX_ASSETS, totalAssets());
    }

    function _sharesLeft() internal view returns (uint256) {
        return MAX_SHARES - totalSupply();
    }

    function _decimalsOffset() internal pure override returns (uint8) {
        return SHARE_DECIMALS_OFFSET;
    }

    function _convertToShares(uint256 assets, Math.Rounding rounding) internal view override returns (uint256) {
        return _mulDivSaturated(assets, totalSupply() + 10 ** SHARE_DECIMALS_OFFSET, totalAssets() + 1, rounding);
    }

    function _convertToAssets(uint256 shares, Math.Rounding rounding) internal view override returns (uint256) {
        return _mulDivSaturated(shares, totalAssets() + 1, totalSupply() + 10 ** SHARE_DECIMALS_OFFSET, rounding);
    }

    /// @dev Returns x·y/d, or the largest number if that is larger, so that views do not revert. No deposit comes near
    /// it.
    function _mulDivSaturated(uint256 x, uint256 y, uint256 d, Math.Rounding rounding) internal pure returns (uint256) {
        if (y > d && x > Math.mulDiv(type(uint256).max, d, y)) return type(uint256).max;
        return Math.mulDiv(x, y, d, rounding);
    }

    /* INCOME */

    /// @inheritdoc IBackstop
    function addIncome(uint256 assets) external nonReentrant {
        if (assets == 0) revert AmountTooSmall(assets);
        if (totalSupply() == 0) revert NoShares();
        IERC20(asset()).safeTransferFrom(msg.sender, address(this), assets);
        emit AddIncome(msg.sender, assets);
        _addCover(assets);
    }

    /* COVERED MARKETS */

    /// @inheritdoc IBackstop
    function announceLimit(MarketId id, uint256 limit_) external onlyCurator {
        address loanToken = PLIMSOLL.marketParams(id).loanToken;
        if (loanToken != asset()) revert WrongLoanToken(id, loanToken, asset());
        _announcements[id] = StoredAnnouncement({limit: limit_, announcedAt: block.timestamp});
        emit AnnounceLimit(id, limit_);
    }

    /// @inheritdoc IBackstop
    function cancelLimit(MarketId id) external onlyCurator {
        _requireAnnounced(id);
        delete _announcements[id];
        emit CancelLimit(id);
    }

    /// @inheritdoc IBackstop
    function applyLimit(MarketId id) external {
        _requireAnnounced(id);
        Announcement memory a = announcedLimit(id);
        if (block.timestamp < a.opensAt || block.timestamp > a.closesAt) {
            revert LimitNotApplicable(id, a.opensAt, a.closesAt);
        }
        delete _announcements[id];
        emit ApplyLimit(id, a.limit);
        PLIMSOLL.setCoverLimit(id, a.limit);
    }

    /// @inheritdoc IBackstop
    function announcedLimit(MarketId id) public view returns (Announcement memory a) {
        StoredAnnouncement memory stored = _announcements[id];
        if (stored.announcedAt == 0) return a;
        uint256 opensAt = stored.announcedAt + (stored.limit > limit(id) ? raiseDelaySecs() : COOLDOWN_SECS);
        return Announcement({limit: stored.limit, opensAt: opensAt, closesAt: opensAt + WINDOW_SECS});
    }

    /// @inheritdoc IBackstop
    function limit(MarketId id) public view returns (uint256) {
        return PLIMSOLL.coverLimit(address(this), id);
    }

    function _requireAnnounced(MarketId id) internal view {
        if (_announcements[id].announcedAt == 0) revert LimitNotAnnounced(id);
    }

    /* CURATOR */

    /// @inheritdoc IBackstop
    function transferCuratorship(address newCurator) external onlyCurator {
        pendingCurator = newCurator;
        emit CuratorshipTransferStarted(curator, newCurator);
    }

    /// @inheritdoc IBackstop
    function acceptCuratorship() external {
        if (msg.sender != pendingCurator) revert NotPendingCurator(msg.sender);
        emit CuratorshipTransferred(curator, msg.sender);
        curator = msg.sender;
        pendingCurator = address(0);
    }

    /* IMMUTABLES */

    /// @inheritdoc IBackstop
    function plimsoll() external view returns (address) {
        return address(PLIMSOLL);
    }

    /// @inheritdoc IBackstop
    function cooldownSecs() external view returns (uint256) {
        return COOLDOWN_SECS;
    }

    /// @inheritdoc IBackstop
    function windowSecs() external view returns (uint256) {
        return WINDOW_SECS;
    }

    /// @inheritdoc IBackstop
    function raiseDelaySecs() public view returns (uint256) {
        return COOLDOWN_SECS + WINDOW_SECS + NOTICE_SECS;
    }
}
