// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {ISwapperClient} from "../interfaces/ISwapperClient.sol";
import {Tokens} from "../libraries/Tokens.sol";

/// @title Base of contracts that act between the core and an exchange.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Allows one call at a time, with adapters listed at construction. The list cannot change: a contract that
/// moves the tokens of others must not depend on an owner, and a contract that holds nothing is replaced by deploying
/// another. Callbacks are accepted only from the core and only during a call from here, approvals are exact and used up
/// by the core, and remaining tokens are sent to a receiver.
abstract contract SwapperClient is ISwapperClient {
    using Tokens for address;

    IPlimsoll internal immutable PLIMSOLL;

    /// @inheritdoc ISwapperClient
    mapping(address swapper => bool) public isSwapper;

    bool internal transient _entered;

    constructor(address plimsoll_, address[] memory swappers) {
        _requireCode(plimsoll_);
        PLIMSOLL = IPlimsoll(plimsoll_);
        for (uint256 i; i < swappers.length; ++i) {
            _requireCode(swappers[i]);
            isSwapper[swappers[i]] = true;
        }
    }

    /// @dev Guards every entry: it must be in time, with a listed adapter, and not during another call.
    modifier guarded(uint256 deadline, address swapper) {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
        if (!isSwapper[swapper]) revert SwapperNotListed(swapper);
        if (_entered) revert Reentered();
        _entered = true;
        _;
        _entered = false;
    }

    /// @dev Guards every callback. The core calls back its caller, so during a call from here a callback belongs to
    /// that call and carries the data that was passed to it.
    modifier onlyCallback() {
        if (msg.sender != address(PLIMSOLL) || !_entered) revert UnexpectedCallback(msg.sender);
        _;
    }

    /// @dev Approves the core for this amount, which it pulls before its call returns.
    function _approveCore(address token, uint256 amount) internal {
        if (amount != 0) SafeTransferLib.safeApprove(token, address(PLIMSOLL), amount);
    }

    /// @dev Sends this contract's whole balance of a token.
    function _sweep(address token, address to) internal returns (uint256 amount) {
        amount = token.balanceOrZero(address(this));
        token.push(to, amount);
    }

    function _requireCode(address account) private view {
        if (account.code.length == 0) revert NoCode(account);
    }
}
