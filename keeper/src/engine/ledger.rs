//! What was sent, what became of it, and what it brought and cost.

use std::collections::VecDeque;

use alloy::{
    primitives::{Address, B256, I256, Log, U256},
    rpc::types::TransactionReceipt,
    sol_types::SolEvent,
};
use plimsoll_contracts::{ILiquidator::LiquidateWithoutCapital, IPlimsoll, IRewards, MarketId};
use serde::{Deserialize, Serialize};

use super::picture::{Denomination, count};
use crate::{
    config::{Config, Deployed},
    intent::{Intent, Purpose},
    outside::{
        Amount, Balance,
        view::{Happening, HappeningState, Kind, SHOWN_EVENTS, Totals},
    },
    prices::Values,
    sender::outcome::{Outcome, Receipt, Report},
};

const SECONDS_A_DAY: u64 = 86_400;
/// Decimals of every chain's coin.
const COIN_DECIMALS: u8 = 18;
/// More are not mined between two reports of one.
const MOST_COUNTED: usize = 256;

/// Sums that are kept through a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sums {
    liquidated: u64,
    harvested: u64,
    transactions: u64,
    reverted: u64,
    profit_wei: U256,
    gas_wei: U256,
    /// A UTC day, counted from 1970, and what was earned and spent on it.
    day: u64,
    day_profit_wei: U256,
    day_gas_wei: U256,
    /// The transactions that were counted last: one that is mined again after a reorganisation, or reported again after
    /// a restart, counts once.
    counted: VecDeque<B256>,
}

/// What happened, the newest first, and the sums of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    timeline: VecDeque<Happening>,
    sums: Sums,
}

/// What a mined transaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Deed {
    /// Accounts that were liquidated or harvested.
    pub(super) accounts: u64,
    /// What was repaid or claimed, of which token.
    pub(super) moved: Option<(Address, U256)>,
    /// What came to us, of which token.
    pub(super) profit: Option<(Address, U256)>,
}

impl Ledger {
    pub(super) fn new(sums: Sums) -> Self {
        Self { timeline: VecDeque::new(), sums }
    }

    pub(super) const fn sums(&self) -> &Sums {
        &self.sums
    }

    pub(super) fn timeline(&self) -> Vec<Happening> {
        self.timeline.iter().cloned().collect()
    }

    pub(super) fn totals(&self, coin: &str, now: u64) -> Totals {
        let Sums { liquidated, harvested, transactions, reverted, profit_wei, gas_wei, .. } = self.sums;
        let (day_profit, day_gas) = self.sums.on(now);
        Totals {
            liquidated,
            harvested,
            transactions,
            reverted,
            profit: balance(profit_wei, U256::ZERO, coin),
            gas: Amount::new(gas_wei, COIN_DECIMALS, coin),
            day: balance(day_profit, day_gas, coin),
        }
    }

    /// Notes what the sender reports. Whether that is a transaction that was mined for the first time.
    pub(super) fn note(&mut self, config: &Config, report: &Report, now: u64) -> bool {
        let coin = &config.chain.coin;
        let (state, note) = match &report.outcome {
            Outcome::Sent { .. } => (HappeningState::Sent, None),
            Outcome::Mined(_) => (HappeningState::Mined, None),
            Outcome::Reverted(_) => (HappeningState::Reverted, None),
            Outcome::TakenBack => (HappeningState::Sent, Some("its block is gone; it is sent again".to_owned())),
            Outcome::Refused(refusal) if *refusal == crate::safety::Refusal::DryRun => (HappeningState::Dry, None),
            Outcome::Refused(refusal) => (HappeningState::Dropped, Some(refusal.to_string())),
            Outcome::Dropped(reason) => (HappeningState::Dropped, Some(reason.to_string())),
            Outcome::Replaced { by } => (HappeningState::Dropped, Some(format!("its nonce went to {by}"))),
            Outcome::Cancelled(_) => (HappeningState::Dropped, Some("it was cancelled".to_owned())),
            Outcome::NonceUsedByOther { nonce } | Outcome::Lost { nonce } => {
                (HappeningState::Dropped, Some(format!("nonce {nonce} was used by somebody else")))
            }
        };
        // What is said again and again is shown once.
        let is_repeated = |happening: &&mut Happening| {
            happening.id == report.id
                || matches!(state, HappeningState::Dry | HappeningState::Dropped)
                    && happening.transaction.is_none()
                    && (happening.state, &happening.note) == (state, &note)
                    && happening.place == place(&config.deployed, &report.intent.purpose)
        };
        let known = self.timeline.iter_mut().find(is_repeated);
        let happening = match known {
            Some(happening) => happening,
            None => {
                self.timeline.push_front(begun(config, report, now));
                self.timeline.truncate(SHOWN_EVENTS);
                let Some(first) = self.timeline.front_mut() else { return false };
                first
            }
        };
        (happening.state, happening.at, happening.note) = (state, now, note);
        match &report.outcome {
            Outcome::Sent { hash, .. } => {
                happening.transaction = Some(*hash);
                false
            }
            Outcome::Mined(receipt) | Outcome::Reverted(receipt) | Outcome::Cancelled(receipt) => {
                happening.transaction = Some(receipt.place.hash);
                happening.block = Some(receipt.place.block);
                happening.gas = Some(Amount::new(receipt.fee(), COIN_DECIMALS, coin));
                self.sums.spend(receipt, matches!(report.outcome, Outcome::Reverted(_)), now)
            }
            _ => false,
        }
    }

