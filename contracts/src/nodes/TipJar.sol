// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IChannels} from "../interfaces/IChannels.sol";
import {ITipJar} from "../interfaces/ITipJar.sol";
import {Tokens} from "../libraries/Tokens.sol";

/// @title Receiver of payment channels that pays for its collection.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `ITipJar`.
contract TipJar is ITipJar {
    using Tokens for address;

    uint256 private constant BPS = 10_000;
    uint256 private constant MAX_TIP_BPS = 2000;

    IChannels private immutable CHANNELS;
    address private immutable OPERATOR;
    uint256 private immutable TIP_BPS;

    constructor(address channels_, address operator_, uint256 tipBps_) {
        if (channels_.code.length == 0) revert NoCode(channels_);
        if (operator_ == address(0)) revert ZeroAddress();
        if (tipBps_ > MAX_TIP_BPS) revert TipTooHigh(tipBps_, MAX_TIP_BPS);
        CHANNELS = IChannels(channels_);
        OPERATOR = operator_;
        TIP_BPS = tipBps_;
    }

    /// @inheritdoc ITipJar
    /// @dev A token that calls back while the operator is paid can only collect what is the tip, which then cannot be
    /// paid: the whole call reverts.
    function collect(address token, IChannels.VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external
        returns (uint256 tip)
    {
        if (voucherClaims.length != 0) CHANNELS.claimWithSignature(voucherClaims, authorizerSignature);
        CHANNELS.settle(address(this), token);
        uint256 amount = IERC20(token).balanceOf(address(this));
        if (amount == 0) revert ZeroAmount();
        tip = amount * TIP_BPS / BPS;
        emit Collect(token, msg.sender, amount, tip);
        token.push(OPERATOR, amount - tip);
        token.push(msg.sender, tip);
    }

    /// @inheritdoc ITipJar
    function channels() external view returns (address) {
        return address(CHANNELS);
    }

    /// @inheritdoc ITipJar
    function operator() external view returns (address) {
        return OPERATOR;
    }

    /// @inheritdoc ITipJar
    function tipBps() external view returns (uint256) {
        return TIP_BPS;
    }
}
