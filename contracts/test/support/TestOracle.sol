// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IOracle} from "plimsoll/interfaces/IOracle.sol";

/// @notice An oracle whose prices a test sets, and which it can break.
contract TestOracle is IOracle {
    error Broken();

    uint256 internal _liquidationPrice;
    uint256 internal _borrowPrice;
    bool public broken;

    constructor(uint256 price) {
        set(price);
    }

    function set(uint256 price) public {
        setBoth(price, price);
    }

    function setBoth(uint256 liquidationPrice_, uint256 borrowPrice_) public {
        (_liquidationPrice, _borrowPrice) = (liquidationPrice_, borrowPrice_);
    }

    function setBroken(bool broken_) external {
        broken = broken_;
    }

    function liquidationPrice() external view returns (uint256) {
        if (broken) revert Broken();
        return _liquidationPrice;
    }

    function borrowPrice() external view returns (uint256) {
        if (broken) revert Broken();
        return _borrowPrice;
    }
}
