use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::{
    primitives::{I256, U160, address, aliases::I24, aliases::I56},
    sol_types::{SolError, SolValue},
};

use super::*;
use crate::prices::reader::{CallError, SimulatedCall};
use crate::prices::{Answers, BlockReader};

const NOW: u64 = 1_000_000;
const FEED: Address = address!("0x00000000000000000000000000000000000000fe");
const POOL: Address = address!("0x0000000000000000000000000000000000000900");
const LOW: Address = address!("0x0000000000000000000000000000000000000001");
const HIGH: Address = address!("0x0000000000000000000000000000000000000002");

/// A node on which a few reads have given results, and all others revert.
#[derive(Default)]
struct FakeNode {
    results: HashMap<Read, Bytes>,
    /// With what the others revert.
    revert: Bytes,
    requests: AtomicUsize,
}

impl FakeNode {
    fn feed(mut self, feed: Address, answer: i64, decimals: u8, updated_at: u64) -> Self {
        let round = (U256::ONE, I256::try_from(answer).unwrap(), U256::ZERO, U256::from(updated_at), U256::ONE);
        self.results.insert((feed, round_call()), round.abi_encode_params().into());
        self.results.insert((feed, decimals_call()), U256::from(decimals).abi_encode().into());
        self
    }
}

impl ChainReader for &FakeNode {
    async fn run(&self, block: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        (**self).run(block, sequences).await
    }
}

impl ChainReader for FakeNode {
    async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        if !sequences.is_empty() {
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
        let reverted = || CallError::Reverted(self.revert.clone());
        let result = |call: &Call| self.results.get(&(call.to, call.data.clone())).cloned().ok_or_else(reverted);
        let simulated = |call: &Call| SimulatedCall { result: result(call), gas_used: 0 };
        Ok(sequences.iter().map(|calls| calls.iter().map(simulated).collect()).collect())
    }
}

fn header(number: u64) -> Header {
    Header {
        number,
        hash: B256::with_last_byte(u8::try_from(number).unwrap()),
        parent_hash: B256::ZERO,
        timestamp: NOW,
        base_fee: 0,
        gas_limit: 30_000_000,
        gas_used: 0,
    }
}

fn feeds(base: Vec<Address>, quote: Vec<Address>, decimals: u8) -> Source {
    Source::Feeds { base, quote, decimals, max_age_secs: 3_600 }
}

async fn value_of(source: Source, node: &FakeNode) -> Result<Rate, NoValuation> {
    let mut valuer = Valuer::new([(LOW, source)].into());
    valuer.values(node, &header(1), &[LOW]).await.unwrap().of(LOW)
}

#[tokio::test]
async fn a_value_is_the_ratio_of_two_feeds() {
    // The token is at 1.0001 dollars, the native currency at 2,500.
    let native_feed = Address::repeat_byte(7);
    let node = FakeNode::default().feed(FEED, 100_010_000, 8, NOW).feed(native_feed, 2_500_000_000, 6, NOW - 3_600);
    let rate = value_of(feeds(vec![FEED], vec![native_feed], 6), &node).await.unwrap();
    // 1.0001 / 2500 × 1e18 wei for a million units.
    assert_eq!(rate.value_down(U256::from(1_000_000)), U256::from(400_040_000_000_000_u64));
}

#[tokio::test]
async fn a_stale_negative_missing_or_oversized_answer_is_no_valuation() {
    let value = |node: FakeNode| async move { value_of(feeds(vec![FEED], vec![], 18), &node).await };
    let stale = value(FakeNode::default().feed(FEED, 1, 18, NOW - 3_601)).await;
    assert_eq!(stale, Err(NoValuation::Stale { feed: FEED, age_secs: 3_601, max_age_secs: 3_600 }));
    assert_eq!(value(FakeNode::default().feed(FEED, 0, 18, NOW)).await, Err(NoValuation::NotPositive { feed: FEED }));
    assert_eq!(value(FakeNode::default().feed(FEED, -5, 18, NOW)).await, Err(NoValuation::NotPositive { feed: FEED }));
    assert_eq!(value(FakeNode::default().feed(FEED, 5, 200, NOW)).await, Err(NoValuation::OutOfRange));
    assert!(matches!(value(FakeNode::default()).await, Err(NoValuation::NoAnswer { contract: FEED, .. })));
    let values = Valuer::new(BTreeMap::new()).values(&FakeNode::default(), &header(1), &[LOW]).await.unwrap();
    assert_eq!(values.of(LOW), Err(NoValuation::NotConfigured));
}

#[tokio::test]
async fn a_spot_price_is_read_in_either_direction_of_the_pool() {
    // The root of 4: four of the higher token for one of the lower.
    let slot = (U160::from(2) << 96, I24::ZERO, 0_u16, 0_u16).abi_encode_params();
    let mut node = FakeNode::default();
    let hop = |token_in, token_out| PoolHop { pool: POOL, token_in, token_out, window_secs: None };
    node.results.insert((POOL, pool_call(&hop(LOW, HIGH))), slot.into());
    let hundred = U256::from(100);
    let rate = value_of(Source::Pools(vec![hop(LOW, HIGH)]), &node).await.unwrap();
    assert_eq!(rate.value_down(hundred), U256::from(400));
    let rate = value_of(Source::Pools(vec![hop(HIGH, LOW)]), &node).await.unwrap();
    assert_eq!(rate.value_down(hundred), U256::from(25));
    let rate = value_of(Source::Pools(vec![hop(LOW, HIGH), hop(LOW, HIGH)]), &node).await.unwrap();
    assert_eq!(rate.value_down(hundred), U256::from(1_600));
    // A pool without a price.
    let empty = (U160::ZERO, I24::ZERO, 0_u16, 0_u16).abi_encode_params();
    node.results.insert((POOL, pool_call(&hop(LOW, HIGH))), empty.into());
    assert_eq!(value_of(Source::Pools(vec![hop(LOW, HIGH)]), &node).await, Err(NoValuation::OutOfRange));
}

