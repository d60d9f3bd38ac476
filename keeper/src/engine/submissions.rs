//! The engine's side of the sender: intents that were submitted, and what their reports mean for later decisions.

use std::{collections::HashMap, sync::Arc};

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::MarketId;
use tokio::time::Instant;
use tracing::{Span, debug, field, instrument};

use super::{
    division::{Division, HeldMarkets, SeenSubjects, forget_old},
    exclusion::Exclusion,
    obsolete::{is_executable, is_liquidatable, is_obsolete},
    pricing::PricedBlock,
    protocols::Liquidatable,
    races::{LostRace, Race},
};
use crate::{
    book::Book,
    chain::Header,
    config,
    control::Paused,
    intent::Subject,
    intent::{DropReason, Intent, Outcome, Priority, Purpose, Receipt, Report},
    record,
    safety::{FailureCause, ResultsLedger},
    sender::{SenderHandle, SignerStatus, fleet::FleetStatus},
    strategies::bids::RaceResult,
    view::{SafetySnapshot, SignerSnapshot, count},
};

/// Why a liquidation reverted whose loans are not liquidatable any more, or an execution whose order cannot be executed
/// any more, as metrics have it.
const LOST_RACE: &str = "lost_race";
/// Why a liquidation or execution reverted that is still possible.
const CALL_FAILED: &str = "call_failed";
/// Why a harvest or claim reverted.
const HARVEST_FAILED: &str = "harvest_failed";

/// Priorities with the name of their signer's role.
const ROLES: [(Priority, &str); 2] = [(Priority::High, "liquidations"), (Priority::Low, "harvests")];

/// The sender, and the intents whose reports are awaited.
#[derive(Debug)]
pub(super) struct Submissions {
    sender: SenderHandle,
    /// Intents that are not final yet, by id.
    open: HashMap<u64, Submission>,
    /// Liquidations and executions that reverted in a block that is not applied yet.
    reverted: Vec<RevertedRace>,
    /// Positions of other protocols that are liquidatable.
    pub(super) liquidatable: Liquidatable,
    /// Subjects of markets in which another keeper of the fleet acts first.
    seen: SeenSubjects,
    /// Markets in which another keeper's claims keep this one from sending.
    held: HeldMarkets,
}

/// When an intent was decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Submission {
    /// Number of the block that it was decided on.
    block: u64,
    /// When that block's head was received.
    head_at: Instant,
    /// What it offers against rivals.
    race: Option<Race>,
    /// Whether its transaction was broadcast.
    is_sent: bool,
}

/// How the race of an intent ended.
#[derive(Debug, Clone)]
pub(super) enum RaceEnd {
    /// Ours was first.
    Won(RaceResult),
    /// Somebody may have been faster: who, and for which fee, is to be found out.
    PerhapsLost(Box<LostRace>),
}

/// A liquidation, or the execution of an order, whose transaction reverted.
#[derive(Debug, Clone)]
pub(super) struct RevertedRace {
    /// Number of the block in which it reverted.
    pub(super) block: u64,
    /// The loans, or the order.
    pub(super) subjects: Vec<Subject>,
    /// The race that it had entered, if that is known.
    pub(super) race: Option<LostRace>,
}

impl Submissions {
    pub(super) fn new(sender: SenderHandle) -> Self {
        Self {
            sender,
            open: HashMap::new(),
            reverted: Vec::new(),
            liquidatable: Liquidatable::default(),
            seen: SeenSubjects::default(),
            held: HeldMarkets::default(),
        }
    }

    /// Tells the sender of a new block before its prices are known, if nothing is in flight that could be obsolete by them.
    /// Returns whether it did; otherwise [`Self::on_block`] is to be called.
    pub(super) fn on_head(&self, header: &Header) -> bool {
        let is_idle = !self.sender.has_open_intents();
        if is_idle {
            self.tell(header, &[]);
        }
        is_idle
    }

    /// Tells the sender of a new block, and which intents are obsolete as of it. To be called before anything that is
    /// decided on it is submitted.
    pub(super) fn on_block(&self, book: &Book, block: &PricedBlock) {
        let is_obsolete =
            |(id, intent): (u64, Intent)| is_obsolete(&intent, &self.liquidatable, book, block).then_some(id);
        let obsolete: Vec<_> = self.sender.open_intents().into_iter().filter_map(is_obsolete).collect();
        self.tell(&block.header, &obsolete);
    }

