// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {IRepayCallback, ISupplyCallback, ISupplyCollateralCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {Position} from "plimsoll/types/Market.sol";
import {Actor, Step} from "../support/Actor.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of callbacks: called before the tokens are pulled, with final state (attack 9), free to re-enter.
/// again
contract CallbacksTest is VerbTest {
    Actor internal actor;
    Step[] internal steps;
    /// @dev The state of the core during its callback.
    Balances internal seen;
    uint256 internal seenTokens;

    function setUp() public override {
        super.setUp();
        actor = new Actor();
        give(loanToken, address(actor), 1_000_000e6);
        give(collateralToken, address(actor), 1_000e18);
        createHistory();
        supplyCollateral(address(actor), 100e18);
        borrow(address(actor), 10_000e6);
        skip(1 days);
    }

    /* WHO IS CALLED, WHEN, WITH WHAT */

    /// @dev Attack 9: supply assets and shares are in the books, the tokens are not here yet.
    function test_viewsInsideSupply() public {
        uint256 here = loanToken.balanceOf(address(plimsoll));
        step(address(this), abi.encodeCall(this.recordState, (address(loanToken))));
        vm.prank(address(actor));
        (uint256 assets,) = plimsoll.supply(params, 0, 7e12, LENDER, abi.encode(steps));
        assertCalledBack(ISupplyCallback.onPlimsollSupply.selector, assets);
        assertEq(seenTokens, here);
        assertEq(loanToken.balanceOf(address(plimsoll)), here + assets);
        assertSeenIsFinal();
    }

    /// @dev Attack 9
    function test_viewsInsideSupplyCollateral() public {
        uint256 here = collateralToken.balanceOf(address(plimsoll));
        step(address(this), abi.encodeCall(this.recordState, (address(collateralToken))));
        vm.prank(address(actor));
        plimsoll.supplyCollateral(params, 3e18, BORROWER, abi.encode(steps));
        assertCalledBack(ISupplyCollateralCallback.onPlimsollSupplyCollateral.selector, 3e18);
        assertEq(seenTokens, here);
        assertEq(collateralToken.balanceOf(address(plimsoll)), here + 3e18);
        assertSeenIsFinal();
    }

    /// @dev Attack 9
    function test_viewsInsideRepay() public {
        uint256 here = loanToken.balanceOf(address(plimsoll));
        step(address(this), abi.encodeCall(this.recordState, (address(loanToken))));
        vm.prank(address(actor));
        (uint256 assets,) = plimsoll.repay(params, 0, 7e12, BORROWER, abi.encode(steps));
        assertCalledBack(IRepayCallback.onPlimsollRepay.selector, assets);
        assertEq(seenTokens, here);
        assertEq(loanToken.balanceOf(address(plimsoll)), here + assets);
        assertSeenIsFinal();
    }

    function recordState(address token) external {
        seen = balances();
        seen.market = plimsoll.market(id);
        seenTokens = loanToken.balanceOf(address(plimsoll));
        if (token == address(collateralToken)) seenTokens = collateralToken.balanceOf(address(plimsoll));
    }

    function assertCalledBack(bytes4 selector, uint256 assets) internal view {
        assertEq(actor.lastSelector(), selector);
        assertEq(actor.lastAssets(), assets);
        assertEq(actor.lastCaller(), address(plimsoll));
    }

    function assertSeenIsFinal() internal view {
        assertMarket(seen.market, plimsoll.market(id));
        assertEq(abi.encode(seen.lender.position), abi.encode(plimsoll.position(id, LENDER)));
        assertEq(abi.encode(seen.borrower.position), abi.encode(plimsoll.position(id, BORROWER)));
    }

    /// @dev Empty data, no call: the actor could not have answered.
    function test_withoutDataNobodyIsCalled() public {
        vm.startPrank(address(actor));
        plimsoll.supply(params, 1e6, 0, LENDER, "");
        plimsoll.supplyCollateral(params, 1e18, LENDER, "");
        plimsoll.repay(params, 1e6, 0, BORROWER, "");
        assertEq(actor.lastCaller(), address(0));
    }

    /* LEVERAGE WITHOUT CAPITAL */

    /// @dev Collateral that is bought with what it secures.
    function test_openedInOneCall() public {
        Actor poor = new Actor();
        vm.prank(address(poor));
        collateralToken.approve(address(plimsoll), type(uint256).max);
        step(address(plimsoll), abi.encodeCall(IPlimsoll.borrow, (params, 1_500e6, 0, address(poor), address(poor))));
        // Somebody sells it the collateral.
        step(address(loanToken), abi.encodeWithSignature("transfer(address,uint256)", STRANGER, 1_500e6));
        step(address(collateralToken), abi.encodeWithSignature("mint(address,uint256)", poor, 1e18));
        vm.prank(address(poor));
        plimsoll.supplyCollateral(params, 1e18, address(poor), abi.encode(steps));

        Position memory p = plimsoll.position(id, address(poor));
        assertEq(p.collateral, 1e18);
        assertApproxEqAbs(owed(p.borrowShares, plimsoll.market(id)), 1_500e6, 1);
        assertEq(collateralToken.balanceOf(address(poor)), 0);
    }

    /// @dev A loan repaid with its own collateral.
    function test_closedInOneCall() public {
        uint256 debt = debtOf(address(actor));
        vm.prank(address(actor));
        loanToken.transfer(STRANGER, 1_010_000e6);
        step(
            address(plimsoll), abi.encodeCall(IPlimsoll.withdrawCollateral, (params, 100e18, address(actor), STRANGER))
        );
        step(address(loanToken), abi.encodeWithSignature("mint(address,uint256)", actor, debt));
        vm.prank(address(actor));
        plimsoll.repay(params, 0, type(uint256).max, address(actor), abi.encode(steps));

        Position memory p = plimsoll.position(id, address(actor));
        assertEq(p.borrowShares, 0);
        assertEq(p.collateral, 0);
        assertEq(loanToken.balanceOf(address(actor)), 0);
    }

    /* CALLING IN AGAIN */

    /// @dev Any verb inside a callback leaves the books that it would leave afterwards.
    function test_insideIsTheSameAsAfter() public {
        bytes[] memory inner = verbs();
        bytes[3] memory outer = [
            abi.encodeCall(IPlimsoll.supply, (params, 5e6, 0, address(actor), "")),
            abi.encodeCall(IPlimsoll.supplyCollateral, (params, 5e18, address(actor), "")),
            abi.encodeCall(IPlimsoll.repay, (params, 5e6, 0, address(actor), ""))
        ];
        for (uint256 i; i < outer.length; ++i) {
            for (uint256 j; j < inner.length; ++j) {
                uint256 snapshot = vm.snapshotState();
                vm.startPrank(address(actor));
                call(outer[i]);
                call(inner[j]);
                vm.stopPrank();
                bytes32 after_ = fingerprint();
                vm.revertToState(snapshot);

                Step[] memory one = new Step[](1);
                one[0] = Step(address(plimsoll), inner[j]);
                bytes memory data = abi.encode(one);
                vm.startPrank(address(actor));
                if (i == 0) plimsoll.supply(params, 5e6, 0, address(actor), data);
                else if (i == 1) plimsoll.supplyCollateral(params, 5e18, address(actor), data);
                else plimsoll.repay(params, 5e6, 0, address(actor), data);
                vm.stopPrank();
                assertEq(fingerprint(), after_, string.concat("verb ", vm.toString(j), " in ", vm.toString(i)));
                vm.revertToState(snapshot);
            }
        }
    }

    function verbs() internal view returns (bytes[] memory list) {
        address me = address(actor);
        list = new bytes[](7);
        list[0] = abi.encodeCall(IPlimsoll.accrue, (params));
        list[1] = abi.encodeCall(IPlimsoll.supply, (params, 3e6, 0, me, ""));
        list[2] = abi.encodeCall(IPlimsoll.supplyCollateral, (params, 3e18, me, ""));
        list[3] = abi.encodeCall(IPlimsoll.borrow, (params, 3e6, 0, me, me));
        list[4] = abi.encodeCall(IPlimsoll.repay, (params, 3e6, 0, me, ""));
        list[5] = abi.encodeCall(IPlimsoll.withdrawCollateral, (params, 3e18, me, me));
        list[6] = abi.encodeCall(IPlimsoll.repay, (params, 3e6, 0, BORROWER, ""));
    }

    function call(bytes memory data) internal {
        (bool done,) = address(plimsoll).call(data);
        assertTrue(done, "failed");
    }

    function fingerprint() internal view returns (bytes32) {
        return keccak256(abi.encode(balances(), plimsoll.market(id), holdingsOf(address(actor))));
    }

    /// @dev Assets supplied during the call can be withdrawn during the call; the tokens must still be paid.
    function test_suppliedAndWithdrawnInside() public {
        Balances memory b = balances();
        step(address(plimsoll), abi.encodeCall(IPlimsoll.withdraw, (params, 1e6 - 1, 0, address(actor), STRANGER)));
        vm.prank(address(actor));
        plimsoll.supply(params, 1e6, 0, address(actor), abi.encode(steps));
        assertEq(loanToken.balanceOf(STRANGER), b.stranger.loanTokens + 1e6 - 1);
        assertEq(loanToken.balanceOf(address(plimsoll)), b.core.loanTokens + 1);
    }

    /* REFUSED */

    function test_anUnpaidCallIsReverted() public {
        vm.startPrank(address(actor));
        plimsoll.accrue(params);
        loanToken.approve(address(plimsoll), 0);
        collateralToken.approve(address(plimsoll), 0);
        vm.stopPrank();
        Balances memory b = balances();
        bytes memory nothing = abi.encode(steps);

        vm.startPrank(address(actor));
        vm.expectRevert(failed(address(loanToken), 1e6));
        plimsoll.supply(params, 1e6, 0, LENDER, nothing);
        vm.expectRevert(failed(address(collateralToken), 1e18));
        plimsoll.supplyCollateral(params, 1e18, LENDER, nothing);
        vm.expectRevert(failed(address(loanToken), 1e6));
        plimsoll.repay(params, 1e6, 0, BORROWER, nothing);
        assertBalances(b);
    }

    function failed(address token, uint256 amount) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, token, actor, plimsoll, amount);
    }

    /// @dev A callee's own reason comes through.
    function test_aCallbackMayRefuse() public {
        step(address(plimsoll), abi.encodeCall(IPlimsoll.setBackstop, (id, STRANGER)));
        vm.prank(address(actor));
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.NotOwner.selector, actor));
        plimsoll.supply(params, 1e6, 0, LENDER, abi.encode(steps));
    }

    /// @dev A caller without the callback must not pass data.
    function test_anAccountWithoutCodeCannotBeCalled() public {
        give(loanToken, STRANGER, 1e6);
        vm.prank(STRANGER);
        vm.expectRevert(bytes(""));
        plimsoll.supply(params, 1e6, 0, STRANGER, "data");
    }

    function step(address target, bytes memory data) internal {
        steps.push(Step(target, data));
    }
}
