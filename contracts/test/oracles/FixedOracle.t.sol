// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IChainlinkOracle} from "plimsoll/interfaces/IChainlinkOracle.sol";
import {IFixedOracle} from "plimsoll/interfaces/IFixedOracle.sol";
import {IOracle} from "plimsoll/interfaces/IOracle.sol";
import {OracleFixture} from "./OracleFixture.sol";

/// @title Tests of the fixed price: exact or refused.
contract FixedOracleTest is OracleFixture {
    function test_oneToOneAcrossDecimals() public {
        assertBothPrices(_newFixed(usdc, weth, 1e18), 1e48);
        assertBothPrices(_newFixed(weth, usdc, 1e18), 1e24);
        assertBothPrices(_newFixed(newToken(18), weth, 1e18), 1e36);
    }

    function test_ratio() public {
        // One for 24,000, as in a token's redenomination.
        assertBothPrices(_newFixed(weth, newToken(18), 24_000e18), 24_000e36);
    }

    function test_extremesThatAreExact() public {
        assertBothPrices(_newFixed(newToken(0), newToken(36), 1e23), 1e77);
        assertBothPrices(_newFixed(newToken(36), newToken(0), 1e18), 1);
    }

    /// @notice price × 10^collateral decimals = ratio × 10^(18 + loan decimals), without remainder.
    function testFuzz_exactOrRefused(uint8 collateralDecimals, uint8 loanDecimals, uint256 ratio) public {
        address collateral = newToken(collateralDecimals = uint8(bound(collateralDecimals, 0, 36)));
        address loan = newToken(loanDecimals = uint8(bound(loanDecimals, 0, 36)));
        ratio = bound(ratio, 1, 1e23);
        uint256 numerator = ratio * 10 ** (18 + uint256(loanDecimals));
        bytes memory initCode = _initCode(collateral, loan, ratio);

        if (numerator % 10 ** uint256(collateralDecimals) == 0) {
            IOracle oracle = IOracle(this.create(initCode));
            assertBothPrices(oracle, oracle.borrowPrice());
            assertGt(oracle.borrowPrice(), 0);
            assertEq(oracle.borrowPrice() * 10 ** uint256(collateralDecimals), numerator);
        } else {
            expectCreationRefused(
                initCode,
                abi.encodeWithSelector(IFixedOracle.PriceInexact.selector, numerator, 10 ** uint256(collateralDecimals))
            );
        }
    }

    function test_neverGrowsOld() public {
        IOracle oracle = _newFixed(usdc, weth, 1e18);
        skip(1000 * 365 days);
        assertBothPrices(oracle, 1e48);
    }

    function test_gettersReturnTheConstructorArguments() public {
        IFixedOracle oracle = IFixedOracle(address(_newFixed(usdc, weth, 2e18)));
        assertEq(oracle.collateralToken(), usdc);
        assertEq(oracle.loanToken(), weth);
        assertEq(oracle.ratioE18(), 2e18);
    }

    function test_ratioBounds() public {
        _expectFixedRefused(weth, usdc, 0, abi.encodeWithSelector(IFixedOracle.RatioOutOfBounds.selector, 0));
        _expectFixedRefused(
            weth, usdc, 1e23 + 1, abi.encodeWithSelector(IFixedOracle.RatioOutOfBounds.selector, 1e23 + 1)
        );
    }

    function test_tokensThatCannotWork() public {
        bytes memory noCode = abi.encodeWithSelector(IFixedOracle.NotAContract.selector, "loan token", address(0));
        _expectFixedRefused(weth, address(0), 1e18, noCode);
        _expectFixedRefused(weth, weth, 1e18, abi.encodeWithSelector(IFixedOracle.SameToken.selector, weth));
        address fine = newToken(37);
        _expectFixedRefused(
            fine, weth, 1e18, abi.encodeWithSelector(IFixedOracle.DecimalsOutOfBounds.selector, fine, 37, 36)
        );
        // Code without `decimals()`.
        _expectFixedRefused(
            address(this), weth, 1e18, abi.encodeWithSelector(IFixedOracle.DecimalsUnreadable.selector, this)
        );
    }

    function _newFixed(address collateral, address loan, uint256 ratio) private returns (IOracle) {
        return IOracle(this.create(_initCode(collateral, loan, ratio)));
    }

    function _expectFixedRefused(address collateral, address loan, uint256 ratio, bytes memory reason) private {
        expectCreationRefused(_initCode(collateral, loan, ratio), reason);
    }

    function _initCode(address collateral, address loan, uint256 ratio) private view returns (bytes memory) {
        return abi.encodePacked(vm.getCode("FixedOracle.sol:FixedOracle"), abi.encode(collateral, loan, ratio));
    }
}
