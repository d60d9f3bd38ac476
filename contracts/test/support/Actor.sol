// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRepayCallback, ISupplyCallback, ISupplyCollateralCallback} from "plimsoll/interfaces/IPlimsollCallbacks.sol";

/// @notice A call that an `Actor` makes.
struct Step {
    address target;
    bytes data;
}

/// @notice A contract that does what the test tells it to: directly, and when it is called back, where the steps are
/// the data that the core hands through.
contract Actor is ISupplyCallback, ISupplyCollateralCallback, IRepayCallback {
    bytes4 public heardSelector;
    uint256 public heardAssets;
    address public heardFrom;

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
        hear(assets, data);
    }

    function onPlimsollSupplyCollateral(uint256 assets, bytes calldata data) external {
        hear(assets, data);
    }

    function onPlimsollRepay(uint256 assets, bytes calldata data) external {
        hear(assets, data);
    }

    function hear(uint256 assets, bytes calldata data) internal {
        (heardSelector, heardAssets, heardFrom) = (msg.sig, assets, msg.sender);
        run(abi.decode(data, (Step[])));
    }
}
