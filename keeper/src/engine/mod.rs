//! The engine: one task that joins stream, book, strategies, sender and view.
//!
//! ```text
//! stream ──► Follower (book, checkpoint) ──► Strategies ──► Submissions ──► sender
//!    └─head──► BlockRequest ──► Pricing ─────────┘                             │ reports
//!                                                                              ▼
//!              Background (races, reverts) ───────────────────────► Ledger, ViewPublisher ──► View
//! ```
//!
//! # From a head to a transaction, and back
//!
//! 1. `block_request::BlockRequest` asks everything that is read in every block as soon as its head is received, in one
//!    request, while [`Stream::next`](crate::stream::Stream::next) fetches the block's logs: prices and totals of the
//!    markets, values of tokens, the keeper's balances, positions to audit, the data fee, and trials of the liquidations
//!    that a small fall of the price would make possible. So there is one round trip from a head to a transaction for loans
//!    near the line, and for others a second one, which tries the transactions that could be sent. Where trials are among
//!    them, `warm_up::WarmUp` wakes the journal's disk meanwhile.
//! 2. [`Follower::process`] applies the block to the [`Book`](crate::book::Book), or reverts or resets it, and records
//!    the changed rows in the checkpoint.
//! 3. `Engine::on_block` waits for the answers (`pricing::Pricing::price_block`). The sender is told of the block before that
//!    wait where nothing is in flight (`submissions::Submissions::on_head`), else after it, with what is obsolete as of the
//!    block (`submissions::Submissions::on_block`). Then the back-off ends of loans whose race was lost
//!    (`submissions::Submissions::clear_backoff_after_lost_race`).
//! 4. `Engine::decide` decides about liquidations (`strategies::Strategies::liquidations`). Like every decision it skips what
//!    `exclusion::Exclusion::skip_reason` names: subjects of intents in flight, and those in back-off.
//!    What can be liquidated on other protocols comes from tasks of their own (`protocols::Protocols`) and is decided by
//!    `Engine::on_protocol_update`, as soon as each protocol's answers are there.
//! 5. `submissions::Submissions::submit` hands each intent to
//!    [`SenderHandle::submit`](crate::sender::SenderHandle::submit), which returns at once. The signer's own task signs,
//!    journals and broadcasts.
//! 6. `Engine::run_upkeep` follows when other protocols are decided, too. It decides about `orders`, and about `rebalances` and
//!    `harvests` only where nothing else is sent. `book_audit::BookAudit` compares the book with the totals and positions among
//!    the answers. A book that keeps differing is rebuilt. Then `pricing::Pricing::plan` plans the request of the next block.
//! 7. `Engine::refresh_view` hands one `view::BlockSnapshot` to `view::ViewPublisher::refresh`: at once where nothing was
//!    submitted, else a moment later, so that signing and broadcasting have the cores to themselves.
//! 8. `Engine::on_sender_event` takes the sender's reports: into the metrics and the list of reverted liquidations
//!    (`submissions::Submissions::on_report`) and into the ledger (`view::Ledger::record_report`). A report that a
//!    transaction was mined comes with its events: what it did (`safety::Execution`) is shown, and what it earned and cost
//!    is already in the gate's ledger (`safety::ResultsLedger`). Then `Engine::resume_partial` decides once more on the same
//!    block where loans were skipped because of it.
//!
//! # Ownership
//!
//! The engine's task owns every part and does one thing after another, so no part needs a lock. Whatever is awaited
//! while a block is decided on is on the path to the transaction; everything else goes to `background::Background`. The
//! futures that `Engine::run` waits for may be dropped at any point; its handlers run to their end.

mod alone;
mod background;
mod block_request;
mod book_audit;
mod chain_events;
mod confirmation;
mod division;
mod exclusion;
mod executor_listing;
mod failover;
mod follower;
mod job_terms;
mod l1_data_fee;
mod log;
mod low_priority;
mod obsolete;
mod operator;
mod pricing;
mod protocol_follower;
mod protocols;
mod publishers;
mod races;
mod results;
mod route_pools;
mod second_opinion;
mod start;
mod strategies;
mod submissions;
mod sweep;
mod upkeep;
mod verifier;
mod wait_log;
mod warm_up;
mod wiring;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, future, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use eyre::eyre;
use plimsoll_contracts::MarketId;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    task,
    time::{self, Instant, MissedTickBehavior},
};
use tracing::{info, instrument, warn};

