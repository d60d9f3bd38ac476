//! Bringing jobs of nodes on: their draws, the closing of their rounds, their settlement and their end, each for a tip that
//! pays for the gas; and claims of nodes' emission.
//!
//! Jobs and nodes of strangers cost a block nothing but the tips that they offer: at most [`MAX_SCANNED`] jobs are looked
//! at, those with the highest tips first, at most [`MAX_TRIALS`] are simulated, and one that fails waits longer each time.
//! Jobs of configured accounts are brought on, and emission of configured nodes is claimed, whatever that costs within the
//! day's budget: nobody pays the operator for that gas. So are challenges of results that a node daemon of the operator's own
//! computes otherwise; what they can cost is the allowance that the signer gives `Jobs`, from which deposits are taken.

mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{
    IJobs::{challengeCall, closeCall, drawCall, expireCall, finalizeCall},
    INodes::harvestCall,
};

use self::steps::{Due, due_challenge, due_step};
use super::{
    BlockContext, Decisions, Exclusion, Revert, SkipReason,
    failures::Failures,
    gas::{GasTable, intrinsic_gas},
};
use crate::{
    book::{JobState, JobsBook, NodeState},
    chain::Header,
    intent::{GuardKind, Intent, JobStep, Priority, Profit, Purpose, Scope, Subject, Worth},
    prices::{Call, ChainReader, Rate, Valuer},
    safety::ResultsLedger,
};

/// Name of the strategy.
pub const NAME: &str = "jobs";

/// Most jobs that are looked at for one block, those with the highest tips first.
pub const MAX_SCANNED: usize = 4_096;
/// Most steps that are simulated for one block.
pub const MAX_TRIALS: usize = 8;
/// Most nodes whose emission is claimed by one transaction.
const MAX_NODES: usize = 16;
/// Most jobs that a reason is given for in one block.
const MAX_VERDICTS: usize = 64;
/// Less than the cheapest step costs: a tip that does not pay for so much gas is not looked at.
const LEAST_GAS: u64 = 50_000;
/// Gas of settling a job, which the tip pays for that was earned by closing it.
const FINALIZE_GAS: u64 = 200_000;

/// Parameters of bringing jobs on.
#[derive(Debug, Clone)]
pub struct JobsSettings {
    /// Account that signs and sends the transactions.
    pub keeper: Address,
    /// Address of `Jobs`.
    pub jobs: Address,
    /// Address of `Nodes`.
    pub registry: Address,
    /// What the contracts were created with.
    pub terms: JobTerms,
    /// Accounts whose jobs are brought on though their tips do not pay for the gas.
    pub posters: BTreeSet<Address>,
    /// Nodes whose emission is claimed.
    pub harvested: BTreeSet<u32>,
    /// Time in seconds between two claims of a node's emission.
    pub harvest_every_secs: u64,
    /// Gas limits of transactions.
    pub gas: GasTable,
    /// Highest price per gas that is paid, in wei.
    pub max_gas_price: u128,
    /// Most that may be spent within a UTC day on what no tip pays for, in wei.
    pub budget_per_day: U256,
    /// Seconds after the decision up to which a transaction may be mined.
    pub deadline_secs: u64,
}

/// What the contracts were created with, as far as steps depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobTerms {
    /// Token of prices and bonds.
    pub token: Address,
    /// Time for revelations, in seconds.
    pub reveal_secs: u64,
    /// Time for a challenge, in seconds.
    pub challenge_secs: u64,
}

/// Jobs with the results that are known to be false.
pub type RefutedResults = BTreeSet<(u64, B256)>;

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobTarget {
    /// A job, by its id.
    Job(u64),
    /// The emission of a node, by the node's id.
    Node(u32),
}

impl JobTarget {
    /// What back-off and transactions in flight are tracked by.
    #[must_use]
    pub const fn subject(self) -> Subject {
        match self {
            Self::Job(id) => Subject::Job(id),
            Self::Node(id) => Subject::Node(id),
        }
    }
}

/// The strategy, with what it remembers of steps that failed.
#[derive(Debug)]
pub struct Jobs {
    settings: JobsSettings,
    failures: Failures<JobTarget>,
}

