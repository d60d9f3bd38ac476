// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {ECDSA} from "solady/utils/ECDSA.sol";
import {IERC1271} from "../interfaces/IERC1271.sol";

/// @title Who signed what
library Signatures {
    /// @notice Whether `signer` signed `hash`: by its key first, since an EIP-7702 account has code and a key, then by
    /// ERC-1271 where it has code.
    function isValid(address signer, bytes32 hash, bytes calldata signature) internal view returns (bool) {
        address recovered = ECDSA.tryRecoverCalldata(hash, signature);
        if (recovered != address(0) && recovered == signer) return true;
        if (signer.code.length == 0) return false;
        (bool answered, bytes memory answer) =
            signer.staticcall(abi.encodeCall(IERC1271.isValidSignature, (hash, signature)));
        return answered && answer.length >= 32 && bytes32(answer) == bytes32(IERC1271.isValidSignature.selector);
    }
}
