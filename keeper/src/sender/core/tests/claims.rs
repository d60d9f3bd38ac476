//! What a core does, one claim at a time.

use alloy::primitives::{B256, U256, keccak256};

use super::{
    play::{Play, SIGNER, Step, intent, settings},
    world::{World, sign},
};
use crate::{
    intent::Urgency,
    sender::{
        core::{Alert, Core, Effect, Event, Looked, PrivateFirst, RecoverError, Route, Settings, Signed},
        journal::{Fees, Kind, Place, Recovered, State},
        outcome::{DropReason, Outcome, Receipt},
        verdict::Verdict,
    },
};

const GAIN: u64 = 100_000_000;

/// A core whose orders are signed at once; everything else it wants done is handed out.
struct Bench {
    core: Core,
    world: World,
    submitted: u64,
}

impl Bench {
    fn new(settings: Settings, has_code: bool) -> Self {
        let core = Core::recover(SIGNER, settings, Recovered::default(), 0, has_code, false).unwrap();
        let mut bench = Self { core, world: World::new(), submitted: 0 };
        bench.block();
        bench
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut done = Vec::new();
        let mut effects = self.core.handle(event);
        while let Some(Effect::Sign(orders)) = effects.last() {
            let signed = orders.iter().map(|order| {
                let raw = sign(order);
                Signed { nonce: order.nonce, hash: keccak256(&raw), raw }
            });
            let signed = Event::Signed(signed.collect());
            effects.pop();
            done.append(&mut effects);
            effects = self.core.handle(signed);
        }
        done.extend(effects);
        done
    }

    fn submit(&mut self, urgency: Urgency) -> Vec<Effect> {
        self.submitted += 1;
        self.handle(Event::Submit(vec![(self.submitted, intent(self.submitted, urgency, GAIN, u64::MAX))]))
    }

    fn block(&mut self) -> Vec<Effect> {
        self.world.mine();
        self.handle(Event::Block(self.world.header()))
    }

    /// A block in which nothing of ours is, and the look after it.
    fn barren_block(&mut self) -> Vec<Effect> {
        let Some(Effect::LookUp(hashes)) = self.block().pop() else { panic!("nothing was looked up") };
        let looked = self.world.look_up(&hashes);
        self.handle(Event::Looked(looked))
    }
}

fn broadcasts(effects: &[Effect]) -> Vec<(u64, B256, Route)> {
    let broadcast = |effect: &Effect| match effect {
        Effect::Broadcast { nonce, hash, route, .. } => Some((*nonce, *hash, *route)),
        _ => None,
    };
    effects.iter().filter_map(broadcast).collect()
}

fn newest_fees(effects: &[Effect]) -> Fees {
    let entry = effects.iter().rev().find_map(|effect| match effect {
        Effect::Journal(entries) => entries.last(),
        _ => None,
    });
    entry.unwrap().attempts.last().unwrap().fees
}

#[test]
fn a_transaction_is_written_down_before_it_is_shown() {
    let effects = Bench::new(settings(), false).submit(Urgency::Urgent);
    let [Effect::Journal(written), Effect::Broadcast { nonce: 0, hash, .. }, Effect::Report(report)] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(written[0].attempts[0].hash, *hash);
    assert!(matches!(report.outcome, Outcome::Sent { nonce: 0, .. }));
}

#[test]
fn an_idle_block_asks_nothing() {
    let mut bench = Bench::new(settings(), false);
    assert!(bench.block().is_empty());
}

