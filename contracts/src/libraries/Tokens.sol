// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {INodes} from "../interfaces/INodes.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";

/// @title Safe token transfer library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Transfers ERC-20 tokens that return true or nothing. A token that returns anything else, or that has no
/// code, counts as failing; its error names token, accounts and amount. A transfer of 0, which some tokens refuse, is
/// never requested. At most one word of return data is copied, so a token cannot make its caller pay for memory.
library Tokens {
    /// @dev The outcomes of `tryPush`.
    uint256 internal constant REVERTED = 0;
    uint256 internal constant UNCONFIRMED = 1;
    uint256 internal constant SENT = 2;

    /// @notice Transfers `amount` from this contract to `to`. Reverts with `TransferFailed` if the token fails.
    function push(address token, address to, uint256 amount) internal {
        if (amount == 0) return;
        if (tryPush(token, to, amount, gasleft()) != SENT) {
            revert IPlimsoll.TransferFailed(token, address(this), to, amount);
        }
    }

    /// @notice Transfers `amount` from this contract to `to` with at most `gasLimit` gas. Never reverts, whatever the
    /// token does.
    /// @return outcome `SENT`; `REVERTED`, so that no token was moved; or `UNCONFIRMED`: the token did not revert, so an
    /// inconsistent one may have moved the tokens all the same
    function tryPush(address token, address to, uint256 amount, uint256 gasLimit) internal returns (uint256 outcome) {
        assembly ("memory-safe") {
            // transfer(to, amount), encoded in the scratch space and the first half of the free memory pointer, which
            // is 0 and is restored to it.
            mstore(0x14, to)
            mstore(0x34, amount)
            mstore(0x00, 0xa9059cbb000000000000000000000000)
            outcome := call(gasLimit, token, 0, 0x10, 0x44, 0x00, 0x20)
            // Nothing returned by a contract, or true: 1 becomes 2.
            switch returndatasize()
            case 0 { outcome := shl(gt(extcodesize(token), 0), outcome) }
            default { outcome := shl(and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1)), outcome) }
            mstore(0x34, 0)
        }
    }

    /// @notice Transfers `amount` from `from` to this contract. Reverts with `TransferFailed` if the token fails.
    function pull(address token, address from, uint256 amount) internal {
        if (amount == 0) return;
        bool sent;
        assembly ("memory-safe") {
            // transferFrom(from, this, amount), encoded from 0x1c on; the reserved words that it overwrites (the free
            // memory pointer and the zero slot) are restored.
            let free := mload(0x40)
            mstore(0x00, 0x23b872dd)
            mstore(0x20, and(from, 0xffffffffffffffffffffffffffffffffffffffff))
            mstore(0x40, address())
            mstore(0x60, amount)
            sent := call(gas(), token, 0, 0x1c, 0x64, 0x00, 0x20)
            // Nothing returned by a contract, or true.
            switch returndatasize()
            case 0 { sent := and(sent, gt(extcodesize(token), 0)) }
            default { sent := and(sent, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))) }
            mstore(0x60, 0)
            mstore(0x40, free)
        }
        if (!sent) revert IPlimsoll.TransferFailed(token, from, address(this), amount);
    }

    /// @notice Transfers `amount` from `from` to this contract. Reverts with `TransferFailed` if the token fails, and with
    /// `InexactTransfer` if another amount arrives.
    function pullExact(address token, address from, uint256 amount) internal {
        uint256 before = IERC20(token).balanceOf(address(this));
        pull(token, from, amount);
        uint256 arrived = IERC20(token).balanceOf(address(this)) - before;
        if (arrived != amount) revert INodes.InexactTransfer(amount, arrived);
    }

    /// @notice Returns the balance of `account`; 0 if the token reverts or returns less than a word.
    function balanceOrZero(address token, address account) internal view returns (uint256 held) {
        assembly ("memory-safe") {
            // balanceOf(account)
            mstore(0x14, account)
            mstore(0x00, 0x70a08231000000000000000000000000)
            let done := staticcall(gas(), token, 0x10, 0x24, 0x00, 0x20)
            if and(done, gt(returndatasize(), 0x1f)) { held := mload(0x00) }
        }
    }
}
