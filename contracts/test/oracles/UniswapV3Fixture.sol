// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {UniswapV3} from "../support/UniswapV3.sol";
import {OracleFixture} from "./OracleFixture.sol";

/// @title Fixture of oracle tests with real Uniswap V3 pools.
abstract contract UniswapV3Fixture is OracleFixture, UniswapV3 {
    function setUp() public virtual override {
        super.setUp();
        deployUniswapV3();
    }

    /// @dev A pair in the order wanted, since pools sort by address.
    function newPair(uint8 collateralDecimals, uint8 loanDecimals, bool collateralIsToken0)
        internal
        returns (address collateral, address loan)
    {
        collateral = newToken(collateralDecimals);
        do {
            loan = newToken(loanDecimals);
        } while ((collateral < loan) != collateralIsToken0);
    }
}