/// A transaction that could be sent.
struct Candidate {
    targets: Vec<JobTarget>,
    purpose: Purpose,
    call: Call,
    /// What its tip is worth, in wei.
    gain_wei: U256,
    /// Whether the day's budget pays where the tip does not.
    is_own: bool,
}

impl Jobs {
    /// Returns the strategy with these parameters.
    #[must_use]
    pub fn new(settings: JobsSettings) -> Self {
        Self { settings, failures: Failures::default() }
    }

    /// Returns the address of `Jobs`.
    #[must_use]
    pub const fn contract(&self) -> Address {
        self.settings.jobs
    }

    /// Decides about every job that a step is due for, and about the emission of configured nodes. Where nothing is due no
    /// request is made. `refuted` are the jobs whose results are false, which are challenged; `results` say what was spent
    /// today, by this process or an earlier one.
    pub async fn decide<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        book: &JobsBook,
        context: BlockContext<'_>,
        refuted: &RefutedResults,
        (exclusion, results): (Exclusion<'_, JobTarget>, &ResultsLedger),
    ) -> Decisions<JobTarget> {
        let mut decisions = Decisions::default();
        self.failures.retain(|target| match target {
            JobTarget::Job(id) => book.job(*id).is_some(),
            JobTarget::Node(id) => book.node(*id).is_some(),
        });
        let mut candidates = Vec::new();
        let mut rate = None;
        let due = self.due(book, refuted, context);
        if !due.is_empty() {
            let known = self.rate(reader, valuer, context).await;
            let chosen = self.worth_trying(due, &known, context, exclusion, &mut decisions);
            candidates = self.step_calls(reader, chosen, context, &mut decisions).await;
            rate = known.ok();
        }
        candidates.extend(self.harvest_call(book, context, exclusion));
        if candidates.is_empty() {
            return decisions;
        }
        let spent_wei = results.of_scope(&self.scope(), context.header.timestamp).cost_wei;
        self.simulate_and_select(reader, candidates, (rate, spent_wei), context, &mut decisions).await;
        decisions
    }

    /// Returns the steps that are due: challenges, of configured accounts, and of the jobs with the highest tips.
    fn due(&self, book: &JobsBook, refuted: &RefutedResults, context: BlockContext<'_>) -> Vec<Due> {
        let JobsSettings { terms, posters, .. } = &self.settings;
        let step = |(id, job): (u64, &JobState)| {
            let is_own = posters.contains(&job.poster);
            due_step(id, job, context.header, terms).map(|due| Due { is_own, ..due })
        };
        let own = posters.iter().flat_map(|poster| book.jobs_of(*poster).take(MAX_SCANNED)).filter_map(step);
        let others = book.jobs_by_stake().take(MAX_SCANNED).filter_map(step).filter(|due| !due.is_own);
        let challenge = |(id, result): &(u64, B256)| {
            let job = book.job(*id).filter(|job| job.result == *result)?;
            due_challenge(*id, job, context.header, terms)
        };
        refuted.iter().filter_map(challenge).chain(own).chain(others).collect()
    }

    /// Returns the value of the token, or why it is not known.
    async fn rate<R: ChainReader>(
        &self,
        reader: &R,
        valuer: &mut Valuer,
        context: BlockContext<'_>,
    ) -> Result<Rate, SkipReason> {
        let token = self.settings.terms.token;
        match valuer.values(reader, context.header, &[token]).await {
            Ok(values) => values.of(token).map_err(|problem| SkipReason::NoValuation { token, problem }),
            Err(error) => Err(SkipReason::unanswered(&error)),
        }
    }

