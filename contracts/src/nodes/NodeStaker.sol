// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRewards} from "../interfaces/IRewards.sol";

/// @title Account that holds a node's stake in the emission pool.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Lets its creator act for it for ever and leaves no code, so that it can do nothing else.
contract NodeStaker {
    constructor(IRewards rewards) {
        rewards.setAuthorization(msg.sender, type(uint256).max);
        assembly ("memory-safe") {
            return(0, 0)
        }
    }
}
