// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IERC1271} from "plimsoll/interfaces/IERC1271.sol";
import {Signatures} from "plimsoll/libraries/Signatures.sol";

/// @notice An account with code that responds as configured, or tries to write to storage.
contract ScriptedSigner {
    bytes internal _answer;
    bool internal _refuses;
    bool internal _writes;
    uint256 internal _written;

    function respondWith(bytes calldata answer, bool refuses, bool writes) external {
        (_answer, _refuses, _writes) = (answer, refuses, writes);
    }

    fallback() external {
        if (_writes) ++_written;
        (bytes memory answer, bool refuses) = (_answer, _refuses);
        assembly ("memory-safe") {
            if refuses { revert(add(answer, 0x20), mload(answer)) }
            return(add(answer, 0x20), mload(answer))
        }
    }
}

/// @title Tests of signatures: by a key, in both forms, and by code, with the one value that confirms them (I4).
contract SignaturesTest is Test {
    bytes32 internal constant YES = bytes32(bytes4(0x1626ba7e));

    ScriptedSigner internal scriptedSigner = new ScriptedSigner();

    function isValid(address signer, bytes32 hash, bytes calldata signature) external view returns (bool) {
        return Signatures.isValid(signer, hash, signature);
    }

    function testFuzz_key(uint256 key, bytes32 hash, address other) public view {
        key = boundPrivateKey(key);
        address signer = vm.addr(key);
        vm.assume(other != signer && other.code.length == 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, hash);
        (bytes32 shortR, bytes32 vs) = vm.signCompact(key, hash);
        assertTrue(this.isValid(signer, hash, abi.encodePacked(r, s, v)));
        assertTrue(this.isValid(signer, hash, abi.encodePacked(shortR, vs)));
        assertFalse(this.isValid(other, hash, abi.encodePacked(r, s, v)));
        assertFalse(this.isValid(signer, ~hash, abi.encodePacked(r, s, v)));
        assertFalse(this.isValid(signer, hash, abi.encodePacked(r, bytes31(s))));
        assertFalse(this.isValid(signer, hash, abi.encodePacked(r, s, v, v)));
    }

    /// @dev A signature that recovers to the zero address is not valid for it.
    function testFuzz_theZeroAddressSignsNothing(bytes32 hash, bytes calldata garbage) public view {
        assertFalse(this.isValid(address(0), hash, garbage));
        assertFalse(this.isValid(address(0), hash, ""));
    }

    /// @dev By code: the magic word exactly, alone or with more behind it.
    function testFuzz_code(bytes32 hash, bytes calldata signature, bytes calldata any) public {
        vm.expectCall(address(scriptedSigner), abi.encodeCall(IERC1271.isValidSignature, (hash, signature)));
        assertEq(answers(hash, signature, abi.encode(YES), false), true);
        assertEq(answers(hash, signature, abi.encode(YES, any), false), true);
        assertEq(answers(hash, signature, abi.encode(YES), true), false);
        assertEq(answers(hash, signature, abi.encode(YES | bytes32(uint256(1))), false), false);
        assertEq(answers(hash, signature, abi.encode(0x1626ba7e), false), false);
        assertEq(answers(hash, signature, abi.encode(true), false), false);
        assertEq(answers(hash, signature, abi.encodePacked(bytes4(0x1626ba7e)), false), false);
        assertEq(answers(hash, signature, abi.encodePacked(bytes4(0x1626ba7e), uint216(0)), false), false);
        assertEq(answers(hash, signature, "", false), false);
        bool yes = any.length >= 32 && bytes32(any) == YES;
        assertEq(answers(hash, signature, any, false), yes);
    }

    function answers(bytes32 hash, bytes memory signature, bytes memory answer, bool refuses) internal returns (bool) {
        scriptedSigner.respondWith(answer, refuses, false);
        return this.isValid(address(scriptedSigner), hash, signature);
    }

    /// @dev It is asked statically: what an account does while it is asked changes nothing.
    function test_codeMayNotWrite() public {
        scriptedSigner.respondWith(abi.encode(YES), false, true);
        (bool done,) = address(this).call{gas: 1_000_000}(abi.encodeCall(this.assertNotValid, ()));
        assertTrue(done, "took the answer of an account that wrote");
    }

    function assertNotValid() external view {
        assertFalse(this.isValid(address(scriptedSigner), 0, ""));
    }
}
