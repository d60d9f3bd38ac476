//! Behaviour of the core, one claim at a time.

use alloy::primitives::{Address, B256, U256};

use super::{
    model::{ChainModel, SECONDS_PER_BLOCK, sign},
    simulation::{SIGNER, Simulation, Step, intent, settings},
};
use crate::{
    intent::{DropReason, Fees, Inclusion, Intent, Outcome, Priority, Purpose, Receipt, SenderAlert},
    sender::{
        core::{
            BroadcastRoute, CancelRefusal, ChainStatus, Core, CoreSettings, Effect, Event, PrivateFirst, RecoverError,
        },
        journal::{AttemptKind, EntryState, Recovered},
        submit_result::SubmitResult,
    },
};

const GAIN: u64 = 100_000_000;

/// A core whose transactions are signed at once; every other effect is returned.
struct Fixture {
    core: Core,
    model: ChainModel,
    submitted: u64,
}

impl Fixture {
    fn new(settings: CoreSettings, has_code: bool) -> Self {
        let core = Core::recover(SIGNER, settings, Recovered::default(), 0, has_code, false).unwrap();
        let mut fixture = Self { core, model: ChainModel::new(), submitted: 0 };
        fixture.mine_block();
        fixture
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut done = Vec::new();
        let mut effects = self.core.handle(event);
        while let Some(Effect::Sign(transactions)) = effects.last() {
            let signed = Event::Signed(transactions.iter().map(sign).collect());
            effects.pop();
            done.append(&mut effects);
            effects = self.core.handle(signed);
        }
        done.extend(effects);
        done
    }

    fn submit(&mut self, priority: Priority) -> Vec<Effect> {
        self.submitted += 1;
        self.handle(Event::Submit(vec![(self.submitted, intent(self.submitted, priority, GAIN, u64::MAX))]))
    }

    fn respond(&mut self, nonce: u64, hash: B256, result: SubmitResult) -> Vec<Effect> {
        self.handle(Event::BroadcastResult { nonce, hash, result })
    }

    fn mine_block(&mut self) -> Vec<Effect> {
        self.model.mine();
        self.handle(Event::Block(self.model.header()))
    }

    /// Mines a block without a transaction of the signer, and answers the request for receipts that follows.
    fn mine_empty_block(&mut self) -> Vec<Effect> {
        let Some(Effect::FetchReceipts(hashes)) = self.mine_block().pop() else { panic!("no receipts are fetched") };
        let status = self.model.chain_status(&hashes);
        self.handle(Event::ChainStatus(status))
    }
}

fn broadcasts(effects: &[Effect]) -> Vec<(u64, B256, BroadcastRoute)> {
    let broadcast = |effect: &Effect| match effect {
        Effect::Broadcast { nonce, hash, route, .. } => Some((*nonce, *hash, *route)),
        _ => None,
    };
    effects.iter().filter_map(broadcast).collect()
}

fn newest_fees(effects: &[Effect]) -> Fees {
    let entry = effects.iter().rev().find_map(|effect| match effect {
        Effect::WriteJournal(entries) => entries.last(),
        _ => None,
    });
    entry.unwrap().attempts.last().unwrap().fees
}

/// Whether both fees are higher by a tenth at least, as geth requires of a replacement.
fn outbids(new: Fees, old: Fees) -> bool {
    new.max_fee_per_gas * 100 >= old.max_fee_per_gas * 110
        && new.max_priority_fee_per_gas * 100 >= old.max_priority_fee_per_gas * 110
}

fn is_dropped(effect: &Effect, reason: &DropReason) -> bool {
    matches!(effect, Effect::Report(report) if report.outcome == Outcome::Dropped(reason.clone()))
}

fn outcomes(simulation: &Simulation) -> Vec<Outcome> {
    simulation.reports.iter().map(|report| report.outcome.clone()).collect()
}

#[test]
fn a_transaction_is_written_to_the_journal_before_it_is_broadcast() {
    let effects = Fixture::new(settings(), false).submit(Priority::High);
    let [Effect::WriteJournal(written), Effect::Broadcast { nonce: 0, hash, .. }, Effect::Report(report)] =
        &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(written[0].attempts[0].hash, *hash);
    assert!(matches!(report.outcome, Outcome::Sent { nonce: 0, .. }));
}

#[test]
fn a_block_without_pending_transactions_causes_no_request() {
    let mut fixture = Fixture::new(settings(), false);
    assert!(fixture.mine_block().is_empty());
}

#[test]
fn an_intent_of_high_priority_replaces_a_pending_one_of_low_priority() {
    let mut fixture = Fixture::new(settings(), false);
    let low = newest_fees(&fixture.submit(Priority::Low));
    let effects = fixture.submit(Priority::High);
    assert_eq!(broadcasts(&effects)[0].0, 0);
    assert!(outbids(newest_fees(&effects), low));
    assert_eq!(fixture.core.pending().map(|entry| entry.id).collect::<Vec<_>>(), [2]);
}

