//! Looks at a programme that pays one wei a second, over weeks.

use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::{Uint, b256};
use futures_util::FutureExt;
use plimsoll_contracts::IRewards::IRewardsEvents;

use super::*;
use crate::{
    book::Block,
    chain::Event,
    math::rewards::{EPOCH_SECONDS, start_of},
    prices::{Answer, Refusal, Source, Trial},
};

const FIRST_EPOCH: u64 = 100;
/// The second before anything is paid.
const CREATED: u64 = start_of(FIRST_EPOCH) - 1;
const START: u64 = start_of(FIRST_EPOCH);
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const POOL: B256 = b256!("a862d845e9200da4fcf2c830bcf425979382ca98a93451814f80a97606351e55");
const STAKED: Address = Address::repeat_byte(1);
const PAID: Address = Address::repeat_byte(2);
const KEEPER: Address = Address::repeat_byte(3);
const REWARDS: Address = Address::repeat_byte(4);
/// Ten thousand units a second, which are worth a gwei each.
const PER_SECOND: u128 = 10_000;
const GWEI: u128 = 1_000_000_000;

fn account(number: u64) -> Address {
    Address::left_padding_from(&(number + 1_000).to_be_bytes())
}

/// A node that lets everything through, or nothing, or only calls with a selector.
struct Node {
    refused: Vec<[u8; 4]>,
    asked: AtomicUsize,
}

impl Reads for Node {
    async fn calls(&self, _: B256, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        self.asked.fetch_add(calls.len(), Ordering::Relaxed);
        let answer = |call: &Call| {
            let refused = self.refused.iter().any(|selector| call.data.starts_with(selector));
            let refusal = Refusal { message: "execution reverted".into(), data: None };
            if refused { Err(refusal) } else { Ok(U256::ONE.to_be_bytes_vec().into()) }
        };
        Ok(calls.iter().map(answer).collect())
    }

    async fn sequence(&self, _: &Header, _: &[Call]) -> Result<Option<Vec<Trial>>, ChainError> {
        Ok(None)
    }

    fn error(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: "node".into(), problem }
    }
}

struct Bench {
    book: Book,
    harvest: Harvest,
    valuer: Valuer,
    node: Node,
}

impl Bench {
    /// A pool that pays the staked token and another, with an equal stake of each of these: account, tip in basis points.
    fn new(stakers: &[(Address, u16)], own: OwnRewards) -> Self {
        let event = Event::Rewards;
        let mut events = vec![event(IRewardsEvents::CreatePool(IRewards::CreatePool {
            pool: POOL,
            stakeToken: STAKED,
            creator: KEEPER,
            rewardTokens: vec![STAKED, PAID],
            salt: B256::ZERO,
        }))];
        for (staker, tip_bps) in stakers {
            let (amount, staker) = (U256::from(10_u64.pow(18)), *staker);
            events.push(event(IRewardsEvents::Stake(IRewards::Stake {
                pool: POOL,
                caller: staker,
                onBehalf: staker,
                amount,
            })));
            events.push(event(IRewardsEvents::SetHarvestConsent(IRewards::SetHarvestConsent {
                pool: POOL,
                rewardToken: PAID,
                account: staker,
                enabled: *tip_bps != 0,
                compounds: false,
                tipBps: *tip_bps,
                smallest: Uint::ZERO,
            })));
        }
        for token in [STAKED, PAID] {
            events.push(event(IRewardsEvents::Fund(IRewards::Fund {
                pool: POOL,
                rewardToken: token,
                funder: KEEPER,
                firstEpoch: U256::from(FIRST_EPOCH),
                epochs: U256::from(20),
                amount: U256::from(PER_SECOND * u128::from(EPOCH_SECONDS) * 20),
            })));
        }
        let mut book = Book::new();
        book.apply(Block { number: 1, timestamp: CREATED }, &events).unwrap();
        let settings = Settings {
            keeper: KEEPER,
            rewards: REWARDS,
            gas: GasTable::default(),
            patience: Patience { patience_secs: DAY, longest_wait_secs: 30 * DAY },
            largest_batch: 100,
            look_every_secs: 60,
            own,
            own_every_secs: 3 * DAY,
            deadline_secs: 600,
        };
        let worth = Source::fixed(U256::from(GWEI), 0).unwrap();
        let valuer = Valuer::new([(PAID, worth.clone()), (STAKED, worth)].into());
        let node = Node { refused: Vec::new(), asked: AtomicUsize::new(0) };
        Self { book, harvest: Harvest::new(settings), valuer, node }
    }

