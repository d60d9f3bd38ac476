// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IBackstop} from "../interfaces/IBackstop.sol";
import {IERC4626} from "../interfaces/IERC4626.sol";
import {IFeeSplitter} from "../interfaces/IFeeSplitter.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {MarketParams} from "../types/MarketParams.sol";

/// @title Splitter of markets' fees between a backstop and a treasury.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IFeeSplitter`.
/// @dev Divides its balance instead of the amounts that it collected, since anyone may make the core pay a reserve out.
/// The lock prevents a token's callback from dividing one part again before the other is sent.
contract FeeSplitter is IFeeSplitter, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 internal constant BPS = 10_000;

    IPlimsoll internal immutable PLIMSOLL;
    IBackstop internal immutable BACKSTOP;
    address internal immutable TREASURY;
    address internal immutable ASSET;
    uint256 internal immutable TREASURY_BPS;

    /// @dev The treasury's part below one unit that is carried over, in units / 10,000: without it, collecting unit by
    /// unit would leave the treasury nothing.
    uint256 internal _treasuryRemainder;

    constructor(address backstop_, address treasury_, uint256 treasuryBps_) {
        if (backstop_ == address(0) || treasury_ == address(0)) revert ZeroAddress();
        if (treasuryBps_ > BPS) revert InvalidPart(treasuryBps_);
        BACKSTOP = IBackstop(backstop_);
        PLIMSOLL = IPlimsoll(IBackstop(backstop_).plimsoll());
        ASSET = IERC4626(backstop_).asset();
        TREASURY = treasury_;
        TREASURY_BPS = treasuryBps_;
        IERC20(ASSET).forceApprove(backstop_, type(uint256).max);
    }

    /// @inheritdoc IFeeSplitter
    function collect(MarketParams calldata params) external returns (uint256, uint256) {
        PLIMSOLL.collectReserve(params);
        return distribute(params.loanToken);
    }

    /// @inheritdoc IFeeSplitter
    function distribute(address token) public nonReentrant returns (uint256 toBackstop, uint256 toTreasury) {
        uint256 assets = IERC20(token).balanceOf(address(this));
        if (assets == 0) return (0, 0);
        toTreasury = token == ASSET ? _treasuryPart(assets) : assets;
        toBackstop = assets - toTreasury;
        emit Distribute(token, toBackstop, toTreasury);
        if (toBackstop != 0) BACKSTOP.addIncome(toBackstop);
        if (toTreasury != 0) IERC20(token).safeTransfer(TREASURY, toTreasury);
    }

    /// @dev Returns the treasury's part of an amount: at most `assets`, since the remainder is less than a unit.
    function _treasuryPart(uint256 assets) internal returns (uint256 part) {
        uint256 exact = assets * TREASURY_BPS + _treasuryRemainder;
        part = exact / BPS;
        _treasuryRemainder = exact % BPS;
    }

    /* IMMUTABLES */

    /// @inheritdoc IFeeSplitter
    function plimsoll() external view returns (address) {
        return address(PLIMSOLL);
    }

    /// @inheritdoc IFeeSplitter
    function backstop() external view returns (address) {
        return address(BACKSTOP);
    }

    /// @inheritdoc IFeeSplitter
    function treasury() external view returns (address) {
        return TREASURY;
    }

    /// @inheritdoc IFeeSplitter
    function asset() external view returns (address) {
        return ASSET;
    }

    /// @inheritdoc IFeeSplitter
    function treasuryBps() external view returns (uint256) {
        return TREASURY_BPS;
    }
}
