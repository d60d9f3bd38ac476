//! A round: from the book at a block to what is sent. The only part that asks a node.

use alloy::primitives::{Address, U256};
use futures_util::future::{join, join_all, try_join_all};
use plimsoll_chain::error::ChainError;

use super::{
    Liquidate, MarketSettings, Moment, Obstacle, Round,
    batches::{Batch, Scene, Terms, batches},
    decide::Quote,
    offers::{Guard, Offer, parts, whole},
    ways::{Holdings, Way},
};
use crate::{
    book::{Book, Candidate},
    prices::{Answer, Call, Reads, Trial, Valuer, Values},
    strategies::WhyNot,
};

/// Most nodes carry out no more gas than this in one request.
const GAS_PER_REQUEST: u64 = 50_000_000;

/// What is left to find out about a market.
pub(super) struct Plan<'a> {
    pub(super) scene: Scene<'a>,
    batches: Vec<Batch>,
    /// The first batch, whole and in parts, by every way.
    pub(super) offers: Vec<Offer<'a>>,
    /// All batches whole, by the first way; empty where there is only one.
    pub(super) sequence: Vec<Offer<'a>>,
}

impl<'a> Plan<'a> {
    /// Leaves the two largest offers of each way, and gives the others.
    fn set_smaller_parts_aside(&mut self) -> Vec<Offer<'a>> {
        let (mut kept, mut aside): (Vec<Offer<'a>>, _) = (Vec::new(), Vec::new());
        for offer in std::mem::take(&mut self.offers) {
            let of_its_way = kept.iter().filter(|other| other.way == offer.way).count();
            if of_its_way < 2 { kept.push(offer) } else { aside.push(offer) }
        }
        self.offers = kept;
        aside
    }

    /// Whether by each way the whole goes through and its half brings no more; `quotes` are of the offers.
    fn wholes_bring_most(&self, quotes: &[Option<Quote>]) -> bool {
        let offers = self.offers.iter().zip(quotes);
        let mut best: Vec<(Way<'a>, U256)> = Vec::new();
        for (offer, quote) in offers {
            let net = quote.as_ref().map(Quote::net);
            match best.iter().find(|(way, _)| *way == offer.way) {
                Some((_, whole)) if net.is_some_and(|half| half > *whole) => return false,
                Some(_) => {}
                None => match net {
                    Some(whole) => best.push((offer.way, whole)),
                    None => return false,
                },
            }
        }
        true
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = Address> {
        self.batches.iter().flat_map(|batch| batch.loans.iter().map(|loan| loan.account))
    }
}

/// Loans of a market that nothing stands against.
struct Case<'a> {
    scene: Scene<'a>,
    settings: &'a MarketSettings,
    candidates: Vec<Candidate>,
}

impl Liquidate {
    /// Decides about every loan that can be liquidated in a block. Without any, nothing is asked of anybody. A node that
    /// does not answer is a reason like others.
    pub async fn round<R: Reads>(
        &self,
        reads: &R,
        valuer: &mut Valuer,
        book: &Book,
        moment: Moment<'_>,
        obstacle: Obstacle<'_>,
    ) -> Round {
        let mut round = Round::default();
        let cases = self.cases(book, moment, obstacle, &mut round);
        if cases.is_empty() {
            return round;
        }
        let stocked = cases.iter().filter(|case| case.settings.from_inventory);
        let tokens: Vec<_> = stocked.map(|case| case.scene.market.params().loanToken).collect();
        let holdings = Holdings::read(reads, moment.header, &self.settings, &tokens);
        let valued: Vec<_> = cases.iter().flat_map(Case::valued).collect();
        valuer.expect(&valued, moment.header);
        let (values, holdings) = join(valuer.values(reads, moment.header, &valued), holdings).await;
        let (values, holdings) = match values.and_then(|values| Ok((values, holdings?))) {
            Ok(known) => known,
            Err(error) => {
                for case in cases {
                    round.leave(case.scene.id(), case.accounts(), &unanswered(&error));
                }
                return round;
            }
        };
        let mut plans = Vec::new();
        for case in cases {
            plans.extend(self.plan(case, &values, &holdings, moment, &mut round));
        }
        self.settle(reads, moment, &values, plans, &mut round).await;
        round
    }

