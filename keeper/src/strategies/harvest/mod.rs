//! Harvests: rewards claimed for others for their tips, and the keeper's own.
//!
//! What can be harvested, and for which tips, comes from the book. Accounts go together, the largest tips first, as long
//! as each brings more than its place costs; when they go is the matter of [`Waiting`], whose first lines state the
//! rule. The call is tried before it is sent, so that tokens that refuse are noticed.
//!
//! A round is a look, and looks are some blocks apart: rewards take days. A harvest is patient, so a liquidation goes
//! first wherever both want to be sent, and whoever runs both asks for liquidations first.

mod choice;
mod own;
mod rule;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::IRewards;
use serde::Serialize;

use self::choice::{Choice, Terms, choose};
pub use self::rule::{Patience, Waiting};
use super::{
    gas::{Costs, GasTable},
    reverts::Revert,
    why_not::{Decision, WhyNot},
};
use crate::{
    book::{Book, StreamBook},
    chain::Header,
    intent::{Intent, Purpose, Urgency},
    prices::{Call, Reads, Trial, Valuer, Values},
};

/// On which terms rewards are harvested.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who sends, and whose rewards are its own.
    pub keeper: Address,
    /// The staking programmes.
    pub rewards: Address,
    /// What transactions use.
    pub gas: GasTable,
    /// How long tips may wait.
    pub patience: Patience,
    /// The most accounts in one transaction.
    pub largest_batch: usize,
    /// How many seconds at least are between two looks.
    pub look_every_secs: u64,
    /// What becomes of the keeper's own rewards.
    pub own: OwnRewards,
    /// How long own rewards gather.
    pub own_every_secs: u64,
    /// How long a transaction is good for.
    pub deadline_secs: u64,
}

/// What becomes of the keeper's own rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnRewards {
    /// They stay where they are.
    Leave,
    /// They are claimed.
    Claim,
    /// They are claimed, and staked again where that can be.
    Compound,
}

/// One reward token of one programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct StreamId {
    /// The programme.
    pub pool: B256,
    /// What is paid.
    pub reward_token: Address,
}

/// What was decided about an account's reward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Which reward.
    pub stream: StreamId,
    /// Whose.
    pub account: Address,
    /// Done, or why not.
    pub decision: Decision,
}

/// What a look decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// What to send.
    pub intents: Vec<Intent>,
    /// Every account that can be harvested, once.
    pub verdicts: Vec<Verdict>,
}

/// What a round looks at besides the book.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The block that the book is at.
    pub header: &'a Header,
    /// What gas costs.
    pub costs: Costs,
    /// The most gas of one transaction.
    pub room: u64,
}

/// Why an account must not be touched now: it is in flight, or backed off from.
pub type Obstacle<'a> = &'a (dyn Fn(StreamId, Address) -> Option<WhyNot> + Send + Sync);

/// The strategy, and how long what it left has been waiting.
#[derive(Debug)]
pub struct Harvest {
    settings: Settings,
    waiting: BTreeMap<StreamId, Waiting>,
    /// Since when own rewards have been gathering, and how much there was at the last look.
    own: BTreeMap<StreamId, own::Gathering>,
    next_look: u64,
}

/// A transaction that could be sent.
struct Offer {
    stream: StreamId,
    purpose: Purpose,
    accounts: Vec<Address>,
    call: Call,
    gas: u64,
    gain_wei: U256,
    gas_wei: U256,
}

