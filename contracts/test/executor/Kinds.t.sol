// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {ExecutorTest} from "./ExecutorTest.sol";

/// @notice One liquidation on each protocol, with each way of profit and each kind of route: positions come out as by a
/// liquidator with capital, and the profit is exact.
contract ExecutorKindsTest is ExecutorTest {
    /* PROFIT */

    /// @dev What the pool paid out is what was repaid and what was earned, to the unit.
    function test_E6_seizingFirstSellsEverythingAndLeavesDebtTokens(uint8 target, uint256 price) public {
        target = uint8(bound(target, PLIMSOLL, MORPHO));
        openOn(target, BORROWER);
        crashTo(bound(price, 1_700, 1_850));
        uint256 dollars = loanToken.balanceOf(address(pool));
        uint256 coins = coin.balanceOf(address(pool));
        IExecutor.Outcome memory outcome = run(jobOf(itemOf(target, BORROWER)));

        IExecutor.ItemResult memory result = outcome.results[0];
        assertEq(outcome.done, 1);
        assertEq(loanToken.balanceOf(TREASURY), outcome.profit);
        assertEq(result.left, outcome.profit);
        assertEq(dollars - loanToken.balanceOf(address(pool)), result.repaid + outcome.profit);
        assertEq(coin.balanceOf(address(pool)) - coins, result.seized);
        assertGt(outcome.profit, 0);
        assertEq(coin.balanceOf(TREASURY), 0);
        assertNothingLeft();
    }

    function test_E6_seizingFirstSellsOnlyWhatTheRepaymentTakes(uint8 target, uint256 price) public {
        target = uint8(bound(target, PLIMSOLL, MORPHO));
        openOn(target, BORROWER);
        crashTo(bound(price, 1_700, 1_850));
        IExecutor.Item memory item = itemOf(target, BORROWER);
        item.exactOut = true;
        uint256 dollars = loanToken.balanceOf(address(pool));
        uint256 coins = coin.balanceOf(address(pool));
        IExecutor.Outcome memory outcome = run(jobOf(item));

        IExecutor.ItemResult memory result = outcome.results[0];
        assertEq(coin.balanceOf(TREASURY), outcome.profit);
        assertEq(dollars - loanToken.balanceOf(address(pool)), result.repaid);
        assertEq(coin.balanceOf(address(pool)) - coins, result.seized - outcome.profit);
        assertGt(outcome.profit, 0);
        assertEq(loanToken.balanceOf(TREASURY), 0);
        assertNothingLeft();
    }

    function test_E6_buyingFirstLeavesCollateral(uint256 price, bool byPair) public {
        openOn(AAVE, BORROWER);
        crashTo(bound(price, 1_750, 1_900));
        IExecutor.Item memory item = itemOf(AAVE, BORROWER);
        if (byPair) item.route = hop(V2, PAIR_FEE, address(loanToken));
        address exchange = byPair ? address(pair) : address(pool);
        uint256 dollars = loanToken.balanceOf(exchange);
        uint256 coins = coin.balanceOf(exchange);
        IExecutor.Outcome memory outcome = run(jobOf(item));

        IExecutor.ItemResult memory result = outcome.results[0];
        assertEq(coin.balanceOf(TREASURY), outcome.profit);
        assertEq(result.repaid, item.maxRepay);
        assertEq(dollars - loanToken.balanceOf(exchange), item.maxRepay);
        assertEq(coin.balanceOf(exchange) - coins, result.seized - outcome.profit);
        assertGt(outcome.profit, 0);
        assertNothingLeft();
    }

    /// @dev It is the protocol that liquidates: the loan comes out as by a liquidator with capital.
    function test_E6_positionsComeOutAsByALiquidatorWithCapital(uint8 target, uint256 price, bool exactOut) public {
        target = uint8(bound(target, PLIMSOLL, AAVE));
        openOn(target, BORROWER);
        skip(30 days);
        crashTo(bound(price, 1_750, 1_850));
        IExecutor.Item memory item = itemOf(target, BORROWER);
        item.exactOut = exactOut;

        uint256 snapshot = vm.snapshotState();
        _liquidateDirectly(target, item.maxRepay);
        bytes32 directly = positionOn(target, BORROWER);
        vm.revertToState(snapshot);

        run(jobOf(item));
        assertEq(positionOn(target, BORROWER), directly);
        assertNothingLeft();
    }

    /// @dev What is bought beyond the debt is left in debt tokens, and goes to the receiver.
    function test_whatIsBoughtTooMuchGoesToTheReceiver() public {
        openOn(AAVE, BORROWER);
        crashTo(1_700);
        IExecutor.Item memory item = itemOf(AAVE, BORROWER);
        assertEq(item.maxRepay, aaveDebtOf(address(loanToken), BORROWER), "health is below 0.95");
        item.maxRepay += 12_345;
        IExecutor.Outcome memory outcome = run(jobOf(item));
        assertEq(loanToken.balanceOf(TREASURY), 12_345);
        assertEq(outcome.results[0].repaid, item.maxRepay - 12_345);
        assertEq(aaveDebtOf(address(loanToken), BORROWER), 0);
        assertNothingLeft();
    }

    /// @dev Where debt and collateral are the same token nothing is swapped, and what is seized beyond the repayment is the profit.
    function test_E6_theSameTokenOnBothSidesNeedsNoRoute(bool exactOut) public {
        oracle.set(ORACLE_SCALE);
        morphoMarket = newMorphoMarket(address(loanToken), address(loanToken), oracle, morphoMarket.irm);
        loanToken.mint(address(this), usd(3_000));
        loanToken.approve(address(morpho), usd(3_000));
        morpho.supply(morphoMarket, usd(2_000), 0, address(this), "");
        morpho.supplyCollateral(morphoMarket, usd(1_000), BORROWER, "");
        vm.prank(BORROWER);
        morpho.borrow(morphoMarket, usd(850), 0, BORROWER, BORROWER);
        oracle.set(ORACLE_SCALE * 98 / 100);
        IExecutor.Item memory item = itemOf(MORPHO, BORROWER);
        (item.collateral, item.route, item.exactOut) = (address(loanToken), "", exactOut);
        IExecutor.Outcome memory outcome = run(jobOf(item));
        assertEq(outcome.results[0].repaid, usd(850));
        assertEq(outcome.profit, outcome.results[0].seized - usd(850));
        assertGt(outcome.profit, usd(50));
        assertEq(loanToken.balanceOf(TREASURY), outcome.profit);
        assertNothingLeft();
    }

    /* ROUTES */

    /// @dev Every protocol by every shape of route.
    function test_E6_everyRouteOfUpToThreeHops(uint8 target, uint8 shape, bool exactOut) public {
        target = uint8(bound(target, PLIMSOLL, AAVE));
        openOn(target, BORROWER);
        // Only the direct pools follow the price, so that routes through the other token sell at the old one.
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(target, BORROWER);
        item.exactOut = exactOut;
        item.route = _route(shape);
        IExecutor.Outcome memory outcome = run(jobOf(item));
        assertEq(outcome.done, 1);
        assertGt(outcome.profit, 0);
        assertNothingLeft();
    }

    function test_theProfitIsConvertedWithinTheItem(uint8 target, bool exactOut, uint8 shape) public {
        target = uint8(bound(target, PLIMSOLL, AAVE));
        openOn(target, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(target, BORROWER);
        item.exactOut = exactOut;
        bool inCollateral = exactOut || target == AAVE;
        IExecutor.Job memory job = jobOf(item);
        job.profitToken = inCollateral ? address(loanToken) : address(coin);
        job.items[0].conversion = inCollateral ? _route(shape) : _routeBack(shape);
        IExecutor.Outcome memory outcome = run(job);
        assertGt(outcome.profit, 0);
        assertEq(outcome.results[0].left, outcome.profit);
        assertEq(loanToken.balanceOf(TREASURY), inCollateral ? outcome.profit : 0);
        assertEq(coin.balanceOf(TREASURY), inCollateral ? 0 : outcome.profit);
        assertNothingLeft();
    }

    function test_routesThatDoNotLeadThereAreRefused() public {
        openOn(PLIMSOLL, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(PLIMSOLL, BORROWER);
        bytes[4] memory wrong = [
            bytes(""),
            hop(V3, FEE, address(dai)),
            abi.encodePacked(hop(V3, FEE, address(loanToken)), uint8(0)),
            abi.encodePacked(hop(V3, FEE, address(loanToken)), hop(V3, FEE, address(coin)))
        ];
        for (uint256 i; i < wrong.length; ++i) {
            item.route = wrong[i];
            vm.expectRevert(
                abi.encodeWithSelector(IExecutor.InvalidRoute.selector, address(coin), address(loanToken), wrong[i])
            );
            run(jobOf(item));
        }
        item = itemOf(PLIMSOLL, BORROWER);
        IExecutor.Job memory job = jobOf(item);
        job.items[0].conversion = hop(V3, FEE, address(coin));
        vm.expectPartialRevert(IExecutor.InvalidRoute.selector);
        run(job);
    }

    function test_poolsAndVenuesThatDoNotExistAreRefused() public {
        openOn(PLIMSOLL, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(PLIMSOLL, BORROWER);
        item.route = hop(V3, 10_000, address(loanToken));
        address missing = executor.poolOf(V3, address(coin), address(loanToken), 10_000);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NoPool.selector, missing));
        run(jobOf(item));
        item.route = hop(2, FEE, address(loanToken));
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NotListed.selector, 2));
        run(jobOf(item));
        item = itemOf(PLIMSOLL, BORROWER);
        IExecutor.Job memory job = jobOf(item);
        job.items[0].target = 4;
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NotListed.selector, 4));
        run(job);
    }

    /* BOUNDS */

    function test_theLeastThatIsLeftIsBoundedToTheUnit(uint8 target, bool exactOut) public {
        target = uint8(bound(target, PLIMSOLL, AAVE));
        openOn(target, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(target, BORROWER);
        item.exactOut = exactOut;
        uint256 snapshot = vm.snapshotState();
        uint256 left = run(jobOf(item)).results[0].left;
        vm.revertToState(snapshot);
        item.minLeft = uint128(left + 1);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.TooLittleLeft.selector, left, left + 1));
        run(jobOf(item));
        item.minLeft = uint128(left);
        assertEq(run(jobOf(item)).profit, left);
    }

    /// @dev A liquidation that costs more than it brings goes through neither way.
    function test_aLossIsRefused(uint8 target, bool exactOut) public {
        target = uint8(bound(target, PLIMSOLL, AAVE));
        openOn(target, BORROWER);
        crashTo(1_500);
        oracle.set(priceOf(1_800));
        IExecutor.Item memory item = itemOf(target, BORROWER);
        item.exactOut = exactOut;
        vm.expectRevert();
        run(jobOf(item));
    }

    /* LOST RACES */

    /// @dev A lost race is noticed before anything is bought.
    function test_aLostRaceCostsLittle() public {
        for (uint8 target = MORPHO; target <= AAVE; ++target) {
            openOn(target, BORROWER);
        }
        crashTo(1_700);
        for (uint8 target = MORPHO; target <= AAVE; ++target) {
            IExecutor.Item memory item = itemOf(target, BORROWER);
            _liquidateDirectly(target, item.maxRepay);
            IExecutor.Job memory job = jobOf(item);
            vm.prank(KEEPER);
            try executor.execute(job) {
                fail();
            } catch (bytes memory reason) {
                assertEq(bytes4(reason), IExecutor.StaleDebt.selector);
                assertLe(vm.lastCallGas().gasTotalUsed, 45_000);
            }
        }
    }

    /* HELPERS */

    /// @dev One hop of each kind, two of both, and a detour of three.
    function _route(uint8 shape) private view returns (bytes memory) {
        address to = address(loanToken);
        shape %= 4;
        if (shape == 0) return hop(V3, FEE, to);
        if (shape == 1) return hop(V2, PAIR_FEE, to);
        bytes memory toDai = hop(V2, PAIR_FEE, address(dai));
        if (shape == 2) return abi.encodePacked(toDai, hop(V3, FEE, to));
        return abi.encodePacked(toDai, hop(V3, FEE, address(coin)), hop(V2, PAIR_FEE, to));
    }

    function _routeBack(uint8 shape) private view returns (bytes memory) {
        address to = address(coin);
        shape %= 4;
        if (shape == 0) return hop(V3, FEE, to);
        if (shape == 1) return hop(V2, PAIR_FEE, to);
        if (shape == 2) return abi.encodePacked(hop(V3, FEE, address(dai)), hop(V2, PAIR_FEE, to));
        return abi.encodePacked(hop(V2, PAIR_FEE, to), hop(V3, FEE, address(dai)), hop(V2, PAIR_FEE, to));
    }

    function _liquidateDirectly(uint8 target, uint256 maxRepay) private {
        if (target == PLIMSOLL) {
            liquidate(BORROWER, maxRepay);
            return;
        }
        uint256 shares = morphoShares(BORROWER);
        loanToken.mint(LIQUIDATOR, usd(1_000_000));
        vm.startPrank(LIQUIDATOR);
        loanToken.approve(address(morpho), type(uint256).max);
        loanToken.approve(address(aave), type(uint256).max);
        if (target == MORPHO) {
            morpho.liquidate(morphoMarket, BORROWER, 0, shares, "");
        } else {
            aave.liquidationCall(address(coin), address(loanToken), BORROWER, maxRepay, false);
        }
        vm.stopPrank();
    }
}
