//! What a view contains after a block, and what the ledger's sums contain after reports.

use std::sync::Arc;

use alloy::primitives::{Address, B256, I256, U256};
use plimsoll_protocols::{ProtocolKind, known_deployments_on};
use serde_json::json;

use super::{fixture::*, *};
use crate::{
    amount::{Amount, Balance},
    chain::Header,
    intent::{Fees, Outcome, SafetyRefusal, Scope},
    prices::{NoPrice, Prices},
    safety::{Contracts, Execution, Realised, ResultsLedger},
    strategies::{Decision, LoanClass, SkipReason, harvest::StreamId},
};

const PROFIT: U256 = U256::from_limbs([5_000_000_000_000_000, 0, 0, 0]);

/// A publisher of views of a fixture, with everything that snapshots are made of.
struct Bench {
    fixture: Fixture,
    publisher: ViewPublisher,
    ledger: Ledger,
    audit: AuditView,
    safety: SafetySnapshot,
    signers: Vec<SignerSnapshot>,
}

impl Bench {
    /// Loans that owe these dollars; see [`Fixture::new`].
    fn new(debts: &[u128], is_live: bool) -> Self {
        Self::of(Fixture::new(debts), is_live)
    }

    fn of(fixture: Fixture, is_live: bool) -> Self {
        let publisher = ViewPublisher::new(Arc::clone(&fixture.config), Vec::new(), is_live);
        let (ledger, audit) = (Ledger::default(), AuditView::default());
        Self { fixture, publisher, ledger, audit, safety: SafetySnapshot::default(), signers: Vec::new() }
    }

    fn refresh(&mut self, dollars: u128) -> Arc<View> {
        let prices = self.fixture.prices(dollars);
        self.refresh_at(&prices)
    }

    fn refresh_at(&mut self, prices: &Prices) -> Arc<View> {
        let header = self.fixture.header();
        let operations = operations(&header, &self.ledger, &self.audit, &self.signers, self.safety.clone());
        self.publisher.refresh(&BlockSnapshot { header: &header, book: &self.fixture.book, prices, operations });
        self.published()
    }

    fn published(&self) -> Arc<View> {
        Arc::clone(&self.publisher.subscribe().borrow())
    }

    fn decide(&mut self, index: u64, decision: Decision) {
        self.publisher.record_position_decision(
            self.fixture.params.id(),
            borrower(index),
            self.fixture.block,
            decision,
        );
    }
}

fn operations<'a>(
    header: &Header,
    ledger: &'a Ledger,
    audit: &'a AuditView,
    signers: &[SignerSnapshot],
    safety: SafetySnapshot,
) -> OperationsSnapshot<'a> {
    let signers = signers.to_vec();
    let (endpoints, paused, held_markets) = (Vec::new(), Vec::new(), Vec::new());
    OperationsSnapshot { timestamp: header.timestamp, ledger, audit, signers, safety, endpoints, paused, held_markets }
}

fn act() -> Decision {
    Decision::Act { gain_wei: U256::from(ETHER / 50), gas_wei: U256::from(ETHER / 1_000) }
}

/// Reasons and numbers of positions.
fn counts(view: &View) -> Vec<(&str, u64)> {
    view.decisions.iter().map(|count| (count.reason.as_str(), count.positions)).collect()
}

#[test]
fn positions_at_risk_are_listed_by_health_with_the_last_decision_about_each() {
    // Liquidatable above 1,720 dollars of debt; watched below health 1.1, so above 1,563.
    let mut bench = Bench::new(&[1_600, 1_900, 1_800, 1_000], true);
    bench.decide(1, act());
    bench.decide(2, Decision::Skip(SkipReason::NoRoute));
    let view = bench.refresh(2_000);

    let listed: Vec<_> = view.at_risk.iter().map(|position| position.account).collect();
    assert_eq!(listed, [borrower(1), borrower(2), borrower(0)]);
    let reasons: Vec<_> = view.at_risk.iter().map(|row| row.view().decision.unwrap().reason).collect();
    assert_eq!(reasons, ["act", "no_route", "healthy"]);
    assert_eq!(counts(&view), [("act", 1), ("healthy", 1), ("no_route", 1)]);
    assert_eq!((view.liquidatable(), view.watched()), (2, 3));
    let first = view.at_risk[0].view();
    assert_eq!((first.market_name.as_str(), &first.debt), ("weth-usdc", &Amount::new(1_900 * DOLLAR, 6, "USDC")));
    assert!(first.distance_bps < 0 && view.at_risk[2].view().distance_bps > 0);
    assert_eq!(first.decision.as_ref().unwrap().block, 1);
}

