//! The replay without a chain: the same borrowers, prices, feed, clock, exchange and costs, by any rule of liquidation.
//!
//! A block is what it is on the chain. First comes the liquidator with what it decided on the block before; it pays the
//! highest tips. Then traders bring the exchange's price to the recorded one, then the feed answers. The liquidator is
//! our keeper in small: the loans that bring most for what is sold come first, and all of them are taken or only a half,
//! a quarter and so on, whichever is left with most after the exchange and gas.
//!
//! Not in it: interest, shares and their rounding, more than one transaction in a block, rivals, and transactions that
//! fail. All arithmetic is in integers.

use std::cmp::Reverse;

use alloy::primitives::U256;
use eyre::{ContextCompat, ensure};
use plimsoll_keeper::{
    math::wide::{mul_div_down, product, to_u128},
    strategies::gas::{Costs, GasTable},
};

use super::{
    feed::{Answer, Clock, Mood},
    outcome::{Delay, Liquidation, Moment, Outcome},
    params::{ReplayParams, SMALLEST_DEBT, SWAP_FEE_PPM, UNITS_PER_UNIT, worth},
    prices::Prices,
    rules::{Loan, Market, Rule, Taken},
};

/// The keeper's: a transaction brings at least this much more than its gas costs.
const MARGIN_BPS: u32 = 1_000;
/// The keeper's: no part smaller than the whole halved so often is tried.
const MOST_HALVINGS: u32 = 24;
const PPM: u128 = 1_000_000;
/// Ratios are computed to so many parts.
const PRECISION: u128 = 10_u128.pow(18);

/// Plays a recording by a rule.
pub fn play(rule: &Rule, params: &ReplayParams, prices: &Prices) -> eyre::Result<Outcome> {
    let first = prices.first();
    let exchange = Exchange::new(params.depth, first)?;
    let openings = params.loans(first);
    let loans: Vec<_> =
        openings.iter().map(|opening| Loan { debt: opening.debt, collateral: opening.collateral }).collect();
    let outcome = Outcome {
        loans: u64::try_from(loans.len())?,
        debt: loans.iter().map(|loan| loan.debt).sum(),
        ..Outcome::default()
    };
    let answer = Answer { second: 0, price: first };
    let since = vec![None; loans.len()];
    let mut play = Play { rule, params, exchange, loans, since, answer, market_price: first, block: 0, outcome };
    let mut clock = Clock::new();
    let mut under_water = play.watch(0)?;
    let mut batch = None;
    loop {
        let mood = match (under_water.is_empty(), &batch) {
            (true, _) => Mood::Quiet,
            (false, None) => Mood::Stuck,
            (false, Some(_)) => Mood::Busy,
        };
        let Some(second) = clock.tick(prices, params.feed, play.answer, mood) else { break };
        play.block += 1;
        if let Some(batch) = batch.take() {
            play.carry_out(&batch, second)?;
        }
        play.market_price = prices.at(second);
        play.answer = params.feed.answer(play.answer, second, play.market_price).unwrap_or(play.answer);
        under_water = play.watch(second)?;
        batch = play.choose(&under_water);
    }
    play.end(clock.now())
}

/// How things stand.
struct Play<'a> {
    rule: &'a Rule,
    params: &'a ReplayParams,
    exchange: Exchange,
    loans: Vec<Loan>,
    /// Of each loan, since which second and block it is under water.
    since: Vec<Option<Delay>>,
    answer: Answer,
    market_price: u128,
    block: u64,
    outcome: Outcome,
}

/// What the liquidator sends: loans with what it takes from each.
struct Batch {
    taken: Vec<(usize, Taken)>,
    repaid: u128,
    seized: u128,
    /// What the collateral is worth beyond the repayment, by the oracle.
    bonus: u128,
}

