// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {TestToken} from "../support/TestToken.sol";
import {IVenusCore, IVenusLiquidator, VenusCorePool} from "./VenusCorePool.sol";
import {ExecutorVenusTest} from "./VenusTest.sol";

/// @notice Liquidations on a real core pool of Venus, where its Liquidator alone may liquidate.
contract ExecutorVenusCoreTest is ExecutorVenusTest, VenusCorePool {
    function byLiquidator() internal pure override returns (bool) {
        return true;
    }

    /* WHAT IT DOES */

    /// @dev The Liquidator keeps its part, the rest is redeemed, the pool is paid, and what remains of the coins is the profit.
    function test_E6_theLiquidatorLiquidatesAndTheReceiptsAreRedeemed(bool byPair, uint256 part, uint256 kept)
        public
        onVenus
    {
        venusLiquidator.setTreasuryPercent(bound(kept, 0, 0.9e18));
        IExecutor.Job memory job = jobOf(BORROWER);
        job.items[0].maxRepay = uint128(bound(part, 100e6, job.items[0].maxRepay));
        if (byPair) job.items[0].route = abi.encodePacked(uint8(0), PAIR_FEE, loanToken);
        uint256 debt = vUsd.borrowBalanceStored(BORROWER);
        uint256 coins = collateralToken.balanceOf(address(vCoin));
        IExecutor.Outcome memory outcome = executor.execute(job);

        assertEq(outcome.results[0].repaid, job.items[0].maxRepay);
        assertEq(debt - vUsd.borrowBalanceStored(BORROWER), outcome.results[0].repaid);
        assertEq(collateralToken.balanceOf(TREASURY), outcome.profit);
        assertLe(outcome.results[0].seized, coins - collateralToken.balanceOf(address(vCoin)));
        assertGt(outcome.profit, 0);
        assertNothingLeft();
        assertEq(loanToken.allowance(address(executor), address(venusLiquidator)), 0);
    }

    /// @dev It is the Liquidator that liquidates: the account comes out as by a liquidator with capital.
    function test_E6_theAccountComesOutAsByALiquidatorWithCapital(uint256 part) public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        uint256 repay = bound(part, 100e6, job.items[0].maxRepay);
        uint256 snapshot = vm.snapshotState();
        loanToken.mint(LIQUIDATOR, repay);
        vm.startPrank(LIQUIDATOR);
        loanToken.approve(address(venusLiquidator), repay);
        venusLiquidator.liquidateBorrow(address(vUsd), BORROWER, repay, address(vCoin));
        vm.stopPrank();
        (uint256 debt, uint256 receipts) = (vUsd.borrowBalanceStored(BORROWER), vCoin.balanceOf(BORROWER));
        uint256 received = vCoin.balanceOf(LIQUIDATOR);
        vm.prank(LIQUIDATOR);
        vCoin.redeem(received);
        uint256 coins = collateralToken.balanceOf(LIQUIDATOR);
        vm.revertToState(snapshot);

        job.items[0].maxRepay = uint128(repay);
        IExecutor.Outcome memory outcome = executor.execute(job);
        assertEq(vUsd.borrowBalanceStored(BORROWER), debt);
        assertEq(vCoin.balanceOf(BORROWER), receipts);
        assertEq(outcome.results[0].seized, coins);
    }

    /* WHAT IT REFUSES */

    /// @dev The market refuses everybody but the Liquidator, and the Liquidator accounts that are healthy.
    function test_whatTheLiquidatorRefusesIsPassedOn() public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        uint256 debt = vUsd.borrowBalanceStored(BORROWER);
        job.items[0].data =
            abi.encode(IExecutor.CompoundLoan(address(vUsd), address(vCoin), BORROWER, debt, false, false, false));
        vm.expectPartialRevert(IExecutor.Refused.selector);
        executor.execute(job);

        job = jobOf(BORROWER);
        job.items[0].maxRepay += 1;
        vm.expectPartialRevert(LIQUIDATION_FAILED);
        executor.execute(job);
        job.items[0].maxRepay -= 1;
        uint256 snapshot = vm.snapshotState();
        oracle.set(PRICE);
        vm.expectPartialRevert(LIQUIDATION_FAILED);
        executor.execute(job);
        vm.revertToState(snapshot);

        venusLiquidator.restrictLiquidation(BORROWER);
        vm.expectRevert(abi.encodeWithSignature("LiquidationNotAllowed(address,address)", BORROWER, address(executor)));
        executor.execute(job);
        venusLiquidator.addToAllowlist(BORROWER, address(executor));
        assertEq(executor.execute(job).done, 1);
    }

    /// @dev Only markets that the immutable comptroller lists are given to its Liquidator, also where that would take others.
    function test_E2_marketsThatAreNotListedAreRefused() public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        address[2] memory markets = [address(vUsd), address(vCoin)];
        for (uint256 i; i < 4; ++i) {
            if (i == 2) {
                _name(address(new HostileLiquidator(HostileLiquidator.Mode.Nothing, loanToken, collateralToken)));
            }
            address[2] memory given = [markets[0], markets[1]];
            given[i % 2] = STRANGER;
            job.items[0].data = loan(given[0], given[1], BORROWER, 0);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.MarketNotListed.selector, STRANGER));
            executor.execute(job);
        }
    }

    /// @dev A comptroller that names no contract.
    function test_aLiquidatorWithoutCodeIsRefused(address named) public onVenus {
        vm.assume(named.code.length == 0 && uint160(named) > 0xffff);
        _name(named);
        IExecutor.Job memory job = jobOf(BORROWER);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NoCode.selector, named));
        executor.execute(job);
    }

    function test_gasOfALiquidation() public onVenus {
        uint256 gas = gasOfALiquidation();
        emit log_named_uint("Venus, core pool", gas);
        assertLe(gas, 750_000);
    }

    /* A HOSTILE LIQUIDATOR */

    /// @dev Whatever the pool's owner names as the Liquidator, an item there fails alone: what another protocol brings in the
    /// same job stays, in the token that is repaid or in the collateral, and nothing can be pulled afterwards.
    function test_E4_aHostileLiquidatorFailsItsItemOnly(uint8 mode, bool inDollars, uint256 repay) public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        job.items[0].maxRepay = uint128(bound(repay, 1, job.items[0].maxRepay));
        IExecutor.Item[] memory items = new IExecutor.Item[](2);
        (items[0], items[1]) = (_itemOfPlimsoll(inDollars), job.items[0]);
        for (uint256 i; i < 2; ++i) {
            (items[i].gasCap, items[i].minLeft) = (2_000_000, 1);
        }
        if (inDollars) job.profitToken = address(loanToken);
        job.items = new IExecutor.Item[](1);
        job.items[0] = items[0];
        uint256 snapshot = vm.snapshotState();
        uint256 alone = executor.execute(job).profit;
        vm.revertToState(snapshot);

        HostileLiquidator hostile = new HostileLiquidator(
            HostileLiquidator.Mode(bound(mode, 0, uint8(HostileLiquidator.Mode.PayAndRob))), loanToken, collateralToken
        );
        _name(address(hostile));
        job.items = items;
        hostile.setEntries(job);
        // One that pays for what it takes and gives a little more does no harm, and takes no more than that.
        bool pays = hostile.MODE() == HostileLiquidator.Mode.PayAndRob;
        collateralToken.mint(address(hostile), 5e18);
        IExecutor.Outcome memory outcome = executor.execute(job);
        assertEq(outcome.done, pays ? 3 : 1);
        if (pays) assertGe(outcome.profit, alone);
        else assertEq(outcome.profit, alone);
        assertEq(loanToken.balanceOf(address(hostile)), pays ? items[1].maxRepay : 0);
        assertEq(loanToken.allowance(address(executor), address(hostile)), 0);
        assertNothingLeft();
    }

    /// @dev What it might have pulled it cannot pull later.
    function test_E1_theLiquidatorsAllowanceEndsWithItsCall(uint256 pulled) public onVenus {
        HostileLiquidator hostile =
            new HostileLiquidator(HostileLiquidator.Mode.PayAndLeave, loanToken, collateralToken);
        _name(address(hostile));
        collateralToken.mint(address(hostile), 5e18);
        IExecutor.Job memory job = jobOf(BORROWER);
        // A single unit that is left is one too many.
        hostile.setPulled(pulled % 2 == 0 ? job.items[0].maxRepay - 1 : bound(pulled, 1, job.items[0].maxRepay));
        assertEq(executor.execute(job).results[0].repaid, loanToken.balanceOf(address(hostile)));
        assertEq(loanToken.allowance(address(executor), address(hostile)), 0);
        assertNothingLeft();
    }

    /* HELPERS */

    bytes4 private constant LIQUIDATION_FAILED = bytes4(keccak256("LiquidationFailed(uint256)"));

    function _name(address liquidator) private {
        IVenusCore(address(comptroller))._setLiquidatorContract(liquidator);
    }

    /// @dev A loan of another protocol, whose liquidation leaves dollars or coins.
    function _itemOfPlimsoll(bool inDollars) private returns (IExecutor.Item memory item) {
        oracle.set(PRICE);
        supply(LENDER, 1_000_000e6);
        openLoan(STRANGER, 5e18, 8_000e6);
        oracle.set(PRICE * 9 / 10);
        item = jobOf(BORROWER).items[0];
        (item.target, item.maxRepay, item.exactOut) = (1, type(uint128).max, !inDollars);
        address[] memory borrowers = new address[](1);
        borrowers[0] = STRANGER;
        item.data = abi.encode(IExecutor.PlimsollLoans(params, borrowers));
    }
}

