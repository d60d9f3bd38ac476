// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice Random choices from one seed, so that a handler's whole action follows from its argument.
abstract contract SeededRandom {
    uint256 private _seed;

    function _setSeed(uint256 seed) internal {
        _seed = seed;
    }

    function _random() internal returns (uint256) {
        _seed = uint256(keccak256(abi.encode(_seed)));
        return _seed;
    }

    function _below(uint256 n) internal returns (uint256) {
        return _random() % n;
    }

    function _oneIn(uint256 n) internal returns (bool) {
        return _below(n) == 0;
    }

    /// @notice Any number of the range. Its ends, their neighbours and small orders of magnitude are more frequent,
    /// since rounding matters there.
    function _between(uint256 low, uint256 high) internal returns (uint256) {
        uint256 width = high - low;
        uint256 way = _below(8);
        if (way == 0) return low;
        if (way == 1) return high;
        if (way == 2) return low + _below(width < 10 ? width + 1 : 10);
        if (way == 3) return high - _below(width < 10 ? width + 1 : 10);
        if (way == 4 && width != 0) {
            uint256 limit = uint256(1) << (1 + _below(_bits(width)));
            if (limit < width) return low + _below(limit);
        }
        return width == type(uint256).max ? _random() : low + _below(width + 1);
    }

    function _bits(uint256 x) private pure returns (uint256 n) {
        for (; x != 0; x >>= 1) {
            ++n;
        }
    }
}
