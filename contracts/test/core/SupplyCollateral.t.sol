// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {VerbTest} from "../support/VerbTest.sol";

/// @title Tests of `supplyCollateral`: for any account by any account, independent of interest, debt and oracle.
contract SupplyCollateralTest is VerbTest {
    function testFuzz_addsToWhatIsThere(MarketHistory memory history, uint256 assets) public {
        createHistory(history);
        assets = bound(assets, 1, MAX_AMOUNT - plimsoll.position(id, BORROWER).collateral);
        give(collateralToken, STRANGER, assets);
        Balances memory b = balances();
        b.market = plimsoll.market(id);
        b.borrower.position.collateral += assets;
        b.stranger.collateralTokens -= assets;
        b.core.collateralTokens += assets;

        vm.recordLogs();
        expectEvent();
        emit IPlimsoll.SupplyCollateral(id, STRANGER, BORROWER, assets);
        vm.prank(STRANGER);
        plimsoll.supplyCollateral(params, assets, BORROWER, "");

        assertNoAccrual();
        assertBalances(b);
    }

    /// @dev L1
    function test_doesNotNeedTheOracle() public {
        createHistory();
        oracle.setBroken(true);
        supplyCollateral(BORROWER, 1e18);
    }

    /* REFUSED */

    function test_refusesNoAmount() public {
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooSmall.selector, 0));
        plimsoll.supplyCollateral(params, 0, BORROWER, "");
    }

    /// @dev Whatever is there already: no sum wraps around.
    function testFuzz_refusesAmountsOver128Bits(uint256 held, uint256 amount) public {
        supplyCollateral(BORROWER, bound(held, 1, MAX_AMOUNT));
        amount = bound(amount, MAX_AMOUNT + 1, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, amount));
        plimsoll.supplyCollateral(params, amount, BORROWER, "");
    }

    function testFuzz_refusesATotalOver128Bits(uint256 first, uint256 second) public {
        first = bound(first, 1, MAX_AMOUNT);
        second = bound(second, MAX_AMOUNT + 1 - first, MAX_AMOUNT);
        supplyCollateral(BORROWER, first);
        give(collateralToken, BORROWER, second);
        vm.prank(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.AmountTooLarge.selector, first + second));
        plimsoll.supplyCollateral(params, second, BORROWER, "");
    }

    function test_refusesTheZeroAddress() public {
        vm.expectRevert(IPlimsoll.ZeroAddress.selector);
        plimsoll.supplyCollateral(params, 1, address(0), "");
    }

    function test_refusesAPaymentThatFails() public {
        give(collateralToken, STRANGER, 99);
        vm.prank(STRANGER);
        vm.expectRevert(
            abi.encodeWithSelector(IPlimsoll.TransferFailed.selector, collateralToken, STRANGER, address(plimsoll), 100)
        );
        plimsoll.supplyCollateral(params, 100, STRANGER, "");
    }

    function test_refusesAMarketThatIsNotThere() public {
        params.oracle = address(this);
        vm.expectRevert(abi.encodeWithSelector(IPlimsoll.MarketNotCreated.selector, keccak256(abi.encode(params))));
        plimsoll.supplyCollateral(params, 1, BORROWER, "");
    }
}
