// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {Position} from "plimsoll/types/Market.sol";
import {Actor, Step} from "../support/Actor.sol";
import {CoreTest} from "../support/CoreTest.sol";

/// @notice Attacks 5 and 10: making one's own position insolvent on purpose, and liquidating oneself for a profit.
contract SolvencyAttackTest is CoreTest {
    Actor private attacker;
    Step[] private steps;

    function setUp() public override {
        super.setUp();
        attacker = new Actor();
        supply(LENDER, 1_000_000e6);
        give(loanToken, address(attacker), 10_000e6);
        give(collateralToken, address(attacker), 100e18);
        openLoan(address(attacker), 1e18, 1_000e6);
    }

    /// @dev 1,000 need 0.625 of collateral. Elsewhere the check was made before the collateral left, on another
    /// position, or not at all where value was given away.
    function test_attack05_collateralCannotLeaveADebtByAnyWay() public {
        bytes memory taking =
            abi.encodeCall(IPlimsoll.withdrawCollateral, (params, 0.375e18 + 1, address(attacker), STRANGER));
        bytes memory borrowing =
            abi.encodeCall(IPlimsoll.borrow, (params, 600e6 + 1, 0, address(attacker), address(attacker)));
        _assertUnhealthy(taking);
        _assertUnhealthy(borrowing);

        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IPlimsoll.supplyCollateral, (params, 1, address(attacker), ""));
        calls[1] = abi.encodeCall(IPlimsoll.withdrawCollateral, (params, 0.375e18 + 2, address(attacker), STRANGER));
        _assertUnhealthy(abi.encodeCall(IPlimsoll.multicall, (calls)));

        // In the callbacks of verbs that themselves make the position better, or leave it alone.
        steps.push(Step(address(plimsoll), taking));
        _assertUnhealthy(abi.encodeCall(IPlimsoll.supply, (params, 1e6, 0, address(attacker), abi.encode(steps))));
        steps[0].data = calls[1];
        _assertUnhealthy(abi.encodeCall(IPlimsoll.supplyCollateral, (params, 1, address(attacker), abi.encode(steps))));
        steps[0].data =
            abi.encodeCall(IPlimsoll.withdrawCollateral, (params, 0.375e18 + 1e15, address(attacker), STRANGER));
        _assertUnhealthy(abi.encodeCall(IPlimsoll.repay, (params, 1e6, 0, address(attacker), abi.encode(steps))));

        // And to the unit what is allowed.
        vm.prank(address(attacker));
        plimsoll.withdrawCollateral(params, 0.375e18, address(attacker), STRANGER);
    }

    /// @dev Supply is no collateral: giving it away, to the core itself even, changes no health.
    function test_attack05_assetsGivenAwayBackNoDebt() public {
        vm.startPrank(address(attacker));
        plimsoll.supply(params, 5_000e6, 0, address(attacker), "");
        plimsoll.withdraw(params, 5_000e6, 0, address(attacker), address(plimsoll));
        vm.stopPrank();
        _assertUnhealthy(abi.encodeCall(IPlimsoll.borrow, (params, 600e6 + 1, 0, address(attacker), address(attacker))));
    }

    /// @dev While the collateral is worth more than βmin times the debt, a borrower who is also the liquidator neither
    /// gains nor loses. Below that, the gain is the bad debt, which would be the same by any other liquidation.
    function testFuzz_attack10_selfLiquidationGainsNothingButTheBadDebt(uint256 valueBps, uint256 maxRepay) public {
        vm.prank(address(attacker));
        plimsoll.borrow(params, 600e6, 0, address(attacker), address(attacker));
        // From worth next to nothing up to health 1: 1,600 against 1,860.
        valueBps = bound(valueBps, 1, 9_300);
        oracle.set(PRICE * valueBps / BPS);
        maxRepay = bound(maxRepay, 1, 2_000e6);
        address[] memory borrowers = new address[](1);
        borrowers[0] = address(attacker);
        int256 was = _worth();
        uint256 lent = plimsoll.market(id).borrowAssets;
        uint256 supplied = suppliedBy(LENDER);

        vm.prank(address(attacker));
        try plimsoll.liquidate(params, borrowers, maxRepay, 0, address(attacker), "") returns (
            uint256 repaid, uint256
        ) {
            uint256 badDebt = lent - plimsoll.market(id).borrowAssets - repaid;
            assertLe(_worth(), was + int256(badDebt) + 2, "self-liquidation paid");
            assertEq(supplied - suppliedBy(LENDER), badDebt, "lenders lose the bad debt and no more");
            bool solvent = 2_000e6 * valueBps / BPS > 1_620e6;
            if (solvent) assertEq(badDebt, 0, "a write-off of a loan that its collateral pays for");
        } catch (bytes memory why) {
            assertEq(bytes4(why), IPlimsoll.NothingToLiquidate.selector);
        }
    }

    /// @dev The attacker's assets, valued by the price, less the debt.
    function _worth() private view returns (int256) {
        Position memory p = plimsoll.position(id, address(attacker));
        uint256 collateral = p.collateral + collateralToken.balanceOf(address(attacker));
        return int256(loanToken.balanceOf(address(attacker)))
            + int256(collateral * oracle.liquidationPrice() / ORACLE_SCALE) - int256(debtOf(address(attacker)));
    }

    function _assertUnhealthy(bytes memory call) private {
        vm.prank(address(attacker));
        (bool done, bytes memory why) = address(plimsoll).call(call);
        assertFalse(done, "solvency was lowered unseen");
        assertEq(bytes4(why), IPlimsoll.Unhealthy.selector);
    }
}
