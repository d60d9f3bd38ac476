// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "plimsoll/interfaces/IERC1271.sol";

/// @notice A contract that signs what it is told to.
contract ContractSigner is IERC1271 {
    mapping(bytes32 hash => bool) public signed;

    function sign(bytes32 hash) external {
        signed[hash] = true;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return
            signed[hash] && keccak256(signature) == keccak256("contract")
                ? IERC1271.isValidSignature.selector
                : bytes4(0);
    }
}
