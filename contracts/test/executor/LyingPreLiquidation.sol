// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IMorphoLiquidateCallback, IPreLiquidationCallback} from "plimsoll/executor/interfaces/IProtocols.sol";

/// @notice Is called like a pre-liquidation contract, calls back by whatever name, and says what it likes. No factory has created
/// it.
contract LyingPreLiquidation {
    address public immutable MORPHO;
    bytes32 public immutable ID;

    constructor(address morpho, bytes32 id) {
        MORPHO = morpho;
        ID = id;
    }

    function preLiquidate(address, uint256, uint256, bytes calldata data) external returns (uint256, uint256) {
        IPreLiquidationCallback(msg.sender).onPreLiquidate(1, data);
        IMorphoLiquidateCallback(msg.sender).onMorphoLiquidate(1, data);
        return (1, 1);
    }
}
