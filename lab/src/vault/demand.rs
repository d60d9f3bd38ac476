//! What borrowers want: drawn once from a seed, and the same for every way of spreading a vault's assets.
//!
//! Borrowers of a market want a base amount, times a factor that wanders around 1, times a power of what they pay at most
//! divided by what the market costs: its elasticity. Those of one market pay more than those of another, and that is what there is to earn.

use plimsoll_contracts::market::SECONDS_PER_YEAR;
use plimsoll_testkit::random::Random;

/// A market: what others supply and what is wanted, in whole tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// What other lenders supply.
    pub others: u64,
    /// What borrowers want at the rate that they are ready to pay, while the factor is 1.
    pub wanted: u64,
    /// The borrow rate that they are ready to pay, a year.
    pub rate: f64,
}

/// From a large one with cheap loans to a small one with dear ones.
pub(super) const MARKETS: [Terms; 4] = [
    Terms { others: 20_000_000, wanted: 22_000_000, rate: 0.035 },
    Terms { others: 10_000_000, wanted: 13_000_000, rate: 0.05 },
    Terms { others: 5_000_000, wanted: 8_000_000, rate: 0.07 },
    Terms { others: 2_500_000, wanted: 5_000_000, rate: 0.10 },
];
/// Part of the way back to 1 that a factor goes in an hour: most of it in five days.
const RETURN: f64 = 1.0 / 120.0;
/// Standard deviation of a factor's hourly change; with the way back, that of the factor is 0.31.
const DEVIATION: f64 = 0.04;
/// Part of what they want besides that borrowers borrow or repay within an hour.
const HASTE: f64 = 1.0 / 12.0;
/// The largest factor by which a rate changes what is wanted, and the inverse of the smallest.
const MAX_RESPONSE: f64 = 3.0;

/// The factors of each hour, as logarithms.
#[derive(Debug)]
pub(super) struct Demand {
    hours: Vec<[f64; MARKETS.len()]>,
    elasticity: f64,
}

impl Demand {
    /// Draws the demand of so many hours, which responds to rates with an elasticity.
    pub(super) fn drawn(seed: u64, hours: u64, elasticity: f64) -> Self {
        let mut random = Random::from_seed(seed);
        let mut factors = [0.0; MARKETS.len()];
        let mut next = || {
            for factor in &mut factors {
                *factor += normal(&mut random) * DEVIATION - *factor * RETURN;
            }
            factors
        };
        Self { hours: (0..hours).map(|_| next()).collect(), elasticity }
    }

    /// Returns the debt of a market at the end of an hour, in units: what it was, moved towards what is wanted at this
    /// borrow rate per second.
    pub(super) fn debt(&self, hour: usize, market: usize, debt: u128, rate_per_second: u64) -> u128 {
        let (Some(terms), Some(factors)) = (MARKETS.get(market), self.hours.get(hour)) else { return debt };
        let rate = float(rate_per_second.into()) / 1e18 * float(SECONDS_PER_YEAR.into());
        let response = (terms.rate / rate).powf(self.elasticity).clamp(1.0 / MAX_RESPONSE, MAX_RESPONSE);
        let factor = factors.get(market).copied().unwrap_or_default().exp();
        let wanted = float(super::units(terms.wanted)) * factor * response;
        let debt = float(debt);
        nearest(debt + (wanted - debt) * HASTE)
    }
}

/// Returns a number of the standard normal distribution, nearly: the sum of twelve uniform ones.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| float(random.part()) / float(Random::PARTS)).sum::<f64>() - 6.0
}

#[allow(clippy::cast_precision_loss, reason = "15 digits are enough for a demand that is drawn")]
pub(super) const fn float(number: u128) -> f64 {
    number as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "debts are positive and small")]
fn nearest(units: f64) -> u128 {
    units.round() as u128
}
