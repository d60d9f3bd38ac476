// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IExecutor} from "plimsoll/interfaces/IExecutor.sol";
import {TestToken} from "../support/TestToken.sol";
import {TestWrappedCoin} from "./ExecutorTest.sol";
import {VenusCorePool} from "./VenusCorePool.sol";
import {ExecutorVenusTest} from "./VenusTest.sol";

interface IVBnb {
    function mint() external payable;
    function liquidateBorrow(address borrower, address vTokenCollateral) external payable;
}

/// @title An executor at a real core pool of Venus, in which the market of the coin lends the chain's own coin.
abstract contract VenusCoinPool is ExecutorVenusTest, VenusCorePool {
    TestWrappedCoin internal coin;

    /// @dev Dollars are collateral, too, and coins can be borrowed.
    function setUp() public virtual override {
        super.setUp();
        if (!venusIsInstalled()) return;
        comptroller.setCollateralFactor(address(vUsd), 0.8e18, 0.825e18);
        supplyCoins(LENDER, 1_000e18);
    }

    function newTokens() internal override returns (TestToken loan, TestToken collateral) {
        coin = new TestWrappedCoin();
        vm.deal(address(coin), 1e30);
        return (new TestToken("USD", 6), TestToken(address(coin)));
    }

    function createMarket(address underlying, address rateModel) internal override returns (address) {
        if (underlying != address(coin)) return super.createMarket(underlying, rateModel);
        bytes memory arguments = abi.encode(comptroller, rateModel, 1e18, "vBNB", "vBNB", uint256(8), address(this));
        return createVenus("Tokens/VTokens/", "VBNB", arguments);
    }

    function coins(address) internal view override returns (address, address) {
        return (address(vCoin), address(coin));
    }

    function coinMarket() internal view override returns (address) {
        return address(vCoin);
    }

    function byLiquidator() internal pure override returns (bool) {
        return true;
    }

    function supplyCoins(address who, uint256 amount) internal override {
        vm.deal(who, amount);
        vm.prank(who);
        IVBnb(address(vCoin)).mint{value: amount}();
    }

    /// @notice An account that owes coins against 10,000 dollars.
    function openOwingCoins(address who, uint256 debt) internal {
        loanToken.mint(who, 10_000e6);
        vm.startPrank(who);
        loanToken.approve(address(vUsd), 10_000e6);
        vUsd.mint(10_000e6);
        address[] memory markets = new address[](1);
        markets[0] = address(vUsd);
        comptroller.enterMarkets(markets);
        vCoin.borrow(debt);
        vm.stopPrank();
    }

    /// @notice Half of the debt of an account that owes coins.
    function jobOfCoins(address debtor) internal view returns (IExecutor.Job memory job) {
        uint256 debt = vCoin.borrowBalanceStored(debtor);
        job = jobOf(BORROWER);
        (job.items[0].debt, job.items[0].collateral) = (address(coin), address(loanToken));
        job.items[0].maxRepay = uint128(debt / 2);
        job.items[0].route = abi.encodePacked(uint8(1), FEE, coin);
        job.items[0].data = loan(address(vCoin), address(vUsd), debtor, debt);
        job.profitToken = address(loanToken);
    }

    function assertNoCoins() internal view {
        assertNothingLeft();
        assertEq(address(executor).balance, 0, "unwrapped coins left");
        assertEq(vUsd.balanceOf(address(executor)), 0, "receipts left");
    }
}
