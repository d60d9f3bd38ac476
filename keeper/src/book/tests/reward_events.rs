//! Generates the rewards contract's events, as it would emit them for random actions.

use alloy::{
    primitives::{Uint, keccak256},
    sol_types::SolValue,
};
use plimsoll_contracts::{
    IRewards::{self, IRewardsEvents},
    market::BPS,
};
use proptest::prelude::*;

use super::*;
use crate::math::rewards::{epoch_of, start_of};

/// An action of an account in one of two pools, by random numbers that are fitted to the pool's state.
#[derive(Debug, Clone, Copy)]
pub(super) struct RewardAction {
    verb: u8,
    pool: u64,
    stream: usize,
    account: u64,
    amount: u128,
    number: u64,
}

pub(super) fn action() -> impl Strategy<Value = RewardAction> {
    let amount = (any::<u64>(), 0..64u32).prop_map(|(number, down)| u128::from(number >> down).max(1));
    (0..10u8, 0..2u64, 0..2usize, 10..18u64, amount, any::<u64>()).prop_map(
        |(verb, pool, stream, account, amount, number)| RewardAction { verb, pool, stream, account, amount, number },
    )
}

/// Returns the creation of the `number`th pool, whose stake token is also its first reward token.
pub(super) fn create_pool(number: u64) -> IRewards::CreatePool {
    let (stake_token, salt) = (account(2_000), B256::left_padding_from(&number.to_be_bytes()));
    let rewards = vec![stake_token, account(2_001)];
    IRewards::CreatePool {
        pool: keccak256((stake_token, rewards.clone(), salt).abi_encode_params()),
        stakeToken: stake_token,
        creator: account(1),
        rewardTokens: rewards,
        salt,
    }
}

/// Returns the events of accruing a stream up to a time; none if it was accrued up to then.
pub(super) fn updates(stream: StreamBook<'_>, timestamp: u64) -> Vec<Event> {
    let state = stream.state();
    if state.last_update == timestamp {
        return Vec::new();
    }
    let (pool, reward_token) = (stream.pool().id(), stream.reward_token());
    let accrual = state.project(stream.pool().state().total_staked, timestamp);
    let deferrals = [(accrual.epoch, accrual.joined), (accrual.epoch + 1, accrual.deferred)];
    let deferrals = deferrals.into_iter().filter(|(_, amount)| *amount != 0).map(|(epoch, amount)| {
        let (epoch, amount) = (U256::from(epoch), U256::from(amount));
        rewards(IRewardsEvents::Defer(IRewards::Defer { pool, rewardToken: reward_token, epoch, amount }))
    });
    let accrue = rewards(IRewardsEvents::Accrue(IRewards::Accrue {
        pool,
        rewardToken: reward_token,
        accumulatorIncrease: accrual.accumulator_increase,
        remainder: U256::from(accrual.remainder),
    }));
    deferrals.chain([accrue]).collect()
}

pub(super) const fn rewards(event: IRewardsEvents) -> Event {
    Event::Rewards(event)
}

pub(super) fn stake(pool: B256, on_behalf: Address, amount: u128) -> Event {
    let (caller, amount) = (on_behalf, U256::from(amount));
    rewards(IRewardsEvents::Stake(IRewards::Stake { pool, caller, onBehalf: on_behalf, amount }))
}

pub(super) fn claim(stream: StreamBook<'_>, user: Address, amount: u128) -> Event {
    rewards(IRewardsEvents::Claim(IRewards::Claim {
        pool: stream.pool().id(),
        rewardToken: stream.reward_token(),
        onBehalf: user,
        receiver: user,
        amount: U256::from(amount),
    }))
}

pub(super) fn fund(stream: StreamBook<'_>, amount: u128, first_epoch: u64, epochs: u64) -> Event {
    rewards(IRewardsEvents::Fund(IRewards::Fund {
        pool: stream.pool().id(),
        rewardToken: stream.reward_token(),
        funder: account(1),
        firstEpoch: U256::from(first_epoch),
        epochs: U256::from(epochs),
        amount: U256::from(amount),
    }))
}

pub(super) fn consent(stream: StreamBook<'_>, user: Address, terms: HarvestConsent) -> Event {
    rewards(IRewardsEvents::SetHarvestConsent(IRewards::SetHarvestConsent {
        pool: stream.pool().id(),
        rewardToken: stream.reward_token(),
        account: user,
        enabled: terms.enabled,
        compounds: terms.compounds,
        tipBps: terms.tip_bps,
        smallest: Uint::from(terms.smallest),
    }))
}

/// Returns the harvest of all that an account can claim, on its terms.
pub(super) fn harvest(stream: StreamBook<'_>, found: HarvestCandidate) -> Event {
    let amount = U256::from(found.claimable);
    rewards(IRewardsEvents::Harvest(IRewards::Harvest {
        pool: stream.pool().id(),
        rewardToken: stream.reward_token(),
        account: found.account,
        amount,
        tip: amount * U256::from(found.consent.tip_bps) / U256::from(BPS),
        compounded: found.consent.compounds,
    }))
}

/// Returns the events of an action; none if the contract would revert.
pub(super) fn events_of(action: RewardAction, book: &Book, timestamp: u64) -> Vec<Event> {
    let created = create_pool(action.pool);
    let Some(pool) = book.pool(created.pool) else { return vec![rewards(IRewardsEvents::CreatePool(created))] };
    let user = account(action.account);
    let stream = pool.streams().nth(action.stream).unwrap();
    let staked = pool.stake(user);
    let all_updates = || pool.streams().flat_map(|stream| updates(stream, timestamp));
    match action.verb {
        0..=2 => all_updates().chain([stake(pool.id(), user, action.amount)]).collect(),
        3 | 4 if staked != 0 => {
            let amount = U256::from(if action.verb == 3 { staked } else { action.amount.min(staked) });
            let unstake = IRewards::Unstake { pool: pool.id(), caller: user, onBehalf: user, receiver: user, amount };
            all_updates().chain([rewards(IRewardsEvents::Unstake(unstake))]).collect()
        }
        5 => {
            let claimable = stream.claimable(user, timestamp);
            let paid = (claimable != 0).then(|| claim(stream, user, claimable));
            updates(stream, timestamp).into_iter().chain(paid).collect()
        }
        6 => {
            let (ahead, epochs) = (1 + action.number % 3, 1 + action.number % 5);
            let fund = fund(stream, action.amount, epoch_of(timestamp) + ahead, epochs);
            updates(stream, timestamp).into_iter().chain([fund]).collect()
        }
        7 | 8 => {
            let terms = HarvestConsent {
                enabled: !action.number.is_multiple_of(8),
                compounds: action.stream == 0 && action.number.is_multiple_of(3),
                tip_bps: u16::try_from(action.number % 2_001).unwrap(),
                smallest: if action.number.is_multiple_of(2) { 0 } else { action.amount },
            };
            vec![consent(stream, user, terms)]
        }
        9 => {
            // A harvest that compounds needs all streams accrued. A second accrual in the same second emits nothing.
            let found = stream.harvestable(timestamp).into_iter().take(3).map(|found| harvest(stream, found));
            all_updates().chain(found).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns times in the epoch of a timestamp, and in later ones.
pub(super) fn times_around(timestamp: u64) -> Vec<u64> {
    let next = start_of(epoch_of(timestamp) + 1);
    vec![timestamp - 1, timestamp, timestamp + 1, timestamp + 86_400, next - 1, next, next + 1_000_000, next * 2]
}