#[test]
fn an_intent_of_low_priority_waits_for_pending_ones_of_high_priority() {
    let mut fixture = Fixture::new(settings(), false);
    fixture.submit(Priority::High);
    assert!(fixture.submit(Priority::Low).is_empty());
    assert_eq!(fixture.core.queued(), 1);
}

#[test]
fn pending_transactions_are_limited_and_to_one_for_a_signer_with_code() {
    let mut fixture = Fixture::new(settings(), false);
    (0..5).for_each(|_| drop(fixture.submit(Priority::High)));
    assert_eq!((fixture.core.pending().count(), fixture.core.queued()), (3, 2));
    let mut fixture = Fixture::new(settings(), true);
    (0..5).for_each(|_| drop(fixture.submit(Priority::High)));
    assert_eq!((fixture.core.pending().count(), fixture.core.queued()), (1, 4));
}

#[test]
fn the_fees_of_a_pending_transaction_are_bumped_up_to_what_it_affords() {
    let mut fixture = Fixture::new(settings(), false);
    let effects = fixture.submit(Priority::Low);
    let mut last = newest_fees(&effects);
    let same = fixture.mine_empty_block();
    assert_eq!(broadcasts(&same)[0].1, broadcasts(&effects)[0].1, "the same bytes are rebroadcast at first");
    let affordable = settings().fees.affordable_fee(&intent(1, Priority::Low, GAIN, u64::MAX));
    let mut bumps = 0;
    for _ in 0..400 {
        let effects = fixture.mine_empty_block();
        if effects.iter().any(|effect| matches!(effect, Effect::WriteJournal(_))) {
            let fees = newest_fees(&effects);
            assert!(outbids(fees, last) && fees.max_fee_per_gas <= affordable, "{fees:?} after {last:?}");
            last = fees;
            bumps += 1;
        }
    }
    assert!(bumps > 50 && last.max_fee_per_gas > affordable / 2, "{bumps} bumps to {last:?}");
}

#[test]
fn the_fees_of_an_underpriced_transaction_are_bumped_at_once() {
    let mut fixture = Fixture::new(settings(), false);
    let effects = fixture.submit(Priority::Low);
    let (nonce, hash, _) = broadcasts(&effects)[0];
    let effects = fixture.respond(nonce, hash, SubmitResult::Underpriced);
    let bumped = newest_fees(&effects);
    assert_eq!(broadcasts(&effects).len(), 1);
    assert!(bumped.max_priority_fee_per_gas >= 11);
}

#[test]
fn a_node_that_calls_everything_underpriced_causes_four_fee_bumps_per_block() {
    let mut fixture = Fixture::new(settings(), false);
    let mut sent = broadcasts(&fixture.submit(Priority::Low));
    let mut bumps = 0;
    while let Some((nonce, hash, _)) = sent.pop() {
        sent = broadcasts(&fixture.respond(nonce, hash, SubmitResult::Underpriced));
        bumps += sent.len();
    }
    assert_eq!(bumps, 4);
}

#[test]
fn after_its_deadline_a_pending_transaction_is_cancelled() {
    let mut simulation = Simulation::new();
    simulation.run(&[Step::SubmitHigh, Step::BaseFeeSpike]);
    (0..5).for_each(|_| simulation.run(&[Step::MineBlock]));
    simulation.run(&[Step::ClearPool, Step::Calm, Step::MineBlock]);
    let simulation = simulation.end();
    let entries = simulation.journal.entries();
    assert!(matches!(entries[0].state, EntryState::Cancelled(_)), "{entries:?}");
    assert_eq!(entries[0].attempts.last().unwrap().kind, AttemptKind::Cancel);
}

#[test]
fn a_reorged_transaction_is_rebroadcast_with_the_same_bytes() {
    let mut simulation = Simulation::new();
    simulation.run(&[Step::SubmitHigh, Step::MineBlock, Step::MineBlock]);
    simulation.run(&[Step::Reorg { depth: 2, keeps_transactions: false }, Step::MineBlock]);
    assert_eq!(simulation.journal.entries()[0].attempts.len(), 1);
    let outcomes = outcomes(&simulation);
    assert!(
        matches!(outcomes[..], [Outcome::Sent { .. }, Outcome::Mined(_), Outcome::Reorged, Outcome::Mined(_)]),
        "{outcomes:?}"
    );
}

#[test]
fn a_reorganisation_that_was_not_announced_is_noticed_by_a_missing_parent() {
    let mut simulation = Simulation::new();
    simulation.run(&[Step::SubmitHigh, Step::MineBlock]);
    simulation.model.reorg(1, false);
    simulation.model.mine();
    simulation.run(&[Step::MineBlock]);
    assert_eq!(simulation.reports.last().unwrap().outcome, Outcome::Reorged);
}

#[test]
fn a_transaction_that_was_mined_again_elsewhere_before_anybody_looked_is_taken_back_first() {
    let mut simulation = Simulation::new();
    simulation.run(&[Step::SubmitHigh, Step::MineBlock]);
    simulation.model.reorg(1, true);
    simulation.model.mine();
    simulation.run(&[Step::MineBlock]);
    let outcomes = outcomes(&simulation);
    assert!(
        matches!(outcomes[..], [Outcome::Sent { .. }, Outcome::Mined(_), Outcome::Reorged, Outcome::Mined(_)]),
        "{outcomes:?}"
    );
}

