//! The replay without a chain: the same borrowers, prices, feed, clock, exchange and costs, by any liquidation rule.
//!
//! A block has the order of the chain's. The liquidator comes first, with what it decided on the previous block; then a
//! trade brings the exchange to the recorded price; then the feed answers. The liquidator is a small version of the
//! keeper: it ranks loans by profit for what is sold, and liquidates all of them, or a half, a quarter and so on,
//! whichever earns most after the exchange and gas.
//!
//! Not modelled are interest, shares and their rounding, several transactions in a block, rivals, and failing
//! transactions. All arithmetic is in integers.

use std::{cmp::Reverse, collections::BTreeSet};

use alloy::primitives::U256;
use eyre::{ContextCompat, ensure};
use plimsoll_keeper::{
    math::wide::{mul_div_down, product, to_u128},
    strategies::gas::{Costs, GasTable},
};

use super::{
    feed::{Activity, Answer, Clock},
    guard::{COOLDOWN_SECS, EXECUTION_GAS, Execution, ExecutionAmounts, GuardShare, Terms},
    outcome::{Delay, Liquidation, Outcome, Snapshot},
    params::{ReplayParams, UNITS_PER_UNIT, worth},
    prices::Prices,
    rules::{LiquidationAmounts, Loan, Market, Rule},
};

/// The keeper's margin: a transaction must earn this much more than its gas costs.
const MARGIN_BPS: u32 = 1_000;
/// The keeper's limit of halvings of a batch.
const MAX_HALVINGS: u32 = 24;
const PPM: u128 = 1_000_000;
/// The unit of ratios.
const PRECISION: u128 = 10_u128.pow(18);

/// Replays prices by a rule.
///
/// # Errors
/// When a parameter is outside of the model's range.
pub fn play(rule: &Rule, params: &ReplayParams, prices: &Prices) -> eyre::Result<Outcome> {
    play_with(rule, None, params, prices)
}

/// Replays prices by our rule, with orders of a part of the borrowers; one of them can be without.
///
/// # Errors
/// As [`play`].
pub fn play_guarded(
    share: GuardShare,
    except: Option<u64>,
    params: &ReplayParams,
    prices: &Prices,
) -> eyre::Result<Outcome> {
    play_with(&Rule::Plimsoll, Some((share, except)), params, prices)
}

fn play_with(
    rule: &Rule,
    guarded: Option<(GuardShare, Option<u64>)>,
    params: &ReplayParams,
    prices: &Prices,
) -> eyre::Result<Outcome> {
    let first = prices.first();
    let liquidator = Liquidator::new(rule, params, first)?;
    let new_loans = params.loans(first);
    let loans: Vec<_> = new_loans.iter().map(|loan| Loan { debt: loan.debt, collateral: loan.collateral }).collect();
    let outcome = Outcome {
        loans: u64::try_from(loans.len())?,
        debt: loans.iter().map(|loan| loan.debt).sum(),
        ..Outcome::default()
    };
    let answer = Answer { second: 0, price: first };
    let since = vec![None; loans.len()];
    let orders = guarded.map(|(share, except)| Orders {
        share,
        except,
        terms: Terms::recommended(params.borrow_ltv_bps, params.liquidation_ltv_bps, params.swap_fee_ppm),
        executed: vec![None; loans.len()],
    });
    let mut run = ModelRun { liquidator, loans, since, orders, answer, market_price: first, block: 0, outcome };
    let mut clock = Clock::new();
    let mut liquidatable = run.record_block(0)?;
    let mut batch = None;
    let mut protections = Protections::default();
    loop {
        let acts = batch.is_some() || !protections.paying.is_empty();
        let activity = match (liquidatable.is_empty() && !protections.triggered, acts) {
            (true, _) => Activity::Idle,
            (false, false) => Activity::Stuck,
            (false, true) => Activity::Busy,
        };
        let Some(second) = clock.tick(prices, params.feed, run.answer, activity) else { break };
        run.block += 1;
        if let Some(batch) = batch.take() {
            run.execute(&batch, second)?;
        }
        run.protect(&protections.paying, second)?;
        run.market_price = prices.at(second);
        run.answer = params.feed.answer(run.answer, second, run.market_price).unwrap_or(run.answer);
        liquidatable = run.record_block(second)?;
        batch = run.liquidator.decide(&run.loans, &liquidatable, run.prices());
        protections = run.protections(batch.as_ref(), second);
    }
    run.finish(clock.now())
}

