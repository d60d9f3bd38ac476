//! Deterministic simulation: runs a script of mishaps of chain and operator against a core, kills the core before a
//! given effect, and checks in the end that every nonce is accounted for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy::primitives::{Address, B256, Bytes, U256};

use super::model::{CALM_BASE_FEE, ChainModel, SECONDS_PER_BLOCK, read, sign};
use crate::{
    intent::{DropReason, GuardKind, Intent, Outcome, Priority, Purpose, Report, Scope},
    sender::{
        core::{Core, CoreSettings, Effect, Event, RecoverError, UnsignedTransaction},
        journal::{EntryState, JournalEntry},
        memory_journal::MemoryJournal,
        submit_result::SubmitResult,
    },
};

pub(super) const SIGNER: Address = Address::repeat_byte(0x51);

/// More than the depth of any reorganisation in a script.
const FINALITY_DEPTH: u64 = 3;

/// Blocks until the deadline of an intent.
const DEADLINE_BLOCKS: u64 = 5;

/// A step of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// An intent of high priority is submitted.
    SubmitHigh,
    /// An intent of low priority is submitted.
    SubmitLow,
    /// An intent of low priority is submitted whose gain hardly covers its gas.
    SubmitUnprofitable,
    /// A block is mined.
    MineBlock,
    /// The base fee exceeds every offer until [`Step::Calm`].
    BaseFeeSpike,
    /// Base fee and balance are normal again.
    Calm,
    /// Empty blocks replace the last ones. Their transactions are lost, or return to the pool.
    Reorg { depth: usize, keeps_transactions: bool },
    /// The pool loses every transaction of the keeper.
    ClearPool,
    /// A block is mined in which a foreign transaction uses the signer's next nonce.
    MineForeign,
    /// The next broadcast does not arrive, and there is no response.
    LoseBroadcast,
    /// The next broadcast arrives, but there is no response.
    LoseResponse,
    /// The signer cannot pay for anything until [`Step::Calm`].
    DrainSigner,
    /// Blocks are mined until the deadline of everything that was submitted has passed.
    PassDeadlines,
    /// A block is mined, as of which everything that was submitted is obsolete.
    MineObsolete,
    /// The operator orders a cancellation of the first pending transaction.
    OrderCancellation,
    /// Deferred entries are written.
    Flush,
    /// The process is killed and starts again.
    Restart,
    /// The next write to the journal is refused or lost, and with it the lease on the signer.
    FailWrite(WriteFault),
    /// No write is answered, and nobody can take over, until [`Step::Calm`].
    StopDatabase,
    /// The database fails over to a replica that has not seen the last write.
    LoseLastWrite,
    /// The process is paused before its next broadcast, and another keeper takes over. It resumes with [`Step::Calm`].
    Pause,
}

/// How a write to a journal that keepers share fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteFault {
    /// It is refused, because another keeper has taken over.
    FencedByPeer,
    /// It is refused, because the lease has expired, which nobody else has taken.
    Fenced,
    /// It is not made, and not answered.
    Lost,
    /// It is made, and not answered.
    Unanswered,
}

/// Who has the next lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Successor {
    /// The same keeper, and nobody else in between.
    Itself,
    /// Another keeper.
    Peer,
}

/// How the effects of an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CarriedOut {
    All,
    Killed,
    LeaseLost,
}

/// A core with its chain, its journal, and everything that it has reported.
#[derive(Debug)]
pub(super) struct Simulation {
    pub(super) model: ChainModel,
    pub(super) journal: MemoryJournal,
    core: Core,
    settings: CoreSettings,
    inbox: VecDeque<Event>,
    /// Entries whose write was deferred. They are lost when the process is killed.
    deferred: BTreeMap<u64, JournalEntry>,
    /// Faults of the next writes.
    write_faults: VecDeque<WriteFault>,
    is_database_down: bool,
    /// What the journal was before its last write.
    before_last_write: Vec<JournalEntry>,
    /// Whether the process is paused before its next broadcast.
    pauses: bool,
    /// What processes that are paused are about to broadcast, each with the number of the newest block that it knows.
    late: Vec<(u64, Bytes)>,
    /// Who continues once the lease was lost; `None` while the core has it.
    lost_to: Option<Successor>,
    pub(super) reports: Vec<Report>,
    /// Number of reports by processes that were killed.
    old_reports: usize,
    submitted: u64,
    losses: VecDeque<Step>,
    /// Number of effects until the core is killed.
    pub(super) effects_left: Option<usize>,
    pub(super) effects: usize,
    was_killed: bool,
    had_foreign: bool,
    /// Something happened after which a cancellation may be late.
    had_mishap: bool,
    /// Deadline of every intent that was submitted.
    deadlines: Vec<u64>,
}

