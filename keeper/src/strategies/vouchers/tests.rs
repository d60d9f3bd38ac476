//! Which batches are sent: those whose tip, as the token tells it, pays.

use std::{collections::BTreeMap, sync::Mutex};

use alloy::primitives::U512;
use plimsoll_chain::error::ChainError;

use super::*;
use crate::{
    chain::Header,
    prices::{CallError, Prices, SimulatedCall, Source},
    strategies::{Decision, gas::Costs},
};

const TOKEN: Address = Address::repeat_byte(1);
const OTHER: Address = Address::repeat_byte(2);

/// A node on which a claim brings as much as the last byte of its calldata says, and fails at 0.
#[derive(Default)]
struct FakeNode {
    simulated: Mutex<BTreeSet<Bytes>>,
}

impl ChainReader for FakeNode {
    async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let done = |result| SimulatedCall { result, gas_used: 100 };
        let word = |number: u8| Ok(B256::with_last_byte(number).0.to_vec().into());
        let run = |calls: &Vec<Call>| match calls.as_slice() {
            [_, claim, _] => {
                self.simulated.lock().unwrap().insert(claim.data.clone());
                match claim.data.last().copied().unwrap_or_default() {
                    0 => vec![done(word(0)), done(Err(CallError::Reverted(Bytes::new()))), done(word(0))],
                    tip => vec![done(word(1)), done(Ok(Bytes::new())), done(word(1 + tip))],
                }
            }
            calls => calls.iter().map(|_| done(word(0))).collect(),
        };
        Ok(sequences.iter().map(run).collect())
    }
}

fn batch(jar: u8, token: Address, tip: u8) -> Arc<PublishedBatch> {
    let data = Bytes::from(vec![jar, tip]);
    Arc::new(PublishedBatch { id: keccak256(&data), jar: Address::repeat_byte(jar), token, data })
}

fn strategy(budget: u64) -> Vouchers {
    Vouchers::new(VouchersSettings {
        keeper: Address::repeat_byte(9),
        gas: GasTable::default(),
        budget_per_day: U256::from(budget),
        interval_secs: 10,
        deadline_secs: 60,
    })
}

async fn decide(
    strategy: &mut Vouchers,
    node: &FakeNode,
    batches: &[Arc<PublishedBatch>],
    number: u64,
) -> BTreeMap<u8, &'static str> {
    let (header, prices) = (Header { number, timestamp: number * 12, ..Header::default() }, Prices::default());
    // A unit of the token is worth 1,000 wei.
    let mut valuer =
        Valuer::new(BTreeMap::from([(TOKEN, Source::Fixed(Rate::new(U512::from(1_000), U512::from(1)).unwrap()))]));
    let costs = Costs { gas_price: 1, data_byte_price: 0, margin_bps: 0 };
    let context = BlockContext { header: &header, prices: &prices, costs, room: 30_000_000 };
    let results = ResultsLedger::default();
    let decisions = strategy.decide(node, &mut valuer, batches, context, (&|_| None, &results)).await;
    let reason = |decision: &Decision| match decision {
        Decision::Act { .. } => "act",
        Decision::Skip(reason) => reason.name(),
    };
    let verdicts = decisions.map(|decisions| decisions.verdicts).unwrap_or_default();
    verdicts.iter().map(|verdict| (verdict.target[0], reason(&verdict.decision))).collect()
}

#[tokio::test]
async fn a_batch_is_sent_if_the_tip_that_the_token_tells_pays_and_the_budget_suffices() {
    let node = FakeNode::default();
    let batches = [batch(11, TOKEN, 200), batch(12, TOKEN, 1), batch(13, TOKEN, 0), batch(14, OTHER, 200)];
    let found = decide(&mut strategy(1_000_000), &node, &batches, 1).await;
    let expected = [(11, "act"), (12, "gain_below_gas"), (13, "reverts"), (14, "no_valuation")];
    assert_eq!(found, BTreeMap::from(expected));
    assert_eq!(decide(&mut strategy(1_000), &node, &batches, 1).await[&11], "budget_spent");
}

#[tokio::test]
async fn a_few_batches_are_simulated_in_a_block_and_each_has_its_turn() {
    let (node, mut strategy) = (FakeNode::default(), strategy(1_000_000));
    let batches: Vec<_> = (10..=40).map(|jar| batch(jar, TOKEN, 0)).collect();
    for number in 1..=4 {
        assert!(decide(&mut strategy, &node, &batches, number).await.len() <= MAX_TRIALS);
    }
    // All of them had their turn within four blocks.
    assert_eq!(node.simulated.lock().unwrap().len(), 31);
}
