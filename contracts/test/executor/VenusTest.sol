// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {CoreTest} from "../support/CoreTest.sol";
import {IUniswapV3Pool, UniswapV3} from "../support/UniswapV3.sol";
import {UniswapV2} from "./UniswapV2.sol";
import {VenusPool} from "./VenusPool.sol";

/// @title An executor at a pool of Venus, with an account whose collateral has fallen.
/// @notice Where the package is not installed (`npm ci --ignore-scripts` in tools/venus) the tests are skipped.
abstract contract ExecutorVenusTest is CoreTest, UniswapV2, UniswapV3, VenusPool {
    uint24 internal constant PAIR_FEE = 3_000;
    address internal immutable TREASURY = makeAddr("treasury");

    IExecutor internal executor;
    IUniswapV3Pool internal pool;

    function setUp() public virtual override {
        super.setUp();
        if (!venusIsInstalled()) return;
        deployUniswapV2();
        deployUniswapV3();
        deployVenus(address(loanToken), address(collateralToken), oracle);
        pool = newPool(address(collateralToken), 5_000e18, address(loanToken), 10_000_000e6);
        newPair(address(collateralToken), 5_000e18, address(loanToken), 10_000_000e6);
        IExecutor.Target[] memory targets = new IExecutor.Target[](2);
        targets[0] = IExecutor.Target(IExecutor.TargetKind.CompoundV2, address(comptroller));
        targets[1] = IExecutor.Target(IExecutor.TargetKind.Plimsoll, address(plimsoll));
        IExecutor.Venue[] memory venues = new IExecutor.Venue[](2);
        venues[0] = IExecutor.Venue(IExecutor.VenueKind.UniswapV2, address(uniswapV2Factory), pairInitCodeHash());
        venues[1] = IExecutor.Venue(IExecutor.VenueKind.UniswapV3, address(uniswapV3Factory), poolInitCodeHash());
        executor = IExecutor(deployCode("Executor.sol:Executor", abi.encode(address(collateralToken), targets, venues)));

        loanToken.mint(LENDER, 10_000_000e6);
        vm.startPrank(LENDER);
        loanToken.approve(address(vUsd), type(uint256).max);
        vUsd.mint(10_000_000e6);
        vm.stopPrank();
        open(BORROWER);
        crashTo(1_800);
    }

    modifier onVenus() {
        if (!venusIsInstalled()) {
            vm.skip(true, "tools/venus is not installed");
            return;
        }
        _;
    }

    /// @dev Whether a contract of the pool's own liquidates.
    function byLiquidator() internal pure virtual returns (bool);

    /// @dev The market of the chain's own coin; 0 if there is none.
    function coinMarket() internal view virtual returns (address) {}

    function supplyCoins(address who, uint256 amount) internal virtual {
        collateralToken.mint(who, amount);
        vm.startPrank(who);
        collateralToken.approve(address(vCoin), amount);
        vCoin.mint(amount);
        vm.stopPrank();
    }

    function open(address who) internal {
        supplyCoins(who, 5e18);
        vm.startPrank(who);
        address[] memory markets = new address[](1);
        markets[0] = address(vCoin);
        comptroller.enterMarkets(markets);
        vUsd.borrow(8_000e6);
        vm.stopPrank();
    }

    function crashTo(uint256 whole) internal {
        oracle.set(whole * 1e6 * ORACLE_SCALE / 1e18);
        swapTo(pool, sqrtPriceOf(address(collateralToken), 1e18, address(loanToken), whole * 1e6));
    }

    /// @dev Half of the debt, which the close factor permits.
    function jobOf(address borrower) internal view returns (IExecutor.Job memory job) {
        uint256 debt = vUsd.borrowBalanceStored(borrower);
        job.items = new IExecutor.Item[](1);
        job.items[0].debt = address(loanToken);
        job.items[0].collateral = address(collateralToken);
        job.items[0].maxRepay = uint128(debt / 2);
        job.items[0].route = abi.encodePacked(uint8(1), FEE, loanToken);
        job.items[0].data = loan(address(vUsd), address(vCoin), borrower, debt);
        job.receiver = TREASURY;
        job.profitToken = address(collateralToken);
        job.deadline = vm.getBlockTimestamp();
    }

    function loan(address debtMarket, address collateralMarket, address borrower, uint256 minBorrow)
        internal
        view
        returns (bytes memory)
    {
        bool debtInCoin = debtMarket == coinMarket();
        bool collateralInCoin = collateralMarket == coinMarket();
        return abi.encode(
            IExecutor.CompoundLoan(
                debtMarket, collateralMarket, borrower, minBorrow, byLiquidator(), debtInCoin, collateralInCoin
            )
        );
    }

    /// @dev A lost race is noticed before anything is bought.
    function test_aLostRaceCostsLittle() public onVenus {
        IExecutor.Job memory job = jobOf(BORROWER);
        executor.execute(job);
        // What the job expects is the debt before, which is even.
        uint256 expected = 2 * uint256(job.items[0].maxRepay);
        vm.expectRevert(
            abi.encodeWithSelector(IExecutor.StaleDebt.selector, vUsd.borrowBalanceStored(BORROWER), expected)
        );
        executor.execute(job);
        assertLe(vm.lastCallGas().gasTotalUsed, 45_000);
    }

    /// @dev Gas of a liquidation by an executor that has approved the protocol before.
    function gasOfALiquidation() internal returns (uint256) {
        address other = makeAddr("other");
        oracle.set(PRICE);
        open(other);
        oracle.set(PRICE * 9 / 10);
        executor.execute(jobOf(other));
        executor.execute(jobOf(BORROWER));
        return vm.lastCallGas().gasTotalUsed;
    }

    function assertNothingLeft() internal view {
        assertEq(loanToken.balanceOf(address(executor)), 0);
        assertEq(collateralToken.balanceOf(address(executor)), 0);
        assertEq(vCoin.balanceOf(address(executor)), 0);
    }
}
