// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRepayCallback, ISupplyCallback, ISupplyCollateralCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";

/// @notice A call that an `Actor` makes.
struct Step {
    address target;
    bytes data;
}

/// @notice A contract that makes the calls of a test: directly, or in a callback, whose data are the calls.
contract Actor is ISupplyCallback, ISupplyCollateralCallback, IRepayCallback {
    bytes4 public lastSelector;
    uint256 public lastAssets;
    address public lastCaller;

    function run(Step[] memory steps) public {
        for (uint256 i; i < steps.length; ++i) {
            (bool done, bytes memory answer) = steps[i].target.call(steps[i].data);
            if (!done) {
                assembly ("memory-safe") {
                    revert(add(answer, 0x20), mload(answer))
                }
            }
        }
    }

    function onPlimsollSupply(uint256 assets, bytes calldata data) external {
        _callBack(assets, data);
    }

    function onPlimsollSupplyCollateral(uint256 assets, bytes calldata data) external {
        _callBack(assets, data);
    }

    function onPlimsollRepay(uint256 assets, bytes calldata data) external {
        _callBack(assets, data);
    }

    function _callBack(uint256 assets, bytes calldata data) internal {
        (lastSelector, lastAssets, lastCaller) = (msg.sig, assets, msg.sender);
        run(abi.decode(data, (Step[])));
    }
}
