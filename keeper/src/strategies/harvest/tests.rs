//! Runs of the strategy over weeks of a staking programme.

use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::{
    primitives::{Uint, b256},
    sol_types::SolError,
};
use futures_util::FutureExt;
use plimsoll_contracts::IRewards::IRewardsEvents;

use super::*;
use crate::{
    book::Block,
    chain::Event,
    math::rewards::{EPOCH_SECONDS, start_of},
    prices::{CallError, Prices, Source},
    strategies::{Decision, Verdict, gas::Costs},
};

const FIRST_EPOCH: u64 = 100;
/// The second before rewards begin to accrue.
const CREATED: u64 = start_of(FIRST_EPOCH) - 1;
const START: u64 = start_of(FIRST_EPOCH);
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const POOL: B256 = b256!("a862d845e9200da4fcf2c830bcf425979382ca98a93451814f80a97606351e55");
const STAKED: Address = Address::repeat_byte(1);
const PAID: Address = Address::repeat_byte(2);
const KEEPER: Address = Address::repeat_byte(3);
const REWARDS: Address = Address::repeat_byte(4);
/// Units of each reward token that accrue in a second; a unit is worth a gwei.
const PER_SECOND: u128 = 10_000;
const GWEI: u128 = 1_000_000_000;

fn account(number: u64) -> Address {
    Address::left_padding_from(&(number + 1_000).to_be_bytes())
}

/// A node on which every call succeeds, but for those with certain selectors.
struct FakeNode {
    /// Selectors of the calls that revert.
    reverting: Vec<[u8; 4]>,
    /// Accounts to which the reward token does not confirm payments.
    unconfirmed: Vec<Address>,
    /// Calls simulated so far.
    calls: AtomicUsize,
}

impl ChainReader for FakeNode {
    async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        self.calls.fetch_add(sequences.iter().map(Vec::len).sum(), Ordering::Relaxed);
        Ok(sequences.iter().map(|calls| calls.iter().map(|call| self.simulate(call)).collect()).collect())
    }
}

impl FakeNode {
    fn simulate(&self, call: &Call) -> SimulatedCall {
        let reverts = self.reverting.iter().any(|selector| call.data.starts_with(selector));
        let harvest = IRewards::harvestWithGasLimitCall::abi_decode(&call.data).ok();
        let accounts = harvest.as_ref().map(|harvest| harvest.accounts.clone()).unwrap_or_default();
        let unconfirmed = harvest.and_then(|harvest| {
            let to = harvest.accounts.into_iter().find(|account| self.unconfirmed.contains(account))?;
            let (token, from, amount) = (harvest.rewardToken, REWARDS, U256::ONE);
            Some(IRewards::TransferFailed { token, from, to, amount }.abi_encode().into())
        });
        let result = match unconfirmed {
            None if !reverts => Ok(U256::ONE.to_be_bytes_vec().into()),
            data => Err(CallError::Reverted(data.unwrap_or_default())),
        };
        // As much as the table has.
        let table = GasTable::default();
        let gas = if accounts.is_empty() { table.claim } else { table.harvest_gas(accounts.len(), 0) };
        SimulatedCall { result, gas_used: gas.saturating_sub(intrinsic_gas(&call.data)) }
    }
}

struct Fixture {
    book: Book,
    harvest: Harvest,
    valuer: Valuer,
    node: FakeNode,
}