impl Play<'_> {
    const fn market(&self) -> Market {
        Market { ltv_bps: self.params.liquidation_ltv_bps, smallest_debt: SMALLEST_DEBT, price: self.answer.price }
    }

    /// Looks at a block that is done: who is under water in it, and who no longer is.
    fn watch(&mut self, second: u64) -> eyre::Result<Vec<usize>> {
        let (market, now) = (self.market(), Delay { seconds: second, blocks: self.block });
        let mut under_water = Vec::new();
        for (number, (loan, since)) in self.loans.iter().zip(&mut self.since).enumerate() {
            if loan.debt > 0 && market.is_under_water(*loan) {
                since.get_or_insert(now);
                under_water.push(number);
                self.outcome.under_water.insert(u64::try_from(number)?);
            } else if let Some(since) = since.take() {
                self.outcome.worst_delay = self.outcome.worst_delay.max(between(since, now));
            }
        }
        self.outcome.moments.push(Moment {
            second,
            market_price: self.market_price,
            oracle_price: self.answer.price,
            debt: self.loans.iter().map(|loan| loan.debt).sum(),
            under_water: u64::try_from(under_water.len())?,
        });
        Ok(under_water)
    }

    /// What the liquidator sends, where anything pays.
    fn choose(&self, under_water: &[usize]) -> Option<Batch> {
        let place_wei = self.costs().of(GasTable::default().further_loan, 0);
        let mut ranked = Vec::new();
        for number in under_water {
            let Some(alone) = self.expect(&[*number], u128::MAX) else { continue };
            let net_wei = self.wei(alone.bonus).saturating_sub(place_wei);
            if !net_wei.is_zero() {
                let sold = worth(alone.seized, self.answer.price).max(1);
                ranked.push((Reverse(mul_div_down(net_wei, U256::from(PRECISION), U256::from(sold))), *number));
            }
        }
        ranked.sort_unstable();
        let ranked: Vec<_> = ranked.into_iter().map(|(_, number)| number).collect();
        let whole = self.expect(&ranked, u128::MAX)?.repaid;
        let mut best: Option<(Batch, U256)> = None;
        for limit in (0..=MOST_HALVINGS).map(|halvings| whole >> halvings) {
            let Some(part) = self.expect(&ranked, limit) else { break };
            let gas_wei = self.gas_wei(&part);
            if !self.costs().are_worth(self.wei(part.bonus), gas_wei) {
                break;
            }
            let gain_wei = self.wei(self.profit(&part).unwrap_or_default());
            if !self.costs().are_worth(gain_wei, gas_wei) {
                continue;
            }
            let net_wei = gain_wei - gas_wei;
            match &best {
                Some((better, _)) if better.repaid == part.repaid => {}
                // The more is sold, the worse the price: where a half brings no more, nothing smaller does.
                Some((_, better_wei)) if *better_wei >= net_wei => break,
                _ => best = Some((part, net_wei)),
            }
        }
        best.map(|(batch, _)| batch)
    }

    /// What the rule lets be taken of loans in their order with no more than `limit` repaid over all, where anything.
    fn expect(&self, numbers: &[usize], limit: u128) -> Option<Batch> {
        let market = self.market();
        let mut batch = Batch { taken: Vec::new(), repaid: 0, seized: 0, bonus: 0 };
        for number in numbers {
            let mut loan = *self.loans.get(*number)?;
            let Some(taken) = self.rule.liquidate(market, &mut loan, limit - batch.repaid) else { continue };
            batch.repaid += taken.repaid;
            batch.seized += taken.seized;
            batch.bonus += worth(taken.seized, market.price).saturating_sub(taken.repaid);
            batch.taken.push((*number, taken));
        }
        (!batch.taken.is_empty()).then_some(batch)
    }

    /// What is left of a sale at the exchange after the repayment; nothing where it does not pay for that.
    fn profit(&self, batch: &Batch) -> Option<u128> {
        self.exchange.proceeds_down(self.market_price, batch.seized).checked_sub(batch.repaid)
    }

    const fn costs(&self) -> Costs {
        Costs { gas_price: self.params.gas_price, data_byte_price: 0, margin_bps: MARGIN_BPS }
    }

    fn gas_wei(&self, batch: &Batch) -> U256 {
        self.costs().of(GasTable::default().of_liquidation(batch.taken.len(), 1), 0)
    }

    /// Units of the loan token in wei, for which an ether has as many decimals as collateral.
    fn wei(&self, units: u128) -> U256 {
        product(units, UNITS_PER_UNIT) / U256::from(self.params.ether(self.market_price))
    }

    /// What was decided on the block before happens before anything else.
    fn carry_out(&mut self, batch: &Batch, second: u64) -> eyre::Result<()> {
        let market = self.market();
        self.outcome.profit += self.profit(batch).wrap_err("the liquidator sells at a loss")?;
        self.outcome.gas += worth(to_u128(self.gas_wei(batch)), self.params.ether(self.market_price));
        self.outcome.transactions += 1;
        for (number, taken) in &batch.taken {
            let (loan, since) = self.loans.get_mut(*number).zip(self.since.get(*number)).wrap_err("no such loan")?;
            loan.debt -= taken.repaid + taken.bad_debt;
            loan.collateral -= taken.seized;
            self.outcome.liquidations.push(Liquidation {
                second,
                borrower: u64::try_from(*number)?,
                since: since.map_or(second, |since| since.seconds),
                repaid: taken.repaid,
                seized: taken.seized,
                worth: worth(taken.seized, market.price),
                bad_debt: taken.bad_debt,
            });
        }
        Ok(())
    }

    fn end(mut self, second: u64) -> eyre::Result<Outcome> {
        let now = Delay { seconds: second, blocks: self.block };
        let waited = self.since.iter().flatten().map(|since| between(*since, now)).max().unwrap_or_default();
        self.outcome.worst_delay = self.outcome.worst_delay.max(waited);
        self.outcome.left_under_water = u64::try_from(self.since.iter().flatten().count())?;
        let missing = |loan: &Loan| loan.debt.saturating_sub(worth(loan.collateral, self.answer.price));
        self.outcome.shortfall = self.loans.iter().map(missing).sum();
        Ok(self.outcome)
    }
}