pub(super) fn settings() -> CoreSettings {
    let mut settings = CoreSettings { finality_depth: FINALITY_DEPTH, max_pending: 3, ..CoreSettings::default() };
    settings.fees.min_priority_fee = 10;
    settings
}

/// Returns an intent whose calldata is its id, so that the chain shows which intent was executed.
pub(super) fn intent(id: u64, priority: Priority, gain: u64, deadline: u64) -> Intent {
    Intent {
        purpose: Purpose::Liquidate { market: B256::ZERO, borrowers: Vec::new() },
        priority,
        to: Address::ZERO,
        data: id.to_be_bytes().to_vec().into(),
        gas_limit: 100,
        expected_gas: 1,
        expected_gain: U256::from(gain),
        extra_wei: U256::ZERO,
        margin_bps: 1_000,
        deadline,
        scope: Scope::new("liquidate", B256::ZERO),
        guard: GuardKind::None,
        bid: 0,
        profit: None,
    }
}

impl Simulation {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    /// Starts where transactions go in bundles, and a builder makes every block.
    pub(super) fn in_bundles() -> Self {
        Self::with(CoreSettings { in_bundles: true, ..settings() })
    }

    fn with(settings: CoreSettings) -> Self {
        let mut simulation = Self {
            model: ChainModel::new(),
            journal: MemoryJournal::default(),
            core: Core::recover(SIGNER, settings.clone(), Default::default(), 0, false, false).unwrap(),
            settings,
            inbox: VecDeque::new(),
            deferred: BTreeMap::new(),
            write_faults: VecDeque::new(),
            is_database_down: false,
            before_last_write: Vec::new(),
            pauses: false,
            late: Vec::new(),
            lost_to: None,
            reports: Vec::new(),
            old_reports: 0,
            submitted: 0,
            losses: VecDeque::new(),
            effects_left: None,
            effects: 0,
            was_killed: false,
            had_foreign: false,
            had_mishap: false,
            deadlines: Vec::new(),
        };
        simulation.model.in_bundles = simulation.settings.in_bundles;
        simulation.announce_head();
        simulation
    }

    pub(super) fn run(&mut self, script: &[Step]) {
        for step in script {
            self.step(*step);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::SubmitHigh => self.submit(Priority::High, 100_000_000),
            Step::SubmitLow => self.submit(Priority::Low, 100_000_000),
            Step::SubmitUnprofitable => self.submit(Priority::Low, CALM_BASE_FEE * 5 / 4),
            Step::MineBlock | Step::MineObsolete => self.mine(),
            Step::PassDeadlines => (0..DEADLINE_BLOCKS).for_each(|_| {
                self.mine();
                self.announce_head();
            }),
            Step::BaseFeeSpike => self.model.base_fee = CALM_BASE_FEE * 1_000_000,
            Step::Calm => {
                self.model.base_fee = CALM_BASE_FEE;
                self.model.is_funded = true;
                self.is_database_down = false;
                self.pauses = false;
                let number = self.model.header().number;
                for (at, raw) in std::mem::take(&mut self.late) {
                    // A bundle is for the next block alone.
                    if at == number || !self.settings.in_bundles {
                        self.model.submit(&raw);
                    }
                }
            }
            Step::Reorg { depth, keeps_transactions } => {
                self.had_mishap = true;
                self.model.reorg(depth, keeps_transactions);
            }
            Step::ClearPool => self.model.clear_pool(),
            Step::MineForeign => {
                (self.had_foreign, self.had_mishap) = (true, true);
                self.model.mine_foreign();
            }
            Step::LoseBroadcast | Step::LoseResponse => {
                self.had_mishap = true;
                self.losses.push_back(step);
            }
            Step::DrainSigner => {
                self.had_mishap = true;
                self.model.is_funded = false;
            }
            Step::OrderCancellation => self.order_cancellation(),
            Step::Flush => self.flush(),
            Step::Restart => self.kill(),
            Step::FailWrite(fault) => self.write_faults.push_back(fault),
            Step::StopDatabase => self.is_database_down = true,
            Step::LoseLastWrite => self.lose_last_write(),
            Step::Pause => self.pauses = true,
        }
        if step == Step::MineObsolete {
            // Both are known before a node is asked.
            self.inbox.push_back(Event::Block(self.model.header()));
            self.process_event(Event::Obsolete((0..self.submitted).collect()));
            self.take_over();
        }
        if matches!(step, Step::MineBlock | Step::Reorg { .. } | Step::MineForeign) {
            self.announce_head();
        }
    }

