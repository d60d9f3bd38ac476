//! The steps from the book at a block to what is sent. The only part of the strategy that reads the chain.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use futures_util::future::join;
use plimsoll_chain::error::ChainError;

use super::{
    Liquidate, LoanId, MarketSettings,
    batches::{LiquidationCosts, build_batches},
    candidate_call::{CandidateCall, ProfitGuard, whole_and_parts, whole_batch},
    dust::{Scope, UNVALUED_LOANS},
    funding::Inventory,
    market_snapshot::MarketSnapshot,
    plan::MarketPlan,
};
use crate::{
    book::{Book, LiquidationCandidate, MarketBook},
    prices::{Call, ChainReader, SimulatedCall, Valuer, Values},
    record::{self, Stage},
    strategies::{BlockContext, Decisions, Exclusion, SkipReason, gas::intrinsic_gas},
};

/// Most nodes execute no more gas than this in one request.
const GAS_PER_REQUEST: u64 = 50_000_000;

/// Results of a plan's calls, which stand where the calls stand.
struct SimulatedPlan {
    independent: Vec<SimulatedCall>,
    sequential: Vec<SimulatedCall>,
}

/// The loans of a market that can be liquidated and are not excluded.
struct MarketCandidates<'a> {
    snapshot: MarketSnapshot<'a>,
    candidates: Vec<LiquidationCandidate>,
}

impl MarketCandidates<'_> {
    fn loans(&self) -> impl Iterator<Item = LoanId> {
        self.candidates.iter().map(|loan| self.snapshot.loan(loan.account))
    }
}

/// Returns the tokens that the profit in a market may be in.
fn profit_tokens(market: &MarketBook, settings: &MarketSettings) -> impl Iterator<Item = Address> + use<> {
    let params = market.params();
    let keeps_collateral = settings.from_inventory || settings.routes.iter().any(|route| route.profit_in_collateral);
    [params.loanToken].into_iter().chain(keeps_collateral.then_some(params.collateralToken))
}

impl Liquidate {
    /// Returns the calls by which every decision begins: the values of the tokens that profits may be in, and the keeper's
    /// own tokens. To be asked along with the prices of a block, before it is known whether anything is liquidatable.
    #[must_use]
    pub fn calls_ahead(&self, book: &Book, valuer: &Valuer) -> Vec<Call> {
        let from_inventory = self.enabled_markets(book).filter(|(_, settings)| settings.from_inventory);
        let held: BTreeSet<_> = from_inventory.map(|(market, _)| market.params().loanToken).collect();
        let inventory = held.into_iter().flat_map(|token| Inventory::calls(&self.settings, token));
        valuer.calls(&self.valued_tokens(book)).into_iter().chain(inventory).collect()
    }

    /// Returns the tokens whose values decisions depend on, some of them more than once.
    #[must_use]
    pub fn valued_tokens(&self, book: &Book) -> Vec<Address> {
        self.enabled_markets(book).flat_map(|(market, settings)| profit_tokens(market, settings)).collect()
    }

