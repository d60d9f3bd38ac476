//! The ledger of realised results: what every mined transaction earned and cost, from its own receipt. Safety and the page
//! read this one table.

use std::collections::{BTreeMap, VecDeque};

use alloy::{
    primitives::{Address, B256, Log, U256},
    sol_types::SolEvent,
};
use plimsoll_contracts::{
    IExecutor, IGuard, IJobs,
    ILiquidator::{BuilderPaid, LiquidateWithoutCapital},
    IOrderExecutor::ExecuteWithoutCapital,
    IPlimsoll, IRewards, ITipJar,
};
use serde::{Deserialize, Serialize};

use crate::intent::{Intent, Outcome, Profit, Purpose, Report, Scope};

const SECONDS_PER_DAY: u64 = 86_400;

/// Maximum number of transactions that are remembered one by one, so that one that is mined again after a reorganisation
/// or reported again after a restart counts once. More are not mined between two reports of one.
const MAX_RECENT: usize = 256;

/// Number of UTC days whose sums are kept.
const MAX_DAYS: usize = 400;

/// The contracts whose events tell what a transaction did. Events of any others, such as tokens, are not believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contracts {
    /// Address of the lending core.
    pub core: Address,
    /// Address of the `Liquidator` contract.
    pub liquidator: Option<Address>,
    /// Address of the `Rewards` contract.
    pub rewards: Option<Address>,
    /// Address of the `Guard` contract.
    pub guard: Option<Address>,
    /// Address of the `OrderExecutor` contract.
    pub order_executor: Option<Address>,
    /// Address of the `Executor` contract.
    pub executor: Option<Address>,
    /// Address of the `Jobs` contract.
    pub jobs: Option<Address>,
}

/// What a mined transaction did, by the events in its receipt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Execution {
    /// Number of accounts that were liquidated, whose orders were executed or that rewards were claimed for.
    pub accounts: u64,
    /// Borrowers whose loans were liquidated.
    pub borrowers: Vec<Address>,
    /// Debt that was repaid, in units of the loan token.
    pub repaid: U256,
    /// Collateral that was seized or sold, in units of the collateral token.
    pub seized: U256,
    /// Whether an order was executed.
    pub is_order: bool,
    /// Jars that tell of tips, with token and amount. Only that which the intent calls is believed.
    pub tips: Vec<(Address, Address, U256)>,
    /// Whether a job's nodes were drawn or a job was settled, which a tip is paid for.
    pub has_tip: bool,
    /// Token and amount of the profit of a flash swap or of an order, or of the tips of a harvest.
    pub profit: Option<(Address, U256)>,
    /// Token and amount of the rewards that were claimed, tips included.
    pub claimed: Option<(Address, U256)>,
    /// What the block's builder was paid out of the profit, in wei. The profit is what was left of it.
    pub builder_paid: U256,
}

