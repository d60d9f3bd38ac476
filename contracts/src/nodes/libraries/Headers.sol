// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// @title Block header library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Reads a block's RANDAO mix out of its header, which is the RLP list whose hash is the block's. A caller that
/// has compared the hash knows that the header is genuine; this library only has to find the right field.
library Headers {
    /// @notice The bytes are not a header with the fields of a proof-of-stake chain.
    error InvalidHeader();

    /// @dev The list's prefix (3 bytes), then hashes of parent, ommers, state, transactions and receipts (33 each), the
    /// beneficiary (21) and the bloom filter (259).
    uint256 private constant DIFFICULTY_OFFSET = 448;
    /// @dev Difficulty, number, gas limit, gas used, time and extra data.
    uint256 private constant VARIABLE_FIELDS = 6;

    /// @notice Returns the mix of a header. Reverts with `InvalidHeader` if one of the fields before it is longer than
    /// 55 bytes, or if the fields do not fit.
    function prevRandao(bytes calldata header) internal pure returns (bytes32) {
        // A header is longer than 255 bytes and shorter than 65,536, so its length takes two bytes.
        if (header.length < DIFFICULTY_OFFSET || header[0] != 0xf9) revert InvalidHeader();
        uint256 offset = DIFFICULTY_OFFSET;
        for (uint256 i; i < VARIABLE_FIELDS; ++i) {
            if (offset >= header.length) revert InvalidHeader();
            uint256 first = uint8(header[offset]);
            if (first > 0xb7) revert InvalidHeader();
            // A byte below 0x80 stands for itself.
            offset += first < 0x80 ? 1 : 1 + first - 0x80;
        }
        if (offset + 33 > header.length || header[offset] != 0xa0) revert InvalidHeader();
        return bytes32(header[offset + 1:offset + 33]);
    }
}
