//! Plays a script of a chain's and an operator's misfortunes against a core, kills the core where it is told to, and
//! checks in the end that every nonce is accounted for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};

use super::world::{CALM_BASE_FEE, SECONDS_A_BLOCK, World, read, sign};
use crate::{
    intent::{Intent, Purpose, Urgency},
    sender::{
        MemoryJournal,
        core::{Core, Effect, Event, Order, RecoverError, Settings, Signed},
        journal::{Entry, State},
        outcome::{Outcome, Report},
        verdict::Verdict,
    },
};

pub(super) const SIGNER: Address = Address::repeat_byte(0x51);

/// More than a script's reorganisations take back.
const FINAL_AFTER: u64 = 3;

/// How long an intent is worth doing.
const PATIENCE_BLOCKS: u64 = 5;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Urgent,
    Patient,
    /// A patient one that hardly pays.
    Poor,
    Mine,
    /// The base fee is beyond everything on offer, until it is calm again.
    Spike,
    Calm,
    Reorg {
        depth: usize,
        comes_back: bool,
    },
    EmptyPool,
    Foreign,
    /// The next broadcast does not arrive, and has no answer.
    LoseBroadcast,
    /// The next broadcast arrives, and has no answer.
    LoseAnswer,
    /// The signer has nothing, until it is calm again.
    Broke,
    /// There is time to write down what was noted.
    Quiet,
    Restart,
}

#[derive(Debug)]
pub(super) struct Play {
    pub(super) world: World,
    pub(super) journal: MemoryJournal,
    core: Core,
    inbox: VecDeque<Event>,
    /// Noted, and lost with the process.
    unwritten: BTreeMap<u64, Entry>,
    pub(super) reports: Vec<Report>,
    /// How many of them an earlier process made.
    old_reports: usize,
    submitted: u64,
    losses: VecDeque<Step>,
    /// How many more effects happen before the core is killed.
    pub(super) effects_left: Option<usize>,
    pub(super) effects: usize,
    was_killed: bool,
    had_foreign: bool,
}

pub(super) fn settings() -> Settings {
    let mut settings = Settings { final_after_blocks: FINAL_AFTER, most_pending: 3, ..Settings::default() };
    settings.fees.least_tip = 10;
    settings
}

pub(super) fn intent(label: u64, urgency: Urgency, gain: u64, deadline: u64) -> Intent {
    Intent {
        purpose: Purpose::Liquidate { market: B256::ZERO, borrowers: Vec::new() },
        urgency,
        to: Address::ZERO,
        data: label.to_be_bytes().to_vec().into(),
        gas_limit: 100,
        expected_gas: 1,
        expected_gain: U256::from(gain),
        deadline,
    }
}

impl Play {
    pub(super) fn new() -> Self {
        let mut play = Self {
            world: World::new(),
            journal: MemoryJournal::default(),
            core: Core::recover(SIGNER, settings(), Default::default(), 0, false, false).unwrap(),
            inbox: VecDeque::new(),
            unwritten: BTreeMap::new(),
            reports: Vec::new(),
            old_reports: 0,
            submitted: 0,
            losses: VecDeque::new(),
            effects_left: None,
            effects: 0,
            was_killed: false,
            had_foreign: false,
        };
        play.head();
        play
    }

    pub(super) fn run(&mut self, script: &[Step]) {
        for step in script {
            self.step(*step);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Urgent => self.submit(Urgency::Urgent, 100_000_000),
            Step::Patient => self.submit(Urgency::Patient, 100_000_000),
            Step::Poor => self.submit(Urgency::Patient, CALM_BASE_FEE * 5 / 4),
            Step::Mine => self.world.mine(),
            Step::Spike => self.world.base_fee = CALM_BASE_FEE * 1_000_000,
            Step::Calm => {
                self.world.base_fee = CALM_BASE_FEE;
                self.world.is_rich = true;
            }
            Step::Reorg { depth, comes_back } => self.world.reorg(depth, comes_back),
            Step::EmptyPool => self.world.empty_pool(),
            Step::Foreign => {
                self.had_foreign = true;
                self.world.mine_foreign();
            }
            Step::LoseBroadcast | Step::LoseAnswer => self.losses.push_back(step),
            Step::Broke => self.world.is_rich = false,
            Step::Quiet => self.write(),
            Step::Restart => self.kill(),
        }
        if matches!(step, Step::Mine | Step::Reorg { .. } | Step::Foreign) {
            self.head();
        }
    }

