//! One signer's task: it does what its core wants done, and tells it what happened.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256},
    signers::local::PrivateKeySigner,
};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tracing::{debug, error, info};

use super::{
    core::{Core, Effect, Event},
    fees::PriceStyle,
    guard::Guard,
    journal::{Entry, Fees, Journal},
    nodes::Nodes,
    outcome::Outcome,
    shell::News,
    sign::sign,
};
use crate::{
    chain::Header,
    intent::{Intent, Purpose},
};

/// How many commands are taken in one go.
const COMMANDS_AT_ONCE: usize = 64;

/// After so long without anything to do, what can wait is written: what is decided on a block is not delayed by what
/// became of earlier decisions.
const QUIET: Duration = Duration::from_millis(100);

/// What a lane is told.
#[derive(Debug)]
pub(super) enum Command {
    /// This is wanted, by id.
    Submit(u64, Box<Intent>),
    /// The chain has a new head.
    Block(Header),
    /// Nothing may be sent from now on, or again.
    Hold(bool),
}

/// How one signer is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// Who signs.
    pub signer: Address,
    /// What it has, in wei, as far as is known: it is asked whenever something is pending.
    pub balance: Option<U256>,
    /// The nonce of its next new transaction.
    pub next_nonce: u64,
    /// What waits to be mined, by nonce.
    pub pending: Vec<Pending>,
    /// How many intents wait for a nonce.
    pub waiting: usize,
    /// Whether it gave up, because its journal cannot be written.
    pub has_failed: bool,
}

/// An intent whose transaction waits to be mined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Names it.
    pub id: u64,
    /// Its nonce.
    pub nonce: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// The newest of its transactions.
    pub hash: B256,
    /// What that offers.
    pub fees: Fees,
    /// How many were signed.
    pub attempts: usize,
    /// The newest block when the first was signed.
    pub since_block: u64,
}

/// What a lane needs to do its work.
#[derive(Debug)]
pub(super) struct Lane<J> {
    pub(super) core: Core,
    pub(super) signer: PrivateKeySigner,
    pub(super) chain_id: u64,
    pub(super) style: PriceStyle,
    pub(super) journal: Arc<J>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) guard: Arc<Guard>,
    pub(super) news: mpsc::UnboundedSender<News>,
    pub(super) status: watch::Sender<LaneStatus>,
    /// What is still to be written, by id, and can be found out again.
    pub(super) unwritten: BTreeMap<u64, Entry>,
}

/// What comes back from nodes.
#[derive(Debug)]
struct Heard {
    event: Event,
    /// The signer's, where it was asked.
    balance: Option<U256>,
}

