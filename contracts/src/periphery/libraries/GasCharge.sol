// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {IGasCharge} from "../../interfaces/IGasCharge.sol";

/// @title Library of the charge for gas.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
library GasCharge {
    /// @notice Returns what this much gas costs at the price that the transaction pays, and `extraWei` besides, in units
    /// of the profit's token, rounded up. The bound on the cost keeps the product below 2^256.
    function chargeUp(uint256 gas, uint256 extraWei, uint128 unitsPerWeiX96) internal view returns (uint256 units) {
        uint256 costWei = gas * tx.gasprice + extraWei;
        if (costWei > type(uint128).max) revert IGasCharge.CostTooHigh(costWei);
        units = (costWei * unitsPerWeiX96 + (2 ** 96 - 1)) >> 96;
    }
}
