//! The steps from the book at a block to what is sent.

use std::{cmp::Reverse, collections::BTreeSet};

use alloy::primitives::{B256, U256, map::HashSet};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::market::BPS;

use super::{
    Guard, GuardSettings, MAX_TRIALS, OrderId,
    trial::{Quote, Trial},
};
use crate::{
    book::{Book, MarketBook, TriggeredOrder},
    math::{guard::MAX_PREMIUM_BPS, wide::mul_div_down},
    prices::{Call, ChainReader, Rate, Valuer},
    strategies::{BlockContext, Decisions, Exclusion, SkipReason, bids::Bids, failures::Failures},
};

/// By how much the value of a loan token may have risen since it was last read: what pays at so many times its last known
/// value is looked at.
const VALUE_MARGIN: u64 = 4;

/// A block in which orders are decided about.
struct Round<'a> {
    settings: &'a GuardSettings,
    context: BlockContext<'a>,
    bids: &'a Bids,
}

/// Orders that no node answered for.
type Unanswered = (Vec<OrderId>, ChainError);

impl Guard {
    /// Decides about every order whose trigger is met in a block. Without any, no request is made. Orders wait in markets
    /// that `busy` names: a liquidation is sent there in this block, and would be sold at the same exchange.
    pub async fn decide<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
        (bids, busy): (&Bids, &BTreeSet<B256>),
        exclusion: Exclusion<'_, OrderId>,
    ) -> Decisions<OrderId> {
        let Self { settings, failures } = self;
        let round = Round { settings, context, bids };
        let mut decisions = Decisions::default();
        let orders = round.triggered(book, valuer);
        let met: HashSet<OrderId> = orders.iter().map(|(market, order)| id_of(market, order)).collect();
        failures.retain(|order| met.contains(order));
        let orders: Vec<_> = orders
            .into_iter()
            .filter(|(market, order)| {
                let reason = round.wait(market, order, failures, busy).or_else(|| exclusion(id_of(market, order)));
                reason.iter().for_each(|reason| decisions.skip([id_of(market, order)], reason));
                reason.is_none()
            })
            .collect();
        if orders.is_empty() {
            return decisions;
        }
        let tokens: Vec<_> = orders.iter().map(|(market, _)| market.params().loanToken).collect();
        let values = match valuer.values(reader, context.header, &tokens).await {
            Ok(values) => values,
            Err(error) => {
                let ids = orders.iter().map(|(market, order)| id_of(market, order));
                decisions.skip(ids, &SkipReason::unanswered(&error));
                return decisions;
            }
        };
        let mut trials: Vec<Vec<Trial<'_>>> = Vec::new();
        for (market, order) in &orders {
            match settings.trials(market, order, &values, context) {
                Ok(of_order) => trials.push(of_order),
                Err(reason) => decisions.skip([id_of(market, order)], &reason),
            }
        }
        trials.sort_by_key(|routes| rank(routes, failures));
        let later = trials.split_off(trials.len().min(MAX_TRIALS));
        decisions.skip(later.iter().flatten().map(|trial| trial.id), &SkipReason::TriedLater);
        if let Err((ids, error)) = round.simulate_and_select(reader, trials, failures, &mut decisions).await {
            decisions.skip(ids, &SkipReason::unanswered(&error));
        }
        decisions
    }
}

