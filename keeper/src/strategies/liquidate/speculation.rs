//! Speculation: liquidations that a small fall of the price would make possible are tried along with the block's own
//! request, before it is known whether they are possible. So a decision on them needs no second request.
//!
//! The core leaves healthy loans of a call alone. So one trial of the loans nearest to liquidation within
//! [reach](PriceMoves::reach) answers for whichever of them turn out to be liquidatable, in their order. A trial counts
//! only where it did exactly what the decision means to do; else it is as if it had not been made:
//! - it was run in the block that is decided on;
//! - the loans to send are among its borrowers, in the same order, and are one batch;
//! - it repaid and seized exactly what the book expects of these loans alone, so that no other was liquidated with them;
//! - a smaller part cannot bring more, which a second trial tells: of a limited repayment, which the first loan that is
//!   liquidatable uses up. It names the few loans that can be that one, since those nearer to liquidation get there first.
//!
//! What is sent names the loans that are really liquidatable.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
};

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{ILiquidator, MarketId};

use super::{
    Liquidate, LoanId,
    batches::{LiquidationCosts, build_batches},
    candidate_call::{CandidateCall, call_with_max_repay, whole_batch},
    dust::Scope,
    funding::{Funding, Inventory},
    market_snapshot::MarketSnapshot,
    plan::MarketPlan,
};
use crate::{
    book::{Book, MarketBook},
    math::wide::{mul_div_down, mul_div_up},
    prices::{Call, ChainReader, SimulatedCall, Values},
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
    /// Those among them who can be the first, in the same order.
    firsts: Vec<Address>,
    /// One for each route, in the order of the settings.
    trials: Vec<Trial>,
}

