// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {VenusIsolatedPool} from "./VenusPool.sol";
import {ExecutorVenusTest} from "./VenusTest.sol";

/// @notice Liquidations on a real isolated pool of Venus.
contract ExecutorCompoundV2Test is ExecutorVenusTest, VenusIsolatedPool {
    function byLiquidator() internal pure override returns (bool) {
        return false;
    }

    /* WHAT IT DOES */

    /// @dev The receipts are redeemed, the pool is paid, and the rest of the coins is the profit.
    function test_E6_theDebtIsBoughtFirstAndTheReceiptsAreRedeemed(bool byPair, uint256 part) public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        job.items[0].maxRepay = uint128(bound(part, 100e6, job.items[0].maxRepay));
        if (byPair) job.items[0].route = abi.encodePacked(uint8(0), PAIR_FEE, loanToken);
        uint256 debt = vUsd.borrowBalanceStored(BORROWER);
        IExecutor.Outcome memory outcome = executor.execute(job);

        assertEq(outcome.results[0].repaid, job.items[0].maxRepay);
        assertEq(debt - vUsd.borrowBalanceStored(BORROWER), outcome.results[0].repaid);
        assertEq(collateralToken.balanceOf(TREASURY), outcome.profit);
        assertGt(outcome.profit, 0);
        assertNothingLeft();
    }

    /// @dev It is the protocol that liquidates: the account comes out as by a liquidator with capital.
    function test_E6_theAccountComesOutAsByALiquidatorWithCapital(uint256 part) public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        uint256 repay = bound(part, 100e6, job.items[0].maxRepay);
        uint256 snapshot = vm.snapshotState();
        loanToken.mint(LIQUIDATOR, repay);
        vm.startPrank(LIQUIDATOR);
        loanToken.approve(address(vUsd), repay);
        vUsd.liquidateBorrow(BORROWER, repay, address(vCoin));
        vm.stopPrank();
        (uint256 debt, uint256 receipts) = (vUsd.borrowBalanceStored(BORROWER), vCoin.balanceOf(BORROWER));
        vm.revertToState(snapshot);

        job.items[0].maxRepay = uint128(repay);
        executor.execute(job);
        assertEq(vUsd.borrowBalanceStored(BORROWER), debt);
        assertEq(vCoin.balanceOf(BORROWER), receipts);
    }

    /* WHAT IT REFUSES */

    function test_whatTheComptrollerRefusesIsPassedOn() public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        job.items[0].maxRepay += 1;
        vm.expectRevert(abi.encodeWithSignature("TooMuchRepay()"));
        executor.execute(job);
        oracle.set(PRICE);
        job.items[0].maxRepay -= 1;
        vm.expectRevert(abi.encodeWithSignature("InsufficientShortfall()"));
        executor.execute(job);
    }

    /// @dev Only markets that the immutable comptroller lists are approved and called.
    function test_E2_marketsThatAreNotListedAreRefused() public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        address[2] memory markets = [address(vUsd), address(vCoin)];
        for (uint256 i; i < 2; ++i) {
            address[2] memory given = markets;
            given[i] = STRANGER;
            job.items[0].data = loan(given[0], given[1], BORROWER, 0);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.MarketNotListed.selector, STRANGER));
            executor.execute(job);
        }
    }

    /// @dev Older forks answer a code where newer ones revert.
    function test_aCodeIsARefusal() public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        bytes memory redeem = abi.encodePacked(IVTokenSelectors.redeem.selector);
        vm.mockCall(address(vCoin), redeem, abi.encode(14));
        vm.expectRevert(abi.encodeWithSelector(IExecutor.Refused.selector, 14));
        executor.execute(job);
        bytes memory call = abi.encodePacked(IVTokenSelectors.liquidateBorrow.selector);
        vm.mockCall(address(vUsd), call, abi.encode(3));
        vm.expectRevert(abi.encodeWithSelector(IExecutor.Refused.selector, 3));
        executor.execute(job);
        // Nor is a success believed without a repayment.
        vm.mockCall(address(vUsd), call, abi.encode(0));
        vm.mockCall(address(vCoin), redeem, abi.encode(0));
        vm.expectRevert(IExecutor.NothingRepaid.selector);
        executor.execute(job);
    }

    function test_gasOfALiquidation() public onVenus {
        uint256 gas = gasOfALiquidation();
        emit log_named_uint("Venus", gas);
        assertLe(gas, 560_000);
    }
}

interface IVTokenSelectors {
    function liquidateBorrow(address borrower, uint256 repay, address vTokenCollateral) external returns (uint256);
    function redeem(uint256 receipts) external returns (uint256);
}
