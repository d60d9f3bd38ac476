// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ISwapper} from "plimsoll/interfaces/ISwapper.sol";
import {CoreTest} from "../support/CoreTest.sol";
import {TestToken} from "../support/TestToken.sol";
import {IUniswapV3Pool, UniswapV3} from "../support/UniswapV3.sol";

/// @notice The core's market with a real Uniswap V3 pool of its two tokens at the oracle's price, and the adapter to
/// it. What tests claim must hold whatever the tokens' decimals and whichever of them is the pool's first.
abstract contract ExchangeTest is CoreTest, UniswapV3 {
    /// @dev Whole tokens in the pool: 2,000 of the loan token for one of the collateral.
    uint256 internal constant POOL_ETH = 5_000;
    uint256 internal constant POOL_USD = 10_000_000;

    ISwapper internal swapper;
    IUniswapV3Pool internal pool;

    function setUp() public virtual override {
        super.setUp();
        deployUniswapV3();
        swapper = ISwapper(
            deployCode("UniswapV3Swapper.sol:UniswapV3Swapper", abi.encode(uniswapV3Factory, poolInitCodeHash()))
        );
        loanToken = new TestToken("USD", loanDecimals());
        do {
            collateralToken = new TestToken("ETH", collateralDecimals());
        } while ((collateralToken < loanToken) != collateralIsToken0());
        params.loanToken = address(loanToken);
        params.collateralToken = address(collateralToken);
        id = plimsoll.createMarket(params);
        oracle.set(priceOf(2_000));
        pool = newPool(address(collateralToken), eth(POOL_ETH), address(loanToken), usd(POOL_USD));
        supply(LENDER, usd(100_000_000));
    }

    /* WHAT IS VARIED */

    function collateralIsToken0() internal pure virtual returns (bool) {
        return true;
    }

    function loanDecimals() internal pure virtual returns (uint8) {
        return 6;
    }

    function collateralDecimals() internal pure virtual returns (uint8) {
        return 18;
    }

    /* AMOUNTS */

    function usd(uint256 whole) internal pure returns (uint256) {
        return whole * 10 ** loanDecimals();
    }

    function eth(uint256 whole) internal pure returns (uint256) {
        return whole * 10 ** collateralDecimals();
    }

    /// @notice The oracle's price for a price in whole tokens.
    function priceOf(uint256 whole) internal pure returns (uint256) {
        return usd(whole) * ORACLE_SCALE / eth(1);
    }

    /* THE EXCHANGE */

    function swappers() internal view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(swapper);
    }

    function routeToLoan() internal view returns (bytes memory) {
        return abi.encodePacked(collateralToken, FEE, loanToken);
    }

    function routeToCollateral() internal view returns (bytes memory) {
        return abi.encodePacked(loanToken, FEE, collateralToken);
    }

    /// @notice Price and pool together, as after a crash that everybody has traded through.
    function crashTo(uint256 whole) internal {
        oracle.set(priceOf(whole));
        arbitrageTo(whole);
    }

    /// @notice The pool follows the market's price.
    function arbitrageTo(uint256 whole) internal {
        swapTo(pool, sqrtPriceOf(address(collateralToken), eth(1), address(loanToken), usd(whole)));
    }

    function assertNothingLeftIn(address account) internal view {
        assertEq(loanToken.balanceOf(account), 0, "loan tokens left");
        assertEq(collateralToken.balanceOf(account), 0, "collateral left");
        assertEq(loanToken.allowance(account, address(plimsoll)), 0, "loan token approved");
        assertEq(collateralToken.allowance(account, address(plimsoll)), 0, "collateral approved");
    }
}
