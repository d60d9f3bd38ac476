// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IRewards} from "../interfaces/IRewards.sol";
import {Accrual} from "./Accrual.sol";
import {RewardMath} from "./RewardMath.sol";

/// @dev One reward token of one pool. Three slots, of which the first is written by every update, the second when an
/// epoch begins, the third by funding; an update within an epoch reads only the first two.
struct Stream {
    uint192 accumulator; // reward units per unit of stake, × 2^96
    uint40 lastUpdate;
    uint24 smallRemainder; // in units × seconds: reward that is still to be paid, or LARGE
    //
    address token;
    uint96 epochAmount; // the whole amount of the epoch of the last update
    //
    uint96 funded; // lifetime funding
    uint32 lastFundedEpoch; // the last epoch with an amount in `scheduled`
    uint64 largeRemainder; // the remainder if `smallRemainder` is LARGE: only if more than 2^100 are staked
    //
    mapping(uint256 epoch => uint256 amount) scheduled; // amounts of the epochs after that of the last update
}

using StreamLib for Stream global;

/// @title Reward stream library.
/// @author Plimsoll
/// @custom:security-contact See SECURITY.md
/// @notice Distributes epoch amounts to the accumulator. Amounts are conserved exactly, to the last unit × second: each
/// is distributed, added to the next epoch, or kept in the remainder. What the accumulator's whole steps leave over
/// (up to `totalStaked / 2^96` reward units, whole ones if the stake is that large) is part of the remainder: an update
/// loses less than one unit × second of it, so that even an update every second loses less than a unit in an epoch.
library StreamLib {
    uint256 internal constant EPOCH_SECONDS = 1 weeks;
    uint256 internal constant EPOCHS_AHEAD = 26;

    /// @dev The mark in the first slot for a remainder that does not fit there.
    uint256 private constant LARGE = type(uint24).max;

    /// @notice Returns reward that is still to be paid, in units × seconds: below an epoch's seconds, or below
    /// `EPOCH_SECONDS × totalStaked / 2^96`.
    function remainder(Stream storage self) internal view returns (uint256 unitSeconds) {
        unitSeconds = self.smallRemainder;
        if (unitSeconds == LARGE) unitSeconds = self.largeRemainder;
    }

    /// @notice Stores accumulator, time and remainder, which is below 2^52 (2^20 × 2^128 / 2^96).
    function setUpdated(Stream storage self, uint256 accumulator, uint256 lastUpdate, uint256 unitSeconds) internal {
        uint256 small = FixedPointMathLib.min(unitSeconds, LARGE);
        // Without a branch between or before them the compiler makes one store of these.
        self.accumulator = uint192(accumulator);
        self.lastUpdate = uint40(lastUpdate);
        self.smallRemainder = uint24(small);
        if (small == LARGE) self.largeRemainder = uint64(unitSeconds);
    }

    /// @notice Returns the changes of the stream until `timestamp` while `totalStaked` is staked.
    /// @dev The gas is bounded for any time: nothing is scheduled later than 26 epochs after the last update, because
    /// funding updates the stream first, and time without stakes defers to the next epoch only.
    function project(Stream storage self, uint256 totalStaked, uint256 timestamp)
        internal
        view
        returns (Accrual memory accrual)
    {
        uint256 from = self.lastUpdate;
        uint256 amount = self.epochAmount;
        uint256 unitSeconds = self.remainder();
        uint256 epoch = from / EPOCH_SECONDS;
        // Amounts still to be paid add up to less than 2^96 and times to less than 2^41, so nothing below can overflow.
        unchecked {
            if (timestamp > from) {
                uint256 epochNow = timestamp / EPOCH_SECONDS;
                if (epochNow > epoch) {
                    uint256 wholeEpochs;
                    uint256 lastFunded = self.lastFundedEpoch;
                    for (uint256 i = epoch + 1; i < epochNow && i <= lastFunded; i++) {
                        wholeEpochs += self.scheduled[i];
                    }
                    unitSeconds += amount * ((epoch + 1) * EPOCH_SECONDS - from) + wholeEpochs * EPOCH_SECONDS;
                    amount = self.scheduled[epochNow];
                    epoch = epochNow;
                    from = epochNow * EPOCH_SECONDS;
                    if (totalStaked == 0) {
                        accrual.joined = unitSeconds / EPOCH_SECONDS;
                        amount += accrual.joined;
                        unitSeconds %= EPOCH_SECONDS;
                    }
                }
                unitSeconds += amount * (timestamp - from);
                if (totalStaked == 0) {
                    accrual.deferred = unitSeconds / EPOCH_SECONDS;
                    unitSeconds %= EPOCH_SECONDS;
                } else {
                    (accrual.accumulatorIncrease, unitSeconds) =
                        RewardMath.accumulatorIncreaseDown(unitSeconds, EPOCH_SECONDS, totalStaked);
                }
            }
        }
        accrual.remainder = unitSeconds;
        accrual.epoch = epoch;
        accrual.epochAmount = amount;
    }

    /// @notice Updates the stream to this block's time.
    /// @return accumulator of the updated stream
    function accrue(Stream storage self, bytes32 pool, uint256 totalStaked) internal returns (uint256 accumulator) {
        accumulator = self.accumulator;
        uint256 lastUpdate = self.lastUpdate;
        if (lastUpdate == block.timestamp) return accumulator;

        Accrual memory accrual = self.project(totalStaked, block.timestamp);
        address token = self.token;
        if (accrual.epoch != lastUpdate / EPOCH_SECONDS) self.epochAmount = uint96(accrual.epochAmount);
        if (accrual.joined != 0) emit IRewards.Defer(pool, token, accrual.epoch, accrual.joined);
        if (accrual.deferred != 0) {
            _schedule(self, accrual.epoch + 1, accrual.deferred);
            emit IRewards.Defer(pool, token, accrual.epoch + 1, accrual.deferred);
        }
        // Below 2^192: see `RewardMath.ACCUMULATOR_BITS`.
        accumulator += accrual.accumulatorIncrease;
        self.setUpdated(accumulator, block.timestamp, accrual.remainder);
        emit IRewards.Accrue(pool, token, accrual.accumulatorIncrease, accrual.remainder);
    }

    /// @notice Schedules `amount` over the `epochs` epochs from `firstEpoch` on, which are after the current one.
    /// Reverts with `FundingTooLarge` if the lifetime funding would exceed its limit.
    /// @dev The stream must have been updated to this block's time.
    function give(Stream storage self, uint256 amount, uint256 firstEpoch, uint256 epochs) internal {
        uint256 funded = self.funded;
        if (amount > type(uint96).max - funded) revert IRewards.FundingTooLarge(funded, amount);
        self.funded = uint96(funded + amount);

        uint256 each = amount / epochs;
        _schedule(self, firstEpoch, each + amount % epochs);
        for (uint256 i = 1; i < epochs; i++) {
            _schedule(self, firstEpoch + i, each);
        }
    }

    function _schedule(Stream storage self, uint256 epoch, uint256 amount) private {
        self.scheduled[epoch] += amount;
        if (epoch > self.lastFundedEpoch) self.lastFundedEpoch = uint32(epoch);
    }
}