/// @notice Named as a pool's Liquidator, and does not liquidate.
contract HostileLiquidator {
    enum Mode {
        Nothing,
        Take,
        TakeAUnit,
        Enter,
        BurnGas,
        Bomb,
        PayAndRob,
        PayAndLeave
    }

    Mode public immutable MODE;
    TestToken private immutable DEBT;
    TestToken private immutable COLLATERAL;
    uint256 private pulled;
    bytes[2] private entries;

    constructor(Mode mode, TestToken debt, TestToken collateral) {
        (MODE, DEBT, COLLATERAL) = (mode, debt, collateral);
    }

    function setEntries(IExecutor.Job calldata job) external {
        entries[0] = abi.encodeCall(IExecutor.execute, (job));
        entries[1] = abi.encodeCall(IExecutor.runItem, (job.items[0], job.profitToken, address(this)));
    }

    function setPulled(uint256 amount) external {
        pulled = amount;
    }

    function liquidateBorrow(address, address, uint256 repay, address) external payable {
        if (MODE == Mode.Nothing) return;
        if (MODE == Mode.BurnGas) while (true) {}
        if (MODE == Mode.Bomb) {
            assembly ("memory-safe") {
                revert(0x00, 200000)
            }
        }
        if (MODE == Mode.TakeAUnit) repay = 1;
        if (MODE == Mode.PayAndLeave) repay = pulled;
        DEBT.transferFrom(msg.sender, address(this), repay);
        if (MODE == Mode.Enter) {
            _try(msg.sender, entries[0]);
            _try(msg.sender, entries[1]);
        } else if (MODE == Mode.PayAndRob || MODE == Mode.PayAndLeave) {
            COLLATERAL.transfer(msg.sender, COLLATERAL.balanceOf(address(this)));
        }
        if (MODE == Mode.PayAndRob) {
            uint256 rest = DEBT.balanceOf(msg.sender);
            _try(address(DEBT), abi.encodeCall(DEBT.transferFrom, (msg.sender, address(this), rest)));
            _try(address(DEBT), abi.encodeCall(DEBT.transferFrom, (msg.sender, address(this), 1)));
        }
    }

    /// @dev Whether it succeeds shows in what it moves.
    function _try(address to, bytes memory data) private returns (bool done) {
        (done,) = to.call(data);
    }
}
