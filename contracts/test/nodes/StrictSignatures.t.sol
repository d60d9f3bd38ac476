// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {StrictSignatures} from "plimsoll/nodes/libraries/StrictSignatures.sol";
import {ContractSigner} from "./ContractSigner.sol";

/// @title One encoding of a signature is accepted, and no other.
contract StrictSignaturesTest is Test {
    uint256 internal constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function recover(bytes32 hash, bytes calldata signature) external pure returns (address) {
        return StrictSignatures.recover(hash, signature);
    }

    function isValid(address signer, bytes32 hash, bytes calldata signature) external view returns (bool) {
        return StrictSignatures.isValid(signer, hash, signature);
    }

    function testFuzz_N20_theSignerIsRecovered(uint256 key, bytes32 hash) public view {
        key = boundPrivateKey(key);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, hash);
        address signer = vm.addr(key);
        assertEq(this.recover(hash, abi.encodePacked(r, s, v)), signer);
        assertTrue(this.isValid(signer, hash, abi.encodePacked(r, s, v)));
        assertFalse(this.isValid(signer, ~hash, abi.encodePacked(r, s, v)));
        assertFalse(this.isValid(address(uint160(signer) ^ 1), hash, abi.encodePacked(r, s, v)));
    }

    /// @dev A30: the other `s`, and `v` that is not 27 or 28.
    function testFuzz_N20_otherNumbersAreRefused(uint256 key, bytes32 hash, uint8 otherV) public view {
        key = boundPrivateKey(key);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, hash);
        bytes32 otherS = bytes32(ORDER - uint256(s));
        uint8 flipped = v == 27 ? 28 : 27;
        assertEq(ecrecover(hash, flipped, r, otherS), vm.addr(key), "the precompile accepts it");
        assertEq(this.recover(hash, abi.encodePacked(r, otherS, flipped)), address(0));
        assertEq(this.recover(hash, abi.encodePacked(r, s, v - 27)), address(0));
        if (otherV != 27 && otherV != 28) assertEq(this.recover(hash, abi.encodePacked(r, s, otherV)), address(0));
    }

    /// @dev A30: the short form, and bytes that are missing or too many.
    function testFuzz_N20_otherLengthsAreRefused(uint256 key, bytes32 hash, uint8 length) public view {
        key = boundPrivateKey(key);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, hash);
        bytes memory right = abi.encodePacked(r, s, v);
        assertEq(this.recover(hash, abi.encodePacked(right, uint8(0))), address(0));
        bytes memory cut = new bytes(length % 65);
        for (uint256 i; i < cut.length; ++i) {
            cut[i] = right[i];
        }
        assertEq(this.recover(hash, cut), address(0));
        assertFalse(this.isValid(vm.addr(key), hash, cut));
        (r, s) = vm.signCompact(key, hash);
        assertEq(this.recover(hash, abi.encodePacked(r, s)), address(0));
    }

    /// @dev The limit itself is in the lower half.
    function test_theLargestS() public view {
        bytes32 r = bytes32(uint256(1));
        bytes32 largest = bytes32(ORDER / 2);
        assertTrue(this.recover(0, abi.encodePacked(r, largest, uint8(27))) != address(0));
        assertEq(this.recover(0, abi.encodePacked(r, bytes32(uint256(largest) + 1), uint8(27))), address(0));
    }

    function testFuzz_theZeroAddressSignsNothing(bytes32 hash, bytes calldata garbage) public view {
        assertFalse(this.isValid(address(0), hash, garbage));
        assertFalse(this.isValid(address(0), hash, new bytes(65)));
    }

    /// @dev An account with code signs by ERC-1271 alone.
    function testFuzz_code(uint256 key, bytes32 hash) public {
        key = boundPrivateKey(key);
        address signer = vm.addr(key);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, hash);
        vm.etch(signer, address(new ContractSigner()).code);
        assertFalse(this.isValid(signer, hash, abi.encodePacked(r, s, v)));
        assertFalse(this.isValid(signer, hash, "contract"));
        ContractSigner(signer).sign(hash);
        assertTrue(this.isValid(signer, hash, "contract"));
        assertFalse(this.isValid(signer, hash, abi.encodePacked(r, s, v)));
    }
}
