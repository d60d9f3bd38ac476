// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC3156FlashBorrower} from "plimsoll/interfaces/IERC3156FlashBorrower.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {
    ILiquidateCallback,
    IRepayCallback,
    ISupplyCallback,
    ISupplyCollateralCallback
} from "plimsoll/interfaces/IPlimsollCallbacks.sol";
import {TestToken} from "../support/TestToken.sol";

/// @notice An account that uses the core. In a callback it makes further calls to the core, which are the callback's
/// data.
contract Actor is
    ISupplyCallback,
    ISupplyCollateralCallback,
    IRepayCallback,
    ILiquidateCallback,
    IERC3156FlashBorrower
{
    IPlimsoll private immutable PLIMSOLL;

    constructor(IPlimsoll plimsoll, TestToken[3] memory tokens) {
        PLIMSOLL = plimsoll;
        for (uint256 t; t < tokens.length; ++t) {
            tokens[t].approve(address(plimsoll), type(uint256).max);
        }
    }

    function onPlimsollSupply(uint256, bytes calldata data) external {
        _call(data);
    }

    function onPlimsollSupplyCollateral(uint256, bytes calldata data) external {
        _call(data);
    }

    function onPlimsollRepay(uint256, bytes calldata data) external {
        _call(data);
    }

    function onPlimsollLiquidate(uint256, uint256, bytes calldata data) external {
        _call(data);
    }

    function onFlashLoan(address, address, uint256, uint256, bytes calldata data) external returns (bytes32) {
        _call(data);
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }

    function _call(bytes calldata data) private {
        bytes[] memory calls = abi.decode(data, (bytes[]));
        for (uint256 i; i < calls.length; ++i) {
            (bool done, bytes memory answer) = address(PLIMSOLL).call(calls[i]);
            if (done) continue;
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }
}
