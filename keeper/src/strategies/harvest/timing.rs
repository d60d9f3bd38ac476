//! When to harvest: the cost of waiting against the cost of gas.
//!
//! A tip that waits may go to a rival at any time. Letting it wait for `patience` is counted as costing as much as the tip
//! itself: the cost of waiting is tips × time ÷ patience. Harvesting costs gas, however much has accrued.
//!
//! **The rule**: harvest when waiting has cost as much as the gas of a harvest; later if a harvest is not profitable yet;
//! and once the longest wait is over, as soon as it is profitable.
//!
//! - While tips accrue evenly and gas keeps its price, this is the optimal time: earlier, gas costs more per second than
//!   is saved; later, waiting costs more.
//! - However tips accrue, both costs together are at most twice those of the optimal times chosen with hindsight, give or
//!   take the cost of waiting from one run to the next: up to each harvest waiting has cost as much as gas, and the optimal
//!   choice has paid one or the other in that time. In the field's words, the rule is 2-competitive, like the
//!   deterministic solution of the ski rental problem.

use alloy::primitives::U256;

use crate::math::wide::mul_div_down;

/// How long tips may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HarvestTiming {
    /// Seconds of waiting that are counted as costing as much as the tip itself.
    pub patience_secs: u64,
    /// Longest wait in seconds, after which a profitable harvest is due whatever waiting has cost.
    pub max_wait_secs: u64,
}

/// The cost so far of letting the tips of a stream wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingCost {
    /// Time of the first tips since the last harvest, in seconds.
    since: u64,
    /// Time of the last update, in seconds.
    updated_at: u64,
    /// Tips that waited at the last update, in wei.
    tips_wei: U256,
    /// Integral of the waiting tips over time, in wei × seconds.
    waited: U256,
}

impl WaitingCost {
    /// Returns the waiting cost of tips that are there for the first time: 0.
    #[must_use]
    pub const fn new(now: u64, tips_wei: U256) -> Self {
        Self { since: now, updated_at: now, tips_wei, waited: U256::ZERO }
    }

    /// Adds the cost of waiting since the last update, as if tips had accrued evenly since then. Where they have become
    /// less, a part was harvested, by this keeper or by others, and that part's share of the cost is dropped.
    pub fn update(&mut self, now: u64, tips_wei: U256) {
        if tips_wei < self.tips_wei {
            self.waited = mul_div_down(self.waited, tips_wei, self.tips_wei);
            if tips_wei.is_zero() {
                self.since = now;
            }
            self.tips_wei = tips_wei;
        }
        let seconds = U256::from(now.saturating_sub(self.updated_at));
        let average: U256 = self.tips_wei.saturating_add(tips_wei) >> 1;
        self.waited = self.waited.saturating_add(average.saturating_mul(seconds));
        (self.updated_at, self.tips_wei) = (now, tips_wei);
    }

    /// Returns whether a harvest that costs `gas_wei` and is profitable is due by the rule.
    #[must_use]
    pub fn is_due(&self, timing: HarvestTiming, gas_wei: U256) -> bool {
        let allowed = gas_wei.saturating_mul(U256::from(timing.patience_secs));
        self.waited >= allowed || self.updated_at.saturating_sub(self.since) >= timing.max_wait_secs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    fn patience(patience_secs: u64) -> HarvestTiming {
        HarvestTiming { patience_secs, max_wait_secs: u64::MAX }
    }

    /// Returns the time at which a harvest is due, updated every `step` seconds, while tips accrue at `rate` wei a second.
    fn due_at(rate: u64, gas: u64, timing: HarvestTiming, step: u64) -> u64 {
        let mut waiting = WaitingCost::new(0, U256::ZERO);
        (1..)
            .map(|run| run * step)
            .find(|now| {
                waiting.update(*now, U256::from(rate * now));
                waiting.is_due(timing, U256::from(gas))
            })
            .unwrap()
    }

    proptest! {
        #[test]
        fn no_other_time_costs_less_while_tips_accrue_evenly(rate in 1_u64..1_000, gas in 1_u64..10_000_000) {
            let step = 600;
            let due_at = due_at(rate, gas, patience(DAY), step);
            // Gas and waiting for each second of a cycle of this length, times a day, and times 2^40 to compare closely.
            let cost = |length: u64| {
                let waited = u128::from(rate) * u128::from(length) * u128::from(length) / 2;
                ((u128::from(gas) * u128::from(DAY) + waited) << 40) / u128::from(length)
            };
            let best = (1..=due_at / step + 1_000).map(|run| cost(run * step)).min().unwrap();
            // The optimal time may lie between two runs: then the earlier one may cost less.
            prop_assert!(cost(due_at) == best || cost(due_at - step) == best, "{due_at}");
        }

        #[test]
        fn the_rule_costs_at_most_twice_as_much_as_hindsight(
            arrivals in prop::collection::vec((0_u64..4, 0_u64..2_000), 1..12), gas in 1_u64..4_000,
        ) {
            // Each step brings some tips at its beginning, mostly none.
            let tips: Vec<u64> = arrivals.iter().map(|(often, tip)| if *often == 0 { *tip } else { 0 }).collect();
            let patience_secs = 4;
            // Cost of harvesting after given steps, with a last harvest of the rest. Waiting is counted in wei × seconds,
            // one second a step, and gas likewise.
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
            let (mut tips_now, mut state) = (0, WaitingCost::new(0, U256::ZERO));
            let mut overshoot = 0;
            for (step, tip) in (0_u64..).zip(&tips) {
                // Tips arrive at once, and then wait for a step.
                tips_now += tip;
                state.update(step, U256::from(tips_now));
                state.update(step + 1, U256::from(tips_now));
                let is_due = state.is_due(patience(patience_secs), U256::from(gas));
                ours.push(is_due);
                if is_due {
                    overshoot += tips_now;
                    tips_now = 0;
                    state.update(step + 1, U256::ZERO);
                }
            }
            let cost = total(&|step| ours[step]);
            prop_assert!(cost <= 2 * best + overshoot + gas_cost, "{cost} {best} {ours:?} {tips:?}");
        }
    }

    #[test]
    fn a_harvest_is_due_after_the_longest_wait_whatever_waiting_costs() {
        let timing = HarvestTiming { patience_secs: DAY, max_wait_secs: 7 * DAY };
        assert_eq!(due_at(1, u64::MAX / DAY, timing, HOUR), 7 * DAY);
    }

    #[test]
    fn tips_that_rivals_harvested_no_longer_count_as_waiting() {
        let mut waiting = WaitingCost::new(0, U256::from(100));
        waiting.update(DAY, U256::from(100));
        assert!(waiting.is_due(patience(DAY), U256::from(100)));
        waiting.update(DAY, U256::from(50));
        assert!(!waiting.is_due(patience(DAY), U256::from(51)) && waiting.is_due(patience(DAY), U256::from(50)));
        waiting.update(DAY, U256::ZERO);
        assert!(!waiting.is_due(patience(DAY), U256::from(1)));
    }
}