impl Round<'_> {
    /// Returns every order whose trigger is met, of loans that are large enough.
    fn triggered<'a>(&self, book: &'a Book, valuer: &Valuer) -> Vec<(&'a MarketBook, TriggeredOrder)> {
        let markets = book.markets().filter(|market| self.settings.markets.contains_key(&market.id().0));
        let context = self.context;
        let mut orders = Vec::new();
        for market in markets {
            let Ok(price) = context.prices.of(market.id()) else { continue };
            let timestamp = context.header.timestamp;
            let least_shares = match valuer.last_known(market.params().loanToken) {
                Some(rate) => self.least_shares(market, rate),
                None => 0,
            };
            let triggered = market.triggered_orders(price, timestamp, least_shares);
            orders.extend(triggered.into_iter().map(|order| (market, order)));
        }
        orders
    }

    /// Returns the lowest borrow shares of the first size of loans whose orders could pay for a transaction.
    fn least_shares(&self, market: &MarketBook, rate: Rate) -> u128 {
        let context = self.context;
        let cost = context.costs.transaction_cost(self.settings.gas.order_gas(0), 0);
        market.least_shares(context.header.timestamp, |debt| {
            let premium = mul_div_down(U256::from(debt), U256::from(MAX_PREMIUM_BPS), U256::from(BPS));
            rate.value_up(premium.saturating_add(U256::ONE).saturating_mul(U256::from(VALUE_MARGIN))) > cost
        })
    }

    /// Returns why an order is not to be tried now; `None` if it is.
    fn wait(
        &self,
        market: &MarketBook,
        order: &TriggeredOrder,
        failures: &Failures<OrderId>,
        busy: &BTreeSet<B256>,
    ) -> Option<SkipReason> {
        let header = self.context.header;
        let from = order.placed.executable_from();
        if header.timestamp < from {
            return Some(SkipReason::CoolingDown { from });
        }
        if let Some(reason) = failures.reason(&id_of(market, order), header.number) {
            return Some(reason.clone());
        }
        busy.contains(&market.id().0).then_some(SkipReason::LiquidationsFirst)
    }

    /// Simulates orders by every route, each on its own, then those that pay in each market one after another, and sends
    /// what still pays. Fails with the orders that no node answered for.
    async fn simulate_and_select<R: ChainReader>(
        &self,
        reader: &R,
        trials: Vec<Vec<Trial<'_>>>,
        failures: &mut Failures<OrderId>,
        decisions: &mut Decisions<OrderId>,
    ) -> Result<(), Unanswered> {
        let Self { settings, context, .. } = *self;
        let ids = |trials: &[Vec<Trial<'_>>]| trials.iter().filter_map(|routes| Some(routes.first()?.id)).collect();
        let calls: Vec<_> = trials.iter().flatten().map(|trial| vec![settings.simulated(trial, context)]).collect();
        let results = reader.run(context.header, &calls).await.map_err(|error| (ids(&trials), error))?;
        let mut results = results.into_iter().map(|sequence| sequence.into_iter().next());
        let mut good: Vec<(Trial<'_>, Quote)> = Vec::new();
        let mut failed: Vec<(OrderId, SkipReason)> = Vec::new();
        for routes in trials {
            let mut best: Option<(Trial<'_>, Quote)> = None;
            let mut reason = None;
            for trial in routes {
                let id = trial.id;
                let result = results.next().flatten();
                match result.map(|result| settings.quote(&trial, &result, context)) {
                    Some(Ok(quote)) if best.as_ref().is_none_or(|(_, best)| quote.net() > best.net()) => {
                        best = Some((trial, quote));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(problem)) => reason = Some((id, problem)),
                    None => reason = Some((id, SkipReason::Unanswered { problem: "no result".to_owned() })),
                }
            }
            match (best, reason) {
                (Some(best), _) => good.push(best),
                (None, reason) => failed.extend(reason),
            }
        }
        for (id, reason) in failed {
            decisions.skip([id], &reason);
            failures.record(id, context.header.number, reason);
        }
        good.sort_by_key(|(_, quote)| Reverse(quote.net()));
        self.send_in_sequence(reader, good, failures, decisions).await
    }

    /// Sends the first order of each market, and those after it that still pay after those before them.
    async fn send_in_sequence<R: ChainReader>(
        &self,
        reader: &R,
        good: Vec<(Trial<'_>, Quote)>,
        failures: &mut Failures<OrderId>,
        decisions: &mut Decisions<OrderId>,
    ) -> Result<(), Unanswered> {
        let Self { settings, context, bids } = *self;
        let mut by_market: Vec<Vec<(Trial<'_>, Quote)>> = Vec::new();
        for (trial, quote) in good {
            let same = |list: &&mut Vec<(Trial<'_>, Quote)>| {
                list.first().is_some_and(|(one, _)| one.id.market == trial.id.market)
            };
            match by_market.iter_mut().find(same) {
                Some(list) => list.push((trial, quote)),
                None => by_market.push(vec![(trial, quote)]),
            }
        }
        let several = |list: &&Vec<(Trial<'_>, Quote)>| list.len() > 1;
        let sequences: Vec<Vec<Call>> = by_market
            .iter()
            .filter(several)
            .map(|list| list.iter().map(|(trial, _)| settings.simulated(trial, context)).collect())
            .collect();
        let sequential =
            if sequences.is_empty() { Ok(Vec::new()) } else { reader.run(context.header, &sequences).await };
        let mut sequential = match sequential {
            Ok(results) => results.into_iter(),
            Err(error) => {
                return Err((by_market.iter().flatten().map(|(trial, _)| trial.id).collect(), error));
            }
        };
        for list in by_market {
            let after_others = if list.len() > 1 { sequential.next().unwrap_or_default() } else { Vec::new() };
            let mut after_others = after_others.into_iter().skip(1);
            let mut has_stopped = false;
            for (index, (trial, quote)) in list.into_iter().enumerate() {
                let quote = if index == 0 {
                    Some(quote)
                } else {
                    let result = after_others.next().filter(|_| !has_stopped);
                    result.and_then(|result| settings.quote(&trial, &result, context).ok())
                };
                match quote {
                    Some(quote) => {
                        failures.forget(&trial.id);
                        settings.send(&trial, &quote, context, bids, decisions);
                    }
                    None => {
                        has_stopped = true;
                        decisions.skip([trial.id], &SkipReason::TriedLater);
                    }
                }
            }
        }
        Ok(())
    }
}

pub(super) fn id_of(market: &MarketBook, order: &TriggeredOrder) -> OrderId {
    OrderId { market: market.id(), account: order.account, kind: order.kind }
}

/// Orders by how often they failed, so that none keeps others waiting, and by the gain at the oracle's price; equal ones by
/// market and account, so that decisions are deterministic.
fn rank(routes: &[Trial<'_>], failures: &Failures<OrderId>) -> (u32, Reverse<U256>, Option<OrderId>) {
    let first = routes.first();
    let attempts = first.map_or(0, |trial| failures.attempts(&trial.id));
    (attempts, Reverse(first.map_or(U256::ZERO, |trial| trial.expected_wei)), first.map(|trial| trial.id))
}