    fn look(&mut self, now: u64) -> Option<Round> {
        self.look_but(now, &|_, _| None)
    }

    fn look_but(&mut self, now: u64, obstacle: Obstacle<'_>) -> Option<Round> {
        let header = Header {
            number: now,
            hash: B256::left_padding_from(&now.to_be_bytes()),
            parent_hash: B256::ZERO,
            timestamp: now,
            base_fee: 0,
            gas_limit: 30_000_000,
            gas_used: 0,
        };
        let costs = Costs { gas_price: 20 * GWEI, data_byte_price: 0, margin_bps: 0 };
        let moment = Moment { header: &header, costs, room: 13_500_000 };
        let round = self.harvest.round(&self.node, &mut self.valuer, &self.book, moment, obstacle);
        round.now_or_never().expect("nobody is waited for")
    }

    /// The first hour in which something is sent.
    fn first_act(&mut self) -> (u64, Round) {
        let mut looks = (1..1_000).map(|hours| START + hours * HOUR);
        looks
            .find_map(|now| self.look(now).filter(|round| !round.intents.is_empty()).map(|round| (now, round)))
            .unwrap()
    }
}

fn names(round: &Round) -> Vec<&'static str> {
    let name = |verdict: &Verdict| match &verdict.decision {
        Decision::Act { .. } => "act",
        Decision::WhyNot(why_not) => why_not.name(),
    };
    round.verdicts.iter().map(name).collect()
}

#[test]
fn the_moment_is_the_best_of_all_that_there_are() {
    // With few accounts tips gather slowly, with many fast.
    for (stakers, tip_bps) in [(3, 2_000), (30, 1_000), (90, 50)] {
        let all: Vec<_> = (0..stakers).map(|number| (account(number), tip_bps)).collect();
        let mut bench = Bench::new(&all, OwnRewards::Leave);
        let (moment, round) = bench.first_act();
        let intent = &round.intents[0];
        assert_eq!(round.intents.len(), 1);
        let gas = U256::from(20 * GWEI) * U256::from(intent.expected_gas);
        assert!(intent.expected_gain > gas);
        // Gas and waiting over the time until each other moment, times a day.
        let tips = |now| {
            let stream = bench.book.pool(POOL).unwrap().stream(PAID).unwrap();
            let tip = |number| u128::from(tip_bps) * stream.claimable(account(number), now) / 10_000 * GWEI;
            (0..stakers).map(tip).sum::<u128>()
        };
        let mut waited = U256::ZERO;
        let mut cost_of_second = Vec::new();
        for hours in 1..1_000 {
            let now = START + hours * HOUR;
            waited += U256::from((tips(now - HOUR) + tips(now)) / 2) * U256::from(HOUR);
            let cost = gas * U256::from(DAY) + waited;
            // What does not pay is no moment.
            if U256::from(tips(now)) > gas {
                cost_of_second.push((cost / U256::from(now - START), now));
            }
        }
        let (_, best) = cost_of_second.into_iter().min().unwrap();
        assert!(moment.abs_diff(best) <= HOUR, "{moment} {best}");
    }
}

