//! The parameters of a replay: the market, its borrowers and its surroundings.

use alloy::primitives::U256;
use plimsoll_keeper::{
    amount::Amount,
    math::wide::{product, to_u128},
};
use serde::{Serialize, Serializer};

use super::{feed::Feed, prices::PRICE_DECIMALS};
use plimsoll_testkit::{borrowers::NewLoan, random::Random};

/// A dollar in units of the loan token.
pub const DOLLAR: u128 = 1_000_000;
/// Supply of the market, in percent of what is borrowed.
pub const LENT_PERCENT: u128 = 150;
/// Units of collateral that are worth one unit of the loan token at a price of 1 unit: 18 decimals against 6, and the
/// price's 8.
pub const UNITS_PER_UNIT: u128 = 10_u128.pow(18 - 6 + 8);
/// Smallest distance of an initial health from that of the borrow LTV.
const MIN_MARGIN_BPS: u128 = 50;
/// Largest additional distance of an initial health.
const MAX_MARGIN_BPS: u128 = 12_000;
/// The size of a loan is 1 ÷ (a random number between 0 and 1, plus this part): the largest is about a hundred times
/// the smallest.
const TAIL: u128 = Random::PARTS / 100;
const BPS: u128 = 10_000;

/// The parameters of one replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayParams {
    /// Borrow LTV of the market.
    pub borrow_ltv_bps: u16,
    /// Liquidation LTV of the market.
    pub liquidation_ltv_bps: u16,
    /// Depth of the exchange: proceeds of sales that lower its price by 2 %, in units of the loan token.
    #[serde(serialize_with = "as_dollars")]
    pub depth: u128,
    /// The exchange's fee, in millionths.
    pub swap_fee_ppm: u32,
    /// Gas price, in wei.
    #[serde(serialize_with = "as_gwei")]
    pub gas_price: u128,
    /// Price of an ether, in which gas is paid; none where the collateral is ether.
    #[serde(serialize_with = "as_price")]
    pub ether_price: Option<u128>,
    /// The thresholds of the price feed.
    pub feed: Feed,
    /// Number of borrowers.
    pub positions: u64,
    /// Total debt, in units of the loan token.
    #[serde(serialize_with = "as_dollars")]
    pub debt: u128,
    /// Minimum debt of the market, in units of the loan token.
    #[serde(serialize_with = "as_dollars")]
    pub min_debt: u128,
    /// Seed of the random borrowers.
    pub seed: u64,
}

/// A random borrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Borrower {
    /// Size of the loan, relative to the others.
    size: u128,
    /// Initial health factor, in basis points.
    health_bps: u128,
}

impl ReplayParams {
    /// Returns random loans at the initial price. Sizes have a heavy tail: a few loans hold much of the debt. Most are
    /// as close to liquidation as the borrow LTV allows, few are far from it.
    #[must_use]
    pub fn loans(&self, price: u128) -> Vec<NewLoan> {
        let drawn = self.borrowers();
        let all: u128 = drawn.iter().map(|borrower| borrower.size).sum();
        let loan = |borrower: &Borrower| {
            self.loan(borrower, (self.debt / all.max(1) * borrower.size).max(self.min_debt), price)
        };
        drawn.iter().map(loan).collect()
    }

    /// Returns the random borrowers.
    #[must_use]
    pub fn borrowers(&self) -> Vec<Borrower> {
        let mut random = Random::from_seed(self.seed);
        let least = u128::from(self.liquidation_ltv_bps) * BPS / u128::from(self.borrow_ltv_bps) + MIN_MARGIN_BPS;
        let draw = |_| {
            let size = Random::PARTS * BPS / (random.part() + TAIL);
            let caution = random.part();
            Borrower { size, health_bps: least + MAX_MARGIN_BPS * caution.pow(2) / Random::PARTS.pow(2) }
        };
        (0..self.positions).map(draw).collect()
    }

    /// Returns the loan of a borrower who owes this much when the collateral has a price.
    #[must_use]
    pub fn loan(&self, borrower: &Borrower, debt: u128, price: u128) -> NewLoan {
        let worth = debt * borrower.health_bps / u128::from(self.liquidation_ltv_bps);
        let collateral = to_u128(product(worth + 1, UNITS_PER_UNIT) / U256::from(price.max(1)));
        NewLoan { collateral, debt }
    }

    /// Returns the price of an ether when the collateral has a price.
    #[must_use]
    pub fn ether(&self, price: u128) -> u128 {
        self.ether_price.unwrap_or(price)
    }
}

/// Returns units of the loan token as an amount for people.
#[must_use]
pub fn dollars(units: u128) -> Amount {
    Amount::new(units, 6, "USDC")
}

/// Returns a gas price as an amount for people.
#[must_use]
pub fn gwei(wei: u128) -> Amount {
    Amount::new(wei, 9, "gwei")
}

/// Returns a feed's price as an amount for people.
#[must_use]
pub fn price(price: u128) -> Amount {
    Amount::new(price, PRICE_DECIMALS, "USD")
}

/// Returns the value of collateral at a price, in units of the loan token, rounded down.
#[must_use]
pub fn worth(collateral: u128, price: u128) -> u128 {
    let (whole, rest) = (collateral / UNITS_PER_UNIT, collateral % UNITS_PER_UNIT);
    whole * price + rest * price / UNITS_PER_UNIT
}

fn as_dollars<S: Serializer>(units: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    dollars(*units).serialize(serializer)
}

fn as_gwei<S: Serializer>(wei: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    gwei(*wei).serialize(serializer)
}

fn as_price<S: Serializer>(of_ether: &Option<u128>, serializer: S) -> Result<S::Ok, S::Error> {
    of_ether.map(price).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_random_loan_can_be_opened_and_the_same_seed_gives_the_same_loans() {
        let feed = Feed { heartbeat_secs: 3_600, deviation_bps: 50 };
        for (seed, borrow_ltv_bps, liquidation_ltv_bps, price) in
            [(1, 8_000, 8_600, 20_000_000_000), (2, 9_300, 9_450, 100_012_345), (3, 100, 9_800, 10_000)]
        {
            let params = ReplayParams {
                borrow_ltv_bps,
                liquidation_ltv_bps,
                depth: DOLLAR,
                swap_fee_ppm: 3_000,
                gas_price: 1,
                ether_price: None,
                feed,
                positions: 500,
                debt: 20_000_000 * DOLLAR,
                min_debt: 100 * DOLLAR,
                seed,
            };
            let loans = params.loans(price);
            assert_eq!(loans, params.loans(price));
            assert_ne!(loans, ReplayParams { seed: seed + 1, ..params.clone() }.loans(price));
            let owed: u128 = loans.iter().map(|loan| loan.debt).sum();
            assert!(owed.abs_diff(params.debt) < params.debt / 100, "{owed}");
            for loan in loans {
                let most = worth(loan.collateral, price) * u128::from(borrow_ltv_bps) / BPS;
                assert!(loan.debt <= most, "{loan:?} {most}");
            }
        }
    }
}
