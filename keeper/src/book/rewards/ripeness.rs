//! The accounts of one stream in the order in which they can be harvested.
//!
//! What an account can claim grows with the stream's accumulator and with nothing else. So the accumulator at which it
//! reaches the account's smallest amount is known once the account was touched, and stays until it is touched again:
//! time passing moves no entry.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
};

use alloy::primitives::{U256, U512};

use super::stakers::Ledger;
use crate::math::rewards::{ACCUMULATOR_BITS, FRACTION_BITS, entitlement};

const SHIFT: usize = ACCUMULATOR_BITS - FRACTION_BITS;

/// An ordered index over the accounts that agreed to be harvested.
#[derive(Debug, Default)]
pub(in crate::book) struct Ripeness(BTreeSet<(U256, u32)>);

impl Ripeness {
    /// Moves the account in a slot to where it belongs. Accounts that cannot become ripe are not kept.
    pub(super) fn change(&mut self, slot: u32, before: Option<U256>, after: Option<U256>) {
        if before == after {
            return;
        }
        if let Some(ripe_at) = before {
            self.0.remove(&(ripe_at, slot));
        }
        if let Some(ripe_at) = after {
            self.0.insert((ripe_at, slot));
        }
    }

    /// How many accounts agreed, and can ever be harvested.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The slots of all accounts that are ripe at an accumulator, the longest ripe first.
    pub(super) fn up_to(&self, accumulator: U256) -> impl Iterator<Item = u32> {
        self.0.range(..=(accumulator, u32::MAX)).map(|(_, slot)| *slot)
    }

    /// The next one after those, and its accumulator.
    pub(super) fn after(&self, accumulator: U256) -> Option<(U256, u32)> {
        self.0.range((Excluded((accumulator, u32::MAX)), Unbounded)).next().copied()
    }
}

/// The lowest accumulator at which an account can be harvested, going by where its stream's stands; `None` where none
/// is enough, or the account does not agree.
///
/// With stake `s` and accumulator `A`, the entitlement is `⌊s·A ÷ 2^72⌋ - offset`, of which the difference is right and
/// the offset known only modulo 2^128. What it is at the accumulator of now tells the whole offset, and the smallest
/// amount is reached where `s·A ÷ 2^72` reaches both together, which are whole numbers.
pub(super) fn ripe_at(staked: u128, accumulator: U256, ledger: &Ledger) -> Option<U256> {
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

        /// Wherever the accumulator stands, and however much of the offset is lost to wrapping.
        #[test]
        fn an_account_is_ripe_from_that_accumulator_on_and_not_before(
            staked in (1..=u128::MAX, 0..127u32).prop_map(|(staked, down)| (staked >> down).max(1)),
            accumulator in (any::<[u64; 3]>(), 0..192usize),
            // From a little below nothing, as roundings leave it, to all that can be owed.
            entitled in (-1_000..1i128 << 120, 0..120u32).prop_map(|(entitled, down)| entitled >> down),
            smallest in (0..1u128 << 96, 0..96u32).prop_map(|(smallest, down)| smallest >> down),
        ) {
            let ([low, middle, high], down) = accumulator;
            let accumulator = U256::from_limbs([low, middle, high, 0]) >> down;
            let nothing = offset_after_stake_up(0, staked, accumulator);
            let consent = HarvestConsent { enabled: true, smallest, ..HarvestConsent::default() };
            let ledger = Ledger { offset: nothing.wrapping_sub(entitled.cast_unsigned()), consent };
            let claimable = |accumulator| claimable_down(staked, accumulator, ledger.offset);

            let ripe_at = ripe_at(staked, accumulator, &ledger).unwrap();
            if ripe_at > accumulator {
                prop_assert!(claimable(ripe_at) >= smallest.max(1));
                prop_assert!(claimable(ripe_at - U256::ONE) < smallest.max(1));
            } else {
                prop_assert!(claimable(accumulator) >= smallest.max(1));
            }
        }
    }
}
