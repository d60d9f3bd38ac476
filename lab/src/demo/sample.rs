//! Random borrowers and prices of the day, from a seed.

use super::guarded;
use plimsoll_testkit::{borrowers::NewLoan, random::Random};

/// A dollar in units of a feed of 8 decimals.
pub(super) const DOLLAR_E8: u128 = 100_000_000;
/// Price of an ether before the day.
pub(super) const PRICE_BEFORE: u128 = 2_000 * DOLLAR_E8;
/// Price to which it falls gradually until the gap.
const PRICE_BEFORE_GAP: u128 = 1_620 * DOLLAR_E8;
/// Price after the gap: a fall in one step, after which some loans are insolvent.
const PRICE_AFTER_GAP: u128 = 1_350 * DOLLAR_E8;
/// Price at the end of the day.
pub(super) const PRICE_AFTER: u128 = 1_300 * DOLLAR_E8;
/// Time of the gap, in percent of the day.
const GAP_AT_PERCENT: u64 = 60;
/// The most that a price deviates from its line.
const NOISE_BPS: u64 = 120;

/// Smallest collateral, in thousandths of an ether. Small loans are frequent, large ones rare.
const MIN_COLLATERAL: u128 = 2_000;
/// Largest collateral, in thousandths of an ether.
const MAX_COLLATERAL: u128 = 20_000;
const MILLIETHER: u128 = 1_000_000_000_000_000;
/// Value of a thousandth of an ether before the day, in millionths of a dollar.
const MILLIETHER_WORTH: u128 = 2_000_000;
/// The liquidation LTV of the market.
const LIQUIDATION_LTV_BPS: u128 = 8_600;
/// Lowest initial health. The borrow LTV of 80 % allows 1.075; most loans are near the lowest.
const MIN_HEALTH_BPS: u128 = 10_800;
/// Highest initial health.
const MAX_HEALTH_BPS: u128 = 22_800;
const PARTS: u128 = Random::PARTS;
const BPS: u128 = 10_000;

/// Returns random loans. Those of twins are equal.
pub(super) fn loans(random: &mut Random, count: u64) -> Vec<NewLoan> {
    let mut loans = Vec::<NewLoan>::new();
    for number in 0..count {
        let loan = match loans.last() {
            Some(twin) if guarded::is_twin(number) => *twin,
            _ => loan(random),
        };
        loans.push(loan);
    }
    loans
}

fn loan(random: &mut Random) -> NewLoan {
    let (size, caution) = (random.part(), random.part());
    let milliether = MIN_COLLATERAL + (MAX_COLLATERAL - MIN_COLLATERAL) * size.pow(3) / PARTS.pow(3);
    let health_bps = MIN_HEALTH_BPS + (MAX_HEALTH_BPS - MIN_HEALTH_BPS) * caution.pow(2) / PARTS.pow(2);
    let debt = milliether * MILLIETHER_WORTH * LIQUIDATION_LTV_BPS / health_bps;
    NewLoan { collateral: milliether * MILLIETHER, debt }
}

/// Returns the prices of the day, in dollars of 8 decimals. The last one has no noise.
pub(super) fn prices(random: &mut Random, steps: u64) -> Vec<u128> {
    let gap = (steps * GAP_AT_PERCENT / 100).max(1);
    let line = |step| {
        if step < gap {
            between(PRICE_BEFORE, PRICE_BEFORE_GAP, step, gap)
        } else {
            between(PRICE_AFTER_GAP, PRICE_AFTER, step - gap, steps - gap)
        }
    };
    let noisy = |step| {
        let factor = BPS + u128::from(random.below(2 * NOISE_BPS + 1)) - u128::from(NOISE_BPS);
        if step == steps { PRICE_AFTER } else { line(step) * factor / BPS }
    };
    (1..=steps).map(noisy).collect()
}

/// Returns the price at a step of a straight line from a higher price to a lower one.
fn between(from: u128, to: u128, step: u64, steps: u64) -> u128 {
    from - (from - to) * u128::from(step) / u128::from(steps.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_day() {
        let day = |seed| {
            let mut random = Random::from_seed(seed);
            (loans(&mut random, 50), prices(&mut random, 48))
        };
        assert_eq!(day(7), day(7));
        assert_ne!(day(7), day(8));
    }

    #[test]
    fn every_loan_can_be_opened_and_every_day_ends_at_the_same_price() {
        for seed in 0..20 {
            let mut random = Random::from_seed(seed);
            for loan in loans(&mut random, 100) {
                let worth = loan.collateral / MILLIETHER * MILLIETHER_WORTH;
                assert!(loan.debt * 100 <= worth * 80, "{loan:?}");
                assert!(loan.debt >= 100_000_000, "{loan:?}");
            }
            for steps in 1..50 {
                let prices = prices(&mut random, steps);
                assert_eq!(prices.last(), Some(&PRICE_AFTER));
                assert!(prices.iter().all(|price| (1_250 * DOLLAR_E8..2_050 * DOLLAR_E8).contains(price)));
            }
        }
    }
}
