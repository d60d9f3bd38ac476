//! Each reason, and that it ends.

use alloy::primitives::{Address, B256};

use super::*;
use crate::{
    intent::{Purpose, Urgency},
    sender::journal::Place,
};

const NOON: u64 = 20_000 * SECONDS_A_DAY + SECONDS_A_DAY / 2;

fn settings() -> Settings {
    Settings {
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
        urgency: Urgency::Urgent,
        to: Address::ZERO,
        data: Vec::new().into(),
        gas_limit: 1,
        expected_gas: 1,
        expected_gain: U256::from(1),
        deadline: 1,
    }
}

const fn at(now: u64) -> Circumstances {
    Circumstances { now, block: 1_000_000, balance: None, is_killed: false }
}

fn receipt(number: u8, cost: u64) -> Receipt {
    let place = Place { hash: B256::repeat_byte(number), block: 1, block_hash: B256::ZERO };
    Receipt { place, success: false, gas_used: cost, effective_price: 1, data_fee: 0 }
}

fn report(outcome: Outcome) -> Report {
    Report { id: 1, signer: Address::ZERO, intent: intent(), outcome }
}

/// A revert of something that nobody wants sent again.
fn revert(gate: &mut Gate, number: u8, cost: u64, now: u64) {
    assert!(gate.note(&report(Outcome::Reverted(receipt(number, cost))), now, 1));
}

#[test]
fn a_dry_run_shows_what_would_have_been_sent_and_nothing_else() {
    let gate = Gate::new(Settings { is_live: false, ..settings() }, Record::default());
    assert_eq!(gate.admit(&intent(), &at(NOON)), Err(Refusal::DryRun));
    let killed = Circumstances { is_killed: true, ..at(NOON) };
    assert_eq!(gate.admit(&intent(), &killed), Err(Refusal::KillFile));
}

#[test]
fn reverts_and_cancellations_count_as_loss_until_the_day_ends() {
    let mut gate = Gate::new(settings(), Record::default());
    revert(&mut gate, 1, 600, NOON);
    gate.note(&report(Outcome::Mined(receipt(9, 5_000))), NOON, 1);
    assert_eq!(gate.admit(&intent(), &at(NOON)), Ok(()));
    assert!(gate.note(&report(Outcome::Cancelled(receipt(2, 400))), NOON, 1));
    let (lost, cap) = (U256::from(1_000), U256::from(1_000));
    assert_eq!(gate.admit(&intent(), &at(NOON)), Err(Refusal::LossCap { lost, cap }));
    assert_eq!(gate.admit(&intent(), &at(NOON + SECONDS_A_DAY / 2)), Ok(()));
}

#[test]
fn a_transaction_that_is_reported_twice_costs_once() {
    let mut gate = Gate::new(settings(), Record::default());
    revert(&mut gate, 1, 600, NOON);
    assert!(!gate.note(&report(Outcome::Reverted(receipt(1, 600))), NOON, 1));
    assert_eq!(gate.lost_on(NOON), U256::from(600));
}

#[test]
fn a_storm_of_reverts_opens_the_breaker_until_it_has_cooled_off_or_somebody_closes_it() {
    let mut gate = Gate::new(settings(), Record::default());
    (0..3).for_each(|number| revert(&mut gate, number, 1, NOON + 10 * u64::from(number)));
    let open = Refusal::BreakerOpen { reverts: 3, window_secs: 60, left_secs: 590 };
    assert_eq!(gate.admit(&intent(), &at(NOON + 30)), Err(open));
    assert_eq!(gate.admit(&intent(), &at(NOON + 20 + 600)), Ok(()));
    gate.close_breaker();
    assert_eq!(gate.admit(&intent(), &at(NOON + 30)), Ok(()));
}

#[test]
fn reverts_that_are_far_apart_open_nothing() {
    let mut gate = Gate::new(settings(), Record::default());
    (0..9).for_each(|number| revert(&mut gate, number, 1, NOON + 30 * u64::from(number)));
    assert_eq!(gate.admit(&intent(), &at(NOON + 300)), Ok(()));
}

#[test]
fn a_signer_keeps_its_smallest_balance() {
    let gate = Gate::new(settings(), Record::default());
    let poor = Circumstances { balance: Some(U256::from(49)), ..at(NOON) };
    let low = Refusal::LowBalance { balance: U256::from(49), minimum: U256::from(50) };
    assert_eq!(gate.admit(&intent(), &poor), Err(low));
    assert_eq!(gate.admit(&intent(), &Circumstances { balance: Some(U256::from(50)), ..poor }), Ok(()));
}

#[test]
fn what_reverted_is_left_alone_and_the_reason_says_until_when() {
    let mut gate = Gate::new(settings(), Record::default());
    revert(&mut gate, 1, 1, NOON);
    let soon = Circumstances { block: 2, ..at(NOON) };
    let refusal = gate.admit(&intent(), &soon).unwrap_err();
    assert!(refusal.to_string().ends_with("failed 1 times in a row; it is tried again in block 3"), "{refusal}");
    assert_eq!(gate.admit(&intent(), &Circumstances { block: 3, ..soon }), Ok(()));
    revert(&mut gate, 2, 1, NOON);
    let subject = intent().purpose.subjects()[0];
    gate.failed(subject, Cause::LostRace, 1);
    assert_eq!(gate.admit(&intent(), &soon), Ok(()));
}

#[test]
fn a_restart_forgets_neither_losses_nor_an_open_breaker() {
    let mut gate = Gate::new(settings(), Record::default());
    (0..3).for_each(|number| revert(&mut gate, number, 100, NOON));
    let json = serde_json::to_string(gate.record()).unwrap();
    let again = Gate::new(settings(), serde_json::from_str(&json).unwrap());
    assert_eq!(again.lost_on(NOON), U256::from(300));
    assert_eq!(again.breaker_open_for(NOON + 1), Some(599));
}