impl Execution {
    /// Reads the events of the contracts. `profit` is the token that the intent expects its profit in.
    #[must_use]
    pub fn of(logs: &[Log], contracts: &Contracts, profit: Option<&Profit>) -> Self {
        let mut done = Self::default();
        for log in logs {
            if Some(log.address) == contracts.order_executor
                && let Ok(event) = ExecuteWithoutCapital::decode_log(log)
            {
                // The event does not tell the token, which is the market's loan token.
                done.profit = profit.map(|profit| (profit.token, event.profit));
            } else if Some(log.address) == contracts.executor
                && let Ok(event) = IExecutor::Executed::decode_log(log)
            {
                done.accounts += u64::try_from(event.done.count_ones()).unwrap_or(u64::MAX);
                done.profit = Some((event.profitToken, event.profit));
                done.builder_paid = done.builder_paid.saturating_add(event.toBuilder);
            } else if Some(log.address) == contracts.guard
                && let Ok(event) = IGuard::ExecuteOrder::decode_log(log)
            {
                done.is_order = true;
                done.accounts += 1;
                done.repaid = done.repaid.saturating_add(event.execution.own).saturating_add(event.execution.payment);
                done.seized = done.seized.saturating_add(event.execution.sold);
            } else if Some(log.address) == contracts.liquidator
                && let Ok(event) = LiquidateWithoutCapital::decode_log(log)
            {
                done.profit = Some((event.profitToken, event.profit));
            } else if Some(log.address) == contracts.liquidator
                && let Ok(event) = BuilderPaid::decode_log(log)
            {
                done.builder_paid = done.builder_paid.saturating_add(event.amount);
            } else if let Ok(event) = ITipJar::Collect::decode_log(log) {
                done.tips.push((log.address, event.token, event.tip));
            } else if Some(log.address) == contracts.jobs {
                done.has_tip |= IJobs::Draw::decode_log(log).is_ok() || IJobs::Settle::decode_log(log).is_ok();
            } else if log.address == contracts.core
                && let Ok(event) = IPlimsoll::Liquidate::decode_log(log)
            {
                done.accounts += 1;
                done.borrowers.push(event.borrower);
                done.repaid = done.repaid.saturating_add(event.repaid);
                done.seized = done.seized.saturating_add(event.seized);
            } else if Some(log.address) == contracts.rewards
                && let Ok(event) = IRewards::Harvest::decode_log(log)
            {
                done.accounts += 1;
                add(&mut done.claimed, event.rewardToken, event.amount);
                add(&mut done.profit, event.rewardToken, event.tip);
            } else if Some(log.address) == contracts.rewards
                && let Ok(event) = IRewards::Claim::decode_log(log)
            {
                done.accounts += 1;
                add(&mut done.claimed, event.rewardToken, event.amount);
            }
        }
        done
    }

    /// Returns the value in wei of what an intent's transaction brought, at the rates of its decision and rounded down. What
    /// the builder was paid of it is a cost.
    fn gain(&self, intent: &Intent) -> U256 {
        let Some(profit) = intent.profit else { return U256::ZERO };
        let value = |amount: Option<(Address, U256)>| {
            let units = amount.filter(|(token, _)| *token == profit.token).map_or(U256::ZERO, |(_, units)| units);
            profit.rate.value_down(units)
        };
        match (&intent.purpose, profit.repaid) {
            (Purpose::Liquidate { .. }, Some(rate)) => {
                profit.rate.value_down(self.seized).saturating_sub(rate.value_up(self.repaid))
            }
            (Purpose::Liquidate { .. }, None) | (Purpose::Seize { .. }, _) => {
                value(self.profit).saturating_add(self.builder_paid)
            }
            (Purpose::ExecuteOrder { .. } | Purpose::Harvest { .. }, _) => value(self.profit),
            (Purpose::ClaimOwn { .. }, _) => value(self.claimed),
            (Purpose::CollectVouchers { jar, token }, _) => {
                let own = self.tips.iter().filter(|(by, paid_in, _)| by == jar && paid_in == token);
                profit.rate.value_down(own.fold(U256::ZERO, |sum, (.., tip)| sum.saturating_add(*tip)))
            }
            (Purpose::AdvanceJob { tip, .. }, _) if self.has_tip => profit.rate.value_down(*tip),
            // These earn for depositors and nodes, serve governance, or move what was earned before.
            (
                Purpose::Rebalance { .. }
                | Purpose::ExecuteOperation { .. }
                | Purpose::AdvanceJob { .. }
                | Purpose::HarvestNodes { .. }
                | Purpose::Sweep { .. },
                _,
            ) => U256::ZERO,
        }
    }
}

fn add(sum: &mut Option<(Address, U256)>, token: Address, units: U256) {
    let (_, before) = sum.unwrap_or_default();
    *sum = Some((token, before.saturating_add(units)));
}

