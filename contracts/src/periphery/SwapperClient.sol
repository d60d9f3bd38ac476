// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {ILiquidator} from "../interfaces/ILiquidator.sol";
import {IPlimsoll} from "../interfaces/IPlimsoll.sol";
import {Tokens} from "../libraries/Tokens.sol";

/// @title What contracts that act between the core and an exchange have in common
/// @notice One call at a time; only adapters named at construction, of which there is no changing: what moves the
/// tokens of others must not follow an owner, and a contract that holds nothing is replaced by deploying another.
/// Callbacks are answered only to the core and only in the middle of a call from here, approvals are exact and used up
/// by the core, and whatever is left in the end is sent on.
/// @dev The errors are declared alike by every interface that inherits this; here they go by `ILiquidator`'s.
abstract contract SwapperClient {
    using Tokens for address;

    IPlimsoll internal immutable PLIMSOLL;

    mapping(address swapper => bool) internal _isSwapper;

    bool internal transient _acting;

    constructor(address plimsoll_, address[] memory swappers) {
        _requireCode(plimsoll_);
        PLIMSOLL = IPlimsoll(plimsoll_);
        for (uint256 i; i < swappers.length; ++i) {
            _requireCode(swappers[i]);
            _isSwapper[swappers[i]] = true;
        }
    }

    /// @dev For every entry: in time, by a listed adapter, and not in the middle of another.
    modifier acting(uint256 deadline, address swapper) {
        if (block.timestamp > deadline) revert ILiquidator.DeadlinePassed(deadline, block.timestamp);
        if (!_isSwapper[swapper]) revert ILiquidator.SwapperNotListed(swapper);
        if (_acting) revert ILiquidator.Reentered();
        _acting = true;
        _;
        _acting = false;
    }

    /// @dev For every callback. The core calls back whoever called it, so in the middle of a call from here it can only
    /// be that call, with the data that was given to it.
    modifier answering() {
        if (msg.sender != address(PLIMSOLL) || !_acting) revert ILiquidator.UnexpectedCallback(msg.sender);
        _;
    }

    /// @dev Lets the core take this much, which it does before its call returns.
    function _approveCore(address token, uint256 amount) internal {
        if (amount != 0) SafeTransferLib.safeApprove(token, address(PLIMSOLL), amount);
    }

    /// @dev Sends on all that is here of a token.
    function _sweep(address token, address to) internal returns (uint256 amount) {
        amount = token.balanceOrZero(address(this));
        token.send(to, amount);
    }

    function _requireCode(address account) private view {
        if (account.code.length == 0) revert ILiquidator.NoCode(account);
    }
}