    fn submit(&mut self, urgency: Urgency, gain: u64) {
        let id = self.submitted;
        self.submitted += 1;
        let deadline = self.world.header().timestamp + PATIENCE_BLOCKS * SECONDS_A_BLOCK;
        self.happen(Event::Submit(vec![(id, intent(id, urgency, gain, deadline))]));
    }

    fn head(&mut self) {
        self.happen(Event::Block(self.world.header()));
    }

    fn happen(&mut self, event: Event) {
        self.inbox.push_back(event);
        while let Some(event) = self.inbox.pop_front() {
            let effects = self.core.handle(event);
            if !self.carry_out(effects) {
                self.kill();
            }
        }
    }

    /// Whether it lived to the end.
    fn carry_out(&mut self, effects: Vec<Effect>) -> bool {
        self.what_is_taken_back_is_shown_as_it_was(&effects);
        for effect in effects {
            if let Some(left) = &mut self.effects_left {
                match left.checked_sub(1) {
                    Some(fewer) => *left = fewer,
                    None => {
                        self.effects_left = None;
                        return false;
                    }
                }
            }
            self.effects += 1;
            match effect {
                Effect::Sign(orders) => {
                    let signed = orders.iter().map(|order| {
                        let raw = sign(order);
                        Signed { nonce: order.nonce, hash: keccak256(&raw), raw }
                    });
                    let signed = Event::Signed(signed.collect());
                    self.inbox.push_front(signed);
                }
                Effect::Journal(entries) => {
                    self.unwritten.extend(entries.into_iter().map(|entry| (entry.id, entry)));
                    self.write();
                }
                Effect::Note(entries) => self.unwritten.extend(entries.into_iter().map(|entry| (entry.id, entry))),
                Effect::Broadcast { nonce, hash, raw, .. } => {
                    let is_known = |entry: &Entry| {
                        entry.nonce == nonce && entry.attempts.iter().any(|attempt| attempt.hash == hash)
                    };
                    assert!(self.journal.entries().iter().any(is_known), "shown before it was written down");
                    self.nobody_was_told_that_it_is_over(&raw);
                    let loss = self.losses.pop_front();
                    let verdict = match loss {
                        Some(Step::LoseBroadcast) => Verdict::NoAnswer,
                        _ => self.world.offer(&raw),
                    };
                    let verdict = if loss.is_some() { Verdict::NoAnswer } else { verdict };
                    self.inbox.push_back(Event::Answered { nonce, hash, verdict });
                }
                Effect::LookUp(hashes) => {
                    let looked = self.world.look_up(&hashes);
                    self.inbox.push_back(Event::Looked(looked));
                }
                Effect::Report(report) => self.reports.push(*report),
                Effect::Alert(_) => {}
            }
        }
        true
    }

    fn write(&mut self) {
        self.journal.write(std::mem::take(&mut self.unwritten).into_values().collect()).unwrap();
    }

    /// The process ends and starts again.
    fn kill(&mut self) {
        self.was_killed = true;
        self.unwritten.clear();
        self.old_reports = self.reports.len();
        self.inbox.clear();
        let start = |adopts| {
            let nonce = self.world.next_nonce();
            Core::recover(SIGNER, settings(), self.journal.read(SIGNER), nonce, false, adopts)
        };
        self.core = match start(false) {
            Err(RecoverError::ChainAhead { .. } | RecoverError::ChainBehind { .. }) if self.had_foreign => {
                start(true).unwrap()
            }
            started => started.unwrap(),
        };
        self.head();
    }

    /// Good times, until nothing can change any more; then everything must be accounted for.
    pub(super) fn end(mut self) -> Self {
        self.effects_left = None;
        self.losses.clear();
        self.step(Step::Calm);
        let blocks = PATIENCE_BLOCKS + 2 * FINAL_AFTER + 6;
        (0..blocks).for_each(|_| self.step(Step::Mine));
        if !self.was_killed {
            self.everybody_was_told();
        }
        // A nonce for which nodes refused everything is used up at the next start, if nobody wanted it before.
        self.kill();
        (0..blocks).for_each(|_| self.step(Step::Mine));
        self.step(Step::Quiet);
        self.every_nonce_is_accounted_for();
        self
    }

