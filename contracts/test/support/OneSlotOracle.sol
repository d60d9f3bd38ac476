// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IOracle} from "plimsoll/interfaces/IOracle.sol";

/// @notice An oracle whose every price is the same slot, and which also answers as lenders with a single price ask
/// (`price()`): so that a comparison of gas gives both sides the same oracle.
contract OneSlotOracle is IOracle {
    uint256 public price;

    constructor(uint256 price_) {
        price = price_;
    }

    function set(uint256 price_) external {
        price = price_;
    }

    function liquidationPrice() external view returns (uint256) {
        return price;
    }

    function borrowPrice() external view returns (uint256) {
        return price;
    }
}
