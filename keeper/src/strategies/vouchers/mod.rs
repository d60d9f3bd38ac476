//! Claiming vouchers for services that publish signed batches: the account that sends one gets the tip of the service's
//! `TipJar`.
//!
//! What a service publishes is its own affair: a batch was checked against the signatures in it before it comes here, and it
//! is sent only if the very call, simulated in the block's state, brings the keeper a tip of a known token that pays for the
//! gas. A jar that pays in the simulation and not on chain costs at most the day's budget for that jar.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolCall,
};
use plimsoll_channels::claims::Verified;
use plimsoll_contracts::IERC4626::balanceOfCall;

use super::{
    BlockContext, Decisions, Exclusion, Revert, SkipReason,
    failures::Failures,
    gas::{GasTable, intrinsic_gas},
};
use crate::{
    intent::{GuardKind, Intent, Priority, Profit, Purpose, Scope},
    prices::{Call, CallResult, ChainReader, Rate, Valuer},
    safety::ResultsLedger,
};

/// Name of the strategy.
pub const NAME: &str = "vouchers";

/// Most batches that are simulated in one run; those after them have their turn in the next.
pub const MAX_TRIALS: usize = 8;
/// Gas for reading a balance.
const BALANCE_GAS: u64 = 100_000;

/// Parameters of claiming vouchers.
#[derive(Debug, Clone)]
pub struct VouchersSettings {
    /// Account that signs, sends, and is tipped.
    pub keeper: Address,
    /// Gas limits of transactions.
    pub gas: GasTable,
    /// Most that may be spent on one jar within a UTC day, in wei.
    pub budget_per_day: U256,
    /// Seconds between two runs, at least.
    pub interval_secs: u64,
    /// Seconds after the decision up to which a transaction may be mined.
    pub deadline_secs: u64,
}

/// A batch that a service has published, whose signatures are right.
#[derive(Debug, Clone)]
pub struct PublishedBatch {
    /// Hash of the call, by which the batch is known.
    pub id: B256,
    /// The jar that is called.
    pub jar: Address,
    /// Token that is claimed.
    pub token: Address,
    /// Calldata of the claim.
    pub data: Bytes,
}

impl From<&Verified> for PublishedBatch {
    fn from(batch: &Verified) -> Self {
        let data = Bytes::from(batch.collect_call().abi_encode());
        Self { id: keccak256(&data), jar: batch.receiver, token: batch.token, data }
    }
}

/// The strategy, with what it remembers between runs.
#[derive(Debug)]
pub struct Vouchers {
    settings: VouchersSettings,
    failures: Failures<B256>,
    /// Earliest block time of the next run, in seconds.
    next_run_at: u64,
    /// The last batch that was simulated: the next run goes on after it.
    last: B256,
}

impl Vouchers {
    /// Returns the strategy with these parameters.
    #[must_use]
    pub fn new(settings: VouchersSettings) -> Self {
        Self { settings, failures: Failures::default(), next_run_at: 0, last: B256::ZERO }
    }

    /// Decides about published batches, one of each jar at a time. `None` where it is not time, or there are none.
    pub async fn decide<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        batches: &[Arc<PublishedBatch>],
        context: BlockContext<'_>,
        (exclusion, results): (Exclusion<'_, Address>, &ResultsLedger),
    ) -> Option<Decisions<Address>> {
        let now = context.header.timestamp;
        if now < self.next_run_at || batches.is_empty() {
            return None;
        }
        self.next_run_at = now.saturating_add(self.settings.interval_secs);
        let known: BTreeSet<_> = batches.iter().map(|batch| batch.id).collect();
        self.failures.retain(|id| known.contains(id));
        let mut decisions = Decisions::default();
        let chosen = self.choose(batches, context.header.number, exclusion, &mut decisions);
        if chosen.is_empty() {
            return Some(decisions);
        }
        let tokens: Vec<_> = chosen.iter().map(|batch| batch.token).collect();
        let values = match valuer.values(reader, context.header, &tokens).await {
            Ok(values) => values,
            Err(error) => {
                decisions.skip(chosen.iter().map(|batch| batch.jar), &SkipReason::unanswered(&error));
                return Some(decisions);
            }
        };
        let mut valued = Vec::new();
        for batch in chosen {
            match values.of(batch.token) {
                Ok(rate) => valued.push((batch, rate)),
                Err(problem) => {
                    let reason = SkipReason::NoValuation { token: batch.token, problem };
                    self.failures.record(batch.id, context.header.number, reason.clone());
                    decisions.skip([batch.jar], &reason);
                }
            }
        }
        self.simulate_and_select(reader, valued, results, context, &mut decisions).await;
        Some(decisions)
    }

