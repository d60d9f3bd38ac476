//! What the engine decides again, leaves alone and remembers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_contracts::ILiquidator;
use tempfile::TempDir;
use tokio::sync::{mpsc, mpsc::UnboundedReceiver, watch};

use super::{
    background::load_races,
    block_request::BlockRequest,
    exclusion::Exclusion,
    protocols::Liquidatable,
    submissions::{RevertedRace, lost_races},
    *,
};
use crate::{
    audit::{Audited, Mismatch},
    config,
    control::Paused,
    intent::{DropReason, Fees, Subject},
    prices::{Answers, Call, CallResult, ChainReader, Prices, SimulatedCall, Source, Valuer},
    safety::{BackOff, FailureCause},
    sender::{SenderHandle, Signers, core::CoreSettings},
    store::{Identity, Notes, Records, Store},
    strategies::{
        bids::{RaceRecord, RaceResult},
        guard::Guard,
        harvest::Harvest,
        liquidate::Liquidate,
        rebalance::Rebalance,
    },
    stream::{Step, Stream},
    telemetry::alerts::AlertService,
    view::{
        View,
        fixture::{DOLLAR, ETHER, Fixture, LIQUIDATOR, NOW, USDC, borrower, receipt},
    },
};

/// Debt of a loan that is liquidatable at 2,000 dollars for an ether, in dollars.
const DEBT: u128 = 1_900;

/// An exchange at which the repayment of a whole loan brings nothing and that of a half most.
struct Exchange;

impl Exchange {
    fn answer(call: &Call) -> CallResult {
        assert_eq!(call.to, LIQUIDATOR);
        let wanted = ILiquidator::liquidateCall::abi_decode(&call.data).unwrap().liquidation;
        let whole = U256::from(DEBT * DOLLAR);
        let repaid = wanted.maxRepay.min(whole);
        let profit = repaid * (whole - repaid) / (whole * U256::from(20));
        let outcome = ILiquidator::Outcome { repaid, seized: U256::ZERO, profit };
        Ok(ILiquidator::liquidateCall::abi_encode_returns(&outcome).into())
    }
}

impl ChainReader for Exchange {
    async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let answer = |call: &Call| SimulatedCall { result: Self::answer(call), gas_used: 0 };
        Ok(sequences.iter().map(|calls| calls.iter().map(answer).collect()).collect())
    }
}

/// Records what the exchange is asked.
#[derive(Default)]
struct Recorder(Mutex<Vec<Call>>);

impl ChainReader for Recorder {
    async fn run(&self, block: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        self.0.lock().unwrap().extend(sequences.iter().flatten().cloned());
        Exchange.run(block, sequences).await
    }
}

/// Strategies with what a round of liquidations needs.
struct Bench {
    fixture: Fixture,
    strategies: Strategies,
}

impl Bench {
    /// So many liquidatable loans.
    fn new(loans: usize) -> Self {
        let fixture = Fixture::new(&vec![DEBT; loans]);
        let liquidate =
            Liquidate::new(wiring::liquidate(&fixture.config, Address::repeat_byte(0x55), &CoreSettings::default()));
        Self { fixture, strategies: Strategies::new(liquidate, None, None, None, (None, None, None), None) }
    }

