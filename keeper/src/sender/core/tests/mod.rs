//! K2: whatever happens, every nonce ends as one mined transaction, and no intent is carried out twice.

mod claims;
mod play;
mod world;

use proptest::prelude::*;

use self::play::{Play, Step};

/// What short scripts are made of.
const STEPS: [Step; 9] = [
    Step::Urgent,
    Step::Patient,
    Step::Mine,
    Step::Spike,
    Step::Reorg { depth: 2, comes_back: false },
    Step::EmptyPool,
    Step::Foreign,
    Step::LoseAnswer,
    Step::Broke,
];

/// Every script of so many steps.
fn scripts(length: usize) -> impl Iterator<Item = Vec<Step>> {
    let count = STEPS.len().pow(u32::try_from(length).unwrap());
    (0..count).map(move |mut number| {
        (0..length)
            .map(|_| {
                let step = STEPS[number % STEPS.len()];
                number /= STEPS.len();
                step
            })
            .collect()
    })
}

/// Plays a script, once without a crash and once for each effect before which it could crash.
fn with_every_crash(script: &[Step]) {
    let mut whole = Play::new();
    whole.run(script);
    let effects = whole.effects;
    whole.end();
    for at in 0..effects {
        let mut play = Play::new();
        play.effects_left = Some(at);
        play.run(script);
        play.end();
    }
}

#[test]
fn every_short_script_with_a_crash_at_every_effect_leaves_nothing_unaccounted_for() {
    for length in 1..=4 {
        scripts(length).for_each(|script| {
            let result = std::panic::catch_unwind(|| with_every_crash(&script));
            assert!(result.is_ok(), "{script:?}");
        });
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Urgent),
        4 => Just(Step::Patient),
        1 => Just(Step::Poor),
        8 => Just(Step::Mine),
        1 => Just(Step::Spike),
        2 => Just(Step::Calm),
        2 => (1..3usize, any::<bool>()).prop_map(|(depth, comes_back)| Step::Reorg { depth, comes_back }),
        1 => Just(Step::EmptyPool),
        1 => Just(Step::Foreign),
        1 => Just(Step::LoseBroadcast),
        1 => Just(Step::LoseAnswer),
        1 => Just(Step::Broke),
        1 => Just(Step::Quiet),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_long_script_with_a_crash_somewhere_leaves_nothing_unaccounted_for(
        script in prop::collection::vec(step(), 1..40), crash in prop::option::of(0..200usize),
    ) {
        let mut play = Play::new();
        play.effects_left = crash;
        play.run(&script);
        play.end();
    }
}
