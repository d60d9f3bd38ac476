//! Staking rewards: what a stake earns, and when. The twin of `RewardMath` and `StreamLib`.

use std::collections::BTreeMap;

use alloy::primitives::U256;

/// Length of an epoch, in seconds. Funding is given to whole epochs.
pub const EPOCH_SECONDS: u64 = 604_800;
/// Number of epochs after the current one that can be funded.
pub const EPOCHS_AHEAD: u64 = 26;
/// Exclusive bound of the amount that is ever funded in a stream.
pub const FUNDING_LIMIT: u128 = 1 << 96;
/// Fraction bits of accumulators, which are in reward units per unit of stake.
pub const ACCUMULATOR_BITS: usize = 96;
/// Fraction bits of offsets and entitlements, which are in reward units.
pub const FRACTION_BITS: usize = 24;

/// Bits by which stake × accumulator is shifted to become an entitlement.
const SHIFT: usize = ACCUMULATOR_BITS - FRACTION_BITS;

/// The stream of one reward token to one pool's stakers, as of its last update.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// Reward that one unit of stake has earned since the beginning, × 2^96.
    pub accumulator: U256,
    /// Timestamp up to which the accumulator is right, in seconds.
    pub last_update: u64,
    /// Reward that is still to be paid, in units × seconds per epoch: below one unit, or below 2^-96 of the stake at the
    /// last update if that is more than a unit. Below 2^52.
    pub remainder: u64,
    /// Amount that the epoch of the last update pays in all.
    pub epoch_amount: u128,
    /// The last epoch that has anything to pay.
    pub last_funded_epoch: u64,
    /// Amount that has ever been funded.
    pub funded: u128,
    /// Amounts of the epochs after that of the last update.
    pub scheduled: BTreeMap<u64, u128>,
}

/// The change of a stream from its last update to a later time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accrual {
    /// Growth of the accumulator.
    pub accumulator_increase: U256,
    /// The remainder at the later time.
    pub remainder: u64,
    /// The epoch of the later time.
    pub epoch: u64,
    /// Amount that this epoch pays in all, `joined` included.
    pub epoch_amount: u128,
    /// Part of the epoch's amount that earlier epochs did not pay because nothing was staked.
    pub joined: u128,
    /// Part of the epoch's amount that is deferred to the next epoch because nothing is staked.
    pub deferred: u128,
}

impl Stream {
    /// Returns the change of the stream until `timestamp` while `total_staked` is staked.
    #[must_use]
    pub fn project(&self, total_staked: u128, timestamp: u64) -> Accrual {
        let mut from = self.last_update;
        let mut accrual = Accrual {
            remainder: self.remainder,
            epoch: epoch_of(from),
            epoch_amount: self.epoch_amount,
            ..Accrual::default()
        };
        if timestamp <= from {
            return accrual;
        }
        let mut unit_seconds = u128::from(self.remainder);
        let epoch_now = epoch_of(timestamp);
        if epoch_now > accrual.epoch {
            let epochs_between = self.scheduled.range(accrual.epoch + 1..epoch_now);
            let whole_epochs = epochs_between.fold(0u128, |sum, (_, amount)| sum.saturating_add(*amount));
            let rest_of_epoch = paid_in(accrual.epoch_amount, start_of(accrual.epoch + 1).saturating_sub(from));
            unit_seconds = unit_seconds.saturating_add(rest_of_epoch);
            unit_seconds = unit_seconds.saturating_add(paid_in(whole_epochs, EPOCH_SECONDS));
            accrual.epoch_amount = self.scheduled.get(&epoch_now).copied().unwrap_or_default();
            accrual.epoch = epoch_now;
            from = start_of(epoch_now);
            if total_staked == 0 {
                (accrual.joined, unit_seconds) = whole_units(unit_seconds);
                accrual.epoch_amount = accrual.epoch_amount.saturating_add(accrual.joined);
            }
        }
        unit_seconds = unit_seconds.saturating_add(paid_in(accrual.epoch_amount, timestamp - from));
        if total_staked == 0 {
            (accrual.deferred, unit_seconds) = whole_units(unit_seconds);
        } else {
            (accrual.accumulator_increase, unit_seconds) = accumulator_increase_down(unit_seconds, total_staked);
        }
        // Below the seconds of an epoch × 2^32.
        accrual.remainder = u64::try_from(unit_seconds).unwrap_or(u64::MAX);
        accrual
    }

    /// Accrues the stream up to `timestamp`. Changes nothing if that is not later than the last update.
    pub fn accrue(&mut self, total_staked: u128, timestamp: u64) -> Accrual {
        let accrual = self.project(total_staked, timestamp);
        if timestamp <= self.last_update {
            return accrual;
        }
        self.epoch_amount = accrual.epoch_amount;
        self.scheduled = self.scheduled.split_off(&(accrual.epoch + 1));
        if accrual.deferred != 0 {
            self.schedule(accrual.epoch + 1, accrual.deferred);
        }
        self.accumulator = self.accumulator.saturating_add(accrual.accumulator_increase);
        self.remainder = accrual.remainder;
        self.last_update = timestamp;
        accrual
    }