    /// Notes what a mined transaction did, and what that is worth.
    pub(super) fn deed(
        &mut self,
        config: &Config,
        hash: B256,
        purpose: &Purpose,
        deed: &Deed,
        gain_wei: U256,
        now: u64,
    ) {
        let sum = match purpose {
            Purpose::Liquidate { .. } => &mut self.sums.liquidated,
            Purpose::Harvest { .. } | Purpose::ClaimOwn { .. } => &mut self.sums.harvested,
        };
        *sum = sum.saturating_add(deed.accounts);
        self.sums.earn(gain_wei, now);
        let Some(happening) = self.timeline.iter_mut().find(|happening| happening.transaction == Some(hash)) else {
            return;
        };
        happening.accounts = deed.accounts;
        happening.moved = deed.moved.map(|(token, units)| Denomination::of(config, token).amount(units));
        happening.profit = Some(balance(gain_wei, U256::ZERO, &config.chain.coin));
    }
}

impl Deed {
    /// Reads what a transaction of ours did out of its logs.
    pub(super) fn of(receipt: &TransactionReceipt, deployed: &Deployed) -> Self {
        let mut deed = Self::default();
        for log in receipt.logs() {
            let log: &Log = &log.inner;
            if Some(log.address) == deployed.liquidator
                && let Ok(event) = LiquidateWithoutCapital::decode_log(log)
            {
                deed.profit = Some((event.profitToken, event.profit));
            } else if log.address == deployed.core
                && let Ok(event) = IPlimsoll::Liquidate::decode_log(log)
            {
                deed.accounts += 1;
                deed.add_moved(Address::ZERO, event.repaid);
            } else if Some(log.address) == deployed.rewards
                && let Ok(event) = IRewards::Harvest::decode_log(log)
            {
                deed.accounts += 1;
                deed.add_moved(event.rewardToken, event.amount);
                let (_, tips) = deed.profit.unwrap_or_default();
                deed.profit = Some((event.rewardToken, tips.saturating_add(event.tip)));
            } else if Some(log.address) == deployed.rewards
                && let Ok(event) = IRewards::Claim::decode_log(log)
            {
                deed.accounts += 1;
                deed.add_moved(event.rewardToken, event.amount);
            }
        }
        deed
    }

    /// The events of a liquidation do not name the token.
    pub(super) fn in_token(mut self, token: Address) -> Self {
        if let Some((unnamed, _)) = self.moved.as_mut().filter(|(named, _)| named.is_zero()) {
            *unnamed = token;
        }
        self
    }

    /// What came to us, in wei; nothing where that cannot be valued.
    pub(super) fn gain(&self, values: &Values) -> U256 {
        let value = |(token, units)| Some(values.of(token).ok()?.value_down(units));
        self.profit.and_then(value).unwrap_or_default()
    }

    fn add_moved(&mut self, token: Address, units: U256) {
        let (_, before) = self.moved.unwrap_or_default();
        self.moved = Some((token, before.saturating_add(units)));
    }
}

impl Sums {
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

    /// Counts a transaction. Whether it was not counted before.
    fn spend(&mut self, receipt: &Receipt, has_reverted: bool, now: u64) -> bool {
        if self.counted.contains(&receipt.place.hash) {
            return false;
        }
        self.counted.push_back(receipt.place.hash);
        if self.counted.len() > MOST_COUNTED {
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

fn begun(config: &Config, report: &Report, now: u64) -> Happening {
    let Intent { purpose, expected_gain, .. } = &report.intent;
    let (kind, accounts) = match purpose {
        Purpose::Liquidate { borrowers, .. } => (Kind::Liquidation, borrowers.len()),
        Purpose::Harvest { accounts, .. } => (Kind::Harvest, accounts.len()),
        Purpose::ClaimOwn { .. } => (Kind::Claim, 1),
    };
    Happening {
        id: report.id,
        at: now,
        block: None,
        kind,
        state: HappeningState::Sent,
        place: place(&config.deployed, purpose),
        accounts: count(accounts),
        moved: None,
        profit: Some(balance(*expected_gain, U256::ZERO, &config.chain.coin)),
        gas: None,
        transaction: None,
        note: None,
    }
}

/// Where it happens: a market or a programme.
fn place(deployed: &Deployed, purpose: &Purpose) -> String {
    match purpose {
        Purpose::Liquidate { market, .. } => deployed.market_name(MarketId(*market)),
        Purpose::Harvest { pool, .. } | Purpose::ClaimOwn { pool, .. } => deployed.programme_name(*pool),
    }
}

fn balance(earned: U256, spent: U256, coin: &str) -> Balance {
    let signed = |wei: U256| I256::try_from(wei).unwrap_or(I256::MAX);
    Balance { units: signed(earned).saturating_sub(signed(spent)), decimals: COIN_DECIMALS, token: coin.to_owned() }
}
