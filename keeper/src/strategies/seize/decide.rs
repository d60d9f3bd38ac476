//! The steps from the lots of a block to what is sent.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use alloy::primitives::{Address, Bytes, U256};
use plimsoll_chain::error::ChainError;
use plimsoll_protocols::{Deployment, Lot, leading_digits};

use super::{
    PositionId, Seize,
    job::{Candidate, Job, ProfitToken, Quote, Target},
};
use crate::{
    chain::Header,
    math::wide::mul_div_down,
    prices::{ChainReader, NoValuation, Valuer, Values},
    routing::route::Route,
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

    /// Reads the pools for sales that may be made in the next blocks.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn prepare<R: ChainReader>(
        &mut self,
        reader: &R,
        header: &Header,
        sales: impl IntoIterator<Item = (Address, Address)>,
    ) -> Result<(), ChainError> {
        let sales: Vec<_> = sales.into_iter().flat_map(|sale| self.with_exchanges(sale)).collect();
        self.router.refresh_ahead(reader, header, sales).await
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
        // An account with several collaterals or debts has as many lots as pairs, of which one is liquidated.
        let mut positions: BTreeMap<PositionId, Vec<&Lot>> = BTreeMap::new();
        for lot in lots {
            let id = PositionId { deployment: deployment.address, market: lot.market, account: lot.account };
            positions.entry(id).or_default().push(lot);
        }
        positions.retain(|id, _| !decisions.skip_excluded(*id, exclusion));
        if positions.is_empty() {
            return decisions;
        }
        if context.room == 0 {
            let reason = SkipReason::Held { rule: no_room(context.room) };
            decisions.skip(positions.into_keys(), &reason);
            return decisions;
        }
        let lots = || positions.values().flatten();
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
                decisions.skip(positions.into_keys(), &SkipReason::unanswered(&error));
                return decisions;
            }
        };
        let mut planned: Vec<(U256, Vec<Candidate<'_>>)> = Vec::new();
        for (id, lots) in &positions {
            match self.candidates(target, (*id, lots), &values, context) {
                Ok(candidates) => planned.push(candidates),
                Err(reason) => decisions.skip([*id], &reason),
            }
        }
        planned
            .sort_by_key(|(promise, candidates)| (Reverse(*promise), candidates.first().map(|candidate| candidate.id)));
        let later = planned.split_off(planned.len().min(MAX_LOTS));
        let ids = later.iter().filter_map(|(_, candidates)| Some(candidates.first()?.id));
        decisions.skip(ids, &SkipReason::TriedLater);
        let planned: Vec<_> =
            planned.into_iter().map(|(_, candidates)| self.with_variants(candidates, context)).collect();
        let all: Vec<_> = planned.iter().filter_map(|candidates| Some(candidates.first()?.id)).collect();
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

    /// Returns the calls that could liquidate one of a position's lots, the most promising first, and what the first one
    /// promises: the value in wei of what the pools would bring beyond the repayment, shifted so that losses can be compared,
    /// too. The bonus by the protocol's price is no rank: anybody creates markets with a worthless token and an oracle of his
    /// own. Fails with the first lot's reason where no lot has a candidate.
    pub(super) fn candidates<'a>(
        &self,
        target: Target,
        (id, lots): (PositionId, &[&'a Lot]),
        values: &Values,
        context: BlockContext<'_>,
    ) -> Result<(U256, Vec<Candidate<'a>>), SkipReason> {
        let (mut found, mut reason) = (Vec::new(), None);
        for lot in lots {
            match self.candidates_of_lot(target, (id, lot), values, context) {
                Ok(candidates) => found.extend(candidates),
                Err(problem) => reason = reason.or(Some(problem)),
            }
        }
        found.sort_by_key(|(promise, _)| Reverse(*promise));
        found.truncate(MAX_CANDIDATES);
        let best = found.first().map(|(promise, _)| *promise).ok_or(reason.unwrap_or(SkipReason::NoRoute))?;
        Ok((best, found.into_iter().map(|(_, candidate)| candidate).collect()))
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
                let brought_wei = rate.value_down(route.amount_out).saturating_add(U256::MAX >> 1);
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

    /// Simulates the candidates of every lot, each on its own, then the jobs made of the best one after another, and sends
    /// what pays.
    async fn simulate_and_send<R: ChainReader>(
        &self,
        reader: &R,
        planned: Vec<Vec<Candidate<'_>>>,
        context: BlockContext<'_>,
        bids: &Bids,
        decisions: &mut Decisions<PositionId>,
    ) -> Result<(), ChainError> {
        let settings = &self.settings;
        let calls: Vec<_> = planned.iter().flatten().map(|candidate| settings.trial(candidate, context)).collect();
        let mut results = reader.run_each(context.header, calls).await?.into_iter();
        let mut chosen: Vec<(Candidate<'_>, Quote)> = Vec::new();
        for candidates in planned {
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
                (Some(best), _) => chosen.push(best),
                (None, Some((id, reason))) => decisions.skip([id], &reason),
                (None, None) => {}
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
