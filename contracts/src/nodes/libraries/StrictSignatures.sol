// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {SignatureCheckerLib} from "solady/utils/SignatureCheckerLib.sol";

/// @title Strict signature verification library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Accepts one encoding of a signature by key and no other: 65 bytes, `s` in the lower half of the curve's order,
/// `v` 27 or 28. A service checks vouchers off chain and claims them later, so both sides must accept the same bytes.
library StrictSignatures {
    uint256 private constant LENGTH = 65;
    /// @dev Half of the order of secp256k1, rounded down.
    uint256 private constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @notice Returns the account whose key signed `hash`; 0 if the encoding is not the accepted one.
    function recover(bytes32 hash, bytes calldata signature) internal pure returns (address) {
        if (signature.length != LENGTH) return address(0);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > MAX_S || (v != 27 && v != 28)) return address(0);
        return ecrecover(hash, v, bytes32(signature[:32]), s);
    }

    /// @notice Returns whether `signer` signed `hash`: by ERC-1271 if it has code, otherwise with its key.
    function isValid(address signer, bytes32 hash, bytes calldata signature) internal view returns (bool) {
        if (signer.code.length != 0) {
            return SignatureCheckerLib.isValidERC1271SignatureNowCalldata(signer, hash, signature);
        }
        return signer != address(0) && recover(hash, signature) == signer;
    }
}
