//! Each reason of the gate to refuse an intent, and that it ends.

use alloy::{
    primitives::{Address, B256, Log, LogData},
    sol_types::SolEvent,
};
use plimsoll_contracts::ILiquidator::LiquidateWithoutCapital;

use super::*;
use crate::{
    intent::{GuardKind, Inclusion, Priority, Profit, Purpose, Receipt},
    prices::Rate,
};

const SECONDS_PER_DAY: u64 = 86_400;
const NOON: u64 = 20_000 * SECONDS_PER_DAY + SECONDS_PER_DAY / 2;
const LIQUIDATOR: Address = Address::repeat_byte(0x11);
const TOKEN: Address = Address::repeat_byte(0x22);

fn settings() -> SafetySettings {
    SafetySettings {
        is_live: true,
        loss_cap_per_day: U256::from(1_000),
        scope_loss_cap_per_day: U256::from(800),
        breaker_reverts: 3,
        breaker_window_secs: 60,
        breaker_pause_secs: 600,
        minimum_balance: U256::from(50),
        contracts: Contracts { core: Address::repeat_byte(0xc0), liquidator: Some(LIQUIDATOR), ..Contracts::default() },
    }
}

fn intent() -> Intent {
    intent_of(1)
}

/// An intent of the market with this number.
fn intent_of(market: u8) -> Intent {
    let market = B256::repeat_byte(market);
    Intent {
        purpose: Purpose::Liquidate { market, borrowers: vec![Address::ZERO] },
        priority: Priority::High,
        to: LIQUIDATOR,
        data: Vec::new().into(),
        gas_limit: 1,
        expected_gas: 1,
        expected_gain: U256::from(1),
        extra_wei: U256::ZERO,
        margin_bps: 0,
        deadline: 1,
        scope: Scope::new("liquidate", market),
        guard: GuardKind::OnChain,
        bid: 0,
        profit: Some(Profit { token: TOKEN, rate: Rate::ONE, repaid: None, builder_share_bps: 0 }),
    }
}

const fn at(now: u64) -> RiskContext {
    RiskContext { now, block: 1_000_000, balance: None, is_killed: false }
}

fn receipt(number: u8, cost: u64) -> Receipt {
    let inclusion = Inclusion { hash: B256::repeat_byte(number), block: 1, block_hash: B256::ZERO };
    Receipt { inclusion, success: false, gas_used: cost, effective_gas_price: 1, data_fee: 0 }
}

fn report(outcome: Outcome) -> Report {
    Report { id: 1, signer: Address::ZERO, intent: intent(), outcome, logs: Vec::new() }
}

/// Reports that an intent of the first market was mined in block 1, at this cost and with this profit.
fn mined(number: u8, cost: u64, profit: u64) -> Report {
    let event = LiquidateWithoutCapital {
        id: B256::repeat_byte(1),
        caller: Address::ZERO,
        receiver: Address::ZERO,
        profitToken: TOKEN,
        repaid: U256::ZERO,
        seized: U256::ZERO,
        profit: U256::from(profit),
    };
    let log = |address, data: LogData| Log { address, data };
    // Tokens may emit the same event with any figures.
    let fake = LiquidateWithoutCapital { profit: U256::MAX, ..event };
    let logs = vec![log(TOKEN, fake.encode_log_data()), log(LIQUIDATOR, event.encode_log_data())];
    Report { id: number.into(), logs, ..report(Outcome::Mined(Receipt { success: true, ..receipt(number, cost) })) }
}

/// Reports that an intent of a market reverted in block 1.
fn revert_in(gate: &mut Gate, market: u8, number: u8, cost: u64, now: u64) {
    let report = Report { intent: intent_of(market), ..report(Outcome::Reverted(receipt(number, cost))) };
    assert!(gate.on_report(&report, now, 1));
}

fn revert(gate: &mut Gate, number: u8, cost: u64, now: u64) {
    revert_in(gate, 1, number, cost, now);
}

#[test]
fn a_dry_run_is_the_last_reason_to_refuse() {
    let gate = Gate::new(SafetySettings { is_live: false, ..settings() }, SafetyRecord::default());
    assert_eq!(gate.admit(&intent(), &at(NOON)), Err(SafetyRefusal::DryRun));
    let killed = RiskContext { is_killed: true, ..at(NOON) };
    assert_eq!(gate.admit(&intent(), &killed), Err(SafetyRefusal::KillFile));
}

#[test]
fn whatever_costs_more_than_it_brings_counts_towards_the_loss_cap_of_its_day() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    // Mined successfully, and lost 300.
    assert!(gate.on_report(&mined(1, 5_000, 4_700), NOON, 1));
    assert_eq!(gate.lost_on(NOON), U256::from(300));
    // A profit is no credit.
    assert!(gate.on_report(&mined(2, 100, 9_000), NOON, 1));
    assert_eq!(gate.lost_on(NOON), U256::from(300));
    let cancelled = Report { intent: intent_of(2), ..report(Outcome::Cancelled(receipt(3, 400))) };
    assert!(gate.on_report(&cancelled, NOON, 1));
    assert_eq!(gate.admit(&intent(), &at(NOON)), Ok(()));
    revert_in(&mut gate, 3, 4, 300, NOON);
    let (lost, cap) = (U256::from(1_000), U256::from(1_000));
    assert_eq!(gate.admit(&intent(), &at(NOON)), Err(SafetyRefusal::LossCap { lost, cap }));
    assert_eq!(gate.admit(&intent(), &at(NOON + SECONDS_PER_DAY / 2)), Ok(()));
}

