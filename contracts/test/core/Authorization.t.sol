// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "plimsoll/interfaces/IERC1271.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Authorization} from "plimsoll/types/Authorization.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @notice An account with code that says yes to one hash with one signature, and only while its nonce is used already.
contract Wallet is IERC1271 {
    bytes32 internal immutable HASH;
    bytes32 internal immutable SIGNATURE_HASH;
    uint256 internal immutable NEXT_NONCE;

    constructor(bytes32 hash, bytes memory signature, uint256 nextNonce) {
        (HASH, SIGNATURE_HASH, NEXT_NONCE) = (hash, keccak256(signature), nextNonce);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        bool yes = hash == HASH && keccak256(signature) == SIGNATURE_HASH
            && IPlimsoll(msg.sender).nonce(address(this)) == NEXT_NONCE;
        return yes ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// @title Tests of authorisations, by call and by signature (I2, I4).
contract AuthorizationTest is VerbTest {
    uint256 internal constant KEY = 0xA11CE;
    address internal immutable SIGNER = vm.addr(KEY);

    /* BY CALL */

    function testFuzz_isWritten(address authorizer, address authorized, uint256 expiry) public {
        expectEvent();
        emit IPlimsoll.SetAuthorization(authorizer, authorized, expiry);
        vm.prank(authorizer);
        plimsoll.setAuthorization(authorized, expiry);
        assertEq(plimsoll.authorizationExpiry(authorizer, authorized), expiry);
    }

    /// @dev I2: up to and including the last second; 0 ends it.
    function test_holdsUntilItsLastSecond() public {
        uint256 last = vm.getBlockTimestamp() + 1 hours;
        supply(LENDER, 100e6);
        vm.prank(LENDER);
        plimsoll.setAuthorization(STRANGER, last);

        vm.startPrank(STRANGER);
        plimsoll.withdraw(params, 1, 0, LENDER, STRANGER);
        vm.warp(last);
        plimsoll.withdraw(params, 1, 0, LENDER, STRANGER);
        vm.warp(last + 1);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, STRANGER, LENDER));
        plimsoll.withdraw(params, 1, 0, LENDER, STRANGER);
        vm.stopPrank();

        vm.startPrank(LENDER);
        plimsoll.setAuthorization(STRANGER, type(uint256).max);
        plimsoll.setAuthorization(STRANGER, 0);
        vm.stopPrank();
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, STRANGER, LENDER));
        plimsoll.withdraw(params, 1, 0, LENDER, STRANGER);
    }

    /// @dev I2: it is for one account, goes one way, and cannot be passed on.
    function test_isNotTransitive() public {
        supply(LENDER, 100e6);
        vm.prank(LENDER);
        plimsoll.setAuthorization(BORROWER, type(uint256).max);
        vm.prank(BORROWER);
        plimsoll.setAuthorization(STRANGER, type(uint256).max);

        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, STRANGER, LENDER));
        plimsoll.withdraw(params, 1, 0, LENDER, STRANGER);
        vm.prank(LENDER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.Unauthorized.selector, LENDER, BORROWER));
        plimsoll.borrow(params, 1, 0, BORROWER, LENDER);
    }

    /* BY SIGNATURE */

    /// @dev I4: any account may submit it.
    function testFuzz_signedByAKey(uint256 key, address authorized, uint256 expiry, uint256 deadline) public {
        key = boundPrivateKey(key);
        deadline = bound(deadline, vm.getBlockTimestamp(), type(uint256).max);
        Authorization memory a = Authorization(vm.addr(key), authorized, expiry, 0, deadline);
        bytes memory signature = sign(key, digestOf(a));

        expectEvent();
        emit IPlimsoll.UseNonce(a.authorizer, 0);
        expectEvent();
        emit IPlimsoll.SetAuthorization(a.authorizer, authorized, expiry);
        vm.prank(STRANGER);
        plimsoll.setAuthorizationWithSig(a, signature);
        assertEq(plimsoll.authorizationExpiry(a.authorizer, authorized), expiry);
        assertEq(plimsoll.nonce(a.authorizer), 1);

        a.nonce = 1;
        plimsoll.setAuthorizationWithSig(a, sign(key, digestOf(a)));
        assertEq(plimsoll.nonce(a.authorizer), 2);
    }

    function test_signedInShortForm() public {
        Authorization memory a = authorization();
        (bytes32 r, bytes32 vs) = vm.signCompact(KEY, digestOf(a));
        plimsoll.setAuthorizationWithSig(a, abi.encodePacked(r, vs));
        assertEq(plimsoll.authorizationExpiry(SIGNER, STRANGER), a.expiry);
    }

    /// @dev I4: somebody brings the signature first; the call that it was meant for goes through all the same.
    function test_frontRunningASignatureIsHarmless() public {
        Authorization memory a = authorization();
        bytes memory signature = sign(KEY, digestOf(a));
        supply(LENDER, 1_000e6);
        supplyCollateral(SIGNER, 1e18);
        plimsoll.setAuthorizationWithSig(a, signature);

        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IPlimsoll.setAuthorizationWithSig, (a, signature));
        calls[1] = abi.encodeCall(IPlimsoll.borrow, (params, 500e6, 0, SIGNER, STRANGER));
        vm.prank(STRANGER);
        plimsoll.multicall(calls);
        assertEq(loanToken.balanceOf(STRANGER), 500e6);
        assertEq(plimsoll.nonce(SIGNER), 1);
    }

    /// @dev I4: once. What was taken back stays taken back.
    function test_aUsedSignatureChangesNothing() public {
        Authorization memory a = authorization();
        bytes memory signature = sign(KEY, digestOf(a));
        plimsoll.setAuthorizationWithSig(a, signature);
        vm.prank(SIGNER);
        plimsoll.setAuthorization(STRANGER, 0);

        vm.warp(a.deadline + 1);
        vm.recordLogs();
        plimsoll.setAuthorizationWithSig(a, signature);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(plimsoll.authorizationExpiry(SIGNER, STRANGER), 0);
        assertEq(plimsoll.nonce(SIGNER), 1);
    }

    /* I4: THE RIGHT CHAIN, CONTRACT, NONCE, TIME, OWNER, WORDS */

    function test_notOnAnotherChain() public {
        Authorization memory a = authorization();
        bytes memory signature = sign(KEY, digestOf(a));
        vm.chainId(block.chainid + 1);
        assertRefused(plimsoll, a, signature);
        vm.chainId(block.chainid - 1);
        plimsoll.setAuthorizationWithSig(a, signature);
    }

    function test_notToAnotherContract() public {
        IPlimsoll other = IPlimsoll(deployCode("Plimsoll.sol:Plimsoll", abi.encode(OWNER)));
        Authorization memory a = authorization();
        assertRefused(other, a, sign(KEY, digestOf(a)));
    }

    function testFuzz_notWithALaterNonce(uint256 nonce) public {
        Authorization memory a = authorization();
        a.nonce = bound(nonce, 1, type(uint256).max);
        bytes memory signature = sign(KEY, digestOf(a));
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InvalidNonce.selector, a.nonce, 0));
        plimsoll.setAuthorizationWithSig(a, signature);
    }

    function test_notAfterItsDeadline() public {
        Authorization memory a = authorization();
        bytes memory signature = sign(KEY, digestOf(a));
        vm.warp(a.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.SignatureExpired.selector, a.deadline));
        plimsoll.setAuthorizationWithSig(a, signature);
        vm.warp(a.deadline);
        plimsoll.setAuthorizationWithSig(a, signature);
        assertEq(plimsoll.nonce(SIGNER), 1);
    }

    function testFuzz_notByAnybodyElse(uint256 key) public {
        key = boundPrivateKey(key);
        vm.assume(key != KEY);
        Authorization memory a = authorization();
        assertRefused(plimsoll, a, sign(key, digestOf(a)));
    }

    /// @dev Every word of it is signed.
    function test_notWithAnythingChanged() public {
        Authorization memory a = authorization();
        bytes memory signature = sign(KEY, digestOf(a));
        a.authorized = BORROWER;
        assertRefused(plimsoll, a, signature);
        a = authorization();
        a.expiry += 1;
        assertRefused(plimsoll, a, signature);
        a = authorization();
        a.deadline += 1;
        assertRefused(plimsoll, a, signature);
        a = authorization();
        a.authorizer = BORROWER;
        assertRefused(plimsoll, a, signature);
    }

    function testFuzz_garbageIsNoSignature(bytes calldata garbage) public {
        assertRefused(plimsoll, authorization(), garbage);
    }

    /// @dev A signature that recovers to the zero address is not valid for it.
    function testFuzz_theZeroAddressAuthorisesNothing(bytes calldata garbage) public {
        Authorization memory a = authorization();
        a.authorizer = address(0);
        assertRefused(plimsoll, a, garbage);
    }

    /// @dev The domain and the type as EIP-712 wants them, word by word.
    function test_domainSeparator() public view {
        assertEq(plimsoll.DOMAIN_SEPARATOR(), domainSeparator());
    }

    /* ACCOUNTS WITH CODE */

    /// @dev I4: asked by ERC-1271, with the signature as it came, after the nonce was used.
    function testFuzz_signedByAContract(bytes calldata signature) public {
        Authorization memory a = authorization();
        a.authorizer = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        Wallet wallet = new Wallet(digestOf(a), signature, 1);
        assertEq(address(wallet), a.authorizer);

        plimsoll.setAuthorizationWithSig(a, signature);
        assertEq(plimsoll.authorizationExpiry(address(wallet), STRANGER), a.expiry);
        assertEq(plimsoll.nonce(address(wallet)), 1);
    }

    function test_aContractThatRejectsTheSignature() public {
        Authorization memory a = authorization();
        a.authorizer = address(new Wallet(digestOf(a), "", 2));
        assertRefused(plimsoll, a, "");
    }

    /// @dev I4: an EIP-7702 account has a key, and it has the code that it delegates to: either may sign.
    function test_aDelegatingKeySignsByEither() public {
        Authorization memory byCode = authorization();
        byCode.nonce = 1;
        address implementation = address(new Wallet(digestOf(byCode), "as its code likes it", 2));
        vm.etch(SIGNER, abi.encodePacked(hex"ef0100", implementation));

        Authorization memory byKey = authorization();
        plimsoll.setAuthorizationWithSig(byKey, sign(KEY, digestOf(byKey)));
        assertEq(plimsoll.nonce(SIGNER), 1);
        plimsoll.setAuthorizationWithSig(byCode, "as its code likes it");
        assertEq(plimsoll.nonce(SIGNER), 2);

        Authorization memory byNobody = authorization();
        byNobody.nonce = 2;
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InvalidSignature.selector, SIGNER));
        plimsoll.setAuthorizationWithSig(byNobody, "as its code likes it");
    }

    /* WHO SIGNS WHAT */

    function authorization() internal view returns (Authorization memory) {
        uint256 time = vm.getBlockTimestamp();
        return Authorization({
            authorizer: SIGNER, authorized: STRANGER, expiry: time + 1 days, nonce: 0, deadline: time + 1 hours
        });
    }

    function assertRefused(IPlimsoll core, Authorization memory a, bytes memory signature) internal {
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.InvalidSignature.selector, a.authorizer));
        core.setAuthorizationWithSig(a, signature);
        assertEq(core.nonce(a.authorizer), 0);
    }

    function domainSeparator() internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Plimsoll"),
                keccak256("1"),
                block.chainid,
                plimsoll
            )
        );
    }

    function digestOf(Authorization memory a) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(
            "Authorization(address authorizer,address authorized,uint256 expiry,uint256 nonce,uint256 deadline)"
        );
        bytes32 structHash = keccak256(abi.encode(typeHash, a.authorizer, a.authorized, a.expiry, a.nonce, a.deadline));
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