/// A replay in progress.
struct ModelRun<'a> {
    liquidator: Liquidator<'a>,
    loans: Vec<Loan>,
    /// For each loan the second and block since which it is liquidatable; none for healthy loans.
    since: Vec<Option<Delay>>,
    orders: Option<Orders>,
    answer: Answer,
    market_price: u128,
    block: u64,
    outcome: Outcome,
}

/// The orders of borrowers.
struct Orders {
    share: GuardShare,
    /// The borrower whose order is missing.
    except: Option<u64>,
    terms: Terms,
    /// For each loan the second of the last execution.
    executed: Vec<Option<u64>>,
}

/// The orders whose trigger is met in a block.
#[derive(Default)]
struct Protections {
    /// Whether there are any.
    triggered: bool,
    /// The executions that pay, with their loans.
    paying: Vec<(usize, ExecutionAmounts)>,
}

/// The prices in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockPrices {
    /// The feed's price.
    pub(super) oracle: u128,
    /// The exchange's price.
    pub(super) market: u128,
}

/// A transaction of the liquidator.
#[derive(Debug)]
pub(super) struct Batch {
    /// Loans with the amounts that are liquidated.
    pub(super) taken: Vec<(usize, LiquidationAmounts)>,
    repaid: u128,
    seized: u128,
    /// Value of the seized collateral beyond the repayment, at the oracle's price.
    bonus: u128,
}

/// A small version of the keeper: it decides which loans of a market are worth their costs.
pub(super) struct Liquidator<'a> {
    rule: &'a Rule,
    params: &'a ReplayParams,
    exchange: Exchange,
}

impl<'a> Liquidator<'a> {
    /// Creates a liquidator at an exchange that begins with a price.
    pub(super) fn new(rule: &'a Rule, params: &'a ReplayParams, price: u128) -> eyre::Result<Self> {
        Ok(Self { rule, params, exchange: Exchange::new(params, price)? })
    }

    /// Returns the market at a price of the feed.
    pub(super) const fn market(&self, oracle: u128) -> Market {
        Market { ltv_bps: self.params.liquidation_ltv_bps, min_debt: self.params.min_debt, price: oracle }
    }

    /// Returns the most profitable transaction; none where none pays.
    pub(super) fn decide(&self, loans: &[Loan], liquidatable: &[usize], at: BlockPrices) -> Option<Batch> {
        let place_wei = self.costs().transaction_cost(GasTable::default().further_loan, 0);
        let mut ranked = Vec::new();
        for number in liquidatable {
            let Some(alone) = self.batch(loans, &[*number], at, u128::MAX) else { continue };
            let net_wei = self.wei(alone.bonus, at).saturating_sub(place_wei);
            if !net_wei.is_zero() {
                let sold = worth(alone.seized, at.oracle).max(1);
                ranked.push((Reverse(mul_div_down(net_wei, U256::from(PRECISION), U256::from(sold))), *number));
            }
        }
        ranked.sort_unstable();
        let ranked: Vec<_> = ranked.into_iter().map(|(_, number)| number).collect();
        let whole = self.batch(loans, &ranked, at, u128::MAX)?.repaid;
        let mut best: Option<(Batch, U256)> = None;
        for limit in (0..=MAX_HALVINGS).map(|halvings| whole >> halvings) {
            let Some(part) = self.batch(loans, &ranked, at, limit) else { break };
            let gas_wei = self.gas_wei(&part);
            if !self.costs().is_profitable(self.wei(part.bonus, at), gas_wei) {
                break;
            }
            let gain_wei = self.wei(self.profit(&part, at).unwrap_or_default(), at);
            if !self.costs().is_profitable(gain_wei, gas_wei) {
                continue;
            }
            let net_wei = gain_wei - gas_wei;
            match &best {
                Some((better, _)) if better.repaid == part.repaid => {}
                // The price falls with the amount sold: where a half earns no more, no smaller part does.
                Some((_, better_wei)) if *better_wei >= net_wei => break,
                _ => best = Some((part, net_wei)),
            }
        }
        best.map(|(batch, _)| batch)
    }

