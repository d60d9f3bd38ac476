//! Decisions by trials that travelled with the block's own request, beside those of two rounds.

use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use futures_util::FutureExt;
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{
    ILiquidator,
    IPlimsoll::{self, IPlimsollEvents},
};
use proptest::prelude::*;

use super::fixture::*;
use crate::{
    book::Block,
    chain::{Event, Header},
    intent::{Intent, Purpose},
    prices::{Answers, BlockReader, Call, ChainReader, Prices, SimulatedCall, Valuer},
    strategies::{
        BlockContext, Decisions, SkipReason,
        liquidate::{
            Liquidate, LoanId, MarketSettings, batches::LoanBatch, market_snapshot::MarketSnapshot,
            speculation::most_seized,
        },
    },
};

/// A node that counts requests.
struct Counting<'a> {
    fixture: &'a Fixture,
    requests: AtomicUsize,
}

impl ChainReader for &Counting<'_> {
    async fn run(&self, block: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        self.requests.fetch_add(usize::from(!sequences.is_empty()), Ordering::Relaxed);
        self.fixture.run(block, sequences).await
    }
}

/// What happens between the block in which the trials are planned and the one in which they are made.
#[derive(Debug, Clone)]
struct Change {
    /// Price of the second block, in dollars.
    dollars: u128,
    /// Loan whose borrower adds an ether of collateral.
    strengthened: Option<u64>,
    /// Loan that is excluded from the decision, if not from the trials.
    excluded: Option<u64>,
}

/// Plans trials, makes the change, and decides. Returns the decisions with the trials and without, and how many requests
/// the first took besides the block's own.
fn decide_ahead(fixture: &mut Fixture, depth: u128, change: &Change) -> (Decisions<LoanId>, Decisions<LoanId>, usize) {
    let mut ahead = Liquidate::new(fixture.settings.clone());
    let mut valuer = Valuer::new(fixture.sources.clone());
    let tokens = ahead.valued_tokens(&fixture.book);
    let values = valuer.values(&*fixture, &fixture.header, &tokens).now_or_never().unwrap().unwrap();
    let prices = |fixture: &Fixture| -> Prices { [(fixture.params.id(), fixture.price.clone())].into_iter().collect() };
    let before = prices(fixture);
    let context = BlockContext { header: &fixture.header, prices: &before, costs: fixture.costs, room: fixture.room };
    let mut calls = ahead.speculate(&fixture.book, &values, context, &|_| None);
    calls.extend(ahead.calls_ahead(&fixture.book, &valuer));

    fixture.set_price(change.dollars, depth);
    if let Some(index) = change.strengthened {
        let (id, account) = (fixture.params.id().0, borrower(index));
        let event = IPlimsoll::SupplyCollateral { id, caller: account, onBehalf: account, assets: U256::from(ETHER) };
        let event = Event::Core(IPlimsollEvents::SupplyCollateral(event));
        fixture.book.apply(Block { number: 2, timestamp: NOW }, &[event]).unwrap();
    }
    let after = prices(fixture);
    let context = BlockContext { header: &fixture.header, prices: &after, costs: fixture.costs, room: fixture.room };
    let excluded = change.excluded.map(borrower);
    let exclusion = |loan: LoanId| (Some(loan.account) == excluded).then_some(SkipReason::InFlight);

    let node = Counting { fixture, requests: AtomicUsize::new(0) };
    let mut reader = BlockReader::new(&node);
    let answers = Answers::request(&&node, &fixture.header, &calls).now_or_never().unwrap().unwrap();
    reader.set_answers(answers.into());
    node.requests.store(0, Ordering::Relaxed);
    let with = ahead.decide(&reader, &mut valuer, &fixture.book, context, &exclusion).now_or_never().unwrap();
    let requests = node.requests.load(Ordering::Relaxed);
    let without = fixture.decide_with(&exclusion).now_or_never().unwrap();
    (with, without, requests)
}

#[test]
fn loans_within_reach_are_decided_on_without_a_second_request() {
    for loans in [1, 5] {
        // Liquidatable below 1,744 dollars; the price falls by less than a percent.
        let mut fixture = Fixture::new(&vec![(10_000, 15_000); loans]);
        fixture.set_price(1_750, 1_000_000);
        let change = Change { dollars: 1_742, strengthened: None, excluded: None };
        let (with, without, requests) = decide_ahead(&mut fixture, 1_000_000, &change);
        assert_eq!((with.intents.len(), requests), (1, 0), "{loans}");
        assert_eq!(with, without);
    }
}

#[test]
fn one_of_many_loans_within_reach_is_decided_on_without_a_second_request() {
    // The first loan is liquidatable below 1,744 dollars, each of the others a dollar further down.
    let openings: Vec<_> = (0..20).map(|number| (10_000, 15_000 - number * 9)).collect();
    let mut fixture = Fixture::new(&openings);
    fixture.set_price(1_750, 1_000_000);
    let change = Change { dollars: 1_743, strengthened: None, excluded: None };
    let (with, without, requests) = decide_ahead(&mut fixture, 1_000_000, &change);
    assert_eq!((with.intents.len(), requests), (1, 0));
    assert_eq!(with, without);
}

#[test]
fn a_fall_beyond_reach_takes_a_second_request() {
    let mut fixture = Fixture::new(&[(10_000, 15_000)]);
    fixture.set_price(2_000, 1_000_000);
    let change = Change { dollars: 1_742, strengthened: None, excluded: None };
    let (with, without, requests) = decide_ahead(&mut fixture, 1_000_000, &change);
    assert_eq!((with.intents.len(), requests), (1, 1));
    assert_eq!(with, without);
}