    /// Returns the batches that are simulated: in the order of their ids, after the last one, at most one of each jar.
    fn choose(
        &mut self,
        batches: &[Arc<PublishedBatch>],
        block: u64,
        exclusion: Exclusion<'_, Address>,
        decisions: &mut Decisions<Address>,
    ) -> Vec<Arc<PublishedBatch>> {
        let mut sorted: Vec<_> =
            batches.iter().filter(|batch| self.failures.reason(&batch.id, block).is_none()).collect();
        sorted.sort_unstable_by_key(|batch| (batch.id <= self.last, batch.id));
        let (mut jars, mut chosen) = (BTreeSet::new(), Vec::new());
        for batch in sorted {
            if chosen.len() == MAX_TRIALS {
                break;
            }
            if jars.insert(batch.jar) && !decisions.skip_excluded(batch.jar, exclusion) {
                chosen.push(Arc::clone(batch));
            }
        }
        if let Some(last) = chosen.last() {
            self.last = last.id;
        }
        chosen
    }

    /// Simulates all claims between two looks at the keeper's balance, and sends those whose tip pays for the gas.
    async fn simulate_and_select<R: ChainReader>(
        &mut self,
        reader: &R,
        batches: Vec<(Arc<PublishedBatch>, Rate)>,
        results: &ResultsLedger,
        context: BlockContext<'_>,
        decisions: &mut Decisions<Address>,
    ) {
        let balance = balanceOfCall { account: self.settings.keeper }.abi_encode();
        let sequence = |batch: &PublishedBatch| {
            let look = Call::view(batch.token, balance.clone(), BALANCE_GAS);
            let gas = context.room.saturating_sub(intrinsic_gas(&batch.data));
            vec![look.clone(), Call::trial(batch.jar, batch.data.clone(), gas), look]
        };
        let sequences: Vec<_> = batches.iter().map(|(batch, _)| sequence(batch)).collect();
        if sequences.is_empty() {
            return;
        }
        let simulated = match reader.run(context.header, &sequences).await {
            Ok(simulated) => simulated,
            Err(error) => {
                decisions.skip(batches.iter().map(|(batch, _)| batch.jar), &SkipReason::unanswered(&error));
                return;
            }
        };
        for ((batch, rate), simulated) in batches.into_iter().zip(simulated) {
            let decision = match simulated.as_slice() {
                [before, claim, after] => match &claim.result {
                    Ok(_) => Ok((claim.gas_used, tip(&before.result, &after.result))),
                    Err(error) => Err(SkipReason::Reverts(Revert::decode(error))),
                },
                _ => continue,
            };
            let chosen = decision.and_then(|(gas_used, tip)| {
                let gas = gas_used.saturating_add(intrinsic_gas(&batch.data));
                self.intent(&batch, rate, (tip, gas), results, context)
            });
            match chosen {
                Ok((intent, gas_wei)) => decisions.act([batch.jar], intent, gas_wei),
                Err(reason) => {
                    self.failures.record(batch.id, context.header.number, reason.clone());
                    decisions.skip([batch.jar], &reason);
                }
            }
        }
    }

    /// Returns the transaction that sends a batch, and its cost, or why it is not sent.
    fn intent(
        &self,
        batch: &PublishedBatch,
        rate: Rate,
        (tip, gas): (U256, u64),
        results: &ResultsLedger,
        context: BlockContext<'_>,
    ) -> Result<(Intent, U256), SkipReason> {
        let (costs, now) = (context.costs, context.header.timestamp);
        let worth = costs.worth(rate.value_down(tip), gas, batch.data.len());
        let gas_wei = worth.cost_at(costs.gas_price);
        if !worth.pays_at(costs.gas_price) {
            return Err(SkipReason::GainBelowGas { gain_wei: worth.gain, gas_wei });
        }
        let scope = Scope::new(NAME, batch.jar.into_word());
        let (spent_wei, budget_wei) = (results.of_scope(&scope, now).cost_wei, self.settings.budget_per_day);
        if spent_wei.saturating_add(gas_wei) > budget_wei {
            return Err(SkipReason::BudgetSpent { spent_wei, budget_wei });
        }
        let intent = Intent {
            purpose: Purpose::CollectVouchers { jar: batch.jar, token: batch.token },
            priority: Priority::Low,
            to: batch.jar,
            data: batch.data.clone(),
            gas_limit: self.settings.gas.gas_limit(gas).min(context.room),
            expected_gas: gas,
            expected_gain: worth.gain,
            extra_wei: worth.extra_wei,
            margin_bps: worth.margin_bps,
            deadline: now.saturating_add(self.settings.deadline_secs),
            scope,
            guard: GuardKind::UpTo(costs.guard_price(&worth, 0)),
            bid: 0,
            profit: Some(Profit { token: batch.token, rate, repaid: None, builder_share_bps: 0 }),
        };
        Ok((intent, gas_wei))
    }
}

/// Returns by how much a balance has grown; 0 where the token does not tell it.
fn tip(before: &CallResult, after: &CallResult) -> U256 {
    let read = |result: &CallResult| result.as_ref().ok().and_then(|data| balanceOfCall::abi_decode_returns(data).ok());
    match (read(before), read(after)) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => U256::ZERO,
    }
}
