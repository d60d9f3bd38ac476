// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {CommonBase} from "forge-std/Base.sol";

/// @title Creator of contracts whose constructor's error can be expected.
abstract contract Creator is CommonBase {
    /// @dev Creates in a call of its own and passes on why it failed, which forge-std's `deployCode` does not.
    function create(bytes memory initCode) external returns (address created) {
        assembly {
            created := create(0, add(initCode, 0x20), mload(initCode))
            if iszero(created) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    function expectCreationRefused(bytes memory initCode, bytes memory reason) internal {
        vm.expectRevert(reason);
        this.create(initCode);
    }
}