    fn tell(&self, header: &Header, obsolete: &[u64]) {
        self.sender.on_block(*header, obsolete);
        forget_old(&self.seen, header.number);
    }

    /// Tells the sender that every block after `block` was reverted.
    pub(super) fn on_revert(&self, block: u64) {
        self.sender.on_revert(block);
    }

    /// Returns the balance in wei of the account that signs intents of a priority, where it is known.
    pub(super) fn balance(&self, priority: Priority) -> Option<U256> {
        self.sender.watch_status(priority)?.borrow().balance
    }

    /// Submits an intent that was decided on a block whose head was received at `head_at`, at a price per gas. Returns its
    /// id at once.
    #[instrument(name = "submit_intent", skip_all, fields(intent = field::Empty))]
    pub(super) fn submit(&mut self, intent: Intent, header: &Header, head_at: Instant, gas_price: u128) -> u64 {
        let race = Race::of(&intent, gas_price);
        let (purpose, gain_wei, expected_gas) = (intent.purpose.clone(), intent.expected_gain, intent.expected_gas);
        let id = self.sender.submit(intent);
        self.open.insert(id, Submission { block: header.number, head_at, race, is_sent: false });
        Span::current().record("intent", id);
        match purpose {
            Purpose::Liquidate { market, borrowers } => {
                debug!(%market, loans = borrowers.len(), %gain_wei, expected_gas, "intent submitted");
            }
            Purpose::Seize { deployment, market, accounts } => {
                debug!(%deployment, %market, accounts = accounts.len(), %gain_wei, expected_gas, "intent submitted");
            }
            Purpose::ExecuteOrder { market, account, kind } => {
                debug!(%market, %account, kind = kind.name(), %gain_wei, expected_gas, "intent submitted");
            }
            Purpose::Harvest { pool, reward_token, accounts } => {
                debug!(%pool, %reward_token, accounts = accounts.len(), %gain_wei, expected_gas, "intent submitted");
            }
            Purpose::ClaimOwn { pool, reward_token } => {
                debug!(%pool, %reward_token, %gain_wei, expected_gas, "intent submitted");
            }
            Purpose::Rebalance { vault } => debug!(%vault, %gain_wei, expected_gas, "intent submitted"),
            Purpose::ExecuteOperation { id } => debug!(operation = %id, expected_gas, "intent submitted"),
            Purpose::AdvanceJob { id, step, .. } => {
                debug!(job = id, step = step.name(), %gain_wei, expected_gas, "intent submitted");
            }
            Purpose::CollectVouchers { jar, .. } => debug!(%jar, %gain_wei, expected_gas, "intent submitted"),
            Purpose::HarvestNodes { nodes } => debug!(?nodes, expected_gas, "intent submitted"),
            Purpose::Sweep { from, token } => debug!(%from, %token, expected_gas, "intent submitted"),
        }
        id
    }

    /// Measures by a report, and remembers a liquidation that reverted. `newest` is the newest block. Returns how the race
    /// ended of a transaction that was mined, or that was given up because its loans are gone.
    pub(super) fn on_report(&mut self, report: &Report, newest: Option<&Header>) -> Option<RaceEnd> {
        let mut result = None;
        self.held.on_outcome(report.intent.scope.market, &report.outcome, newest.map_or(0, |newest| newest.number));
        match &report.outcome {
            Outcome::Sent { fees, .. } => {
                if let Some(submission) = self.open.get_mut(&report.id) {
                    submission.is_sent = true;
                    record::head_to_broadcast(submission.head_at.elapsed());
                    if let Some(race) = &mut submission.race {
                        race.offer(*fees);
                    }
                }
            }
            Outcome::Reorged => {}
            outcome => {
                let submission = self.open.remove(&report.id);
                if let (Outcome::Mined(receipt) | Outcome::Reverted(receipt), Some(submission)) = (outcome, &submission)
                {
                    let blocks = receipt.inclusion.block.saturating_sub(submission.block);
                    record::inclusion_delay(u32::try_from(blocks).unwrap_or(u32::MAX));
                    if matches!(outcome, Outcome::Mined(_)) {
                        result = submission.race.map(|race| RaceEnd::Won(race.won()));
                    }
                }
                match outcome {
                    Outcome::Reverted(receipt) => self.note_revert(report, receipt, submission),
                    Outcome::Dropped(DropReason::Obsolete) => {
                        let submission = submission.filter(|submission| submission.is_sent);
                        let race = newest.and_then(|newest| self.lost_race(report, submission?, newest.number));
                        result = race.map(|race| RaceEnd::PerhapsLost(Box::new(race)));
                    }
                    _ => {}
                }
            }
        }
        match &report.outcome {
            Outcome::Mined(receipt) | Outcome::Reverted(receipt) | Outcome::Cancelled(receipt) => {
                record::tip(tip_wei(receipt, newest.map_or(0, |newest| newest.base_fee)));
            }
            Outcome::Dropped(reason) => record::dropped(reason.name()),
            _ => {}
        }
        result
    }

