// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Test} from "forge-std/Test.sol";

import {RewardMath} from "plimsoll/rewards/RewardMath.sol";

/// @notice The offset, whose terms wrap around, against plain sums that do not.
contract RewardMathTest is Test {
    using RewardMath for uint128;

    uint256 internal constant EPOCH = 1 weeks;
    /// @dev The amount that the streams of a test can still pay, in unit-seconds.
    uint256 internal toPay = (2 ** 96 - 1) * EPOCH;
    uint256 internal accumulator;

    /// @dev Distributes a random part of the remaining amount to a total stake that includes `stake`: often only that,
    /// often almost 0, so that the accumulator makes its largest steps.
    function _accrue(uint256 stake, uint256 random) private returns (uint256 increase) {
        uint256 part = bound(random >> 8, 0, toPay) >> (random % 64);
        uint256 others = random % 3 == 0 ? 0 : bound(random, 1, 2 ** 127) >> (random % 128);
        uint256 total = stake + others;
        if (total == 0) return 0;
        toPay -= part;
        uint256 rest;
        (increase, rest) = RewardMath.accumulatorIncreaseDown(part, EPOCH, total);
        assertEq(increase, Math.mulDiv(part, 2 ** 96, EPOCH * total));
        // What was distributed, rounded up, and the rest are all of it.
        assertEq(Math.mulDiv(increase, EPOCH * total, 2 ** 96, Math.Rounding.Ceil) + rest, part);
        assertLe(rest, EPOCH * total / 2 ** 96);
        accumulator += increase;
        assertLt(accumulator, 2 ** 192);
    }

    /// R1, R2: through any changes of a stake an account is owed what it earned, less than 2^-24 units a change less.
    function test_R1_R2_theOffsetKeepsEarnedRewards(uint256[16] calldata random) public {
        uint256 stake;
        uint128 offset;
        // Exact: reward units × 2^96, below 2^192 in all.
        uint256 earned;
        uint256 paid;
        uint256 changes;
        for (uint256 i; i < random.length; i++) {
            earned += stake * _accrue(stake, random[i]);
            uint256 amount = random[i] >> 128 >> (random[i] % 128);
            if (random[i] % 5 < 2) {
                amount = bound(amount, 0, 2 ** 127 - 1 - stake);
                offset = offset.offsetAfterStakeUp(amount, accumulator);
                stake += amount;
                changes++;
            } else if (random[i] % 5 < 4) {
                amount = random[i] % 2 == 0 ? stake : bound(amount, 0, stake);
                offset = offset.offsetAfterUnstakeUp(amount, accumulator);
                stake -= amount;
                changes++;
            } else {
                amount = RewardMath.claimableDown(stake, accumulator, offset);
                offset = offset.offsetAfterPayment(amount);
                paid += amount;
                assertEq(RewardMath.claimableDown(stake, accumulator, offset), 0);
            }
            uint256 got = paid + RewardMath.claimableDown(stake, accumulator, offset);
            assertLe(got << 96, earned);
            // The last 2^72 are the rounding of the stake's own product.
            assertGe((got << 96) + 2 ** 96 + (changes + 1) * 2 ** 72, earned + 1);
        }
    }

    /// The offset is rounded up where its last bit is lost, and only there.
    function test_theOffsetAfterAStakeIsRoundedUpToTheBit() public pure {
        uint128 none;
        assertEq(none.offsetAfterStakeUp(1, 2 ** 72), 1);
        assertEq(none.offsetAfterStakeUp(1, 2 ** 72 - 1), 1);
        assertEq(none.offsetAfterStakeUp(1, 2 ** 72 + 1), 2);
        assertEq(none.offsetAfterStakeUp(1, 1), 1);
        assertEq(none.offsetAfterStakeUp(1, 0), 0);
    }

    /// R3: a stake that comes and goes at once earns nothing and costs less than 2^-24 units.
    function test_R3_comingAndGoingCostsNothing(uint128 offset, uint128 amount, uint192 level, uint128 stake)
        public
        pure
    {
        uint256 before = RewardMath.claimableDown(stake, level, offset);
        uint128 afterwards = offset.offsetAfterStakeUp(amount, level).offsetAfterUnstakeUp(amount, level);
        unchecked {
            assertLe(afterwards - offset, 1);
        }
        assertLe(RewardMath.claimableDown(stake, level, afterwards), before);
    }

    /// The accumulator value at which an account's least amount is reached, as described in the rewards documentation.
    function test_theAccumulatorAtWhichAHarvestBecomesPossible(
        uint96 stake,
        uint128 level,
        uint96 smallest,
        uint64 owed
    ) public pure {
        uint256 s = bound(stake, 1, type(uint96).max);
        uint256 enough = bound(smallest, 1, type(uint96).max / 2);
        uint256 g = level;
        // An entitlement of `owed` 2^-24 units at `g`.
        uint128 offset;
        unchecked {
            offset = uint128((s * g) >> 72) - owed;
        }
        if (RewardMath.claimableDown(s, g, offset) >= enough) return;
        uint256 missing = (enough << 24) - owed;
        uint256 reached = g + Math.ceilDiv(missing << 72, s);
        assertGe(RewardMath.claimableDown(s, reached, offset), enough);
        uint256 justBefore = g + (missing - 1 << 72) / s - 1;
        if (missing > 1 && justBefore > g) assertLt(RewardMath.claimableDown(s, justBefore, offset), enough);
    }
}
