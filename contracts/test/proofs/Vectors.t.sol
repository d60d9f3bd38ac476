// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {DebtMath} from "plimsoll/libraries/DebtMath.sol";
import {LiquidationMath} from "plimsoll/libraries/LiquidationMath.sol";
import {SharesMath} from "plimsoll/libraries/SharesMath.sol";
import {SurgeMath} from "plimsoll/libraries/SurgeMath.sol";
import {RewardMath} from "plimsoll/rewards/RewardMath.sol";
import {Market} from "plimsoll/types/Market.sol";
import {Risk, toRisk} from "plimsoll/types/Risk.sol";

/// @title The libraries compute what the formulas of the proofs compute.
/// @notice `lab/proofs/model.py` states each formula once; lemmas are proved of it, and `vectors.json` has its results for
/// inputs drawn over the whole range. So what is proved of the formulas is true of these libraries as far as the vectors
/// reach. `cargo lab prove` fails where the file is not what the formulas give.
contract VectorsTest is Test {
    uint256 private constant LEAST_ROWS = 40;

    string private _vectors = vm.readFile("contracts/test/proofs/vectors.json");

    /* SHARES */

    function test_toSharesDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("toSharesDown", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(SharesMath.toSharesDown(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_toSharesUp() public view {
        (uint256[] memory v, uint256 rows) = _rows("toSharesUp", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(SharesMath.toSharesUp(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_toAssetsDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("toAssetsDown", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(SharesMath.toAssetsDown(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_toAssetsUp() public view {
        (uint256[] memory v, uint256 rows) = _rows("toAssetsUp", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(SharesMath.toAssetsUp(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    /* DEBT */

    function test_toDebtSharesUp() public view {
        (uint256[] memory v, uint256 rows) = _rows("toDebtSharesUp", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(DebtMath.toDebtSharesUp(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_toDebtSharesDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("toDebtSharesDown", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(DebtMath.toDebtSharesDown(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_toDebtUp() public view {
        (uint256[] memory v, uint256 rows) = _rows("toDebtUp", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(DebtMath.toDebtUp(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_toDebtDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("toDebtDown", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(DebtMath.toDebtDown(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_saturatingTotalAfterRepay() public view {
        (uint256[] memory v, uint256 rows) = _rows("saturatingTotalAfterRepay", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(DebtMath.saturatingTotalAfterRepay(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    /* LIQUIDATION */

    function test_incentiveOf() public view {
        (uint256[] memory v, uint256 rows) = _rows("incentiveOf", 3);
        for (uint256 i; i < rows; i += 3) {
            LiquidationMath.LiquidationIncentive memory incentive = LiquidationMath.incentiveOf(v[i]);
            assertEq(incentive.maxIncentiveFactor, v[i + 1]);
            assertEq(incentive.minIncentiveFactor, v[i + 2]);
        }
    }

    function test_valueDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("valueDown", 3);
        for (uint256 i; i < rows; i += 3) {
            assertEq(LiquidationMath.valueDown(v[i], v[i + 1]), v[i + 2]);
        }
    }

    function test_maxRepayOf() public view {
        (uint256[] memory v, uint256 rows) = _rows("maxRepayOf", 7);
        for (uint256 i; i < rows; i += 7) {
            (LiquidationMath.Zone zone, uint256 maxRepay, uint256 incentiveFactor) =
                LiquidationMath.maxRepayOf(LiquidationMath.incentiveOf(v[i]), v[i + 1], v[i + 2], v[i + 3]);
            assertEq(uint256(zone), v[i + 4]);
            assertEq(maxRepay, v[i + 5]);
            assertEq(incentiveFactor, v[i + 6]);
        }
    }

    function test_repayWithinDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("repayWithinDown", 6);
        for (uint256 i; i < rows; i += 6) {
            LiquidationMath.Zone zone = LiquidationMath.Zone(v[i]);
            assertEq(LiquidationMath.repayWithinDown(zone, v[i + 1], v[i + 2], v[i + 3], v[i + 4]), v[i + 5]);
        }
    }

    function test_rampIncentiveFactorDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("rampIncentiveFactorDown", 4);
        for (uint256 i; i < rows; i += 4) {
            LiquidationMath.LiquidationIncentive memory incentive = LiquidationMath.incentiveOf(v[i]);
            assertEq(LiquidationMath.rampIncentiveFactorDown(incentive, v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_seizedDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("seizedDown", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(LiquidationMath.seizedDown(v[i], v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_repayToTargetDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("repayToTargetDown", 5);
        for (uint256 i; i < rows; i += 5) {
            assertEq(LiquidationMath.repayToTargetDown(v[i], v[i + 1], v[i + 2], v[i + 3]), v[i + 4]);
        }
    }

    function test_insolventIncentiveFactorDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("insolventIncentiveFactorDown", 4);
        for (uint256 i; i < rows; i += 4) {
            LiquidationMath.LiquidationIncentive memory incentive = LiquidationMath.incentiveOf(v[i]);
            assertEq(LiquidationMath.insolventIncentiveFactorDown(incentive, v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    /* SURGE LIMIT */

    function test_levelAfterBorrow() public view {
        (uint256[] memory v, uint256 rows) = _rows("levelAfterBorrow", 7);
        for (uint256 i; i < rows; i += 7) {
            (Market memory market, Risk risk) = _limited(v, i);
            assertEq(SurgeMath.levelAfterBorrow(market, risk, v[i + 5]), v[i + 6]);
        }
    }

    function test_refund() public view {
        (uint256[] memory v, uint256 rows) = _rows("refund", 7);
        for (uint256 i; i < rows; i += 7) {
            (Market memory market, Risk risk) = _limited(v, i);
            SurgeMath.refund(market, risk, v[i + 5]);
            assertEq(market.surgeLevel, v[i + 6]);
        }
    }

    function test_room() public view {
        (uint256[] memory v, uint256 rows) = _rows("room", 6);
        for (uint256 i; i < rows; i += 6) {
            (Market memory market, Risk risk) = _limited(v, i);
            assertEq(SurgeMath.room(market, risk), v[i + 5]);
        }
    }

    function test_refill() public view {
        (uint256[] memory v, uint256 rows) = _rows("refill", 4);
        for (uint256 i; i < rows; i += 4) {
            Market memory market;
            market.surgeLevel = v[i];
            SurgeMath.refill(market, toRisk(8_000, 8_600, 1).withSurgeLimit(0, uint24(v[i + 2]), 1), v[i + 1]);
            assertEq(market.surgeLevel, v[i + 3]);
        }
    }

    /// @dev The market and the limit in a row: minimum debt, multiple of it, share, borrow assets, level.
    function _limited(uint256[] memory v, uint256 i) private pure returns (Market memory market, Risk risk) {
        risk = toRisk(8_000, 8_600, uint128(v[i])).withSurgeLimit(uint16(v[i + 2]), 1 days, uint32(v[i + 1]));
        market.borrowAssets = v[i + 3];
        market.surgeLevel = v[i + 4];
    }

    /* REWARDS */

    function test_accumulatorIncreaseDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("accumulatorIncreaseDown", 5);
        for (uint256 i; i < rows; i += 5) {
            (uint256 increase, uint256 rest) = RewardMath.accumulatorIncreaseDown(v[i], v[i + 1], v[i + 2]);
            assertEq(increase, v[i + 3]);
            assertEq(rest, v[i + 4]);
        }
    }

    function test_claimableDown() public view {
        (uint256[] memory v, uint256 rows) = _rows("claimableDown", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(RewardMath.claimableDown(v[i], v[i + 1], uint128(v[i + 2])), v[i + 3]);
        }
    }

    function test_offsetAfterStakeUp() public view {
        (uint256[] memory v, uint256 rows) = _rows("offsetAfterStakeUp", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(RewardMath.offsetAfterStakeUp(uint128(v[i]), v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    function test_offsetAfterUnstakeUp() public view {
        (uint256[] memory v, uint256 rows) = _rows("offsetAfterUnstakeUp", 4);
        for (uint256 i; i < rows; i += 4) {
            assertEq(RewardMath.offsetAfterUnstakeUp(uint128(v[i]), v[i + 1], v[i + 2]), v[i + 3]);
        }
    }

    /// @dev The numbers of a function's vectors, in rows of this length.
    function _rows(string memory name, uint256 length) private view returns (uint256[] memory numbers, uint256 count) {
        numbers = vm.parseJsonUintArray(_vectors, string.concat(".", name));
        count = numbers.length;
        assertEq(count % length, 0);
        assertGe(count / length, LEAST_ROWS);
    }
}
