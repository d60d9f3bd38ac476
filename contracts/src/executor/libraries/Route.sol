// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Library of routes through pools.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Reads routes: venue (1 byte), key (3 bytes), next token (20 bytes) for each hop. The first token is not part
/// of the route.
/// @dev Only `leadsTo` checks a route: call it before the other functions.
library Route {
    uint256 private constant HOP_BYTES = 24;

    /// @notice Returns whether this is a route of at least one hop that ends at a token.
    function leadsTo(bytes memory route, address token) internal pure returns (bool) {
        if (route.length == 0 || route.length % HOP_BYTES != 0) return false;
        (,, address last) = hop(route, hops(route) - 1);
        return last == token;
    }

    /// @notice Returns the number of hops.
    function hops(bytes memory route) internal pure returns (uint256) {
        return route.length / HOP_BYTES;
    }

    /// @notice Returns the venue, the key and the token to which a hop leads.
    function hop(bytes memory route, uint256 index) internal pure returns (uint8 venue, uint24 key, address token) {
        uint256 word;
        assembly ("memory-safe") {
            // 24 bytes from the hop's beginning are its own.
            word := mload(add(add(route, 0x20), mul(index, 24)))
        }
        (venue, key, token) = (uint8(word >> 248), uint24(word >> 224), address(uint160(word >> 64)));
    }
}
