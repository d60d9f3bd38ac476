//! Bids against rivals of eight kinds, and that no bid exceeds its cap.

use alloy::primitives::B256;
use proptest::prelude::*;

use super::*;

const CAP: u32 = 500_000;
/// A reverted transaction costs 2 % of the profit.
const REVERT_COST: RevertCost = RevertCost { gas: 20_000, of_bid: 0 };
const RACES: u64 = 4_000;

/// Pseudo-random numbers of a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Nearly normal around a mean, with this standard deviation: the sum of twelve uniform numbers.
    fn normal(&mut self, mean: u32, deviation: u32) -> u32 {
        let sum: u64 = (0..12).map(|_| self.below(u64::from(deviation))).sum();
        let shifted = i64::from(mean) + i64::try_from(sum).unwrap() - 6 * i64::from(deviation);
        u32::try_from(shifted.abs()).unwrap()
    }
}

fn scope() -> Scope {
    Scope::new("liquidate", B256::repeat_byte(1))
}

/// Runs races against a rival, whose bid follows from ours and the number of the race. Returns the part that we keep of
/// what is kept by somebody who knows every rival's bid, in percent, and the last bid.
fn run(seed: u64, mut rival: impl FnMut(&mut Random, u32, u64, bool) -> Option<u32>) -> (i128, u32) {
    let mut random = Random(seed);
    let mut bids = Bids::new(CAP, Ordering::Priority, RaceRecord::default());
    let (mut kept, mut best, mut last, mut was_beaten) = (0_i128, 0_i128, 0, false);
    for race in 0..RACES {
        // From one to three hundred, most of them small.
        let profit = 1_i128 << random.below(9);
        let Bid::Share(share) = bids.bid(&scope(), REVERT_COST) else {
            bids.pass_over(&scope());
            continue;
        };
        last = share;
        let theirs = rival(&mut random, share, race, was_beaten);
        if theirs.is_none_or(|theirs| theirs < CAP) {
            best += profit * i128::from(WHOLE - theirs.unwrap_or(0));
        }
        was_beaten = theirs.is_some_and(|theirs| theirs < share);
        match theirs {
            Some(theirs) if theirs >= share => {
                kept -= profit * i128::from(REVERT_COST.gas);
                let lost = RaceResult::Lost { theirs: u128::from(theirs) + 1, ours: share.into(), price: theirs };
                bids.record_result(&scope(), lost);
            }
            _ => {
                kept += profit * i128::from(WHOLE - share);
                bids.record_result(&scope(), RaceResult::Won(share));
            }
        }
    }
    (kept * 100 / best.max(1), last)
}

/// The mean of several runs.
fn mean(rival: impl Fn(&mut Random, u32, u64, bool) -> Option<u32> + Copy) -> i128 {
    (1..=5).map(|seed| run(seed, rival).0).sum::<i128>() / 5
}

#[test]
fn where_nobody_competes_nothing_is_bid_and_everything_kept() {
    assert_eq!(run(1, |_, _, _, _| None), (100, 0));
}

#[test]
fn a_rival_that_always_bids_the_same_is_just_outbid() {
    let (kept, last) = run(1, |_, _, _, _| Some(300_000));
    assert!(kept >= 90, "{kept}");
    assert!((300_000..=320_000).contains(&last), "{last}");
}

#[test]
fn a_rival_in_three_of_ten_races() {
    let kept = mean(|random, _, _, _| random.happens(30).then_some(300_000));
    assert!(kept >= 69, "{kept}");
}

#[test]
fn a_noisy_rival() {
    let kept = mean(|random, _, _, _| Some(random.normal(200_000, 100_000).min(900_000)));
    assert!(kept >= 73, "{kept}");
}

#[test]
fn baits_above_the_profit_are_not_followed() {
    let kept = mean(|random, _, _, _| random.happens(20).then_some(2_000_000));
    assert!(kept >= 97, "{kept}");
}

#[test]
fn baits_just_below_the_cap_are_not_followed() {
    let kept = mean(|random, _, _, _| random.happens(10).then_some(490_000));
    assert!(kept >= 91, "{kept}");
}

#[test]
fn a_rival_that_leaves_is_forgotten() {
    let (kept, last) = run(1, |_, _, race, _| (race < 1_000).then_some(350_000));
    assert!(kept >= 92, "{kept}");
    assert_eq!(last, 0);
}

#[test]
fn a_rival_that_outbids_beyond_our_cap_is_left_what_it_pays_too_much_for() {
    for seed in 1..=5 {
        let mut price = 300_000_u32;
        let (kept, _) = run(seed, move |_, ours, _, was_beaten| {
            price = if was_beaten { (ours * 11 / 10 + 5_000).min(600_000) } else { price - price * 3 / 100 };
            Some(price)
        });
        assert!(kept >= 38, "{kept}");
    }
}

#[test]
fn a_copier_is_reported_and_costs_no_more_than_the_reverts() {
    let (kept, _) = run(1, |_, ours, _, _| Some(ours + ours / 1_000 + 1));
    assert!(kept >= -4, "{kept}");
    let mut bids = Bids::new(CAP, Ordering::Priority, RaceRecord::default());
    let narrow = RaceResult::Lost { theirs: 1_001, ours: 1_000, price: 100 };
    let alerts: Vec<_> = (0..3).map(|_| bids.record_result(&scope(), narrow)).collect();
    assert_eq!(alerts, [None, None, Some(RaceAlert::Copied)]);
}

