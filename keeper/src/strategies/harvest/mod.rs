//! Harvests: staking rewards claimed for others for their tips, and the keeper's own rewards.
//!
//! What can be harvested, and for which tips, comes from the book. Accounts are harvested together, those with the
//! largest tips first, as long as each tip exceeds the gas of its place. When a stream is harvested is decided by
//! [`WaitingCost`], whose module states the rule.
//!
//! A reward token is anyone's contract, and may be hostile. The contract skips an account whose payment reverts or needs
//! more than a limit of gas. A payment that neither reverts nor is confirmed reverts the whole harvest, with
//! `TransferFailed`, which names the account: every call is simulated before it is sent, and such an account is left out
//! of its batch at once, and of later ones for a day. So it holds up nobody else's harvest.
//!
//! Rewards accrue over days, so the strategy runs at intervals, not in every block. Harvests have low priority: a
//! liquidation is sent first wherever both want to be sent, so liquidations are to be decided first.

mod own_rewards;
mod selection;
mod timing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

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
    selection::{HarvestBatch, HarvestCosts, SelectedAccount, Selection, select_accounts},
};
use super::{
    BlockContext, Decisions, Exclusion, Revert, SkipReason,
    gas::{Costs, GasTable, intrinsic_gas},
};
use crate::{
    book::{Book, StreamBook},
    chain::Header,
    intent::{GuardKind, Intent, Priority, Profit, Purpose, Scope, Worth},
    prices::{Call, ChainReader, Rate, SimulatedCall, Valuer, Values},
};

/// Name of the strategy.
pub const NAME: &str = "harvest";

/// How often the calls of a decision are simulated again, each time without the accounts that the tokens did not confirm
/// payments to. The next block waits for it; accounts beyond that are found in the next run.
const MAX_RETRIES: usize = 4;
/// Seconds for which an account is left out that a token did not confirm a payment to. Rewards take days to accrue, and
/// only a change of the token can end it.
const TRANSFER_BACK_OFF_SECS: u64 = 86_400;

/// Parameters of harvesting.
#[derive(Debug, Clone)]
pub struct HarvestSettings {
    /// Account that signs and sends the transactions; its own rewards are claimed, too.
    pub keeper: Address,
    /// Address of the `Rewards` contract.
    pub rewards: Address,
    /// Ids of the staking programmes that are harvested. Anybody can create one, with accounts that consent to be harvested
    /// and claim first: every harvest of those would revert.
    pub programmes: BTreeSet<B256>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// Rewards whose payment a token did not confirm, with the block time in seconds up to which they are left out.
    left_out: BTreeMap<RewardId, u64>,
    /// Earliest block time of the next run, in seconds.
    next_run_at: u64,
}

/// A transaction that could be sent.
struct HarvestCall {
    stream: StreamId,
    purpose: Purpose,
    accounts: Vec<SelectedAccount>,
    call: Call,
    /// Gas that the transaction is expected to use.
    gas: u64,
    gain_wei: U256,
    gas_wei: U256,
    /// Value of the reward token.
    rate: Rate,
}

impl HarvestCall {
    fn rewards(&self) -> impl Iterator<Item = RewardId> {
        rewards_of(self.stream, self.accounts.iter().map(|account| account.account))
    }

    /// Returns what the call is worth.
    fn worth(&self, costs: &Costs) -> Worth {
        costs.worth(self.gain_wei, self.gas, self.call.data.len())
    }

    /// Turns the call into an intent that is good up to `deadline`.
    fn into_intent(self, deadline: u64, costs: Costs) -> Intent {
        let worth = self.worth(&costs);
        Intent {
            purpose: self.purpose,
            priority: Priority::Low,
            to: self.call.to,
            data: self.call.data,
            gas_limit: self.call.gas,
            expected_gas: self.gas,
            expected_gain: self.gain_wei,
            extra_wei: worth.extra_wei,
            margin_bps: worth.margin_bps,
            deadline,
            scope: Scope::new(NAME, self.stream.pool),
            guard: GuardKind::UpTo(costs.guard_price(&worth, 0)),
            bid: 0,
            profit: Some(Profit {
                token: self.stream.reward_token,
                rate: self.rate,
                repaid: None,
                builder_share_bps: 0,
            }),
        }
    }
}