impl Fixture {
    /// Creates a pool that pays the staked token and another one, with an equal stake of each of these accounts. With each
    /// account comes its tip in basis points; accounts with a tip of 0 do not consent to being harvested.
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
        let settings = HarvestSettings {
            keeper: KEEPER,
            rewards: REWARDS,
            programmes: [POOL].into(),
            gas: GasTable::default(),
            timing: HarvestTiming { patience_secs: DAY, max_wait_secs: 30 * DAY },
            max_batch: 100,
            interval_secs: 60,
            own,
            own_interval_secs: 3 * DAY,
            deadline_secs: 600,
        };
        let source = Source::fixed(U256::from(GWEI), 0).unwrap();
        let valuer = Valuer::new([(PAID, source.clone()), (STAKED, source)].into());
        let node = FakeNode { reverting: Vec::new(), unconfirmed: Vec::new(), calls: AtomicUsize::new(0) };
        Self { book, harvest: Harvest::new(settings), valuer, node }
    }

    fn decide(&mut self, now: u64) -> Option<Decisions<RewardId>> {
        self.decide_with(now, &|_| None)
    }

    fn decide_with(&mut self, now: u64, exclusion: Exclusion<'_, RewardId>) -> Option<Decisions<RewardId>> {
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
        let prices = Prices::default();
        let context = BlockContext { header: &header, prices: &prices, costs, room: 13_500_000 };
        let decisions = self.harvest.decide(&self.node, &mut self.valuer, &self.book, context, exclusion);
        decisions.now_or_never().expect("the fixture answers at once")
    }

    /// Runs the strategy every hour until something is sent; returns the time and what was decided.
    fn first_harvest(&mut self) -> (u64, Decisions<RewardId>) {
        (1..1_000)
            .map(|hours| START + hours * HOUR)
            .find_map(|now| {
                let decisions = self.decide(now)?;
                (!decisions.intents.is_empty()).then_some((now, decisions))
            })
            .unwrap()
    }
}

/// Returns the name of each verdict's skip reason, or "act".
fn names(decisions: &Decisions<RewardId>) -> Vec<&'static str> {
    let name = |verdict: &Verdict<RewardId>| match &verdict.decision {
        Decision::Act { .. } => "act",
        Decision::Skip(reason) => reason.name(),
    };
    decisions.verdicts.iter().map(name).collect()
}

#[test]
fn harvesting_happens_within_an_hour_of_the_optimal_time() {
    // With few accounts tips accrue slowly, with many fast.
    for (stakers, tip_bps) in [(3, 2_000), (30, 1_000), (90, 50)] {
        let all: Vec<_> = (0..stakers).map(|number| (account(number), tip_bps)).collect();
        let mut fixture = Fixture::new(&all, OwnRewards::Leave);
        let (harvested_at, decisions) = fixture.first_harvest();
        let intent = &decisions.intents[0];
        assert_eq!(decisions.intents.len(), 1);
        let gas = U256::from(20 * GWEI) * U256::from(intent.expected_gas);
        assert!(intent.expected_gain > gas);
        // For every hour: gas and waiting for each second until then, times a day.
        let tips = |now| {
            let stream = fixture.book.pool(POOL).unwrap().stream(PAID).unwrap();
            let tip = |number| u128::from(tip_bps) * stream.claimable(account(number), now) / 10_000 * GWEI;
            (0..stakers).map(tip).sum::<u128>()
        };
        let mut waited = U256::ZERO;
        let mut cost_of_second = Vec::new();
        for hours in 1..1_000 {
            let now = START + hours * HOUR;
            waited += U256::from((tips(now - HOUR) + tips(now)) / 2) * U256::from(HOUR);
            let cost = gas * U256::from(DAY) + waited;
            // Only hours at which a harvest is profitable count.
            if U256::from(tips(now)) > gas {
                cost_of_second.push((cost / U256::from(now - START), now));
            }
        }
        let (_, best) = cost_of_second.into_iter().min().unwrap();
        assert!(harvested_at.abs_diff(best) <= HOUR, "{harvested_at} {best}");
    }
}

