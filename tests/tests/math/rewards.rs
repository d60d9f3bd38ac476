//! The keeper's arithmetic of rewards equals the contract's library, bit for bit, on random and extreme states.

use alloy::{
    network::TransactionBuilder,
    primitives::{U256, Uint},
    providers::Provider,
    rpc::types::{BlockOverrides, TransactionRequest},
    sol_types::SolCall,
};
use plimsoll_contracts::harness::{
    Accrual,
    IRewardsHarness::{Answer, Case, answersCall},
};
use plimsoll_keeper::math::rewards::{
    EPOCH_SECONDS, EPOCHS_AHEAD, FUNDING_LIMIT, Stream, claimable_down, epoch_of, offset_after_payment,
    offset_after_stake_up, offset_after_unstake_up,
};
use plimsoll_testkit::devnet::Devnet;

use super::CALL_GAS;
use crate::random::Random;

const CASES: usize = 102_000;
const CASES_PER_CALL: usize = 500;
/// The latest timestamp: the contract stores times in 40 bits.
const MAX_TIME: u64 = (1 << 40) - 1;

/// The keeper's input for a case.
#[derive(Debug)]
struct State {
    stream: Stream,
    /// The schedule of the stream, without gaps.
    scheduled: Vec<u128>,
    total_staked: u128,
    until: u64,
    funded_amount: u128,
    funded_ahead: u64,
    funded_epochs: u64,
    staked: u128,
    offset: u128,
    amount: u128,
}

impl State {
    /// Returns a random state that the contract's storage can have at this second.
    fn random(random: &mut Random, now: u64) -> eyre::Result<Self> {
        let longest_ago = [1, 12, EPOCH_SECONDS, 40 * EPOCH_SECONDS][random.index(4)];
        let last_update = now - random.below(longest_ago);
        let last_update = if random.below(8) == 0 { last_update / EPOCH_SECONDS * EPOCH_SECONDS } else { last_update };
        // Scheduled, new and past amounts together are below 2^95.
        let mut rest = FUNDING_LIMIT / 2 - 1;
        let mut part = |random: &mut Random| {
            let part = random.amount_to(rest);
            rest -= part;
            part
        };
        let (epoch_amount, funded_amount) = (part(random), part(random));
        let scheduled: Vec<u128> = (0..random.below(EPOCHS_AHEAD + 2)).map(|_| part(random)).collect();
        let first = epoch_of(last_update) + 1;
        let accumulator = (U256::from(random.amount_to(u128::MAX)) << random.index(64)) >> 1;
        let stream = Stream {
            accumulator,
            last_update,
            remainder: if random.below(2) == 0 {
                random.below(EPOCH_SECONDS)
            } else {
                random.below(EPOCH_SECONDS << 32)
            },
            epoch_amount,
            last_funded_epoch: if scheduled.is_empty() {
                random.below(first)
            } else {
                first + u64::try_from(scheduled.len())? - 1
            },
            funded: FUNDING_LIMIT / 2 - 1 - funded_amount,
            scheduled: (first..).zip(scheduled.iter().copied()).collect(),
        };
        let funded_ahead = 1 + random.below(EPOCHS_AHEAD);
        let staked = random.amount_to(u128::MAX);
        let total_staked = random.amount_to(u128::MAX);
        // Of entitlements between nothing and everything, and of impossible ones.
        let offset = if random.below(4) == 0 {
            random.amount_to(u128::MAX)
        } else {
            let accumulator = stream.accumulator_at(total_staked, now);
            let entitled = random.amount_to(1 << 120);
            offset_after_stake_up(0, staked, accumulator).wrapping_sub(entitled)
        };
        Ok(Self {
            stream,
            scheduled,
            total_staked,
            until: now.saturating_sub(EPOCH_SECONDS) + random.below(60 * EPOCH_SECONDS),
            funded_amount,
            funded_ahead,
            funded_epochs: 1 + random.below(EPOCHS_AHEAD + 1 - funded_ahead),
            staked,
            offset,
            amount: random.amount_to(u128::MAX),
        })
    }