#[test]
fn the_losses_of_one_market_stop_that_market_alone() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    revert(&mut gate, 1, 800, NOON);
    let refused = gate.admit(&intent(), &at(NOON));
    assert!(matches!(refused, Err(SafetyRefusal::ScopeLossCap { lost, .. }) if lost == U256::from(800)), "{refused:?}");
    assert_eq!(gate.admit(&intent_of(2), &at(NOON)), Ok(()));
}

#[test]
fn a_transaction_that_is_reported_twice_counts_once() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    revert(&mut gate, 1, 600, NOON);
    assert!(!gate.on_report(&report(Outcome::Reverted(receipt(1, 600))), NOON, 1));
    assert_eq!(gate.lost_on(NOON), U256::from(600));
}

#[test]
fn a_reorganised_transaction_is_taken_back_and_counted_anew_when_it_is_mined_again() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    gate.on_report(&mined(1, 5_000, 4_700), NOON, 1);
    let reorged = Report { outcome: Outcome::Reorged, ..mined(1, 0, 0) };
    assert!(gate.on_report(&reorged, NOON, 1));
    assert!(!gate.on_report(&reorged, NOON, 1));
    assert_eq!(gate.record().results.on_day(NOON), Default::default());
    assert_eq!(gate.record().results.lifetime(), Default::default());
    assert!(gate.on_report(&mined(1, 5_000, 6_000), NOON, 1));
    assert_eq!(gate.record().results.lifetime().transactions, 1);
    assert_eq!(gate.lost_on(NOON), U256::ZERO);
}

#[test]
fn too_many_reverts_open_the_breaker_until_its_pause_is_over() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    (0..3).for_each(|number| revert(&mut gate, number, 1, NOON + 10 * u64::from(number)));
    let open = SafetyRefusal::BreakerOpen { reverts: 3, window_secs: 60, left_secs: 590 };
    assert_eq!(gate.admit(&intent(), &at(NOON + 30)), Err(open));
    assert_eq!(gate.admit(&intent(), &at(NOON + 20 + 600)), Ok(()));
}

#[test]
fn reverts_of_one_strategy_or_market_open_no_other_breaker() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    let harvest = Intent { scope: Scope::new("harvest", B256::repeat_byte(1)), ..intent() };
    for number in 0..9 {
        let report = Report { intent: harvest.clone(), ..report(Outcome::Reverted(receipt(number, 1))) };
        gate.on_report(&report, NOON, 1);
    }
    assert!(matches!(gate.admit(&harvest, &at(NOON)), Err(SafetyRefusal::BreakerOpen { .. })));
    assert_eq!(gate.admit(&intent(), &at(NOON)), Ok(()));
}

#[test]
fn reverts_are_recent_within_the_window() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    gate.on_report(&report(Outcome::Reverted(receipt(1, 1))), NOON, 1);
    let window = settings().breaker_window_secs;
    assert_eq!([NOON, NOON + window - 1, NOON + window].map(|now| gate.recent_reverts(now)), [1, 1, 0]);
}

#[test]
fn reverts_that_are_far_apart_do_not_open_the_breaker() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    (0..9).for_each(|number| revert(&mut gate, number, 1, NOON + 30 * u64::from(number)));
    assert_eq!(gate.admit(&intent(), &at(NOON + 300)), Ok(()));
}

#[test]
fn a_signer_below_its_minimum_balance_sends_nothing() {
    let gate = Gate::new(settings(), SafetyRecord::default());
    let poor = RiskContext { balance: Some(U256::from(49)), ..at(NOON) };
    let low = SafetyRefusal::LowBalance { balance: U256::from(49), minimum: U256::from(50) };
    assert_eq!(gate.admit(&intent(), &poor), Err(low));
    assert_eq!(gate.admit(&intent(), &RiskContext { balance: Some(U256::from(50)), ..poor }), Ok(()));
}

#[test]
fn a_reverted_subject_is_refused_until_the_block_that_the_reason_names() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    revert(&mut gate, 1, 1, NOON);
    let soon = RiskContext { block: 2, ..at(NOON) };
    let refusal = gate.admit(&intent(), &soon).unwrap_err();
    assert!(refusal.to_string().ends_with("failed 1 times in a row; it is tried again in block 3"), "{refusal}");
    assert_eq!(gate.admit(&intent(), &RiskContext { block: 3, ..soon }), Ok(()));
    revert(&mut gate, 2, 1, NOON);
    let subject = intent().purpose.subjects()[0];
    gate.record_failure(subject, FailureCause::LostRace, 1);
    assert_eq!(gate.admit(&intent(), &soon), Ok(()));
}

#[test]
fn a_restart_keeps_the_days_loss_and_an_open_breaker() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    (0..3).for_each(|number| revert(&mut gate, number, 100, NOON));
    let json = serde_json::to_string(gate.record()).unwrap();
    let again = Gate::new(settings(), serde_json::from_str(&json).unwrap());
    assert_eq!(again.lost_on(NOON), U256::from(300));
    assert_eq!(again.open_breakers(NOON + 1), [(intent().scope, 599)]);
}
