//! The steps from the lots of a block to what is sent.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use alloy::primitives::{Address, Bytes, U256};
use plimsoll_chain::error::ChainError;
use plimsoll_protocols::{Deployment, Lot, leading_digits};

use super::{
    PositionId, Seize, by_position,
    job::{Candidate, Job, ProfitToken, Quote, Target},
};
use crate::{
    chain::Header,
    math::wide::mul_div_down,
    prices::{ChainReader, NoValuation, Valuer, Values},
    routing::{
        route::Route,
        router::{PoolReading, PoolsRead},
    },
    strategies::{
        BlockContext, Decisions, Exclusion, SkipReason,
        bids::Bids,
        gas::{kept, no_room},
    },
};

/// Most positions that are simulated for one block.
pub(super) const MAX_LOTS: usize = 16;
/// Most positions in one transaction: what their results take is what a simulated call may return.
const MAX_ITEMS: usize = 8;
/// Calls that are simulated for one position.
const MAX_CANDIDATES: usize = 3;
/// Least part, in quarters, of the best call's promised gain for which another call is simulated along with it.
const LIKELY_QUARTERS: u64 = 3;
/// A promise that is no gain and no loss.
const NO_GAIN: U256 = U256::MAX.wrapping_shr(1);
/// A position is considered whole and halved at most this often, as long as a part's bonus pays for its gas.
const MAX_HALVINGS: usize = 12;
/// Significant binary digits of a part, so that it is the same in the blocks to come, whatever interest accrues.
const PART_DIGITS: usize = 16;
/// Routes of each size that are considered.
const ROUTES_PER_SIZE: usize = 2;
/// Gas below which no liquidation with a swap succeeds.
const LEAST_GAS: u64 = 200_000;
/// Gas and calldata of one more route of a split, at least; the simulation says how much it is.
const PART_GAS: u64 = 60_000;
const PART_BYTES: usize = 64;
/// Part of a profit's value, in basis points, that its exchange for the wrapped coin may lose: the fees of two pools, and some.
/// Where it loses more, the pools are thin or the value is not what they think it is.
const MAX_EXCHANGE_LOSS_BPS: u16 = 300;

/// The calls that could liquidate a position.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    id: PositionId,
    /// What the first one promises: the value in wei of what the pools would bring beyond the repayment, plus [`NO_GAIN`] so
    /// that losses can be compared, too. The bonus by the protocol's price is no rank: anybody creates markets with a worthless
    /// token and an oracle of his own.
    pub(super) promise: U256,
    /// Those that may turn out best, the most promising first.
    pub(super) likely: Vec<Candidate<'a>>,
    /// Those that are tried where none of these pays: the pools may have changed, or the protocol may refuse a size.
    pub(super) others: Vec<Candidate<'a>>,
}

/// The best call of a position, or why none pays.
type Choice<'a> = Result<(Candidate<'a>, Quote), (PositionId, SkipReason)>;

impl Seize {
    /// Returns the least bonus, in units of a debt token, that can pay for a liquidation at these costs; nothing of tokens
    /// whose value was never read.
    #[must_use]
    pub fn least_bonuses(
        &self,
        valuer: &Valuer,
        tokens: impl IntoIterator<Item = Address>,
        context: BlockContext<'_>,
    ) -> BTreeMap<Address, U256> {
        let least = |token| Some((token, valuer.last_known(token)?.units_up(least_cost(context))));
        tokens.into_iter().filter_map(least).collect()
    }

    /// Plans to read the pools for sales that may be made in the next blocks.
    #[must_use]
    pub fn pools_ahead(&self, header: &Header, sales: impl IntoIterator<Item = (Address, Address)>) -> PoolReading {
        self.router.reading_ahead(header, sales.into_iter().flat_map(|sale| self.with_exchanges(sale)))
    }

    /// Takes pools that were read.
    pub fn take_pools(&mut self, pools: PoolsRead) {
        self.router.take(pools);
    }