#[test]
fn dust_is_counted_and_not_listed() {
    let mut bench = Bench::new(&[1_900, 1_800], true);
    let (market, reason) = (bench.fixture.params.id(), SkipReason::Dust { least_debt: U256::from(1_000) });
    bench.publisher.record_dust(vec![LoanClass { market, reason, least_shares: u128::MAX, loans: 10_000 }]);
    let view = bench.refresh(2_000);
    assert_eq!((view.liquidatable(), view.at_risk.len()), (10_000, 0));
    assert_eq!(counts(&view), [("dust", 10_000)]);
}

#[test]
fn a_market_shows_its_totals_and_why_nothing_can_be_liquidated_in_it() {
    let mut fixture = Fixture::new(&[1_900]);
    let id = fixture.params.id();
    fixture.config_mut().liquidate.markets.get_mut(&id).unwrap().route = None;
    let mut bench = Bench::of(fixture, true);
    let view = bench.refresh(2_000);
    let [market] = &view.markets[..] else { panic!("{:?}", view.markets) };
    assert_eq!((market.name.as_str(), market.loans, market.liquidatable), ("weth-usdc", 1, 1));
    assert_eq!((market.supplied.units, market.borrowed.units), (dollars(1_000_000_000), dollars(1_900)));
    assert_eq!(market.price.unwrap().exact().unwrap(), "2000");
    assert_eq!(market.liquidation_problem.as_deref(), Some("no route to swap the collateral is configured"));
    assert_eq!(market.bad_debt.units, dollars(0));
    // The collateral is worth half of what is owed.
    let view = bench.refresh(950);
    assert_eq!(view.markets[0].bad_debt.units, U256::from(view.at_risk[0].debt) - dollars(950));

    let view = bench.refresh_at(&[(id, Err(NoPrice::Zero))].into_iter().collect());
    assert_eq!((view.markets[0].price, &view.markets[0].price_problem), (None, &Some(NoPrice::Zero.to_string())));
    assert!(view.at_risk.is_empty());
}

fn dollars(number: u128) -> U256 {
    U256::from(number * DOLLAR)
}

#[test]
fn a_decision_is_forgotten_once_the_position_is_healthy_but_not_while_there_is_no_price() {
    let mut bench = Bench::new(&[1_800], true);
    bench.decide(0, Decision::Skip(SkipReason::NoRoute));
    let no_price = [(bench.fixture.params.id(), Err(NoPrice::NoAnswer))].into_iter().collect();
    bench.refresh_at(&no_price);
    assert_eq!(counts(&bench.refresh(2_000)), [("no_route", 1)]);
    assert_eq!(counts(&bench.refresh(2_200)), [("healthy", 1)]);
    // Liquidatable once more, and nothing was decided yet.
    assert_eq!(counts(&bench.refresh(2_000)), [("none", 1)]);
}

#[test]
fn a_dry_run_shows_what_would_be_sent_and_does_not_claim_that_it_is() {
    let mut bench = Bench::new(&[1_800], false);
    bench.decide(0, act());
    let view = bench.refresh(2_000);
    assert_eq!(counts(&view), [("dry_run", 1)]);
    assert!(!view.at_risk[0].reason().0);
}

#[test]
fn watched_accounts_are_shown_where_they_have_debt() {
    let view = Bench::new(&[1_000], true).refresh(2_000);
    let [watched] = &view.watched_accounts[..] else { panic!("{:?}", view.watched_accounts) };
    assert_eq!((watched.account, watched.market_name.as_str()), (borrower(0), "weth-usdc"));
    assert_eq!(watched.below.exact().unwrap(), "1.5");
    // 2,000 × 86 % ÷ 1,000, less the share price's rounding.
    assert!(watched.health.0 <= U256::from(ETHER / 100 * 172) && watched.health.0 > U256::from(ETHER / 100 * 171));
}