    fn submit(&mut self, priority: Priority, gain: u64) {
        let id = self.submitted;
        self.submitted += 1;
        let deadline = self.model.header().timestamp + DEADLINE_BLOCKS * SECONDS_PER_BLOCK;
        self.deadlines.push(deadline);
        if self.lost_to.is_some() {
            let intent = intent(id, priority, gain, deadline);
            return self.report_drop(id, intent, DropReason::Standby);
        }
        self.process_event(Event::Submit(vec![(id, intent(id, priority, gain, deadline))]));
    }

    fn order_cancellation(&mut self) {
        let Some(nonce) = self.core.pending().next().map(|entry| entry.nonce) else { return };
        if self.lost_to.is_some() {
            return;
        }
        let Ok(effects) = self.core.order_cancellation(nonce) else { return };
        match self.carry_out(effects) {
            CarriedOut::All => self.process_inbox(),
            CarriedOut::Killed => self.kill(),
            CarriedOut::LeaseLost => {}
        }
    }

    /// Mines a block. Without a mishap it contains no call whose deadline the block before it has passed.
    fn mine(&mut self) {
        let now = self.model.header().timestamp;
        self.model.mine();
        if self.had_mishap {
            return;
        }
        for id in self.model.newest_calls() {
            let deadline = self.deadlines[usize::try_from(id).unwrap()];
            assert!(now < deadline, "intent {id} is mined after {now}, and its deadline was {deadline}");
        }
    }

    fn announce_head(&mut self) {
        if self.lost_to.is_some() {
            return self.take_over();
        }
        self.process_event(Event::Block(self.model.header()));
        if self.core.wants_balance() {
            self.process_event(Event::ChainStatus(self.model.chain_status(&[])));
        }
    }

    fn process_event(&mut self, event: Event) {
        self.inbox.push_back(event);
        self.process_inbox();
    }

    fn process_inbox(&mut self) {
        while let Some(event) = self.inbox.pop_front().filter(|_| self.lost_to.is_none()) {
            let effects = self.core.handle(event);
            if self.carry_out(effects) == CarriedOut::Killed {
                self.kill();
            }
        }
    }

    /// Carries effects out, as far as the core is not killed before one of them and keeps its lease.
    fn carry_out(&mut self, effects: Vec<Effect>) -> CarriedOut {
        self.assert_reorged_is_rebroadcast_unchanged(&effects);
        let mut effects = effects.into_iter();
        while let Some(effect) = effects.next() {
            if let Some(left) = &mut self.effects_left {
                match left.checked_sub(1) {
                    Some(fewer) => *left = fewer,
                    None => {
                        self.effects_left = None;
                        return CarriedOut::Killed;
                    }
                }
            }
            self.effects += 1;
            match effect {
                Effect::Sign(transactions) => {
                    self.inbox.push_front(Event::Signed(transactions.iter().map(sign).collect()));
                }
                Effect::WriteJournal(entries) => {
                    self.deferred.extend(entries.into_iter().map(|entry| (entry.id, entry)));
                    self.write_deferred();
                    if self.lost_to.is_some() {
                        return self.leave(effects);
                    }
                }
                Effect::DeferWrite(entries) => self.deferred.extend(entries.into_iter().map(|entry| (entry.id, entry))),
                Effect::Broadcast { nonce, hash, raw, .. } => {
                    let is_known = |entry: &JournalEntry| {
                        entry.nonce == nonce && entry.attempts.iter().any(|attempt| attempt.hash == hash)
                    };
                    assert!(self.journal.entries().iter().any(is_known), "broadcast before it was written");
                    self.assert_not_reported_as_over(&raw);
                    if std::mem::take(&mut self.pauses) {
                        // Its successor looks a nonce up whose bytes nodes rejected meanwhile only when it starts again.
                        self.was_killed = true;
                        self.late.push((self.model.header().number, raw));
                        self.lose_lease(Successor::Peer);
                        return self.leave(effects);
                    }
                    let loss = self.losses.pop_front();
                    let result = match loss {
                        Some(Step::LoseBroadcast) => SubmitResult::NoAnswer,
                        _ => self.model.submit(&raw),
                    };
                    let result = if loss.is_some() { SubmitResult::NoAnswer } else { result };
                    self.inbox.push_back(Event::BroadcastResult { nonce, hash, result });
                }
                Effect::WithdrawBundle { intent, .. } => {
                    // A relay need not support it.
                    if self.losses.is_empty() {
                        self.model.withdraw(intent);
                    }
                }
                Effect::FetchReceipts(hashes) => {
                    let status = self.model.chain_status(&hashes);
                    self.inbox.push_back(Event::ChainStatus(status));
                }
                Effect::Report(report) => self.reports.push(*report),
                Effect::Alert(_) => {}
            }
        }
        CarriedOut::All
    }