impl Harvest {
    /// Returns the strategy with these parameters.
    #[must_use]
    pub const fn new(settings: HarvestSettings) -> Self {
        Self { settings, waiting: BTreeMap::new(), own: BTreeMap::new(), left_out: BTreeMap::new(), next_run_at: 0 }
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
        self.left_out.retain(|_, until| now < *until);
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

    /// Returns whether a stream is of a programme that is harvested and has anything to harvest, for others or for the
    /// keeper. Forgets the waiting cost of a
    /// stream that has nothing for others.
    fn is_harvestable(&mut self, stream: &StreamBook<'_>, now: u64) -> bool {
        if !self.settings.programmes.contains(&id_of(stream).pool) {
            return false;
        }
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
        candidates.retain(|candidate| {
            let reward = RewardId { stream: id, account: candidate.account };
            let until = self.left_out.get(&reward).copied();
            if let Some(until) = until {
                decisions.skip([reward], &SkipReason::TransferFailed { until });
            }
            until.is_none()
        });
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
            if !is_due {
                let reason = SkipReason::WorthWaiting { gain_wei: batch.tips_wei, gas_wei: batch.gas_wei };
                decisions.skip(rewards_of(id, batch.addresses()), &reason);
                continue;
            }
            // An account with a pending transaction does not hold up the others.
            let mut accounts = batch.accounts;
            accounts.retain(|&SelectedAccount { account, .. }| {
                !decisions.skip_excluded(RewardId { stream: id, account }, exclusion)
            });
            if !accounts.is_empty() {
                calls.push(self.harvest_call(id, accounts, rate, context));
            }
        }
        calls
    }

    /// Returns the call that harvests a stream for these accounts.
    fn harvest_call(
        &self,
        stream: StreamId,
        accounts: Vec<SelectedAccount>,
        rate: Rate,
        context: BlockContext<'_>,
    ) -> HarvestCall {
        let StreamId { pool, reward_token } = stream;
        let table = &self.settings.gas;
        let batch = HarvestBatch::new(accounts, table, &context.costs);
        let addresses: Vec<_> = batch.addresses().collect();
        let call = IRewards::harvestWithGasLimitCall {
            pool,
            rewardToken: reward_token,
            accounts: addresses.clone(),
            paymentGas: U256::from(table.payment_gas),
        };
        let limit = self.simulated_gas_limit(batch.gas, addresses.len(), context);
        HarvestCall {
            stream,
            purpose: Purpose::Harvest { pool, reward_token, accounts: addresses },
            call: self.call(call.abi_encode(), limit),
            gas: batch.gas,
            gain_wei: batch.tips_wei,
            gas_wei: batch.gas_wei,
            accounts: batch.accounts,
            rate,
        }
    }

    /// Returns the gas limit with which a call for `accounts` is simulated.
    fn simulated_gas_limit(&self, expected_gas: u64, accounts: usize, context: BlockContext<'_>) -> u64 {
        let table = &self.settings.gas;
        if table.use_simulated_gas { context.room } else { table.harvest_gas_limit(expected_gas, accounts) }
    }

    /// Returns a call of the `Rewards` contract from the keeper.
    fn call(&self, data: Vec<u8>, gas_limit: u64) -> Call {
        Call::trial(self.settings.rewards, data, gas_limit)
    }

