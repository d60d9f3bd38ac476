//! When a step is due, what it is paid, and which steps are sent.

use alloy::primitives::B256;
use plimsoll_chain::error::ChainError;

use super::*;
use crate::{
    book::JobStage,
    prices::{Prices, SimulatedCall},
};

const TERMS: JobTerms = JobTerms { token: Address::repeat_byte(1), reveal_secs: 100, challenge_secs: 1_000 };
const POSTER: Address = Address::repeat_byte(2);
const NOW: u64 = 50_000;

fn job(stage: JobStage) -> JobState {
    let (kind, result) = (B256::repeat_byte(3), B256::ZERO);
    JobState { poster: POSTER, kind, price: 30_000, seats: 3, is_challenged: false, stage, result, posted_in: 1 }
}

fn step_at(stage: JobStage, number: u64, timestamp: u64) -> Option<JobStep> {
    due_step(1, &job(stage), &Header { number, timestamp, ..Header::default() }, &TERMS).map(|due| due.step)
}

#[test]
fn a_draw_is_due_while_its_block_is_remembered_in_the_next_block_and_an_end_after() {
    let open = JobStage::Open { round: 1, draw_block: 100 };
    let step = |number| step_at(open, number, NOW);
    assert_eq!(
        [step(100), step(101), step(355), step(356), step(357)],
        [None, Some(JobStep::Draw), Some(JobStep::Draw), None, Some(JobStep::Expire),]
    );
}

#[test]
fn a_round_is_closed_when_nothing_more_can_come_and_settled_after_the_challenge() {
    let drawn = |committed, revealed| JobStage::Drawn { round: 1, deadline: NOW, committed, revealed };
    assert_eq!(step_at(drawn(3, 2), 1, NOW), None);
    assert_eq!(step_at(drawn(3, 3), 1, NOW), Some(JobStep::Close));
    assert_eq!(step_at(drawn(2, 2), 1, NOW), None);
    assert_eq!(step_at(drawn(2, 2), 1, NOW + 1), Some(JobStep::Close));
    assert_eq!(step_at(drawn(2, 1), 1, NOW + 100), None);
    assert_eq!(step_at(drawn(2, 1), 1, NOW + 101), Some(JobStep::Close));
    let submitted = JobStage::Submitted { closed_at: NOW };
    assert_eq!(step_at(submitted, 1, NOW + 1_000), None);
    assert_eq!(step_at(submitted, 1, NOW + 1_001), Some(JobStep::Finalize));
    let again = JobState { is_challenged: true, ..job(submitted) };
    let head = Header { timestamp: NOW + 1, ..Header::default() };
    assert!(due_step(1, &again, &head, &TERMS).is_some());
}

/// The contract's formulas, with integers that never overflow.
#[test]
fn stakes_and_tips_are_those_of_the_contract() {
    for price in [1_u128, 9_999, 30_000, 30_001, 123_456_789_012_345_678, u128::MAX / 30_000] {
        for seats in [1_u8, 3, 5] {
            let job = JobState { price, seats, ..job(JobStage::Open { round: 1, draw_block: 1 }) };
            let fee = price * 9_800 / (10_000 * u128::from(seats));
            let deposit = (u128::from(2 * seats + 1) * fee * 10_000).div_ceil(9_800);
            assert_eq!([job.stake_of(1), job.stake_of(2)], [price, deposit]);
            assert_eq!([job.tip_of(1), job.tip_of(2)], [price * 100 / 10_000, deposit * 100 / 10_000]);
        }
    }
}

/// A node that has every header, and on which everything costs 80,000 gas.
struct FakeNode;

impl ChainReader for FakeNode {
    async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let answer = |_: &Call| SimulatedCall { result: Ok(Bytes::new()), gas_used: 80_000 };
        Ok(sequences.iter().map(|calls| calls.iter().map(answer).collect()).collect())
    }

    async fn raw_header(&self, number: u64) -> Result<Bytes, ChainError> {
        Ok(number.to_be_bytes().to_vec().into())
    }
}

#[tokio::test]
async fn a_job_without_a_known_value_is_left_but_a_configured_accounts_is_paid_for_within_the_budget() {
    let header = Header { number: 101, timestamp: NOW, ..Header::default() };
    let prices = Prices::default();
    let costs = crate::strategies::gas::Costs { gas_price: 1, data_byte_price: 0, margin_bps: 0 };
    let context = BlockContext { header: &header, prices: &prices, costs, room: 30_000_000 };
    let mut book = JobsBook::default();
    book.set_job(1, Some(job(JobStage::Open { round: 1, draw_block: 100 })));
    for (posters, budget, expected) in [
        (BTreeSet::new(), 1_000_000, "no_valuation"),
        (BTreeSet::from([POSTER]), 1_000_000, "act"),
        (BTreeSet::from([POSTER]), 1_000, "budget_spent"),
    ] {
        let mut strategy = Jobs::new(JobsSettings {
            keeper: Address::ZERO,
            jobs: Address::repeat_byte(8),
            registry: Address::repeat_byte(9),
            terms: TERMS,
            posters,
            harvested: BTreeSet::new(),
            harvest_every_secs: 10,
            gas: GasTable::default(),
            max_gas_price: 10,
            budget_per_day: U256::from(budget),
            deadline_secs: 60,
        });
        let results = ResultsLedger::default();
        let mut valuer = Valuer::new(BTreeMap::new());
        let decisions = strategy
            .decide(&FakeNode, &mut valuer, &book, context, &RefutedResults::new(), (&|_| None, &results))
            .await;
        let found = decisions.verdicts.first().map(|verdict| match &verdict.decision {
            crate::strategies::Decision::Act { .. } => "act",
            crate::strategies::Decision::Skip(reason) => reason.name(),
        });
        assert_eq!(found, Some(expected));
        assert_eq!(decisions.intents.len(), usize::from(expected == "act"));
    }
}
