//! Speculation: liquidations that a small fall of the price would make possible are tried along with the block's own
//! request, before it is known whether they are possible. So a decision on them needs no second request.
//!
//! The core leaves healthy loans of a call alone. So one trial of the loans nearest to liquidation within
//! [reach](PriceMoves::reach) answers for whichever of them turn out to be liquidatable, in their order. A trial counts
//! only where it did exactly what the decision means to do; else it is as if it had not been made:
//! - it was run in the block that is decided on;
//! - the loans to send are among its borrowers, in the same order, and are one batch;
//! - it repaid and seized exactly what the book expects of these loans alone, so that no other was liquidated with them;
//! - a smaller part cannot bring more, which the [price at the margin](crate::routing::spot_price) of the route tells. It is
//!   read along with the trial, for much less than the node takes for another one.
//!
//! What is sent names the loans that are really liquidatable.

use std::{cmp::Reverse, collections::VecDeque};

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{ILiquidator, MarketId};

use super::{
    Liquidate, LoanId,
    batches::{LiquidationCosts, LoanBatch, build_batches},
    candidate_call::{CandidateCall, whole_batch},
    dust::Scope,
    funding::{Funding, Inventory, ProfitToken},
    market_snapshot::MarketSnapshot,
    plan::MarketPlan,
};
use crate::{
    book::{Book, MarketBook},
    math::wide::{mul_div_down, mul_div_up},
    prices::{Call, ChainReader, SimulatedCall, Values},
    routing::spot_price::{SpotPrice, SpotRoute},
    strategies::{BlockContext, Exclusion},
};

/// Number of blocks whose price moves count.
const MOVES: usize = 256;
/// A million: the unit of moves is a millionth of the price.
const MILLION: u32 = 1_000_000;
/// Least reach, in millionths: half a percent.
const MIN_REACH: u32 = 5_000;
/// Greatest reach, in millionths: five percent.
const MAX_REACH: u32 = 50_000;
/// Most loans of one market's trial: the node looks at each of them in every block, and the decision waits for it. Where more
/// become liquidatable at once, a second request tries them.
const MAX_LOANS: usize = 32;
/// Most gas of one market's trial.
const GAS_PER_MARKET: u64 = 3_000_000;
/// Most gas of all trials in a request.
const GAS_PER_REQUEST: u64 = 8_000_000;
/// Most routes of a market that are tried.
const MAX_ROUTES: usize = 2;

/// The moves of a market's price from block to block.
#[derive(Debug, Clone, Default)]
pub(super) struct PriceMoves {
    last: Option<U256>,
    /// Moves in millionths of the price, the newest last.
    moves: VecDeque<u32>,
}

impl PriceMoves {
    /// Records the price in the next block.
    fn record(&mut self, price: U256) {
        if let Some(last) = self.last.replace(price).filter(|last| !last.is_zero()) {
            if self.moves.len() == MOVES {
                self.moves.pop_front();
            }
            let moved = mul_div_down(price.abs_diff(last), U256::from(MILLION), last);
            self.moves.push_back(moved.saturating_to());
        }
    }

    /// Returns the fall of the price for which loans are tried, in millionths: half as much again as the largest move of
    /// the last blocks, within bounds.
    fn reach(&self) -> u32 {
        let largest = self.moves.iter().copied().max().unwrap_or_default();
        largest.saturating_add(largest / 2).clamp(MIN_REACH, MAX_REACH)
    }
}

/// The trials of a market's nearest loans.
#[derive(Debug)]
pub(super) struct Speculation {
    market: MarketId,
    /// Borrowers of the loans, in the order in which they are liquidated.
    borrowers: Vec<Address>,
    /// One of all loans for each route, in the order of the settings.
    trials: Vec<Call>,
    /// What is read of the routes' pools.
    reads: Vec<Call>,
}

