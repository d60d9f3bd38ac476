use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::{
    primitives::{I256, U160, address, aliases::I24, aliases::I56},
    sol_types::SolValue,
};

use super::*;
use crate::prices::node::{Refusal, Trial};

const NOW: u64 = 1_000_000;
const FEED: Address = address!("0x00000000000000000000000000000000000000fe");
const POOL: Address = address!("0x0000000000000000000000000000000000000900");
const LOW: Address = address!("0x0000000000000000000000000000000000000001");
const HIGH: Address = address!("0x0000000000000000000000000000000000000002");

/// A node on which a few contracts say what they are told to.
#[derive(Default)]
struct Told {
    answers: HashMap<Question, Bytes>,
    requests: AtomicUsize,
}

impl Told {
    fn feed(mut self, feed: Address, answer: i64, decimals: u8, updated_at: u64) -> Self {
        let round = (U256::ONE, I256::try_from(answer).unwrap(), U256::ZERO, U256::from(updated_at), U256::ONE);
        self.answers.insert((feed, round_call()), round.abi_encode_params().into());
        self.answers.insert((feed, decimals_call()), U256::from(decimals).abi_encode().into());
        self
    }
}

impl Reads for Told {
    async fn calls(&self, _: B256, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        if !calls.is_empty() {
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
        let refusal = || Refusal { message: "execution reverted".into(), data: None };
        let answer = |call: &Call| self.answers.get(&(call.to, call.data.clone())).cloned().ok_or_else(refusal);
        Ok(calls.iter().map(answer).collect())
    }

    async fn sequence(&self, _: &Header, _: &[Call]) -> Result<Option<Vec<Trial>>, ChainError> {
        Ok(None)
    }

    fn error(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: "told".into(), problem }
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

async fn value_of(source: Source, told: &Told) -> Result<Rate, NoValuation> {
    let mut valuer = Valuer::new([(LOW, source)].into());
    valuer.values(told, &header(1), &[LOW]).await.unwrap().of(LOW)
}

#[tokio::test]
async fn a_dollar_is_worth_what_one_feed_over_another_says() {
    // A dollar is 1.0001 dollars, a coin 2,500.
    let coin_feed = Address::repeat_byte(7);
    let told = Told::default().feed(FEED, 100_010_000, 8, NOW).feed(coin_feed, 2_500_000_000, 6, NOW - 3_600);
    let rate = value_of(feeds(vec![FEED], vec![coin_feed], 6), &told).await.unwrap();
    // 1.0001 / 2500 × 1e18 wei for a million units.
    assert_eq!(rate.value_down(U256::from(1_000_000)), U256::from(400_040_000_000_000_u64));
}

#[tokio::test]
async fn what_a_feed_does_not_say_is_no_valuation() {
    let only = |told: Told| async move { value_of(feeds(vec![FEED], vec![], 18), &told).await };
    let stale = only(Told::default().feed(FEED, 1, 18, NOW - 3_601)).await;
    assert_eq!(stale, Err(NoValuation::Stale { feed: FEED, age_secs: 3_601, max_age_secs: 3_600 }));
    assert_eq!(only(Told::default().feed(FEED, 0, 18, NOW)).await, Err(NoValuation::NotPositive { feed: FEED }));
    assert_eq!(only(Told::default().feed(FEED, -5, 18, NOW)).await, Err(NoValuation::NotPositive { feed: FEED }));
    assert_eq!(only(Told::default().feed(FEED, 5, 200, NOW)).await, Err(NoValuation::OutOfRange));
    assert!(matches!(only(Told::default()).await, Err(NoValuation::NoAnswer { contract: FEED, .. })));
    let values = Valuer::new(BTreeMap::new()).values(&Told::default(), &header(1), &[LOW]).await.unwrap();
    assert_eq!(values.of(LOW), Err(NoValuation::NotConfigured));
}

#[tokio::test]
async fn a_pool_is_read_from_either_side() {
    // The root of 4: four of the higher token for one of the lower.
    let slot = (U160::from(2) << 96, I24::ZERO, 0_u16, 0_u16).abi_encode_params();
    let mut told = Told::default();
    let hop = |token_in, token_out| PoolHop { pool: POOL, token_in, token_out, window_secs: None };
    told.answers.insert((POOL, pool_call(&hop(LOW, HIGH))), slot.into());
    let hundred = U256::from(100);
    let rate = value_of(Source::Pools(vec![hop(LOW, HIGH)]), &told).await.unwrap();
    assert_eq!(rate.value_down(hundred), U256::from(400));
    let rate = value_of(Source::Pools(vec![hop(HIGH, LOW)]), &told).await.unwrap();
    assert_eq!(rate.value_down(hundred), U256::from(25));
    let rate = value_of(Source::Pools(vec![hop(LOW, HIGH), hop(LOW, HIGH)]), &told).await.unwrap();
    assert_eq!(rate.value_down(hundred), U256::from(1_600));
    // A pool without a price.
    let empty = (U160::ZERO, I24::ZERO, 0_u16, 0_u16).abi_encode_params();
    told.answers.insert((POOL, pool_call(&hop(LOW, HIGH))), empty.into());
    assert_eq!(value_of(Source::Pools(vec![hop(LOW, HIGH)]), &told).await, Err(NoValuation::OutOfRange));
}

#[tokio::test]
async fn a_pools_average_goes_by_its_sums_which_may_wrap() {
    let hop = PoolHop { pool: POOL, token_in: LOW, token_out: HIGH, window_secs: Some(60) };
    // 60 seconds at tick 100, over the end of what 56 bits hold.
    let before = I56::MAX - I56::try_from(10).unwrap();
    let sums = vec![before, before.wrapping_add(I56::try_from(6_000).unwrap())];
    let mut told = Told::default();
    let answer = (sums, vec![U160::ZERO, U160::ZERO]).abi_encode_params();
    told.answers.insert((POOL, pool_call(&hop)), answer.into());
    let rate = value_of(Source::Pools(vec![hop]), &told).await.unwrap();
    // 1.0001^100 = 1.010049…
    assert_eq!(rate.value_down(U256::from(1_000_000)), U256::from(1_010_049));
}

#[tokio::test]
async fn a_value_is_read_once_a_block_when_it_is_wanted_and_decimals_once() {
    let other = Address::repeat_byte(7);
    let mut valuer = Valuer::new([(LOW, feeds(vec![FEED], vec![], 18)), (HIGH, feeds(vec![other], vec![], 6))].into());
    let mut told = Told::default().feed(FEED, 5, 0, NOW).feed(other, 5, 0, NOW);
    for _ in 0..3 {
        let values = valuer.values(&told, &header(1), &[LOW]).await.unwrap();
        assert!(values.of(LOW).is_ok() && values.of(HIGH).is_err());
    }
    assert_eq!(told.requests.load(Ordering::Relaxed), 1);
    for _ in 0..3 {
        let values = valuer.values(&told, &header(1), &[HIGH, LOW]).await.unwrap();
        assert!(values.of(LOW).is_ok() && values.of(HIGH).is_ok());
    }
    assert_eq!(told.requests.load(Ordering::Relaxed), 2);
    told.answers.remove(&(FEED, decimals_call()));
    let values = valuer.values(&told, &header(2), &[LOW]).await.unwrap();
    assert!(values.of(LOW).is_ok() && values.of(HIGH).is_err());
    assert_eq!(told.requests.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_was_wanted_is_read_ahead_for_a_few_blocks_and_again_where_nobody_answered() {
    let mut valuer = Valuer::new([(LOW, feeds(vec![FEED], vec![], 18))].into());
    let mut told = Told::default().feed(FEED, 5, 0, NOW);
    valuer.expect(&[LOW], &header(1));
    for number in 2..=1 + BLOCKS_AHEAD {
        valuer.read_ahead(&told, &header(number)).await;
        assert!(valuer.values(&told, &header(number), &[LOW]).await.unwrap().of(LOW).is_ok());
        assert_eq!(told.requests.load(Ordering::Relaxed), usize::try_from(number).unwrap() - 1);
    }
    let asked = told.requests.load(Ordering::Relaxed);
    valuer.read_ahead(&told, &header(10)).await;
    assert_eq!(told.requests.load(Ordering::Relaxed), asked);

    valuer.expect(&[LOW], &header(10));
    let round = told.answers.remove(&(FEED, round_call())).unwrap();
    valuer.read_ahead(&told, &header(11)).await;
    told.answers.insert((FEED, round_call()), round);
    assert!(valuer.values(&told, &header(11), &[LOW]).await.unwrap().of(LOW).is_ok());
}

#[tokio::test]
async fn fixed_rates_ask_nobody() {
    let told = Told::default();
    let source = Source::fixed(U256::from(500_000_000_000_000_u64), 6).unwrap();
    let rate = value_of(source, &told).await.unwrap();
    assert_eq!(rate.value_down(U256::from(1_000_000)), U256::from(500_000_000_000_000_u64));
    assert_eq!(told.requests.load(Ordering::Relaxed), 0);
    assert_eq!(Source::fixed(U256::ZERO, 6), None);
}