    /// Decides at 2,000 dollars for an ether, while intents for these loans are in flight. Returns the borrowers in the
    /// intents, and those that are skipped with the reason.
    async fn liquidations(&mut self, in_flight: &[u64]) -> (Vec<Address>, Vec<(Address, &'static str)>) {
        let (header, prices) = (self.fixture.header(), self.fixture.prices(2_000));
        let costs = Costs { gas_price: 1_000_000_000, data_byte_price: 0, margin_bps: 0 };
        let context = BlockContext { header: &header, prices: &prices, costs, room: 13_500_000 };
        let mut valuer = Valuer::new([(USDC, Source::fixed(U256::from(ETHER / 2_000), 6).unwrap())].into());
        let in_flight = in_flight.iter().map(|index| (self.loan(*index), 1)).collect();
        let (paused, back_off) = (Paused::default(), BackOff::default());
        let exclusion = Exclusion { paused, in_flight, back_off, block: header.number, division: None };
        let book = &self.fixture.book;
        let round = self.strategies.liquidations(&Exchange, &mut valuer, book, context, &exclusion).await;
        let borrowers = |intent: &Intent| match &intent.purpose {
            Purpose::Liquidate { borrowers, .. } => borrowers.clone(),
            other => panic!("{other:?}"),
        };
        let sent = round.intents.iter().flat_map(borrowers).collect();
        let mut skipped = Vec::new();
        for verdict in &round.verdicts {
            if let Decision::Skip(reason) = &verdict.decision {
                skipped.push((verdict.target.account, reason.name()));
            }
        }
        (sent, skipped)
    }

    fn loan(&self, index: u64) -> Subject {
        Subject::Loan { market: self.fixture.id(), borrower: borrower(index) }
    }
}

#[tokio::test]
async fn a_loan_that_was_liquidated_in_part_goes_on_as_soon_as_the_part_is_mined() {
    // The first half is sent, so the loan takes more than one transaction.
    let mut bench = Bench::new(1);
    assert_eq!(bench.liquidations(&[]).await, (vec![borrower(0)], vec![]));
    assert!(!bench.strategies.blocked_by_in_flight());

    assert_eq!(bench.liquidations(&[0]).await, (vec![], vec![(borrower(0), "in_flight")]));
    assert!(bench.strategies.blocked_by_in_flight(), "it waits for the part that is in flight");

    assert_eq!(bench.liquidations(&[]).await.0, [borrower(0)]);
    assert!(!bench.strategies.blocked_by_in_flight());
}

#[tokio::test]
async fn loans_wait_for_the_next_block_where_another_was_sent_besides_those_in_flight() {
    let mut bench = Bench::new(2);
    let (sent, skipped) = bench.liquidations(&[0]).await;
    assert_eq!((sent, skipped), (vec![borrower(1)], vec![(borrower(0), "in_flight")]));
    assert!(!bench.strategies.blocked_by_in_flight(), "both would be sold at the same exchange");
}

#[tokio::test]
async fn a_changed_book_is_not_decided_on_by_the_last_prices() {
    let mut bench = Bench::new(1);
    bench.liquidations(&[0]).await;
    bench.strategies.unblock();
    assert!(!bench.strategies.blocked_by_in_flight());
}

#[test]
fn what_is_in_flight_or_in_back_off_is_skipped_and_nothing_else() {
    let fixture = Fixture::new(&[]);
    let loan = |index| Subject::Loan { market: fixture.id(), borrower: borrower(index) };
    let mut back_off = BackOff::default();
    for index in [0, 1] {
        back_off.record_failure(loan(index), FailureCause::Reverts, 10);
    }
    let in_flight = HashMap::from([(loan(1), 7), (loan(2), 8)]);
    let mut exclusion = Exclusion { paused: Paused::default(), in_flight, back_off, block: 11, division: None };

    let cause = "it failed 1 times in a row".to_owned();
    assert_eq!(exclusion.skip_reason(&loan(0)), Some(SkipReason::BackingOff { until_block: 12, cause }));
    assert_eq!(exclusion.skip_reason(&loan(1)), Some(SkipReason::InFlight));
    assert_eq!(exclusion.skip_reason(&loan(2)), Some(SkipReason::InFlight));
    assert_eq!(exclusion.skip_reason(&loan(3)), None);
    exclusion.block = 12;
    assert_eq!(exclusion.skip_reason(&loan(0)), None);
}

#[test]
fn a_lost_race_clears_the_back_off_of_a_loan_that_is_not_liquidatable_any_more() {
    let mut fixture = Fixture::new(&[1_900, 1_900]);
    let loan = |index| Subject::Loan { market: fixture.id(), borrower: borrower(index) };
    let loans = [loan(0), loan(1)];
    let mut back_off = BackOff::default();
    loans.iter().for_each(|loan| back_off.record_failure(*loan, FailureCause::Reverts, 2));
    let reverted = RevertedRace { block: 2, subjects: loans.to_vec(), race: None };
    let mut reverted = vec![reverted];

    // The block in which it reverted is not applied yet.
    assert_eq!(lost_races(&mut reverted, &Liquidatable::default(), &fixture.book, &priced(&fixture, 2_000)).0, []);
    assert_eq!(reverted.len(), 1);

    fixture.apply(vec![fixture.full_repayment(borrower(0))]);
    let block = priced(&fixture, 2_000);
    for lost in lost_races(&mut reverted, &Liquidatable::default(), &fixture.book, &block).0 {
        back_off.record_failure(lost, FailureCause::LostRace, 2);
    }
    let exclusion =
        Exclusion { paused: Paused::default(), in_flight: HashMap::new(), back_off, block: 3, division: None };
    assert_eq!(exclusion.skip_reason(&loans[0]), None, "another liquidator was faster");
    assert!(exclusion.skip_reason(&loans[1]).is_some(), "it reverts for another reason");
    assert!(reverted.is_empty());
}

#[test]
fn without_a_price_a_revert_is_not_taken_for_a_lost_race() {
    let fixture = Fixture::new(&[1_000]);
    let subjects = fixture.liquidation(&[borrower(0)]).subjects();
    let reverted = RevertedRace { block: 1, subjects, race: None };
    let block = PricedBlock { header: fixture.header(), prices: Arc::default() };
    assert_eq!(lost_races(&mut vec![reverted.clone()], &Liquidatable::default(), &fixture.book, &block).0, []);
    assert_eq!(
        lost_races(&mut vec![reverted], &Liquidatable::default(), &fixture.book, &priced(&fixture, 2_000)).0.len(),
        1
    );
}

fn priced(fixture: &Fixture, dollars: u128) -> PricedBlock {
    PricedBlock { header: fixture.header(), prices: Arc::new(fixture.prices(dollars)) }
}

/// An engine without endpoints, whose sender is in a dry run.
pub(super) struct Site {
    pub(super) fixture: Fixture,
    pub(super) engine: Engine,
    pub(super) notes: Notes,
    views: watch::Receiver<Arc<View>>,
    shutdown: Shutdown,
    events: UnboundedReceiver<sender::SenderEvent>,
    _tasks: SenderTasks,
    _folder: TempDir,
}

impl Site {
    pub(super) async fn new(debts: &[u128]) -> Self {
        let (fixture, folder) = (Fixture::new(debts), tempfile::tempdir().unwrap());
        let config = Arc::clone(&fixture.config);
        let (core, chain_id) = (config.deployed.core, config.deployed.chain_id);
        let identity = Identity { chain_id, genesis: B256::ZERO, core, rewards: config.deployed.rewards };
        let store = Store::open(folder.path(), &identity).unwrap();
        let records = Records::of_folder(&store);
        let Store { checkpoint, notes, .. } = store;
        let restored = RestoredBook::load(&checkpoint, &config.sources()).await.unwrap();
        let endpoints = Vec::<Arc<Endpoint>>::new();
        let stream = Stream::start(endpoints, config.sources(), restored.cursor(1), wiring::stream(&config));
        let reader = stream.reader();
        let failover = FailoverReader::new(reader.clone(), Address::ZERO);
        let block_request = BlockRequest::start(failover.clone(), stream.on_head(), None);
        let settings = wiring::sender(&config, Mode::DryRun);
        let nodes = sender::Nodes::new(Vec::new(), Vec::new(), Vec::new());
        let (sender, events, tasks): (SenderHandle, _, _) =
            Box::pin(sender::start(settings, Signers::default(), nodes, records.clone(), notes.clone())).await.unwrap();
        let view = ViewPublisher::new(Arc::clone(&config), Vec::new(), false);
        let (views, shutdown) = (view.subscribe(), Shutdown::new());
        let alerts = AlertService::start(config::Alerts::default(), config.chain.block_time, view.subscribe()).sender();
        let keeper = Address::ZERO;
        let engine = Engine {
            follower: Follower::new(stream, restored, checkpoint, 1),
            pricing: Pricing::new(&config, failover.clone(), failover, block_request),
            strategies: Strategies::new(
                Liquidate::new(wiring::liquidate(&config, keeper, &CoreSettings::default())),
                wiring::guard(&config, keeper, &CoreSettings::default()).map(Guard::new),
                wiring::harvest(&config, keeper).map(Harvest::new),
                wiring::rebalance(&config, keeper).map(Rebalance::new),
                (None, None, None),
                None,
            ),
            protocols: Protocols::start(&[], Vec::new(), keeper, Address::ZERO),
            submissions: Submissions::new(sender),
            publishers: Publishers::default(),
            verifier: Verifier::default(),
            audit: BookAudit::new(config.audit.clone()),
            background: Background::new(reader.clone(), notes.clone()),
            results: ResultsRecorder::start(records, reader).await.unwrap(),
            ledger: Ledger::default(),
            view,
            alerts,
            pauses: Pauses::load(notes.clone()).await.unwrap(),
            dry_run: DryRunLog::default(),
            reported: ReportedEvents::default(),
            latest: Some(priced(&fixture, 2_000)),
            upkeep: None,
            config,
        };
        Self { fixture, engine, notes, views, shutdown, events, _tasks: tasks, _folder: folder }
    }