#[tokio::test]
async fn a_twap_is_right_across_a_wrap_of_the_tick_accumulator() {
    let hop = PoolHop { pool: POOL, token_in: LOW, token_out: HIGH, window_secs: Some(60) };
    // 60 seconds at tick 100, across the end of the range of 56 bits.
    let before = I56::MAX - I56::try_from(10).unwrap();
    let sums = vec![before, before.wrapping_add(I56::try_from(6_000).unwrap())];
    let mut node = FakeNode::default();
    let answer = (sums, vec![U160::ZERO, U160::ZERO]).abi_encode_params();
    node.results.insert((POOL, pool_call(&hop)), answer.into());
    let rate = value_of(Source::Pools(vec![hop]), &node).await.unwrap();
    // 1.0001^100 = 1.010049…
    assert_eq!(rate.value_down(U256::from(1_000_000)), U256::from(1_010_049));
}

#[tokio::test]
async fn a_pool_without_observations_of_the_whole_window_is_named_with_the_remedy() {
    let source =
        || Source::Pools(vec![PoolHop { pool: POOL, token_in: LOW, token_out: HIGH, window_secs: Some(1_800) }]);
    let reverting = |text: &str| FakeNode {
        revert: alloy::sol_types::Revert::from(text).abi_encode().into(),
        ..FakeNode::default()
    };
    let young = value_of(source(), &reverting("OLD")).await.unwrap_err().to_string();
    assert!(young.contains(&POOL.to_string()) && young.contains("1800 s of `twap_window`"), "{young}");
    let other = value_of(source(), &reverting("LOK")).await.unwrap_err().to_string();
    assert!(other.ends_with("it reverts: LOK"), "{other}");
}

#[tokio::test]
async fn a_value_is_read_once_a_block_when_it_is_needed_and_decimals_only_once() {
    let other = Address::repeat_byte(7);
    let mut valuer = Valuer::new([(LOW, feeds(vec![FEED], vec![], 18)), (HIGH, feeds(vec![other], vec![], 6))].into());
    let mut node = FakeNode::default().feed(FEED, 5, 0, NOW).feed(other, 5, 0, NOW);
    for _ in 0..3 {
        let values = valuer.values(&node, &header(1), &[LOW]).await.unwrap();
        assert!(values.of(LOW).is_ok() && values.of(HIGH).is_err());
    }
    assert_eq!(node.requests.load(Ordering::Relaxed), 1);
    for _ in 0..3 {
        let values = valuer.values(&node, &header(1), &[HIGH, LOW]).await.unwrap();
        assert!(values.of(LOW).is_ok() && values.of(HIGH).is_ok());
    }
    assert_eq!(node.requests.load(Ordering::Relaxed), 2);
    node.results.remove(&(FEED, decimals_call()));
    let values = valuer.values(&node, &header(2), &[LOW]).await.unwrap();
    assert!(values.of(LOW).is_ok() && values.of(HIGH).is_err());
    assert_eq!(node.requests.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn the_calls_that_are_named_beforehand_are_all_that_values_are_read_by() {
    let sources = [(LOW, feeds(vec![FEED], vec![], 18)), (HIGH, feeds(vec![FEED], vec![], 6))];
    let mut valuer = Valuer::new(sources.into());
    let node = FakeNode::default().feed(FEED, 5, 0, NOW);
    for (number, count) in [(1, 2), (2, 1)] {
        let calls = valuer.calls(&[LOW, HIGH, Address::ZERO]);
        assert_eq!(calls.len(), count, "a feed of two tokens is read once, and its decimals only the first time");
        let mut reader = BlockReader::new(&node);
        reader.set_answers(Answers::request(&&node, &header(number), &calls).await.unwrap().into());
        let requests = node.requests.load(Ordering::Relaxed);
        let values = valuer.values(&reader, &header(number), &[LOW, HIGH]).await.unwrap();
        assert!(values.of(LOW).is_ok() && values.of(HIGH).is_ok());
        assert_eq!(node.requests.load(Ordering::Relaxed), requests);
    }
}

#[tokio::test]
async fn fixed_rates_need_no_request() {
    let node = FakeNode::default();
    let source = Source::fixed(U256::from(500_000_000_000_000_u64), 6).unwrap();
    let rate = value_of(source, &node).await.unwrap();
    assert_eq!(rate.value_down(U256::from(1_000_000)), U256::from(500_000_000_000_000_u64));
    assert_eq!(node.requests.load(Ordering::Relaxed), 0);
    assert_eq!(Source::fixed(U256::ZERO, 6), None);
}