#[test]
fn a_reorged_transaction_whose_nonce_is_then_used_by_another_is_reported_as_both() {
    let mut simulation = Simulation::new();
    simulation.run(&[Step::SubmitHigh, Step::MineBlock]);
    simulation.model.reorg(1, false);
    simulation.run(&[Step::MineForeign, Step::MineBlock]);
    let outcomes = outcomes(&simulation);
    assert!(
        matches!(
            outcomes[..],
            [Outcome::Sent { .. }, Outcome::Mined(_), Outcome::Reorged, Outcome::NonceUsedByOther { .. }]
        ),
        "{outcomes:?}"
    );
    simulation.end();
}

#[test]
fn after_a_restart_the_last_holder_still_has_the_nonce() {
    let mut simulation = Simulation::new();
    simulation.run(&[Step::SubmitLow, Step::SubmitHigh, Step::ClearPool, Step::Restart, Step::MineBlock]);
    assert_eq!(simulation.model.mined().next().unwrap().intent, Some(1));
    // An intent of low priority that was mined before one of high priority replaced it has its nonce back after a
    // reorganisation.
    let mut simulation = Simulation::new();
    simulation.run(&[Step::SubmitLow, Step::LoseBroadcast, Step::SubmitHigh, Step::MineBlock, Step::Flush]);
    simulation.run(&[Step::Reorg { depth: 1, keeps_transactions: false }, Step::ClearPool, Step::Flush]);
    simulation.run(&[Step::Restart, Step::MineBlock]);
    assert_eq!(simulation.model.mined().next().unwrap().intent, Some(0));
    simulation.end();
}

#[test]
fn a_receipt_of_another_branch_is_fetched_again_with_every_block() {
    let mut fixture = Fixture::new(settings(), false);
    let hash = broadcasts(&fixture.submit(Priority::High))[0].1;
    let head = fixture.model.header();
    let inclusion = Inclusion { hash, block: head.number, block_hash: B256::repeat_byte(9) };
    let receipt = Receipt { inclusion, success: true, gas_used: 1, effective_gas_price: 1, data_fee: 0 };
    let _ = fixture.handle(Event::ChainStatus(ChainStatus {
        nonce: 1,
        balance: U256::MAX,
        receipts: vec![(hash, Some(receipt))],
    }));
    for _ in 0..2 {
        assert!(matches!(&fixture.mine_block()[..], [Effect::FetchReceipts(hashes)] if *hashes == [hash]));
    }
}

#[test]
fn a_foreign_transaction_with_the_nonce_ends_the_intent_when_a_second_block_confirms_it() {
    let mut simulation = Simulation::new();
    simulation.run(&[Step::SubmitHigh, Step::MineForeign]);
    assert_eq!(simulation.reports.len(), 1);
    simulation.run(&[Step::MineBlock]);
    assert_eq!(simulation.reports.last().unwrap().outcome, Outcome::NonceUsedByOther { nonce: 0 });
    assert_eq!(simulation.end().journal.entries()[0].state, EntryState::Lost);
}

#[test]
fn an_intent_that_every_node_rejects_is_dropped_and_the_next_one_gets_its_nonce() {
    let mut fixture = Fixture::new(settings(), false);
    let effects = fixture.submit(Priority::High);
    let (nonce, hash, _) = broadcasts(&effects)[0];
    let effects = fixture.respond(nonce, hash, SubmitResult::Invalid);
    assert!(effects.iter().any(|effect| is_dropped(effect, &DropReason::RejectedByNodes)), "{effects:?}");
    assert!(fixture.mine_block().is_empty(), "a free nonce is no reason to ask anything");
    assert_eq!(broadcasts(&fixture.submit(Priority::High))[0].0, 0);
}

#[test]
fn a_nonce_gap_below_a_pending_transaction_is_filled_at_once() {
    let mut fixture = Fixture::new(settings(), false);
    let first = broadcasts(&fixture.submit(Priority::High))[0];
    fixture.submit(Priority::High);
    let effects = fixture.respond(0, first.1, SubmitResult::Invalid);
    assert_eq!(broadcasts(&effects)[0].0, 0);
    assert!(effects.iter().any(|effect| match effect {
        Effect::WriteJournal(entries) => entries[0].attempts.last().unwrap().kind == AttemptKind::Cancel,
        _ => false,
    }));
}

#[test]
fn a_private_transaction_is_broadcast_publicly_after_the_configured_blocks() {
    let private = PrivateFirst { public_after_blocks: Some(2) };
    let settings = CoreSettings { private: Some(private), replace_after_blocks: 99, ..settings() };
    let mut fixture = Fixture::new(settings, false);
    assert_eq!(broadcasts(&fixture.submit(Priority::High))[0].2, BroadcastRoute::Private);
    assert_eq!(broadcasts(&fixture.mine_empty_block())[0].2, BroadcastRoute::Private);
    assert_eq!(broadcasts(&fixture.mine_empty_block())[0].2, BroadcastRoute::Public);
}