    fn cases<'a>(
        &'a self,
        book: &'a Book,
        moment: Moment<'_>,
        obstacle: Obstacle<'_>,
        round: &mut Round,
    ) -> Vec<Case<'a>> {
        let mut cases = Vec::new();
        for market in book.markets() {
            let Ok(price) = moment.prices.of(market.id()) else { continue };
            let timestamp = moment.header.timestamp;
            let mut candidates = market.liquidatable(price, timestamp);
            if candidates.is_empty() {
                continue;
            }
            let Some(settings) = self.settings.markets.get(&market.id().0) else {
                round.leave(market.id(), candidates.iter().map(|loan| loan.account), &WhyNot::SwitchedOff);
                continue;
            };
            candidates.retain(|loan| match obstacle(market.id(), loan.account) {
                Some(why_not) => {
                    round.leave(market.id(), [loan.account], &why_not);
                    false
                }
                None => true,
            });
            if !candidates.is_empty() {
                cases.push(Case { scene: Scene { market, price, timestamp }, settings, candidates });
            }
        }
        cases
    }

    /// Batches and what is to be tried of them.
    fn plan<'a>(
        &self,
        case: Case<'a>,
        values: &Values,
        holdings: &Holdings,
        moment: Moment<'_>,
        round: &mut Round,
    ) -> Option<Plan<'a>> {
        let Case { scene, settings, .. } = case;
        let ways = match self.ways(scene, settings, values, holdings) {
            Ok(ways) => ways,
            Err(why_not) => {
                round.leave(scene.id(), case.accounts(), &why_not);
                return None;
            }
        };
        let (first, purse) = *ways.first()?;
        let (table, costs) = (&self.settings.gas, &moment.costs);
        let terms = Terms { table, costs, pools: first.pools(), room: moment.room };
        let worth = |bonus| purse.worth_of_bonus(bonus, scene.price);
        let (batches, left_out) = batches(scene, case.candidates, worth, terms);
        for (account, why_not) in left_out {
            round.leave(scene.id(), [account], &why_not);
        }
        let best = batches.first()?;
        let most = |way| match way {
            Way::Sale(_) => settings.largest_repay.unwrap_or(U256::MAX),
            Way::Inventory(held) => settings.largest_repay.unwrap_or(U256::MAX).min(held),
        };
        let offers = ways.iter().flat_map(|way| parts(terms, scene, best, *way, most(way.0))).collect();
        let mut gas = 0_u64;
        let fits = |offer: &Offer<'_>| {
            gas = gas.saturating_add(offer.gas);
            gas <= GAS_PER_REQUEST
        };
        let alone = batches.len() < 2 || most(first) != U256::MAX;
        let in_a_row = if alone { &[] } else { batches.as_slice() };
        let sequence = in_a_row.iter().map_while(|batch| whole(terms, scene, batch, first)).take_while(fits).collect();
        Some(Plan { scene, batches, offers, sequence })
    }

    fn calls(&self, scene: Scene<'_>, offers: &[Offer<'_>]) -> Vec<Call> {
        offers.iter().map(|offer| offer.call(&self.settings, scene, Guard::default())).collect()
    }

    /// Tries all offers, and decides.
    async fn settle<R: Reads>(
        &self,
        reads: &R,
        moment: Moment<'_>,
        values: &Values,
        plans: Vec<Plan<'_>>,
        round: &mut Round,
    ) {
        let mut plans = plans;
        let sequences: Vec<_> = plans.iter().map(|plan| self.calls(plan.scene, &plan.sequence)).collect();
        let in_a_row = sequences.iter().map(|calls| async {
            if calls.is_empty() {
                return Ok(None);
            }
            reads.sequence(moment.header, calls).await
        });
        let (alone, in_a_row) = join(self.alone(reads, moment, values, &mut plans), join_all(in_a_row)).await;
        let alone = match alone {
            Ok(alone) => alone,
            Err(error) => {
                for plan in &plans {
                    round.leave(plan.scene.id(), plan.accounts(), &unanswered(&error));
                }
                return;
            }
        };
        let mut alone = alone.into_iter();
        for (plan, in_a_row) in plans.into_iter().zip(in_a_row) {
            let alone: Vec<Trial> = alone.by_ref().take(plan.offers.len()).collect();
            // A node that fails at a sequence gets one batch a block, like one that cannot do it.
            let in_a_row: Vec<Trial> = in_a_row.ok().flatten().unwrap_or_default();
            self.decide(&plan, moment, values, &alone, &in_a_row, round);
        }
    }

    /// Every offer of every plan by itself, with the gas of the table unless what was used counts. The whole and its half
    /// are tried first: the more is sold, the worse the price, so where the half brings no more than the whole, no smaller
    /// part does, and they are left out.
    async fn alone<R: Reads>(
        &self,
        reads: &R,
        moment: Moment<'_>,
        values: &Values,
        plans: &mut [Plan<'_>],
    ) -> Result<Vec<Trial>, ChainError> {
        if self.settings.gas.as_tried {
            let calls: Vec<_> = plans.iter().flat_map(|plan| self.calls(plan.scene, &plan.offers)).collect();
            let each = calls.iter().map(|call| reads.sequence(moment.header, std::slice::from_ref(call)));
            let trials: Option<Vec<_>> = try_join_all(each).await?.into_iter().collect();
            if let Some(trials) = trials {
                return Ok(trials.into_iter().flatten().collect());
            }
        }
        let smaller: Vec<_> = plans.iter_mut().map(Plan::set_smaller_parts_aside).collect();
        let mut tried = self.try_alone(reads, moment, plans).await?;
        for ((plan, trials), smaller) in plans.iter_mut().zip(&mut tried).zip(smaller) {
            let quote =
                |(offer, trial): (&Offer<'_>, &Trial)| self.quote(plan.scene, offer, values, moment, trial).ok();
            let quotes: Vec<_> = plan.offers.iter().zip(trials.iter()).map(quote).collect();
            if smaller.is_empty() || plan.wholes_bring_most(&quotes) {
                continue;
            }
            let answers = reads.calls(moment.header.hash, &self.calls(plan.scene, &smaller)).await?;
            trials.extend(smaller.iter().zip(answers).map(as_expected));
            plan.offers.extend(smaller);
        }
        Ok(tried.into_iter().flatten().collect())
    }

    /// The offers that each plan has now, all in one request.
    async fn try_alone<R: Reads>(
        &self,
        reads: &R,
        moment: Moment<'_>,
        plans: &[Plan<'_>],
    ) -> Result<Vec<Vec<Trial>>, ChainError> {
        let calls: Vec<_> = plans.iter().flat_map(|plan| self.calls(plan.scene, &plan.offers)).collect();
        let mut answers = reads.calls(moment.header.hash, &calls).await?.into_iter();
        let trials = |plan: &Plan<'_>| plan.offers.iter().zip(answers.by_ref()).map(as_expected).collect();
        Ok(plans.iter().map(trials).collect())
    }
}

/// An answer with the gas that the table expects.
fn as_expected((offer, answer): (&Offer<'_>, Answer)) -> Trial {
    Trial { answer, gas_used: offer.gas }
}

impl Case<'_> {
    /// The tokens that profit may be made of.
    fn valued(&self) -> impl Iterator<Item = Address> {
        let params = self.scene.market.params();
        let keeps_collateral =
            self.settings.from_inventory || self.settings.routes.iter().any(|route| route.profit_in_collateral);
        [params.loanToken].into_iter().chain(keeps_collateral.then_some(params.collateralToken))
    }

    fn accounts(&self) -> impl Iterator<Item = Address> {
        self.candidates.iter().map(|loan| loan.account)
    }
}

fn unanswered(error: &ChainError) -> WhyNot {
    WhyNot::Unanswered { problem: error.to_string() }
}
