// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "plimsoll/interfaces/IERC1271.sol";
import {IGuard} from "plimsoll/interfaces/IGuard.sol";
import {GuardMath} from "plimsoll/libraries/GuardMath.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {Creator} from "../support/Creator.sol";
import {GuardTest} from "./GuardTest.sol";

/// @notice An account with code that says yes to one hash, with one signature.
contract SigningWallet is IERC1271 {
    bytes32 internal immutable HASH;
    bytes32 internal immutable SIGNATURE_HASH;

    constructor(bytes32 hash, bytes memory signature) {
        (HASH, SIGNATURE_HASH) = (hash, keccak256(signature));
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return hash == HASH && keccak256(signature) == SIGNATURE_HASH ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// @title Tests of placing and cancelling orders.
contract GuardPlacingTest is GuardTest, Creator {
    uint256 internal constant KEY = 0xA11CE;
    address internal immutable SIGNER = vm.addr(KEY);

    /* BY CALL */

    /// @dev Every field comes back, and the event tells what is stored.
    function testFuzz_isStored(IGuard.Order memory order, uint8 kindSeed) public {
        IGuard.Kind kind = IGuard.Kind(kindSeed % 3);
        _makeValid(order, kind);
        IGuard.Order memory stored = _rounded(order);
        vm.expectEmit(address(guard));
        emit IGuard.PlaceOrder(id, STRANGER, kind, stored);
        vm.prank(STRANGER);
        guard.place(id, kind, order);
        (IGuard.Order memory seen, uint256 lastExecuted) = guard.order(STRANGER, id, kind);
        assertEq(abi.encode(seen), abi.encode(stored));
        assertEq(lastExecuted, 0);
        // One of each kind, account and market.
        (seen,) = guard.order(STRANGER, id, IGuard.Kind((uint256(kindSeed) + 1) % 3));
        assertEq(seen.uses, 0);
        (seen,) = guard.order(BORROWER, id, kind);
        assertEq(seen.uses, 0);
    }

    /// @dev The rounding of a trigger price is below the precision of any feed, and exact up to 56 bits.
    function testFuzz_theTriggerPriceKeepsItsDigits(uint256 price) public pure {
        uint256 kept = GuardMath.unpackPrice(GuardMath.packPriceDown(price));
        assertLe(kept, price);
        assertLe(price - kept, price >> 55);
        if (price < 1 << 56) assertEq(kept, price);
        assertEq(GuardMath.unpackPrice(GuardMath.packPriceDown(kept)), kept);
    }

    function test_aSecondOrderReplacesTheFirst() public {
        openProtectedLoan();
        oracle.set(PRICE * 94 / 100);
        execute(IGuard.Kind.Protect);
        IGuard.Order memory order = protection();
        order.uses = 9;
        place(IGuard.Kind.Protect, order);
        (IGuard.Order memory seen, uint256 lastExecuted) = guard.order(BORROWER, id, IGuard.Kind.Protect);
        assertEq(seen.uses, 9);
        assertEq(lastExecuted, 0);
    }

    /* BOUNDS */

    function test_triggers() public {
        IGuard.Order memory order = protection();
        order.triggerLtvBps = LIQUIDATION_LTV_BPS - 1;
        place(IGuard.Kind.Protect, order);
        uint16[3] memory bad = [0, LIQUIDATION_LTV_BPS, 65_535];
        for (uint256 i; i < bad.length; ++i) {
            order.triggerLtvBps = bad[i];
            _refused(IGuard.Kind.Protect, order, _invalidTrigger(order));
        }
        order = protection();
        order.triggerPrice = 1;
        _refused(IGuard.Kind.Protect, order, _invalidTrigger(order));
        for (uint256 kind = 1; kind < 3; ++kind) {
            order = closing(1);
            place(IGuard.Kind(kind), order);
            order.triggerPrice = 0;
            _refused(IGuard.Kind(kind), order, _invalidTrigger(order));
            order = closing(1);
            order.triggerLtvBps = 7_800;
            _refused(IGuard.Kind(kind), order, _invalidTrigger(order));
        }
    }

    /// @dev In a market with a higher liquidation LTV the trigger ends at 97 %.
    function test_triggersAboveTheHighest() public {
        params.risk = toRisk(9_700, 9_800, MIN_DEBT);
        id = plimsoll.createMarket(params);
        IGuard.Order memory order = protection();
        order.triggerLtvBps = 9_700;
        place(IGuard.Kind.Protect, order);
        order.triggerLtvBps = 9_701;
        vm.expectRevert(abi.encodeWithSelector(IGuard.InvalidTrigger.selector, 9_701, 0, 9_800));
        place(IGuard.Kind.Protect, order);
    }

    function test_targets() public {
        uint16[4] memory good = [0, 100, 7_699, 7_700];
        uint16[4] memory bad = [1, 99, 7_701, 65_535];
        IGuard.Order memory order = protection();
        for (uint256 i; i < 4; ++i) {
            order.targetLtvBps = good[i];
            place(IGuard.Kind.Protect, order);
            order.targetLtvBps = bad[i];
            _refused(IGuard.Kind.Protect, order, abi.encodeWithSelector(IGuard.InvalidTarget.selector, bad[i], 7_800));
        }
        order = closing(PRICE);
        order.targetLtvBps = 7_000;
        _refused(IGuard.Kind.CloseBelow, order, abi.encodeWithSelector(IGuard.InvalidTarget.selector, 7_000, 0));
    }

    function test_premiums() public {
        IGuard.Order memory order = protection();
        (order.premiumStartPpm, order.premiumEndPpm, order.rampBps) = (30_000, 30_000, 10_000);
        place(IGuard.Kind.Protect, order);
        (order.premiumStartPpm, order.premiumEndPpm, order.rampBps) = (0, 0, 1);
        place(IGuard.Kind.Protect, order);
        uint16[3][4] memory bad = [[uint16(0), 30_001, 1], [uint16(2), 1, 1], [uint16(0), 1, 0], [uint16(0), 1, 10_001]];
        for (uint256 i; i < bad.length; ++i) {
            (order.premiumStartPpm, order.premiumEndPpm, order.rampBps) = (bad[i][0], bad[i][1], bad[i][2]);
            bytes memory refusal =
                abi.encodeWithSelector(IGuard.InvalidPremium.selector, bad[i][0], bad[i][1], bad[i][2]);
            _refused(IGuard.Kind.Protect, order, refusal);
        }
    }

    function test_times() public {
        IGuard.Order memory order = protection();
        uint256 latest = vm.getBlockTimestamp() + 365 days;
        (order.cooldownSecs, order.uses, order.expiry) = (600, 1, uint40(latest));
        place(IGuard.Kind.Protect, order);
        order.expiry = uint40(vm.getBlockTimestamp() + 1);
        place(IGuard.Kind.Protect, order);

        order.cooldownSecs = 599;
        _refused(IGuard.Kind.Protect, order, abi.encodeWithSelector(IGuard.CooldownTooShort.selector, 599, 600));
        order = protection();
        order.uses = 0;
        _refused(IGuard.Kind.Protect, order, abi.encodeWithSelector(IGuard.NoUses.selector));
        order = protection();
        uint40[3] memory bad = [uint40(vm.getBlockTimestamp()), uint40(latest + 1), 0];
        for (uint256 i; i < bad.length; ++i) {
            order.expiry = bad[i];
            _refused(IGuard.Kind.Protect, order, abi.encodeWithSelector(IGuard.InvalidExpiry.selector, bad[i], latest));
        }
    }

    function test_marketsThatDoNotExist() public {
        MarketId none = MarketId.wrap(keccak256("none"));
        vm.expectRevert(abi.encodeWithSelector(IGuard.MarketNotCreated.selector, none));
        guard.place(none, IGuard.Kind.Protect, protection());
    }

    function test_anAddressWithoutCodeIsNoCore() public {
        bytes memory code = abi.encodePacked(vm.getCode("Guard.sol:Guard"), abi.encode(STRANGER));
        expectCreationRefused(code, abi.encodeWithSelector(IGuard.NoCode.selector, STRANGER));
        assertEq(guard.plimsoll(), address(plimsoll));
    }

    /* BY SIGNATURE */

    function testFuzz_G10_signedByAKey(uint256 key, IGuard.Order memory order, uint8 kindSeed, uint256 deadline)
        public
    {
        key = boundPrivateKey(key);
        IGuard.Kind kind = IGuard.Kind(kindSeed % 3);
        _makeValid(order, kind);
        deadline = bound(deadline, vm.getBlockTimestamp(), type(uint256).max);
        IGuard.Placement memory p = IGuard.Placement(vm.addr(key), id, kind, order, 0, deadline);
        bytes memory signature = _sign(key, _digestOf(p));
        vm.expectEmit(address(guard));
        emit IGuard.UseNonce(p.account, 0);
        vm.expectEmit(address(guard));
        emit IGuard.PlaceOrder(id, p.account, kind, _rounded(order));
        vm.prank(STRANGER);
        guard.placeWithSig(p, signature);
        (IGuard.Order memory seen,) = guard.order(p.account, id, kind);
        assertEq(abi.encode(seen), abi.encode(_rounded(order)));
        assertEq(guard.nonce(p.account), 1);
    }

    function test_G10_signedByAContract() public {
        bytes memory signature = "yes";
        // The wallet's address is part of what it signs: known in advance by the creator's nonce.
        address wallet = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        IGuard.Placement memory p = _placement();
        p.account = wallet;
        assertEq(address(new SigningWallet(_digestOf(p), signature)), wallet);
        vm.expectRevert(abi.encodeWithSelector(IGuard.InvalidSignature.selector, wallet));
        guard.placeWithSig(p, "no");
        guard.placeWithSig(p, signature);
        assertEq(_usesOf(wallet), 3);
    }

    /// @dev An account that delegates by EIP-7702 has code and a key.
    function test_G10_signedByADelegatingAccount() public {
        IGuard.Placement memory p = _placement();
        vm.etch(SIGNER, abi.encodePacked(hex"ef0100", address(plimsoll)));
        guard.placeWithSig(p, _sign(KEY, _digestOf(p)));
        assertEq(_usesOf(SIGNER), 3);
    }

    /// @dev A used signature does nothing, whatever became of the order, and does not fail the call.
    function test_G10_aReplayChangesNothing() public {
        IGuard.Placement memory p = _placement();
        bytes memory signature = _sign(KEY, _digestOf(p));
        vm.prank(STRANGER);
        guard.placeWithSig(p, signature);
        // The signer's own transaction, which was overtaken.
        vm.recordLogs();
        vm.prank(SIGNER);
        guard.placeWithSig(p, signature);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(_usesOf(SIGNER), 3);

        vm.prank(SIGNER);
        guard.cancel(id, IGuard.Kind.Protect);
        guard.placeWithSig(p, signature);
        assertEq(_usesOf(SIGNER), 0, "a cancelled order came back");
        skip(400 days);
        guard.placeWithSig(p, signature);
    }

    /// @dev Nor one whose uses or cooldown it would restore.
    function test_G10_aReplayRestoresNoUses() public {
        IGuard.Placement memory p = _placement();
        bytes memory signature = _sign(KEY, _digestOf(p));
        guard.placeWithSig(p, signature);
        openLoan(SIGNER, 10e18, 15_000e6);
        authorize(SIGNER);
        oracle.set(PRICE * 94 / 100);
        execute(SIGNER, IGuard.Kind.Protect);
        guard.placeWithSig(p, signature);
        (IGuard.Order memory seen, uint256 lastExecuted) = guard.order(SIGNER, id, IGuard.Kind.Protect);
        assertEq(seen.uses, 2);
        assertEq(lastExecuted, vm.getBlockTimestamp());
    }

    /// @dev Every field is signed: a changed one is another message.
    function test_G10_nothingCanBeChanged() public {
        IGuard.Placement memory p = _placement();
        bytes memory signature = _sign(KEY, _digestOf(p));
        params.risk = toRisk(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT + 1);
        MarketId other = plimsoll.createMarket(params);
        for (uint256 i; i < 14; ++i) {
            IGuard.Placement memory q = _placement();
            if (i == 0) q.id = other;
            if (i == 1) (q.kind, q.order) = (IGuard.Kind.CloseBelow, closing(PRICE));
            if (i == 2) q.deadline += 1;
            if (i == 3) q.order.triggerLtvBps += 1;
            if (i == 4) q.order.targetLtvBps -= 1;
            if (i == 5) q.order.premiumStartPpm += 1;
            if (i == 6) q.order.premiumEndPpm += 1;
            if (i == 7) q.order.rampBps += 1;
            if (i == 8) q.order.requireBorrowPrice = true;
            if (i == 9) q.order.uses += 1;
            if (i == 10) q.order.expiry += 1;
            if (i == 11) q.order.cooldownSecs += 1;
            if (i == 12) q.order.flatTip += 1;
            if (i == 13) q.order.maxOwn += 1;
            vm.expectRevert(abi.encodeWithSelector(IGuard.InvalidSignature.selector, SIGNER));
            guard.placeWithSig(q, signature);
        }
        IGuard.Placement memory ahead = _placement();
        ahead.nonce = 1;
        vm.expectRevert(abi.encodeWithSelector(IGuard.InvalidNonce.selector, 1, 0));
        guard.placeWithSig(ahead, signature);
        ahead = _placement();
        ahead.account = BORROWER;
        vm.expectRevert(abi.encodeWithSelector(IGuard.InvalidSignature.selector, BORROWER));
        guard.placeWithSig(ahead, signature);
        assertEq(guard.nonce(SIGNER), 0);
        guard.placeWithSig(p, signature);
    }

    function test_G10_onlyUntilItsDeadline() public {
        IGuard.Placement memory p = _placement();
        bytes memory signature = _sign(KEY, _digestOf(p));
        vm.warp(p.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IGuard.SignatureExpired.selector, p.deadline));
        guard.placeWithSig(p, signature);
        vm.warp(p.deadline);
        guard.placeWithSig(p, signature);
    }

    /// @dev For this contract and this chain: neither the core's domain nor a second guard's.
    function test_G10_aSignatureIsForOneContractAndChain() public {
        IGuard.Placement memory p = _placement();
        bytes memory signature = _sign(KEY, _digestOf(p));
        IGuard second = IGuard(deployCode("Guard.sol:Guard", abi.encode(plimsoll)));
        assertNotEq(second.DOMAIN_SEPARATOR(), guard.DOMAIN_SEPARATOR());
        assertNotEq(plimsoll.DOMAIN_SEPARATOR(), guard.DOMAIN_SEPARATOR());
        vm.expectRevert(abi.encodeWithSelector(IGuard.InvalidSignature.selector, SIGNER));
        second.placeWithSig(p, signature);
        vm.chainId(77);
        vm.expectRevert(abi.encodeWithSelector(IGuard.InvalidSignature.selector, SIGNER));
        guard.placeWithSig(p, signature);
    }

    /// @dev A signature with bad terms is refused, and its nonce stays usable.
    function test_G10_badTermsUseNoNonce() public {
        IGuard.Placement memory p = _placement();
        p.order.uses = 0;
        bytes memory signature = _sign(KEY, _digestOf(p));
        vm.expectRevert(IGuard.NoUses.selector);
        guard.placeWithSig(p, signature);
        assertEq(guard.nonce(SIGNER), 0);
    }

    /* CANCELLING */

    function test_G5_cancelled() public {
        openProtectedLoan();
        place(IGuard.Kind.CloseBelow, closing(PRICE));
        oracle.set(PRICE * 94 / 100);
        vm.expectEmit(address(guard));
        emit IGuard.CancelOrder(id, BORROWER, IGuard.Kind.Protect);
        vm.prank(BORROWER);
        guard.cancel(id, IGuard.Kind.Protect);
        vm.expectRevert(abi.encodeWithSelector(IGuard.NoOrder.selector, BORROWER, id, IGuard.Kind.Protect));
        executor.execute(params, BORROWER, IGuard.Kind.Protect, RECEIVER);
        // The other stays.
        execute(IGuard.Kind.CloseBelow);
    }

    /// @dev Everything before it ends, everything after it counts, and the signature that is not used yet ends, too.
    function test_G5_allCancelled() public {
        IGuard.Placement memory p = _placement();
        bytes memory signature = _sign(KEY, _digestOf(p));
        vm.startPrank(SIGNER);
        guard.place(id, IGuard.Kind.Protect, protection());
        guard.place(id, IGuard.Kind.CloseAbove, closing(PRICE));
        vm.expectEmit(address(guard));
        emit IGuard.UseNonce(SIGNER, 0);
        vm.expectEmit(address(guard));
        emit IGuard.CancelAllOrders(address(guard), SIGNER);
        guard.cancelAll();
        vm.stopPrank();
        for (uint256 kind; kind < 3; ++kind) {
            (IGuard.Order memory seen,) = guard.order(SIGNER, id, IGuard.Kind(kind));
            assertEq(seen.uses, 0);
            vm.expectRevert(abi.encodeWithSelector(IGuard.NoOrder.selector, SIGNER, id, IGuard.Kind(kind)));
            executor.execute(params, SIGNER, IGuard.Kind(kind), RECEIVER);
        }
        guard.placeWithSig(p, signature);
        assertEq(_usesOf(SIGNER), 0, "an outstanding signature");
        vm.prank(SIGNER);
        guard.place(id, IGuard.Kind.Protect, protection());
        assertEq(_usesOf(SIGNER), 3);
    }

    function test_G5_nobodyCancelsForOthers() public {
        openProtectedLoan();
        vm.startPrank(STRANGER);
        guard.cancel(id, IGuard.Kind.Protect);
        guard.cancelAll();
        vm.stopPrank();
        assertEq(_usesOf(BORROWER), 3);
    }

    /* HELPERS */

    function _usesOf(address account) internal view returns (uint256) {
        (IGuard.Order memory seen,) = guard.order(account, id, IGuard.Kind.Protect);
        return seen.uses;
    }

    function _refused(IGuard.Kind kind, IGuard.Order memory order, bytes memory refusal) internal {
        vm.expectRevert(refusal);
        place(kind, order);
    }

    function _invalidTrigger(IGuard.Order memory order) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(
            IGuard.InvalidTrigger.selector, order.triggerLtvBps, order.triggerPrice, LIQUIDATION_LTV_BPS
        );
    }

    function _makeValid(IGuard.Order memory order, IGuard.Kind kind) internal view {
        if (kind == IGuard.Kind.Protect) {
            order.triggerLtvBps = uint16(bound(order.triggerLtvBps, 200, LIQUIDATION_LTV_BPS - 1));
            order.targetLtvBps = uint16(bound(order.targetLtvBps, 100, order.triggerLtvBps - 100));
            order.triggerPrice = 0;
        } else {
            (order.triggerLtvBps, order.targetLtvBps) = (0, 0);
            if (order.triggerPrice == 0) order.triggerPrice = 1;
        }
        order.premiumEndPpm = uint16(bound(order.premiumEndPpm, 0, 30_000));
        order.premiumStartPpm = uint16(bound(order.premiumStartPpm, 0, order.premiumEndPpm));
        order.rampBps = uint16(bound(order.rampBps, 1, 10_000));
        order.uses = uint8(bound(order.uses, 1, 255));
        uint256 time = vm.getBlockTimestamp();
        order.expiry = uint40(bound(order.expiry, time + 1, time + 365 days));
        order.cooldownSecs = uint24(bound(order.cooldownSecs, 600, type(uint24).max));
    }

    /// @dev The 56 bits of a price from its highest on.
    function _rounded(IGuard.Order memory order) internal pure returns (IGuard.Order memory copy) {
        copy = abi.decode(abi.encode(order), (IGuard.Order));
        uint256 bits;
        while (bits < 256 && copy.triggerPrice >> bits != 0) ++bits;
        if (bits > 56) copy.triggerPrice = copy.triggerPrice >> (bits - 56) << (bits - 56);
    }

    function _placement() internal view returns (IGuard.Placement memory) {
        return IGuard.Placement(SIGNER, id, IGuard.Kind.Protect, protection(), 0, vm.getBlockTimestamp() + 1 hours);
    }

    /// @dev EIP-712, written out.
    function _digestOf(IGuard.Placement memory p) internal view returns (bytes32) {
        string memory orderType =
            "Order(uint16 triggerLtvBps,uint16 targetLtvBps,uint256 triggerPrice,uint16 premiumStartPpm,uint16 premiumEndPpm,uint16 rampBps,bool requireBorrowPrice,uint8 uses,uint40 expiry,uint24 cooldownSecs,uint96 flatTip,uint96 maxOwn)";
        bytes32 order = keccak256(abi.encodePacked(keccak256(bytes(orderType)), abi.encode(p.order)));
        bytes32 typeHash = keccak256(
            abi.encodePacked(
                "Placement(address account,bytes32 id,uint8 kind,Order order,uint256 nonce,uint256 deadline)", orderType
            )
        );
        bytes32 structHash = keccak256(abi.encode(typeHash, p.account, p.id, p.kind, order, p.nonce, p.deadline));
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Plimsoll Guard"),
                keccak256("1"),
                block.chainid,
                guard
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
