//! When to harvest: the cost of waiting against the cost of gas.
//!
//! A tip that lies waiting may go to a rival at any time. Leaving it for as long as `patience` is counted as costing as
//! much as the tip itself, so waiting costs what waits, times how long, over patience. Harvesting costs gas, whatever
//! has gathered.
//!
//! **The rule**: harvest when waiting has cost as much as harvesting does; later if that does not pay yet; and where the
//! longest wait is over, as soon as it pays.
//!
//! - While tips gather evenly and gas keeps its price, this is the best moment there is: sooner, gas costs more per
//!   second than is saved; later, waiting costs more.
//! - However tips gather, both costs together are never more than twice those of the best moments that could be chosen
//!   with hindsight, give or take what waiting costs from one look to the next: until each harvest waiting has cost as
//!   much as gas, and the best choice has paid one or the other in that time.

use alloy::primitives::U256;

use crate::math::wide::mul_div_down;

/// What waiting is allowed to cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Leaving a tip so long is counted as losing as much.
    pub patience_secs: u64,
    /// After this long, what pays is harvested.
    pub longest_wait_secs: u64,
}

/// What has been waiting, and what that has cost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// When there was something for the first time since the last harvest.
    since: u64,
    looked_at: u64,
    /// What waited then, in wei.
    tips_wei: U256,
    /// Wei times seconds.
    waited: U256,
}

impl Waiting {
    /// Something is there for the first time.
    #[must_use]
    pub const fn new(now: u64, tips_wei: U256) -> Self {
        Self { since: now, looked_at: now, tips_wei, waited: U256::ZERO }
    }

    /// Looks at what waits now. What gathered since the last look is taken to have gathered evenly. Where it became less,
    /// a part was harvested by us or by others, and what that part's waiting has cost is over.
    pub fn look(&mut self, now: u64, tips_wei: U256) {
        if tips_wei < self.tips_wei {
            self.waited = mul_div_down(self.waited, tips_wei, self.tips_wei);
            if tips_wei.is_zero() {
                self.since = now;
            }
            self.tips_wei = tips_wei;
        }
        let seconds = U256::from(now.saturating_sub(self.looked_at));
        let average: U256 = self.tips_wei.saturating_add(tips_wei) >> 1;
        self.waited = self.waited.saturating_add(average.saturating_mul(seconds));
        (self.looked_at, self.tips_wei) = (now, tips_wei);
    }

    /// Whether it is time, if harvesting costs this and pays.
    #[must_use]
    pub fn is_over(&self, patience: Patience, gas_wei: U256) -> bool {
        let allowed = gas_wei.saturating_mul(U256::from(patience.patience_secs));
        self.waited >= allowed || self.looked_at.saturating_sub(self.since) >= patience.longest_wait_secs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    fn patience(patience_secs: u64) -> Patience {
        Patience { patience_secs, longest_wait_secs: u64::MAX }
    }

    /// The look, of one each `step`, at which it is time, while tips gather at `rate` wei a second.
    fn chosen(rate: u64, gas: u64, patience: Patience, step: u64) -> u64 {
        let mut waiting = Waiting::new(0, U256::ZERO);
        (1..)
            .map(|look| look * step)
            .find(|now| {
                waiting.look(*now, U256::from(rate * now));
                waiting.is_over(patience, U256::from(gas))
            })
            .unwrap()
    }

    proptest! {
        #[test]
        fn while_tips_gather_evenly_no_other_moment_costs_less(rate in 1_u64..1_000, gas in 1_u64..10_000_000) {
            let step = 600;
            let chosen = chosen(rate, gas, patience(DAY), step);
            // Gas and waiting for each second of a cycle of this length; times a day, and 2^40 to compare closely.
            let cost = |length: u64| {
                let waited = u128::from(rate) * u128::from(length) * u128::from(length) / 2;
                ((u128::from(gas) * u128::from(DAY) + waited) << 40) / u128::from(length)
            };
            let best = (1..=chosen / step + 1_000).map(|look| cost(look * step)).min().unwrap();
            // The best of all moments may lie between two looks: then it is the one before the chosen.
            prop_assert!(cost(chosen) == best || cost(chosen - step) == best, "{chosen}");
        }

        #[test]
        fn however_tips_gather_hindsight_costs_at_least_half(
            arrivals in prop::collection::vec((0_u64..4, 0_u64..2_000), 1..12), gas in 1_u64..4_000,
        ) {
            // Each step brings some tips at its beginning, mostly none.
            let tips: Vec<u64> = arrivals.iter().map(|(often, tip)| if *often == 0 { *tip } else { 0 }).collect();
            let patience_secs = 4;
            // What it costs to harvest after these steps, with what is left waiting harvested in the end. Waiting is
            // counted in wei × seconds, one a step, gas likewise.
            let gas_cost = gas * patience_secs;
            let total = |harvests: &dyn Fn(usize) -> bool| {
                let (mut waiting, mut cost) = (0, 0);
                for (step, tip) in tips.iter().enumerate() {
                    waiting += tip;
                    cost += waiting;
                    if waiting != 0 && (harvests(step) || step + 1 == tips.len()) {
                        cost += gas_cost;
                        waiting = 0;
                    }
                }
                cost
            };
            let best = (0..1_usize << tips.len()).map(|set| total(&|step| set >> step & 1 == 1)).min().unwrap();

            let mut ours = Vec::new();
            let (mut there, mut state) = (0, Waiting::new(0, U256::ZERO));
            let mut overshoot = 0;
            for (step, tip) in (0_u64..).zip(&tips) {
                // Tips come at once, and then wait for a step.
                there += tip;
                state.look(step, U256::from(there));
                state.look(step + 1, U256::from(there));
                let over = state.is_over(patience(patience_secs), U256::from(gas));
                ours.push(over);
                if over {
                    overshoot += there;
                    there = 0;
                    state.look(step + 1, U256::ZERO);
                }
            }
            let cost = total(&|step| ours[step]);
            prop_assert!(cost <= 2 * best + overshoot + gas_cost, "{cost} {best} {ours:?} {tips:?}");
        }
    }

    #[test]
    fn the_longest_wait_ends_whatever_waiting_costs() {
        let longest = Patience { patience_secs: DAY, longest_wait_secs: 7 * DAY };
        assert_eq!(chosen(1, u64::MAX / DAY, longest, HOUR), 7 * DAY);
    }

    #[test]
    fn what_others_took_does_not_count_as_waiting_any_more() {
        let mut waiting = Waiting::new(0, U256::from(100));
        waiting.look(DAY, U256::from(100));
        assert!(waiting.is_over(patience(DAY), U256::from(100)));
        waiting.look(DAY, U256::from(50));
        assert!(!waiting.is_over(patience(DAY), U256::from(51)) && waiting.is_over(patience(DAY), U256::from(50)));
        waiting.look(DAY, U256::ZERO);
        assert!(!waiting.is_over(patience(DAY), U256::from(1)));
    }
}
