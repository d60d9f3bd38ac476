//! What is executed, by whom, and within which budget.

use std::collections::BTreeMap;

use alloy::primitives::Bytes;
use plimsoll_chain::error::ChainError;

use super::*;
use crate::{
    book::ScheduledCall,
    chain::Header,
    prices::{CallError, Prices, SimulatedCall},
    strategies::{Decision, gas::Costs},
};

const KEEPER: Address = Address::repeat_byte(1);
const MANAGER: Address = Address::repeat_byte(2);
const GOVERNOR: Address = Address::repeat_byte(3);
const NOW: u64 = 1_000_000;

/// A node on which calls of a contract revert.
struct FakeNode {
    reverting: Option<Address>,
}

impl ChainReader for FakeNode {
    async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let answer = |call: &Call| {
            let reverts = self.reverting == Some(call.to);
            let result = if reverts { Err(CallError::Reverted(Bytes::new())) } else { Ok(Bytes::new()) };
            SimulatedCall { result, gas_used: 79_000 }
        };
        Ok(sequences.iter().map(|calls| calls.iter().map(answer).collect()).collect())
    }
}

fn call() -> ScheduledCall {
    ScheduledCall { target: Address::repeat_byte(9), value: U256::ZERO, data: vec![1, 2, 3, 4].into() }
}

fn operation(caller: Address, due: u64) -> Operation {
    Operation { nonce: 1, due, caller, call: call(), opposition: BTreeMap::new() }
}

fn proposal(due: Option<u64>) -> Proposal {
    let (governor, proposer, description_hash) = (GOVERNOR, KEEPER, B256::repeat_byte(5));
    Proposal { governor, proposer, calls: vec![call()], description_hash, vote_end: NOW, due }
}

/// Decides about this state with a budget in wei; gas costs a wei.
async fn decide(state: &GovernanceState, budget: u64, reverting: Option<Address>) -> Decisions<B256> {
    let strategy = Governance::new(GovernanceSettings {
        keeper: KEEPER,
        manager: MANAGER,
        gas: GasTable::default(),
        max_gas_price: 10,
        budget_per_day: U256::from(budget),
        deadline_secs: 60,
    });
    let (header, prices) = (Header { timestamp: NOW, ..Header::default() }, Prices::default());
    let costs = Costs { gas_price: 1, data_byte_price: 0, margin_bps: 0 };
    let context = BlockContext { header: &header, prices: &prices, costs, room: 30_000_000 };
    let results = ResultsLedger::default();
    strategy.decide(&FakeNode { reverting }, state, context, (&|_| None, &results)).await
}

fn reasons(decisions: &Decisions<B256>) -> Vec<(u8, &'static str)> {
    let reason = |decision: &Decision| match decision {
        Decision::Act { .. } => "act",
        Decision::Skip(reason) => reason.name(),
    };
    let mut found: Vec<_> =
        decisions.verdicts.iter().map(|verdict| (verdict.target[0], reason(&verdict.decision))).collect();
    found.sort_unstable();
    found
}

fn id(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

#[tokio::test]
async fn what_is_due_is_executed_by_who_may_and_nothing_before_its_time() {
    let mut state = GovernanceState::default();
    state.operations.insert(id(1), operation(KEEPER, NOW));
    state.operations.insert(id(2), operation(KEEPER, NOW + 1));
    state.operations.insert(id(3), operation(Address::repeat_byte(7), NOW));
    state.proposals.insert(id(4), proposal(Some(NOW)));
    state.proposals.insert(id(5), proposal(Some(NOW + 1)));
    state.proposals.insert(id(6), proposal(None));
    // A call of a proposal is the proposal's to execute.
    state.operations.insert(id(7), operation(GOVERNOR, NOW));
    let decisions = decide(&state, 1_000_000, None).await;
    assert_eq!(reasons(&decisions), [(1, "act"), (3, "not_scheduler"), (4, "act")]);
    let targets: Vec<_> = decisions.intents.iter().map(|intent| intent.to).collect();
    assert_eq!(targets, [GOVERNOR, MANAGER]);
    let intent = &decisions.intents[1];
    let data = IAccessManager::executeCall { target: call().target, data: call().data }.abi_encode();
    assert_eq!((intent.data.to_vec(), &intent.purpose), (data, &Purpose::ExecuteOperation { id: id(1) }));
}

#[tokio::test]
async fn an_execution_that_reverts_is_not_sent_and_the_budget_bounds_the_others() {
    let mut state = GovernanceState::default();
    state.operations.insert(id(1), operation(KEEPER, NOW));
    state.proposals.insert(id(4), proposal(Some(NOW)));
    assert_eq!(reasons(&decide(&state, 1_000_000, Some(GOVERNOR)).await), [(1, "act"), (4, "reverts")]);
    // Each costs about a hundred thousand.
    let decisions = decide(&state, 150_000, None).await;
    assert_eq!(reasons(&decisions), [(1, "budget_spent"), (4, "act")]);
    // Whatever is bid later, the budget pays for it.
    assert_eq!(decisions.intents[0].expected_gain, U256::from(150_000));
    assert_eq!(reasons(&decide(&state, 0, None).await), [(1, "budget_spent"), (4, "budget_spent")]);
}

#[tokio::test]
async fn however_much_is_due_a_bounded_part_is_simulated() {
    let mut state = GovernanceState::default();
    for byte in 0..32 {
        state.operations.insert(id(byte), operation(KEEPER, NOW));
    }
    let decisions = decide(&state, u64::MAX, None).await;
    let later = reasons(&decisions).iter().filter(|(_, reason)| *reason == "tried_later").count();
    assert_eq!((decisions.intents.len(), later), (MAX_TRIALS, 32 - MAX_TRIALS));
}