#[test]
fn on_hold_nothing_is_sent_and_pending_transactions_are_tracked() {
    let mut fixture = Fixture::new(settings(), false);
    let effects = fixture.submit(Priority::High);
    let hash = broadcasts(&effects)[0].1;
    fixture.handle(Event::Hold(true));
    let refused = fixture.submit(Priority::High);
    assert!(matches!(&refused[..], [effect] if is_dropped(effect, &DropReason::OnHold)), "{refused:?}");
    let effects = fixture.mine_block();
    assert!(matches!(&effects[..], [Effect::FetchReceipts(hashes)] if *hashes == [hash]));
    let status = ChainStatus { nonce: 0, balance: U256::MAX, receipts: vec![(hash, None)] };
    assert!(fixture.handle(Event::ChainStatus(status)).is_empty());
    fixture.handle(Event::Hold(false));
    assert_eq!(broadcasts(&fixture.mine_empty_block()).len(), 1);
}

#[test]
fn after_a_failed_journal_write_nothing_more_is_sent() {
    let mut fixture = Fixture::new(settings(), false);
    let alert = fixture.handle(Event::JournalFailed);
    assert!(matches!(alert[..], [Effect::Alert(SenderAlert::JournalFailed { .. })]));
    let refused = fixture.submit(Priority::High);
    assert!(matches!(&refused[..], [effect] if is_dropped(effect, &DropReason::JournalFailed)), "{refused:?}");
}

#[test]
fn an_intent_that_does_not_cover_its_gas_is_dropped_with_both_figures() {
    let mut fixture = Fixture::new(settings(), false);
    let effects = fixture.handle(Event::Submit(vec![(7, intent(7, Priority::High, 100, u64::MAX))]));
    let [Effect::Report(report)] = &effects[..] else { panic!("{effects:?}") };
    let text = "not worth its gas: gas would cost at least 0.00000101 gwei, and its profit covers 0.00000009 gwei";
    assert!(matches!(&report.outcome, Outcome::Dropped(reason) if reason.to_string() == text), "{report:?}");
}