    /// Returns the steps that are simulated, those of configured accounts first, and then by their tips. Tips that pay for
    /// hardly any gas are left out without a word, however many there are.
    fn worth_trying(
        &self,
        due: Vec<Due>,
        rate: &Result<Rate, SkipReason>,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, JobTarget>,
        decisions: &mut Decisions<JobTarget>,
    ) -> Vec<(Due, U256)> {
        let least_wei = context.costs.worth(U256::ZERO, LEAST_GAS, 0).cost_at(context.costs.gas_price);
        let mut chosen = Vec::new();
        for due in due {
            let gain_wei = match rate {
                Ok(rate) => self.gain(&due, *rate, context),
                Err(_) => U256::ZERO,
            };
            let target = JobTarget::Job(due.id);
            if decisions.verdicts.len() + chosen.len() >= MAX_VERDICTS {
                break;
            }
            if !due.is_own && (gain_wei < least_wei || due.step == JobStep::Expire) {
                if let (Err(reason), true) = (rate, due.step != JobStep::Expire) {
                    decisions.skip([target], reason);
                }
                continue;
            }
            if let Some(reason) = self.failures.reason(&target, context.header.number) {
                decisions.skip([target], reason);
            } else if !decisions.skip_excluded(target, exclusion) {
                chosen.push((due, gain_wei));
            }
        }
        let later = chosen.split_off(chosen.len().min(MAX_TRIALS));
        decisions.skip(later.iter().map(|(due, _)| JobTarget::Job(due.id)), &SkipReason::TriedLater);
        chosen
    }

    /// Returns what a step is worth, in wei: its tip, or a later one less the gas of earning that.
    fn gain(&self, due: &Due, rate: Rate, context: BlockContext<'_>) -> U256 {
        let later = rate.value_down(U256::from(due.later_tip));
        let cost = context.costs.worth(U256::ZERO, FINALIZE_GAS, 0).cost_at(context.costs.gas_price);
        rate.value_down(U256::from(due.tip)).saturating_add(later.saturating_sub(cost))
    }

    /// Returns the calls of steps, with the headers that draws need.
    async fn step_calls<R: ChainReader>(
        &self,
        reader: &R,
        chosen: Vec<(Due, U256)>,
        context: BlockContext<'_>,
        decisions: &mut Decisions<JobTarget>,
    ) -> Vec<Candidate> {
        let mut headers = BTreeMap::<u64, Bytes>::new();
        let mut candidates = Vec::new();
        for (due, gain_wei) in chosen {
            let id = U256::from(due.id);
            let data = match due.step {
                JobStep::Draw => {
                    let header = match headers.get(&due.draw_block) {
                        Some(header) => Ok(header.clone()),
                        None => reader.raw_header(due.draw_block).await,
                    };
                    match header {
                        Ok(header) => {
                            headers.insert(due.draw_block, header.clone());
                            drawCall { id, header }.abi_encode()
                        }
                        Err(error) => {
                            decisions.skip([JobTarget::Job(due.id)], &SkipReason::unanswered(&error));
                            continue;
                        }
                    }
                }
                JobStep::Close => closeCall { id }.abi_encode(),
                JobStep::Finalize => finalizeCall { id }.abi_encode(),
                JobStep::Expire => expireCall { id }.abi_encode(),
                JobStep::Challenge => challengeCall { id }.abi_encode(),
            };
            candidates.push(Candidate {
                targets: vec![JobTarget::Job(due.id)],
                purpose: Purpose::AdvanceJob { id: due.id, step: due.step, tip: U256::from(due.tip) },
                call: Call::trial(self.settings.jobs, data, context.room),
                gain_wei,
                is_own: due.is_own,
            });
        }
        candidates
    }

    /// Returns the call that claims the emission of configured nodes, where one is due.
    fn harvest_call(
        &self,
        book: &JobsBook,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, JobTarget>,
    ) -> Option<Candidate> {
        let JobsSettings { harvested, harvest_every_secs, registry, .. } = &self.settings;
        let Header { number, timestamp, .. } = *context.header;
        let is_due = |id: &u32| {
            let is_waited_for = |node: &NodeState| {
                node.emission_stake > 0 && timestamp >= node.harvested_at.saturating_add(*harvest_every_secs)
            };
            let target = JobTarget::Node(*id);
            book.node(*id).is_some_and(is_waited_for)
                && self.failures.reason(&target, number).is_none()
                && exclusion(target).is_none()
        };
        let nodes: Vec<_> = harvested.iter().copied().filter(is_due).take(MAX_NODES).collect();
        (!nodes.is_empty()).then(|| Candidate {
            targets: nodes.iter().map(|id| JobTarget::Node(*id)).collect(),
            call: Call::trial(*registry, harvestCall { ids: nodes.clone() }.abi_encode(), context.room),
            purpose: Purpose::HarvestNodes { nodes },
            gain_wei: U256::ZERO,
            is_own: true,
        })
    }