#[test]
fn waiting_is_a_reason_with_figures_and_ends_in_a_patient_transaction() {
    let all = [(account(0), 2_000), (account(1), 2_000), (account(2), 1)];
    let mut bench = Bench::new(&all, OwnRewards::Leave);
    let (moment, round) = bench.first_act();
    assert_eq!(round.intents[0].urgency, Urgency::Patient);
    let expected = [account(0), account(1)];
    assert!(matches!(&round.intents[0].purpose, Purpose::Harvest { accounts, .. } if *accounts == expected));
    // The third is not worth its place.
    assert_eq!(names(&round), ["gain_below_gas", "act", "act"]);
    let mut bench = Bench::new(&all, OwnRewards::Leave);
    bench.look(START + HOUR);
    let before = bench.look(moment - HOUR).unwrap();
    assert!(before.intents.is_empty());
    assert!(names(&before).iter().all(|name| ["worth_waiting", "gain_below_gas"].contains(name)), "{before:?}");
}

#[test]
fn between_two_looks_and_with_nothing_to_harvest_nobody_is_asked() {
    let mut bench = Bench::new(&[(account(0), 2_000)], OwnRewards::Leave);
    assert_eq!(bench.look(CREATED), Some(Round::default()));
    assert_eq!(bench.look(CREATED + 59), None);
    assert!(bench.look(CREATED + 60).is_some());
    let mut none = Bench::new(&[(account(0), 0)], OwnRewards::Leave);
    assert_eq!(none.look(START + 30 * DAY), Some(Round::default()));
    assert_eq!(none.node.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn what_is_in_flight_or_cannot_be_valued_or_is_refused_has_its_reason() {
    let all = [(account(0), 2_000), (account(1), 2_000)];
    let mut bench = Bench::new(&all, OwnRewards::Leave);
    let (moment, _) = bench.first_act();
    let in_flight = |_, who| (who == account(0)).then_some(WhyNot::InFlight);
    let round = bench.look_but(moment + HOUR, &in_flight).unwrap();
    assert_eq!(names(&round), ["in_flight", "act"]);
    bench.node.refused.push(IRewards::harvestCall::SELECTOR);
    assert_eq!(names(&bench.look(moment + 2 * HOUR).unwrap()), ["reverts", "reverts"]);
    bench.valuer = Valuer::new(BTreeMap::new());
    assert_eq!(names(&bench.look(moment + 3 * HOUR).unwrap()), ["no_valuation", "no_valuation"]);
}

#[test]
fn own_rewards_are_claimed_or_staked_again_once_they_have_gathered() {
    let purposes = |round: &Round| {
        round.intents.iter().map(|intent| (intent.purpose.clone(), intent.data[..4].to_vec())).collect::<Vec<_>>()
    };
    let claim = |reward_token| Purpose::ClaimOwn { pool: POOL, reward_token };
    let (claim_call, both_calls) = (IRewards::claimCall::SELECTOR.to_vec(), IRewards::multicallCall::SELECTOR.to_vec());
    for (own, first) in [(OwnRewards::Claim, &claim_call), (OwnRewards::Compound, &both_calls)] {
        let mut bench = Bench::new(&[(KEEPER, 0)], own);
        bench.look(START + 60);
        assert!(bench.look(START + 3 * DAY).unwrap().intents.is_empty());
        let round = bench.look(START + 3 * DAY + 60).unwrap();
        // Only the token that is staked can be staked again.
        assert_eq!(purposes(&round), [(claim(STAKED), first.clone()), (claim(PAID), claim_call.clone())]);
        assert_eq!(names(&round), ["act", "act"]);
    }
    // Where staking again is refused, claiming is left.
    let mut bench = Bench::new(&[(KEEPER, 0)], OwnRewards::Compound);
    bench.node.refused.push(IRewards::multicallCall::SELECTOR);
    bench.look(START + 60);
    let round = bench.look(START + 3 * DAY + 60).unwrap();
    assert_eq!(purposes(&round), [(claim(STAKED), claim_call.clone()), (claim(PAID), claim_call)]);
    assert_eq!(names(&round), ["act", "act"]);
    // And where nothing goes through, that is said once.
    bench.node.refused.push(IRewards::claimCall::SELECTOR);
    assert_eq!(names(&bench.look(START + 4 * DAY).unwrap()), ["reverts", "reverts"]);
    let mut left = Bench::new(&[(KEEPER, 0)], OwnRewards::Leave);
    left.look(START + 60);
    assert_eq!(left.look(START + 30 * DAY), Some(Round::default()));
}
