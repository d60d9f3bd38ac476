// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {IPlimsoll} from "../interfaces/IPlimsoll.sol";

/// @title Token transfers that say what failed
/// @notice Takes tokens that answer true or nothing, refuses those that answer anything else or are no contracts, and
/// never asks for a transfer of 0, which some tokens refuse. Copies one word of what comes back, never more: a token
/// cannot make its caller pay for memory.
library Tokens {
    function send(address token, address to, uint256 amount) internal {
        if (amount == 0) return;
        if (!trySend(token, to, amount, gasleft())) {
            revert IPlimsoll.TransferFailed(token, address(this), to, amount);
        }
    }

    /// @notice Sends if the token does so within `gasLimit`. Never reverts, whatever the token does.
    /// @return sent whether it did; if not, nothing has happened, unless the token lies
    function trySend(address token, address to, uint256 amount, uint256 gasLimit) internal returns (bool sent) {
        bool done;
        assembly ("memory-safe") {
            // transfer(to, amount), laid out over the scratch space and the first half of the free memory pointer,
            // which is 0 and is put back to it.
            mstore(0x14, to)
            mstore(0x34, amount)
            mstore(0x00, 0xa9059cbb000000000000000000000000)
            done := call(gasLimit, token, 0, 0x10, 0x44, 0x00, 0x20)
            mstore(0x34, 0)
        }
        return _answersYes(done, token);
    }

    function take(address token, address from, uint256 amount) internal {
        if (amount == 0) return;
        bool done;
        assembly ("memory-safe") {
            // transferFrom(from, this, amount), laid out from 0x1c on; what it covers of the memory's head (the free
            // memory pointer and the zero slot) is put back.
            let free := mload(0x40)
            mstore(0x00, 0x23b872dd)
            mstore(0x20, and(from, 0xffffffffffffffffffffffffffffffffffffffff))
            mstore(0x40, address())
            mstore(0x60, amount)
            done := call(gas(), token, 0, 0x1c, 0x64, 0x00, 0x20)
            mstore(0x60, 0)
            mstore(0x40, free)
        }
        if (!_answersYes(done, token)) revert IPlimsoll.TransferFailed(token, from, address(this), amount);
    }

    /// @notice What `account` holds; 0 where the token does not say.
    function balanceOrZero(address token, address account) internal view returns (uint256 held) {
        assembly ("memory-safe") {
            // balanceOf(account)
            mstore(0x14, account)
            mstore(0x00, 0x70a08231000000000000000000000000)
            let done := staticcall(gas(), token, 0x10, 0x24, 0x00, 0x20)
            if and(done, gt(returndatasize(), 0x1f)) { held := mload(0x00) }
        }
    }

    /// @dev Judges the call that was just made, whose first word of answer lies at 0.
    function _answersYes(bool done, address token) private view returns (bool yes) {
        assembly ("memory-safe") {
            switch returndatasize()
            case 0 { yes := and(done, gt(extcodesize(token), 0)) }
            default { yes := and(done, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))) }
        }
    }
}
