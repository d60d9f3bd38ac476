// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Multicall library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
library Multicall {
    /// @notice Executes calls to this contract in order, for the same caller. Reverts with the error of the first call
    /// that fails.
    function run(bytes[] calldata calls) internal returns (bytes[] memory results) {
        results = new bytes[](calls.length);
        for (uint256 i; i < calls.length; ++i) {
            (bool done, bytes memory result) = address(this).delegatecall(calls[i]);
            if (!done) {
                assembly ("memory-safe") {
                    revert(add(result, 0x20), mload(result))
                }
            }
            results[i] = result;
        }
    }
}