const fn between(since: Delay, now: Delay) -> Delay {
    Delay { seconds: now.seconds - since.seconds, blocks: now.blocks - since.blocks }
}

/// A pool with liquidity over the whole range: the product of what it holds stays what it was.
struct Exchange {
    product: U256,
}

impl Exchange {
    /// Sales that bring `depth` lower this price by 2 %.
    fn new(depth: u128, price: u128) -> eyre::Result<Self> {
        // Of the dollars in the pool, a sale that leaves 98 % of the price leaves the root of that.
        let left = (PRECISION * PRECISION / 100 * 98).isqrt();
        let dollars = mul_div_down(U256::from(depth), U256::from(PRECISION), U256::from(PRECISION - left));
        let collateral = mul_div_down(dollars, U256::from(UNITS_PER_UNIT), U256::from(price));
        let product = dollars.checked_mul(collateral).wrap_err("the exchange is too deep")?;
        ensure!(!product.is_zero(), "the exchange is empty");
        Ok(Self { product })
    }

    /// What a sale brings while traders have the pool at a price.
    fn proceeds_down(&self, price: u128, sold: u128) -> u128 {
        let [price, scale] = [price, UNITS_PER_UNIT].map(U256::from);
        let dollars = mul_div_down(self.product, price, scale).root(2);
        let collateral = mul_div_down(self.product, scale, price).root(2);
        let sold = U256::from(sold) * U256::from(PPM - SWAP_FEE_PPM) / U256::from(PPM);
        to_u128(mul_div_down(dollars, sold, (collateral + sold).max(U256::ONE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{feed::Feed, outcome::Figures, params::DOLLAR};

    const SLIDE: &str = include_str!("../../../examples/prices/slide-30.csv");
    const GAPS: [&str; 2] =
        [include_str!("../../../examples/prices/gap-12.csv"), include_str!("../../../examples/prices/gap-25.csv")];

    fn params() -> ReplayParams {
        ReplayParams {
            borrow_ltv_bps: 8_000,
            liquidation_ltv_bps: 8_600,
            depth: 5_000_000 * DOLLAR,
            gas_price: 20_000_000_000,
            ether_price: None,
            feed: Feed { heartbeat_secs: 3_600, deviation_bps: 50 },
            positions: 100,
            debt: 20_000_000 * DOLLAR,
            seed: 1,
        }
    }

    fn played(rule: Rule, params: &ReplayParams, text: &str) -> Outcome {
        play(&rule, params, &Prices::parse(text, None).unwrap()).unwrap()
    }

    fn penalty_and_bad_debt(rule: Rule, params: &ReplayParams, text: &str) -> [u128; 2] {
        let outcome = played(rule, params, text);
        assert!(!outcome.liquidations.is_empty());
        let sum = |of: fn(&Liquidation) -> u128| outcome.liquidations.iter().map(of).sum();
        [sum(Liquidation::penalty), sum(|done| done.bad_debt)]
    }

    #[test]
    fn nothing_happens_while_prices_are_constant() {
        let outcome = played(Rule::Plimsoll, &params(), "ts,price\n0,2000\n100000,2010\n200000,1995\n");
        assert!(outcome.liquidations.is_empty() && outcome.under_water.is_empty());
        assert_eq!((outcome.transactions, outcome.shortfall, outcome.worst_delay), (0, 0, Delay::default()));
        assert!(outcome.moments.len() > 50);
    }

    #[test]
    fn every_dollar_that_was_owed_is_repaid_written_off_or_still_owed() {
        for text in [SLIDE, GAPS[0], GAPS[1]] {
            for rule in Rule::all() {
                let outcome = played(rule, &params(), text);
                let gone: u128 = outcome.liquidations.iter().map(|done| done.repaid + done.bad_debt).sum();
                assert_eq!(outcome.debt, gone + outcome.moments.last().unwrap().debt, "{}", rule.name());
                let bonus: u128 = outcome.liquidations.iter().map(|done| done.worth - done.repaid).sum();
                assert!(outcome.profit <= bonus && outcome.gas < outcome.profit, "{}", rule.name());
            }
        }
    }

    #[test]
    fn in_a_slow_fall_borrowers_pay_least_by_our_rule_and_lenders_nothing() {
        let [ours, bad_debt] = penalty_and_bad_debt(Rule::Plimsoll, &params(), SLIDE);
        assert_eq!(bad_debt, 0);
        for rule in Rule::all().into_iter().skip(1) {
            let [theirs, _] = penalty_and_bad_debt(rule, &params(), SLIDE);
            assert!(ours * 2 < theirs, "{}: {ours} {theirs}", rule.name());
        }
    }

    #[test]
    fn a_gap_beyond_a_fixed_bonus_costs_lenders_less_by_our_rule() {
        let gap = "ts,price\n0,2000\n3600,1620\n18000,1620\n";
        let [_, ours] = penalty_and_bad_debt(Rule::Plimsoll, &params(), gap);
        let [_, morphos] = penalty_and_bad_debt(Rule::Morpho, &params(), gap);
        assert!(ours < morphos / 4, "{ours} {morphos}");
    }

    #[test]
    fn a_thin_exchange_takes_loans_in_parts_and_none_at_a_loss() {
        let thin = ReplayParams { depth: 100_000 * DOLLAR, ..params() };
        let [deep, thin] = [params(), thin].map(|params| played(Rule::Plimsoll, &params, GAPS[0]));
        assert!(thin.transactions > 4 * deep.transactions, "{} {}", thin.transactions, deep.transactions);
        assert!(thin.profit > thin.gas);
        assert_eq!((deep.left_under_water, deep.worst_delay.blocks), (0, 1));
    }

    #[test]
    fn where_gas_exceeds_every_bonus_no_loan_is_liquidated() {
        let dear = ReplayParams { gas_price: 1_000_000_000_000_000, ..params() };
        let outcome = played(Rule::Plimsoll, &dear, GAPS[1]);
        assert_eq!(outcome.transactions, 0);
        assert!(outcome.left_under_water > 20 && outcome.shortfall > 0);
        assert_eq!(outcome.worst_delay.seconds, 14_400);
    }

    #[test]
    fn a_loan_liquidated_in_halves_counts_once() {
        let outcome = played(Rule::Half { bonus_bps: 500, whole_below_bps: 0 }, &params(), GAPS[0]);
        let figures: Figures = outcome.figures().unwrap();
        assert!(figures.liquidations > figures.liquidated && figures.again == 0, "{figures:?}");
    }

    #[test]
    fn selling_for_the_depth_lowers_the_price_by_two_percent() {
        let (depth, price) = (5_000_000 * DOLLAR, 2_000 * 100_000_000);
        let exchange = Exchange::new(depth, price).unwrap();
        let ether = 10_u128.pow(18);
        // The fee comes on top; by bisection, what has to be sold for the depth.
        let (mut low, mut high) = (0, 10_000 * ether);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if exchange.proceeds_down(price, middle) < depth { low = middle } else { high = middle }
        }
        let more = exchange.proceeds_down(price, high + ether) - exchange.proceeds_down(price, high);
        let expected = price / 100 * 98 * (PPM - SWAP_FEE_PPM) / PPM / 100;
        assert!(more.abs_diff(expected) < expected / 1_000, "{more} {expected}");
        // Half the price leaves it the root of half its dollars.
        let half = exchange.proceeds_down(price / 2, 2 * high * 2_000 / 2_828);
        assert!(half.abs_diff(depth * 1_000 / 1_414) < depth / 1_000, "{half}");
    }
}