/// The trials of one route.
#[derive(Debug)]
struct Trial {
    /// All loans.
    whole: Call,
    /// The same with a limit on the repayment, half of the smallest loan's, so that it tells what the first unit brings; of
    /// the loans that can be the first.
    part: Call,
    part_repay: U256,
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
            gas = speculation.calls().map(|call| call.gas).fold(gas, u64::saturating_add);
            gas <= GAS_PER_REQUEST
        });
        self.speculations = fitting.collect();
        self.speculations.iter().flat_map(Speculation::calls).cloned().collect()
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
        let nearest: Vec<_> = candidates.iter().map(|candidate| candidate.account).collect();
        let totals = market.at(timestamp);
        let repaid = |loan| Some(U256::from(snapshot.liquidate(&mut totals.clone(), loan, u128::MAX)?.repaid));
        let smallest = candidates.iter().filter_map(|candidate| repaid(candidate.loan)).min()?;
        let value = |incentive| first.incentive_value(incentive, price);
        let (batches, _) = build_batches(snapshot, candidates, value, costs);
        let batch = batches.first()?;
        let part_repay = smallest >> 1_u8;
        let order: Vec<_> = batch.loans.iter().map(|loan| loan.account).collect();
        let firsts = possible_firsts(&order, &nearest);
        let trial = |funding: &Funding<'_>| {
            let whole = whole_batch(costs, snapshot, batch, *funding)?;
            let (part, _) = call_with_max_repay(costs, snapshot, batch, *funding, part_repay)?;
            let borrowers = whole.borrowers.clone();
            // Which of them it reaches is for the core to find.
            let part = CandidateCall { borrowers: firsts.clone(), gas_limit: whole.gas_limit, ..part };
            let mut calls = self.encode_calls(snapshot, &[whole, part]).into_iter();
            Some((borrowers, Trial { whole: calls.next()?, part: calls.next()?, part_repay }))
        };
        let trials: Option<Vec<_>> = fundings.iter().map(trial).collect();
        let (mut borrowers, trials): (Vec<_>, Vec<_>) = trials?.into_iter().unzip();
        let incentive = snapshot.expect_liquidation(&mut batch.before.clone(), &batch.loans, U256::MAX).incentive;
        let borrowers = borrowers.pop()?;
        Some((value(incentive), Speculation { market: market.id(), borrowers, firsts, trials }))
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
        let has_first = expected.borrowers.first().is_some_and(|first| speculation.firsts.contains(first));
        if !has_order || !has_first || counts_gas || expected.borrowers.len() != batch.loans.len() {
            return None;
        }
        let wholes: Vec<_> = plan.independent.iter().filter(|call| call.max_repay == U256::MAX).cloned().collect();
        if wholes.len() != speculation.trials.len() {
            return None;
        }
        let mut simulated = Vec::new();
        for (call, trial) in wholes.iter().zip(&speculation.trials) {
            let whole = reader.known(context.header, &trial.whole)?;
            let outcome = ILiquidator::liquidateCall::abi_decode_returns(whole.result.as_ref().ok()?).ok()?;
            if (outcome.repaid, outcome.seized) != (expected.repaid, expected.seized) {
                return None;
            }
            let part = reader.known(context.header, &trial.part)?;
            if !self.brings_more_than(plan, call, context, &whole, &part, trial.part_repay) {
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

    /// Returns whether a whole batch pays, and brings more than any part of up to half of it. The more is sold, the worse
    /// the price, and the loans that gain most come first: so a part gains no more for each unit than a smaller one does,
    /// and half of the batch no more than half of the batch at the rate of the part that was tried. A part is counted as if
    /// it took the gas of one loan alone.
    fn brings_more_than(
        &self,
        plan: &MarketPlan<'_>,
        call: &CandidateCall<'_>,
        context: BlockContext<'_>,
        whole: &SimulatedCall,
        part: &SimulatedCall,
        part_repay: U256,
    ) -> bool {
        if part_repay.is_zero() || part_repay >= call.expected_repaid {
            return false;
        }
        let Ok(whole) = self.quote(plan, call, context, whole) else { return false };
        // A part for which the pools have no price at all gains nothing.
        let Ok(part) = self.quote(plan, call, context, part) else { return false };
        if !whole.is_profitable(&context.costs) || part.gain_wei > whole.gain_wei {
            return false;
        }
        let half: U256 = (call.expected_repaid >> 1_u8).max(part_repay);
        let gain_of_half = mul_div_up(part.gain_wei, half, part_repay);
        let least_gas = self.settings.gas.liquidation_gas(1, call.funding.pools());
        gain_of_half.saturating_sub(context.costs.transaction_cost(least_gas, 0)) <= whole.net()
    }
}

/// Returns the loans that can be the first of those that are liquidated, in the order of liquidation. However far the price
/// falls, the loans that it makes liquidatable are the `nearest` so many: so a loan can be the first where none is both
/// nearer to liquidation and earlier in the order.
fn possible_firsts(order: &[Address], nearest: &[Address]) -> Vec<Address> {
    let places: HashMap<_, _> = order.iter().zip(0_usize..).collect();
    let mut firsts: Vec<_> = nearest
        .iter()
        .filter_map(|loan| places.get(loan).map(|place| (*place, *loan)))
        .scan(usize::MAX, |earliest, (place, loan)| {
            let is_first = place < *earliest;
            *earliest = place.min(*earliest);
            Some(is_first.then_some(loan))
        })
        .flatten()
        .collect();
    firsts.reverse();
    firsts
}

impl Speculation {
    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.trials.iter().flat_map(|trial| [&trial.whole, &trial.part])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many of the nearest loans are liquidatable, the first of them in the order is among the firsts, and the first
    /// of these that is liquidatable.
    #[test]
    fn the_first_loan_is_the_first_of_the_possible_ones_however_far_the_price_falls() {
        let loan = |number: usize| Address::left_padding_from(&[u8::try_from(number).unwrap()]);
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for _ in 0..200 {
            let count = 1 + random(32);
            let mut nearest: Vec<_> = (0..count).map(loan).collect();
            let mut order = nearest.clone();
            for list in [&mut nearest, &mut order] {
                (1..count).rev().for_each(|at| list.swap(at, random(at + 1)));
            }
            let firsts = possible_firsts(&order, &nearest);
            let mut needed: Vec<_> = (1..=count)
                .map(|fallen| {
                    let is_liquidatable = |loan: &&Address| nearest[..fallen].contains(*loan);
                    let first = order.iter().find(is_liquidatable).unwrap();
                    assert_eq!(firsts.iter().find(is_liquidatable), Some(first));
                    *first
                })
                .collect();
            needed.dedup();
            needed.reverse();
            assert_eq!(firsts, needed, "none is named that cannot be the first");
        }
        let same: Vec<_> = (0..32).map(loan).collect();
        assert_eq!(possible_firsts(&same, &same), [loan(0)]);
        assert_eq!(possible_firsts(&same[..2], &same[1..]), [loan(1)], "a loan that would not pay is in no batch");
    }

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
