//! Realised results: which intents were sent, how they ended, what they earned and cost.

use std::collections::VecDeque;

use alloy::primitives::{B256, U256};
use plimsoll_contracts::MarketId;
use serde::{Deserialize, Serialize};

use super::{
    denomination::{coin_balance, count},
    execution::ExecutionResult,
    model::{ActivityEntry, ActivityKind, ActivityState, SHOWN_EVENTS, Totals},
};
use crate::{
    amount::Amount,
    config::{Config, Deployed},
    intent::SafetyRefusal,
    intent::{Intent, Outcome, Purpose, Receipt, Report},
};

const SECONDS_A_DAY: u64 = 86_400;
/// Number of transaction hashes that are kept in order to count each transaction once. Fewer transactions than this
/// are mined between two reports of the same one.
const MAX_COUNTED: usize = 256;

/// Sums that survive a restart. Amounts are in wei.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerSums {
    liquidated: u64,
    harvested: u64,
    transactions: u64,
    reverted: u64,
    profit_wei: U256,
    gas_wei: U256,
    /// UTC day since 1970 that the following two sums are of.
    day: u64,
    day_profit_wei: U256,
    day_gas_wei: U256,
    /// Hashes of the transactions that were counted last. A transaction that is mined again after a reorg, or reported
    /// again after a restart, counts once.
    counted: VecDeque<B256>,
}

/// Activity list, the newest entry first, and sums.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    timeline: VecDeque<ActivityEntry>,
    sums: LedgerSums,
}

impl Ledger {
    /// Continues from the sums of an earlier run, with an empty activity list.
    pub(crate) fn new(sums: LedgerSums) -> Self {
        Self { timeline: VecDeque::new(), sums }
    }

    /// The sums to persist.
    pub(crate) const fn sums(&self) -> &LedgerSums {
        &self.sums
    }

    pub(super) fn timeline(&self) -> Vec<ActivityEntry> {
        self.timeline.iter().cloned().collect()
    }

    pub(super) fn totals(&self, coin: &str, now: u64) -> Totals {
        let LedgerSums { liquidated, harvested, transactions, reverted, profit_wei, gas_wei, .. } = self.sums;
        let (day_profit, day_gas) = self.sums.on(now);
        Totals {
            liquidated,
            harvested,
            transactions,
            reverted,
            profit: coin_balance(profit_wei, U256::ZERO, coin),
            gas: Amount::of_wei(gas_wei, coin),
            day: coin_balance(day_profit, day_gas, coin),
        }
    }

    /// Records a report of the sender at a time, in seconds of the chain's clock. Returns true if it is of a
    /// transaction that was mined and not counted before.
    pub(crate) fn record_report(&mut self, config: &Config, report: &Report, now: u64) -> bool {
        let coin = &config.chain.coin;
        let (state, note) = state_and_note(&report.outcome);
        // A dry-run decision or a refusal that comes again with every block is shown once.
        let is_repeated = |entry: &&mut ActivityEntry| {
            entry.id == report.id
                || matches!(state, ActivityState::Dry | ActivityState::Dropped)
                    && entry.transaction.is_none()
                    && (entry.state, &entry.note) == (state, &note)
                    && entry.place == place(&config.deployed, &report.intent.purpose)
        };
        let known = self.timeline.iter_mut().find(is_repeated);
        let entry = match known {
            Some(entry) => entry,
            None => {
                self.timeline.push_front(new_entry(config, report, now));
                self.timeline.truncate(SHOWN_EVENTS);
                let Some(first) = self.timeline.front_mut() else { return false };
                first
            }
        };
        (entry.state, entry.at, entry.note) = (state, now, note);
        match &report.outcome {
            Outcome::Sent { hash, .. } => {
                entry.transaction = Some(*hash);
                false
            }
            Outcome::Mined(receipt) | Outcome::Reverted(receipt) | Outcome::Cancelled(receipt) => {
                entry.transaction = Some(receipt.inclusion.hash);
                entry.block = Some(receipt.inclusion.block);
                entry.gas = Some(Amount::of_wei(receipt.fee(), coin));
                self.sums.spend(receipt, matches!(report.outcome, Outcome::Reverted(_)), now)
            }
            _ => false,
        }
    }

