// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TestToken} from "./TestToken.sol";

interface ITransferHook {
    function onTransfer(address from, address to, uint256 amount) external;
}

/// @notice A token that calls one contract on every transfer, whatever the accounts.
contract HookedToken is TestToken {
    ITransferHook public hook;

    constructor(string memory name_, uint8 decimals_) TestToken(name_, decimals_) {}

    function setHook(ITransferHook hook_) external {
        hook = hook_;
    }

    function _afterTokenTransfer(address from, address to, uint256 amount) internal override {
        if (address(hook) != address(0)) hook.onTransfer(from, to, amount);
    }
}