    /// Simulates all calls, and sends those that succeed and pay for their gas, which is what the call used, or that the
    /// day's budget pays for.
    async fn simulate_and_select<R: ChainReader>(
        &mut self,
        reader: &R,
        candidates: Vec<Candidate>,
        (rate, mut spent_wei): (Option<Rate>, U256),
        context: BlockContext<'_>,
        decisions: &mut Decisions<JobTarget>,
    ) {
        let inner = candidates.iter().map(|Candidate { call, .. }| Call {
            gas: call.gas.saturating_sub(intrinsic_gas(&call.data)),
            ..call.clone()
        });
        let simulated = match reader.run_each(context.header, inner.collect::<Vec<_>>()).await {
            Ok(simulated) => simulated,
            Err(error) => {
                let targets = candidates.into_iter().flat_map(|candidate| candidate.targets);
                decisions.skip(targets, &SkipReason::unanswered(&error));
                return;
            }
        };
        for (candidate, simulated) in candidates.into_iter().zip(simulated) {
            if let Err(error) = simulated.result {
                let reason = SkipReason::Reverts(Revert::decode(&error));
                for target in &candidate.targets {
                    self.failures.record(*target, context.header.number, reason.clone());
                }
                decisions.skip(candidate.targets, &reason);
                continue;
            }
            candidate.targets.iter().for_each(|target| self.failures.forget(target));
            let gas = simulated.gas_used.saturating_add(intrinsic_gas(&candidate.call.data));
            let bytes = candidate.call.data.len();
            let paid = context.costs.worth(candidate.gain_wei, gas, bytes);
            if paid.pays_at(context.costs.gas_price) {
                let cost = paid.cost_at(context.costs.gas_price);
                let guard = GuardKind::UpTo(context.costs.guard_price(&paid, 0));
                let targets = candidate.targets.clone();
                decisions.act(targets, self.intent(candidate, &paid, guard, rate, context), cost);
                continue;
            }
            let gas_wei = paid.cost_at(context.costs.gas_price);
            if !candidate.is_own {
                let reason = SkipReason::GainBelowGas { gain_wei: candidate.gain_wei, gas_wei };
                decisions.skip(candidate.targets, &reason);
                continue;
            }
            let budget_wei = self.settings.budget_per_day;
            let most = U256::from(self.settings.max_gas_price).saturating_mul(U256::from(gas));
            let most = most.min(budget_wei.saturating_sub(spent_wei));
            let worth = Worth { margin_bps: 0, ..context.costs.worth(most, gas, bytes) };
            if !worth.pays_at(context.costs.gas_price) {
                decisions.skip(candidate.targets, &SkipReason::BudgetSpent { spent_wei, budget_wei });
                continue;
            }
            spent_wei = spent_wei.saturating_add(gas_wei);
            let targets = candidate.targets.clone();
            decisions.act(targets, self.intent(candidate, &worth, GuardKind::None, rate, context), gas_wei);
        }
    }

    /// Steps and claims of one deployment are counted together, so that one budget and one breaker bound them.
    fn scope(&self) -> Scope {
        Scope::new(NAME, self.settings.jobs.into_word())
    }

    fn intent(
        &self,
        candidate: Candidate,
        worth: &Worth,
        guard: GuardKind,
        rate: Option<Rate>,
        context: BlockContext<'_>,
    ) -> Intent {
        let token = self.settings.terms.token;
        let is_paid = matches!(candidate.purpose, Purpose::AdvanceJob { tip, .. } if !tip.is_zero());
        let profit = rate.filter(|_| is_paid).map(|rate| Profit { token, rate, repaid: None, builder_share_bps: 0 });
        Intent {
            purpose: candidate.purpose,
            priority: Priority::Low,
            to: candidate.call.to,
            data: candidate.call.data,
            gas_limit: self.settings.gas.gas_limit(worth.gas).min(context.room),
            expected_gas: worth.gas,
            expected_gain: worth.gain,
            extra_wei: worth.extra_wei,
            margin_bps: worth.margin_bps,
            deadline: context.header.timestamp.saturating_add(self.settings.deadline_secs),
            scope: self.scope(),
            guard,
            bid: 0,
            profit,
        }
    }
}