impl Harvest {
    /// Harvests on these terms.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings, waiting: BTreeMap::new(), own: BTreeMap::new(), next_look: 0 }
    }

    /// On which terms.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Looks, if the last look is long enough ago; `None` where it is not, and then nobody is asked. Nor is where nothing
    /// can be harvested.
    pub async fn round<R: Reads>(
        &mut self,
        reads: &R,
        valuer: &mut Valuer,
        book: &Book,
        moment: Moment<'_>,
        obstacle: Obstacle<'_>,
    ) -> Option<Round> {
        let now = moment.header.timestamp;
        if now < self.next_look {
            return None;
        }
        self.next_look = now.saturating_add(self.settings.look_every_secs);
        let mut round = Round::default();
        let streams: Vec<_> = book.rewards().filter(|stream| self.has_something(stream, now)).collect();
        if streams.is_empty() {
            return Some(round);
        }
        let tokens: Vec<_> = streams.iter().map(StreamBook::reward_token).collect();
        let values = match valuer.values(reads, moment.header, &tokens).await {
            Ok(values) => values,
            Err(error) => {
                for stream in streams {
                    let accounts = stream.harvestable(now).into_iter().map(|candidate| candidate.account);
                    round.leave(id_of(&stream), accounts, &unanswered(&error));
                }
                return Some(round);
            }
        };
        let mut offers = Vec::new();
        for stream in &streams {
            offers.extend(self.of_others(stream, &values, moment, obstacle, &mut round));
            offers.extend(self.own_rewards(stream, &values, moment, obstacle));
        }
        self.settle(reads, moment, offers, &mut round).await;
        Some(round)
    }

    fn has_something(&mut self, stream: &StreamBook<'_>, now: u64) -> bool {
        let of_others = !stream.harvestable(now).is_empty();
        if !of_others {
            self.waiting.remove(&id_of(stream));
        }
        of_others || (self.settings.own != OwnRewards::Leave && stream.claimable(self.settings.keeper, now) != 0)
    }

    /// What can be harvested for others, once the time has come.
    fn of_others(
        &mut self,
        stream: &StreamBook<'_>,
        values: &Values,
        moment: Moment<'_>,
        obstacle: Obstacle<'_>,
        round: &mut Round,
    ) -> Vec<Offer> {
        let (id, now) = (id_of(stream), moment.header.timestamp);
        let keeper = self.settings.keeper;
        let mut candidates = stream.harvestable(now);
        candidates.retain(|candidate| candidate.account != keeper);
        let token = id.reward_token;
        let rate = match values.of(token) {
            Ok(rate) => rate,
            Err(problem) => {
                let accounts = candidates.iter().map(|candidate| candidate.account);
                round.leave(id, accounts, &WhyNot::NoValuation { token, problem });
                return Vec::new();
            }
        };
        let terms = Terms {
            table: &self.settings.gas,
            costs: &moment.costs,
            room: moment.room,
            largest_batch: self.settings.largest_batch,
        };
        let Choice { batches, waiting_wei, gas_wei, left_out } = choose(&candidates, rate, terms);
        for (account, why_not) in left_out {
            round.leave(id, [account], &why_not);
        }
        let waiting = self.waiting.entry(id).or_insert_with(|| Waiting::new(now, waiting_wei));
        waiting.look(now, waiting_wei);
        let is_time = waiting.is_over(self.settings.patience, gas_wei);
        let mut offers = Vec::new();
        for batch in batches {
            let (gain_wei, gas_wei) = (batch.tips_wei, batch.gas_wei);
            if !is_time {
                round.leave(id, batch.accounts, &WhyNot::WorthWaiting { gain_wei, gas_wei });
                continue;
            }
            // What is in flight waits on for itself, and does not hold up the others.
            let mut accounts = batch.accounts;
            accounts.retain(|account| match obstacle(id, *account) {
                Some(why_not) => {
                    round.leave(id, [*account], &why_not);
                    false
                }
                None => true,
            });
            if accounts.is_empty() {
                continue;
            }
            let purpose = Purpose::Harvest { pool: id.pool, reward_token: token, accounts: accounts.clone() };
            let call = IRewards::harvestCall { pool: id.pool, rewardToken: token, accounts: accounts.clone() };
            let table = &self.settings.gas;
            let limit = if table.as_tried { moment.room } else { table.harvest_limit(batch.gas, accounts.len()) };
            let call = self.call(call.abi_encode(), limit);
            offers.push(Offer { stream: id, purpose, accounts, call, gas: batch.gas, gain_wei, gas_wei });
        }
        offers
    }

    fn call(&self, data: Vec<u8>, gas: u64) -> Call {
        Call { from: self.settings.keeper, to: self.settings.rewards, data: data.into(), gas }
    }

    /// Tries every call and sends those that go through and still pay. A node that carries calls out one after the other
    /// also says what gas they use: an account that does not hold the token yet takes more than the table has.
    async fn settle<R: Reads>(&self, reads: &R, moment: Moment<'_>, offers: Vec<Offer>, round: &mut Round) {
        if offers.is_empty() {
            return;
        }
        let trials = match tried(reads, moment.header, &offers).await {
            Ok(trials) => trials,
            Err(error) => {
                for offer in offers {
                    round.leave(offer.stream, offer.accounts, &unanswered(&error));
                }
                return;
            }
        };
        // Own rewards come with two offers, of which the first that goes through is taken.
        let (mut taken, mut refused) = (Vec::new(), BTreeMap::new());
        for (mut offer, trial) in offers.into_iter().zip(trials) {
            let is_own = matches!(offer.purpose, Purpose::ClaimOwn { .. });
            if is_own && taken.contains(&offer.stream) {
                continue;
            }
            offer.gas = trial.gas_used;
            if self.settings.gas.as_tried {
                offer.call.gas = self.settings.gas.harvest_limit(offer.gas, offer.accounts.len());
            }
            offer.gas_wei = moment.costs.of(offer.gas, offer.call.data.len());
            let why_not = match trial.answer {
                Ok(_) if moment.costs.are_worth(offer.gain_wei, offer.gas_wei) => {
                    if is_own {
                        taken.push(offer.stream);
                    }
                    round.send(offer, moment.header.timestamp.saturating_add(self.settings.deadline_secs));
                    continue;
                }
                Ok(_) => WhyNot::GainBelowGas { gain_wei: offer.gain_wei, gas_wei: offer.gas_wei },
                Err(refusal) => WhyNot::Reverts(Revert::of(&refusal)),
            };
            if is_own {
                refused.entry(offer.stream).or_insert(why_not);
            } else {
                round.leave(offer.stream, offer.accounts, &why_not);
            }
        }
        refused.retain(|stream, _| !taken.contains(stream));
        for (stream, why_not) in refused {
            round.leave(stream, [self.settings.keeper], &why_not);
        }
    }
}