#[test]
fn an_urgent_intent_takes_a_patient_ones_nonce_for_a_tenth_more() {
    let mut bench = Bench::new(settings(), false);
    let patient = newest_fees(&bench.submit(Urgency::Patient));
    let effects = bench.submit(Urgency::Urgent);
    let urgent = newest_fees(&effects);
    assert_eq!(broadcasts(&effects)[0].0, 0);
    assert!(urgent.max_fee * 100 >= patient.max_fee * 110 && urgent.tip * 100 >= patient.tip * 110);
    assert_eq!(bench.core.pending().map(|entry| entry.id).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_patient_intent_waits_for_urgent_ones() {
    let mut bench = Bench::new(settings(), false);
    bench.submit(Urgency::Urgent);
    assert!(bench.submit(Urgency::Patient).is_empty());
    assert_eq!(bench.core.waiting(), 1);
}

#[test]
fn no_more_than_the_most_are_pending_and_one_where_the_signer_has_code() {
    let mut bench = Bench::new(settings(), false);
    (0..5).for_each(|_| drop(bench.submit(Urgency::Urgent)));
    assert_eq!((bench.core.pending().count(), bench.core.waiting()), (3, 2));
    let mut bench = Bench::new(settings(), true);
    (0..5).for_each(|_| drop(bench.submit(Urgency::Urgent)));
    assert_eq!((bench.core.pending().count(), bench.core.waiting()), (1, 4));
}

#[test]
fn what_is_not_mined_is_offered_for_more_until_it_is_worth_no_more() {
    let mut bench = Bench::new(settings(), false);
    let effects = bench.submit(Urgency::Patient);
    let mut last = newest_fees(&effects);
    let same = bench.barren_block();
    assert_eq!(broadcasts(&same)[0].1, broadcasts(&effects)[0].1, "the same bytes again");
    let ceiling = settings().fees.ceiling(&intent(1, Urgency::Patient, GAIN, u64::MAX));
    let mut raises = 0;
    for _ in 0..400 {
        let effects = bench.barren_block();
        if effects.iter().any(|effect| matches!(effect, Effect::Journal(_))) {
            let fees = newest_fees(&effects);
            assert!(fees.max_fee * 100 >= last.max_fee * 110 && fees.tip * 100 >= last.tip * 110);
            assert!(fees.max_fee <= ceiling);
            last = fees;
            raises += 1;
        }
    }
    assert!(raises > 50 && last.max_fee > ceiling / 2, "{raises} raises to {last:?}");
}

#[test]
fn an_underpriced_replacement_is_raised_at_once() {
    let mut bench = Bench::new(settings(), false);
    let effects = bench.submit(Urgency::Patient);
    let (nonce, hash, _) = broadcasts(&effects)[0];
    let effects = bench.handle(Event::Answered { nonce, hash, verdict: Verdict::TooCheap });
    let raised = newest_fees(&effects);
    assert_eq!(broadcasts(&effects).len(), 1);
    assert!(raised.tip >= 11);
}

#[test]
fn a_node_that_calls_everything_too_cheap_does_not_bid_us_up_in_one_block() {
    let mut bench = Bench::new(settings(), false);
    let mut shown = broadcasts(&bench.submit(Urgency::Patient));
    let mut raises = 0;
    while let Some((nonce, hash, _)) = shown.pop() {
        shown = broadcasts(&bench.handle(Event::Answered { nonce, hash, verdict: Verdict::TooCheap }));
        raises += shown.len();
    }
    assert_eq!(raises, 4);
}

#[test]
fn after_its_deadline_a_nonce_is_used_up_by_sending_nothing_to_oneself() {
    let mut play = Play::new();
    play.run(&[Step::Urgent, Step::Spike]);
    (0..5).for_each(|_| play.run(&[Step::Mine]));
    let play = play.end();
    let entries = play.journal.entries();
    assert!(matches!(entries[0].state, State::Cancelled(_)), "{entries:?}");
    assert_eq!(entries[0].attempts.last().unwrap().kind, Kind::Cancel);
}

#[test]
fn a_mined_transaction_that_a_reorganisation_takes_back_is_shown_again_as_it_was() {
    let mut play = Play::new();
    play.run(&[Step::Urgent, Step::Mine, Step::Mine, Step::Reorg { depth: 2, comes_back: false }, Step::Mine]);
    assert_eq!(play.journal.entries()[0].attempts.len(), 1);
    let told = play.reports.iter().map(|report| report.outcome.name()).collect::<Vec<_>>();
    assert_eq!(told, ["sent", "mined", "taken_back", "mined"]);
}

#[test]
fn after_blocks_that_it_was_not_shown_it_looks_again_at_what_was_mined() {
    let mut play = Play::new();
    play.run(&[Step::Urgent, Step::Mine]);
    play.world.reorg(1, false);
    play.world.mine();
    play.run(&[Step::Mine]);
    assert_eq!(play.reports.last().unwrap().outcome, Outcome::TakenBack);
}

#[test]
fn what_was_mined_and_then_lost_to_another_is_reported_as_both() {
    let mut play = Play::new();
    play.run(&[Step::Urgent, Step::Mine]);
    play.world.reorg(1, false);
    play.run(&[Step::Foreign, Step::Mine]);
    let told = play.reports.iter().map(|report| report.outcome.name()).collect::<Vec<_>>();
    assert_eq!(told, ["sent", "mined", "taken_back", "nonce_used_by_other"]);
    play.end();
}

#[test]
fn after_a_restart_the_nonce_is_still_its_last_holders() {
    let mut play = Play::new();
    play.run(&[Step::Patient, Step::Urgent, Step::EmptyPool, Step::Restart, Step::Mine]);
    assert_eq!(play.world.mined().next().unwrap().label, Some(1));
    // A patient one that was mined before the urgent one arrived has its nonce back after a reorganisation.
    let mut play = Play::new();
    play.run(&[Step::Patient, Step::LoseBroadcast, Step::Urgent, Step::Mine, Step::Quiet]);
    play.run(&[Step::Reorg { depth: 1, comes_back: false }, Step::EmptyPool, Step::Quiet, Step::Restart, Step::Mine]);
    assert_eq!(play.world.mined().next().unwrap().label, Some(0));
    play.end();
}

#[test]
fn a_receipt_of_another_branch_is_asked_for_again_with_every_block() {
    let mut bench = Bench::new(settings(), false);
    let hash = broadcasts(&bench.submit(Urgency::Urgent))[0].1;
    let head = bench.world.header();
    let place = Place { hash, block: head.number, block_hash: B256::repeat_byte(9) };
    let receipt = Receipt { place, success: true, gas_used: 1, effective_price: 1, data_fee: 0 };
    let _ = bench.handle(Event::Looked(Looked { nonce: 1, receipts: vec![(hash, Some(receipt))] }));
    for _ in 0..2 {
        assert!(matches!(&bench.block()[..], [Effect::LookUp(hashes)] if *hashes == [hash]));
    }
}

#[test]
fn a_nonce_taken_from_outside_ends_the_intent_when_a_second_block_says_so() {
    let mut play = Play::new();
    play.run(&[Step::Urgent, Step::Foreign]);
    assert_eq!(play.reports.len(), 1);
    play.run(&[Step::Mine]);
    assert_eq!(play.reports.last().unwrap().outcome, Outcome::NonceUsedByOther { nonce: 0 });
    assert_eq!(play.end().journal.entries()[0].state, State::Lost);
}

#[test]
fn what_all_nodes_refuse_is_dropped_and_the_next_intent_takes_its_nonce() {
    let mut bench = Bench::new(settings(), false);
    let effects = bench.submit(Urgency::Urgent);
    let (nonce, hash, _) = broadcasts(&effects)[0];
    let effects = bench.handle(Event::Answered { nonce, hash, verdict: Verdict::NoFunds });
    let dropped = |effect: &Effect| match effect {
        Effect::Report(report) => report.outcome == Outcome::Dropped(DropReason::NoFunds),
        _ => false,
    };
    assert!(effects.iter().any(dropped), "{effects:?}");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Alert(Alert::NoFunds { .. }))));
    assert!(bench.block().is_empty(), "a vacant nonce is no reason to ask anything");
    assert_eq!(broadcasts(&bench.submit(Urgency::Urgent))[0].0, 0);
}

