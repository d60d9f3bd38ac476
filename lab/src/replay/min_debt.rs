//! The minimum debt of a market: how small its loans may be, so that somebody is paid to liquidate each of them.
//!
//! What pays for the gas of a liquidation is the bonus, not the debt. A loan that owes a little more than the minimum
//! pays least: a part of it is repaid, about a third, whose bonus is about half of what the minimum debt itself, which
//! is repaid as a whole, would pay. So the loans that are tried owe from one to two minimum debts. Each is liquidated
//! by itself: in a market with few loans there is no other with which it shares the gas of a transaction.

use plimsoll_contracts::market::{BPS, MIN_DEBT_LOWER_BOUND};
use plimsoll_testkit::scenario::BLOCK_SECS;
use serde::{Serialize, Serializer};

use super::{
    feed::Answer,
    model::{Batch, BlockPrices, Liquidator},
    params::{Borrower, ReplayParams, UNITS_PER_UNIT, dollars},
    prices::Prices,
    rules::{Loan, Rule},
};

/// The time within which a liquidatable loan is to be liquidated.
pub const MAX_DELAY_SECS: u64 = 600;
/// The guard on chain charges gas before refunds: at most this part of what is paid comes on top.
const REFUNDS: u128 = 4;
/// Sizes of loans that are tried with a course of prices, from the minimum debt to below twice as much.
const SIZES: u128 = 16;
/// Sizes that are tried at one price.
const SIZES_AT_ONCE: u128 = 128;
/// Amounts of two digits for each power of ten.
const STEPS_PER_DIGIT: usize = 90;
/// Steps after which the search tries again. Loans that are much too large cannot be sold in time either.
const STRIDE: usize = 45;

/// The smallest minimum debts, in units of the loan token, rounded up to two digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SmallestMinDebt {
    /// The one with which no loan is liquidatable for [`MAX_DELAY_SECS`] under the replayed prices; none where even the
    /// largest loans are.
    #[serde(serialize_with = "as_dollars")]
    pub in_time: Option<u128>,
    /// The one with which every loan pays for its liquidation as soon as it is liquidatable, at the first price and the
    /// lowest bonus, whatever prices do afterwards; none where that bonus does not pay for selling the collateral.
    #[serde(serialize_with = "as_dollars")]
    pub at_once: Option<u128>,
}

/// A loan that is alone in its market.
struct LoneLoan {
    loan: Loan,
    /// The second since which it is liquidatable; none where it is healthy.
    since: Option<u64>,
    /// What was decided on the previous block.
    decided: Option<Batch>,
}

/// Finds the smallest minimum debts of a market by our rule, up to its whole debt. Its own minimum debt has no influence.
///
/// # Errors
/// When a parameter is outside of the model's range.
pub fn find(params: &ReplayParams, prices: &Prices) -> eyre::Result<SmallestMinDebt> {
    let (first, borrowers) = (prices.first(), params.borrowers());
    let gas_price = params.gas_price + params.gas_price.div_ceil(REFUNDS);
    let with = |min_debt| ReplayParams { min_debt, gas_price, ..params.clone() };
    let in_time = |min_debt| {
        let params = with(min_debt);
        let liquidator = Liquidator::new(&Rule::Plimsoll, &params, first)?;
        let debts = sizes(min_debt, SIZES).cycle();
        let loans = borrowers.iter().zip(debts).map(|(borrower, debt)| lone(&params, borrower, debt, first));
        Ok(are_liquidated_in_time(&liquidator, loans.collect(), &params, prices))
    };
    let at_once = |min_debt| {
        let params = with(min_debt);
        let liquidator = Liquidator::new(&Rule::Plimsoll, &params, first)?;
        Ok(sizes(min_debt, SIZES_AT_ONCE).all(|debt| pays_at_once(&liquidator, debt, first)))
    };
    Ok(SmallestMinDebt { in_time: smallest(params.debt, in_time)?, at_once: smallest(params.debt, at_once)? })
}

/// Returns the smallest amount of two digits that is sufficient; none where none up to `most` is.
fn smallest(most: u128, is_sufficient: impl Fn(u128) -> eyre::Result<bool>) -> eyre::Result<Option<u128>> {
    let mut low = 0;
    let mut high = 0;
    while !is_sufficient(amount(high))? {
        (low, high) = (high + 1, high + STRIDE);
        if amount(high) > most {
            return Ok(None);
        }
    }
    while low < high {
        let middle = low.midpoint(high);
        (low, high) = if is_sufficient(amount(middle))? { (low, middle) } else { (middle + 1, high) };
    }
    Ok(Some(amount(high)))
}