    /// Whoever hears that an intent is over may decide anew: its call must not be shown after that.
    fn nobody_was_told_that_it_is_over(&self, raw: &Bytes) {
        let Some(label) = read(raw).label else { return };
        let told = self.reports.iter().skip(self.old_reports).rev().find(|report| report.id == label);
        let goes_on = |outcome: &Outcome| matches!(outcome, Outcome::Sent { .. } | Outcome::TakenBack);
        assert!(told.is_none_or(|report| goes_on(&report.outcome)), "{label} is shown after {told:?}");
    }

    fn what_is_taken_back_is_shown_as_it_was(&self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Report(report) = effect else { continue };
            let mined = self.reports.iter().rev().find_map(|told| match told.outcome {
                Outcome::Mined(receipt) | Outcome::Cancelled(receipt) if told.id == report.id => {
                    Some(receipt.place.hash)
                }
                _ => None,
            });
            let Some((mined, _)) = mined.zip((report.outcome == Outcome::TakenBack).then_some(())) else { continue };
            let nonce = self.journal.entries().iter().find(|entry| entry.id == report.id).map(|entry| entry.nonce);
            for effect in effects {
                match effect {
                    Effect::Broadcast { nonce: shown, hash, .. } if Some(*shown) == nonce => assert_eq!(*hash, mined),
                    // Only an urgent intent may take its place.
                    Effect::Sign(orders) => {
                        let own =
                            |order: &&Order| Some(order.nonce) == nonce && order.data[..] == report.id.to_be_bytes();
                        assert_eq!(orders.iter().find(own), None);
                    }
                    _ => {}
                }
            }
        }
    }

    fn everybody_was_told(&self) {
        let carried_out = self.world.mined().filter_map(|transaction| transaction.label).collect::<BTreeSet<_>>();
        for id in 0..self.submitted {
            let last = self.reports.iter().rev().find(|report| report.id == id);
            let last = last.map(|report| &report.outcome);
            if carried_out.contains(&id) {
                assert!(matches!(last, Some(Outcome::Mined(_))), "{id} was mined; reported {last:?}");
            } else {
                let is_over = matches!(
                    last,
                    Some(
                        Outcome::Replaced { .. }
                            | Outcome::Cancelled(_)
                            | Outcome::Dropped(_)
                            | Outcome::NonceUsedByOther { .. }
                            | Outcome::Lost { .. }
                    )
                );
                assert!(is_over, "{id} was not mined; reported {last:?}");
            }
        }
    }

    fn every_nonce_is_accounted_for(&self) {
        let mut by_nonce = BTreeMap::<u64, Vec<_>>::new();
        for entry in self.journal.entries() {
            assert!(entry.state.is_settled(), "not settled: {entry:?}");
            by_nonce.entry(entry.nonce).or_default().push(entry);
        }
        let mut carried_out = BTreeSet::new();
        for mined in self.world.mined() {
            if let Some(label) = mined.label {
                assert!(carried_out.insert(label), "intent {label} was carried out twice");
            }
            let entries = by_nonce.remove(&mined.nonce).unwrap_or_default();
            if mined.is_foreign {
                assert!(entries.iter().all(|entry| entry.state == State::Lost), "{entries:?}");
                continue;
            }
            let served = |entry: &&Entry| match entry.state {
                State::Final(place) => place.hash == mined.hash && mined.label == Some(entry.id),
                State::Cancelled(place) => place.hash == mined.hash && mined.label.is_none(),
                _ => false,
            };
            let winner = entries.iter().find(served).unwrap_or_else(|| panic!("{mined:?} is not in {entries:?}"));
            for other in entries.iter().filter(|entry| entry.id != winner.id) {
                assert_eq!(other.state, State::Replaced { by: winner.id });
            }
        }
        assert!(by_nonce.is_empty(), "nonces that were never used: {by_nonce:?}");
    }
}
