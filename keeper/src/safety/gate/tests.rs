//! Each reason of the gate to refuse an intent, and that it ends.

use alloy::primitives::{Address, B256};

use super::*;
use crate::intent::{GuardKind, Inclusion, Priority, Purpose, Scope};

const NOON: u64 = 20_000 * SECONDS_PER_DAY + SECONDS_PER_DAY / 2;

fn settings() -> SafetySettings {
    SafetySettings {
        is_live: true,
        loss_cap_per_day: U256::from(1_000),
        breaker_reverts: 3,
        breaker_window_secs: 60,
        breaker_pause_secs: 600,
        minimum_balance: U256::from(50),
    }
}

fn intent() -> Intent {
    Intent {
        purpose: Purpose::Liquidate { market: B256::ZERO, borrowers: vec![Address::ZERO] },
        priority: Priority::High,
        to: Address::ZERO,
        data: Vec::new().into(),
        gas_limit: 1,
        expected_gas: 1,
        expected_gain: U256::from(1),
        deadline: 1,
        scope: Scope::new("liquidate", B256::ZERO),
        guard: GuardKind::None,
        profit: None,
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
    Report { id: 1, signer: Address::ZERO, intent: intent(), outcome }
}

/// Reports that the intent reverted in block 1.
fn revert(gate: &mut Gate, number: u8, cost: u64, now: u64) {
    assert!(gate.on_report(&report(Outcome::Reverted(receipt(number, cost))), now, 1));
}

#[test]
fn a_dry_run_is_the_last_reason_to_refuse() {
    let gate = Gate::new(SafetySettings { is_live: false, ..settings() }, SafetyRecord::default());
    assert_eq!(gate.admit(&intent(), &at(NOON)), Err(SafetyRefusal::DryRun));
    let killed = RiskContext { is_killed: true, ..at(NOON) };
    assert_eq!(gate.admit(&intent(), &killed), Err(SafetyRefusal::KillFile));
}

#[test]
fn reverts_and_cancellations_count_towards_the_loss_cap_of_their_day() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    revert(&mut gate, 1, 600, NOON);
    gate.on_report(&report(Outcome::Mined(receipt(9, 5_000))), NOON, 1);
    assert_eq!(gate.admit(&intent(), &at(NOON)), Ok(()));
    assert!(gate.on_report(&report(Outcome::Cancelled(receipt(2, 400))), NOON, 1));
    let (lost, cap) = (U256::from(1_000), U256::from(1_000));
    assert_eq!(gate.admit(&intent(), &at(NOON)), Err(SafetyRefusal::LossCap { lost, cap }));
    assert_eq!(gate.admit(&intent(), &at(NOON + SECONDS_PER_DAY / 2)), Ok(()));
}

#[test]
fn a_transaction_that_is_reported_twice_counts_once() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    revert(&mut gate, 1, 600, NOON);
    assert!(!gate.on_report(&report(Outcome::Reverted(receipt(1, 600))), NOON, 1));
    assert_eq!(gate.lost_on(NOON), U256::from(600));
}

#[test]
fn too_many_reverts_open_the_breaker_until_its_pause_is_over_or_it_is_closed_by_hand() {
    let mut gate = Gate::new(settings(), SafetyRecord::default());
    (0..3).for_each(|number| revert(&mut gate, number, 1, NOON + 10 * u64::from(number)));
    let open = SafetyRefusal::BreakerOpen { reverts: 3, window_secs: 60, left_secs: 590 };
    assert_eq!(gate.admit(&intent(), &at(NOON + 30)), Err(open));
    assert_eq!(gate.admit(&intent(), &at(NOON + 20 + 600)), Ok(()));
    gate.close_breaker();
    assert_eq!(gate.admit(&intent(), &at(NOON + 30)), Ok(()));
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
    assert_eq!(again.breaker_open_for(NOON + 1), Some(599));
}