#[test]
fn a_gap_below_what_was_sent_is_closed_at_once() {
    let mut bench = Bench::new(settings(), false);
    let first = broadcasts(&bench.submit(Urgency::Urgent))[0];
    bench.submit(Urgency::Urgent);
    let effects = bench.handle(Event::Answered { nonce: 0, hash: first.1, verdict: Verdict::Never });
    assert_eq!(broadcasts(&effects)[0].0, 0);
    assert!(effects.iter().any(|effect| match effect {
        Effect::Journal(entries) => entries[0].attempts.last().unwrap().kind == Kind::Cancel,
        _ => false,
    }));
}

#[test]
fn while_it_is_private_nobody_else_is_shown_it() {
    let private = PrivateFirst { public_after_blocks: Some(2) };
    let mut bench = Bench::new(Settings { private: Some(private), replace_after_blocks: 99, ..settings() }, false);
    assert_eq!(broadcasts(&bench.submit(Urgency::Urgent))[0].2, Route::Private);
    assert_eq!(broadcasts(&bench.barren_block())[0].2, Route::Private);
    assert_eq!(broadcasts(&bench.barren_block())[0].2, Route::Public);
}

#[test]
fn while_held_nothing_is_sent_and_what_is_pending_is_followed() {
    let mut bench = Bench::new(settings(), false);
    let effects = bench.submit(Urgency::Urgent);
    let hash = broadcasts(&effects)[0].1;
    bench.handle(Event::Hold(true));
    let refused = bench.submit(Urgency::Urgent);
    assert!(matches!(&refused[..], [Effect::Report(r)] if r.outcome == Outcome::Dropped(DropReason::Held)));
    let effects = bench.block();
    assert!(matches!(&effects[..], [Effect::LookUp(hashes)] if *hashes == [hash]));
    let looked = Looked { nonce: 0, receipts: vec![(hash, None)] };
    assert!(bench.handle(Event::Looked(looked)).is_empty());
    bench.handle(Event::Hold(false));
    assert_eq!(broadcasts(&bench.barren_block()).len(), 1);
}