/// Returns the amount at a step of the search, in units: 10,000, 11,000, …, 99,000, 100,000, 110,000, …
fn amount(step: usize) -> u128 {
    let digits = MIN_DEBT_LOWER_BOUND / 10 * (10 + step % STEPS_PER_DIGIT) as u128;
    (0..step / STEPS_PER_DIGIT).fold(digits, |amount, _| amount * 10)
}

/// Returns debts from a minimum debt to below twice as much.
fn sizes(min_debt: u128, count: u128) -> impl Iterator<Item = u128> + Clone {
    (count..2 * count).map(move |part| min_debt * part / count)
}

fn lone(params: &ReplayParams, borrower: &Borrower, debt: u128, price: u128) -> LoneLoan {
    let new = params.loan(borrower, debt, price);
    LoneLoan { loan: Loan { debt: new.debt, collateral: new.collateral }, since: None, decided: None }
}

/// Returns whether none of the loans, each alone in its market, is liquidatable for [`MAX_DELAY_SECS`]. The order of a
/// block is that of the model, and there is one every 12 seconds.
fn are_liquidated_in_time(
    liquidator: &Liquidator<'_>,
    mut loans: Vec<LoneLoan>,
    params: &ReplayParams,
    prices: &Prices,
) -> bool {
    let mut answer = Answer { second: 0, price: prices.first() };
    let mut are_any_liquidatable = false;
    let mut second = 0;
    while second < prices.end() {
        second += BLOCK_SECS;
        let market_price = prices.at(second);
        let update = params.feed.answer(answer, second, market_price);
        answer = update.unwrap_or(answer);
        // Loans that are healthy remain so until the feed answers.
        if update.is_none() && !are_any_liquidatable {
            continue;
        }
        let at = BlockPrices { oracle: answer.price, market: market_price };
        let market = liquidator.market(at.oracle);
        are_any_liquidatable = false;
        for LoneLoan { loan, since, decided } in &mut loans {
            if since.is_some_and(|since| second - since >= MAX_DELAY_SECS) {
                return false;
            }
            if since.is_none() && update.is_none() {
                continue;
            }
            for (_, taken) in decided.take().iter().flat_map(|batch| &batch.taken) {
                loan.debt -= taken.repaid + taken.bad_debt;
                loan.collateral -= taken.seized;
            }
            if loan.debt > 0 && market.is_liquidatable(*loan) {
                since.get_or_insert(second);
                *decided = liquidator.decide(&[*loan], &[0], at);
                are_any_liquidatable = true;
            } else {
                *since = None;
            }
        }
    }
    true
}

/// Returns whether a loan that is barely liquidatable pays for its liquidation.
fn pays_at_once(liquidator: &Liquidator<'_>, debt: u128, price: u128) -> bool {
    let market = liquidator.market(price);
    let highest_worth = (debt * u128::from(BPS)).div_ceil(u128::from(market.ltv_bps)) - 1;
    let loan = Loan { debt, collateral: highest_worth * UNITS_PER_UNIT / price };
    liquidator.decide(&[loan], &[0], BlockPrices { oracle: price, market: price }).is_some()
}

