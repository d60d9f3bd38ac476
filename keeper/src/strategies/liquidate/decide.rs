//! The steps from the book at a block to what is sent. The only part of the strategy that reads the chain.

use alloy::primitives::{Address, U256};
use futures_util::future::{join, join_all, try_join_all};
use plimsoll_chain::error::ChainError;

use super::{
    Liquidate, LoanId,
    batches::{LiquidationCosts, build_batches},
    candidate_call::{CandidateCall, ProfitGuard, whole_and_parts, whole_batch},
    funding::Inventory,
    market_snapshot::MarketSnapshot,
    plan::MarketPlan,
};
use crate::{
    book::{Book, LiquidationCandidate},
    prices::{Call, CallResult, ChainReader, SimulatedCall, Valuer, Values},
    record::{self, Stage},
    strategies::{BlockContext, Decisions, Exclusion, SkipReason},
};

/// Most nodes execute no more gas than this in one request.
const GAS_PER_REQUEST: u64 = 50_000_000;

/// The loans of a market that can be liquidated and are not excluded.
struct MarketCandidates<'a> {
    snapshot: MarketSnapshot<'a>,
    candidates: Vec<LiquidationCandidate>,
}

impl MarketCandidates<'_> {
    fn loans(&self) -> impl Iterator<Item = LoanId> {
        self.candidates.iter().map(|loan| self.snapshot.loan(loan.account))
    }

    /// Returns the tokens that the profit may be in.
    fn profit_tokens(&self) -> impl Iterator<Item = Address> {
        let (params, settings) = (self.snapshot.market.params(), self.snapshot.settings);
        let keeps_collateral =
            settings.from_inventory || settings.routes.iter().any(|route| route.profit_in_collateral);
        [params.loanToken].into_iter().chain(keeps_collateral.then_some(params.collateralToken))
    }
}

impl Liquidate {
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
        let markets = self.liquidatable_markets(book, context, exclusion, &mut decisions);
        if markets.is_empty() {
            return decisions;
        }
        let from_inventory = markets.iter().filter(|market| market.snapshot.settings.from_inventory);
        let tokens: Vec<_> = from_inventory.map(|market| market.snapshot.market.params().loanToken).collect();
        let inventory = Inventory::read(reader, context.header, &self.settings, &tokens);
        let valued: Vec<_> = markets.iter().flat_map(MarketCandidates::profit_tokens).collect();
        valuer.prefetch(&valued, context.header);
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