#[test]
fn without_a_journal_nothing_more_is_sent() {
    let mut bench = Bench::new(settings(), false);
    let alert = bench.handle(Event::JournalFailed);
    assert!(matches!(alert[..], [Effect::Alert(Alert::NoJournal { .. })]));
    let refused = bench.submit(Urgency::Urgent);
    assert!(matches!(&refused[..], [Effect::Report(r)] if r.outcome == Outcome::Dropped(DropReason::NoJournal)));
}

#[test]
fn what_is_not_worth_its_gas_is_dropped_with_figures() {
    let mut bench = Bench::new(settings(), false);
    let effects = bench.handle(Event::Submit(vec![(7, intent(7, Urgency::Urgent, 100, u64::MAX))]));
    let [Effect::Report(report)] = &effects[..] else { panic!("{effects:?}") };
    let said = "not worth its gas: a unit of gas would have to be paid with 1010 wei, and what it brings leaves 0";
    assert!(matches!(&report.outcome, Outcome::Dropped(reason) if reason.to_string() == said), "{report:?}");
}

#[test]
fn a_chain_that_is_ahead_of_the_journal_stops_the_start() {
    let recovered = Recovered { next_nonce: Some(3), unsettled: Vec::new() };
    let start = |chain, adopts| Core::recover(SIGNER, settings(), recovered.clone(), chain, false, adopts);
    let ahead = RecoverError::ChainAhead { signer: SIGNER, chain: 5, journal: 3 };
    assert_eq!(start(5, false).unwrap_err(), ahead);
    assert!(ahead.to_string().contains("--adopt-nonce"));
    assert_eq!(start(5, true).unwrap().next_nonce(), 5);
    let behind = RecoverError::ChainBehind { signer: SIGNER, chain: 2, missing: 2 };
    assert_eq!(start(2, false).unwrap_err(), behind);
    assert_eq!(start(3, false).unwrap().next_nonce(), 3);
}

#[test]
fn a_fee_never_goes_beyond_the_gain() {
    let mut bench = Bench::new(settings(), false);
    let gain = U256::from(GAIN);
    let mut effects = bench.submit(Urgency::Urgent);
    for _ in 0..50 {
        if effects.iter().any(|effect| matches!(effect, Effect::Journal(_))) {
            assert!(U256::from(newest_fees(&effects).max_fee) <= gain / U256::from(10) * U256::from(9));
        }
        effects = bench.barren_block();
    }
}