    /// Applies the fixture's blocks to the engine's own book.
    async fn follow(&mut self) {
        for (number, events) in (1..).zip(self.fixture.applied.clone()) {
            let (hash, timestamp) = (self.fixture.header().hash, NOW);
            let block = BlockEvents { number, hash, timestamp, tip: None, events, unconfirmed: false };
            let applied = self.engine.follower.process(Step::Apply(Arc::new(block))).await.unwrap();
            assert!(matches!(applied, FollowerEvent::Applied(_)), "{applied:?}");
        }
    }

    /// Answers everything that a decision on a block asks, as the exchange would.
    async fn answer(&mut self, block: &PricedBlock) {
        let Engine { config, pricing, strategies, submissions, follower, pauses, .. } = &mut self.engine;
        let context = pricing.context(config, &block.header, &block.prices).await;
        let exclusion = submissions.exclusion(block.header.number, &pauses.active);
        let (recorder, valuer) = (Recorder::default(), &mut pricing.valuer);
        strategies.liquidations(&recorder, valuer, follower.book(), context, &exclusion).await;
        let calls = recorder.0.into_inner().unwrap();
        let answers = Answers::request(&Exchange, &block.header, &calls).await.unwrap();
        pricing.reader.set_answers(Arc::new(answers));
    }

