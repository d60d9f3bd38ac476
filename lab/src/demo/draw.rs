//! The borrowers and the day's prices, from a seed.

use plimsoll_testkit::{borrowers::NewLoan, random::Random};

/// Dollars of a feed's 8 decimals.
pub(super) const DOLLAR_E8: u128 = 100_000_000;
/// What an ether costs before the day.
pub(super) const PRICE_BEFORE: u128 = 2_000 * DOLLAR_E8;
/// What it has come down to, step by step, when the gap comes …
const PRICE_BEFORE_GAP: u128 = 1_620 * DOLLAR_E8;
/// … by which nobody is warned: loans that were only just safe cannot pay any more.
const PRICE_AFTER_GAP: u128 = 1_350 * DOLLAR_E8;
/// What it costs in the evening.
const PRICE_AFTER: u128 = 1_300 * DOLLAR_E8;
/// When the gap comes, in hundredths of the day.
const GAP_AT_PERCENT: u64 = 60;
/// How far a price is off its line at most.
const NOISE_BPS: u64 = 120;

/// In thousandths of an ether: small loans are many, large ones few.
const LEAST_COLLATERAL: u128 = 2_000;
const MOST_COLLATERAL: u128 = 20_000;
const MILLIETHER: u128 = 1_000_000_000_000_000;
/// Millionths of a dollar that a thousandth of an ether is worth before the day.
const MILLIETHER_WORTH: u128 = 2_000_000;
/// The liquidation LTV of the market.
const LIQUIDATION_LTV_BPS: u128 = 8_600;
/// The least health that the borrow LTV of 80 % lets anybody begin with is 1.075; most keep near the least.
const LEAST_HEALTH_BPS: u128 = 10_800;
const MOST_HEALTH_BPS: u128 = 22_800;
const PARTS: u128 = Random::PARTS;
const BPS: u128 = 10_000;

/// So many loans.
pub(super) fn loans(random: &mut Random, count: u64) -> Vec<NewLoan> {
    (0..count).map(|_| loan(random)).collect()
}

fn loan(random: &mut Random) -> NewLoan {
    let (size, caution) = (random.part(), random.part());
    let milliether = LEAST_COLLATERAL + (MOST_COLLATERAL - LEAST_COLLATERAL) * size.pow(3) / PARTS.pow(3);
    let health_bps = LEAST_HEALTH_BPS + (MOST_HEALTH_BPS - LEAST_HEALTH_BPS) * caution.pow(2) / PARTS.pow(2);
    let debt = milliether * MILLIETHER_WORTH * LIQUIDATION_LTV_BPS / health_bps;
    NewLoan { collateral: milliether * MILLIETHER, debt }
}

/// The day's prices in dollars of 8 decimals, the last of them without noise.
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

/// So far along a line from a higher price to a lower one.
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