    /// Liquidates loans in their order by the rule, with at most `limit` repaid in total; none where nothing is taken.
    fn batch(&self, loans: &[Loan], numbers: &[usize], at: BlockPrices, limit: u128) -> Option<Batch> {
        let market = self.market(at.oracle);
        let mut batch = Batch { taken: Vec::new(), repaid: 0, seized: 0, bonus: 0 };
        for number in numbers {
            let mut loan = *loans.get(*number)?;
            let Some(taken) = self.rule.liquidate(market, &mut loan, limit - batch.repaid) else { continue };
            batch.repaid += taken.repaid;
            batch.seized += taken.seized;
            batch.bonus += worth(taken.seized, market.price).saturating_sub(taken.repaid);
            batch.taken.push((*number, taken));
        }
        (!batch.taken.is_empty()).then_some(batch)
    }

    /// Returns the proceeds of a sale at the exchange less the repayment; none where they do not cover it.
    fn profit(&self, batch: &Batch, at: BlockPrices) -> Option<u128> {
        self.exchange.proceeds_down(at.market, batch.seized).checked_sub(batch.repaid)
    }

    const fn costs(&self) -> Costs {
        Costs { gas_price: self.params.gas_price, data_byte_price: 0, margin_bps: MARGIN_BPS }
    }

    fn gas_wei(&self, batch: &Batch) -> U256 {
        self.costs().transaction_cost(GasTable::default().liquidation_gas(batch.taken.len(), 1), 0)
    }

    /// Converts units of the loan token to wei. An ether has as many decimals as the collateral.
    fn wei(&self, units: u128, at: BlockPrices) -> U256 {
        product(units, UNITS_PER_UNIT) / U256::from(self.params.ether(at.market))
    }
}

impl ModelRun<'_> {
    const fn prices(&self) -> BlockPrices {
        BlockPrices { oracle: self.answer.price, market: self.market_price }
    }

    /// Records the state after a block, and returns the liquidatable loans.
    fn record_block(&mut self, second: u64) -> eyre::Result<Vec<usize>> {
        let (market, now) = (self.liquidator.market(self.answer.price), Delay { seconds: second, blocks: self.block });
        let mut liquidatable = Vec::new();
        for (number, (loan, since)) in self.loans.iter().zip(&mut self.since).enumerate() {
            if loan.debt > 0 && market.is_liquidatable(*loan) {
                since.get_or_insert(now);
                liquidatable.push(number);
                self.outcome.ever_liquidatable.insert(u64::try_from(number)?);
            } else if let Some(since) = since.take() {
                self.outcome.worst_delay = self.outcome.worst_delay.max(between(since, now));
            }
        }
        self.outcome.snapshots.push(Snapshot {
            second,
            market_price: self.market_price,
            oracle_price: self.answer.price,
            debt: self.loans.iter().map(|loan| loan.debt).sum(),
            liquidatable: u64::try_from(liquidatable.len())?,
        });
        Ok(liquidatable)
    }

    /// Executes a transaction that was decided on the previous block.
    fn execute(&mut self, batch: &Batch, second: u64) -> eyre::Result<()> {
        let (at, liquidator) = (self.prices(), &self.liquidator);
        self.outcome.profit += liquidator.profit(batch, at).wrap_err("the liquidator sells at a loss")?;
        self.outcome.gas += worth(to_u128(liquidator.gas_wei(batch)), liquidator.params.ether(at.market));
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
                worth: worth(taken.seized, at.oracle),
                bad_debt: taken.bad_debt,
            });
        }
        Ok(())
    }

    /// Returns the orders whose trigger is met. Those pay whose collateral, sold after what is seized in the same block,
    /// brings the payment, gas and the keeper's margin.
    fn protections(&self, batch: Option<&Batch>, second: u64) -> Protections {
        let mut found = Protections::default();
        let Some(orders) = &self.orders else { return found };
        let (at, liquidator) = (self.prices(), &self.liquidator);
        let market = liquidator.market(at.oracle);
        let seized: BTreeSet<_> =
            batch.iter().flat_map(|batch| batch.taken.iter().map(|(number, _)| *number)).collect();
        let mut triggered = Vec::new();
        for ((number, loan), executed) in (0_u64..).zip(&self.loans).zip(&orders.executed) {
            let index = usize::try_from(number).unwrap_or(usize::MAX);
            let waits = executed.is_some_and(|executed| second < executed + COOLDOWN_SECS);
            let has_order = orders.share.has_order(number) && orders.except != Some(number);
            if waits || loan.debt == 0 || !has_order || seized.contains(&index) {
                continue;
            }
            if let Some(amounts) = orders.terms.execution(*loan, market) {
                let premium = worth(amounts.sold, at.oracle).saturating_sub(amounts.payment);
                triggered.push((Reverse(premium), index, amounts));
            }
        }
        found.triggered = !triggered.is_empty();
        triggered.sort_unstable_by_key(|(premium, index, _)| (*premium, *index));
        let gas_wei = liquidator.costs().transaction_cost(EXECUTION_GAS, 0);
        let mut sold = batch.map_or(0, |batch| batch.seized);
        for (_, index, amounts) in triggered {
            let proceeds = |sold| liquidator.exchange.proceeds_down(at.market, sold);
            let brought = proceeds(sold + amounts.sold).saturating_sub(proceeds(sold));
            let gain_wei = liquidator.wei(brought.saturating_sub(amounts.payment), at);
            if liquidator.costs().is_profitable(gain_wei, gas_wei) {
                sold += amounts.sold;
                found.paying.push((index, amounts));
            }
        }
        found
    }

    /// Executes orders as decided on the previous block.
    fn protect(&mut self, paying: &[(usize, ExecutionAmounts)], second: u64) -> eyre::Result<()> {
        let Some(orders) = &mut self.orders else { return Ok(()) };
        for (number, amounts) in paying {
            let found = self.loans.get_mut(*number).zip(orders.executed.get_mut(*number));
            let (loan, executed) = found.wrap_err("no such loan")?;
            loan.debt -= amounts.payment;
            loan.collateral -= amounts.sold;
            *executed = Some(second);
            self.outcome.executions.push(Execution {
                borrower: u64::try_from(*number)?,
                repaid: amounts.payment,
                worth: worth(amounts.sold, self.answer.price),
            });
        }
        Ok(())
    }

    /// Returns the outcome at the end.
    fn finish(mut self, second: u64) -> eyre::Result<Outcome> {
        let now = Delay { seconds: second, blocks: self.block };
        let waited = self.since.iter().flatten().map(|since| between(*since, now)).max().unwrap_or_default();
        self.outcome.worst_delay = self.outcome.worst_delay.max(waited);
        self.outcome.left_liquidatable = u64::try_from(self.since.iter().flatten().count())?;
        let missing = |loan: &Loan| loan.debt.saturating_sub(worth(loan.collateral, self.answer.price));
        self.outcome.shortfall = self.loans.iter().map(missing).sum();
        Ok(self.outcome)
    }
}