#[test]
fn a_chain_that_does_not_agree_with_the_journal_stops_the_start_unless_it_is_adopted() {
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
fn fees_never_exceed_the_gain() {
    let mut fixture = Fixture::new(settings(), false);
    let gain = U256::from(GAIN);
    let mut effects = fixture.submit(Priority::High);
    for _ in 0..50 {
        if effects.iter().any(|effect| matches!(effect, Effect::WriteJournal(_))) {
            assert!(U256::from(newest_fees(&effects).max_fee_per_gas) <= gain * U256::from(10) / U256::from(11));
        }
        effects = fixture.mine_empty_block();
    }
}

fn is_funds_alert(effect: &Effect) -> bool {
    matches!(effect, Effect::Alert(SenderAlert::InsufficientFunds { .. }))
}

#[test]
fn a_lack_of_funds_is_alerted_once_and_nothing_more_is_signed_until_the_balance_is_read() {
    let mut fixture = Fixture::new(settings(), false);
    let pending = broadcasts(&fixture.submit(Priority::High))[0].1;
    fixture.respond(0, pending, SubmitResult::Accepted);
    for block in 0..50 {
        let (nonce, hash, _) = broadcasts(&fixture.submit(Priority::High))[0];
        let effects = fixture.respond(nonce, hash, SubmitResult::InsufficientFunds);
        assert_eq!(effects.iter().filter(|effect| is_funds_alert(effect)).count(), usize::from(block == 0));
        let refused = fixture.submit(Priority::High);
        assert!(matches!(&refused[..], [effect] if is_dropped(effect, &DropReason::InsufficientFunds)), "{refused:?}");
        let Some(Effect::FetchReceipts(hashes)) = fixture.mine_block().pop() else { panic!("nothing is fetched") };
        assert!(hashes.len() < 40, "{}", hashes.len());
        let status = ChainStatus {
            nonce: 0,
            balance: U256::MAX,
            receipts: hashes.into_iter().map(|hash| (hash, None)).collect(),
        };
        fixture.handle(Event::ChainStatus(status));
        if fixture.core.pending().count() > 1 {
            // The nonce was handed over often enough, and is being used up.
            return;
        }
    }
    panic!("the nonce is handed over without end");
}

#[test]
fn offers_stay_within_the_balance_less_what_is_committed_to_others() {
    let mut fixture = Fixture::new(settings(), false);
    fixture.core.set_balance(U256::from(150_000));
    let first = newest_fees(&fixture.submit(Priority::High));
    assert_eq!(first.max_fee_per_gas, 1_500);
    // All of it is committed to the first.
    let refused = fixture.submit(Priority::High);
    let needed = U256::from(101_000);
    let reason = DropReason::Unaffordable { needed, available: U256::ZERO };
    assert!(matches!(&refused[..], [effect] if is_dropped(effect, &reason)), "{refused:?}");
    assert!(fixture.core.wants_balance());
    fixture.core.set_balance(U256::from(260_000));
    assert_eq!(newest_fees(&fixture.submit(Priority::High)).max_fee_per_gas, 1_100);
}

fn obsolete_block(fixture: &mut Fixture, ids: Vec<u64>) -> Vec<Effect> {
    let Some(Effect::FetchReceipts(hashes)) = fixture.mine_block().pop() else { panic!("no receipts are fetched") };
    assert!(fixture.handle(Event::Obsolete(ids)).is_empty(), "a node may still say that it was mined");
    let status = fixture.model.chain_status(&hashes);
    fixture.handle(Event::ChainStatus(status))
}

fn kinds(effects: &[Effect]) -> Vec<AttemptKind> {
    let entries = effects.iter().filter_map(|effect| match effect {
        Effect::WriteJournal(entries) => entries.last(),
        _ => None,
    });
    entries.filter_map(|entry| entry.attempts.last()).map(|attempt| attempt.kind).collect()
}

#[test]
fn an_obsolete_transaction_in_a_public_pool_is_cancelled_and_its_nonce_goes_to_the_next_intent() {
    let mut fixture = Fixture::new(settings(), false);
    fixture.submit(Priority::High);
    let effects = obsolete_block(&mut fixture, vec![1]);
    assert!(effects.iter().any(|effect| is_dropped(effect, &DropReason::Obsolete)), "{effects:?}");
    assert_eq!(kinds(&effects), [AttemptKind::Cancel]);
    let next = fixture.submit(Priority::High);
    assert_eq!((broadcasts(&next)[0].0, kinds(&next)), (0, vec![AttemptKind::Call]));
}

#[test]
fn an_obsolete_transaction_behind_a_private_relay_costs_nothing_until_others_wait_behind_it() {
    let private = Some(PrivateFirst { public_after_blocks: None });
    let mut fixture = Fixture::new(CoreSettings { private, ..settings() }, false);
    fixture.submit(Priority::High);
    let effects = obsolete_block(&mut fixture, vec![1]);
    assert_eq!((broadcasts(&effects), kinds(&effects)), (Vec::new(), Vec::new()));
    // Its receipts are asked for in the blocks that follow, and then in every eighth block.
    let asked = (0..20).map(|_| !fixture.mine_block().is_empty()).collect::<Vec<_>>();
    assert_eq!(asked.iter().filter(|asked| **asked).count(), 3 + 2, "{asked:?}");
    assert_eq!(broadcasts(&fixture.submit(Priority::High))[0].0, 0);

    let mut fixture = Fixture::new(CoreSettings { private, ..settings() }, false);
    fixture.submit(Priority::High);
    fixture.submit(Priority::High);
    let effects = obsolete_block(&mut fixture, vec![1]);
    assert_eq!(kinds(&effects), [AttemptKind::Cancel]);
}

#[test]
fn a_bundle_is_for_the_next_block_with_the_same_bytes_and_frees_its_nonce_when_it_is_obsolete() {
    let mut fixture = Fixture::new(CoreSettings { in_bundles: true, ..settings() }, false);
    let effects = fixture.submit(Priority::High);
    let (_, first, route) = broadcasts(&effects)[0];
    let head = fixture.model.header().number;
    assert_eq!(route, BroadcastRoute::Bundle { block: head + 1, intent: 1 });
    fixture.submit(Priority::High);
    assert_eq!((fixture.core.pending().count(), fixture.core.queued()), (1, 1), "a bundle is for the next nonce alone");
    for block in 1..=5 {
        let effects = fixture.mine_empty_block();
        let route = BroadcastRoute::Bundle { block: head + block + 1, intent: 1 };
        assert_eq!(broadcasts(&effects), [(0, first, route)]);
    }
    // Nothing is paid for, and the one that waits has the nonce in the same block, for no higher fee.
    let offered = newest_fees(&effects);
    let effects = obsolete_block(&mut fixture, vec![1]);
    assert_eq!((broadcasts(&effects)[0].0, kinds(&effects)), (0, vec![AttemptKind::Call]));
    assert_eq!(newest_fees(&effects), offered);
}

#[test]
fn in_bundles_however_many_races_are_lost_in_a_row_no_cancellation_is_bought_and_an_old_transaction_is_recognised() {
    let mut fixture = Fixture::new(CoreSettings { in_bundles: true, ..settings() }, false);
    let mut attempts = Vec::new();
    for id in 1..=20 {
        let effects = fixture.submit(Priority::High);
        let [(nonce, hash, _)] = broadcasts(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!((nonce, kinds(&effects)), (0, vec![AttemptKind::Call]));
        attempts.push(hash);
        let Some(Effect::FetchReceipts(hashes)) = fixture.mine_block().pop() else { panic!("nothing is fetched") };
        assert!(hashes.len() <= 8 && hashes.contains(&hash), "{hashes:?}");
        fixture.handle(Event::Obsolete(vec![id]));
        let status = fixture.model.chain_status(&hashes);
        fixture.handle(Event::ChainStatus(status));
    }
    // Somebody kept the bytes of the first race, whose receipt is not asked for any more.
    let mined = attempts[0];
    let answer = |fixture: &mut Fixture| {
        let Some(Effect::FetchReceipts(hashes)) = fixture.mine_block().pop() else { panic!("nothing is fetched") };
        let header = fixture.model.header();
        let inclusion = Inclusion { hash: mined, block: header.number - 1, block_hash: header.parent_hash };
        let receipt = Receipt { inclusion, success: true, gas_used: 1, effective_gas_price: 1, data_fee: 0 };
        let receipts = hashes.into_iter().map(|hash| (hash, (hash == mined).then_some(receipt))).collect();
        fixture.handle(Event::ChainStatus(ChainStatus { nonce: 1, balance: U256::MAX, receipts }))
    };
    fixture.submit(Priority::High);
    assert!(answer(&mut fixture).is_empty(), "one block is not believed");
    let effects = answer(&mut fixture);
    let reported = effects.iter().find_map(|effect| match effect {
        Effect::Report(report) if matches!(report.outcome, Outcome::Mined(_)) => Some(report.id),
        _ => None,
    });
    assert_eq!(reported, Some(1), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Alert(_))), "{effects:?}");
}