impl Liquidate {
    /// Records the prices of a block that was decided on, and returns the trials to send with the next block's request. The
    /// markets that would bring most come first, as far as there is gas for their trials. Excluded loans are not tried.
    pub fn speculate(
        &mut self,
        book: &Book,
        values: &Values,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, LoanId>,
    ) -> Vec<Call> {
        let mut found = Vec::new();
        for market in book.markets() {
            let Ok(price) = context.prices.of(market.id()) else { continue };
            let moves = self.moves.entry(market.id().0).or_default();
            moves.record(price);
            let fall = mul_div_down(price, U256::from(moves.reach()), U256::from(MILLION));
            found.extend(self.speculate_in(market, price - fall, values, context, exclusion));
        }
        found.sort_by_key(|(gain_wei, _)| Reverse(*gain_wei));
        let mut gas = 0_u64;
        let fitting = found.into_iter().map(|(_, speculation)| speculation).take_while(|speculation| {
            let calls = speculation.reads.iter().chain(&speculation.trials);
            gas = calls.map(|call| call.gas).fold(gas, u64::saturating_add);
            gas <= GAS_PER_REQUEST
        });
        self.speculations = fitting.collect();
        // The pools are read first: a node that has too little gas leaves out what is last.
        let reads = self.speculations.iter().flat_map(|speculation| &speculation.reads);
        reads.chain(self.speculations.iter().flat_map(|speculation| &speculation.trials)).cloned().collect()
    }

    /// Returns the trials of the loans in a market that are liquidatable at `price`, with their expected gain in wei;
    /// `None` where none would pay.
    fn speculate_in(
        &self,
        market: &MarketBook,
        price: U256,
        values: &Values,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, LoanId>,
    ) -> Option<(U256, Speculation)> {
        let settings = self.settings.markets.get(&market.id().0)?;
        // Inventory and limits depend on more than the price.
        let is_simple = !settings.from_inventory && settings.max_repay.is_none();
        if !is_simple || settings.routes.len() > MAX_ROUTES {
            return None;
        }
        let spots: Vec<_> = settings.routes.iter().map(|route| route.spot.as_ref()).collect::<Option<_>>()?;
        let timestamp = context.header.timestamp;
        let snapshot = MarketSnapshot { market, settings, price, timestamp };
        let fundings = self.fundings(snapshot, values, &Inventory::default()).ok()?;
        let first = *fundings.first()?;
        let (table, room) = (&self.settings.gas, context.room.min(GAS_PER_MARKET));
        let costs = LiquidationCosts { table, costs: &context.costs, pools: first.pools(), room };
        let size = table.max_loans(room, first.pools()).min(MAX_LOANS);
        let Scope { least_shares, most } = self.scope(market, context, values.of(market.params().loanToken).ok());
        let mut candidates = market.liquidatable_from(price, timestamp, least_shares, most.min(size));
        candidates.retain(|loan| exclusion(snapshot.loan(loan.account)).is_none());
        // Whichever become liquidatable are among the nearest, which fit one batch.
        candidates.sort_by_key(|loan| Reverse(market.waterline(loan.account, timestamp)));
        candidates.truncate(size);
        let value = |incentive| first.incentive_value(incentive, price);
        let (batches, _) = build_batches(snapshot, candidates, value, costs);
        let batch = batches.first()?;
        let wholes = fundings.iter().map(|funding| whole_batch(costs, snapshot, batch, *funding));
        let wholes: Vec<_> = wholes.collect::<Option<_>>()?;
        let expected = snapshot.expect_liquidation(&mut batch.before.clone(), &batch.loans, U256::MAX);
        let speculation = Speculation {
            market: market.id(),
            borrowers: expected.borrowers,
            trials: self.encode_calls(snapshot, &wholes),
            reads: spots.into_iter().flat_map(SpotRoute::calls).collect(),
        };
        Some((value(expected.incentive), speculation))
    }