#[test]
fn losing_to_lower_offers_is_reported_once_it_is_the_rule() {
    let mut bids = Bids::new(CAP, Ordering::Priority, RaceRecord::default());
    let lost = RaceResult::Lost { theirs: 5, ours: 1_000, price: 100 };
    let alerts: Vec<_> = (0..17).map(|_| bids.record_result(&scope(), lost)).collect();
    assert_eq!(alerts.iter().position(Option::is_some), Some(16));
    assert_eq!(alerts[16], Some(RaceAlert::OrderFlow));
}

#[test]
fn a_race_that_cannot_be_won_with_a_profit_is_passed_over_until_it_is_forgotten() {
    let mut bids = Bids::new(CAP, Ordering::Priority, RaceRecord::default());
    for _ in 0..MEMORY {
        bids.record_result(&scope(), RaceResult::Lost { theirs: 1_000_000, ours: 0, price: WHOLE });
    }
    assert_eq!(bids.bid(&scope(), RevertCost { gas: 50_000, of_bid: 0 }), Bid::Outbid);
    for _ in 0..MEMORY {
        bids.pass_over(&scope());
    }
    assert_eq!(bids.bid(&scope(), RevertCost { gas: 50_000, of_bid: 0 }), Bid::Share(0));
}

#[test]
fn a_high_bid_that_would_be_lost_as_often_is_not_made_where_reverts_pay_it() {
    let mut bids = Bids::new(CAP, Ordering::Priority, RaceRecord::default());
    // Every other race goes beyond the cap; the others take 45 %.
    for race in 0..MEMORY {
        let price = if race % 2 == 0 { WHOLE } else { 450_000 };
        bids.record_result(&scope(), RaceResult::Lost { theirs: 1_000_000, ours: 0, price });
    }
    let behind_a_relay = bids.bid(&scope(), RevertCost::default());
    assert!(matches!(behind_a_relay, Bid::Share(450_000..=480_000)), "{behind_a_relay:?}");
    // In public the lost half would cost more than the won half earns.
    assert_eq!(bids.bid(&scope(), RevertCost { gas: 100_000, of_bid: WHOLE }), Bid::Outbid);
    assert_eq!(bids.bid(&scope(), RevertCost { gas: 100_000, of_bid: 0 }), behind_a_relay);
}

#[test]
fn a_market_with_few_races_learns_from_the_strategys_others() {
    let mut bids = Bids::new(CAP, Ordering::Priority, RaceRecord::default());
    for _ in 0..MEMORY {
        bids.record_result(&scope(), RaceResult::Lost { theirs: 10, ours: 0, price: 300_000 });
    }
    let other = Scope::new("liquidate", B256::repeat_byte(2));
    assert_eq!(bids.bid(&other, REVERT_COST), bids.bid(&scope(), REVERT_COST));
    assert_eq!(bids.bid(&Scope::new("harvest", B256::ZERO), REVERT_COST), Bid::Share(0));
}

#[test]
fn where_blocks_are_ordered_by_arrival_nothing_is_bid() {
    let mut bids = Bids::new(CAP, Ordering::Arrival, RaceRecord::default());
    bids.record_result(&scope(), RaceResult::Lost { theirs: 10, ours: 0, price: 300_000 });
    assert_eq!(bids.bid(&scope(), RevertCost::default()), Bid::Share(0));
}

#[test]
fn what_was_learnt_survives_a_restart() {
    let mut bids = Bids::new(CAP, Ordering::Priority, RaceRecord::default());
    for price in [100_000, 300_000, WHOLE] {
        bids.record_result(&scope(), RaceResult::Lost { theirs: 10, ours: 0, price });
    }
    let written = serde_json::to_string(&bids.record()).unwrap();
    let again = Bids::new(CAP, Ordering::Priority, serde_json::from_str(&written).unwrap());
    assert_eq!(again.record(), bids.record());
}

proptest! {
    #[test]
    fn no_bid_exceeds_the_cap(prices in prop::collection::vec(0..=WHOLE, 0..100), cap in 0..=WHOLE, cost in 0..2 * WHOLE) {
        let mut bids = Bids::new(cap, Ordering::Priority, RaceRecord::default());
        for (at, price) in prices.into_iter().enumerate() {
            let lost = RaceResult::Lost { theirs: u128::from(price) + 1, ours: 0, price };
            bids.record_result(&scope(), if at % 3 == 0 { RaceResult::Won(price.min(cap)) } else { lost });
            if let Bid::Share(share) = bids.bid(&scope(), RevertCost { gas: cost, of_bid: WHOLE / 4 }) {
                prop_assert!(share <= cap);
            }
        }
    }

    #[test]
    fn a_priority_fee_is_no_more_than_its_share_of_the_profit(share in 0..=WHOLE, gas in 1..100_000_000_u64, net: u128) {
        let fee = priority_fee(share, gas, U256::from(net));
        prop_assert!(U256::from(fee) * U256::from(gas) * U256::from(WHOLE) <= U256::from(net) * U256::from(share));
        prop_assert!(share_of(fee, gas, U256::from(net)) <= share || net == 0);
    }
}