fn as_dollars<S: Serializer>(units: &Option<u128>, serializer: S) -> Result<S::Ok, S::Error> {
    units.map(dollars).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use plimsoll_contracts::Risk;
    use plimsoll_keeper::math::{liquidation::LiquidationIncentive, wide::WAD};

    use super::*;
    use crate::replay::{feed::Feed, model, params::DOLLAR, rules::Market};

    const GAP: &str = include_str!("../../../examples/prices/gap-12.csv");

    fn params() -> ReplayParams {
        ReplayParams {
            borrow_ltv_bps: 8_000,
            liquidation_ltv_bps: 8_600,
            depth: 10_000_000 * DOLLAR,
            swap_fee_ppm: 3_000,
            gas_price: 20_000_000_000,
            ether_price: None,
            feed: Feed { heartbeat_secs: 3_600, deviation_bps: 50 },
            positions: 40,
            debt: 20_000_000 * DOLLAR,
            min_debt: DOLLAR,
            seed: 1,
        }
    }

    /// Returns prices that fall until the health factor of the only borrower is this part of 1, and stay there.
    fn prices_down_to(health_bps: u128) -> String {
        let alone = alone();
        let borrower = alone.borrowers()[0];
        let first = 2_000 * 100_000_000;
        let healthy = |price: &u128| {
            let Loan { debt, collateral } = lone(&alone, &borrower, 1_000_000 * DOLLAR, first).loan;
            let market = Market { ltv_bps: alone.liquidation_ltv_bps, min_debt: DOLLAR, price: *price };
            !market.is_liquidatable(Loan { debt, collateral })
        };
        let line = (1..=2_000).rev().map(|dollars| dollars * 100_000_000).take_while(healthy).last().unwrap();
        let last = line * health_bps / 10_000 / 100_000_000;
        format!("ts,price\n0,2000\n600,{last}\n30000,{last}\n")
    }

    fn alone() -> ReplayParams {
        ReplayParams { positions: 1, ..params() }
    }

    fn found(params: &ReplayParams, text: &str) -> SmallestMinDebt {
        find(params, &Prices::parse(text, None).unwrap()).unwrap()
    }

    #[test]
    fn the_search_finds_the_smallest_sufficient_amount_of_two_digits() {
        for (least, expected) in [(0, 10_000), (10_001, 11_000), (99_001, 100_000), (2_437_000_000, 2_500_000_000)] {
            let found = smallest(10_000_000_000, |amount| Ok(amount >= least)).unwrap();
            assert_eq!(found, Some(expected));
        }
        assert_eq!(smallest(10_000_000_000, |_| Ok(false)).unwrap(), None);
        assert!(smallest(10_000_000_000, |_| eyre::bail!("no")).is_err());
    }

    #[test]
    fn what_pays_at_once_is_the_formula_of_the_documents() {
        // As in docs/how-to/choose-min-debt.md: cost ÷ (ρ · (βmin · (1 − s) − 1)).
        let (wad, bps) = (u128::from(WAD), u128::from(BPS));
        for (ltv_bps, gas_price) in
            [(8_000, 20_000_000_000), (8_600, 200_000_000_000), (9_150, 5_000_000_000), (9_450, 100_000_000)]
        {
            // Price impact is not in the formula.
            let depth = 100_000_000_000 * DOLLAR;
            let params = ReplayParams { liquidation_ltv_bps: ltv_bps, gas_price, depth, ..params() };
            let risk = Risk::new(ltv_bps / 2, ltv_bps, MIN_DEBT_LOWER_BOUND).unwrap();
            let lowest = u128::from(LiquidationIncentive::of(risk).min_incentive_factor);
            let ltv = u128::from(ltv_bps);
            let part = wad * (bps - ltv) / bps / 2 * wad / (wad - lowest * ltv / bps);
            let net = lowest * (1_000_000 - u128::from(params.swap_fee_ppm)) / 1_000_000 - wad;
            // 232,000 gas and a quarter more before refunds, a margin of 10 %, and 2,000 dollars an ether.
            let cost = 232_000 * gas_price * 5 / 4 * 11 / 10 * 2_000 * DOLLAR / wad;
            let formula = cost * wad / part * wad / net;
            let found = found(&params, "ts,price\n0,2000\n60,2000\n").at_once.unwrap();
            assert!((formula * 98 / 100..formula * 110 / 100).contains(&found), "{ltv_bps}: {found}, {formula}");
        }
    }

    #[test]
    fn a_bonus_below_the_exchanges_fee_never_pays_at_once() {
        let steep = ReplayParams { liquidation_ltv_bps: 9_700, borrow_ltv_bps: 9_600, ..params() };
        assert_eq!(found(&steep, GAP).at_once, None);
    }

    #[test]
    fn loans_that_stay_at_the_line_must_be_larger_than_loans_that_fall_far_below_it() {
        let [at_the_line, far_below] = [9_950, 9_100].map(|health| found(&alone(), &prices_down_to(health)));
        assert!(far_below.in_time.unwrap() * 3 < at_the_line.in_time.unwrap(), "{far_below:?} {at_the_line:?}");
        assert!(at_the_line.in_time <= at_the_line.at_once, "{at_the_line:?}");
    }

    #[test]
    fn it_grows_with_the_price_of_gas_and_is_the_least_possible_without_gas() {
        let of = |gas_price| found(&ReplayParams { gas_price, ..alone() }, &prices_down_to(9_950));
        let [none, cheap, dear] = [0, 2_000_000_000, 200_000_000_000].map(of);
        let least = Some(MIN_DEBT_LOWER_BOUND);
        assert_eq!(none, SmallestMinDebt { in_time: least, at_once: least });
        let [cheap, dear] = [cheap, dear].map(|found| found.in_time.unwrap());
        assert!((80 * cheap..125 * cheap).contains(&dear), "{cheap} {dear}");
    }

    #[test]
    fn one_loan_of_the_model_is_liquidated_in_time_with_it_and_not_with_half_of_it() {
        let text = prices_down_to(9_950);
        let least = found(&alone(), &text).in_time.unwrap();
        let delay = |min_debt: u128| {
            let params = ReplayParams { debt: min_debt, min_debt, ..alone() };
            let outcome = model::play(&Rule::Plimsoll, &params, &Prices::parse(&text, None).unwrap()).unwrap();
            assert_eq!(outcome.ever_liquidatable.len(), 1);
            outcome.worst_delay.seconds
        };
        assert!(delay(least) < MAX_DELAY_SECS && delay(least / 2) >= MAX_DELAY_SECS);
    }
}