/// What becomes of offers, with the gas of the table where the node does not say what they use.
async fn tried<R: Reads>(reads: &R, header: &Header, offers: &[Offer]) -> Result<Vec<Trial>, ChainError> {
    let calls: Vec<_> = offers.iter().map(|offer| offer.call.clone()).collect();
    if let Some(trials) = reads.sequence(header, &calls).await? {
        return Ok(trials);
    }
    let answers = reads.calls(header.hash, &calls).await?.into_iter();
    Ok(answers.zip(offers).map(|(answer, offer)| Trial { answer, gas_used: offer.gas }).collect())
}

impl Round {
    fn leave(&mut self, stream: StreamId, accounts: impl IntoIterator<Item = Address>, why_not: &WhyNot) {
        let verdict = |account| Verdict { stream, account, decision: Decision::WhyNot(why_not.clone()) };
        self.verdicts.extend(accounts.into_iter().map(verdict));
    }

    fn send(&mut self, offer: Offer, deadline: u64) {
        let decision = Decision::Act { gain_wei: offer.gain_wei, gas_wei: offer.gas_wei };
        let verdict = |account| Verdict { stream: offer.stream, account, decision: decision.clone() };
        self.verdicts.extend(offer.accounts.iter().copied().map(verdict));
        self.intents.push(Intent {
            purpose: offer.purpose,
            urgency: Urgency::Patient,
            to: offer.call.to,
            data: offer.call.data,
            gas_limit: offer.call.gas,
            expected_gas: offer.gas,
            expected_gain: offer.gain_wei,
            deadline,
        });
    }
}

fn id_of(stream: &StreamBook<'_>) -> StreamId {
    StreamId { pool: stream.pool().id(), reward_token: stream.reward_token() }
}

fn unanswered(error: &ChainError) -> WhyNot {
    WhyNot::Unanswered { problem: error.to_string() }
}