    /// Returns the markets with liquidatable loans that are not excluded. Loans of disabled markets and excluded loans are
    /// skipped with their reasons.
    fn liquidatable_markets<'a>(
        &'a self,
        book: &'a Book,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, LoanId>,
        decisions: &mut Decisions<LoanId>,
    ) -> Vec<MarketCandidates<'a>> {
        let mut markets = Vec::new();
        for market in book.markets() {
            let Ok(price) = context.prices.of(market.id()) else { continue };
            let timestamp = context.header.timestamp;
            let mut candidates = market.liquidatable(price, timestamp);
            if candidates.is_empty() {
                continue;
            }
            let loan_id = |loan: &LiquidationCandidate| LoanId { market: market.id(), account: loan.account };
            let Some(settings) = self.settings.markets.get(&market.id().0) else {
                decisions.skip(candidates.iter().map(loan_id), &SkipReason::SwitchedOff);
                continue;
            };
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

    /// Encodes candidate calls for simulation, without a guard.
    fn encode_calls(&self, snapshot: MarketSnapshot<'_>, calls: &[CandidateCall<'_>]) -> Vec<Call> {
        calls.iter().map(|call| call.encode(&self.settings, snapshot, ProfitGuard::default())).collect()
    }

    /// Simulates the candidate calls of all markets, and selects in each market what to send.
    async fn simulate_and_select<R: ChainReader>(
        &self,
        reader: &R,
        context: BlockContext<'_>,
        mut plans: Vec<MarketPlan<'_>>,
        decisions: &mut Decisions<LoanId>,
    ) {
        let timer = record::stage(Stage::Trial);
        let sequences: Vec<_> = plans.iter().map(|plan| self.encode_calls(plan.snapshot, &plan.sequential)).collect();
        let sequential = sequences.iter().map(|calls| async {
            if calls.is_empty() {
                return Ok(None);
            }
            reader.simulate_sequential(context.header, calls).await
        });
        let independent = self.simulate_independent(reader, context, &mut plans);
        let (independent, sequential) = join(independent, join_all(sequential)).await;
        drop(timer);
        let independent = match independent {
            Ok(independent) => independent,
            Err(error) => {
                for plan in &plans {
                    decisions.skip(plan.loans(), &SkipReason::unanswered(&error));
                }
                return;
            }
        };
        for ((plan, independent), sequential) in plans.into_iter().zip(independent).zip(sequential) {
            // A node that fails at a sequence gets one batch a block, like one that does not support it.
            let sequential = sequential.ok().flatten().unwrap_or_default();
            self.select(&plan, context, &independent, &sequential, decisions);
        }
    }

    /// Simulates the independent calls of each plan, with the expected gas unless simulated gas is used. Fails where no
    /// node answers.
    ///
    /// Wholes and their halves come first. The more is sold, the worse the price: where a half brings no more than the
    /// whole, no smaller part does, and the smaller parts are left out.
    async fn simulate_independent<R: ChainReader>(
        &self,
        reader: &R,
        context: BlockContext<'_>,
        plans: &mut [MarketPlan<'_>],
    ) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        if self.settings.gas.use_simulated_gas
            && let Some(simulated) = self.simulate_with_gas(reader, context, plans).await?
        {
            return Ok(simulated);
        }
        let deferred: Vec<_> = plans.iter_mut().map(MarketPlan::defer_smaller_parts).collect();
        let mut simulated = self.simulate_in_one_request(reader, context, plans).await?;
        for ((plan, simulated), deferred) in plans.iter_mut().zip(&mut simulated).zip(deferred) {
            let quote = |(call, simulated): (&CandidateCall<'_>, &SimulatedCall)| {
                self.quote(plan, call, context, simulated).ok()
            };
            let quotes: Vec<_> = plan.independent.iter().zip(simulated.iter()).map(quote).collect();
            if deferred.is_empty() || plan.wholes_bring_most(&quotes) {
                continue;
            }
            let calls = self.encode_calls(plan.snapshot, &deferred);
            let results = reader.simulate_independent(context.header.hash, &calls).await?;
            simulated.extend(deferred.iter().zip(results).map(with_expected_gas));
            plan.independent.extend(deferred);
        }
        Ok(simulated)
    }

    /// Simulates all independent calls, each in a request of its own that also reports the gas; `None` where the node does
    /// not support that.
    async fn simulate_with_gas<R: ChainReader>(
        &self,
        reader: &R,
        context: BlockContext<'_>,
        plans: &[MarketPlan<'_>],
    ) -> Result<Option<Vec<Vec<SimulatedCall>>>, ChainError> {
        let calls: Vec<_> = plans.iter().flat_map(|plan| self.encode_calls(plan.snapshot, &plan.independent)).collect();
        let each = calls.iter().map(|call| reader.simulate_sequential(context.header, std::slice::from_ref(call)));
        let simulated: Option<Vec<_>> = try_join_all(each).await?.into_iter().collect();
        let Some(simulated) = simulated else { return Ok(None) };
        let mut simulated = simulated.into_iter().flatten();
        let of_plan = |plan: &MarketPlan<'_>| simulated.by_ref().take(plan.independent.len()).collect();
        Ok(Some(plans.iter().map(of_plan).collect()))
    }

    /// Simulates the independent calls that the plans have now, all in one request, with the expected gas.
    async fn simulate_in_one_request<R: ChainReader>(
        &self,
        reader: &R,
        context: BlockContext<'_>,
        plans: &[MarketPlan<'_>],
    ) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let calls: Vec<_> = plans.iter().flat_map(|plan| self.encode_calls(plan.snapshot, &plan.independent)).collect();
        let mut results = reader.simulate_independent(context.header.hash, &calls).await?.into_iter();
        let of_plan =
            |plan: &MarketPlan<'_>| plan.independent.iter().zip(results.by_ref()).map(with_expected_gas).collect();
        Ok(plans.iter().map(of_plan).collect())
    }
}

/// Returns the result of a call with the gas that the table expects.
fn with_expected_gas((call, result): (&CandidateCall<'_>, CallResult)) -> SimulatedCall {
    SimulatedCall { result, gas_used: call.expected_gas }
}
