// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @notice What is signed to let another account act on one's positions.
/// @param authorizer whose positions
/// @param authorized who may act on them
/// @param expiry the last second at which that is so; 0 ends it
/// @param nonce the authorizer's next nonce
/// @param deadline the last second at which the signature may be used
struct Authorization {
    address authorizer;
    address authorized;
    uint256 expiry;
    uint256 nonce;
    uint256 deadline;
}
