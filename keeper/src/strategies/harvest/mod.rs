//! Harvests: staking rewards claimed for others for their tips, and the keeper's own rewards.
//!
//! What can be harvested, and for which tips, comes from the book. Accounts are harvested together, those with the
//! largest tips first, as long as each tip exceeds the gas of its place. When a stream is harvested is decided by
//! [`WaitingCost`], whose module states the rule. Every call is simulated before it is sent, so that a reward token whose
//! transfers revert is noticed.
//!
//! Rewards accrue over days, so the strategy runs at intervals, not in every block. Harvests have low priority: a
//! liquidation is sent first wherever both want to be sent, so liquidations are to be decided first.

mod own_rewards;
mod selection;
mod timing;

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

pub use self::timing::{HarvestTiming, WaitingCost};
use self::{
    own_rewards::OwnAccrual,
    selection::{HarvestCosts, Selection, select_accounts},
};
use super::{BlockContext, Decisions, Exclusion, Revert, SkipReason, gas::GasTable};
use crate::{
    book::{Book, StreamBook},
    chain::Header,
    intent::{Intent, Priority, Purpose},
    prices::{Call, ChainReader, SimulatedCall, Valuer, Values},
};

/// Parameters of harvesting.
#[derive(Debug, Clone)]
pub struct HarvestSettings {
    /// Account that signs and sends the transactions; its own rewards are claimed, too.
    pub keeper: Address,
    /// Address of the `Rewards` contract.
    pub rewards: Address,
    /// Expected gas of transactions, by their parts.
    pub gas: GasTable,
    /// How long tips may accrue before they are harvested.
    pub timing: HarvestTiming,
    /// Highest number of accounts in one transaction.
    pub max_batch: usize,
    /// Seconds between two runs of the strategy, at least.
    pub interval_secs: u64,
    /// What is done with the keeper's own rewards.
    pub own: OwnRewards,
    /// Seconds for which own rewards accrue before they are claimed, at least.
    pub own_interval_secs: u64,
    /// Seconds after the decision up to which a transaction may be mined.
    pub deadline_secs: u64,
}

/// What is done with the keeper's own rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnRewards {
    /// They are not claimed.
    Leave,
    /// They are claimed.
    Claim,
    /// They are claimed and staked again, where the reward token is the stake token; else only claimed.
    Compound,
}

/// Identifies a reward stream: one reward token of one staking programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct StreamId {
    /// Id of the staking programme.
    pub pool: B256,
    /// Token that the stream pays.
    pub reward_token: Address,
}

/// Identifies an account's reward from a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RewardId {
    /// Stream that pays the reward.
    pub stream: StreamId,
    /// Account that earns it.
    pub account: Address,
}

/// The harvest strategy, with what it remembers between runs.
#[derive(Debug)]
pub struct Harvest {
    settings: HarvestSettings,
    /// Cost so far of letting the tips of each stream wait.
    waiting: BTreeMap<StreamId, WaitingCost>,
    /// Accrual of the keeper's own rewards in each stream.
    own: BTreeMap<StreamId, OwnAccrual>,
    /// Earliest block time of the next run, in seconds.
    next_run_at: u64,
}

/// A transaction that could be sent.
struct HarvestCall {
    stream: StreamId,
    purpose: Purpose,
    accounts: Vec<Address>,
    call: Call,
    /// Expected gas.
    gas: u64,
    gain_wei: U256,
    gas_wei: U256,
}

impl HarvestCall {
    fn rewards(&self) -> impl Iterator<Item = RewardId> {
        rewards_of(self.stream, self.accounts.iter().copied())
    }

    /// Turns the call into an intent that is good up to `deadline`.
    fn into_intent(self, deadline: u64) -> Intent {
        Intent {
            purpose: self.purpose,
            priority: Priority::Low,
            to: self.call.to,
            data: self.call.data,
            gas_limit: self.call.gas,
            expected_gas: self.gas,
            expected_gain: self.gain_wei,
            deadline,
        }
    }
}

impl Harvest {
    /// Returns the strategy with these parameters.
    #[must_use]
    pub const fn new(settings: HarvestSettings) -> Self {
        Self { settings, waiting: BTreeMap::new(), own: BTreeMap::new(), next_run_at: 0 }
    }

