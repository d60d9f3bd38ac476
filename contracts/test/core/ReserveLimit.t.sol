// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Market} from "plimsoll/types/Market.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title The known limit of a reserve, for loan tokens of which a unit is worth almost nothing.
contract ReserveLimitTest is VerbTest {
    /// @dev S9: a reserve that holds the most shares is, in a market of 3e30 units (3e12 tokens of 18 decimals), less
    /// than 1 % of the debt. None of it can be collected, and all further interest is the suppliers'.
    function test_S9_inAVeryLargeMarketNothingIsCollected() public {
        oracle.set(ORACLE_SCALE);
        vm.startPrank(OWNER);
        plimsoll.setFee(params, 1_000);
        plimsoll.setFeeRecipient(id, STRANGER);
        vm.stopPrank();
        supply(LENDER, 3e30);
        openLoan(BORROWER, 1e37, 2.85e30);
        for (uint256 i; i < 6; ++i) {
            skip(60 days);
            vm.prank(STRANGER);
            assertEq(plimsoll.collectReserve(params), 0);
        }
        Market memory m = plimsoll.market(id);
        assertEq(m.reserveShares, 2 ** 114 - 1);
        assertLt(m.reserveShares * 100, m.supplyShares);
    }
}