#[test]
fn waiting_is_a_skip_reason_and_ends_in_a_transaction_of_low_priority() {
    let all = [(account(0), 2_000), (account(1), 2_000), (account(2), 1)];
    let mut fixture = Fixture::new(&all, OwnRewards::Leave);
    let (harvested_at, decisions) = fixture.first_harvest();
    assert_eq!(decisions.intents[0].priority, Priority::Low);
    let expected = [account(0), account(1)];
    assert!(matches!(&decisions.intents[0].purpose, Purpose::Harvest { accounts, .. } if *accounts == expected));
    // The third account is not worth its place.
    assert_eq!(names(&decisions), ["gain_below_gas", "act", "act"]);
    let mut fixture = Fixture::new(&all, OwnRewards::Leave);
    fixture.decide(START + HOUR);
    let before = fixture.decide(harvested_at - HOUR).unwrap();
    assert!(before.intents.is_empty());
    assert!(names(&before).iter().all(|name| ["worth_waiting", "gain_below_gas"].contains(name)), "{before:?}");
}

#[test]
fn a_programme_that_is_not_configured_is_never_harvested_and_costs_no_request() {
    let mut fixture = Fixture::new(&[(account(0), 2_000), (KEEPER, 0)], OwnRewards::Claim);
    fixture.harvest.settings.programmes.clear();
    for hours in 0..40 {
        assert_eq!(fixture.decide(START + hours * DAY), Some(Decisions::default()));
    }
    assert_eq!(fixture.node.calls.load(Ordering::Relaxed), 0);
}

#[test]
fn no_request_is_made_between_two_runs_or_with_nothing_to_harvest() {
    let mut fixture = Fixture::new(&[(account(0), 2_000)], OwnRewards::Leave);
    assert_eq!(fixture.decide(CREATED), Some(Decisions::default()));
    assert_eq!(fixture.decide(CREATED + 59), None);
    assert!(fixture.decide(CREATED + 60).is_some());
    let mut none = Fixture::new(&[(account(0), 0)], OwnRewards::Leave);
    assert_eq!(none.decide(START + 30 * DAY), Some(Decisions::default()));
    assert_eq!(none.node.calls.load(Ordering::Relaxed), 0);
}

#[test]
fn pending_unvalued_and_reverting_harvests_each_have_their_reason() {
    let all = [(account(0), 2_000), (account(1), 2_000)];
    let mut fixture = Fixture::new(&all, OwnRewards::Leave);
    let (harvested_at, _) = fixture.first_harvest();
    let in_flight = |reward: RewardId| (reward.account == account(0)).then_some(SkipReason::InFlight);
    let decisions = fixture.decide_with(harvested_at + HOUR, &in_flight).unwrap();
    assert_eq!(names(&decisions), ["in_flight", "act"]);
    fixture.node.reverting.push(IRewards::harvestWithGasLimitCall::SELECTOR);
    assert_eq!(names(&fixture.decide(harvested_at + 2 * HOUR).unwrap()), ["reverts", "reverts"]);
    fixture.valuer = Valuer::new(BTreeMap::new());
    assert_eq!(names(&fixture.decide(harvested_at + 3 * HOUR).unwrap()), ["no_valuation", "no_valuation"]);
}

#[test]
fn an_account_whose_payment_is_not_confirmed_is_left_out_and_the_others_are_harvested() {
    let all: Vec<_> = (0..8).map(|number| (account(number), 2_000)).collect();
    let accounts = |decisions: &Decisions<RewardId>| match &decisions.intents[..] {
        [Intent { purpose: Purpose::Harvest { accounts, .. }, .. }] => accounts.clone(),
        other => panic!("{other:?}"),
    };
    let mut fixture = Fixture::new(&all, OwnRewards::Leave);
    let (harvested_at, with_all) = fixture.first_harvest();
    fixture.node.unconfirmed = vec![account(3), account(5)];
    let now = harvested_at + HOUR;
    let decisions = fixture.decide(now).unwrap();
    assert_eq!(accounts(&decisions), [0, 1, 2, 4, 6, 7].map(account));
    assert_eq!(names(&decisions)[..2], ["transfer_failed"; 2]);
    assert_eq!(decisions.verdicts.len(), all.len());
    assert!(decisions.intents[0].expected_gain < with_all.intents[0].expected_gain);
    // For a day they cost no further simulation; after that they are tried again.
    let calls = fixture.node.calls.load(Ordering::Relaxed);
    let later = fixture.decide(now + HOUR).unwrap();
    assert_eq!((accounts(&later).len(), fixture.node.calls.load(Ordering::Relaxed)), (6, calls + 1));
    fixture.node.unconfirmed.clear();
    assert_eq!(accounts(&fixture.decide(now + DAY).unwrap()).len(), 8);
}