    /// Adds `amount` to the `epochs` epochs from `first_epoch` on, which lie after that of the last update; the
    /// division's remainder goes to the first.
    pub fn give(&mut self, amount: u128, first_epoch: u64, epochs: u64) {
        let each = amount.checked_div(u128::from(epochs)).unwrap_or_default();
        self.funded = self.funded.saturating_add(amount);
        self.schedule(first_epoch, amount - each * u128::from(epochs));
        for epoch in (first_epoch..).take(usize::try_from(epochs).unwrap_or(usize::MAX)) {
            self.schedule(epoch, each);
        }
    }

    /// Returns the accumulator at `timestamp` while `total_staked` is staked.
    #[must_use]
    pub fn accumulator_at(&self, total_staked: u128, timestamp: u64) -> U256 {
        self.accumulator.saturating_add(self.project(total_staked, timestamp).accumulator_increase)
    }

    /// Returns the first second, from the last update on, at which the accumulator is at least `accumulator` while
    /// `total_staked` is staked; `None` if the funding is not enough.
    #[must_use]
    pub fn time_reaching(&self, accumulator: U256, total_staked: u128) -> Option<u64> {
        let reached = |timestamp| self.accumulator_at(total_staked, timestamp) >= accumulator;
        let last_epoch = self.last_funded_epoch.max(epoch_of(self.last_update));
        let (mut before, mut reaching) = (self.last_update, start_of(last_epoch.saturating_add(1)));
        if reached(before) {
            return Some(before);
        }
        if !reached(reaching) {
            return None;
        }
        while reaching - before > 1 {
            let middle = before + (reaching - before) / 2;
            if reached(middle) {
                reaching = middle;
            } else {
                before = middle;
            }
        }
        Some(reaching)
    }

    fn schedule(&mut self, epoch: u64, amount: u128) {
        let scheduled = self.scheduled.entry(epoch).or_default();
        *scheduled = scheduled.saturating_add(amount);
        self.last_funded_epoch = self.last_funded_epoch.max(epoch);
    }
}

/// Returns the epoch of a timestamp.
#[must_use]
pub const fn epoch_of(timestamp: u64) -> u64 {
    timestamp / EPOCH_SECONDS
}

/// Returns the first second of an epoch.
#[must_use]
pub const fn start_of(epoch: u64) -> u64 {
    epoch.saturating_mul(EPOCH_SECONDS)
}

/// Returns the growth of the accumulator if `unit_seconds` ÷ the seconds of an epoch are paid to `total_staked`, and
/// the unit-seconds that this leaves over because the accumulator grows in whole steps, rounded down. If nothing is
/// staked, nothing grows and all is left over.
#[must_use]
pub fn accumulator_increase_down(unit_seconds: u128, total_staked: u128) -> (U256, u128) {
    if total_staked == 0 {
        return (U256::ZERO, unit_seconds);
    }
    let scaled: U256 = U256::from(unit_seconds) << ACCUMULATOR_BITS;
    let (increase, rest) = scaled.div_rem(U256::from(EPOCH_SECONDS) * U256::from(total_staked));
    let rest: U256 = rest >> ACCUMULATOR_BITS;
    (increase, rest.saturating_to())
}

/// Returns the whole reward units that an account can claim.
#[must_use]
pub fn claimable_down(staked: u128, accumulator: U256, offset: u128) -> u128 {
    u128::try_from(entitlement(staked, accumulator, offset)).unwrap_or_default() >> FRACTION_BITS
}

/// Returns what an account is entitled to, in reward units × 2^24. Rounding can bring it a little below 0.
#[must_use]
pub fn entitlement(staked: u128, accumulator: U256, offset: u128) -> i128 {
    earned_down(staked, accumulator).wrapping_sub(offset).cast_signed()
}

/// Returns the offset after `amount` was added to the stake.
#[must_use]
pub fn offset_after_stake_up(offset: u128, amount: u128, accumulator: U256) -> u128 {
    let product = U256::from(amount).wrapping_mul(accumulator);
    let below: U256 = (product >> SHIFT) << SHIFT;
    offset.wrapping_add(earned_down(amount, accumulator)).wrapping_add(u128::from(below != product))
}

/// Returns the offset after `amount` was taken out of the stake.
#[must_use]
pub fn offset_after_unstake_up(offset: u128, amount: u128, accumulator: U256) -> u128 {
    offset.wrapping_sub(earned_down(amount, accumulator))
}

/// Returns the offset after `amount` whole units were paid. Exact.
#[must_use]
pub const fn offset_after_payment(offset: u128, amount: u128) -> u128 {
    offset.wrapping_add(amount << FRACTION_BITS)
}

/// Returns `⌊staked × accumulator ÷ 2^72⌋` modulo 2^128: the product wraps at 2^256, which leaves those bits right.
fn earned_down(staked: u128, accumulator: U256) -> u128 {
    let product: U256 = U256::from(staked).wrapping_mul(accumulator) >> SHIFT;
    product.wrapping_to()
}

const fn paid_in(epoch_amount: u128, seconds: u64) -> u128 {
    epoch_amount.saturating_mul(seconds as u128)
}

const fn whole_units(unit_seconds: u128) -> (u128, u128) {
    let epoch_seconds = EPOCH_SECONDS as u128;
    (unit_seconds / epoch_seconds, unit_seconds % epoch_seconds)
}
