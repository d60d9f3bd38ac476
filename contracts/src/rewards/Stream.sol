// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

import {IRewards} from "../interfaces/IRewards.sol";
import {RewardMath} from "./RewardMath.sol";

/// @dev One reward token of one pool. Three slots, of which the first is written by every update, the second when an
/// epoch begins, the third by funding; an update within an epoch reads only the first two.
struct Stream {
    uint192 accumulator; // reward units per unit of stake, × 2^96
    uint40 lastUpdate;
    uint24 remainder; // in units × seconds, below EPOCH_SECONDS: reward below one unit that is still to be paid
    //
    address token;
    uint96 epochAmount; // what the epoch of the last update pays in the whole of it
    //
    uint96 funded; // in the stream's whole life
    uint32 lastFundedEpoch; // no later epoch has anything in `scheduled`
    //
    mapping(uint256 epoch => uint256 amount) scheduled; // for the epochs after that of the last update
}

/// @dev What brings a stream from its last update to a later time.
struct Accrual {
    uint256 accumulatorIncrease;
    uint256 remainder;
    uint256 epoch; // the one that the time lies in
    uint256 epochAmount; // what that epoch pays in the whole of it, `joined` included
    uint256 joined; // how much of `epochAmount` earlier epochs left, since nobody was staked
    uint256 deferred; // how much of `epochAmount` goes to the next epoch, since nobody was staked
}

using StreamLib for Stream global;

/// @title How an epoch's amount becomes an accumulator
/// @notice Amounts are conserved exactly: what an epoch was given is either paid to the accumulator, added to the next
/// epoch, or kept in the remainder, to the last unit × second. How often a stream is updated changes nothing but the
/// accumulator's rounding, by less than one (that is `totalStaked / 2^96` reward units) an update.
library StreamLib {
    uint256 internal constant EPOCH_SECONDS = 1 weeks;
    uint256 internal constant EPOCHS_AHEAD = 26;

    /// @notice What happens to the stream until `timestamp` while `totalStaked` is staked.
    /// @dev Takes bounded gas for any time: nothing is scheduled later than 26 epochs after the last update, because
    /// funding updates the stream first and time with nobody staked gives to one epoch ahead only.
    function project(Stream storage self, uint256 totalStaked, uint256 timestamp)
        internal
        view
        returns (Accrual memory accrual)
    {
        uint256 from = self.lastUpdate;
        uint256 amount = self.epochAmount;
        uint256 unitSeconds = self.remainder;
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
                    accrual.accumulatorIncrease =
                        RewardMath.accumulatorIncreaseDown(unitSeconds, EPOCH_SECONDS, totalStaked);
                    unitSeconds = 0;
                }
            }
        }
        accrual.remainder = unitSeconds;
        accrual.epoch = epoch;
        accrual.epochAmount = amount;
    }

    /// @notice Brings the stream to this block's time.
    /// @return accumulator where it stands then
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
        self.accumulator = uint192(accumulator);
        self.lastUpdate = uint40(block.timestamp);
        self.remainder = uint24(accrual.remainder);
        emit IRewards.Accrue(pool, token, accrual.accumulatorIncrease, accrual.remainder);
    }

    /// @notice Adds `amount` to the `epochs` epochs from `firstEpoch` on, which lie after the current one.
    /// @dev The stream has been brought to this block's time.
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
