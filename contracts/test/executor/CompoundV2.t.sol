// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {CoreTest} from "../support/CoreTest.sol";
import {TestToken} from "../support/TestToken.sol";
import {IUniswapV3Pool, UniswapV3} from "../support/UniswapV3.sol";
import {UniswapV2} from "./UniswapV2.sol";
import {VenusPool} from "./VenusPool.sol";

/// @notice Liquidations on a real isolated pool of Venus. Where its package is not installed (`npm ci --ignore-scripts` in
/// tools/venus) the tests are skipped.
contract ExecutorCompoundV2Test is CoreTest, UniswapV2, UniswapV3, VenusPool {
    uint24 private constant PAIR_FEE = 3_000;
    address private immutable TREASURY = makeAddr("treasury");

    IExecutor private executor;
    IUniswapV3Pool private pool;

    function setUp() public override {
        super.setUp();
        if (!venusIsInstalled()) return;
        deployUniswapV2();
        deployUniswapV3();
        deployVenus(address(loanToken), address(collateralToken), oracle);
        pool = newPool(address(collateralToken), 5_000e18, address(loanToken), 10_000_000e6);
        newPair(address(collateralToken), 5_000e18, address(loanToken), 10_000_000e6);
        IExecutor.Target[] memory targets = new IExecutor.Target[](1);
        targets[0] = IExecutor.Target(IExecutor.TargetKind.CompoundV2, address(comptroller));
        IExecutor.Venue[] memory venues = new IExecutor.Venue[](2);
        venues[0] = IExecutor.Venue(IExecutor.VenueKind.UniswapV2, address(uniswapV2Factory), pairInitCodeHash());
        venues[1] = IExecutor.Venue(IExecutor.VenueKind.UniswapV3, address(uniswapV3Factory), poolInitCodeHash());
        executor = IExecutor(deployCode("Executor.sol:Executor", abi.encode(address(collateralToken), targets, venues)));

        loanToken.mint(LENDER, 10_000_000e6);
        vm.startPrank(LENDER);
        loanToken.approve(address(vUsd), type(uint256).max);
        vUsd.mint(10_000_000e6);
        vm.stopPrank();
        _open(BORROWER);
        crashTo(1_800);
    }

    modifier onVenus() {
        if (!venusIsInstalled()) {
            vm.skip(true, "tools/venus is not installed");
            return;
        }
        _;
    }

    /* WHAT IT DOES */

    /// @dev The receipts are redeemed, the pool is paid, and the rest of the coins is the profit.
    function test_E6_theDebtIsBoughtFirstAndTheReceiptsAreRedeemed(bool byPair, uint256 part) public onVenus {
        IExecutor.Job memory job = _job(BORROWER);
        job.items[0].maxRepay = uint128(bound(part, 100e6, job.items[0].maxRepay));
        if (byPair) job.items[0].route = abi.encodePacked(uint8(0), PAIR_FEE, loanToken);
        uint256 debt = vUsd.borrowBalanceStored(BORROWER);
        IExecutor.Outcome memory outcome = executor.execute(job);

        assertEq(outcome.results[0].repaid, job.items[0].maxRepay);
        assertEq(debt - vUsd.borrowBalanceStored(BORROWER), outcome.results[0].repaid);
        assertEq(collateralToken.balanceOf(TREASURY), outcome.profit);
        assertGt(outcome.profit, 0);
        _assertNothingLeft();
    }

    /// @dev It is the protocol that liquidates: the account comes out as by a liquidator with capital.
    function test_E6_theAccountComesOutAsByALiquidatorWithCapital(uint256 part) public onVenus {
        IExecutor.Job memory job = _job(BORROWER);
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
        IExecutor.Job memory job = _job(BORROWER);
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
        IExecutor.Job memory job = _job(BORROWER);
        address[2] memory markets = [address(vUsd), address(vCoin)];
        for (uint256 i; i < 2; ++i) {
            address[2] memory given = markets;
            given[i] = STRANGER;
            job.items[0].data = abi.encode(IExecutor.CompoundLoan(given[0], given[1], BORROWER, 0));
            vm.expectRevert(abi.encodeWithSelector(IExecutor.MarketNotListed.selector, STRANGER));
            executor.execute(job);
        }
    }

    /// @dev Older forks answer a code where newer ones revert.
    function test_aCodeIsARefusal() public onVenus {
        IExecutor.Job memory job = _job(BORROWER);
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

    /// @dev A lost race is noticed before anything is bought.
    function test_aLostRaceCostsLittle() public onVenus {
        IExecutor.Job memory job = _job(BORROWER);
        executor.execute(job);
        // What the job expects is the debt before, which is even.
        uint256 expected = 2 * uint256(job.items[0].maxRepay);
        vm.expectRevert(
            abi.encodeWithSelector(IExecutor.StaleDebt.selector, vUsd.borrowBalanceStored(BORROWER), expected)
        );
        executor.execute(job);
        assertLe(vm.lastCallGas().gasTotalUsed, 45_000);
    }

    function test_gasOfALiquidation() public onVenus {
        address other = makeAddr("other");
        oracle.set(PRICE);
        _open(other);
        oracle.set(PRICE * 9 / 10);
        executor.execute(_job(other));
        executor.execute(_job(BORROWER));
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint("Venus", gas);
        assertLe(gas, 560_000);
    }

    /* HELPERS */

    function _open(address who) private {
        collateralToken.mint(who, 5e18);
        vm.startPrank(who);
        collateralToken.approve(address(vCoin), 5e18);
        vCoin.mint(5e18);
        address[] memory markets = new address[](1);
        markets[0] = address(vCoin);
        comptroller.enterMarkets(markets);
        vUsd.borrow(8_000e6);
        vm.stopPrank();
    }

    function crashTo(uint256 whole) private {
        oracle.set(whole * 1e6 * ORACLE_SCALE / 1e18);
        swapTo(pool, sqrtPriceOf(address(collateralToken), 1e18, address(loanToken), whole * 1e6));
    }

    /// @dev Half of the debt, which the close factor permits.
    function _job(address borrower) private view returns (IExecutor.Job memory job) {
        uint256 debt = vUsd.borrowBalanceStored(borrower);
        job.items = new IExecutor.Item[](1);
        job.items[0].debt = address(loanToken);
        job.items[0].collateral = address(collateralToken);
        job.items[0].maxRepay = uint128(debt / 2);
        job.items[0].route = abi.encodePacked(uint8(1), FEE, loanToken);
        job.items[0].data = abi.encode(IExecutor.CompoundLoan(address(vUsd), address(vCoin), borrower, debt));
        job.receiver = TREASURY;
        job.profitToken = address(collateralToken);
        job.deadline = vm.getBlockTimestamp();
    }

    function _assertNothingLeft() private view {
        assertEq(loanToken.balanceOf(address(executor)), 0);
        assertEq(collateralToken.balanceOf(address(executor)), 0);
        assertEq(vCoin.balanceOf(address(executor)), 0);
    }
}

interface IVTokenSelectors {
    function liquidateBorrow(address borrower, uint256 repay, address vTokenCollateral) external returns (uint256);
    function redeem(uint256 receipts) external returns (uint256);
}
