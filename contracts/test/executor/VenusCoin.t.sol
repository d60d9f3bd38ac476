// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {IVBnb, VenusCoinPool} from "./VenusCoinPool.sol";
import {IVenusCore} from "./VenusCorePool.sol";

/// @notice Liquidations in the market of the chain's own coin of a real core pool of Venus: coins are wrapped and unwrapped.
contract ExecutorVenusCoinTest is VenusCoinPool {
    /* COLLATERAL */

    /// @dev The account and what is seized are as by a liquidator with capital, and what is redeemed arrives wrapped.
    function test_E6_collateralInCoinsIsRedeemedAndWrapped(bool byPair, uint256 part) public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        uint256 repay = bound(part, 100e6, job.items[0].maxRepay);
        uint256 snapshot = vm.snapshotState();
        loanToken.mint(LIQUIDATOR, repay);
        vm.startPrank(LIQUIDATOR);
        loanToken.approve(address(venusLiquidator), repay);
        venusLiquidator.liquidateBorrow(address(vUsd), BORROWER, repay, address(vCoin));
        vCoin.redeem(vCoin.balanceOf(LIQUIDATOR));
        vm.stopPrank();
        uint256[3] memory expected = [vUsd.borrowBalanceStored(BORROWER), vCoin.balanceOf(BORROWER), LIQUIDATOR.balance];
        vm.revertToState(snapshot);

        job.items[0].maxRepay = uint128(repay);
        if (byPair) job.items[0].route = abi.encodePacked(uint8(0), PAIR_FEE, loanToken);
        IExecutor.Outcome memory outcome = executor.execute(job);
        assertEq(vUsd.borrowBalanceStored(BORROWER), expected[0]);
        assertEq(vCoin.balanceOf(BORROWER), expected[1]);
        assertEq(outcome.results[0].seized, expected[2]);
        assertEq(coin.balanceOf(TREASURY), outcome.profit);
        assertGt(outcome.profit, 0);
        assertNoCoins();
    }

    /* DEBT */

    /// @dev The bought coins are unwrapped and sent along.
    function test_E6_debtInCoinsIsRepaidUnwrapped(bool direct, uint256 part) public onVenus {
        address debtor = _borrowCoins();
        IExecutor.Job memory job = jobOfCoins(debtor);
        uint256 repay = bound(part, 0.1e18, job.items[0].maxRepay);
        job.items[0].maxRepay = uint128(repay);
        if (direct) {
            _nameNobody();
            uint256 debt = vCoin.borrowBalanceStored(debtor);
            job.items[0].data =
                abi.encode(IExecutor.CompoundLoan(address(vCoin), address(vUsd), debtor, debt, false, true, false));
        }
        uint256 snapshot = vm.snapshotState();
        vm.deal(LIQUIDATOR, repay);
        vm.startPrank(LIQUIDATOR);
        if (direct) {
            IVBnb(address(vCoin)).liquidateBorrow{value: repay}(debtor, address(vUsd));
        } else {
            venusLiquidator.liquidateBorrow{value: repay}(address(vCoin), debtor, repay, address(vUsd));
        }
        vUsd.redeem(vUsd.balanceOf(LIQUIDATOR));
        vm.stopPrank();
        uint256[3] memory expected =
            [vCoin.borrowBalanceStored(debtor), vUsd.balanceOf(debtor), loanToken.balanceOf(LIQUIDATOR)];
        vm.revertToState(snapshot);

        IExecutor.Outcome memory outcome = executor.execute(job);
        assertEq(outcome.results[0].repaid, repay);
        assertEq(vCoin.borrowBalanceStored(debtor), expected[0]);
        assertEq(vUsd.balanceOf(debtor), expected[1]);
        assertEq(outcome.results[0].seized, expected[2]);
        assertEq(loanToken.balanceOf(TREASURY), outcome.profit);
        assertGt(outcome.profit, 0);
        assertNoCoins();
    }

    /* WHAT IT REFUSES */

    /// @dev Coins are taken from the market while its receipts are redeemed, and neither before nor after that.
    function test_coinsOfAMarketAreTakenWhileItsReceiptsAreRedeemedOnly() public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        vm.deal(address(vCoin), address(vCoin).balance + 1);
        for (uint256 i; i < 2; ++i) {
            vm.prank(address(vCoin));
            (bool done, bytes memory answer) = address(executor).call{value: 1}("");
            assertFalse(done);
            assertEq(answer, abi.encodeWithSelector(IExecutor.UnexpectedCoins.selector, address(vCoin)));
            if (i == 0) executor.execute(job);
        }
    }

    /// @dev Receipts of coins that are not said to be of coins are not redeemed.
    function test_receiptsOfCoinsMustBeSaidToBe() public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        job.items[0].data =
            abi.encode(IExecutor.CompoundLoan(address(vUsd), address(vCoin), BORROWER, 0, true, false, false));
        vm.expectRevert();
        executor.execute(job);
    }

    /// @dev Nothing but the wrapped coin is unwrapped or wrapped.
    function test_whatIsSaidToBeInCoinsMustBeTheWrappedCoin() public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        job.items[0].data =
            abi.encode(IExecutor.CompoundLoan(address(vUsd), address(vCoin), BORROWER, 0, true, true, true));
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NotWrappedCoin.selector, loanToken));
        executor.execute(job);
        address debtor = _borrowCoins();
        job = jobOfCoins(debtor);
        job.items[0].data =
            abi.encode(IExecutor.CompoundLoan(address(vCoin), address(vUsd), debtor, 0, true, true, true));
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NotWrappedCoin.selector, loanToken));
        executor.execute(job);
    }

    function test_gasOfALiquidation() public onVenus {
        uint256 gas = gasOfALiquidation();
        emit log_named_uint("Venus, core pool, coins as collateral", gas);
        assertLe(gas, 800_000);
        address debtor = _borrowCoins();
        executor.execute(jobOfCoins(debtor));
        gas = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint("Venus, core pool, debt in coins", gas);
        assertLe(gas, 800_000);
    }

    /* HELPERS */

    /// @dev An account with dollars as collateral whose debt in coins has become too dear.
    function _borrowCoins() private returns (address debtor) {
        debtor = makeAddr("debtor");
        oracle.set(PRICE);
        openOwingCoins(debtor, 3.9e18);
        crashTo(2_150);
    }

    /// @dev A pool that names no Liquidator lets everybody liquidate, and never returns to that.
    function _nameNobody() private {
        vm.record();
        IVenusCore(address(comptroller)).liquidatorContract();
        (bytes32[] memory slots,) = vm.accesses(address(comptroller));
        for (uint256 i; i < slots.length; ++i) {
            bytes32 held = vm.load(address(comptroller), slots[i]);
            if (address(uint160(uint256(held))) == address(venusLiquidator)) {
                vm.store(address(comptroller), slots[i], 0);
            }
        }
        assertEq(IVenusCore(address(comptroller)).liquidatorContract(), address(0));
    }
}
