// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {SurgeMath} from "plimsoll/libraries/SurgeMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {Risk} from "plimsoll/types/Risk.sol";
import {LendingFixture} from "./LendingFixture.sol";

/// @notice The rules of the surge limit across every single call, and over windows of time.
abstract contract SurgeRules is LendingFixture {
    /// @dev Beyond this a window begins again: the bound grows exponentially.
    uint256 private constant WINDOW = 2 days;
    /// @dev The highest borrow rate: 200 % a year, four times that at full utilisation.
    uint256 private constant MAX_BORROW_RATE = 8e18;
    /// @dev Units by which a repayment may lower the debt less than it pays: see the known limits in `IPlimsoll`.
    uint256 private constant STRAY_UNITS = ACTORS;

    /// @notice A stretch of time, with the debt at its start and what was borrowed less what was paid in since.
    struct Window {
        uint256 start;
        uint256 debt;
        int256 net;
    }

    mapping(uint256 k => Window) private _windows;

    function _checkSurge(uint256 k, Market memory was, Market memory m, Vm.Log[] memory logs) internal {
        Risk risk = _params[k].risk;
        if (risk.surgePeriodSecs() == 0) return assertEq(m.surgeLevel, 0, "S1: a level without a limit");
        (uint256 borrowed, uint256 paidIn) = _flows(logs);
        if (borrowed == 0) assertLe(m.surgeLevel, was.surgeLevel, "S5: the level rose without a borrowing");
        if (paidIn == 0) assertGe(m.surgeLevel, was.surgeLevel, "S5: the level fell without a payment");
        assertLe(m.surgeLevel, SurgeMath.FULL, "S2: the limit was exceeded");
        // S3, with debt that is written off, too: that lowers the debt and is not paid in.
        if (borrowed >= paidIn) {
            uint256 strayed = SurgeMath.levelAfterBorrow(was, risk, STRAY_UNITS) - was.surgeLevel;
            assertGe(m.surgeLevel + strayed, was.surgeLevel, "S3: a cycle freed room");
        }
        _checkWindow(k, was.borrowAssets, int256(borrowed) - int256(paidIn));
    }

    /// S4: however it is split, and whatever is written off in between.
    function _checkWindow(uint256 k, uint256 debt, int256 net) private {
        Window storage window = _windows[k];
        if (window.start == 0 || clock - window.start > WINDOW) _windows[k] = Window(clock, debt, 0);
        window.net += net;
        Risk risk = _params[k].risk;
        uint256 share = risk.surgeShareBps();
        uint256 elapsed = clock - window.start;
        uint256 exponent = share * elapsed * 1e18 / (risk.surgePeriodSecs() * BPS);
        exponent += MAX_BORROW_RATE * elapsed / 365 days;
        uint256 growth = (BPS + share) * uint256(FixedPointMathLib.expWad(int256(exponent))) / BPS - 1e18;
        uint256 base = risk.surgeFloor() * BPS / share + window.debt;
        assertLe(window.net, int256(base * growth / 1e18 + 1), "S4: more new debt than the limit lets pass");
    }

    function _flows(Vm.Log[] memory logs) private view returns (uint256 borrowed, uint256 paidIn) {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(plimsoll)) continue;
            bytes32 topic = logs[i].topics[0];
            if (topic == IPlimsoll.Borrow.selector) {
                (, uint256 assets,) = abi.decode(logs[i].data, (address, uint256, uint256));
                borrowed += assets;
            } else if (topic == IPlimsoll.Repay.selector) {
                (uint256 assets,) = abi.decode(logs[i].data, (uint256, uint256));
                paidIn += assets;
            } else if (topic == IPlimsoll.Liquidate.selector) {
                (uint256 repaid,,,) = abi.decode(logs[i].data, (uint256, uint256, uint256, uint256));
                paidIn += repaid;
            }
        }
    }
}
