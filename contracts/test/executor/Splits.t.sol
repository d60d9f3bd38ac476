// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {ExecutorTest} from "./ExecutorTest.sol";

/// @notice Exchanges over several routes at once, on real pairs and pools: each route gets its share and the last one the
/// rest, to the unit.
contract ExecutorSplitsTest is ExecutorTest {
    uint256 private constant MILLION = 1e6;

    /// @dev What the pools lose is what was repaid and earned; what they get is what was seized.
    function test_E6_aSplitSaleLosesNoUnit(uint8 target, uint256 first, uint256 second, bool threeParts) public {
        target = uint8(bound(target, PLIMSOLL, MORPHO));
        openOn(target, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(target, BORROWER);
        item.route = _split(first, second, threeParts);
        (uint256 coins, uint256 dollars) = _held();
        uint256 pairCoins = coin.balanceOf(address(pair));
        IExecutor.Outcome memory outcome = run(jobOf(item));

        IExecutor.ItemResult memory result = outcome.results[0];
        (uint256 coinsAfter, uint256 dollarsAfter) = _held();
        assertEq(coinsAfter - coins, result.seized);
        assertEq(dollars - dollarsAfter, result.repaid + outcome.profit);
        assertEq(coin.balanceOf(address(pair)) - pairCoins, result.seized * bound(first, 0, MILLION - 1) / MILLION);
        assertEq(loanToken.balanceOf(TREASURY), outcome.profit);
        assertNothingLeft();
    }

    /// @dev Debt tokens are bought from one pool inside the callback of another, and each is paid in collateral.
    function test_E6_aSplitPurchaseLosesNoUnit(uint8 target, uint256 first, uint256 second, bool threeParts) public {
        target = uint8(bound(target, PLIMSOLL, AAVE));
        openOn(target, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(target, BORROWER);
        item.exactOut = true;
        item.route = _split(first, second, threeParts);
        (uint256 coins, uint256 dollars) = _held();
        uint256 pairDollars = loanToken.balanceOf(address(pair));
        IExecutor.Outcome memory outcome = run(jobOf(item));

        IExecutor.ItemResult memory result = outcome.results[0];
        (uint256 coinsAfter, uint256 dollarsAfter) = _held();
        assertEq(coinsAfter - coins, result.seized - outcome.profit);
        assertEq(dollars - dollarsAfter, result.repaid);
        uint256 portion = result.repaid * bound(first, 0, MILLION - 1) / MILLION;
        assertEq(pairDollars - loanToken.balanceOf(address(pair)), portion);
        assertEq(coin.balanceOf(TREASURY), outcome.profit);
        assertNothingLeft();
    }

    /// @dev The pools are alike, so half of a large sale in each costs half as much of the price.
    function test_aSplitBringsMoreThanEitherRoute(uint8 target) public {
        target = uint8(bound(target, PLIMSOLL, AAVE));
        openOn(target, BORROWER, eth(150), usd(240_000));
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(target, BORROWER);
        uint256 snapshot = vm.snapshotState();
        uint256 byPool = run(jobOf(item)).profit;
        vm.revertToState(snapshot);
        item.route = hop(V2, PAIR_FEE, address(loanToken));
        uint256 byPair = run(jobOf(item)).profit;
        vm.revertToState(snapshot);
        item.route = abi.encodePacked(
            _header(1, 500_000), hop(V2, PAIR_FEE, address(loanToken)), hop(V3, FEE, address(loanToken))
        );
        uint256 bySplit = run(jobOf(item)).profit;
        assertGt(bySplit, byPool);
        assertGt(bySplit, byPair);
        assertNothingLeft();
    }

    function test_theProfitIsConvertedOverASplit(uint8 target) public {
        target = uint8(bound(target, PLIMSOLL, AAVE));
        openOn(target, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(target, BORROWER);
        IExecutor.Job memory job = jobOf(item);
        bool inCollateral = target == AAVE;
        address to = inCollateral ? address(loanToken) : address(coin);
        job.profitToken = to;
        job.items[0].conversion = abi.encodePacked(_header(1, 300_000), hop(V2, PAIR_FEE, to), hop(V3, FEE, to));
        IExecutor.Outcome memory outcome = run(job);
        assertGt(outcome.profit, 0);
        assertEq((inCollateral ? loanToken.balanceOf(TREASURY) : coin.balanceOf(TREASURY)), outcome.profit);
        assertNothingLeft();
    }

    function test_splitsThatAreNoneAreRefused() public {
        openOn(PLIMSOLL, BORROWER);
        crashTo(1_800);
        IExecutor.Item memory item = itemOf(PLIMSOLL, BORROWER);
        bytes memory byPair = hop(V2, PAIR_FEE, address(loanToken));
        bytes[7] memory wrong = [
            _header(1, 1),
            abi.encodePacked(_header(1, 1), byPair),
            abi.encodePacked(_header(0, 1), byPair),
            abi.encodePacked(_header(2, 1), byPair),
            abi.encodePacked(_header(type(uint24).max, 1), byPair, byPair),
            abi.encodePacked(_header(1, uint160(MILLION)), byPair, byPair),
            abi.encodePacked(_header(1, 1), hop(V2, PAIR_FEE, address(dai)), byPair)
        ];
        for (uint256 i; i < wrong.length; ++i) {
            item.route = wrong[i];
            vm.expectRevert(
                abi.encodeWithSelector(IExecutor.InvalidRoute.selector, address(coin), address(loanToken), wrong[i])
            );
            run(jobOf(item));
        }
        // A header where a hop should be names no venue.
        item.route = abi.encodePacked(_header(2, 500_000), _header(1, 1), byPair, byPair);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NotListed.selector, 255));
        run(jobOf(item));
    }

    /* HELPERS */

    /// @dev By the pair, through another token if there are three parts, and by the pool.
    function _split(uint256 first, uint256 second, bool threeParts) private view returns (bytes memory) {
        address to = address(loanToken);
        bytes memory byPair = abi.encodePacked(_header(1, bound(first, 0, MILLION - 1)), hop(V2, PAIR_FEE, to));
        if (!threeParts) return abi.encodePacked(byPair, hop(V3, FEE, to));
        bytes memory detour = abi.encodePacked(hop(V2, PAIR_FEE, address(dai)), hop(V3, FEE, to));
        return abi.encodePacked(byPair, _header(2, bound(second, 0, MILLION - 1)), detour, hop(V3, FEE, to));
    }

    function _header(uint24 hops, uint256 share) private pure returns (bytes memory) {
        return abi.encodePacked(type(uint8).max, hops, uint160(share));
    }

    /// @dev What all pools hold of both tokens.
    function _held() private view returns (uint256 coins, uint256 dollars) {
        address[4] memory pools = [
            address(pair),
            address(pool),
            executor.poolOf(V2, address(coin), address(dai), PAIR_FEE),
            executor.poolOf(V3, address(dai), address(loanToken), FEE)
        ];
        for (uint256 i; i < pools.length; ++i) {
            coins += coin.balanceOf(pools[i]);
            dollars += loanToken.balanceOf(pools[i]);
        }
    }
}
