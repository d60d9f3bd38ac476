// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Natural numbers of 1,152 bits, to compute expected prices without the arithmetic under test.
/// @notice Schoolbook: nine limbs of 128 bits, multiplied by a factor of 128 bits at a time.
library BigNat {
    uint256 private constant LIMBS = 9;
    uint256 private constant MASK = type(uint128).max;

    function from(uint256 value) internal pure returns (uint256[] memory limbs) {
        limbs = new uint256[](LIMBS);
        limbs[0] = value & MASK;
        limbs[1] = value >> 128;
    }

    function plus(uint256[] memory a, uint256[] memory b) internal pure returns (uint256[] memory sum) {
        sum = new uint256[](LIMBS);
        uint256 carry = 0;
        for (uint256 i = 0; i < LIMBS; ++i) {
            uint256 limb = a[i] + b[i] + carry;
            sum[i] = limb & MASK;
            carry = limb >> 128;
        }
        require(carry == 0, "number over 1152 bits");
    }

    function times(uint256[] memory a, uint256 factor) internal pure returns (uint256[] memory product) {
        require(factor <= MASK, "factor over 128 bits");
        product = new uint256[](LIMBS);
        uint256 carry = 0;
        for (uint256 i = 0; i < LIMBS; ++i) {
            uint256 sum = a[i] * factor + carry;
            product[i] = sum & MASK;
            carry = sum >> 128;
        }
        require(carry == 0, "number over 1152 bits");
    }

    function timesPowerOfTen(uint256[] memory a, uint256 exponent) internal pure returns (uint256[] memory product) {
        product = a;
        for (uint256 i = 0; i < exponent; ++i) {
            product = times(product, 10);
        }
    }

    function lessThan(uint256[] memory a, uint256[] memory b) internal pure returns (bool) {
        for (uint256 i = LIMBS; i > 0; --i) {
            if (a[i - 1] != b[i - 1]) return a[i - 1] < b[i - 1];
        }
        return false;
    }
}