/// What one mined transaction earned and cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Realised {
    /// Id of the intent that it served.
    pub intent: u64,
    /// Hash of the transaction.
    pub hash: B256,
    /// Strategy and market that it is counted under.
    pub scope: Scope,
    /// UTC day on which it was mined, counted from 1970.
    pub day: u64,
    /// Number of loans that it liquidated.
    pub liquidated: u64,
    /// Number of orders that it executed.
    #[serde(default)]
    pub executed: u64,
    /// Number of accounts that it claimed rewards for.
    pub harvested: u64,
    /// Whether it reverted.
    pub has_reverted: bool,
    /// Value of what it brought, in wei.
    pub gain_wei: U256,
    /// Gas, data fee and what the builder was paid, in wei.
    pub cost_wei: U256,
}

impl Realised {
    /// Reads what the transaction of a report earned and cost, at a time in seconds. `None` where none of ours was mined.
    #[must_use]
    pub fn of(report: &Report, contracts: &Contracts, now: u64) -> Option<Self> {
        let (receipt, has_reverted) = match &report.outcome {
            Outcome::Mined(receipt) | Outcome::Cancelled(receipt) => (receipt, false),
            Outcome::Reverted(receipt) => (receipt, true),
            _ => return None,
        };
        let done = match report.outcome {
            Outcome::Mined(_) => Execution::of(&report.logs, contracts, report.intent.profit.as_ref()),
            _ => Execution::default(),
        };
        let [liquidated, executed, harvested] = match report.intent.purpose {
            Purpose::Liquidate { .. } | Purpose::Seize { .. } => [done.accounts, 0, 0],
            Purpose::ExecuteOrder { .. } => [0, done.accounts, 0],
            Purpose::Harvest { .. } | Purpose::ClaimOwn { .. } => [0, 0, done.accounts],
            Purpose::Rebalance { .. }
            | Purpose::ExecuteOperation { .. }
            | Purpose::AdvanceJob { .. }
            | Purpose::HarvestNodes { .. }
            | Purpose::CollectVouchers { .. }
            | Purpose::Sweep { .. } => [0; 3],
        };
        Some(Self {
            intent: report.id,
            hash: receipt.inclusion.hash,
            scope: report.intent.scope.clone(),
            day: now / SECONDS_PER_DAY,
            liquidated,
            executed,
            harvested,
            has_reverted,
            gain_wei: done.gain(&report.intent),
            cost_wei: receipt.fee().saturating_add(done.builder_paid),
        })
    }
}

/// Sums of what transactions earned and cost, in wei.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Value of what they brought.
    pub gain_wei: U256,
    /// Gas, data fees and what builders were paid.
    pub cost_wei: U256,
    /// By how much those that cost more than they brought did so, whether they reverted or not.
    pub lost_wei: U256,
}

/// Counts and sums since the ledger began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifetimeTotals {
    /// Number of liquidated loans.
    pub liquidated: u64,
    /// Number of executed orders.
    #[serde(default)]
    pub executed: u64,
    /// Number of accounts that rewards were claimed for.
    pub harvested: u64,
    /// Number of mined transactions.
    pub transactions: u64,
    /// Number of those that reverted.
    pub reverted: u64,
    /// What they earned and cost.
    pub sums: Sums,
}

/// The realised results of all mined transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultsLedger {
    lifetime: LifetimeTotals,
    /// UTC day of the sums by scope.
    day: u64,
    by_scope: Vec<(Scope, Sums)>,
    /// Sums of each of the last [`MAX_DAYS`] UTC days with a transaction, by the day since 1970.
    #[serde(default)]
    days: BTreeMap<u64, Sums>,
    /// The transactions that were counted last, oldest first.
    recent: VecDeque<Realised>,
}

/// Whether a result is added or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Add,
    TakeBack,
}

impl ResultsLedger {
    /// Begins with the loss of a UTC day, in wei, of which nothing else is known.
    pub(super) fn with_loss(day: u64, lost_wei: U256) -> Self {
        let scope = Scope::new("unknown", B256::ZERO);
        Self { day, by_scope: vec![(scope, Sums { lost_wei, ..Sums::default() })], ..Self::default() }
    }