    /// Returns the sales that a liquidation with this sale of collateral for debt tokens may need.
    fn with_exchanges(&self, sale: (Address, Address)) -> impl Iterator<Item = (Address, Address)> + use<> {
        let exchanged_for = self.settings.exchanged_for;
        let exchanges = [sale.0, sale.1].into_iter().filter_map(move |left| Some((left, exchanged_for?)));
        std::iter::once(sale).chain(exchanges.filter(|(from, to)| from != to))
    }

    /// Decides about every lot of a protocol in a block. Without any, no request is made.
    pub async fn decide<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        (deployment, lots): (&Deployment, &[Lot]),
        context: BlockContext<'_>,
        bids: &Bids,
        exclusion: Exclusion<'_, PositionId>,
    ) -> Decisions<PositionId> {
        let mut decisions = Decisions::default();
        let Some(target) = self.target(deployment) else { return decisions };
        let mut positions = by_position(deployment.address, lots);
        positions.retain(|(id, _)| !decisions.skip_excluded(*id, exclusion));
        if positions.is_empty() {
            return decisions;
        }
        let ids = || positions.iter().map(|(id, _)| *id);
        if context.room == 0 {
            decisions.skip(ids(), &SkipReason::Held { rule: no_room(context.room) });
            return decisions;
        }
        let lots = || positions.iter().flat_map(|(_, lots)| lots);
        let tokens: BTreeSet<_> = lots().map(|lot| lot.debt).collect();
        let values = valuer.values(reader, context.header, &tokens.into_iter().collect::<Vec<_>>()).await;
        let read = match values {
            Ok(values) => {
                let sales: BTreeSet<_> =
                    lots().flat_map(|lot| self.with_exchanges((lot.collateral, lot.debt))).collect();
                self.router.refresh(reader, context.header, sales).await.map(|()| values)
            }
            Err(error) => Err(error),
        };
        let values = match read {
            Ok(values) => values,
            Err(error) => {
                decisions.skip(ids(), &SkipReason::unanswered(&error));
                return decisions;
            }
        };
        let mut planned: Vec<Candidates<'_>> = Vec::new();
        for (id, lots) in &positions {
            match self.candidates(target, (*id, lots), &values, context) {
                Ok(candidates) => planned.push(candidates),
                Err(reason) => decisions.skip([*id], &reason),
            }
        }
        planned.sort_by_key(|candidates| (Reverse(candidates.promise), candidates.id));
        let later = planned.split_off(planned.len().min(MAX_LOTS));
        decisions.skip(later.iter().map(|candidates| candidates.id), &SkipReason::TriedLater);
        let all: Vec<_> = planned.iter().map(|candidates| candidates.id).collect();
        if let Err(error) = self.simulate_and_send(reader, planned, context, bids, &mut decisions).await {
            let is_decided = |id: &PositionId| decisions.verdicts.iter().any(|verdict| verdict.target == *id);
            let undecided: Vec<_> = all.into_iter().filter(|id| !is_decided(id)).collect();
            decisions.skip(undecided, &SkipReason::unanswered(&error));
        }
        decisions
    }

    /// Returns how the executor lists a protocol; `None` if it does not.
    pub(super) fn target(&self, deployment: &Deployment) -> Option<Target> {
        let index = self.settings.targets.get(&deployment.address).copied()?;
        Some(Target { index, repays_first: deployment.protocol.repays_first() })
    }

    /// Returns the calls that could liquidate one of a position's lots. Fails with the first lot's reason where no lot has a
    /// candidate.
    pub(super) fn candidates<'a>(
        &self,
        target: Target,
        (id, lots): (PositionId, &[&'a Lot]),
        values: &Values,
        context: BlockContext<'_>,
    ) -> Result<Candidates<'a>, SkipReason> {
        let (mut found, mut reason) = (Vec::new(), None);
        for lot in lots {
            match self.candidates_of_lot(target, (id, lot), values, context) {
                Ok(candidates) => found.extend(candidates),
                Err(problem) => reason = reason.or(Some(problem)),
            }
        }
        found.sort_by_key(|(promise, _)| Reverse(*promise));
        found.truncate(MAX_CANDIDATES);
        let promise = found.first().map(|(promise, _)| *promise).ok_or(reason.unwrap_or(SkipReason::NoRoute))?;
        let others = found.split_off(found.partition_point(|(own, _)| is_likely(*own, promise)).max(1));
        let calls = |found: Vec<(U256, Candidate<'a>)>| found.into_iter().map(|(_, candidate)| candidate).collect();
        Ok(Candidates { id, promise, likely: calls(found), others: calls(others) })
    }

    /// Adds a call of each size with its sale split, and each with its profit exchanged for the wrapped coin.
    pub(super) fn with_variants<'a>(
        &self,
        mut candidates: Vec<Candidate<'a>>,
        context: BlockContext<'_>,
    ) -> Vec<Candidate<'a>> {
        let size = |candidate: &Candidate<'_>| (candidate.lot.collateral, candidate.lot.debt, candidate.seized());
        let sizes: BTreeMap<_, _> = candidates.iter().map(|candidate| (size(candidate), candidate)).collect();
        let splits: Vec<_> = sizes.values().filter_map(|candidate| self.split(candidate, context)).collect();
        candidates.extend(splits);
        let exchanged: Vec<_> = candidates.iter().filter_map(|candidate| self.exchanged(candidate)).collect();
        candidates.extend(exchanged);
        candidates
    }

    /// Returns the call with its sale split over several routes; `None` where that brings no more than its gas.
    fn split<'a>(&self, candidate: &Candidate<'a>, context: BlockContext<'_>) -> Option<Candidate<'a>> {
        let (lot, amount) = (candidate.lot, candidate.seized());
        let cost = candidate.profit.rate.units_up(context.costs.transaction_cost(PART_GAS, PART_BYTES));
        let split = self.router.pools().split(lot.collateral, lot.debt, self.router.hubs(), amount, cost)?;
        let (route, buying) = (split.encode(), split.encode_for_buying());
        Some(Candidate { route, buying, proceeds: split.amount_out, ..candidate.clone() })
    }

    /// Returns the call with its profit exchanged for the wrapped coin; `None` where it is to stay as it is, is in that coin
    /// anyway, or no pool exchanges it.
    fn exchanged<'a>(&self, candidate: &Candidate<'a>) -> Option<Candidate<'a>> {
        let coin = self.settings.exchanged_for.filter(|coin| *coin != candidate.profit.token)?;
        let (lot, liquidation) = (candidate.lot, &candidate.expected.liquidation);
        let profit = ProfitToken::wrapped_coin(coin);
        // Nothing need be exchanged where all that is left can be collateral.
        if lot.collateral == coin {
            return Some(Candidate { profit, exact_out: true, conversion: Bytes::new(), ..candidate.clone() });
        }
        let left = candidate.proceeds.checked_sub(liquidation.repaid)?;
        let (token, left) = if candidate.target.repays_first {
            (lot.collateral, mul_div_down(liquidation.seized, left, candidate.proceeds))
        } else {
            (lot.debt, left)
        };
        let routes = self.router.pools().candidates(token, coin, self.router.hubs(), left);
        let conversion = routes.first().map(Route::encode)?;
        Some(Candidate { profit, conversion, ..candidate.clone() })
    }

    /// Returns the calls that could liquidate a lot, each with what it promises.
    fn candidates_of_lot<'a>(
        &self,
        target: Target,
        (id, lot): (PositionId, &'a Lot),
        values: &Values,
        context: BlockContext<'_>,
    ) -> Result<Vec<(U256, Candidate<'a>)>, SkipReason> {
        if let Some(obstacle) = lot.obstacle {
            return Err(SkipReason::Unsupported { problem: obstacle.to_owned() });
        }
        let target = match lot.loan.target() {
            None => target,
            Some(account) => match self.settings.targets.get(&account) {
                Some(index) => Target { index: *index, repays_first: false },
                None => {
                    let problem = format!("the executor does not list {account}, through which this is liquidated");
                    return Err(SkipReason::Unsupported { problem });
                }
            },
        };
        let no_valuation = |problem| SkipReason::NoValuation { token: lot.debt, problem };
        let rate = values.of(lot.debt).map_err(no_valuation)?;
        let units_per_wei_x96 = rate.units_per_wei_x96().ok_or(no_valuation(NoValuation::OutOfRange))?;
        let bonus_wei = rate.value_down(lot.whole.bonus);
        let gas_wei = least_cost(context);
        if !context.costs.is_profitable(bonus_wei, gas_wei) {
            return Err(SkipReason::GainBelowGas { gain_wei: bonus_wei, gas_wei });
        }
        let mut found: Vec<(U256, Candidate<'a>)> = Vec::new();
        for halvings in 0..=MAX_HALVINGS {
            // The interest that accrues until the transaction is mined must not turn the whole into a part.
            let half = || leading_digits(lot.whole.repaid >> halvings, PART_DIGITS);
            let most = if halvings == 0 { U256::MAX } else { half() };
            // A protocol may refuse a part for what it would leave, and not a smaller one.
            let Some(expected) = lot.loan.expect(most) else { continue };
            let liquidation = expected.liquidation;
            if halvings != 0 && !context.costs.is_profitable(rate.value_down(liquidation.bonus), gas_wei) {
                break;
            }
            let routes =
                self.router.pools().candidates(lot.collateral, lot.debt, self.router.hubs(), liquidation.seized);
            // Debt tokens that must be there first come from a pool, of which the same token needs none.
            let is_possible = !target.repays_first || lot.collateral != lot.debt;
            for route in routes.into_iter().filter(|_| is_possible).take(ROUTES_PER_SIZE) {
                let brought_wei = rate.value_down(route.amount_out).saturating_add(NO_GAIN);
                let promise = brought_wei.saturating_sub(rate.value_up(liquidation.repaid));
                let (expected, proceeds, route) = (expected.clone(), route.amount_out, route.encode());
                let buying = route.clone();
                // Where debt tokens are bought first, collateral is left, which is sold the same way.
                let conversion = if target.repays_first { route.clone() } else { Bytes::new() };
                let profit = ProfitToken { token: lot.debt, rate, units_per_wei_x96 };
                let exact_out = false;
                let candidate =
                    Candidate { id, lot, target, expected, route, buying, proceeds, profit, exact_out, conversion };
                found.push((promise, candidate));
            }
        }
        if found.is_empty() { Err(SkipReason::NoRoute) } else { Ok(found) }
    }

    /// Simulates the candidates of every position, each on its own, then the jobs made of the best one after another, and sends
    /// what pays.
    async fn simulate_and_send<R: ChainReader>(
        &self,
        reader: &R,
        planned: Vec<Candidates<'_>>,
        context: BlockContext<'_>,
        bids: &Bids,
        decisions: &mut Decisions<PositionId>,
    ) -> Result<(), ChainError> {
        let settings = &self.settings;
        let (likely, others): (Vec<_>, Vec<_>) =
            planned.into_iter().map(|candidates| (candidates.likely, candidates.others)).unzip();
        let mut chosen = Vec::new();
        let mut again: Vec<(SkipReason, Vec<Candidate<'_>>)> = Vec::new();
        for (choice, others) in self.choose(reader, likely, context).await?.into_iter().zip(others) {
            match choice {
                Ok(best) => chosen.push(best),
                Err((id, reason)) if others.is_empty() => decisions.skip([id], &reason),
                Err((_, reason)) => again.push((reason, others)),
            }
        }
        let (reasons, others): (Vec<_>, Vec<_>) = again.into_iter().unzip();
        for (choice, reason) in self.choose(reader, others, context).await?.into_iter().zip(reasons) {
            match choice {
                Ok(best) => chosen.push(best),
                Err((id, _)) => decisions.skip([id], &reason),
            }
        }
        chosen.sort_by_key(|(candidate, quote)| (Reverse(quote.net()), candidate.id));
        let jobs = jobs(chosen);
        let is_simple = jobs.len() == 1 && jobs.iter().all(Job::is_single);
        if is_simple {
            jobs.iter().for_each(|job| settings.send_first(job, context, bids, decisions));
            return Ok(());
        }
        // Jobs may sell through the same pools, so each is tried after those before it.
        let sequence: Vec<_> = jobs.iter().map(|job| settings.job_trial(job, context)).collect();
        let results = reader.run(context.header, &[sequence]).await?.into_iter().flatten();
        for (job, result) in jobs.iter().zip(results) {
            settings.send_job(job, &result, context, bids, decisions);
        }
        Ok(())
    }

    /// Simulates the calls of positions, of each at least one, with all their variants, all in one request. Returns the best of
    /// each.
    async fn choose<'a, R: ChainReader>(
        &self,
        reader: &R,
        positions: Vec<Vec<Candidate<'a>>>,
        context: BlockContext<'_>,
    ) -> Result<Vec<Choice<'a>>, ChainError> {
        let settings = &self.settings;
        let tried: Vec<_> = positions.into_iter().map(|candidates| self.with_variants(candidates, context)).collect();
        let calls: Vec<_> = tried.iter().flatten().map(|candidate| settings.trial(candidate, context)).collect();
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut results = reader.run_each(context.header, calls).await?.into_iter();
        let mut choices = Vec::new();
        for candidates in tried {
            let (mut unchanged, mut exchanged) = (None, None);
            let mut reason = None;
            for candidate in candidates {
                let id = candidate.id;
                let quote = results.next().map(|result| settings.quote_single(&candidate, &result, context));
                match quote {
                    Some(Ok(quote)) => {
                        let is_unchanged = candidate.profit.token == candidate.lot.debt;
                        let best: &mut Option<(Candidate<'_>, Quote)> =
                            if is_unchanged { &mut unchanged } else { &mut exchanged };
                        if best.as_ref().is_none_or(|(_, best)| quote.net() > best.net()) {
                            *best = Some((candidate, quote));
                        }
                    }
                    Some(Err(problem)) => reason = reason.or(Some((id, problem))),
                    None => reason = Some((id, SkipReason::Unanswered { problem: "no result".to_owned() })),
                }
            }
            let keeps_enough = |(_, exchanged): &(Candidate<'_>, Quote)| {
                let gain = unchanged.as_ref().map_or(U256::ZERO, |(_, unchanged)| unchanged.gain());
                exchanged.gain() >= kept(gain, MAX_EXCHANGE_LOSS_BPS)
            };
            match (exchanged.filter(keeps_enough).or(unchanged), reason) {
                (Some(best), _) => choices.push(Ok(best)),
                (None, Some(reason)) => choices.push(Err(reason)),
                (None, None) => {}
            }
        }
        Ok(choices)
    }
}

/// Whether a call may turn out better than the most promising one, or nearly as good: a part of the same sale uses as much gas
/// and brings less.
fn is_likely(promise: U256, best: U256) -> bool {
    let gain = |promise: U256| promise.saturating_sub(NO_GAIN);
    let least = mul_div_down(gain(best), U256::from(LIKELY_QUARTERS), U256::from(4));
    best > NO_GAIN && gain(promise) >= least
}

/// Puts positions of the same market, whose profit is in the same token, into one transaction, as many as fit.
fn jobs(chosen: Vec<(Candidate<'_>, Quote)>) -> Vec<Job<'_>> {
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for (candidate, quote) in chosen {
        match jobs.iter_mut().find(|job| job.takes(&candidate, MAX_ITEMS)) {
            Some(job) => job.items.push((candidate, quote)),
            None => jobs.push(Job { items: vec![(candidate, quote)] }),
        }
    }
    jobs
}

/// The least that a liquidation with a swap costs, in wei.
fn least_cost(context: BlockContext<'_>) -> U256 {
    context.costs.transaction_cost(LEAST_GAS, 0)
}