    /// Returns the strategy's parameters.
    #[must_use]
    pub const fn settings(&self) -> &HarvestSettings {
        &self.settings
    }

    /// Decides about every reward that can be harvested in a block. `None` while the interval since the last run is not
    /// over. No request is made then, nor where nothing can be harvested.
    pub async fn decide<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, RewardId>,
    ) -> Option<Decisions<RewardId>> {
        let now = context.header.timestamp;
        if now < self.next_run_at {
            return None;
        }
        self.next_run_at = now.saturating_add(self.settings.interval_secs);
        let mut decisions = Decisions::default();
        let streams: Vec<_> = book.rewards().filter(|stream| self.is_harvestable(stream, now)).collect();
        if streams.is_empty() {
            return Some(decisions);
        }
        let tokens: Vec<_> = streams.iter().map(StreamBook::reward_token).collect();
        let values = match valuer.values(reader, context.header, &tokens).await {
            Ok(values) => values,
            Err(error) => {
                for stream in streams {
                    let accounts = stream.harvestable(now).into_iter().map(|candidate| candidate.account);
                    decisions.skip(rewards_of(id_of(&stream), accounts), &SkipReason::unanswered(&error));
                }
                return Some(decisions);
            }
        };
        let mut calls = Vec::new();
        for stream in &streams {
            calls.extend(self.calls_for_others(stream, &values, context, exclusion, &mut decisions));
            calls.extend(self.calls_for_own(stream, &values, context, exclusion));
        }
        self.simulate_and_select(reader, context, calls, &mut decisions).await;
        Some(decisions)
    }

    /// Returns whether a stream has anything to harvest, for others or for the keeper. Forgets the waiting cost of a
    /// stream that has nothing for others.
    fn is_harvestable(&mut self, stream: &StreamBook<'_>, now: u64) -> bool {
        let for_others = !stream.harvestable(now).is_empty();
        if !for_others {
            self.waiting.remove(&id_of(stream));
        }
        for_others || (self.settings.own != OwnRewards::Leave && stream.claimable(self.settings.keeper, now) != 0)
    }

    /// Returns the calls that harvest a stream for others, once harvesting is due.
    fn calls_for_others(
        &mut self,
        stream: &StreamBook<'_>,
        values: &Values,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, RewardId>,
        decisions: &mut Decisions<RewardId>,
    ) -> Vec<HarvestCall> {
        let (id, now) = (id_of(stream), context.header.timestamp);
        let keeper = self.settings.keeper;
        let mut candidates = stream.harvestable(now);
        candidates.retain(|candidate| candidate.account != keeper);
        let token = id.reward_token;
        let rate = match values.of(token) {
            Ok(rate) => rate,
            Err(problem) => {
                let accounts = candidates.iter().map(|candidate| candidate.account);
                decisions.skip(rewards_of(id, accounts), &SkipReason::NoValuation { token, problem });
                return Vec::new();
            }
        };
        let costs = HarvestCosts {
            table: &self.settings.gas,
            costs: &context.costs,
            room: context.room,
            max_batch: self.settings.max_batch,
        };
        let Selection { batches, waiting_wei, gas_wei, skipped } = select_accounts(&candidates, rate, costs);
        for (account, reason) in skipped {
            decisions.skip(rewards_of(id, [account]), &reason);
        }
        let waiting = self.waiting.entry(id).or_insert_with(|| WaitingCost::new(now, waiting_wei));
        waiting.update(now, waiting_wei);
        let is_due = waiting.is_due(self.settings.timing, gas_wei);
        let mut calls = Vec::new();
        for batch in batches {
            let (gain_wei, gas_wei) = (batch.tips_wei, batch.gas_wei);
            if !is_due {
                decisions.skip(rewards_of(id, batch.accounts), &SkipReason::WorthWaiting { gain_wei, gas_wei });
                continue;
            }
            // An account with a pending transaction does not hold up the others.
            let mut accounts = batch.accounts;
            accounts.retain(|&account| !decisions.skip_excluded(RewardId { stream: id, account }, exclusion));
            if accounts.is_empty() {
                continue;
            }
            let purpose = Purpose::Harvest { pool: id.pool, reward_token: token, accounts: accounts.clone() };
            let call = IRewards::harvestCall { pool: id.pool, rewardToken: token, accounts: accounts.clone() };
            let table = &self.settings.gas;
            let limit =
                if table.use_simulated_gas { context.room } else { table.harvest_gas_limit(batch.gas, accounts.len()) };
            let call = self.call(call.abi_encode(), limit);
            calls.push(HarvestCall { stream: id, purpose, accounts, call, gas: batch.gas, gain_wei, gas_wei });
        }
        calls
    }

    /// Returns a call of the `Rewards` contract from the keeper.
    fn call(&self, data: Vec<u8>, gas_limit: u64) -> Call {
        Call { from: self.settings.keeper, to: self.settings.rewards, data: data.into(), gas: gas_limit }
    }

    /// Simulates all calls and sends those that succeed and are profitable. A node that simulates calls sequentially also
    /// reports their gas: an account that does not hold the token yet uses more than the table has.
    async fn simulate_and_select<R: ChainReader>(
        &self,
        reader: &R,
        context: BlockContext<'_>,
        calls: Vec<HarvestCall>,
        decisions: &mut Decisions<RewardId>,
    ) {
        if calls.is_empty() {
            return;
        }
        let simulated = match simulate(reader, context.header, &calls).await {
            Ok(simulated) => simulated,
            Err(error) => {
                for call in calls {
                    decisions.skip(call.rewards(), &SkipReason::unanswered(&error));
                }
                return;
            }
        };
        // Own rewards of a stream may have two calls, of which the first that succeeds is sent.
        let (mut claimed, mut refused) = (Vec::new(), BTreeMap::new());
        for (mut call, simulated) in calls.into_iter().zip(simulated) {
            let is_own = matches!(call.purpose, Purpose::ClaimOwn { .. });
            if is_own && claimed.contains(&call.stream) {
                continue;
            }
            call.gas = simulated.gas_used;
            if self.settings.gas.use_simulated_gas {
                call.call.gas = self.settings.gas.harvest_gas_limit(call.gas, call.accounts.len());
            }
            call.gas_wei = context.costs.transaction_cost(call.gas, call.call.data.len());
            let reason = match simulated.result {
                Ok(_) if context.costs.is_profitable(call.gain_wei, call.gas_wei) => {
                    if is_own {
                        claimed.push(call.stream);
                    }
                    let deadline = context.header.timestamp.saturating_add(self.settings.deadline_secs);
                    let (rewards, gas_wei) = (call.rewards().collect::<Vec<_>>(), call.gas_wei);
                    decisions.act(rewards, call.into_intent(deadline), gas_wei);
                    continue;
                }
                Ok(_) => SkipReason::GainBelowGas { gain_wei: call.gain_wei, gas_wei: call.gas_wei },
                Err(error) => SkipReason::Reverts(Revert::decode(&error)),
            };
            if is_own {
                refused.entry(call.stream).or_insert(reason);
            } else {
                decisions.skip(call.rewards(), &reason);
            }
        }
        refused.retain(|stream, _| !claimed.contains(stream));
        for (stream, reason) in refused {
            decisions.skip(rewards_of(stream, [self.settings.keeper]), &reason);
        }
    }
}

/// Simulates calls: sequentially where the node supports it, else independently with the gas of the table. Fails where
/// no node answers.
async fn simulate<R: ChainReader>(
    reader: &R,
    header: &Header,
    calls: &[HarvestCall],
) -> Result<Vec<SimulatedCall>, ChainError> {
    let encoded: Vec<_> = calls.iter().map(|call| call.call.clone()).collect();
    if let Some(simulated) = reader.simulate_sequential(header, &encoded).await? {
        return Ok(simulated);
    }
    let results = reader.simulate_independent(header.hash, &encoded).await?.into_iter();
    Ok(results.zip(calls).map(|(result, call)| SimulatedCall { result, gas_used: call.gas }).collect())
}

fn id_of(stream: &StreamBook<'_>) -> StreamId {
    StreamId { pool: stream.pool().id(), reward_token: stream.reward_token() }
}

fn rewards_of(stream: StreamId, accounts: impl IntoIterator<Item = Address>) -> impl Iterator<Item = RewardId> {
    accounts.into_iter().map(move |account| RewardId { stream, account })
}
