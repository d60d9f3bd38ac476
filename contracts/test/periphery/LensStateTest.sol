// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {ILens} from "plimsoll/interfaces/ILens.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {LensTest} from "./LensTest.sol";

/// @notice The lens over a market with a large supply, whose state can be written, and comparisons of its results with
/// what the core does.
abstract contract LensStateTest is LensTest {
    /// @dev The core keeps its totals of shares below this.
    uint128 internal constant MOST_SHARES = type(uint128).max - 1e6;

    function setUp() public virtual override {
        super.setUp();
        // So large that it limits nothing here, but is there.
        params.risk = params.risk.withSurgeLimit(10_000, 30 days, type(uint32).max);
        id = plimsoll.createMarket(params);
        supply(LENDER, 1_000_000_000e6);
    }

    /// @notice Requires that the core liquidates the loan at its waterline and not above.
    function assertLiquidatedFromTheWaterlineOn(address borrower) internal {
        uint256 waterline = positionLine(borrower).waterlinePrice;
        oracle.set(waterline + 1);
        assertGe(positionLine(borrower).health, WAD);
        assertFalse(liquidationLine(borrower).liquidatable);
        vm.expectRevert(IPlimsoll.NothingToLiquidate.selector);
        this.liquidateFully(borrower);

        oracle.set(waterline);
        assertEq(positionLine(borrower).waterlinePrice, waterline, "the waterline does not depend on the price");
        assertLt(positionLine(borrower).health, WAD);
        assertTrue(liquidationLine(borrower).liquidatable);
        this.liquidateFully(borrower);
    }

    function liquidateFully(address borrower) external returns (uint256, uint256) {
        return liquidate(borrower, type(uint256).max);
    }

    /// @notice Liquidates the loan of a line, and compares what happens with what the line says.
    function assertDone(ILens.LiquidationLine memory line) internal {
        vm.recordLogs();
        (uint256 repaid, uint256 seized) = this.liquidateFully(line.account);
        assertEq(repaid, line.maxRepay);
        assertEq(seized, line.seized);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 liquidations;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IPlimsoll.Liquidate.selector) continue;
            (,,, uint256 badDebt) = abi.decode(logs[i].data, (uint256, uint256, uint256, uint256));
            assertEq(badDebt, line.badDebt);
            ++liquidations;
        }
        assertEq(liquidations, 1);
    }

    /// @notice Writes the market's storage.
    /// @param amounts supply assets, borrow assets, supply shares, borrow shares, reserve shares, nothing, surge level
    function overwriteMarket(uint128[7] memory amounts, uint40 rate, uint16 feeBps) internal {
        bytes32[] memory slots = _slotsRead(abi.encodeCall(IPlimsoll.market, (id)));
        assertEq(slots.length, 3);
        _store(slots[0], (uint256(amounts[0]) << 128) | amounts[2]);
        _store(slots[1], (uint256(amounts[1]) << 128) | amounts[3]);
        uint256 rest = (vm.getBlockTimestamp() << 222) | (uint256(feeBps) << 210) | (uint256(rate) << 174);
        uint256 reserveShares = (amounts[4] < amounts[2] ? amounts[4] : amounts[2]) % 2 ** 114;
        _store(slots[2], rest | (uint256(amounts[6] % 2 ** 28) << 114) | reserveShares);
        assertEq(plimsoll.market(id).borrowAssets, amounts[1]);
        assertEq(plimsoll.market(id).rateAtTarget, rate);
    }

    function overwritePosition(address account, uint128 borrowShares, uint128 collateral) internal {
        bytes32[] memory slots = _slotsRead(abi.encodeCall(IPlimsoll.position, (id, account)));
        assertEq(slots.length, 2);
        _store(slots[0], type(uint128).max);
        _store(slots[1], (uint256(borrowShares) << 128) | collateral);
        assertEq(plimsoll.position(id, account).collateral, collateral);
    }

    function _slotsRead(bytes memory question) private returns (bytes32[] memory slots) {
        vm.record();
        (bool answered,) = address(plimsoll).staticcall(question);
        assertTrue(answered);
        (slots,) = vm.accesses(address(plimsoll));
    }

    function _store(bytes32 slot, uint256 word) private {
        vm.store(address(plimsoll), slot, bytes32(word));
    }
}