fn withdrawn(effects: &[Effect]) -> Vec<(u64, u64)> {
    let withdrawn = |effect: &Effect| match effect {
        Effect::WithdrawBundle { block, intent } => Some((*block, *intent)),
        _ => None,
    };
    effects.iter().filter_map(withdrawn).collect()
}

#[test]
fn a_bundle_for_a_block_to_come_is_withdrawn_when_it_is_obsolete_or_displaced_and_one_for_a_past_block_is_not() {
    let bundled = CoreSettings { in_bundles: true, ..settings() };
    let mut fixture = Fixture::new(bundled.clone(), false);
    fixture.submit(Priority::High);
    assert_eq!(withdrawn(&obsolete_block(&mut fixture, vec![1])), []);
    // The head is replaced by another of the same height: the bundle is still for the next one.
    fixture.submit(Priority::High);
    let next = fixture.model.header().number + 1;
    fixture.model.reorg(1, false);
    let effects = fixture.handle(Event::Block(fixture.model.header()));
    let Some(Effect::FetchReceipts(hashes)) = effects.last() else { panic!("{effects:?}") };
    let status = fixture.model.chain_status(hashes);
    fixture.handle(Event::Obsolete(vec![2]));
    let effects = fixture.handle(Event::ChainStatus(status));
    assert_eq!((withdrawn(&effects), kinds(&effects)), (vec![(next, 2)], Vec::new()));

    let mut fixture = Fixture::new(bundled, false);
    fixture.submit(Priority::Low);
    let next = fixture.model.header().number + 1;
    let effects = fixture.submit(Priority::High);
    assert_eq!(withdrawn(&effects), [(next, 1)]);
    assert_eq!((broadcasts(&effects)[0].0, kinds(&effects)), (0, vec![AttemptKind::Call]));
}

#[test]
fn a_bundle_may_be_included_until_its_block_has_passed_even_if_another_head_of_the_same_height_or_a_restart_comes_between()
 {
    use Step::{DrainSigner, OrderCancellation, Reorg, Restart, SubmitHigh};
    let reorg = Reorg { depth: 1, keeps_transactions: false };
    for step in [reorg, Restart] {
        let mut simulation = Simulation::in_bundles();
        // The cancellation is rejected, but the bundle is still with the builders.
        simulation.run(&[SubmitHigh, step, DrainSigner, OrderCancellation]);
        let outcomes = outcomes(&simulation);
        assert!(matches!(outcomes[..], [Outcome::Sent { .. }]), "{step:?}: {outcomes:?}");
        let simulation = simulation.end();
        assert_eq!(simulation.model.mined().next().and_then(|mined| mined.intent), Some(0), "{step:?}");
    }
}

#[test]
fn a_transaction_that_was_mined_is_not_obsolete() {
    let mut fixture = Fixture::new(settings(), false);
    let effects = fixture.submit(Priority::High);
    let Some(Effect::Broadcast { raw, .. }) = effects.iter().find(|effect| matches!(effect, Effect::Broadcast { .. }))
    else {
        panic!("{effects:?}")
    };
    assert_eq!(fixture.model.submit(raw), SubmitResult::Accepted);
    let effects = obsolete_block(&mut fixture, vec![1]);
    let outcomes = effects.iter().filter_map(|effect| match effect {
        Effect::Report(report) => Some(&report.outcome),
        _ => None,
    });
    assert!(matches!(outcomes.collect::<Vec<_>>()[..], [Outcome::Mined(_)]), "{effects:?}");
}

