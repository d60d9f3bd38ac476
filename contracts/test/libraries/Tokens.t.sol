// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Tokens} from "plimsoll/libraries/Tokens.sol";

/// @notice A token that records its calldata and responds as configured.
contract ScriptedToken {
    bytes public received;
    bytes internal _answer;
    bool internal _refuses;

    function respondWith(bytes calldata answer, bool refuses) external {
        (_answer, _refuses) = (answer, refuses);
        delete received;
    }

    function balanceOf(address) external view {
        respond();
    }

    fallback() external {
        received = msg.data;
        respond();
    }

    function respond() internal view {
        (bytes memory answer, bool refuses) = (_answer, _refuses);
        assembly ("memory-safe") {
            if refuses { revert(add(answer, 0x20), mload(answer)) }
            return(add(answer, 0x20), mload(answer))
        }
    }
}

/// @title Tests of the transfers in assembly, with any return data, dirty words, and reserved memory kept.
contract TokensTest is Test {
    using Tokens for address;

    ScriptedToken internal token = new ScriptedToken();

    /// @dev From outside, so that a refusal can be caught; the addresses come with stray upper bits.
    function push(address token_, uint256 to, uint256 amount) external {
        address dirty;
        assembly ("memory-safe") {
            dirty := to
        }
        (uint256 free, uint256 zero) = memoryHead();
        token_.push(dirty, amount);
        assertMemoryKept(free, zero);
    }

    function pull(address token_, uint256 from, uint256 amount) external {
        address dirty;
        assembly ("memory-safe") {
            dirty := from
        }
        (uint256 free, uint256 zero) = memoryHead();
        token_.pull(dirty, amount);
        assertMemoryKept(free, zero);
    }

    function memoryHead() internal pure returns (uint256 free, uint256 zero) {
        assembly ("memory-safe") {
            free := mload(0x40)
            zero := mload(0x60)
        }
    }

    function assertMemoryKept(uint256 free, uint256 zero) internal pure {
        (uint256 freeAfter, uint256 zeroAfter) = memoryHead();
        assertEq(freeAfter, free, "free memory pointer");
        assertEq(zeroAfter, zero, "zero slot");
        assertEq(zeroAfter, 0, "zero slot");
    }

    /// @dev True or nothing is yes; anything else, and any refusal, is no.
    function isYes(bytes memory answer, bool refuses) internal pure returns (bool) {
        if (refuses) return false;
        if (answer.length == 0) return true;
        return answer.length >= 32 && bytes32(answer) == bytes32(uint256(1));
    }

    function testFuzz_push(uint256 to, uint256 amount, bytes memory answer, uint8 kind) public {
        amount = bound(amount, 1, type(uint256).max);
        bool refuses;
        (answer, refuses) = likelyAnswer(answer, kind);
        token.respondWith(answer, refuses);
        address clean = address(uint160(to));
        if (!isYes(answer, refuses)) {
            expectFailed(address(token), address(this), clean, amount);
            this.push(address(token), to, amount);
        } else {
            this.push(address(token), to, amount);
            assertEq(token.received(), abi.encodeWithSignature("transfer(address,uint256)", clean, amount));
        }
    }

    function testFuzz_pull(uint256 from, uint256 amount, bytes memory answer, uint8 kind) public {
        amount = bound(amount, 1, type(uint256).max);
        bool refuses;
        (answer, refuses) = likelyAnswer(answer, kind);
        token.respondWith(answer, refuses);
        address clean = address(uint160(from));
        if (!isYes(answer, refuses)) {
            expectFailed(address(token), clean, address(this), amount);
            this.pull(address(token), from, amount);
        } else {
            this.pull(address(token), from, amount);
            bytes memory call =
                abi.encodeWithSignature("transferFrom(address,address,uint256)", clean, address(this), amount);
            assertEq(token.received(), call);
        }
    }

    /// @dev Valid and invalid return data, in addition to fuzzed ones.
    function likelyAnswer(bytes memory any, uint8 kind) internal pure returns (bytes memory answer, bool refuses) {
        kind %= 12;
        if (kind == 0) return ("", false);
        if (kind == 1) return (abi.encode(true), false);
        if (kind == 2) return (abi.encode(false), false);
        if (kind == 3) return (abi.encode(2), false);
        if (kind == 4) return (abi.encodePacked(uint248(0)), false);
        if (kind == 5) return (abi.encodePacked(uint248(1)), false);
        if (kind == 6) return (abi.encode(true, any), false);
        if (kind == 7) return (abi.encodePacked(true), false);
        if (kind == 8) return ("", true);
        if (kind == 9) return (abi.encode(true), true);
        return (any, kind == 10);
    }

    function expectFailed(address token_, address from, address to, uint256 amount) internal {
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, token_, from, to, amount));
    }

    /// @dev Some tokens refuse a transfer of 0, so none is requested.
    function testFuzz_noTransferOfZeroIsRequested(address who) public {
        token.respondWith("", true);
        this.push(address(token), uint160(who), 0);
        this.pull(address(token), uint160(who), 0);
        assertEq(token.received(), "");
    }

    /// @dev A call to an account without code succeeds and moves nothing.
    function test_anAccountWithoutCodeIsNoToken() public {
        address nobody = makeAddr("nobody");
        expectFailed(nobody, address(this), address(1), 1);
        this.push(nobody, 1, 1);
        expectFailed(nobody, address(1), address(this), 1);
        this.pull(nobody, 1, 1);
    }

    /* BALANCES */

    function testFuzz_balance(bytes memory answer, bool refuses, address account) public {
        token.respondWith(answer, refuses);
        uint256 held = refuses || answer.length < 32 ? 0 : uint256(bytes32(answer));
        (uint256 free, uint256 zero) = memoryHead();
        uint256 got = address(token).balanceOrZero(account);
        assertMemoryKept(free, zero);
        assertEq(got, held);
    }

    /// @dev The balance of the right account is read, whatever the upper bits.
    function testFuzz_balanceIgnoresUpperBitsOfTheAccount(uint256 account) public {
        address dirty;
        assembly ("memory-safe") {
            dirty := account
        }
        address clean = address(uint160(account));
        vm.mockCall(address(token), abi.encodeWithSignature("balanceOf(address)", clean), abi.encode(77));
        assertEq(address(token).balanceOrZero(dirty), 77);
    }

    /* ANSWERS THAT COST */

    /// @dev A megabyte is not copied: with the gas for making it once, and not twice, the transfer goes through.
    function test_aGiganticAnswerIsNotPaidFor() public {
        bytes memory code = hex"6001600052620f42406000f3";
        address gigantic = makeAddr("gigantic");
        vm.etch(gigantic, code);
        (bool done,) = address(this).call{gas: 3_000_000}(abi.encodeCall(this.push, (gigantic, 1, 1)));
        assertTrue(done, "push");
        (done,) = address(this).call{gas: 3_000_000}(abi.encodeCall(this.pull, (gigantic, 1, 1)));
        assertTrue(done, "pull");
        (done,) = address(this).call{gas: 3_000_000}(abi.encodeCall(this.balance, (gigantic)));
        assertTrue(done, "balance");
        (done,) = address(this).call{gas: 3_000_000}(abi.encodeCall(this.copyAnswer, (gigantic)));
        assertFalse(done, "there was gas for copying it");
    }

    function balance(address token_) external view returns (uint256) {
        return token_.balanceOrZero(address(1));
    }

    function copyAnswer(address token_) external returns (bytes memory answer) {
        (, answer) = token_.call("");
    }
}
