// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILiquidateCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {ExecutorTest} from "./ExecutorTest.sol";
import {ISwapCallbacks} from "./Attacks.t.sol";
import {MorphoOracle} from "./MorphoBlue.sol";

/// @notice Amounts at their bounds, pools and protocols that do less than they should, and what was here before.
contract ExecutorBoundsTest is ExecutorTest {
    uint256 private constant MAX_AMOUNT = type(uint128).max;

    function setUp() public override {
        super.setUp();
        for (uint8 target = PLIMSOLL; target <= AAVE; ++target) {
            openOn(target, borrowerOf(target));
        }
        crashTo(1_800);
    }

    function borrowerOf(uint8 target) private returns (address) {
        return makeAddr(string.concat("borrower", vm.toString(target)));
    }

    function item(uint8 target) private returns (IExecutor.Item memory) {
        return itemOf(target, borrowerOf(target));
    }

    function refuse(IExecutor.Item memory what, bytes memory reason) private {
        IExecutor.Job memory job = jobOf(what);
        vm.expectRevert(reason);
        run(job);
    }

    /* AMOUNTS */

    function test_nothingAndMoreThanAPoolCountsAreNotBought() public {
        IExecutor.Item memory what = item(AAVE);
        for (uint8 venue = V2; venue <= V3; ++venue) {
            what.route = hop(venue, venue == V2 ? PAIR_FEE : FEE, address(loanToken));
            what.maxRepay = 0;
            refuse(what, abi.encodeWithSelector(IExecutor.AmountOutOfRange.selector, 0));
        }
        (, uint256 dollars) = reservesOf(pair);
        what.route = hop(V2, PAIR_FEE, address(loanToken));
        what.maxRepay = uint128(MAX_AMOUNT);
        refuse(what, abi.encodeWithSelector(IExecutor.PoolTooShallow.selector, address(pair), MAX_AMOUNT, dollars));
        what.maxRepay = uint128(dollars);
        refuse(what, abi.encodeWithSelector(IExecutor.PoolTooShallow.selector, address(pair), dollars, dollars));
    }

    function test_aPairIsPaidToTheUnit() public {
        IExecutor.Item memory what = item(AAVE);
        what.route = hop(V2, PAIR_FEE, address(loanToken));
        (uint256 coins, uint256 dollars) = reservesOf(pair);
        uint256 owed = coins * what.maxRepay * 1_000 / ((dollars - what.maxRepay) * 997) + 1;
        IExecutor.ItemResult memory result = run(jobOf(what)).results[0];
        assertEq(result.seized - result.left, owed);
    }

    /// @dev A protocol that takes the repayment and gives nothing.
    function test_nothingIsSold() public {
        IExecutor.Item memory what = item(PLIMSOLL);
        vm.etch(address(plimsoll), address(new StingyCore(1)).code);
        refuse(what, abi.encodeWithSelector(IExecutor.AmountOutOfRange.selector, 0));
    }

    /// @dev Where nothing was repaid nothing is sold, and where nothing is left nothing is converted.
    function test_nothingIsConverted() public {
        IExecutor.Item memory what = item(PLIMSOLL);
        what.conversion = hop(V3, FEE, address(coin));
        vm.etch(address(plimsoll), address(new StingyCore(0)).code);
        IExecutor.Item[] memory items = new IExecutor.Item[](1);
        items[0] = what;
        assertEq(run(jobOf(items, address(coin))).done, 1);
    }

    function test_aJobTakesThisManyItems() public {
        IExecutor.Item[] memory items = new IExecutor.Item[](256);
        for (uint256 i; i < 255; ++i) {
            // No such target.
            (items[i].target, items[i].gasCap) = (7, 20_000);
        }
        items[255] = item(PLIMSOLL);
        assertEq(run(jobOf(items, address(loanToken))).done, 1 << 255);
    }

    /* POOLS AND PROTOCOLS THAT DO LESS */

    function test_aPoolThatTakesOrGivesLessIsTooShallow() public {
        vm.etch(address(pool), address(new HalfPool()).code);
        IExecutor.Item memory what = item(MORPHO);
        what.exactOut = true;
        (bool done, bytes memory reason) = attempt(what);
        assertFalse(done);
        assertEq(bytes4(reason), IExecutor.PoolTooShallow.selector);
        what.exactOut = false;
        (done, reason) = attempt(what);
        assertFalse(done);
        assertEq(bytes4(reason), IExecutor.PoolTooShallow.selector);
    }

    function attempt(IExecutor.Item memory what) private returns (bool, bytes memory) {
        vm.prank(KEEPER);
        return address(executor).call(abi.encodeCall(IExecutor.execute, (jobOf(what))));
    }

    function test_aPairThatDoesNotCallBackIsNotTakenForPaid() public {
        IExecutor.Item memory what = item(AAVE);
        what.route = hop(V2, PAIR_FEE, address(loanToken));
        vm.etch(address(pair), address(new SilentPair()).code);
        refuse(what, abi.encodeWithSelector(IExecutor.NoCallback.selector, address(pair)));
    }

    function test_aMorphoThatDoesNotCallBackIsNotAnswered() public {
        IExecutor.Item memory what = item(MORPHO);
        bytes memory answer = abi.encode(uint256(0), uint256(0));
        vm.mockCall(address(morpho), abi.encodeWithSelector(morpho.liquidate.selector), answer);
        refuse(what, abi.encodeWithSelector(IExecutor.NoCallback.selector, address(morpho)));
    }

    /* WHAT WAS HERE BEFORE */

    /// @dev Stray tokens are neither sold nor counted as seized; they go to the receiver.
    function test_E1_strayCollateralIsNotSold(uint8 target) public {
        target = uint8(bound(target, PLIMSOLL, AAVE));
        IExecutor.Item memory what = item(target);
        uint256 snapshot = vm.snapshotState();
        IExecutor.ItemResult memory expected = run(jobOf(what)).results[0];
        vm.revertToState(snapshot);
        coin.mint(address(executor), eth(3));
        uint256 before = coin.balanceOf(TREASURY);
        IExecutor.ItemResult memory result = run(jobOf(what)).results[0];
        assertEq(keccak256(abi.encode(result)), keccak256(abi.encode(expected)));
        assertGe(coin.balanceOf(TREASURY) - before, eth(3));
        assertNothingLeft();
    }

    /* ITEMS */

    /// @dev Without a conversion what an item leaves is told in its own token, whatever the job's profit is in.
    function test_whatIsLeftIsToldInTheItemsOwnToken() public {
        IExecutor.Item[] memory items = new IExecutor.Item[](2);
        (items[0], items[1]) = (item(PLIMSOLL), item(AAVE));
        items[0].minLeft = 1;
        IExecutor.Outcome memory outcome = run(jobOf(items, address(coin)));
        assertGt(outcome.results[0].left, 0);
        assertEq(outcome.results[0].left, loanToken.balanceOf(TREASURY));
        assertEq(outcome.profit, outcome.results[1].left);
    }

    function test_aConversionIntoTheSameTokenOrElsewhereIsRefused() public {
        IExecutor.Item memory what = item(PLIMSOLL);
        what.conversion = abi.encodePacked(hop(V3, FEE, address(coin)), hop(V3, FEE, address(loanToken)));
        refuse(
            what,
            abi.encodeWithSelector(
                IExecutor.InvalidRoute.selector, address(loanToken), address(loanToken), what.conversion
            )
        );
        what.conversion = hop(V3, FEE, address(dai));
        IExecutor.Item[] memory items = new IExecutor.Item[](1);
        items[0] = what;
        IExecutor.Job memory job = jobOf(items, address(coin));
        vm.expectRevert(
            abi.encodeWithSelector(IExecutor.InvalidRoute.selector, address(loanToken), address(coin), what.conversion)
        );
        run(job);
    }

    /// @dev A loan in the token of its own collateral needs no exchange.
    function test_aLoanInItsOwnCollateralNeedsNoRoute() public {
        TestOracle same = new TestOracle(ORACLE_SCALE);
        IExecutor.MorphoMarket memory market = morphoMarket;
        (market.collateralToken, market.oracle) = (market.loanToken, address(new MorphoOracle(same)));
        morpho.createMarket(market);
        vm.startPrank(LENDER);
        loanToken.mint(LENDER, usd(110_000));
        morpho.supply(market, usd(100_000), 0, LENDER, "");
        morpho.supplyCollateral(market, usd(10_000), LENDER, "");
        (, uint256 shares) = morpho.borrow(market, usd(8_500), 0, LENDER, LENDER);
        vm.stopPrank();
        same.set(ORACLE_SCALE * 95 / 100);
        IExecutor.Item memory what = item(MORPHO);
        (what.collateral, what.route) = (what.debt, "");
        what.data = abi.encode(IExecutor.MorphoLoan(market, LENDER, 0, shares, shares));
        IExecutor.Outcome memory outcome = run(jobOf(what));
        assertGt(outcome.profit, 0);
        assertEq(outcome.profit, outcome.results[0].seized - outcome.results[0].repaid);
        assertNothingLeft();
    }

    /// @dev Who expects no debt asks nobody for it.
    function test_withoutAnExpectedDebtNobodyIsAsked() public {
        IExecutor.Item memory what = item(AAVE);
        what.data = abi.encode(IExecutor.AaveLoan(borrowerOf(AAVE), address(0), 0));
        assertEq(run(jobOf(what)).done, 1);
    }

    /// @dev Whatever gas a job gets: it reverts as a whole, or its isolated item gets all that its cap promises.
    function test_E4_anItemNeverFailsBecauseItsJobHasLittleGas() public {
        IExecutor.Item memory what = item(PLIMSOLL);
        // The least cap with which the item is done.
        (uint256 low, uint256 high) = (100_000, 1_000_000);
        uint256 snapshot = vm.snapshotState();
        while (low + 1 < high) {
            what.gasCap = uint32((low + high) / 2);
            (bool done,) = attempt(what);
            vm.revertToState(snapshot);
            if (done) high = what.gasCap;
            else low = what.gasCap;
        }
        what.gasCap = uint32(high);
        bytes memory call = abi.encodeCall(IExecutor.execute, (jobOf(what)));
        for (uint256 gas = high; gas < high + 80_000; gas += 500) {
            vm.prank(KEEPER);
            (bool done, bytes memory reason) = address(executor).call{gas: gas}(call);
            vm.revertToState(snapshot);
            assertTrue(done || bytes4(reason) != IExecutor.NothingDone.selector);
        }
        vm.prank(KEEPER);
        (bool last,) = address(executor).call{gas: high + 80_000}(call);
        assertTrue(last);
    }
}