    /// Remembers a liquidation or an execution that reverted, until its block is applied.
    fn note_revert(&mut self, report: &Report, receipt: &Receipt, submission: Option<Submission>) {
        let purpose = &report.intent.purpose;
        if !matches!(purpose, Purpose::Liquidate { .. } | Purpose::Seize { .. } | Purpose::ExecuteOrder { .. }) {
            record::reverted(HARVEST_FAILED);
            return;
        }
        let race = submission.and_then(|submission| self.lost_race(report, submission, receipt.inclusion.block));
        let (block, subjects) = (receipt.inclusion.block, purpose.subjects());
        self.reverted.push(RevertedRace { block, subjects, race });
    }

    /// The sender.
    pub(super) const fn sender(&self) -> &SenderHandle {
        &self.sender
    }

    /// Returns the race that an intent had entered, for which a rival's transaction is looked for up to block `last`.
    fn lost_race(&self, report: &Report, submission: Submission, last: u64) -> Option<LostRace> {
        let foreign = match &report.intent.purpose {
            Purpose::Seize { deployment, .. } => self.liquidatable.emitters(*deployment),
            _ => None,
        };
        Some(LostRace {
            foreign,
            scope: report.intent.scope.clone(),
            race: submission.race?,
            purpose: report.intent.purpose.clone(),
            blocks: (submission.block.saturating_add(1), last),
            signers: self.sender.status().iter().map(|status| status.signer).collect(),
        })
    }

    /// What must be left alone by decisions on a block.
    pub(super) fn exclusion(&self, block: u64, paused: &Paused) -> Exclusion {
        self.exclusion_with(block, paused, Some(Arc::clone(&self.seen)))
    }

    /// What must be left alone by calls that are planned for the block after this one.
    pub(super) fn exclusion_ahead(&self, block: u64, paused: &Paused) -> Exclusion {
        self.exclusion_with(block, paused, None)
    }

    fn exclusion_with(&self, block: u64, paused: &Paused, seen: Option<SeenSubjects>) -> Exclusion {
        let (in_flight, back_off) = (self.sender.in_flight(), self.sender.back_off());
        let division = self.sender.fleet().map(|fleet| Division { fleet, is_standby: self.sender.is_standby(), seen });
        Exclusion { paused: paused.clone(), in_flight, back_off, block, division }
    }

    /// Who shares the database; `None` where no keeper can.
    pub(super) fn fleet(&self) -> Option<FleetStatus> {
        self.sender.fleet()
    }

    /// Returns the markets in which another keeper's claims keep this one from sending, each with the number of blocks for
    /// which they have.
    pub(super) fn held_markets(&self, block: u64) -> Vec<(B256, u64)> {
        self.held.at(block)
    }

    /// Replaces the pending transaction with a nonce by a cancellation. Returns it in words; fails with the reason.
    pub(super) async fn cancel(&self, nonce: u64, account: Option<Address>) -> Result<String, String> {
        let cancellation = self.sender.cancel(nonce, account).await;
        cancellation.map(|cancellation| cancellation.to_string()).map_err(|error| error.to_string())
    }

    /// Closes every circuit breaker before its time is over.
    pub(super) fn close_breakers(&self) {
        self.sender.close_breakers();
    }

    /// Ends the back-off of a subject that another keeper was faster at, so that there is nothing to do.
    pub(super) fn clear_backoff(&self, subject: Subject) {
        self.sender.record_failure(subject, FailureCause::LostRace);
    }

