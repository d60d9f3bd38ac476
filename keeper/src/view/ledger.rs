//! Activity: which intents were sent, how they ended, what they earned and cost. The sums are those of the ledger of
//! realised results, which safety reads, too.

use std::collections::VecDeque;

use alloy::primitives::{B256, U256};
use plimsoll_contracts::MarketId;

use super::{
    denomination::{coin_balance, count},
    model::{ActivityEntry, ActivityKind, ActivityState, DayProfit, SHOWN_EVENTS, Totals},
};
use crate::{
    amount::Amount,
    config::Config,
    date::date_of,
    intent::SafetyRefusal,
    intent::{Intent, Outcome, Purpose, Report},
    safety::{LifetimeTotals, ResultsLedger, Sums},
};

/// Activity list, the newest entry first, and the realised results.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    timeline: VecDeque<ActivityEntry>,
    results: ResultsLedger,
}

impl Ledger {
    /// Returns what a mined transaction brought, in wei; 0 where that is not known.
    pub(crate) fn gain_of(&self, hash: B256) -> U256 {
        self.results.of_transaction(hash).map_or(U256::ZERO, |realised| realised.gain_wei)
    }

    /// Shows these results from now on.
    pub(crate) fn set_results(&mut self, results: ResultsLedger) {
        self.results = results;
    }

    /// Returns what mined transactions earned and cost.
    pub(crate) const fn results(&self) -> &ResultsLedger {
        &self.results
    }

    pub(crate) fn timeline(&self) -> Vec<ActivityEntry> {
        self.timeline.iter().cloned().collect()
    }

    /// What was earned and spent on each day, the oldest first.
    pub(super) fn days(&self, coin: &str) -> Vec<DayProfit> {
        let day = |(day, sums): (u64, Sums)| DayProfit {
            date: date_of(day),
            profit: coin_balance(sums.gain_wei, U256::ZERO, coin),
            gas: Amount::of_wei(sums.cost_wei, coin),
            net: coin_balance(sums.gain_wei, sums.cost_wei, coin),
        };
        self.results.days().map(day).collect()
    }

    pub(super) fn totals(&self, coin: &str, now: u64) -> Totals {
        let LifetimeTotals { liquidated, executed, harvested, transactions, reverted, sums } = self.results.lifetime();
        let day = self.results.on_day(now);
        Totals {
            liquidated,
            executed,
            harvested,
            transactions,
            reverted,
            profit: coin_balance(sums.gain_wei, U256::ZERO, coin),
            gas: Amount::of_wei(sums.cost_wei, coin),
            day: coin_balance(day.gain_wei, day.cost_wei, coin),
        }
    }

    /// Records a report of the sender at a time, in seconds of the chain's clock.
    pub(crate) fn record_report(&mut self, config: &Config, report: &Report, now: u64) {
        let coin = &config.chain.coin;
        let (state, note) = state_and_note(&report.outcome);
        // A dry-run decision or a refusal that comes again with every block is shown once.
        let is_repeated = |entry: &&mut ActivityEntry| {
            entry.id == report.id
                || matches!(state, ActivityState::Dry | ActivityState::Dropped)
                    && entry.transaction.is_none()
                    && (entry.state, &entry.note) == (state, &note)
                    && entry.place == place(config, &report.intent.purpose)
        };
        let known = self.timeline.iter_mut().find(is_repeated);
        let entry = match known {
            Some(entry) => entry,
            None => {
                self.timeline.push_front(new_entry(config, report, now));
                self.timeline.truncate(SHOWN_EVENTS);
                let Some(first) = self.timeline.front_mut() else { return };
                first
            }
        };
        (entry.state, entry.at, entry.note) = (state, now, note);
        match &report.outcome {
            Outcome::Sent { hash, .. } => entry.transaction = Some(*hash),
            Outcome::Reorged => {
                // What it did in that block it may do otherwise in the next.
                let ActivityEntry { block, accounts, moved, profit, gas, .. } = new_entry(config, report, now);
                (entry.block, entry.accounts, entry.moved) = (block, accounts, moved);
                (entry.profit, entry.gas) = (profit, gas);
            }
            Outcome::Mined(receipt) | Outcome::Reverted(receipt) | Outcome::Cancelled(receipt) => {
                entry.transaction = Some(receipt.inclusion.hash);
                entry.block = Some(receipt.inclusion.block);
                entry.gas = Some(Amount::of_wei(receipt.fee(), coin));
                if !entry.is_done() {
                    // It brought nothing of what was expected.
                    entry.profit = None;
                }
            }
            _ => {}
        }
    }