    /// Returns a plan whose only calls are those for the whole batch, with their results, where the block's own request has
    /// tried exactly them, all of them pay, and no part can bring more; else `None`.
    pub(super) fn answer_ahead<'a, R: ChainReader>(
        &self,
        reader: &R,
        context: BlockContext<'_>,
        plan: &MarketPlan<'a>,
    ) -> Option<(MarketPlan<'a>, Vec<SimulatedCall>)> {
        let [batch] = plan.batches.as_slice() else { return None };
        let speculation = self.speculations.iter().find(|speculation| speculation.market == plan.snapshot.id())?;
        let expected = plan.snapshot.expect_liquidation(&mut batch.before.clone(), &batch.loans, U256::MAX);
        let is_expected = |account: &&Address| expected.borrowers.contains(*account);
        let has_order = speculation.borrowers.iter().filter(is_expected).eq(&expected.borrowers);
        // Where the gas of a trial counts, loans that it passes over would count, too.
        let counts_gas = self.settings.gas.use_simulated_gas && speculation.borrowers != expected.borrowers;
        if !has_order || counts_gas || expected.borrowers.len() != batch.loans.len() {
            return None;
        }
        let wholes: Vec<_> = plan.independent.iter().filter(|call| call.max_repay == U256::MAX).cloned().collect();
        if wholes.len() != speculation.trials.len() {
            return None;
        }
        let mut simulated = Vec::new();
        for (call, trial) in wholes.iter().zip(&speculation.trials) {
            let whole = reader.known(context.header, trial)?;
            let outcome = ILiquidator::liquidateCall::abi_decode_returns(whole.result.as_ref().ok()?).ok()?;
            if (outcome.repaid, outcome.seized) != (expected.repaid, expected.seized) {
                return None;
            }
            let Funding::FlashSwap { route, .. } = call.funding else { return None };
            let spot = route.spot.as_ref()?;
            let states: Vec<_> = spot.calls().map(|read| reader.known(context.header, &read)).collect::<Option<_>>()?;
            let price = spot.price(states.into_iter().map(|state| state.result))?;
            if !self.brings_most(plan, (batch, call), context, &whole, price) {
                return None;
            }
            simulated.push(whole);
        }
        let plan = MarketPlan {
            snapshot: plan.snapshot,
            batches: plan.batches.clone(),
            independent: wholes,
            sequential: Vec::new(),
        };
        Some((plan, simulated))
    }

    /// Returns whether a whole batch pays, and no part of up to half of it brings more. A part seizes for each unit that it
    /// repays no more than the loan of which most is seized, and sells that at the price at the margin at best. It is counted
    /// as if it took the gas of one loan alone.
    fn brings_most(
        &self,
        plan: &MarketPlan<'_>,
        (batch, call): (&LoanBatch, &CandidateCall<'_>),
        context: BlockContext<'_>,
        whole: &SimulatedCall,
        price: SpotPrice,
    ) -> bool {
        let Ok(whole) = self.quote(plan, call, context, whole) else { return false };
        if !whole.is_profitable(&context.costs) {
            return false;
        }
        let half: U256 = call.expected_repaid >> 1_u8;
        let Some(seized) = most_seized(plan.snapshot, batch, half) else { return false };
        let gain = match call.funding {
            Funding::FlashSwap { profit: ProfitToken::Loan(rate), .. } => {
                rate.value_up(price.most_bought(seized).saturating_sub(half))
            }
            Funding::FlashSwap { profit: ProfitToken::Collateral(rate), .. } => {
                rate.value_up(seized.saturating_sub(price.least_sold(half)))
            }
            Funding::Inventory { .. } => return false,
        };
        let least_gas = self.settings.gas.liquidation_gas(1, call.funding.pools());
        gain.saturating_sub(context.costs.transaction_cost(least_gas, 0)) <= whole.net()
    }
}

/// Returns the most that a part of a batch seizes which repays so much; `None` where a loan of it is left alone.
pub(super) fn most_seized(snapshot: MarketSnapshot<'_>, batch: &LoanBatch, repaid: U256) -> Option<U256> {
    let mut totals = batch.before;
    let mut most = U256::ZERO;
    for candidate in &batch.loans {
        let done = snapshot.liquidate(&mut totals, candidate.loan, u128::MAX)?;
        // What is seized was rounded down, which a part of the loan may do by less.
        let seized = U256::from(done.seized).saturating_add(U256::ONE);
        most = most.max(mul_div_up(repaid, seized, U256::from(done.repaid)));
    }
    Some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_follows_the_largest_move_of_the_last_blocks_within_bounds() {
        let mut moves = PriceMoves::default();
        let mut reach_after = |price: u64| {
            moves.record(U256::from(price));
            moves.reach()
        };
        assert_eq!(reach_after(1_000_000), MIN_REACH);
        assert_eq!(reach_after(1_001_000), MIN_REACH);
        assert_eq!(reach_after(1_001_000 - 10_010), 15_000, "one percent down");
        assert_eq!(reach_after(2_000_000), MAX_REACH);
        for _ in 0..MOVES {
            reach_after(2_000_000);
        }
        assert_eq!(reach_after(2_000_000), MIN_REACH, "moves are forgotten");
    }
}