pub use self::{
    alone::run_alone,
    failover::FailoverReader,
    follower::{FollowError, Follower, FollowerEvent, RestoredBook},
    start::{Mode, run},
};
use self::{
    background::{Background, BackgroundResult},
    book_audit::BookAudit,
    chain_events::ReportedEvents,
    log::DryRunLog,
    operator::Pauses,
    pricing::{PricedBlock, Pricing},
    protocols::Protocols,
    publishers::Publishers,
    results::ResultsRecorder,
    strategies::Strategies,
    submissions::{RaceEnd, Submissions},
    upkeep::{Decided, Upkeep},
    verifier::Verifier,
};
pub(crate) use self::{
    confirmation::confirm_deployment,
    executor_listing::ExecutorListing,
    follower::covers,
    protocol_follower::{PRUNED, ProtocolError, ProtocolFollower, identified},
    start::identity,
};
use crate::{
    book::MarketBook,
    chain::Header,
    config::Config,
    control::{PendingRequest, Requests},
    intent::{Intent, Outcome, Priority, Purpose, Receipt, Report, SafetyRefusal, Scope},
    record::{self, Stage},
    safety::Execution,
    sender::{self, SenderTasks},
    shutdown::Shutdown,
    strategies::{
        BlockContext, Decision, Decisions, SkipReason, Verdict,
        bids::{RaceAlert, RaceResult},
        gas::Costs,
        liquidate::{self, LoanId},
    },
    stream::{BlockEvents, Step},
    telemetry::{AlertKind, AlertSender, Notice},
    view::{BlockSnapshot, Ledger, OperationsSnapshot, ViewPublisher, labelled, moved},
};

/// How often the state of the endpoints is published while there is no block.
const ENDPOINT_REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The parts of a keeper, owned by one task.
#[derive(Debug)]
struct Engine {
    config: Arc<Config>,
    /// Book, stream and checkpoint.
    follower: Follower,
    /// Prices, values and gas.
    pricing: Pricing,
    /// Liquidations, rebalances and harvests.
    strategies: Strategies,
    /// The other protocols.
    protocols: Protocols,
    /// The sender, and the intents that it was handed.
    submissions: Submissions,
    publishers: Publishers,
    verifier: Verifier,
    /// Comparison of the book with the chain.
    audit: BookAudit,
    /// Work that no decision waits for.
    background: Background,
    /// Writes what transactions earned and cost to the store.
    results: ResultsRecorder,
    /// Outcomes of intents, and sums of what they earned and cost.
    ledger: Ledger,
    /// The view that API, dashboard, metrics and alerts read.
    view: ViewPublisher,
    alerts: AlertSender,
    /// What the operator has paused.
    pauses: Pauses,
    /// What a dry run has logged.
    dry_run: DryRunLog,
    /// Events of the chain that the operator was told of.
    reported: ReportedEvents,
    /// The newest block that was decided on; `None` while the book is not at the head.
    latest: Option<PricedBlock>,
    /// Work on that block that is still to be done.
    upkeep: Option<Upkeep>,
}