#[test]
fn what_stops_everything_is_shown_before_what_stops_one_market_which_is_named() {
    let mut fixture = Fixture::new(&[]);
    let pool = known_deployments_on(ProtocolKind::AaveV3, 1).next().unwrap().clone();
    let (protocol, contract) = (pool.address.into_word(), Address::repeat_byte(7));
    fixture.config_mut().protocols.deployments = vec![pool];
    let mut bench = Bench::of(fixture, true);
    let id = bench.fixture.params.id();
    let mut stopped = |safety: SafetySnapshot| {
        bench.safety = safety;
        bench.refresh(2_000).safety.stopped.clone().unwrap_or_default()
    };
    let scope = |strategy| Scope::new(strategy, id.0);
    let open = SafetySnapshot {
        open_breakers: vec![(scope("liquidate"), 30)],
        capped_scopes: vec![scope("guard")],
        ..SafetySnapshot::default()
    };
    let lost = SafetySnapshot { lost_wei: U256::from(20 * ETHER), ..open.clone() };
    assert_eq!(stopped(SafetySnapshot::default()), "");
    assert_eq!(
        stopped(open),
        "for liquidate in weth-usdc, whose circuit breaker is open for 30 s more; for guard in weth-usdc, whose loss of \
         today (UTC) has reached its cap; everything else goes on"
    );
    let elsewhere = [Scope::new("seize", protocol), Scope::new("jobs", contract.into_word())];
    let elsewhere = stopped(SafetySnapshot { capped_scopes: elsewhere.to_vec(), ..SafetySnapshot::default() });
    assert!(elsewhere.contains("for seize in aave-v3,") && elsewhere.contains(&format!("for jobs in {contract},")));
    assert!(stopped(lost.clone()).starts_with("20 ETH were lost today"));
    assert!(stopped(SafetySnapshot { is_killed: true, ..lost }).contains("kill file"));
}

#[test]
fn a_signer_has_a_problem_when_its_journal_failed_or_its_balance_is_low() {
    let mut bench = Bench::new(&[], true);
    let good = SignerSnapshot {
        role: "liquidations".to_owned(),
        address: Address::repeat_byte(1),
        balance: Some(U256::from(ETHER)),
        next_nonce: 3,
        pending: 2,
        has_failed: false,
    };
    let low = SignerSnapshot { balance: Some(U256::from(1)), ..good.clone() };
    let failed = SignerSnapshot { has_failed: true, ..good.clone() };
    bench.signers = vec![good.clone(), SignerSnapshot { balance: None, ..good }, low, failed];
    let view = bench.refresh(2_000);
    let problems: Vec<_> = view.signers.iter().map(|signer| signer.problem.is_some()).collect();
    assert_eq!(problems, [false, false, true, true]);
    assert_eq!((view.signers[0].nonce, view.signers[0].pending), (Some(3), 2));
    assert_eq!(view.signers.iter().map(|signer| signer.low).collect::<Vec<_>>(), [false, false, true, false]);
}

#[test]
fn a_pause_and_a_balance_that_is_low_but_enough_need_attention() {
    let mut bench = Bench::new(&[], true);
    let minimum = bench.fixture.config.safety.min_balance;
    bench.signers = vec![SignerSnapshot {
        role: "liquidations".to_owned(),
        address: Address::repeat_byte(1),
        balance: Some(minimum),
        next_nonce: 0,
        pending: 0,
        has_failed: false,
    }];
    let view = bench.refresh(2_000);
    let [low] = &view.problems()[..] else { panic!("{:?}", view.problems()) };
    assert!(low.level == ProblemLevel::Warning && low.text.contains(" ETH left: send ETH to it"), "{low:?}");
    let mut view = (*view).clone();
    view.safety.paused = vec!["everything".to_owned()];
    assert!(view.problems().iter().any(|problem| problem.text.starts_with("Paused by the operator: everything.")));
}

#[test]
fn a_rebuilt_book_takes_the_head_off_the_view_and_leaves_the_keeper_unready() {
    let mut bench = Bench::new(&[], true);
    assert!(bench.refresh(2_000).readiness().ready);
    bench.publisher.reset();
    let view = bench.published();
    assert!(view.head.is_none());
    assert_eq!(view.readiness().reason, view.progress);
    assert!(bench.refresh(2_000).progress.is_none());
}

#[test]
fn loans_that_stay_liquidatable_are_counted_from_the_block_in_which_they_became_so() {
    let mut bench = Bench::new(&[1_800, 1_900, 1_000], true);
    let longest = |view: &View| view.markets[0].liquidatable_blocks;
    assert_eq!(longest(&bench.refresh(2_100)), 0);
    bench.decide(0, Decision::Skip(SkipReason::NoRoute));
    for _ in 0..3 {
        bench.fixture.apply(Vec::new());
        bench.refresh(2_100);
    }
    // The first becomes liquidatable now, the second three blocks ago.
    let view = bench.refresh(2_000);
    assert_eq!(longest(&view), 3);
    let [stuck] = &view.stuck_loans(3)[..] else { panic!("{:?}", view.stuck_loans(3)) };
    assert_eq!((stuck.market, stuck.loans, stuck.since, stuck.reason), ("weth-usdc", 1, 1, "none"));
    let all = view.stuck_loans(0);
    assert_eq!((all[0].loans, all[0].since), (2, 1));
    assert!(view.stuck_loans(4).is_empty());

    // A market without a price keeps what is known; a price at which all are healthy ends it.
    let no_price = [(bench.fixture.params.id(), Err(NoPrice::NoAnswer))].into_iter().collect();
    assert_eq!(longest(&bench.refresh_at(&no_price)), 3);
    assert_eq!(longest(&bench.refresh(3_000)), 0);
    assert_eq!(longest(&bench.refresh(2_000)), 0);
}