    /// Ends the back-off of every loan and order whose transaction reverted because of a lost race, and returns these races: see
    /// [`lost_races`].
    pub(super) fn clear_backoff_after_lost_race(&mut self, book: &Book, block: &PricedBlock) -> Vec<LostRace> {
        let (subjects, races) = lost_races(&mut self.reverted, &self.liquidatable, book, block);
        subjects.into_iter().for_each(|subject| self.clear_backoff(subject));
        races
    }

    /// What mined transactions earned and cost.
    pub(super) fn results(&self) -> ResultsLedger {
        self.sender.with_gate(|gate, _| gate.record().results.clone())
    }

    /// State of every signer.
    pub(super) fn signers(&self) -> Vec<SignerSnapshot> {
        let role = |status: &SignerStatus| {
            let signs = |(priority, _): &&(Priority, &str)| self.sender.signer(*priority) == Some(status.signer);
            ROLES.iter().filter(signs).map(|(_, name)| *name).collect::<Vec<_>>().join(" and ")
        };
        let snapshot = |status: SignerStatus| SignerSnapshot {
            role: role(&status),
            address: status.signer,
            balance: status.balance,
            next_nonce: status.next_nonce,
            pending: status.pending.len(),
            has_failed: status.has_failed,
        };
        self.sender.status().into_iter().map(snapshot).collect()
    }

    /// How far the limits on sending are used up at a time, in seconds of the chain's clock. Looks for the kill file; a
    /// folder that cannot be read counts as one that has it.
    pub(super) fn safety(&self, settings: &config::Safety, now: u64) -> SafetySnapshot {
        let is_killed = settings.kill_file.try_exists().unwrap_or(true);
        self.sender.with_gate(|gate, _| SafetySnapshot {
            is_killed,
            open_breakers: gate.open_breakers(now),
            capped_scopes: gate.capped_scopes(now),
            lost_wei: gate.lost_on(now),
            reverts: gate.recent_reverts(now),
        })
    }
}

/// Takes the races out of `reverted` whose block is applied, and returns those of their loans that are not liquidatable
/// any more and of their orders that cannot be executed any more, with the races over them. For these the race was lost
/// to another keeper, and nothing speaks against a new attempt as soon as there is something to do again. The others
/// reverted for a reason that may persist, as did all in a market without a price. Counts each transaction by its reason.
pub(super) fn lost_races(
    reverted: &mut Vec<RevertedRace>,
    positions: &Liquidatable,
    book: &Book,
    block: &PricedBlock,
) -> (Vec<Subject>, Vec<LostRace>) {
    let (mut lost, mut races) = (Vec::new(), Vec::new());
    for RevertedRace { block: reverted_in, subjects, race } in
        reverted.extract_if(.., |reverted| reverted.block <= block.header.number)
    {
        let lost_before = lost.len();
        let is_lost = |subject: &Subject| {
            let is_possible = match *subject {
                Subject::Loan { market, borrower } => is_liquidatable(book, block, MarketId(market), borrower),
                Subject::Position { deployment, market, account } => {
                    positions.contains(deployment, market, account, reverted_in)
                }
                Subject::Order { market, account, kind } => is_executable(book, block, MarketId(market), account, kind),
                Subject::Job(id) => Some(book.jobs().job(id).is_some()),
                Subject::Rewards { .. }
                | Subject::Vault(_)
                | Subject::Operation(_)
                | Subject::Node(_)
                | Subject::Jar(_)
                | Subject::Sweep { .. } => None,
            };
            is_possible == Some(false)
        };
        lost.extend(subjects.into_iter().filter(is_lost));
        let newly_lost = lost.len() - lost_before;
        record::reverted(if newly_lost == 0 { CALL_FAILED } else { LOST_RACE });
        record::lost_races(count(newly_lost));
        races.extend(race.filter(|_| newly_lost > 0));
    }
    (lost, races)
}

/// Returns the part of a transaction's fee above the base fee, in wei.
fn tip_wei(receipt: &Receipt, base_fee: u64) -> U256 {
    let tip = receipt.effective_gas_price.saturating_sub(u128::from(base_fee));
    U256::from(receipt.gas_used).saturating_mul(U256::from(tip))
}
