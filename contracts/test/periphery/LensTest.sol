// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILens} from "plimsoll/interfaces/ILens.sol";
import {Market} from "plimsoll/types/Market.sol";
import {MarketId} from "plimsoll/types/MarketParams.sol";
import {CoreTest} from "../support/CoreTest.sol";

/// @notice The core's market with the real lens over it, and questions about one thing.
abstract contract LensTest is CoreTest {
    ILens internal lens;

    function setUp() public virtual override {
        super.setUp();
        lens = ILens(deployCode("Lens.sol:Lens", abi.encode(plimsoll)));
    }

    function marketLine(MarketId marketId) internal view returns (ILens.MarketLine memory) {
        MarketId[] memory ids = new MarketId[](1);
        ids[0] = marketId;
        return lens.markets(ids)[0];
    }

    function positionLine(address account) internal view returns (ILens.PositionLine memory) {
        return lens.positions(id, listOf(account)).lines[0];
    }

    function liquidationLine(address account) internal view returns (ILens.LiquidationLine memory) {
        return lens.liquidatable(id, listOf(account)).lines[0];
    }

    function listOf(address account) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = account;
    }

    function assertSame(Market memory actual, Market memory expected) internal pure {
        assertEq(keccak256(abi.encode(actual)), keccak256(abi.encode(expected)), "not the same market");
    }
}