    /// Simulates all calls and sends those that succeed and are profitable. A call that reverts because a token does not
    /// confirm the payment to an account is simulated again without that account. The gas is what the call used: an account
    /// that does not hold the token yet uses more than the table has.
    async fn simulate_and_select<R: ChainReader>(
        &mut self,
        reader: &R,
        context: BlockContext<'_>,
        mut calls: Vec<HarvestCall>,
        decisions: &mut Decisions<RewardId>,
    ) {
        // Own rewards of a stream may have two calls, of which the first that succeeds is sent.
        let (mut claimed, mut refused) = (Vec::new(), BTreeMap::new());
        let mut retries = 0;
        while !calls.is_empty() {
            let simulated = match simulate(reader, context.header, &calls).await {
                Ok(simulated) => simulated,
                Err(error) => {
                    for call in calls {
                        decisions.skip(call.rewards(), &SkipReason::unanswered(&error));
                    }
                    break;
                }
            };
            let mut retried = Vec::new();
            for (mut call, simulated) in calls.into_iter().zip(simulated) {
                let is_own = matches!(call.purpose, Purpose::ClaimOwn { .. });
                if is_own && claimed.contains(&call.stream) {
                    continue;
                }
                // Own rewards are claimed after the harvests of their stream, which leave them less to do than in a trial alone.
                if !is_own || self.settings.gas.use_simulated_gas {
                    call.gas = simulated.gas_used;
                }
                if self.settings.gas.use_simulated_gas {
                    let limit = self.settings.gas.harvest_gas_limit(call.gas, call.accounts.len());
                    call.call.gas = limit.min(context.room);
                }
                call.gas_wei = call.worth(&context.costs).cost_at(context.costs.gas_price);
                let reason = match simulated.result.map_err(|error| Revert::decode(&error)) {
                    Ok(_) if call.worth(&context.costs).pays_at(context.costs.gas_price) => {
                        if is_own {
                            claimed.push(call.stream);
                        }
                        let deadline = context.header.timestamp.saturating_add(self.settings.deadline_secs);
                        let (rewards, gas_wei) = (call.rewards().collect::<Vec<_>>(), call.gas_wei);
                        decisions.act(rewards, call.into_intent(deadline, context.costs), gas_wei);
                        continue;
                    }
                    Ok(_) => SkipReason::GainBelowGas { gain_wei: call.gain_wei, gas_wei: call.gas_wei },
                    Err(revert) => {
                        let is_shorter = !is_own && self.leave_out_failed(&mut call, &revert, context, decisions);
                        if is_shorter && retries < MAX_RETRIES && !call.accounts.is_empty() {
                            retried.push(self.harvest_call(call.stream, call.accounts, call.rate, context));
                            continue;
                        }
                        SkipReason::Reverts(revert)
                    }
                };
                if is_own {
                    refused.entry(call.stream).or_insert(reason);
                } else {
                    decisions.skip(call.rewards(), &reason);
                }
            }
            calls = retried;
            retries += 1;
        }
        refused.retain(|stream, _| !claimed.contains(stream));
        for (stream, reason) in refused {
            decisions.skip(rewards_of(stream, [self.settings.keeper]), &reason);
        }
    }

    /// Removes the account from a harvest that a token did not confirm the payment to, and leaves it out of later ones for
    /// some time. Returns false where the call reverted for another reason.
    fn leave_out_failed(
        &mut self,
        call: &mut HarvestCall,
        revert: &Revert,
        context: BlockContext<'_>,
        decisions: &mut Decisions<RewardId>,
    ) -> bool {
        let Revert::TransferFailed { to, .. } = *revert else { return false };
        let Some(at) = call.accounts.iter().position(|account| account.account == to) else { return false };
        call.accounts.remove(at);
        let reward = RewardId { stream: call.stream, account: to };
        let until = context.header.timestamp.saturating_add(TRANSFER_BACK_OFF_SECS);
        self.left_out.insert(reward, until);
        decisions.skip([reward], &SkipReason::TransferFailed { until });
        true
    }
}

/// Simulates calls independently of each other, with the gas that their transactions would leave them. Returns for each
/// its result and the gas of the whole transaction, before refunds: it may use less, above all after others in its block. Fails where no node answers.
async fn simulate<R: ChainReader>(
    reader: &R,
    header: &Header,
    calls: &[HarvestCall],
) -> Result<Vec<SimulatedCall>, ChainError> {
    let intrinsic: Vec<_> = calls.iter().map(|call| intrinsic_gas(&call.call.data)).collect();
    let encoded = calls
        .iter()
        .zip(&intrinsic)
        .map(|(HarvestCall { call, .. }, intrinsic)| Call { gas: call.gas.saturating_sub(*intrinsic), ..call.clone() });
    let mut simulated = reader.run_each(header, encoded.collect::<Vec<_>>()).await?;
    for (simulated, intrinsic) in simulated.iter_mut().zip(intrinsic) {
        simulated.gas_used = simulated.gas_used.saturating_add(intrinsic);
    }
    Ok(simulated)
}

fn id_of(stream: &StreamBook<'_>) -> StreamId {
    StreamId { pool: stream.pool().id(), reward_token: stream.reward_token() }
}

fn rewards_of(stream: StreamId, accounts: impl IntoIterator<Item = Address>) -> impl Iterator<Item = RewardId> {
    accounts.into_iter().map(move |account| RewardId { stream, account })
}
