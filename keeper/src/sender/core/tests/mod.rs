//! K2: whatever happens, every nonce ends as one mined transaction, and no intent is executed twice.
//!
//! `unit` tests one behaviour at a time, `simulation` runs scripts of mishaps and crashes against a `model` of a chain
//! and its pool.

mod model;
mod simulation;
mod unit;

use proptest::prelude::*;

use self::simulation::{Simulation, Step, WriteFault};
use super::{AttemptKind, JournalEntry};

/// Steps of the short scripts.
const STEPS: [Step; 12] = [
    Step::SubmitHigh,
    Step::SubmitLow,
    Step::MineBlock,
    Step::BaseFeeSpike,
    Step::Reorg { depth: 2, keeps_transactions: false },
    Step::ClearPool,
    Step::MineForeign,
    Step::LoseResponse,
    Step::DrainSigner,
    Step::MineObsolete,
    Step::OrderCancellation,
    Step::PassDeadlines,
];

/// Returns every script of this many of these steps.
fn scripts(steps: &[Step], length: usize) -> impl Iterator<Item = Vec<Step>> {
    let count = steps.len().pow(u32::try_from(length).unwrap());
    (0..count).map(move |mut number| {
        (0..length)
            .map(|_| {
                let step = steps[number % steps.len()];
                number /= steps.len();
                step
            })
            .collect()
    })
}

/// Runs a script, once without a crash and once for each effect before which it could crash.
fn run_with_every_crash(script: &[Step], start: fn() -> Simulation) {
    let mut whole = start();
    whole.run(script);
    let effects = whole.effects;
    whole.end();
    for at in 0..effects {
        let mut simulation = start();
        simulation.effects_left = Some(at);
        simulation.run(script);
        simulation.end();
    }
}

#[test]
fn after_every_short_script_with_a_crash_before_any_effect_every_nonce_is_accounted_for() {
    for length in 1..=4 {
        scripts(&STEPS, length).for_each(|script| {
            let result = std::panic::catch_unwind(|| run_with_every_crash(&script, Simulation::new));
            assert!(result.is_ok(), "{script:?}");
        });
    }
}

#[test]
fn in_bundles_too_every_nonce_is_accounted_for_and_no_cancellation_is_paid_for_by_itself() {
    for length in 1..=3 {
        scripts(&STEPS, length).for_each(|script| {
            let result = std::panic::catch_unwind(|| run_with_every_crash(&script, Simulation::in_bundles));
            assert!(result.is_ok(), "{script:?}");
            let mut simulation = Simulation::in_bundles();
            simulation.run(&script);
            let is_cancellation =
                |entry: &JournalEntry| entry.attempts.iter().any(|one| one.kind == AttemptKind::Cancel);
            let is_ordered = script.contains(&Step::OrderCancellation);
            assert!(is_ordered || !simulation.journal.entries().iter().any(is_cancellation), "{script:?}");
        });
    }
}

/// Steps of the short scripts of a keeper that shares its journal: what the journal does, amid what matters to it.
const SHARED_STEPS: [Step; 14] = [
    Step::SubmitHigh,
    Step::SubmitLow,
    Step::MineBlock,
    Step::BaseFeeSpike,
    Step::Calm,
    Step::Reorg { depth: 2, keeps_transactions: false },
    Step::OrderCancellation,
    Step::FailWrite(WriteFault::FencedByPeer),
    Step::FailWrite(WriteFault::Fenced),
    Step::FailWrite(WriteFault::Lost),
    Step::FailWrite(WriteFault::Unanswered),
    Step::StopDatabase,
    Step::LoseLastWrite,
    Step::Pause,
];

#[test]
fn an_intent_that_is_dropped_when_the_lease_is_lost_at_a_write_is_reported() {
    let mut simulation = Simulation::new();
    simulation.run(&[
        Step::BaseFeeSpike,
        Step::SubmitHigh,
        Step::MineBlock,
        Step::SubmitLow,
        Step::FailWrite(WriteFault::FencedByPeer),
        Step::OrderCancellation,
    ]);
    simulation.end();
}

#[test]
fn after_every_short_script_in_which_a_shared_journal_fails_every_nonce_is_accounted_for() {
    for length in 1..=4 {
        scripts(&SHARED_STEPS, length).for_each(|script| {
            for start in [Simulation::new, Simulation::in_bundles] {
                let result = std::panic::catch_unwind(|| {
                    let mut simulation = start();
                    simulation.run(&script);
                    simulation.end();
                });
                assert!(result.is_ok(), "{script:?}");
            }
        });
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::SubmitHigh),
        4 => Just(Step::SubmitLow),
        1 => Just(Step::SubmitUnprofitable),
        8 => Just(Step::MineBlock),
        1 => Just(Step::BaseFeeSpike),
        2 => Just(Step::Calm),
        2 => (1..3usize, any::<bool>())
            .prop_map(|(depth, keeps_transactions)| Step::Reorg { depth, keeps_transactions }),
        1 => Just(Step::ClearPool),
        1 => Just(Step::MineForeign),
        1 => Just(Step::LoseBroadcast),
        1 => Just(Step::LoseResponse),
        1 => Just(Step::DrainSigner),
        3 => Just(Step::MineObsolete),
        2 => Just(Step::OrderCancellation),
        1 => Just(Step::PassDeadlines),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
        1 => write_fault().prop_map(Step::FailWrite),
        1 => Just(Step::StopDatabase),
        1 => Just(Step::LoseLastWrite),
        1 => Just(Step::Pause),
    ]
}

fn write_fault() -> impl Strategy<Value = WriteFault> {
    prop_oneof![
        Just(WriteFault::FencedByPeer),
        Just(WriteFault::Fenced),
        Just(WriteFault::Lost),
        Just(WriteFault::Unanswered),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_a_long_random_script_with_a_crash_every_nonce_is_accounted_for(
        script in prop::collection::vec(step(), 1..40), crash in prop::option::of(0..200usize), in_bundles: bool,
    ) {
        let mut simulation = if in_bundles { Simulation::in_bundles() } else { Simulation::new() };
        simulation.effects_left = crash;
        simulation.run(&script);
        simulation.end();
    }
}