#[test]
fn what_was_obsolete_because_it_was_mined_is_broadcast_again_when_its_block_is_replaced_by_one_of_the_same_height() {
    let mut fixture = Fixture::new(settings(), false);
    let effects = fixture.submit(Priority::High);
    let Some(Effect::Broadcast { raw, hash, .. }) =
        effects.iter().find(|effect| matches!(effect, Effect::Broadcast { .. }))
    else {
        panic!("{effects:?}")
    };
    assert_eq!(fixture.model.submit(raw), SubmitResult::Accepted);
    obsolete_block(&mut fixture, vec![1]);
    fixture.model.reorg(1, false);
    let effects = fixture.handle(Event::Block(fixture.model.header()));
    let Some(Effect::FetchReceipts(hashes)) = effects.last() else { panic!("{effects:?}") };
    let status = fixture.model.chain_status(hashes);
    let effects = fixture.handle(Event::ChainStatus(status));
    assert_eq!(broadcasts(&effects), [(0, *hash, BroadcastRoute::Public)]);
}

#[test]
fn a_transaction_that_is_obsolete_while_it_is_signed_is_forgotten_with_its_bytes() {
    let mut fixture = Fixture::new(settings(), false);
    let submitted = Event::Submit(vec![(7, intent(7, Priority::High, GAIN, u64::MAX))]);
    let effects = fixture.core.handle(submitted);
    let [Effect::Sign(transactions)] = &effects[..] else { panic!("{effects:?}") };
    let dropped = fixture.core.handle(Event::Obsolete(vec![7]));
    assert!(matches!(&dropped[..], [effect] if is_dropped(effect, &DropReason::Obsolete)), "{dropped:?}");
    assert!(fixture.core.handle(Event::Signed(transactions.iter().map(sign).collect())).is_empty());
    assert_eq!(fixture.core.next_nonce(), 0);
    assert_eq!(broadcasts(&fixture.submit(Priority::High))[0].0, 0);
}

#[test]
fn a_free_nonce_goes_first_to_an_intent_for_the_same_loans() {
    let private = Some(PrivateFirst { public_after_blocks: None });
    let mut fixture = Fixture::new(CoreSettings { private, ..settings() }, false);
    let for_loan = |id: u64, number: u8| {
        let purpose = Purpose::Liquidate { market: B256::ZERO, borrowers: vec![Address::repeat_byte(number)] };
        Event::Submit(vec![(id, Intent { purpose, ..intent(id, Priority::High, GAIN, u64::MAX) })])
    };
    fixture.handle(for_loan(1, 1));
    fixture.handle(for_loan(2, 2));
    obsolete_block(&mut fixture, vec![1, 2]);
    assert_eq!(broadcasts(&fixture.handle(for_loan(3, 2)))[0].0, 1);
}

#[test]
fn what_passes_its_deadline_during_a_spike_of_the_base_fee_is_replaced_in_the_pools_by_a_cancellation_for_cheaper_gas()
{
    let mut fixture = Fixture::new(settings(), false);
    let deadline = fixture.model.header().timestamp + SECONDS_PER_BLOCK;
    let offered = newest_fees(&fixture.handle(Event::Submit(vec![(1, intent(1, Priority::Low, 30_000, deadline))])));
    fixture.model.base_fee = 5_000;
    let effects = fixture.mine_empty_block();
    assert!(effects.iter().any(|effect| is_dropped(effect, &DropReason::DeadlinePassed)), "{effects:?}");
    assert_eq!(kinds(&effects), [AttemptKind::Cancel]);
    let cancellation = newest_fees(&effects);
    assert!(outbids(cancellation, offered) && cancellation.max_fee_per_gas < 5_000, "{cancellation:?}");
    // The spike lasts: the same cancellation is broadcast, and never at the spike's price.
    for _ in 0..20 {
        let effects = fixture.mine_empty_block();
        assert_eq!((broadcasts(&effects).len(), kinds(&effects)), (1, Vec::new()), "{effects:?}");
    }
    // The next intent takes its place, also one of low priority.
    let next = fixture.handle(Event::Submit(vec![(2, intent(2, Priority::Low, GAIN, u64::MAX))]));
    assert_eq!((broadcasts(&next)[0].0, kinds(&next)), (0, vec![AttemptKind::Call]));
}

#[test]
fn what_is_obsolete_during_a_spike_of_the_base_fee_is_replaced_in_the_pools_by_a_cancellation_for_cheaper_gas() {
    let mut fixture = Fixture::new(settings(), false);
    let offered = newest_fees(&fixture.handle(Event::Submit(vec![(1, intent(1, Priority::Low, 30_000, u64::MAX))])));
    fixture.model.base_fee = 5_000;
    let effects = obsolete_block(&mut fixture, vec![1]);
    assert_eq!(kinds(&effects), [AttemptKind::Cancel]);
    assert!(outbids(newest_fees(&effects), offered) && newest_fees(&effects).max_fee_per_gas < 5_000);
}