    /// Shows what a mined transaction did: for how many accounts, the amount that it repaid or claimed, and what it brought
    /// before gas, in wei.
    pub(crate) fn record_execution(
        &mut self,
        config: &Config,
        hash: B256,
        accounts: u64,
        moved: Option<Amount>,
        gain_wei: U256,
    ) {
        let Some(entry) = self.timeline.iter_mut().find(|entry| entry.transaction == Some(hash)) else { return };
        (entry.accounts, entry.moved) = (accounts, moved);
        entry.profit = Some(coin_balance(gain_wei, U256::ZERO, &config.chain.coin));
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
    // Those of the others only bound the fees.
    let is_for_profit =
        !matches!(purpose, Purpose::ExecuteOperation { .. } | Purpose::HarvestNodes { .. } | Purpose::Sweep { .. });
    let (kind, accounts, borrowers) = match purpose {
        Purpose::Liquidate { borrowers, .. } => (ActivityKind::Liquidation, borrowers.len(), &borrowers[..]),
        Purpose::Seize { accounts, .. } => (ActivityKind::Liquidation, accounts.len(), &accounts[..]),
        Purpose::ExecuteOrder { account, .. } => (ActivityKind::Order, 1, std::slice::from_ref(account)),
        Purpose::Harvest { accounts, .. } => (ActivityKind::Harvest, accounts.len(), &[][..]),
        Purpose::ClaimOwn { .. } => (ActivityKind::Claim, 1, &[][..]),
        Purpose::Rebalance { .. } => (ActivityKind::Rebalance, 1, &[][..]),
        Purpose::ExecuteOperation { .. } => (ActivityKind::Governance, 1, &[][..]),
        Purpose::CollectVouchers { .. } => (ActivityKind::Vouchers, 1, &[][..]),
        Purpose::AdvanceJob { .. } => (ActivityKind::Job, 1, &[][..]),
        Purpose::HarvestNodes { nodes } => (ActivityKind::Emission, nodes.len(), &[][..]),
        Purpose::Sweep { .. } => (ActivityKind::Sweep, 1, &[][..]),
    };
    ActivityEntry {
        id: report.id,
        at: now,
        block: None,
        kind,
        state: ActivityState::Sent,
        place: place(config, purpose),
        market: purpose.market().map(|market| market.0),
        borrowers: borrowers.into(),
        accounts: count(accounts),
        moved: None,
        profit: is_for_profit.then(|| coin_balance(*expected_gain, U256::ZERO, &config.chain.coin)),
        gas: None,
        transaction: None,
        note: None,
    }
}

/// Name of the market, of the staking programme, of the vault or of the token that an intent is about.
pub(crate) fn place(config: &Config, purpose: &Purpose) -> String {
    match purpose {
        Purpose::Liquidate { market, .. } | Purpose::ExecuteOrder { market, .. } => {
            config.deployed.market_name(MarketId(*market))
        }
        Purpose::Seize { deployment, market, .. } => config.protocols.place(*deployment, *market),
        Purpose::Harvest { pool, .. } | Purpose::ClaimOwn { pool, .. } => config.deployed.programme_name(*pool),
        Purpose::Rebalance { vault } => config.deployed.vault_name(*vault),
        Purpose::ExecuteOperation { id } => super::governance::short_id(*id),
        Purpose::AdvanceJob { id, step, .. } => format!("job {id}: {}", step.name()),
        Purpose::CollectVouchers { jar, .. } => jar.to_string(),
        Purpose::HarvestNodes { nodes } => {
            let nodes: Vec<_> = nodes.iter().map(u32::to_string).collect();
            format!("nodes {}", nodes.join(", "))
        }
        Purpose::Sweep { token, .. } => config.tokens.name(*token),
    }
}
