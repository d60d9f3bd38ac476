// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IBackstop} from "../interfaces/IBackstop.sol";
import {IERC4626} from "../interfaces/IERC4626.sol";
import {IFeeSplitter} from "../interfaces/IFeeSplitter.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {Tokens} from "../libraries/Tokens.sol";
import {MarketParams} from "../types/MarketParams.sol";

/// @title Splitter of markets' fees between a backstop and a treasury.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IFeeSplitter`.
/// @dev Divides what its balance grew by instead of the amounts that it collected, so that tokens which others sent here
/// are divided, too. The lock prevents a token's callback from dividing or paying one part again before the other is
/// paid.
contract FeeSplitter is IFeeSplitter, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using Tokens for address;

    uint256 internal constant BPS = 10_000;
    uint256 internal constant MAX_OWED = type(uint120).max;

    /// @dev What each side is still to be paid, in one slot, and the treasury's part below one unit that is carried
    /// over, in units / 10,000: without it, collecting unit by unit would leave the treasury nothing.
    struct Owed {
        uint120 toBackstop;
        uint120 toTreasury;
        uint16 treasuryRemainder;
    }

    IPlimsoll internal immutable PLIMSOLL;
    IBackstop internal immutable BACKSTOP;
    address internal immutable TREASURY;
    address internal immutable ASSET;
    uint256 internal immutable TREASURY_BPS;

    Owed internal _owed;

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
        bool isDivided = params.loanToken == ASSET && TREASURY_BPS != BPS;
        if (isDivided && IERC4626(address(BACKSTOP)).totalSupply() == 0) revert IBackstop.NoShares();
        PLIMSOLL.collectReserve(params);
        return distribute(params.loanToken);
    }

    /// @inheritdoc IFeeSplitter
    function distribute(address token) public nonReentrant returns (uint256 toBackstop, uint256 toTreasury) {
        uint256 balance = IERC20(token).balanceOf(address(this));
        if (balance == 0) return (0, 0);
        if (token != ASSET) {
            emit Distribute(token, 0, balance);
            IERC20(token).safeTransfer(TREASURY, balance);
            return (0, balance);
        }

        Owed memory owed_ = _owed;
        _divide(owed_, balance);
        if (owed_.toBackstop != 0 && _payBackstop(owed_.toBackstop)) {
            (toBackstop, owed_.toBackstop) = (owed_.toBackstop, 0);
        }
        if (owed_.toTreasury != 0 && _payTreasury(owed_.toTreasury, balance - toBackstop)) {
            (toTreasury, owed_.toTreasury) = (owed_.toTreasury, 0);
        }
        _owed = owed_;
        emit Distribute(token, toBackstop, toTreasury);
    }

    /// @dev Divides what the balance has beyond the amounts that are owed already. Amounts that do not fit remain
    /// undivided until some were paid.
    function _divide(Owed memory owed_, uint256 balance) internal view {
        uint256 undivided = FixedPointMathLib.zeroFloorSub(balance, uint256(owed_.toBackstop) + owed_.toTreasury);
        uint256 room = MAX_OWED - FixedPointMathLib.max(owed_.toBackstop, owed_.toTreasury);
        undivided = FixedPointMathLib.min(undivided, room);
        uint256 exact = undivided * TREASURY_BPS + owed_.treasuryRemainder;
        // The remainder is less than a unit, so the treasury's part is at most the whole.
        uint256 part = exact / BPS;
        owed_.treasuryRemainder = uint16(exact % BPS);
        owed_.toTreasury += uint120(part);
        owed_.toBackstop += uint120(undivided - part);
    }

    function _payBackstop(uint256 assets) internal returns (bool) {
        try BACKSTOP.addIncome(assets) {
            return true;
        } catch {
            return false;
        }
    }

    /// @dev A token that returns false must not have moved the tokens, or the treasury would be paid again.
    function _payTreasury(uint256 assets, uint256 balance) internal returns (bool) {
        uint256 outcome = ASSET.tryPush(TREASURY, assets, gasleft());
        if (outcome == Tokens.UNCONFIRMED && IERC20(ASSET).balanceOf(address(this)) != balance) {
            revert IPlimsoll.TransferFailed(ASSET, address(this), TREASURY, assets);
        }
        return outcome == Tokens.SENT;
    }

    /// @inheritdoc IFeeSplitter
    function owed() external view returns (uint256 toBackstop, uint256 toTreasury) {
        return (_owed.toBackstop, _owed.toTreasury);
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