    /// Reports the ends among effects that are not carried out, as a signer's task does.
    fn leave(&mut self, effects: impl Iterator<Item = Effect>) -> CarriedOut {
        for effect in effects {
            if let Effect::Report(report) = effect
                && !matches!(report.outcome, Outcome::Sent { .. })
            {
                self.reports.push(*report);
            }
        }
        CarriedOut::LeaseLost
    }

    fn flush(&mut self) {
        if self.lost_to.is_none() && !self.deferred.is_empty() {
            self.write_deferred();
        }
    }

    fn write_deferred(&mut self) {
        let down = self.is_database_down.then_some(WriteFault::Lost);
        let fault = down.or_else(|| self.write_faults.pop_front());
        if matches!(fault, None | Some(WriteFault::Unanswered)) {
            self.write(self.deferred.values().cloned().collect());
        }
        match fault {
            None => self.deferred.clear(),
            Some(WriteFault::FencedByPeer) => self.lose_lease(Successor::Peer),
            Some(WriteFault::Fenced | WriteFault::Lost | WriteFault::Unanswered) => self.lose_lease(Successor::Itself),
        }
    }

    /// What only a keeper knew that has ended is lost, so the one that wrote last continues.
    fn lose_last_write(&mut self) {
        if self.lost_to == Some(Successor::Peer) || self.is_database_down {
            return;
        }
        self.journal.replace(self.before_last_write.clone());
        self.lose_lease(Successor::Itself);
        self.take_over();
    }

    fn write(&mut self, entries: Vec<JournalEntry>) {
        self.before_last_write = self.journal.entries();
        self.journal.write(entries);
    }

    /// Ends to be active, as a signer's task does.
    fn lose_lease(&mut self, successor: Successor) {
        self.had_mishap = true;
        self.inbox.clear();
        if self.lost_to.is_some() {
            return;
        }
        for (id, intent) in self.core.open_intents() {
            self.report_drop(id, intent, DropReason::LeaseLost);
        }
        self.lost_to = Some(successor);
    }

    fn report_drop(&mut self, id: u64, intent: Intent, reason: DropReason) {
        let outcome = Outcome::Dropped(reason);
        self.reports.push(Report { id, signer: SIGNER, intent, outcome, logs: Vec::new() });
    }

    /// Continues from the journal under a new lease, as a signer's task does, unless the database does not answer.
    fn take_over(&mut self) {
        let Some(successor) = self.lost_to.filter(|_| !self.is_database_down) else { return };
        self.lost_to = None;
        let mut known = std::mem::take(&mut self.deferred);
        if successor == Successor::Itself {
            known.extend(self.core.entries().map(|entry| (entry.id, entry.clone())));
            self.write(known.into_values().collect());
        }
        self.recover(successor == Successor::Itself);
    }

    /// Kills the process and starts it again from the journal.
    fn kill(&mut self) {
        (self.was_killed, self.had_mishap) = (true, true);
        self.lost_to = None;
        self.deferred.clear();
        self.inbox.clear();
        self.recover(false);
    }

    fn recover(&mut self, adopts: bool) {
        self.old_reports = self.reports.len();
        self.before_last_write = self.journal.entries();
        let start = |adopts| {
            let nonce = self.model.next_nonce();
            Core::recover(SIGNER, self.settings.clone(), self.journal.read(SIGNER), nonce, false, adopts)
        };
        self.core = match start(adopts) {
            Err(RecoverError::ChainAhead { .. } | RecoverError::ChainBehind { .. }) if self.had_foreign => {
                start(true).unwrap()
            }
            started => started.unwrap(),
        };
        self.announce_head();
    }

