//! Events of staking programmes, as the contract would emit them for what somebody does by random numbers.

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

/// What somebody does in one of two pools; the numbers are fitted to what is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed {
    verb: u8,
    pool: u64,
    stream: usize,
    account: u64,
    amount: u128,
    number: u64,
}

pub(super) fn deed() -> impl Strategy<Value = Deed> {
    let amount = (any::<u64>(), 0..64u32).prop_map(|(number, down)| u128::from(number >> down).max(1));
    (0..10u8, 0..2u64, 0..2usize, 10..18u64, amount, any::<u64>())
        .prop_map(|(verb, pool, stream, account, amount, number)| Deed { verb, pool, stream, account, amount, number })
}

/// The `number`th pool: what is staked is its first reward, too.
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

/// The events that bring a stream to a second.
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

pub(super) fn claim(stream: StreamBook<'_>, who: Address, amount: u128) -> Event {
    rewards(IRewardsEvents::Claim(IRewards::Claim {
        pool: stream.pool().id(),
        rewardToken: stream.reward_token(),
        onBehalf: who,
        receiver: who,
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

pub(super) fn consent(stream: StreamBook<'_>, who: Address, terms: HarvestConsent) -> Event {
    rewards(IRewardsEvents::SetHarvestConsent(IRewards::SetHarvestConsent {
        pool: stream.pool().id(),
        rewardToken: stream.reward_token(),
        account: who,
        enabled: terms.enabled,
        compounds: terms.compounds,
        tipBps: terms.tip_bps,
        smallest: Uint::from(terms.smallest),
    }))
}

/// All that an account can claim, harvested on its terms.
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

/// The events of a deed; none where the contract would refuse.
pub(super) fn events_of(deed: Deed, book: &Book, timestamp: u64) -> Vec<Event> {
    let created = create_pool(deed.pool);
    let Some(pool) = book.pool(created.pool) else { return vec![rewards(IRewardsEvents::CreatePool(created))] };
    let who = account(deed.account);
    let stream = pool.streams().nth(deed.stream).unwrap();
    let staked = pool.stake(who);
    let all_updates = || pool.streams().flat_map(|stream| updates(stream, timestamp));
    match deed.verb {
        0..=2 => all_updates().chain([stake(pool.id(), who, deed.amount)]).collect(),
        3 | 4 if staked != 0 => {
            let amount = U256::from(if deed.verb == 3 { staked } else { deed.amount.min(staked) });
            let unstake = IRewards::Unstake { pool: pool.id(), caller: who, onBehalf: who, receiver: who, amount };
            all_updates().chain([rewards(IRewardsEvents::Unstake(unstake))]).collect()
        }
        5 => {
            let claimable = stream.claimable(who, timestamp);
            let paid = (claimable != 0).then(|| claim(stream, who, claimable));
            updates(stream, timestamp).into_iter().chain(paid).collect()
        }
        6 => {
            let (ahead, epochs) = (1 + deed.number % 3, 1 + deed.number % 5);
            let fund = fund(stream, deed.amount, epoch_of(timestamp) + ahead, epochs);
            updates(stream, timestamp).into_iter().chain([fund]).collect()
        }
        7 | 8 => {
            let terms = HarvestConsent {
                enabled: !deed.number.is_multiple_of(8),
                compounds: deed.stream == 0 && deed.number.is_multiple_of(3),
                tip_bps: u16::try_from(deed.number % 2_001).unwrap(),
                smallest: if deed.number.is_multiple_of(2) { 0 } else { deed.amount },
            };
            vec![consent(stream, who, terms)]
        }
        9 => {
            // Those who compound need the other stream, too; what is updated twice in a second is so once.
            let found = stream.harvestable(timestamp).into_iter().take(3).map(|found| harvest(stream, found));
            all_updates().chain(found).collect()
        }
        _ => Vec::new(),
    }
}

/// A time of the same epoch as another, or in one of the next.
pub(super) fn times_around(timestamp: u64) -> Vec<u64> {
    let next = start_of(epoch_of(timestamp) + 1);
    vec![timestamp - 1, timestamp, timestamp + 1, timestamp + 86_400, next - 1, next, next + 1_000_000, next * 2]
}
