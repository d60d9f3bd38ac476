// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IDepositCollector} from "../interfaces/IDepositCollector.sol";
import {IERC3009} from "../interfaces/IERC3009.sol";
import {IERC3009Collector} from "../interfaces/IERC3009Collector.sol";
import {Tokens} from "../libraries/Tokens.sol";

/// @title Collector of deposits by ERC-3009 authorisations.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice See `IERC3009Collector`.
contract ERC3009Collector is IDepositCollector, IERC3009Collector {
    using Tokens for address;

    address private immutable CHANNELS;

    constructor(address channels_) {
        if (channels_.code.length == 0) revert NoCode(channels_);
        CHANNELS = channels_;
    }

    /// @inheritdoc IDepositCollector
    /// @dev The authorisation names the amount, and the channels contract compares what arrives, so a token that
    /// delivers less to this contract makes the deposit fail.
    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata data) external {
        if (msg.sender != CHANNELS) revert OnlyChannels(msg.sender);
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(data, (uint256, uint256, uint256, bytes));
        bytes32 nonce = keccak256(abi.encode(channelId, salt));
        IERC3009(token)
            .receiveWithAuthorization(payer, address(this), amount, validAfter, validBefore, nonce, signature);
        token.push(CHANNELS, amount);
    }

    /// @inheritdoc IERC3009Collector
    function channels() external view returns (address) {
        return CHANNELS;
    }
}