#[test]
fn decisions_about_an_account_are_kept_over_time_with_amounts_in_tokens() {
    let mut bench = Bench::new(&[1_800], true);
    bench.decide(0, Decision::Skip(SkipReason::OthersFirst { repaid: dollars(87_568) }));
    bench.fixture.apply(Vec::new());
    bench.decide(0, act());
    let view = bench.refresh(2_000);
    let account = view.account(&borrower(0).to_string()).unwrap();
    let [history] = &account.history[..] else { panic!("{account:?}") };
    let reasons: Vec<_> = history.decisions.iter().map(|past| (past.reason, past.since_block)).collect();
    assert_eq!(reasons, [("act", 2), ("others_first", 1)]);
    assert!(history.decisions[1].text.ends_with("with a repayment of 87,568 USDC"), "{history:?}");
    assert!(view.account(&borrower(7).to_string()).is_err());
}

fn sent(hash: u8) -> Outcome {
    let fees = serde_json::from_value(json!({ "max_fee_per_gas": 1, "max_priority_fee_per_gas": 1 })).unwrap();
    Outcome::Sent { nonce: 0, hash: B256::repeat_byte(hash), fees }
}

/// What the ledger's transaction with this number earned and cost.
fn realised(fixture: &Fixture, number: u8, gain_wei: U256) -> Realised {
    let report = fixture.report(number.into(), Outcome::Mined(receipt(number, 10, true)));
    Realised { liquidated: 2, gain_wei, ..Realised::of(&report, &Contracts::default(), NOW).unwrap() }
}

#[test]
fn a_transaction_that_is_mined_again_after_a_reorg_is_one_entry() {
    let fixture = Fixture::new(&[1_800]);
    let mut ledger = Ledger::default();
    let outcomes =
        [sent(1), Outcome::Mined(receipt(1, 10, true)), Outcome::Reorged, Outcome::Mined(receipt(1, 11, true))];
    for outcome in outcomes {
        ledger.record_report(&fixture.config, &fixture.report(1, outcome), NOW);
    }
    let [entry] = &ledger.timeline()[..] else { panic!("{:?}", ledger.timeline()) };
    assert_eq!((entry.state, entry.block), (ActivityState::Mined, Some(11)));
}

#[test]
fn the_page_shows_the_sums_of_the_ledger_that_safety_reads() {
    let fixture = Fixture::new(&[1_800]);
    let mut ledger = Ledger::default();
    let mut results = ResultsLedger::default();
    results.record(realised(&fixture, 1, PROFIT));
    results.record(Realised { has_reverted: true, liquidated: 0, ..realised(&fixture, 2, U256::ZERO) });
    ledger.record_report(&fixture.config, &fixture.report(1, Outcome::Mined(receipt(1, 10, true))), NOW);
    ledger.set_results(results);
    let hash = B256::repeat_byte(1);
    assert_eq!(ledger.gain_of(hash), PROFIT);
    ledger.record_execution(&fixture.config, hash, 2, None, PROFIT);

    let totals = ledger.totals("ETH", NOW);
    assert_eq!((totals.liquidated, totals.harvested), (2, 0));
    assert_eq!((totals.transactions, totals.reverted), (2, 1));
    assert_eq!((totals.profit.exact().as_str(), totals.gas.exact().as_str()), ("0.005", "0.004"));
    assert_eq!(totals.day.exact(), "0.001");
    let days: Vec<_> = ledger.days("ETH").into_iter().map(|day| (day.date, day.net.exact())).collect();
    assert_eq!(days, [("1970-01-12".to_owned(), "0.001".to_owned())]);
    assert_eq!(ledger.totals("ETH", NOW + 86_400).day, Balance { token: "ETH".into(), ..zero() });
    assert_eq!(ledger.timeline()[0].profit.as_ref().unwrap().exact(), "0.005");
}