    async fn report(&mut self, id: u64, outcome: Outcome) {
        let report = Box::new(self.fixture.report(id, outcome));
        self.engine.on_sender_event(sender::SenderEvent::Report(report)).await;
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }
}

#[tokio::test]
async fn a_mined_transaction_is_shown_once() {
    let mut site = Site::new(&[1_900]).await;
    site.report(1, Outcome::Mined(receipt(1, 1, true))).await;
    site.report(1, Outcome::Mined(receipt(1, 1, true))).await;
    assert_eq!(site.view().timeline.len(), 1);
    site.shutdown.request();
}

#[tokio::test]
async fn what_races_taught_survives_a_restart() {
    let mut site = Site::new(&[1_900]).await;
    site.report(1, Outcome::Mined(receipt(1, 1, true))).await;
    // It was not submitted by this engine: nothing is known of its bid.
    assert_eq!(load_races(&site.notes).await.unwrap(), RaceRecord::default());
    let scope = site.fixture.report(1, Outcome::Reorged).intent.scope;
    site.engine.on_race(&scope, RaceResult::Lost { theirs: 10, ours: 1, price: 300_000 });
    site.engine.background.finish().await;
    assert_eq!(load_races(&site.notes).await.unwrap(), site.engine.strategies.bids_mut().record());
    assert_ne!(load_races(&site.notes).await.unwrap(), RaceRecord::default());
}

#[tokio::test]
async fn reports_are_shown_after_the_view_that_waits_for_the_sender() {
    let mut site = Site::new(&[]).await;
    site.engine.view.defer();
    site.report(1, Outcome::Reverted(receipt(1, 1, false))).await;
    assert!(site.view().timeline.is_empty());
    site.engine.view.deferral_over().await;
    site.engine.refresh_view();
    assert_eq!(site.view().timeline.len(), 1);
    assert_eq!(site.view().head.as_ref().unwrap().number, site.fixture.block);
}

#[tokio::test]
async fn nothing_is_shown_of_a_block_while_the_book_is_rebuilt() {
    let mut site = Site::new(&[]).await;
    site.engine.refresh_view();
    assert!(site.view().head.is_some());
    site.engine.view.defer();
    site.engine.on_reset();
    assert!(site.engine.latest.is_none() && !site.engine.view.is_deferred());
    site.report(1, Outcome::Mined(receipt(1, 1, true))).await;
    assert!(site.view().head.is_none() && site.view().timeline.is_empty());
}

#[tokio::test]
async fn where_nothing_waits_for_a_mined_intent_it_is_not_decided_again() {
    let mut site = Site::new(&[]).await;
    site.engine.refresh_view();
    let before = site.view();
    site.engine.resume_partial().await;
    assert!(Arc::ptr_eq(&before, &site.view()), "no view was made");
}

#[tokio::test]
async fn a_market_differs_until_its_totals_agree_and_its_positions_until_the_book_is_reset() {
    let mut site = Site::new(&[]).await;
    let market = site.fixture.params.id();
    let difference =
        || Mismatch { block: 1, market, what: Audited::Totals, in_book: "1".to_owned(), on_chain: "2".to_owned() };
    let agreeing = PricedBlock { header: site.fixture.header(), prices: Arc::new(Prices::default()) };
    let audit = &mut site.engine.audit;
    audit.on_compared(1, 50, vec![difference(), difference()]);
    audit.on_compared(2, 50, vec![difference()]);
    assert_eq!(BookAudit::compare_totals(&site.fixture.book, &agreeing), None, "no totals were read");
    assert!(!audit.record_totals(Vec::new()));
    audit.on_compared(3, 50, Vec::new());
    let status = audit.status().clone();
    assert_eq!((status.compared, status.last_block, status.mismatches), (150, Some(3), 3));
    assert_eq!(status.last, Some(difference().to_string()));
    assert_eq!(status.differing, [(market, difference().to_string())].into());
    site.engine.on_reset();
    assert!(site.engine.audit.status().differing.is_empty());
}

#[tokio::test]
async fn a_refusal_of_safety_is_the_reason_that_is_shown_for_the_loan() {
    let mut site = Site::new(&[1_900]).await;
    let market = site.fixture.params.id();
    site.report(1, Outcome::Refused(SafetyRefusal::DryRun)).await;
    site.report(2, Outcome::Refused(SafetyRefusal::KillFile)).await;
    let Engine { view, ledger, audit, config, follower, submissions, pauses, latest, .. } = &mut site.engine;
    let PricedBlock { header, prices } = latest.clone().unwrap();
    let operations = operations(config, &header, follower, submissions, audit, ledger, pauses);
    view.refresh(&BlockSnapshot { header: &header, book: &site.fixture.book, prices: &prices, operations });
    let shown = site.view();
    let decision = shown.at_risk[0].decision.clone().unwrap();
    assert_eq!((shown.at_risk[0].market.id, decision.reason()), (market.0, (false, "held")));
    assert_eq!(shown.at_risk[0].view().decision.unwrap().text, SafetyRefusal::KillFile.to_string());
    assert_eq!((decision.block, header.timestamp), (site.fixture.block, NOW));
}

#[tokio::test]
async fn a_race_is_looked_into_whose_transaction_was_given_up_because_the_loans_are_gone() {
    let mut site = Site::new(&[1_900]).await;
    let header = site.fixture.header();
    let mut ends = |is_sent: bool| {
        let report = |id, outcome| site.fixture.report(id, outcome);
        let intent = report(0, Outcome::Reorged).intent;
        let id = site.engine.submissions.submit(intent, &header, Instant::now(), 1);
        let fees = Fees { max_fee_per_gas: 9, max_priority_fee_per_gas: 5 };
        if is_sent {
            let sent = Outcome::Sent { nonce: 0, hash: B256::ZERO, fees };
            assert!(site.engine.submissions.on_report(&report(id, sent), Some(&header)).is_none());
        }
        let given_up = report(id, Outcome::Dropped(DropReason::Obsolete));
        let newest = Header { number: header.number + 2, ..header };
        site.engine.submissions.on_report(&given_up, Some(&newest))
    };
    let Some(RaceEnd::PerhapsLost(race)) = ends(true) else { panic!("nobody looks for a rival") };
    assert_eq!(race.blocks, (header.number + 1, header.number + 2));
    assert!(ends(false).is_none(), "nobody was raced against");
}

/// On the test's only thread nothing else runs until the decision waits for something.
#[tokio::test]
async fn a_task_that_a_submission_wakes_runs_before_the_rest_of_the_decision() {
    let mut site = Site::new(&[DEBT]).await;
    site.follow().await;
    let block = priced(&site.fixture, 2_000);
    site.answer(&block).await;
    let (_, none) = mpsc::unbounded_channel();
    let mut events = std::mem::replace(&mut site.events, none);
    // In a dry run the submission itself is reported. This task waits for it as a signer's does for what it is to sign.
    let woken = tokio::spawn(async move { events.recv().await });
    task::yield_now().await;
    site.engine.decide(&block, Instant::now()).await;
    assert!(woken.is_finished(), "nothing was submitted, or the task still waits");
    let Some(sender::SenderEvent::Report(report)) = woken.await.unwrap() else { panic!("no report") };
    assert_eq!(report.outcome, Outcome::Refused(SafetyRefusal::DryRun));
}
