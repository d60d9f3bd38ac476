// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IDepositCollector} from "plimsoll/interfaces/IDepositCollector.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice A collector that mints what it is asked for, plus `extra` less `missing`.
contract MintingCollector is IDepositCollector {
    uint256 public extra;
    uint256 public missing;
    bytes public lastCall;

    function set(uint256 extra_, uint256 missing_) external {
        (extra, missing) = (extra_, missing_);
    }

    function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata data) external {
        lastCall = abi.encode(payer, token, amount, channelId, data);
        TestToken(token).mint(msg.sender, amount + extra - missing);
    }
}