const fn between(since: Delay, now: Delay) -> Delay {
    Delay { seconds: now.seconds - since.seconds, blocks: now.blocks - since.blocks }
}

/// A pool with liquidity over the whole price range: the product of its amounts is constant.
struct Exchange {
    product: U256,
    fee_ppm: u128,
}

impl Exchange {
    /// Creates a pool in which sales with proceeds of the depth lower the price by 2 %.
    fn new(params: &ReplayParams, price: u128) -> eyre::Result<Self> {
        // A sale after which the price is 98 % leaves the square root of that of the pool's dollars.
        let left = (PRECISION * PRECISION / 100 * 98).isqrt();
        let dollars = mul_div_down(U256::from(params.depth), U256::from(PRECISION), U256::from(PRECISION - left));
        let collateral = mul_div_down(dollars, U256::from(UNITS_PER_UNIT), U256::from(price));
        let product = dollars.checked_mul(collateral).wrap_err("the exchange is too deep")?;
        ensure!(!product.is_zero(), "the exchange is empty");
        Ok(Self { product, fee_ppm: params.swap_fee_ppm.into() })
    }

    /// Returns the proceeds of a sale when the pool has a price, rounded down.
    fn proceeds_down(&self, price: u128, sold: u128) -> u128 {
        let [price, scale] = [price, UNITS_PER_UNIT].map(U256::from);
        let dollars = mul_div_down(self.product, price, scale).root(2);
        let collateral = mul_div_down(self.product, scale, price).root(2);
        let sold = U256::from(sold) * U256::from(PPM - self.fee_ppm) / U256::from(PPM);
        to_u128(mul_div_down(dollars, sold, (collateral + sold).max(U256::ONE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{feed::Feed, guard::Tally, outcome::Figures, params::DOLLAR};

    const SLIDE: &str = include_str!("../../../examples/prices/slide-30.csv");
    const GAPS: [&str; 2] =
        [include_str!("../../../examples/prices/gap-12.csv"), include_str!("../../../examples/prices/gap-25.csv")];

    fn params() -> ReplayParams {
        ReplayParams {
            borrow_ltv_bps: 8_000,
            liquidation_ltv_bps: 8_600,
            depth: 5_000_000 * DOLLAR,
            swap_fee_ppm: 3_000,
            gas_price: 20_000_000_000,
            ether_price: None,
            feed: Feed { heartbeat_secs: 3_600, deviation_bps: 50 },
            positions: 100,
            debt: 20_000_000 * DOLLAR,
            min_debt: 100 * DOLLAR,
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
        assert!(outcome.liquidations.is_empty() && outcome.ever_liquidatable.is_empty());
        assert_eq!((outcome.transactions, outcome.shortfall, outcome.worst_delay), (0, 0, Delay::default()));
        assert!(outcome.snapshots.len() > 50);
    }

    #[test]
    fn every_dollar_that_was_owed_is_repaid_written_off_or_still_owed() {
        for text in [SLIDE, GAPS[0], GAPS[1]] {
            for rule in Rule::all() {
                let outcome = played(rule, &params(), text);
                let gone: u128 = outcome.liquidations.iter().map(|done| done.repaid + done.bad_debt).sum();
                assert_eq!(outcome.debt, gone + outcome.snapshots.last().unwrap().debt, "{}", rule.name());
                let bonus: u128 = outcome.liquidations.iter().map(|done| done.worth - done.repaid).sum();
                assert!(outcome.profit <= bonus && outcome.gas < outcome.profit, "{}", rule.name());
            }
        }
    }

    #[test]
    fn with_orders_every_dollar_is_repaid_written_off_or_still_owed() {
        let share: GuardShare = "50%".parse().unwrap();
        for text in [SLIDE, GAPS[0], GAPS[1]] {
            let with = play_guarded(share, None, &params(), &Prices::parse(text, None).unwrap()).unwrap();
            let gone: u128 = with.liquidations.iter().map(|done| done.repaid + done.bad_debt).sum();
            let protected: u128 = with.executions.iter().map(|done| done.repaid).sum();
            assert_eq!(with.debt, gone + protected + with.snapshots.last().unwrap().debt);
            assert!(with.executions.iter().all(|done| share.has_order(done.borrower) && done.worth > done.repaid));
        }
    }

    #[test]
    fn where_the_exchange_is_deep_orders_cost_borrowers_two_fifths_of_liquidation_and_nobody_more() {
        let (share, deep) = ("50%".parse().unwrap(), ReplayParams { depth: 30_000_000 * DOLLAR, ..params() });
        let figures = Tally::of_model(share, &deep, &Prices::parse(SLIDE, None).unwrap()).unwrap().figures();
        assert!(figures.executions > 20 && figures.liquidated == 0, "{figures}");
        assert!(figures.loss_ratio_bps.unwrap() <= 4_000 && figures.worse == 0, "{figures}");
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
        assert_eq!((deep.left_liquidatable, deep.worst_delay.blocks), (0, 1));
    }

    #[test]
    fn where_gas_exceeds_every_bonus_no_loan_is_liquidated() {
        let dear = ReplayParams { gas_price: 1_000_000_000_000_000, ..params() };
        let outcome = played(Rule::Plimsoll, &dear, GAPS[1]);
        assert_eq!(outcome.transactions, 0);
        assert!(outcome.left_liquidatable > 20 && outcome.shortfall > 0);
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
        let params = ReplayParams { depth, ..params() };
        let exchange = Exchange::new(&params, price).unwrap();
        let ether = 10_u128.pow(18);
        // Bisection for the amount whose sale yields the depth, fee included.
        let (mut low, mut high) = (0, 10_000 * ether);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if exchange.proceeds_down(price, middle) < depth { low = middle } else { high = middle }
        }
        let more = exchange.proceeds_down(price, high + ether) - exchange.proceeds_down(price, high);
        let expected = price / 100 * 98 * (PPM - u128::from(params.swap_fee_ppm)) / PPM / 100;
        assert!(more.abs_diff(expected) < expected / 1_000, "{more} {expected}");
        // At half the price the pool has the square root of a half of its dollars.
        let half = exchange.proceeds_down(price / 2, 2 * high * 2_000 / 2_828);
        assert!(half.abs_diff(depth * 1_000 / 1_414) < depth / 1_000, "{half}");
    }
}