/// @notice Stands in for a pool of Uniswap V3 that exchanges half of what is asked.
contract HalfPool {
    function swap(address, bool zeroForOne, int256 amount, uint160, bytes calldata data)
        external
        returns (int256, int256)
    {
        // Of an exact output the input is a unit.
        (int256 amountIn, int256 amountOut) = amount > 0 ? (amount / 2, int256(-1)) : (int256(1), amount / 2);
        (int256 delta0, int256 delta1) = zeroForOne ? (amountIn, amountOut) : (amountOut, amountIn);
        ISwapCallbacks(msg.sender).uniswapV3SwapCallback(delta0, delta1, data);
        return (delta0, delta1);
    }
}

/// @notice Stands in for a pair that gives nothing and asks for nothing.
contract SilentPair {
    function getReserves() external pure returns (uint112, uint112, uint32) {
        return (1e24, 1e24, 0);
    }

    function swap(uint256, uint256, address, bytes calldata) external {}
}

/// @notice Stands in for the core: it gives no collateral for what it is repaid.
contract StingyCore {
    uint256 private immutable REPAID;

    constructor(uint256 repaid) {
        REPAID = repaid;
    }

    function liquidate(MarketParams calldata, address[] calldata, uint256, uint256, address, bytes calldata data)
        external
        returns (uint256, uint256)
    {
        ILiquidateCallback(msg.sender).onPlimsollLiquidate(REPAID, 0, data);
        return (0, 0);
    }
}
