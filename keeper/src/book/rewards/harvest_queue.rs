//! The harvest queue: the accounts of one reward stream in the order in which they can be harvested.
//!
//! What an account can claim grows with the stream's accumulator and with nothing else. The accumulator at which it
//! reaches the account's smallest amount is therefore known after each event of the account and stays until the next
//! one: the passing of time moves no entry.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
};

use alloy::primitives::{U256, U512};

use super::stakers::RewardLedger;
use crate::math::rewards::{ACCUMULATOR_BITS, FRACTION_BITS, entitlement};

const SHIFT: usize = ACCUMULATOR_BITS - FRACTION_BITS;

/// An index over the accounts that consent to be harvested, ordered by the accumulator at which they can be.
#[derive(Debug, Default)]
pub(in crate::book) struct HarvestQueue(BTreeSet<(U256, u32)>);

impl HarvestQueue {
    /// Moves the account in a slot to its new place. Accounts that can never be harvested are not in the queue.
    pub(super) fn change(&mut self, slot: u32, before: Option<U256>, after: Option<U256>) {
        if before == after {
            return;
        }
        if let Some(harvestable_at) = before {
            self.0.remove(&(harvestable_at, slot));
        }
        if let Some(harvestable_at) = after {
            self.0.insert((harvestable_at, slot));
        }
    }

    /// Returns the number of accounts that consent and can ever be harvested.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Iterates over the slots of all accounts that can be harvested at an accumulator, those with the lowest first.
    pub(super) fn up_to(&self, accumulator: U256) -> impl Iterator<Item = u32> {
        self.0.range(..=(accumulator, u32::MAX)).map(|(_, slot)| *slot)
    }

    /// Returns the first account that cannot be harvested at an accumulator yet, with the accumulator at which it can.
    pub(super) fn after(&self, accumulator: U256) -> Option<(U256, u32)> {
        self.0.range((Excluded((accumulator, u32::MAX)), Unbounded)).next().copied()
    }
}

/// Returns the lowest accumulator at which an account can be harvested, given its stream's accumulator; `None` if the
/// account does not consent, or no accumulator is high enough.
///
/// With stake `s` and accumulator `A`, the entitlement is `⌊s·A ÷ 2^72⌋ - offset`, where the offset is known only
/// modulo 2^128 but the difference is exact. Its value at the given accumulator therefore gives the whole offset, and
/// the smallest amount is reached where `s·A ÷ 2^72` reaches the sum of the two, which are whole numbers.
pub(super) fn harvestable_at(staked: u128, accumulator: U256, ledger: &RewardLedger) -> Option<U256> {
    let consent = ledger.consent;
    if !consent.enabled {
        return None;
    }
    let smallest = U512::from(consent.smallest.max(1)) << FRACTION_BITS;
    let entitled = entitlement(staked, accumulator, ledger.offset);
    let (had, lacked) = (U512::from(entitled.max(0).unsigned_abs()), U512::from(entitled.min(0).unsigned_abs()));
    if staked == 0 {
        return (had >= smallest).then_some(U256::ZERO);
    }
    let earned: U512 = (U512::from(staked) * U512::from(accumulator)) >> SHIFT;
    let wanted = (earned + smallest + lacked).saturating_sub(had);
    let scaled: U512 = wanted << SHIFT;
    Some(scaled.div_ceil(U512::from(staked)).saturating_to())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        book::rewards::HarvestConsent,
        math::rewards::{claimable_down, offset_after_stake_up},
    };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// At any accumulator, and with any multiple of 2^128 lost from the offset.
        #[test]
        fn an_account_can_be_harvested_from_that_accumulator_on_and_not_before(
            staked in (1..=u128::MAX, 0..127u32).prop_map(|(staked, down)| (staked >> down).max(1)),
            accumulator in (any::<[u64; 3]>(), 0..192usize),
            // From a little below 0, as rounding leaves it, to all that can be owed.
            entitled in (-1_000..1i128 << 120, 0..120u32).prop_map(|(entitled, down)| entitled >> down),
            smallest in (0..1u128 << 96, 0..96u32).prop_map(|(smallest, down)| smallest >> down),
        ) {
            let ([low, middle, high], down) = accumulator;
            let accumulator = U256::from_limbs([low, middle, high, 0]) >> down;
            let nothing = offset_after_stake_up(0, staked, accumulator);
            let consent = HarvestConsent { enabled: true, smallest, ..HarvestConsent::default() };
            let ledger = RewardLedger { offset: nothing.wrapping_sub(entitled.cast_unsigned()), consent };
            let claimable = |accumulator| claimable_down(staked, accumulator, ledger.offset);

            let harvestable_at = harvestable_at(staked, accumulator, &ledger).unwrap();
            if harvestable_at > accumulator {
                prop_assert!(claimable(harvestable_at) >= smallest.max(1));
                prop_assert!(claimable(harvestable_at - U256::ONE) < smallest.max(1));
            } else {
                prop_assert!(claimable(accumulator) >= smallest.max(1));
            }
        }
    }
}
