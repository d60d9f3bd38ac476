//! A round: from the book at a block to what is sent. The only part that asks a node.

use alloy::primitives::{Address, U256};
use futures_util::future::{join, join_all, try_join_all};
use plimsoll_chain::error::ChainError;

use super::{
    Liquidate, MarketSettings, Moment, Obstacle, Round,
    batches::{Batch, Scene, Terms, batches},
    offers::{Guard, Offer, parts, whole},
    ways::{Holdings, Way},
};
use crate::{
    book::{Book, Candidate},
    chain::Header,
    prices::{Call, Reads, Trial, Valuer, Values},
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

impl Plan<'_> {
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
        let (values, holdings) = join(valuer.values(reads, moment.header), holdings).await;
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
        let in_a_row = plans.iter().map(|plan| async {
            if plan.sequence.is_empty() {
                return Ok(None);
            }
            reads.sequence(moment.header, &self.calls(plan.scene, &plan.sequence)).await
        });
        let (alone, in_a_row) = join(self.alone(reads, moment.header, &plans), join_all(in_a_row)).await;
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

    /// Every offer of every plan by itself, in one request; with the gas of the table unless what was used counts.
    async fn alone<R: Reads>(&self, reads: &R, header: &Header, plans: &[Plan<'_>]) -> Result<Vec<Trial>, ChainError> {
        let calls: Vec<_> = plans.iter().flat_map(|plan| self.calls(plan.scene, &plan.offers)).collect();
        if self.settings.gas.as_tried {
            let each = calls.iter().map(|call| reads.sequence(header, std::slice::from_ref(call)));
            let trials: Option<Vec<_>> = try_join_all(each).await?.into_iter().collect();
            if let Some(trials) = trials {
                return Ok(trials.into_iter().flatten().collect());
            }
        }
        let answers = reads.calls(header.hash, &calls).await?;
        let gas = plans.iter().flat_map(|plan| plan.offers.iter().map(|offer| offer.gas));
        Ok(answers.into_iter().zip(gas).map(|(answer, gas_used)| Trial { answer, gas_used }).collect())
    }
}

impl Case<'_> {
    fn accounts(&self) -> impl Iterator<Item = Address> {
        self.candidates.iter().map(|loan| loan.account)
    }
}

fn unanswered(error: &ChainError) -> WhyNot {
    WhyNot::Unanswered { problem: error.to_string() }
}
