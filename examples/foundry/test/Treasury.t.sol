// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import {ITestToken, PlimsollTest, TestOracle} from "plimsoll-test/PlimsollTest.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {Treasury} from "../src/Treasury.sol";

contract TreasuryTest is PlimsollTest {
    /// @dev 2,000 units of a 6-decimal token for one of an 18-decimal token, 1e36-scaled.
    uint256 internal constant PRICE = 2_000e6 * 1e36 / 1e18;

    IPlimsoll internal plimsoll;
    ITestToken internal usd;
    ITestToken internal eth;
    TestOracle internal oracle;
    MarketParams internal params;
    MarketId internal id;
    Treasury internal treasury;

    function setUp() public {
        plimsoll = deployPlimsoll(address(this));
        (usd, eth) = (deployTestToken("USD", 6), deployTestToken("ETH", 18));
        oracle = new TestOracle(PRICE);
        (params, id) = createTestMarket(plimsoll, usd, eth, oracle, 8_000, 8_600, 100e6);
        treasury = new Treasury(plimsoll, address(this));
    }

    function test_whatIsLentComesBack() public {
        usd.mint(address(treasury), 1_000e6);
        require(treasury.lend(params, 1_000e6) > 0, "no shares");
        require(treasury.withdrawAll(params, id) == 1_000e6, "not everything came back");
        require(usd.balanceOf(address(treasury)) == 1_000e6, "the tokens are elsewhere");
    }

    function test_aLoanIsOpenedAndClosed() public {
        supplyAs(plimsoll, params, address(1), 100_000e6);
        eth.mint(address(treasury), 1e18);
        treasury.borrow(params, 1e18, 1_500e6);
        require(usd.balanceOf(address(this)) == 1_500e6, "nothing was borrowed");

        // In the same block no interest is owed yet.
        usd.transfer(address(treasury), 1_500e6);
        treasury.close(params, id);
        require(plimsoll.position(id, address(treasury)).borrowShares == 0, "debt is left");
        require(eth.balanceOf(address(this)) == 1e18, "the collateral did not come back");
    }

    function test_aLoanIsLiquidatedWhenThePriceFalls() public {
        supplyAs(plimsoll, params, address(1), 100_000e6);
        openLoanAs(plimsoll, params, address(2), 1e18, 1_600e6);
        oracle.setPrice(PRICE * 9 / 10);
        (uint256 repaid, uint256 seized) = liquidateAs(plimsoll, params, address(3), address(2));
        require(repaid > 0 && seized > 0, "nothing was liquidated");
        require(eth.balanceOf(address(3)) == seized, "the collateral went elsewhere");
    }

    function test_borrowingBeyondTheLimitIsRefused() public {
        supplyAs(plimsoll, params, address(1), 100_000e6);
        eth.mint(address(treasury), 1e18);
        try treasury.borrow(params, 1e18, 1_600e6 + 1) {
            revert("it was not refused");
        } catch (bytes memory reason) {
            require(bytes4(reason) == IPlimsoll.Unhealthy.selector, "refused for another reason");
        }
    }
}