#[test]
fn what_reverted_or_was_cancelled_shows_no_profit_and_a_pending_one_what_is_expected() {
    let fixture = Fixture::new(&[1_800]);
    let mut ledger = Ledger::default();
    let fees = Fees { max_fee_per_gas: 1, max_priority_fee_per_gas: 1 };
    for (id, outcome) in [
        (1, Outcome::Sent { nonce: 0, hash: B256::ZERO, fees }),
        (2, Outcome::Reverted(receipt(2, 10, false))),
        (3, Outcome::Cancelled(receipt(3, 10, true))),
    ] {
        ledger.record_report(&fixture.config, &fixture.report(id, outcome), NOW);
    }
    let shown: Vec<_> = ledger.timeline().iter().map(|entry| (entry.profit.is_some(), entry.is_done())).collect();
    assert_eq!(shown, [(false, false), (false, false), (true, false)]);
}

#[test]
fn what_a_transaction_did_in_a_block_that_was_reorged_away_is_shown_as_expected_no_more() {
    let fixture = Fixture::new(&[1_800]);
    let mut ledger = Ledger::default();
    let record = |ledger: &mut Ledger, outcome| {
        ledger.record_report(&fixture.config, &fixture.report(1, outcome), NOW);
    };
    record(&mut ledger, sent(1));
    let shown = |ledger: &Ledger| {
        let [entry] = &ledger.timeline()[..] else { panic!("{:?}", ledger.timeline()) };
        (entry.profit.clone(), entry.moved.clone(), entry.accounts, entry.block, entry.gas.clone())
    };
    let expected = shown(&ledger);
    record(&mut ledger, Outcome::Mined(receipt(1, 10, true)));
    let moved = Some(Amount::new(1_000 * DOLLAR, 6, "USDC"));
    ledger.record_execution(&fixture.config, B256::repeat_byte(1), 2, moved, PROFIT + PROFIT);
    assert_ne!(shown(&ledger), expected);
    record(&mut ledger, Outcome::Reorged);
    assert_eq!(shown(&ledger), expected);
    assert_eq!(ledger.timeline()[0].transaction, Some(B256::repeat_byte(1)));
}

fn zero() -> Balance {
    Balance { units: I256::ZERO, decimals: 18, token: String::new() }
}

#[test]
fn a_refusal_that_comes_with_every_block_is_shown_once_and_a_new_reason_separately() {
    let fixture = Fixture::new(&[1_800]);
    let mut ledger = Ledger::default();
    for id in 0..10 {
        let refusal = if id < 5 { SafetyRefusal::DryRun } else { SafetyRefusal::KillFile };
        ledger.record_report(&fixture.config, &fixture.report(id, Outcome::Refused(refusal)), NOW + id);
    }
    let timeline = ledger.timeline();
    let shown: Vec<_> = timeline.iter().map(|entry| (entry.state, entry.at)).collect();
    assert_eq!(shown, [(ActivityState::Dropped, NOW + 9), (ActivityState::Dry, NOW + 4)]);

    for id in 10..300 {
        ledger.record_report(&fixture.config, &fixture.report(id, sent(1)), NOW);
    }
    assert_eq!((ledger.timeline().len(), ledger.timeline()[0].id), (SHOWN_EVENTS, 299));
}

#[test]
fn what_was_repaid_or_claimed_is_labelled_with_its_token() {
    let fixture = Fixture::new(&[]);
    let liquidated =
        Execution { borrowers: vec![borrower(0)], repaid: U256::from(1_000 * DOLLAR), ..Execution::default() };
    let label = |amount| labelled(&fixture.config, amount);
    assert_eq!(label(moved(&liquidated, Some(USDC))), Some(Amount::new(1_000 * DOLLAR, 6, "USDC")));
    assert_eq!(moved(&liquidated, None), None);
    let claimed = Execution { claimed: Some((WETH, U256::from(ETHER))), ..Execution::default() };
    assert_eq!(label(moved(&claimed, None)), Some(Amount::new(ETHER, 18, "WETH")));
    assert_eq!(moved(&Execution::default(), Some(USDC)), None);
}

#[test]
fn of_the_decisions_about_a_reward_the_one_to_send_is_shown() {
    let fixture = Fixture::new(&[]);
    let stream = StreamId { pool: B256::repeat_byte(6), reward_token: WETH };
    let (in_flight, no_route, act) = (Decision::Skip(SkipReason::InFlight), Decision::Skip(SkipReason::NoRoute), act());
    let shown = |of_accounts: &[&Decision]| {
        let of_accounts = of_accounts.iter().map(|decision| (stream, *decision));
        let decisions = decisions::RewardDecisions::of(&fixture.config, of_accounts, 9);
        decisions.get(stream).map(|decision| decision.reason.clone())
    };
    assert_eq!(shown(&[&in_flight, &no_route]).as_deref(), Some("in_flight"));
    assert_eq!(shown(&[&in_flight, &act, &no_route]).as_deref(), Some("act"));
    assert_eq!(shown(&[]), None);
}