impl Engine {
    /// Runs until shutdown is requested. Fails where the chain cannot be followed, or a task of the sender has ended. In
    /// every case the sender is shut down and the checkpoint flushed first.
    async fn run(
        mut self,
        mut sender_events: UnboundedReceiver<sender::SenderEvent>,
        mut sender_tasks: SenderTasks,
        mut requests: Option<Requests>,
        shutdown: &Shutdown,
    ) -> eyre::Result<()> {
        let mut tick = time::interval(ENDPOINT_REFRESH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let result = loop {
            let due = self.upkeep.as_ref().map(|upkeep| upkeep.due(&self.protocols));
            tokio::select! {
                biased;
                () = shutdown.requested() => break Ok(()),
                Some(event) = sender_events.recv() => self.on_sender_event(event).await,
                () = self.view.deferral_over() => self.refresh_view(),
                step = self.follower.next_step() => {
                    if self.upkeep.is_some() {
                        // It comes before the next block. The stream has the same step afterwards.
                        self.run_upkeep().await;
                    } else if let Err(error) = self.on_step(step).await {
                        break Err(error.into());
                    }
                }
                update = self.protocols.next() => self.on_protocol_update(update).await,
                () = upkeep::until(due) => self.run_upkeep().await,
                Some(result) = self.background.next() => {
                    if let Some(result) = result {
                        self.on_background_result(result);
                    }
                }
                Some(request) = next_request(&mut requests) => self.on_control(request).await,
                () = sender_tasks.ended() => {
                    break Err(eyre!("a task of the sender has ended, so nothing can be sent any more: start again"));
                }
                _ = tick.tick() => {
                    self.view.show_fleet(self.submissions.fleet());
                    self.view.refresh_endpoints(&self.follower.stream().health());
                }
            }
        };
        info!("shutting down");
        sender_tasks.shut_down().await;
        self.background.finish().await;
        self.results.finish().await;
        self.follower.flush().await;
        result
    }

    /// Carries out a step of the stream. Fails where the chain cannot be followed.
    async fn on_step(&mut self, step: Step) -> Result<(), FollowError> {
        match self.follower.process(step).await? {
            FollowerEvent::Applied(block) => self.on_block(&block).await,
            FollowerEvent::Reverted { to } => {
                self.strategies.unblock();
                self.submissions.on_revert(to.number);
                self.revert_chain_events(to.number);
                info!(block = to.number, "blocks reverted");
            }
            FollowerEvent::Reset => self.on_reset(),
            FollowerEvent::Rejected => {}
            FollowerEvent::Quarantined { id, reason } => {
                self.strategies.unblock();
                self.audit.on_quarantined(MarketId(id), &self.config.deployed.name_of(id), &reason);
            }
        }
        Ok(())
    }

    /// Decides about the liquidations of a block that was applied, if it is the newest. The rest is [upkeep].
    #[instrument(name = "block", skip_all, fields(block = block.number))]
    async fn on_block(&mut self, block: &BlockEvents) {
        self.strategies.unblock();
        self.record_chain_events(block);
        let Some(header) = block.tip else {
            let progress = self.follower.stream().backfill_progress().filter(|progress| block.number < progress.target);
            let text = progress.map_or_else(|| format!("block {}", block.number), |progress| progress.to_string());
            self.view.show_progress(format!("reading events: {text}"));
            return;
        };
        let applied_at = Instant::now();
        // So the signers are done with the block when something is decided on it. One that may be refuted is not announced yet.
        let is_sender_told = !block.unconfirmed && self.submissions.on_head(&header);
        let timer = record::stage(Stage::Prices);
        let (block, head_at) = self.pricing.price_block(&self.config, self.follower.book(), header).await;
        drop(timer);
        let differences = BookAudit::compare_totals(self.follower.book(), &block);
        if let Some([difference, ..]) = differences.as_deref()
            && let Some(event) = self.follower.refute(header.number, difference.to_string()).await
        {
            self.revert_chain_events(header.number.saturating_sub(1));
            if event == FollowerEvent::Reset {
                self.on_reset();
            }
            return;
        }
        if self.latest.is_none() {
            let book = self.follower.book();
            let loans: usize = book.markets().map(MarketBook::loans).sum();
            info!(markets = book.markets().count(), loans, is_live = self.view.is_live(), "book is at the head");
        }
        if !is_sender_told {
            self.submissions.on_block(self.follower.book(), &block);
        }
        self.on_lost_races(&block);
        let head_at = head_at.unwrap_or(applied_at);
        let decided = self.decide(&block, head_at).await;
        self.latest = Some(block.clone());
        self.upkeep = Some(Upkeep { block, decided, head_at, differences, decided_at: Instant::now() });
    }

    /// Shows that there is no book to decide on.
    fn on_reset(&mut self) {
        (self.latest, self.upkeep) = (None, None);
        self.strategies.unblock();
        self.audit.on_reset();
        self.view.reset();
    }

    /// Decides about every liquidatable loan, and submits what pays. `head_at` is when the decision became possible.
    async fn decide(&mut self, block: &PricedBlock, head_at: Instant) -> Decided {
        let _timer = record::stage(Stage::Decide);
        let PricedBlock { header, prices } = block;
        let context = self.pricing.context(&self.config, header, prices).await;
        let BlockContext { costs, room, .. } = context;
        let context = BlockContext { room: self.affordable_room(Priority::High, costs, room), ..context };
        let exclusion = self.submissions.exclusion(header.number, &self.pauses.active);
        let Pricing { reader, valuer, .. } = &mut self.pricing;
        let round = self.strategies.liquidations(reader, valuer, self.follower.book(), context, &exclusion).await;
        let Decisions { intents, verdicts, dust } = round;
        self.view.record_dust(dust);
        let sends_nothing = intents.is_empty();
        let busy = intents.iter().map(|intent| intent.scope.market).collect();
        for intent in intents {
            self.submit(intent, header, head_at, costs.gas_price);
        }
        if !sends_nothing {
            // The signer's task runs before the rest of this step, also where no other thread is idle.
            task::yield_now().await;
        }
        let is_outbid =
            |verdict: &&Verdict<LoanId>| matches!(verdict.decision, Decision::Skip(SkipReason::Outbid { .. }));
        let passed_over: BTreeSet<_> =
            verdicts.iter().filter(is_outbid).map(|verdict| verdict.target.market.0).collect();
        for market in passed_over {
            self.strategies.bids_mut().pass_over(&Scope::new(liquidate::NAME, market));
        }
        for verdict in verdicts {
            if verdict.decision == Decision::Skip(SkipReason::LostRace) {
                let subject = verdict.target.subject();
                self.submissions.clear_backoff(subject);
            }
            self.view.record_position_decision(
                verdict.target.market,
                verdict.target.account,
                header.number,
                verdict.decision,
            );
        }
        Decided { costs, room, busy, sends_nothing }
    }

    /// Returns the gas room of a transaction that the signer of this priority can pay for.
    fn affordable_room(&self, priority: Priority, costs: Costs, room: u64) -> u64 {
        self.submissions.balance(priority).map_or(room, |balance| room.min(costs.affordable_gas(balance)))
    }

    fn submit(&mut self, intent: Intent, header: &Header, head_at: Instant, gas_price: u128) {
        self.view.defer();
        self.submissions.submit(intent, header, head_at, gas_price);
    }

    /// Decides once more on the newest block, where loans were skipped because of an intent that was in flight: a loan
    /// of which a part was liquidated goes on in the very next block.
    async fn resume_partial(&mut self) {
        let Some(block) = self.latest.clone().filter(|_| self.strategies.blocked_by_in_flight()) else { return };
        let head_at = Instant::now();
        let decided = self.decide(&block, head_at).await;
        self.decide_rest(&block, decided, head_at).await;
        self.refresh_view_unless_deferred();
    }

    /// Takes what the sender tells.
    async fn on_sender_event(&mut self, event: sender::SenderEvent) {
        let is_mined = event.is_mined();
        match event {
            sender::SenderEvent::Alert(alert) => {
                let kind = match alert {
                    sender::SenderAlert::LeaseLost { .. } => AlertKind::LeaseLost,
                    sender::SenderAlert::LeaseTaken { .. } => AlertKind::LeaseTaken,
                    _ => AlertKind::SignerProblem,
                };
                let (subject, text) = ("sender".to_owned(), alert.to_string());
                self.alerts.send(Notice { kind, subject, resolved: false, text });
            }
            sender::SenderEvent::LeaseAcquired => self.on_lease_acquired().await,
            sender::SenderEvent::Report(report) => self.on_report(&report),
        }
        if !self.view.is_deferred() {
            self.refresh_operations();
        }
        if is_mined {
            self.resume_partial().await;
        }
    }

    /// Records what became of an intent.
    #[instrument(name = "report", skip_all, fields(intent = report.id))]
    fn on_report(&mut self, report: &Report) {
        if self.results.is_known(report) {
            return self.show_known(report);
        }
        match self.submissions.on_report(report, self.latest.as_ref().map(|block| &block.header)) {
            Some(RaceEnd::Won(result)) => self.on_race(&report.intent.scope, result),
            Some(RaceEnd::PerhapsLost(race)) => self.background.find_winner(*race, wiring::contracts(&self.config)),
            None => {}
        }
        self.view.record_report(report);
        if let Outcome::Refused(refusal) = &report.outcome {
            self.on_refused(report, refusal);
        }
        if let (Outcome::Reverted(receipt), Some(block)) = (&report.outcome, self.latest.clone()) {
            self.on_lost_races(&block);
            self.explain_revert(report, receipt, &block.header);
        }
        let now = self.latest.as_ref().map_or(0, |block| block.header.timestamp);
        self.ledger.record_report(&self.config, report, now);
        if matches!(report.outcome, Outcome::Sent { .. } | Outcome::Refused(_) | Outcome::Dropped(_)) {
            return;
        }
        self.ledger.set_results(self.submissions.results());
        if let Outcome::Mined(receipt) = &report.outcome {
            self.record_execution(report, receipt.inclusion.hash, true);
        }
        self.results.on_report(&self.config, &self.ledger, report);
    }

    /// Continues with the results of the keeper that had the signers before.
    async fn on_lease_acquired(&mut self) {
        if let Err(problem) = self.results.learn().await {
            warn!(%problem, "results of the signers' last holder not read: those that are not final are logged again");
        }
        self.ledger.set_results(self.submissions.results());
    }

    /// Shows a transaction whose result is known: it was logged and measured before a restart, or by the keeper that had the
    /// signers before.
    fn show_known(&mut self, report: &Report) {
        self.view.record_report(report);
        let now = self.latest.as_ref().map_or(0, |block| block.header.timestamp);
        self.ledger.record_report(&self.config, report, now);
        self.ledger.set_results(self.submissions.results());
        if let Outcome::Mined(receipt) = &report.outcome {
            self.record_execution(report, receipt.inclusion.hash, false);
        }
    }

    /// Ends the back-off of loans whose race was lost by a block, and finds out who won.
    fn on_lost_races(&mut self, block: &PricedBlock) {
        for race in self.submissions.clear_backoff_after_lost_race(self.follower.book(), block) {
            self.background.find_winner(race, wiring::contracts(&self.config));
        }
    }

    /// Has the background find out whether a transaction reverted because the market had moved.
    fn explain_revert(&mut self, report: &Report, receipt: &Receipt, newest: &Header) {
        let parent = match receipt.inclusion.block.checked_sub(newest.number) {
            Some(0) => newest.parent_hash,
            Some(1) => newest.hash,
            // Too long ago: the call would be tried in another state than the one that it was decided on.
            _ => return,
        };
        let reader = self.pricing.harvest_reader.with_account(report.signer);
        self.background.explain_revert(report.intent.clone(), parent, reader);
    }

    /// Learns how a race ended that an intent of ours had entered.
    fn on_race(&mut self, scope: &Scope, result: RaceResult) {
        let bids = self.strategies.bids_mut();
        let alert = bids.record_result(scope, result);
        self.background.save_races(&bids.record());
        let market = || self.config.deployed.market_name(MarketId(scope.market));
        let (kind, text) = match alert {
            None => return,
            Some(RaceAlert::Copied) => (
                AlertKind::Copied,
                format!(
                    "in {} somebody wins by offering a little more than our pending transactions: send them by a private \
                     endpoint",
                    market()
                ),
            ),
            Some(RaceAlert::OrderFlow) => (
                AlertKind::OrderFlow,
                format!(
                    "in {} most races are won by transactions that offered less than ours: they reach the block by another \
                     way, which a higher bid does not buy",
                    market()
                ),
            ),
        };
        self.alerts.send(Notice { kind, subject: market(), resolved: false, text });
    }

    /// Shows what a mined transaction did, and logs it if that is news.
    fn record_execution(&mut self, report: &Report, hash: B256, is_news: bool) {
        let Self { config, ledger, .. } = self;
        let execution = Execution::of(&report.logs, &wiring::contracts(config), report.intent.profit.as_ref());
        let purpose = &report.intent.purpose;
        let market = purpose.market().and_then(|id| self.follower.book().market(id));
        let tokens = market.map(|market| [market.params().loanToken, market.params().collateralToken]);
        let moved = labelled(config, moved(&execution, tokens.map(|[loan, _]| loan)));
        let gain_wei = ledger.gain_of(hash);
        if is_news {
            log::executed(config, hash, purpose, (&execution, gain_wei), tokens);
        }
        ledger.record_execution(config, hash, execution.accounts, moved, gain_wei);
    }

    /// Records why safety kept a liquidation from being sent. A dry run is known to be one when it decides.
    fn on_refused(&mut self, report: &Report, refusal: &SafetyRefusal) {
        let block = self.latest.as_ref().map_or(0, |block| block.header.number);
        if *refusal == SafetyRefusal::DryRun {
            self.dry_run.record(&self.config, &report.intent, block);
            return;
        }
        let Purpose::Liquidate { market, borrowers } = &report.intent.purpose else { return };
        for borrower in borrowers {
            let decision = Decision::Skip(SkipReason::Held { rule: refusal.to_string() });
            self.view.record_position_decision(MarketId(*market), *borrower, block, decision);
        }
    }

    /// The contracts that the book is compared with: the core, and `Jobs`.
    fn audited_contracts(&self) -> (Address, Option<Address>) {
        (self.config.deployed.core, self.config.jobs.contracts.map(|contracts| contracts.jobs))
    }

    /// Plans what is asked with the block after `block`.
    async fn plan_next_request(&mut self, block: &PricedBlock) {
        let PricedBlock { header, prices } = block;
        let contracts = self.audited_contracts();
        let book = self.follower.book();
        let mut further = self.strategies.calls_ahead(book, &self.pricing.valuer);
        further.extend(self.audit.calls_ahead(contracts, book, header.number));
        let tokens = self.strategies.valued_tokens(book);
        let mut trials = Vec::new();
        if let Some(values) = self.pricing.known_values(header, &tokens).await {
            let context = self.pricing.context(&self.config, header, prices).await;
            let exclusion = self.submissions.exclusion_ahead(header.number, &self.pauses.active);
            trials = self.strategies.speculate(book, &values, context, &exclusion);
        }
        self.pricing.plan(&self.config, book, header, further, trials);
    }

    /// Records the result of a background task.
    fn on_background_result(&mut self, result: BackgroundResult) {
        match result {
            BackgroundResult::RaceLost { scope, result } => self.on_race(&scope, result),
            BackgroundResult::MarketMoved(subjects) => {
                subjects.into_iter().for_each(|subject| self.submissions.clear_backoff(subject));
            }
        }
    }

    /// Refreshes the view, unless it is deferred because an intent was submitted.
    fn refresh_view_unless_deferred(&mut self) {
        if !self.view.is_deferred() {
            self.refresh_view();
        }
    }

    /// Publishes the view of the newest block that was decided on, if there is one.
    fn refresh_view(&mut self) {
        self.view.end_deferral();
        let Some(PricedBlock { header, prices }) = &self.latest else { return };
        let Self { config, follower, submissions, audit, ledger, pauses, .. } = self;
        let operations = operations(config, header, follower, submissions, audit, ledger, pauses);
        self.view.refresh(&BlockSnapshot { header, book: follower.book(), prices, operations });
    }

    /// Publishes what changes without a block. Not before the first block, nor while the book is rebuilt.
    fn refresh_operations(&mut self) {
        let Some(PricedBlock { header, .. }) = &self.latest else { return };
        let Self { config, follower, submissions, audit, ledger, pauses, .. } = self;
        self.view.refresh_operations(&operations(config, header, follower, submissions, audit, ledger, pauses));
    }
}

/// State of everything that the view shows besides the book.
fn operations<'a>(
    config: &Config,
    header: &Header,
    follower: &Follower,
    submissions: &Submissions,
    audit: &'a BookAudit,
    ledger: &'a Ledger,
    pauses: &Pauses,
) -> OperationsSnapshot<'a> {
    OperationsSnapshot {
        timestamp: header.timestamp,
        ledger,
        audit: audit.status(),
        signers: submissions.signers(),
        safety: submissions.safety(&config.safety, header.timestamp),
        endpoints: follower.stream().health(),
        paused: pauses.names(config),
        held_markets: submissions.held_markets(header.number),
    }
}

/// Waits for the operator's next command; for ever where none can come.
async fn next_request(requests: &mut Option<Requests>) -> Option<PendingRequest> {
    match requests {
        Some(requests) => requests.recv().await,
        None => future::pending().await,
    }
}