    /// Returns the markets in which loans are liquidated, with their settings.
    fn enabled_markets<'a>(&'a self, book: &'a Book) -> impl Iterator<Item = (&'a MarketBook, &'a MarketSettings)> {
        book.markets().filter_map(|market| Some((market, self.settings.markets.get(&market.id().0)?)))
    }

    /// Decides about every loan that is liquidatable in a block. Without any, no request is made. Where no node answers,
    /// that is the reason for skipping the loans.
    pub async fn decide<R: ChainReader>(
        &self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, LoanId>,
    ) -> Decisions<LoanId> {
        let mut decisions = Decisions::default();
        self.value_first(reader, valuer, book, context).await;
        let markets = self.liquidatable_markets(book, context, valuer, exclusion, &mut decisions);
        if markets.is_empty() {
            return decisions;
        }
        let from_inventory = markets.iter().filter(|market| market.snapshot.settings.from_inventory);
        let tokens: Vec<_> = from_inventory.map(|market| market.snapshot.market.params().loanToken).collect();
        let inventory = Inventory::read(reader, context.header, &self.settings, &tokens);
        let snapshots = markets.iter().map(|market| market.snapshot);
        let valued: Vec<_> = snapshots.flat_map(|snapshot| profit_tokens(snapshot.market, snapshot.settings)).collect();
        let (values, inventory) = join(valuer.values(reader, context.header, &valued), inventory).await;
        let (values, inventory) = match values.and_then(|values| Ok((values, inventory?))) {
            Ok(known) => known,
            Err(error) => {
                let reason = SkipReason::unanswered(&error);
                for market in markets {
                    decisions.skip(market.loans(), &reason);
                }
                return decisions;
            }
        };
        let mut plans = Vec::new();
        for market in markets {
            plans.extend(self.plan_market(market, &values, &inventory, context, &mut decisions));
        }
        self.simulate_and_select(reader, context, plans, &mut decisions).await;
        decisions
    }

    /// Reads the values of loan tokens that were never read, of markets with so many loans that dust among them would
    /// show. Where no node answers, the next block tries again.
    async fn value_first<R: ChainReader>(
        &self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
    ) {
        let is_large = |market: &&MarketBook| {
            market.loans() > UNVALUED_LOANS && self.settings.markets.contains_key(&market.id().0)
        };
        let tokens = book.markets().filter(is_large).map(|market| market.params().loanToken);
        let unknown: Vec<_> = tokens.filter(|token| valuer.is_never_read(*token)).collect();
        if !unknown.is_empty() {
            let _ = valuer.values(reader, context.header, &unknown).await;
        }
    }

    /// Returns the markets with liquidatable loans that are not excluded. Loans of disabled markets, dust and excluded
    /// loans are skipped with their reasons.
    fn liquidatable_markets<'a>(
        &'a self,
        book: &'a Book,
        context: BlockContext<'_>,
        valuer: &Valuer,
        exclusion: Exclusion<'_, LoanId>,
        decisions: &mut Decisions<LoanId>,
    ) -> Vec<MarketCandidates<'a>> {
        let mut markets = Vec::new();
        for market in book.markets() {
            let Ok(price) = context.prices.of(market.id()) else { continue };
            let timestamp = context.header.timestamp;
            let loan_id = |loan: &LiquidationCandidate| LoanId { market: market.id(), account: loan.account };
            let Some(settings) = self.settings.markets.get(&market.id().0) else {
                let candidates = market.liquidatable_from(price, timestamp, 0, UNVALUED_LOANS);
                decisions.skip(candidates.iter().map(loan_id), &SkipReason::SwitchedOff);
                continue;
            };
            let Scope { least_shares, most } =
                self.scope(market, context, valuer.last_known(market.params().loanToken));
            decisions.skip_dust(market, price, timestamp, least_shares);
            let mut candidates = market.liquidatable_from(price, timestamp, least_shares, most);
            candidates.retain(|loan| !decisions.skip_excluded(loan_id(loan), exclusion));
            if !candidates.is_empty() {
                let snapshot = MarketSnapshot { market, settings, price, timestamp };
                markets.push(MarketCandidates { snapshot, candidates });
            }
        }
        markets
    }

    /// Groups a market's loans into batches and lists the candidate calls; `None` where nothing can be profitable, with a
    /// reason for every loan.
    fn plan_market<'a>(
        &self,
        market: MarketCandidates<'a>,
        values: &Values,
        inventory: &Inventory,
        context: BlockContext<'_>,
        decisions: &mut Decisions<LoanId>,
    ) -> Option<MarketPlan<'a>> {
        let snapshot = market.snapshot;
        let fundings = match self.fundings(snapshot, values, inventory) {
            Ok(fundings) => fundings,
            Err(reason) => {
                decisions.skip(market.loans(), &reason);
                return None;
            }
        };
        let first = *fundings.first()?;
        let (table, costs, room) = (&self.settings.gas, &context.costs, context.room);
        let costs = LiquidationCosts { table, costs, pools: first.pools(), room };
        let value = |incentive| first.incentive_value(incentive, snapshot.price);
        let (batches, skipped) = build_batches(snapshot, market.candidates, value, costs);
        for (account, reason) in skipped {
            decisions.skip([snapshot.loan(account)], &reason);
        }
        let best = batches.first()?;
        let independent =
            fundings.iter().flat_map(|funding| whole_and_parts(costs, snapshot, best, *funding)).collect();
        let mut gas = 0_u64;
        let fits_request = |call: &CandidateCall<'_>| {
            gas = gas.saturating_add(call.expected_gas);
            gas <= GAS_PER_REQUEST
        };
        let is_single = batches.len() < 2 || first.max_repay(snapshot.settings) != U256::MAX;
        let in_sequence = if is_single { &[] } else { batches.as_slice() };
        let sequential = in_sequence.iter().map_while(|batch| whole_batch(costs, snapshot, batch, first));
        let sequential = sequential.take_while(fits_request).collect();
        Some(MarketPlan { snapshot, batches, independent, sequential })
    }

    /// Encodes candidate calls for simulation, without a guard. Each gets the gas that its transaction would leave it.
    pub(super) fn encode_calls(&self, snapshot: MarketSnapshot<'_>, calls: &[CandidateCall<'_>]) -> Vec<Call> {
        let encode = |call: &CandidateCall<'_>| {
            let call = call.encode(&self.settings, snapshot, ProfitGuard::default());
            Call { gas: call.gas.saturating_sub(intrinsic_gas(&call.data)), ..call }
        };
        calls.iter().map(encode).collect()
    }

    /// Simulates the candidate calls of all markets, and selects in each market what to send. Calls and sequences of all
    /// markets are one request; none is made for what the block's own request has tried already.
    ///
    /// Wholes and their halves come first. The more is sold, the worse the price: where a half brings no more than the
    /// whole, no smaller part does, and the smaller parts are left out. Else they are simulated by a second request.
    async fn simulate_and_select<R: ChainReader>(
        &self,
        reader: &R,
        context: BlockContext<'_>,
        mut plans: Vec<MarketPlan<'_>>,
        decisions: &mut Decisions<LoanId>,
    ) {
        plans.retain(|plan| match self.answer_ahead(reader, context, plan) {
            Some((whole, simulated)) => {
                self.select(&whole, context, &simulated, &[], decisions);
                false
            }
            None => true,
        });
        if plans.is_empty() {
            return;
        }
        let deferred: Vec<_> = plans.iter_mut().map(MarketPlan::defer_smaller_parts).collect();
        let simulated = match self.simulate(reader, context, &plans).await {
            Ok(simulated) => simulated,
            Err(error) => return skip_unanswered(&plans, &error, decisions),
        };
        let mut further = Vec::new();
        for ((mut plan, simulated), deferred) in plans.into_iter().zip(simulated).zip(deferred) {
            let quote = |(call, simulated): (&CandidateCall<'_>, &SimulatedCall)| {
                self.quote(&plan, call, context, simulated).ok()
            };
            let quotes: Vec<_> = plan.independent.iter().zip(&simulated.independent).map(quote).collect();
            if deferred.is_empty() || plan.wholes_bring_most(&quotes) {
                self.select(&plan, context, &simulated.independent, &simulated.sequential, decisions);
            } else {
                plan.independent.extend(deferred);
                further.push(plan);
            }
        }
        if further.is_empty() {
            return;
        }
        match self.simulate(reader, context, &further).await {
            Ok(simulated) => {
                for (plan, simulated) in further.iter().zip(simulated) {
                    self.select(plan, context, &simulated.independent, &simulated.sequential, decisions);
                }
            }
            Err(error) => skip_unanswered(&further, &error, decisions),
        }
    }

    /// Simulates the calls that the plans have now, all in one request. Fails where no node answers.
    async fn simulate<R: ChainReader>(
        &self,
        reader: &R,
        context: BlockContext<'_>,
        plans: &[MarketPlan<'_>],
    ) -> Result<Vec<SimulatedPlan>, ChainError> {
        let mut sequences = Vec::new();
        for plan in plans {
            sequences.extend(self.encode_calls(plan.snapshot, &plan.independent).into_iter().map(|call| vec![call]));
            sequences.push(self.encode_calls(plan.snapshot, &plan.sequential));
        }
        let timer = record::stage(Stage::Trial);
        let results = reader.run(context.header, &sequences).await?;
        drop(timer);
        let mut results = results.into_iter();
        let of_plan = |plan: &MarketPlan<'_>| SimulatedPlan {
            independent: results.by_ref().take(plan.independent.len()).flatten().collect(),
            sequential: results.next().unwrap_or_default(),
        };
        Ok(plans.iter().map(of_plan).collect())
    }
}

/// Records that the loans of all plans are skipped because no node answered.
fn skip_unanswered(plans: &[MarketPlan<'_>], error: &ChainError, decisions: &mut Decisions<LoanId>) {
    for plan in plans {
        decisions.skip(plan.loans(), &SkipReason::unanswered(error));
    }
}