#[test]
fn after_a_restart_a_released_transaction_is_not_broadcast_and_its_nonce_goes_to_the_next_or_is_used_up() {
    let mut simulation = Simulation::new();
    simulation.run(&[Step::SubmitLow, Step::SubmitLow, Step::BaseFeeSpike, Step::MineObsolete, Step::Flush]);
    assert!(simulation.journal.entries().iter().all(|entry| entry.state == EntryState::Released));
    simulation.run(&[Step::ClearPool, Step::Restart, Step::Calm, Step::MineBlock, Step::SubmitHigh, Step::MineBlock]);
    let executed: Vec<_> = simulation.model.mined().map(|mined| mined.intent).collect();
    assert_eq!(executed, [None, None, Some(2)]);
    simulation.end();
}

#[test]
fn after_a_restart_a_released_nonce_that_the_chain_has_used_is_not_given_to_the_next_intent() {
    let mut simulation = Simulation::in_bundles();
    simulation.run(&[Step::SubmitHigh, Step::ClearPool, Step::MineObsolete, Step::Flush, Step::MineForeign]);
    simulation.run(&[Step::Restart, Step::SubmitHigh]);
    let [.., sent] = &outcomes(&simulation)[..] else { panic!("nothing was reported") };
    assert!(matches!(sent, Outcome::Sent { nonce: 1, .. }), "{sent:?}");
    simulation.end();
}

#[test]
fn a_cancellation_that_the_operator_orders_replaces_the_transaction_and_uses_up_its_nonce() {
    let mut fixture = Fixture::new(settings(), false);
    let sent = newest_fees(&fixture.submit(Priority::High));
    let Ok(effects) = fixture.core.order_cancellation(0) else { panic!("refused") };
    let [Effect::Sign(orders)] = &effects[..] else { panic!("{effects:?}") };
    let [order] = &orders[..] else { panic!("{orders:?}") };
    assert_eq!((order.nonce, order.kind, order.to), (0, AttemptKind::Cancel, SIGNER));
    assert!(order.data.is_empty() && outbids(order.fees, sent), "{order:?}");
    let effects = fixture.handle(Event::Signed(vec![sign(order)]));
    assert!(matches!(effects[..], [Effect::WriteJournal(_), Effect::Broadcast { nonce: 0, .. }]), "{effects:?}");
    let again = fixture.core.order_cancellation(0).unwrap_err();
    assert_eq!(again, CancelRefusal::AlreadyCancelling { nonce: 0 });
}

#[test]
fn only_a_pending_nonce_can_be_cancelled_and_only_while_something_can_be_sent() {
    let mut fixture = Fixture::new(settings(), false);
    fixture.submit(Priority::High);
    let other = fixture.core.order_cancellation(1).unwrap_err();
    assert_eq!(other, CancelRefusal::NotPending { signer: SIGNER, nonce: 1, pending: vec![0] });
    fixture.handle(Event::Hold(true));
    assert_eq!(fixture.core.order_cancellation(0).unwrap_err(), CancelRefusal::OnHold);
    fixture.handle(Event::Hold(false));
    let too_expensive = CoreSettings { cancel_gas: u64::MAX, ..settings() };
    let mut poor = Fixture::new(too_expensive, false);
    poor.submit(Priority::High);
    poor.core.set_balance(U256::from(1_000_000));
    let refused = poor.core.order_cancellation(0).unwrap_err();
    assert!(matches!(refused, CancelRefusal::Fees(DropReason::Unaffordable { .. })), "{refused:?}");
    assert!(poor.core.pending().all(|entry| entry.attempts.len() == 1));
    let mut new = Core::recover(SIGNER, settings(), Recovered::default(), 0, false, false).unwrap();
    assert_eq!(new.order_cancellation(0).unwrap_err(), CancelRefusal::NoBlock);
    fixture.handle(Event::JournalFailed);
    assert_eq!(fixture.core.order_cancellation(0).unwrap_err(), CancelRefusal::JournalFailed);
}

#[test]
fn an_intent_that_is_not_signed_is_dropped_and_leaves_its_nonce_as_it_was() {
    let mut fixture = Fixture::new(settings(), false);
    let low = broadcasts(&fixture.submit(Priority::Low))[0].1;
    for id in [7, 8] {
        let effects = fixture.core.handle(Event::Submit(vec![(id, intent(id, Priority::High, GAIN, u64::MAX))]));
        assert!(matches!(effects[..], [Effect::Sign(_)]), "{effects:?}");
        let effects = fixture.core.handle(Event::Signed(Vec::new()));
        assert!(matches!(&effects[..], [effect] if is_dropped(effect, &DropReason::NotSigned)), "{effects:?}");
    }
    // The one whose nonce it was to take is still pending.
    assert_eq!(broadcasts(&fixture.mine_empty_block())[0].1, low);

    let mut fixture = Fixture::new(settings(), false);
    let submitted = fixture.core.handle(Event::Submit(vec![(7, intent(7, Priority::High, GAIN, u64::MAX))]));
    assert!(matches!(submitted[..], [Effect::Sign(_)]));
    let _ = fixture.core.handle(Event::Signed(Vec::new()));
    assert_eq!(broadcasts(&fixture.submit(Priority::High))[0].0, 0);
}
