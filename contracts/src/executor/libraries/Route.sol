// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {LibBytes} from "solady/utils/LibBytes.sol";

/// @title Library of routes through pools.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Reads routes: venue (1 byte), key (3 bytes), next token (20 bytes) for each hop. The first token is not part
/// of the route.
///
/// A split begins with a header: 255 (1 byte), number of hops (3 bytes), share (20 bytes). As many hops follow, along
/// which that share of the amount goes, in millionths and rounded down. After them is another route or split, along which
/// the rest goes: no unit is lost.
/// @dev Only `leadsTo` checks a route: call it before the other functions.
library Route {
    uint256 private constant HOP_BYTES = 24;
    uint256 private constant MILLION = 1e6;
    /// @dev Where a hop has its venue.
    uint8 private constant SPLIT = type(uint8).max;

    /// @notice Returns whether all parts of this are routes of at least one hop that end at a token.
    function leadsTo(bytes memory route, address token) internal pure returns (bool) {
        if (route.length == 0 || route.length % HOP_BYTES != 0) return false;
        uint256 count = hops(route);
        uint256 next;
        while (_isHeader(route, next)) {
            (, uint24 length, address share) = hop(route, next);
            next += uint256(length) + 1;
            if (length == 0 || uint160(share) >= MILLION || next >= count) return false;
            (,, address end) = hop(route, next - 1);
            if (end != token) return false;
        }
        (,, address last) = hop(route, count - 1);
        return last == token;
    }

    /// @notice Returns whether this is a split.
    function isSplit(bytes memory route) internal pure returns (bool) {
        return _isHeader(route, 0);
    }

    /// @notice Returns the first route of a split with its portion of an amount, and the route or split of the rest. The
    /// rest of an amount is never 0.
    function split(bytes memory route, uint256 amount)
        internal
        pure
        returns (bytes memory first, uint256 portion, bytes memory rest)
    {
        (, uint24 length, address share) = hop(route, 0);
        uint256 end = HOP_BYTES * (uint256(length) + 1);
        first = LibBytes.slice(route, HOP_BYTES, end);
        rest = LibBytes.slice(route, end);
        portion = amount * uint160(share) / MILLION;
    }

    /// @notice Returns the number of hops of a route that is no split.
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

    /// @dev Whether a split begins at this hop of a route that has it.
    function _isHeader(bytes memory route, uint256 index) private pure returns (bool) {
        (uint8 venue,,) = hop(route, index);
        return venue == SPLIT;
    }
}
