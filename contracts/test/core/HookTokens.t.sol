// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Market, Position} from "plimsoll/types/Market.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {toRisk} from "plimsoll/types/Risk.sol";
import {Step} from "../support/Actor.sol";
import {HookToken, HookedAccount} from "../support/OddTokens.sol";
import {TestToken} from "../support/TestToken.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of tokens that call the sender before each transfer and the receiver after it (attack 8).
/// @notice The called account may re-enter with any verb, in the same market or in another of the same tokens. State is
/// final before a token moves, so the result is that of the same call afterwards.
contract HookTokensTest is VerbTest {
    HookedAccount internal thief;
    MarketParams internal otherParams;
    MarketId internal otherId;

    function newTokens() internal override returns (TestToken, TestToken) {
        return (TestToken(address(new HookToken())), TestToken(address(new HookToken())));
    }

    function setUp() public override {
        super.setUp();
        otherParams = params;
        otherParams.risk = toRisk(7_000, LIQUIDATION_LTV_BPS, MIN_DEBT);
        otherId = plimsoll.createMarket(otherParams);

        thief = new HookedAccount();
        give(loanToken, address(thief), 1_000_000e6);
        give(collateralToken, address(thief), 1_000e18);
        HookToken(address(loanToken)).setHooked(address(thief), true);
        HookToken(address(collateralToken)).setHooked(address(thief), true);

        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1e18, 1_500e6);
        give(loanToken, LENDER, 1_000_000e6);
        vm.prank(LENDER);
        plimsoll.supply(otherParams, 1_000_000e6, 0, LENDER, "");
        settle(params);
        settle(otherParams);
        // The borrower's loan, not the thief's, can be liquidated.
        oracle.set(PRICE * 86 / 100);
        skip(1 days);
    }

    /// @dev Something of each for the thief to do something with.
    function settle(MarketParams memory where) internal {
        vm.startPrank(address(thief));
        plimsoll.supply(where, 1_000e6, 0, address(thief), "");
        plimsoll.supplyCollateral(where, 100e18, address(thief), "");
        plimsoll.borrow(where, 1_000e6, 0, address(thief), address(thief));
        vm.stopPrank();
    }

    function test_insideAHookIsTheSameAsAfter() public {
        bytes[] memory outer = verbs(params);
        bytes[] memory inner = verbs(params);
        bytes[] memory elsewhere = verbs(otherParams);
        for (uint256 i; i < outer.length; ++i) {
            for (uint256 j; j < inner.length; ++j) {
                if (i != 6 || j != 6) assertSame(outer[i], inner[j], i, j);
                assertSame(outer[i], elsewhere[j], i, 100 + j);
            }
        }
    }

    function assertSame(bytes memory outer, bytes memory inner, uint256 i, uint256 j) internal {
        string memory what = string.concat("verb ", vm.toString(j), " inside ", vm.toString(i));
        uint256 snapshot = vm.snapshotState();
        thief.setOnHook(Step(address(0), ""));
        thief.run(address(plimsoll), outer);
        thief.run(address(plimsoll), inner);
        bytes32 after_ = fingerprint();
        vm.revertToState(snapshot);

        thief.setOnHook(Step(address(plimsoll), inner));
        thief.run(address(plimsoll), outer);
        assertTrue(thief.called(), string.concat("no hook: ", what));
        assertEq(fingerprint(), after_, what);
        assertCovered();
        vm.revertToState(snapshot);
    }

    /// @dev The reserve is paid to a recipient that is called, and whose actions in the hook are those of afterwards.
    function test_insideTheHookOfACollectionIsTheSameAsAfter() public {
        oracle.set(PRICE);
        openLoan(BORROWER, 1_000e18, 900_000e6);
        vm.startPrank(OWNER);
        plimsoll.setFee(params, 2_500);
        plimsoll.setFeeRecipient(id, address(thief));
        vm.stopPrank();
        skip(2 * 365 days);
        supply(LENDER, 500_000e6);
        bytes memory collection = abi.encodeCall(IPlimsoll.collectReserve, (params));
        bytes[] memory inner = verbs(params);
        // All but the last, since there is nothing to liquidate.
        for (uint256 j; j < 6; ++j) {
            assertSame(collection, inner[j], 7, j);
        }
        thief.setOnHook(Step(address(plimsoll), inner[0]));
        thief.run(address(plimsoll), collection);
        Market memory m = plimsoll.market(id);
        uint256 shares = m.reserveShares + plimsoll.position(id, LENDER).supplyShares
            + plimsoll.position(id, address(thief)).supplyShares;
        assertEq(m.supplyShares, shares, "A1");
    }

    /// @dev All that move tokens: in, out, and liquidation, which does both.
    function verbs(MarketParams memory where) internal view returns (bytes[] memory list) {
        address me = address(thief);
        list = new bytes[](7);
        list[0] = abi.encodeCall(IPlimsoll.supply, (where, 10e6, 0, me, ""));
        list[1] = abi.encodeCall(IPlimsoll.withdraw, (where, 20e6, 0, me, me));
        list[2] = abi.encodeCall(IPlimsoll.supplyCollateral, (where, 3e18, me, ""));
        list[3] = abi.encodeCall(IPlimsoll.withdrawCollateral, (where, 4e18, me, me));
        list[4] = abi.encodeCall(IPlimsoll.borrow, (where, 50e6, 0, me, me));
        list[5] = abi.encodeCall(IPlimsoll.repay, (where, 60e6, 0, me, ""));
        address[] memory borrowers = new address[](1);
        borrowers[0] = BORROWER;
        // Nobody can be liquidated in the other market; there, cover moves.
        if (where.risk.borrowLtvBps() == BORROW_LTV_BPS) {
            list[6] = abi.encodeCall(IPlimsoll.liquidate, (where, borrowers, 1_000e6, 0, me, ""));
        } else {
            list[6] = abi.encodeCall(IPlimsoll.depositCover, (where.loanToken, 7e6));
        }
    }

    function fingerprint() internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                balances(),
                plimsoll.market(id),
                plimsoll.market(otherId),
                holdingsOf(address(thief)),
                plimsoll.position(otherId, address(thief)),
                plimsoll.cover(address(thief), address(loanToken))
            )
        );
    }

    /// @dev A2: the balance covers the claims of suppliers, of collateral and of cover.
    function assertCovered() internal view {
        uint256 idle = idleIn(id) + idleIn(otherId) + plimsoll.cover(address(thief), address(loanToken));
        assertGe(loanToken.balanceOf(address(plimsoll)), idle);
        uint256 collateral = plimsoll.position(id, BORROWER).collateral
            + plimsoll.position(id, address(thief)).collateral + plimsoll.position(otherId, address(thief)).collateral;
        assertEq(collateralToken.balanceOf(address(plimsoll)), collateral);
    }

    function idleIn(MarketId where) internal view returns (uint256) {
        Market memory m = plimsoll.market(where);
        return m.supplyAssets - m.borrowAssets;
    }

    /// @dev A hook that fails fails the transfer, which is named.
    function test_aHookMayRefuse() public {
        thief.setOnHook(Step(address(plimsoll), abi.encodeCall(IPlimsoll.setFee, (params, 0))));
        vm.expectRevert(
            abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, loanToken, thief, address(plimsoll), 1e6)
        );
        thief.run(address(plimsoll), abi.encodeCall(IPlimsoll.supply, (params, 1e6, 0, address(thief), "")));
    }

    /// @dev A hook cannot keep assets that are not paid for: during an unpaid supply everything can be withdrawn, and
    /// the supply then reverts.
    function test_anUnpaidCallIsReverted() public {
        Position memory before = plimsoll.position(id, address(thief));
        uint256 held = loanToken.balanceOf(address(thief));
        thief.setOnHook(
            Step(address(plimsoll), abi.encodeCall(IPlimsoll.withdraw, (params, held, 0, address(thief), STRANGER)))
        );
        vm.expectPartialRevert(IPlimsoll.TransferFailed.selector);
        thief.run(address(plimsoll), abi.encodeCall(IPlimsoll.supply, (params, held + 1, 0, address(thief), "")));
        assertEq(abi.encode(plimsoll.position(id, address(thief))), abi.encode(before));
        assertEq(loanToken.balanceOf(STRANGER), 0);
    }
}