    /// Records what a mined transaction did, and its profit before gas in wei.
    pub(crate) fn record_execution(
        &mut self,
        config: &Config,
        hash: B256,
        purpose: &Purpose,
        result: &ExecutionResult,
        gain_wei: U256,
        now: u64,
    ) {
        let sum = match purpose {
            Purpose::Liquidate { .. } => &mut self.sums.liquidated,
            Purpose::Harvest { .. } | Purpose::ClaimOwn { .. } => &mut self.sums.harvested,
        };
        *sum = sum.saturating_add(result.accounts);
        self.sums.earn(gain_wei, now);
        let Some(entry) = self.timeline.iter_mut().find(|entry| entry.transaction == Some(hash)) else { return };
        entry.accounts = result.accounts;
        entry.moved = result.moved_amount(config);
        entry.profit = Some(coin_balance(gain_wei, U256::ZERO, &config.chain.coin));
    }
}

impl LedgerSums {
    /// Profit and fees on the day of a time.
    fn on(&self, now: u64) -> (U256, U256) {
        if self.day == now / SECONDS_A_DAY { (self.day_profit_wei, self.day_gas_wei) } else { Default::default() }
    }

    fn begin_day(&mut self, now: u64) {
        (self.day_profit_wei, self.day_gas_wei) = self.on(now);
        self.day = now / SECONDS_A_DAY;
    }

    fn earn(&mut self, wei: U256, now: u64) {
        self.begin_day(now);
        self.profit_wei = self.profit_wei.saturating_add(wei);
        self.day_profit_wei = self.day_profit_wei.saturating_add(wei);
    }

    /// Counts a transaction and its fee. Returns false if it was counted before.
    fn spend(&mut self, receipt: &Receipt, has_reverted: bool, now: u64) -> bool {
        if self.counted.contains(&receipt.inclusion.hash) {
            return false;
        }
        self.counted.push_back(receipt.inclusion.hash);
        if self.counted.len() > MAX_COUNTED {
            self.counted.pop_front();
        }
        self.begin_day(now);
        self.transactions += 1;
        self.reverted += u64::from(has_reverted);
        self.gas_wei = self.gas_wei.saturating_add(receipt.fee());
        self.day_gas_wei = self.day_gas_wei.saturating_add(receipt.fee());
        true
    }
}

/// How an outcome is shown.
fn state_and_note(outcome: &Outcome) -> (ActivityState, Option<String>) {
    match outcome {
        Outcome::Sent { .. } => (ActivityState::Sent, None),
        Outcome::Mined(_) => (ActivityState::Mined, None),
        Outcome::Reverted(_) => (ActivityState::Reverted, None),
        Outcome::Reorged => (ActivityState::Sent, Some("its block was reorged; it is rebroadcast".to_owned())),
        Outcome::Refused(refusal) if *refusal == SafetyRefusal::DryRun => (ActivityState::Dry, None),
        Outcome::Refused(refusal) => (ActivityState::Dropped, Some(refusal.to_string())),
        Outcome::Dropped(reason) => (ActivityState::Dropped, Some(reason.to_string())),
        Outcome::Replaced { by } => (ActivityState::Dropped, Some(format!("its nonce is used for intent {by}"))),
        Outcome::Cancelled(_) => (ActivityState::Dropped, Some("it was cancelled".to_owned())),
        Outcome::NonceUsedByOther { nonce } | Outcome::Lost { nonce } => {
            (ActivityState::Dropped, Some(format!("nonce {nonce} was used by another program")))
        }
    }
}

fn new_entry(config: &Config, report: &Report, now: u64) -> ActivityEntry {
    let Intent { purpose, expected_gain, .. } = &report.intent;
    let (kind, accounts) = match purpose {
        Purpose::Liquidate { borrowers, .. } => (ActivityKind::Liquidation, borrowers.len()),
        Purpose::Harvest { accounts, .. } => (ActivityKind::Harvest, accounts.len()),
        Purpose::ClaimOwn { .. } => (ActivityKind::Claim, 1),
    };
    ActivityEntry {
        id: report.id,
        at: now,
        block: None,
        kind,
        state: ActivityState::Sent,
        place: place(&config.deployed, purpose),
        accounts: count(accounts),
        moved: None,
        profit: Some(coin_balance(*expected_gain, U256::ZERO, &config.chain.coin)),
        gas: None,
        transaction: None,
        note: None,
    }
}

/// Name of the market or of the staking programme that an intent is about.
fn place(deployed: &Deployed, purpose: &Purpose) -> String {
    match purpose {
        Purpose::Liquidate { market, .. } => deployed.market_name(MarketId(*market)),
        Purpose::Harvest { pool, .. } | Purpose::ClaimOwn { pool, .. } => deployed.programme_name(*pool),
    }
}