impl<J: Journal> Lane<J> {
    /// Runs until it is stopped, between two events, or until nobody can command it any more.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, mut stop: watch::Receiver<bool>) {
        let (tell, mut heard) = mpsc::unbounded_channel();
        let mut ready = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => {
                    // What cannot be written any more is found out again.
                    let _ = self.write().await;
                    return;
                }
                count = commands.recv_many(&mut ready, COMMANDS_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    for event in events(ready.drain(..)) {
                        self.happen(event, &tell).await;
                    }
                }
                Some(heard) = heard.recv() => {
                    if let Heard { balance: Some(balance), .. } = heard {
                        self.status.send_modify(|status| status.balance = Some(balance));
                    }
                    self.happen(heard.event, &tell).await;
                }
                () = time::sleep(QUIET), if !self.unwritten.is_empty() => {
                    if let Some(failure) = self.write().await {
                        self.happen(failure, &tell).await;
                    }
                }
            }
        }
    }

    /// Lets the core know, and does what it wants done, in order.
    async fn happen(&mut self, event: Event, tell: &mpsc::UnboundedSender<Heard>) {
        let block = if let Event::Block(header) = &event { Some(*header) } else { None };
        let mut events = VecDeque::from([event]);
        let mut looks = false;
        while let Some(event) = events.pop_front() {
            for effect in self.core.handle(event) {
                looks |= matches!(effect, Effect::LookUp(_));
                if let Some(next) = self.carry_out(effect, tell).await {
                    let has_failed = matches!(next, Event::JournalFailed);
                    events.push_back(next);
                    if has_failed {
                        // What follows must not happen without what failed.
                        break;
                    }
                }
            }
        }
        let balance = self.status.borrow().balance;
        if block.is_some() && !looks && balance.is_some_and(|balance| self.guard.is_low(balance)) {
            // Nothing is pending and nothing can be sent: somebody has to notice that coins came.
            self.look_up(Vec::new(), tell);
        }
        self.show_status();
    }

    /// Does one thing. What it makes happen at once is returned.
    async fn carry_out(&mut self, effect: Effect, tell: &mpsc::UnboundedSender<Heard>) -> Option<Event> {
        match effect {
            Effect::Sign(orders) => {
                let sign = |order| sign(&self.signer, self.chain_id, self.style, order);
                match orders.into_iter().map(sign).collect() {
                    Ok(signed) => return Some(Event::Signed(signed)),
                    Err(error) => error!(signer = %self.signer.address(), "the key does not sign: {error}"),
                }
                return Some(Event::JournalFailed);
            }
            Effect::Journal(entries) => {
                self.note(entries);
                return self.write().await;
            }
            Effect::Note(entries) => self.note(entries),
            Effect::Broadcast { nonce, hash, raw, route } => {
                debug!(signer = %self.signer.address(), nonce, %hash, ?route, "shown");
                let (nodes, tell) = (Arc::clone(&self.nodes), tell.clone());
                tokio::spawn(async move {
                    let verdict = nodes.broadcast(route, raw).await;
                    // A lane that has stopped asks again when it starts.
                    tell.send(Heard { event: Event::Answered { nonce, hash, verdict }, balance: None }).ok();
                });
            }
            Effect::LookUp(hashes) => self.look_up(hashes, tell),
            Effect::Report(report) => {
                info!(
                    id = report.id,
                    outcome = report.outcome.name(),
                    signer = %report.signer,
                    "{}",
                    said(&report.outcome)
                );
                self.guard.note(&report);
                // Whoever hears of it looks at the status.
                self.show_status();
                self.news.send(News::Report(report)).ok();
            }
            Effect::Alert(alert) => {
                error!("{alert}");
                self.news.send(News::Alert(alert)).ok();
            }
        }
        None
    }

    /// Keeps the newest image of each entry to be written.
    fn note(&mut self, entries: Vec<Entry>) {
        self.unwritten.extend(entries.into_iter().map(|entry| (entry.id, entry)));
    }

    /// Writes down everything that was noted.
    async fn write(&mut self) -> Option<Event> {
        let entries = mem::take(&mut self.unwritten).into_values().collect();
        let error = self.journal.record(entries).await.err()?;
        error!("{error}");
        Some(Event::JournalFailed)
    }

    fn look_up(&self, hashes: Vec<B256>, tell: &mpsc::UnboundedSender<Heard>) {
        let (nodes, tell) = (Arc::clone(&self.nodes), tell.clone());
        let (signer, block) = (self.signer.address(), self.guard.block());
        tokio::spawn(async move {
            // Without an answer it is asked again with the next block.
            if let Some((looked, balance)) = nodes.look_up(signer, &hashes, block).await {
                tell.send(Heard { event: Event::Looked(looked), balance: Some(balance) }).ok();
            }
        });
    }

    fn show_status(&self) {
        self.status.send_modify(|status| *status = LaneStatus::of(&self.core, self.signer.address(), status.balance));
    }
}

impl LaneStatus {
    pub(super) fn of(core: &Core, signer: Address, balance: Option<U256>) -> Self {
        let pending = core.pending().filter_map(|entry| {
            let (first, newest) = (entry.attempts.first()?, entry.attempts.last()?);
            Some(Pending {
                id: entry.id,
                nonce: entry.nonce,
                purpose: entry.intent.purpose.clone(),
                hash: newest.hash,
                fees: newest.fees,
                attempts: entry.attempts.len(),
                since_block: first.block,
            })
        });
        Self {
            signer,
            balance,
            next_nonce: core.next_nonce(),
            pending: pending.collect(),
            waiting: core.waiting(),
            has_failed: core.has_failed(),
        }
    }
}

/// Waits until everything is to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so being gone is the same.
    stop.wait_for(|stop| *stop).await.ok();
}

/// Commands as events. What was decided together is signed and written together.
fn events(commands: impl Iterator<Item = Command>) -> Vec<Event> {
    let mut events = Vec::new();
    for command in commands {
        match (command, events.last_mut()) {
            (Command::Submit(id, intent), Some(Event::Submit(intents))) => intents.push((id, *intent)),
            (Command::Submit(id, intent), _) => events.push(Event::Submit(vec![(id, *intent)])),
            (Command::Block(header), _) => events.push(Event::Block(header)),
            (Command::Hold(is_held), _) => events.push(Event::Hold(is_held)),
        }
    }
    events
}

/// What the log adds to an outcome's name.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent { nonce, hash, fees } => {
            format!("nonce {nonce}, {hash}, at most {} wei a unit of gas, tip {}", fees.max_fee, fees.tip)
        }
        Outcome::Mined(receipt) | Outcome::Reverted(receipt) | Outcome::Cancelled(receipt) => {
            format!("{} in block {}, for {} wei", receipt.place.hash, receipt.place.block, receipt.fee())
        }
        Outcome::Replaced { by } => format!("its nonce went to {by}"),
        Outcome::Dropped(reason) => reason.to_string(),
        Outcome::Refused(refusal) => refusal.to_string(),
        Outcome::NonceUsedByOther { nonce } | Outcome::Lost { nonce } => format!("nonce {nonce}"),
        Outcome::TakenBack => "its block is gone".to_owned(),
    }
}