    /// Mines calm blocks until nothing can change any more, and checks that every intent and nonce is accounted for.
    pub(super) fn end(mut self) -> Self {
        self.effects_left = None;
        self.losses.clear();
        self.write_faults.clear();
        self.step(Step::Calm);
        let blocks = DEADLINE_BLOCKS + 2 * FINALITY_DEPTH + 6;
        (0..blocks).for_each(|_| self.step(Step::MineBlock));
        if !self.was_killed {
            self.assert_every_end_was_reported();
        }
        // A nonce for which nodes rejected everything is used up at the latest at the next start.
        self.kill();
        if self.settings.in_bundles {
            // Nobody pays for using up a nonce whose bundles were not included: the next intents use them, one at a time.
            let unused: BTreeSet<_> = self.journal.entries().iter().map(|entry| entry.nonce).collect();
            for _ in unused.range(self.model.next_nonce()..) {
                self.step(Step::SubmitHigh);
                self.step(Step::MineBlock);
            }
        }
        (0..blocks).for_each(|_| self.step(Step::MineBlock));
        self.step(Step::Flush);
        self.assert_every_nonce_is_accounted_for();
        self
    }

    /// After the end of an intent was reported a strategy may decide again, so its call must not be broadcast any more.
    fn assert_not_reported_as_over(&self, raw: &Bytes) {
        let Some(id) = read(raw).intent else { return };
        let last = self.reports.iter().skip(self.old_reports).rev().find(|report| report.id == id);
        let is_open = |outcome: &Outcome| matches!(outcome, Outcome::Sent { .. } | Outcome::Reorged);
        assert!(last.is_none_or(|report| is_open(&report.outcome)), "{id} is broadcast after {last:?}");
    }

    /// A reorged transaction is broadcast with the same bytes before anything else with its nonce.
    fn assert_reorged_is_rebroadcast_unchanged(&self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Report(report) = effect else { continue };
            let mined = self.reports.iter().rev().find_map(|earlier| match earlier.outcome {
                Outcome::Mined(receipt) | Outcome::Cancelled(receipt) if earlier.id == report.id => {
                    Some(receipt.inclusion.hash)
                }
                _ => None,
            });
            let Some((mined, _)) = mined.zip((report.outcome == Outcome::Reorged).then_some(())) else { continue };
            let nonce = self.journal.entries().iter().find(|entry| entry.id == report.id).map(|entry| entry.nonce);
            for effect in effects {
                match effect {
                    Effect::Broadcast { nonce: broadcast, hash, .. } if Some(*broadcast) == nonce => {
                        assert_eq!(*hash, mined)
                    }
                    // Only an intent of high priority may replace it.
                    Effect::Sign(transactions) => {
                        let is_own = |unsigned: &&UnsignedTransaction| {
                            Some(unsigned.nonce) == nonce && unsigned.data[..] == report.id.to_be_bytes()
                        };
                        assert_eq!(transactions.iter().find(is_own), None);
                    }
                    _ => {}
                }
            }
        }
    }

    fn assert_every_end_was_reported(&self) {
        let executed = self.model.mined().filter_map(|transaction| transaction.intent).collect::<BTreeSet<_>>();
        for id in 0..self.submitted {
            let last = self.reports.iter().rev().find(|report| report.id == id);
            let last = last.map(|report| &report.outcome);
            if executed.contains(&id) {
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

    fn assert_every_nonce_is_accounted_for(&self) {
        let mut by_nonce = BTreeMap::<u64, Vec<_>>::new();
        for entry in self.journal.entries() {
            assert!(entry.state.is_settled(), "not settled: {entry:?}");
            by_nonce.entry(entry.nonce).or_default().push(entry);
        }
        let most = self.settings.max_holders();
        assert!(by_nonce.values().all(|entries| entries.len() <= most), "too many hand-overs: {by_nonce:?}");
        let mut executed = BTreeSet::new();
        for mined in self.model.mined() {
            if let Some(id) = mined.intent {
                assert!(executed.insert(id), "intent {id} was executed twice");
            }
            let entries = by_nonce.remove(&mined.nonce).unwrap_or_default();
            if mined.is_foreign {
                assert!(entries.iter().all(|entry| entry.state == EntryState::Lost), "{entries:?}");
                continue;
            }
            let served = |entry: &&JournalEntry| match entry.state {
                EntryState::Final(inclusion) => inclusion.hash == mined.hash && mined.intent == Some(entry.id),
                EntryState::Cancelled(inclusion) => inclusion.hash == mined.hash && mined.intent.is_none(),
                _ => false,
            };
            let winner = entries.iter().find(served).unwrap_or_else(|| panic!("{mined:?} is not in {entries:?}"));
            for other in entries.iter().filter(|entry| entry.id != winner.id) {
                assert_eq!(other.state, EntryState::Replaced { by: winner.id });
            }
        }
        assert!(by_nonce.is_empty(), "nonces that were never used: {by_nonce:?}");
    }
}