#[test]
fn a_trial_of_a_loan_that_must_be_left_alone_does_not_count() {
    let mut fixture = Fixture::new(&[(10_000, 15_000), (10_000, 15_000)]);
    fixture.set_price(1_750, 1_000_000);
    let change = Change { dollars: 1_742, strengthened: None, excluded: Some(0) };
    let (with, without, requests) = decide_ahead(&mut fixture, 1_000_000, &change);
    assert_eq!((with.intents.len(), requests), (1, 1));
    assert_eq!(with, without);
}

#[test]
fn a_trial_names_the_nearest_32_loans_alone_and_the_others_take_a_second_request() {
    // The first loan is liquidatable below 1,744 dollars, each of the others 12 cents further down: all are within reach.
    let openings: Vec<_> = (0..40).map(|number| (10_000, 15_000 - number)).collect();
    let opened = || {
        let mut fixture = Fixture::new(&openings);
        fixture.set_price(1_745, 1_000_000);
        fixture
    };
    let nearest: Vec<_> = (0..32).map(borrower).collect();
    assert_eq!(tried_loans(&opened()), [nearest]);

    let of_those_that_were_tried = Change { dollars: 1_741, strengthened: None, excluded: None };
    let (with, without, requests) = decide_ahead(&mut opened(), 1_000_000, &of_those_that_were_tried);
    assert_eq!((liquidated(&with), requests), (28, 0));
    assert_eq!(with, without);

    let all = Change { dollars: 1_738, strengthened: None, excluded: None };
    let (with, without, requests) = decide_ahead(&mut opened(), 1_000_000, &all);
    assert_eq!((liquidated(&with), requests), (40, 1));
    assert_eq!(with, without);
}

/// Returns the borrowers that each trial of the next block's request names.
fn tried_loans(fixture: &Fixture) -> Vec<Vec<Address>> {
    let mut liquidate = Liquidate::new(fixture.settings.clone());
    let mut valuer = Valuer::new(fixture.sources.clone());
    let tokens = liquidate.valued_tokens(&fixture.book);
    let values = valuer.values(fixture, &fixture.header, &tokens).now_or_never().unwrap().unwrap();
    let prices: Prices = [(fixture.params.id(), fixture.price.clone())].into_iter().collect();
    let context = BlockContext { header: &fixture.header, prices: &prices, costs: fixture.costs, room: fixture.room };
    // The pool is read, too.
    let borrowers = |call: Call| {
        let mut named = ILiquidator::liquidateCall::abi_decode(&call.data).ok()?.liquidation.borrowers;
        named.sort();
        Some(named)
    };
    liquidate.speculate(&fixture.book, &values, context, &|_| None).into_iter().filter_map(borrowers).collect()
}

/// Returns the number of loans that the only intent liquidates.
fn liquidated(decisions: &Decisions<LoanId>) -> usize {
    match decisions.intents.as_slice() {
        [Intent { purpose: Purpose::Liquidate { borrowers, .. }, .. }] => borrowers.len(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    /// Whatever part of a batch is repaid, in whichever zones its loans are.
    #[test]
    fn no_part_of_a_batch_seizes_more_than_the_bound(
        openings in prop::collection::vec((5_000_u128..15_000, 13_000_u128..16_000), 1..6),
        dollars in 500_u128..1_800,
        per_mille in 1_u64..=1_000,
    ) {
        let openings: Vec<_> = openings
            .into_iter()
            .map(|(milliether, dollars)| (milliether, dollars * milliether / 10_000))
            .collect();
        let mut fixture = Fixture::new(&openings);
        fixture.set_price(dollars, 1_000_000);
        let settings = MarketSettings::default();
        let (market, price) = (fixture.market(), fixture.price.clone().unwrap());
        let snapshot = MarketSnapshot { market, settings: &settings, price, timestamp: NOW };
        let (loans, before) = (market.liquidatable_from(price, NOW, 0, 32), market.at(NOW));
        prop_assume!(!loans.is_empty());
        let part_of = |limit| snapshot.expect_liquidation(&mut before.clone(), &loans, limit);
        let whole = part_of(U256::MAX).repaid;
        let part = part_of(whole * U256::from(per_mille) / U256::from(1_000));
        let batch = LoanBatch { loans: loans.clone(), repaid: whole, before };
        prop_assert!(part.seized <= most_seized(snapshot, &batch, part.repaid).unwrap());
    }

    #[test]
    fn decisions_with_trials_ahead_equal_those_of_two_rounds(
        openings in prop::collection::vec((5_000_u128..15_000, 13_000_u128..16_000), 1..6),
        before in 1_700_u128..1_900,
        fall_per_mille in 0_u128..60,
        depth in prop::sample::select(vec![20_u128, 200, 2_000, 1_000_000]),
        strengthened in prop::option::weighted(0.2, 0_u64..5),
        excluded in prop::option::weighted(0.2, 0_u64..5),
    ) {
        let openings: Vec<_> = openings
            .into_iter()
            .map(|(milliether, dollars)| (milliether, dollars * milliether / 10_000))
            .collect();
        let loans = u64::try_from(openings.len()).unwrap();
        let mut fixture = Fixture::new(&openings);
        fixture.set_price(before, depth);
        let within = |index: &u64| *index < loans;
        let change = Change {
            dollars: before - before * fall_per_mille / 1_000,
            strengthened: strengthened.filter(within),
            excluded: excluded.filter(within),
        };
        let (with, without, _) = decide_ahead(&mut fixture, depth, &change);
        prop_assert_eq!(with, without);
    }
}
