// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test, console} from "forge-std/Test.sol";
import {LendingHandler} from "./LendingHandler.sol";

/// @notice A long fixed history that checks that the handler reaches every state of interest, since invariants also
/// hold over histories in which nothing happens. `forge test --match-contract HandlerCoverage -vv` prints how often
/// each state was reached.
contract HandlerCoverageTest is Test {
    uint256 private constant CALLS = 3_500;

    function test_handlerReachesEveryStateThatTheInvariantsAreAbout() public {
        LendingHandler handler = new LendingHandler();
        bytes4[19] memory verbs = [
            handler.supply.selector,
            handler.withdraw.selector,
            handler.transferSupply.selector,
            handler.supplyCollateral.selector,
            handler.withdrawCollateral.selector,
            handler.borrow.selector,
            handler.openLoan.selector,
            handler.repay.selector,
            handler.deleverage.selector,
            handler.liquidate.selector,
            handler.crashAndLiquidate.selector,
            handler.accrue.selector,
            handler.passTime.selector,
            handler.movePrice.selector,
            handler.breakOrMendOracle.selector,
            handler.collectReserve.selector,
            handler.moveCover.selector,
            handler.environmentAction.selector,
            handler.roundTrip.selector
        ];
        for (uint256 i; i < CALLS; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            (bool done, bytes memory why) = address(handler).call(abi.encodeWithSelector(verbs[seed % 19], seed));
            if (!done) {
                console.log("call", i);
                assembly ("memory-safe") {
                    revert(add(why, 0x20), mload(why))
                }
            }
        }
        string[] memory names = handler.hitNames();
        for (uint256 i; i < names.length; ++i) {
            console.log(handler.hits(names[i]), names[i]);
        }
        _assertAllHit(handler);
    }

    function _assertAllHit(LendingHandler handler) private view {
        string[44] memory what = [
            "supply by shares",
            "withdrawal by shares",
            "withdrawal in the callback of a supply",
            "borrowing by shares",
            "repayment in part",
            "repayment in full",
            "repayment in full behind dust",
            "collateral withdrawn from under a debt",
            "collateral withdrawn in the callback of its repayment",
            "loan opened in the callback of its collateral",
            "acting for another by authorisation",
            "unauthorised call refused",
            "supply while the oracle is broken",
            "withdrawal while the oracle is broken",
            "repayment in full while the oracle is broken",
            "collateral supplied while the oracle is broken",
            "collateral withdrawn while the oracle is broken",
            "borrowing refused while the oracle is broken",
            "withdrawal of collateral refused while the oracle is broken",
            "liquidation refused while the oracle is broken",
            "ramp: a slice",
            "ramp: a loan lifted to its target",
            "ramp: a loan closed because its rest was too small",
            "breakeven: a slice",
            "breakeven: the whole",
            "insolvent: a slice",
            "insolvent: the whole",
            "worthless: the whole",
            "several loans in one liquidation",
            "loans left alone in a liquidation",
            "a loss paid by the reserve",
            "a loss paid by cover",
            "a loss paid by suppliers",
            "years without a call",
            "withdrawal of collateral refused to a debt below the minimum",
            "collateral held by the borrow price, the lower of two",
            "supply transferred",
            "supply transferred without liquidity",
            "deleveraging of a part",
            "deleveraging of the whole debt",
            "deleveraging while the oracle is broken",
            "deleveraging of a liquidatable loan",
            "more collateral refused than the part that is repaid",
            "borrowing refused by the surge limit"
        ];
        for (uint256 i; i < what.length; ++i) {
            assertGt(handler.hits(what[i]), 0, what[i]);
        }
    }
}
