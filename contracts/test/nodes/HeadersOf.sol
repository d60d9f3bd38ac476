// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Headers} from "plimsoll/nodes/libraries/Headers.sol";

/// @notice Encodes block headers, by the definition of RLP and not by offsets.
library HeadersOf {
    struct Fields {
        bytes32[5] hashes;
        address beneficiary;
        uint256[5] numbers;
        bytes extraData;
        bytes32 mix;
        uint256 later;
    }

    /// @dev Order: parent, ommers, beneficiary, state, transactions, receipts, bloom, difficulty, number, gas limit, gas
    /// used, time, extra data, mix, nonce, base fee and, with `later`, further hashes.
    function encode(Fields memory f) internal pure returns (bytes memory header) {
        header = bytes.concat(_hash(f.hashes[0]), _hash(f.hashes[1]), _bytes(abi.encodePacked(f.beneficiary)));
        header = bytes.concat(header, _hash(f.hashes[2]), _hash(f.hashes[3]), _hash(f.hashes[4]));
        header = bytes.concat(header, _bytes(new bytes(256)));
        for (uint256 i; i < 5; ++i) {
            header = bytes.concat(header, _bytes(_minimal(f.numbers[i])));
        }
        header = bytes.concat(header, _bytes(f.extraData), _hash(f.mix), _bytes(new bytes(8)), _bytes(_minimal(7)));
        for (uint256 i; i < f.later; ++i) {
            header = bytes.concat(header, _hash(bytes32(i)));
        }
        header = bytes.concat(hex"f9", bytes2(uint16(header.length)), header);
    }

    function withMix(bytes32 mix) internal pure returns (bytes memory) {
        Fields memory f;
        f.mix = mix;
        f.numbers = [uint256(0), 20_000_000, 30_000_000, 12_345_678, 1_800_000_000];
        f.extraData = "test";
        f.later = 3;
        return encode(f);
    }

    function _hash(bytes32 hash) private pure returns (bytes memory) {
        return _bytes(abi.encodePacked(hash));
    }

    function _minimal(uint256 number) private pure returns (bytes memory text) {
        while (number != 0) {
            text = bytes.concat(bytes1(uint8(number)), text);
            number >>= 8;
        }
    }

    function _bytes(bytes memory value) private pure returns (bytes memory) {
        if (value.length == 1 && value[0] < 0x80) return value;
        if (value.length < 56) return bytes.concat(bytes1(uint8(0x80 + value.length)), value);
        if (value.length < 256) return bytes.concat(hex"b8", bytes1(uint8(value.length)), value);
        return bytes.concat(hex"b9", bytes2(uint16(value.length)), value);
    }
}

/// @notice The header library as a contract.
contract HeadersHarness {
    function prevRandao(bytes calldata header) external pure returns (bytes32) {
        return Headers.prevRandao(header);
    }
}
