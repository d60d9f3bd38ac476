// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice The EIP-712 message that authorises another account to act on the signer's positions.
/// @param authorizer the signer
/// @param authorized the account that may act on the signer's positions
/// @param expiry the last second at which the authorisation is in effect; 0 revokes it
/// @param nonce the authorizer's next nonce
/// @param deadline the last second at which the signature may be used
struct Authorization {
    address authorizer;
    address authorized;
    uint256 expiry;
    uint256 nonce;
    uint256 deadline;
}
