// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {ECDSA} from "solady/utils/ECDSA.sol";
import {IERC1271} from "../interfaces/IERC1271.sol";

/// @title Signature verification library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
library Signatures {
    /// @notice Returns whether `signer` signed `hash`: with its key, which is tried first because an EIP-7702 account
    /// has both code and a key, or by ERC-1271 if it has code.
    function isValid(address signer, bytes32 hash, bytes calldata signature) internal view returns (bool) {
        address recovered = ECDSA.tryRecoverCalldata(hash, signature);
        if (recovered != address(0) && recovered == signer) return true;
        if (signer.code.length == 0) return false;
        (bool success, bytes memory result) =
            signer.staticcall(abi.encodeCall(IERC1271.isValidSignature, (hash, signature)));
        return success && result.length >= 32 && bytes32(result) == bytes32(IERC1271.isValidSignature.selector);
    }
}