    fn case(&self) -> Case {
        Case {
            accumulator: Uint::from(self.stream.accumulator),
            lastUpdate: Uint::from(self.stream.last_update),
            remainder: self.stream.remainder,
            epochAmount: Uint::from(self.stream.epoch_amount),
            funded: Uint::from(self.stream.funded),
            lastFundedEpoch: u32::try_from(self.stream.last_funded_epoch).unwrap_or(u32::MAX),
            scheduled: self.scheduled.iter().copied().map(U256::from).collect(),
            totalStaked: self.total_staked,
            until: U256::from(self.until),
            fundedAmount: U256::from(self.funded_amount),
            fundedAhead: U256::from(self.funded_ahead),
            fundedEpochs: U256::from(self.funded_epochs),
            staked: self.staked,
            offset: self.offset,
            amount: self.amount,
        }
    }

    fn answer(&self, now: u64) -> Answer {
        let ahead = self.stream.project(self.total_staked, self.until);
        let mut stream = self.stream.clone();
        stream.accrue(self.total_staked, now);
        let epoch = epoch_of(now);
        stream.give(self.funded_amount, epoch + self.funded_ahead, self.funded_epochs);
        let later = (epoch + 1..=epoch + EPOCHS_AHEAD).map(|epoch| stream.scheduled.get(&epoch).copied());
        let amounts = std::iter::once(stream.epoch_amount).chain(later.map(Option::unwrap_or_default));
        let offsets = [
            offset_after_stake_up(self.offset, self.amount, stream.accumulator),
            offset_after_unstake_up(self.offset, self.amount, stream.accumulator),
            offset_after_payment(self.offset, self.amount),
        ];
        Answer {
            ahead: Accrual {
                accumulatorIncrease: ahead.accumulator_increase,
                remainder: U256::from(ahead.remainder),
                epoch: U256::from(ahead.epoch),
                epochAmount: U256::from(ahead.epoch_amount),
                joined: U256::from(ahead.joined),
                deferred: U256::from(ahead.deferred),
            },
            accumulator: stream.accumulator,
            lastUpdate: U256::from(stream.last_update),
            remainder: U256::from(stream.remainder),
            funded: U256::from(stream.funded),
            lastFundedEpoch: U256::from(stream.last_funded_epoch),
            amounts: amounts.map(U256::from).collect(),
            claimable: U256::from(claimable_down(self.staked, stream.accumulator, self.offset)),
            offsets: offsets.map(U256::from),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_computes_what_the_rewards_contract_computes() -> eyre::Result<()> {
    let devnet = Devnet::start_with(&["--gas-limit", CALL_GAS]).await?;
    let harness = devnet.deploy("RewardsHarness", Vec::new()).await?;
    let mut random = Random::from_seed(3);
    let (mut idle, mut across_epochs, mut paid) = (0, 0, 0);
    for _ in 0..CASES / CASES_PER_CALL {
        let now = 40 * EPOCH_SECONDS + random.below(MAX_TIME - 120 * EPOCH_SECONDS);
        let states: Vec<State> =
            (0..CASES_PER_CALL).map(|_| State::random(&mut random, now)).collect::<Result<_, _>>()?;
        let call = answersCall { cases: states.iter().map(State::case).collect() };
        let request = TransactionRequest::default().with_to(harness).with_input(call.abi_encode());
        let block = BlockOverrides { time: Some(now), ..BlockOverrides::default() };
        let answers = devnet.provider().call(request).with_block_overrides(block).await?;
        let answers = answersCall::abi_decode_returns(&answers)?;
        assert_eq!(answers.len(), states.len());
        for (state, answer) in states.iter().zip(answers) {
            idle += usize::from(!answer.ahead.joined.is_zero() && !answer.ahead.deferred.is_zero());
            across_epochs += usize::from(epoch_of(state.stream.last_update) + 1 < epoch_of(now));
            paid += usize::from(!answer.claimable.is_zero() && answer.accumulator > state.stream.accumulator);
            assert_eq!(state.answer(now), answer, "at {now}: {state:?}");
        }
    }
    // The rare branches were reached, and often.
    let reached = [idle, across_epochs, paid];
    assert!(reached.iter().all(|cases| *cases > CASES / 100), "idle, epochs, claims: {reached:?}");
    Ok(())
}