    /// Counts a transaction. Returns false if it was counted before.
    pub fn record(&mut self, realised: Realised) -> bool {
        if self.recent.iter().any(|known| known.hash == realised.hash) {
            return false;
        }
        if realised.day > self.day {
            (self.day, self.by_scope) = (realised.day, Vec::new());
        }
        self.count(&realised, Direction::Add);
        self.recent.push_back(realised);
        if self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
        true
    }

    /// Takes back what was counted for an intent whose block was reorganised away. Returns false if nothing was.
    pub fn take_back(&mut self, intent: u64) -> bool {
        let Some(at) = self.recent.iter().rposition(|known| known.intent == intent) else { return false };
        let Some(realised) = self.recent.remove(at) else { return false };
        self.count(&realised, Direction::TakeBack);
        true
    }

    /// Returns the result of a transaction, if it is one of the last.
    #[must_use]
    pub fn of_transaction(&self, hash: B256) -> Option<&Realised> {
        self.recent.iter().rev().find(|known| known.hash == hash)
    }

    /// Returns counts and sums since the ledger began.
    #[must_use]
    pub const fn lifetime(&self) -> LifetimeTotals {
        self.lifetime
    }

    /// Iterates over the sums of each of the last UTC days with a transaction, by the day since 1970, the oldest first.
    pub fn days(&self) -> impl Iterator<Item = (u64, Sums)> {
        self.days.iter().map(|(day, sums)| (*day, *sums))
    }

    /// Returns the sums of all scopes on the UTC day of a time in seconds.
    #[must_use]
    pub fn on_day(&self, now: u64) -> Sums {
        let mut all = Sums::default();
        for (_, sums) in self.today(now) {
            all.add(sums, Direction::Add);
        }
        all
    }

    /// Returns the sums of a scope on the UTC day of a time in seconds.
    #[must_use]
    pub fn of_scope(&self, scope: &Scope, now: u64) -> Sums {
        self.today(now).iter().find(|(known, _)| known == scope).map_or_else(Sums::default, |(_, sums)| *sums)
    }

    /// Iterates over the sums of each scope with a transaction on the UTC day of a time in seconds.
    pub fn scopes_on_day(&self, now: u64) -> impl Iterator<Item = &(Scope, Sums)> {
        self.today(now).iter()
    }

    fn today(&self, now: u64) -> &[(Scope, Sums)] {
        if now / SECONDS_PER_DAY == self.day { &self.by_scope } else { &[] }
    }

    fn count(&mut self, realised: &Realised, direction: Direction) {
        let Realised { gain_wei, cost_wei, .. } = *realised;
        let sums = Sums { gain_wei, cost_wei, lost_wei: cost_wei.saturating_sub(gain_wei) };
        let LifetimeTotals { liquidated, executed, harvested, transactions, reverted, sums: all } = &mut self.lifetime;
        all.add(&sums, direction);
        let counts = [
            (liquidated, realised.liquidated),
            (executed, realised.executed),
            (harvested, realised.harvested),
            (transactions, 1),
            (reverted, u64::from(realised.has_reverted)),
        ];
        for (count, by) in counts {
            *count = match direction {
                Direction::Add => count.saturating_add(by),
                Direction::TakeBack => count.saturating_sub(by),
            };
        }
        self.days.entry(realised.day).or_default().add(&sums, direction);
        if self.days.len() > MAX_DAYS {
            self.days.pop_first();
        }
        if realised.day != self.day {
            return;
        }
        match self.by_scope.iter_mut().find(|(scope, _)| *scope == realised.scope) {
            Some((_, known)) => known.add(&sums, direction),
            None => self.by_scope.push((realised.scope.clone(), sums)),
        }
    }
}

impl Sums {
    fn add(&mut self, other: &Self, direction: Direction) {
        let sum = |one: U256, other: U256| match direction {
            Direction::Add => one.saturating_add(other),
            Direction::TakeBack => one.saturating_sub(other),
        };
        *self = Self {
            gain_wei: sum(self.gain_wei, other.gain_wei),
            cost_wei: sum(self.cost_wei, other.cost_wei),
            lost_wei: sum(self.lost_wei, other.lost_wei),
        };
    }
}

#[cfg(test)]
mod tests;