#[test]
fn more_unconfirmed_payments_than_one_decision_retries_are_left_out_by_the_next() {
    let all: Vec<_> = (0..10).map(|number| (account(number), 2_000)).collect();
    let mut fixture = Fixture::new(&all, OwnRewards::Leave);
    let (harvested_at, _) = fixture.first_harvest();
    fixture.node.unconfirmed = (0..8).map(account).collect();
    let calls = fixture.node.calls.load(Ordering::Relaxed);
    let first = fixture.decide(harvested_at + HOUR).unwrap();
    assert_eq!(fixture.node.calls.load(Ordering::Relaxed) - calls, 1 + MAX_RETRIES);
    assert_eq!((first.intents.len(), first.verdicts.len()), (0, 10));
    assert_eq!(names(&first)[4..], ["transfer_failed", "reverts", "reverts", "reverts", "reverts", "reverts"]);
    let second = fixture.decide(harvested_at + 2 * HOUR).unwrap();
    assert_eq!((second.intents.len(), second.verdicts.len()), (1, 10));
}

#[test]
fn own_rewards_are_claimed_or_compounded_once_the_interval_is_over() {
    let purposes = |decisions: &Decisions<RewardId>| {
        decisions.intents.iter().map(|intent| (intent.purpose.clone(), intent.data[..4].to_vec())).collect::<Vec<_>>()
    };
    let claim = |reward_token| Purpose::ClaimOwn { pool: POOL, reward_token };
    let (claim_call, both_calls) = (IRewards::claimCall::SELECTOR.to_vec(), IRewards::multicallCall::SELECTOR.to_vec());
    for (own, first) in [(OwnRewards::Claim, &claim_call), (OwnRewards::Compound, &both_calls)] {
        let mut fixture = Fixture::new(&[(KEEPER, 0)], own);
        fixture.decide(START + 60);
        assert!(fixture.decide(START + 3 * DAY).unwrap().intents.is_empty());
        let decisions = fixture.decide(START + 3 * DAY + 60).unwrap();
        // Only the stake token can be staked again.
        assert_eq!(purposes(&decisions), [(claim(STAKED), first.clone()), (claim(PAID), claim_call.clone())]);
        assert_eq!(names(&decisions), ["act", "act"]);
    }
    // Where staking again reverts, the reward is only claimed.
    let mut fixture = Fixture::new(&[(KEEPER, 0)], OwnRewards::Compound);
    fixture.node.reverting.push(IRewards::multicallCall::SELECTOR);
    fixture.decide(START + 60);
    let decisions = fixture.decide(START + 3 * DAY + 60).unwrap();
    assert_eq!(purposes(&decisions), [(claim(STAKED), claim_call.clone()), (claim(PAID), claim_call)]);
    assert_eq!(names(&decisions), ["act", "act"]);
    // Where both calls revert, there is one verdict all the same.
    fixture.node.reverting.push(IRewards::claimCall::SELECTOR);
    assert_eq!(names(&fixture.decide(START + 4 * DAY).unwrap()), ["reverts", "reverts"]);
    let mut left = Fixture::new(&[(KEEPER, 0)], OwnRewards::Leave);
    left.decide(START + 60);
    assert_eq!(left.decide(START + 30 * DAY), Some(Decisions::default()));
}
