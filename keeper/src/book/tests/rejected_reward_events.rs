//! Inconsistent events of the rewards contract are rejected with their values, and the book is unchanged.

use plimsoll_contracts::IRewards::{self, IRewardsEvents};

use super::{
    reward_events::{claim, consent, create_pool, fund, harvest, rewards, stake, updates},
    *,
};
use crate::math::rewards::{EPOCH_SECONDS, epoch_of, start_of};

const FUNDED: u128 = 1_000_000_000;
const TIP_BPS: u16 = 100;

/// Returns a block in the middle of the funded epoch.
const fn later() -> Block {
    Block { number: 3, timestamp: start_of(epoch_of(START) + 1) + EPOCH_SECONDS / 2 }
}

/// Returns a book with a pool and a single staker, who consents to harvests and earns rewards from the next epoch on.
fn book() -> Book {
    let created = create_pool(0);
    let pool = created.pool;
    let mut book = Book::new();
    book.apply(block(1), &[rewards(IRewardsEvents::CreatePool(created)), stake(pool, account(10), 1_000)]).unwrap();
    let stream = book.pool(pool).unwrap().streams().next().unwrap();
    let terms = HarvestConsent { enabled: true, compounds: false, tip_bps: TIP_BPS, smallest: 5 };
    let mut events = updates(stream, block(2).timestamp);
    events.push(fund(stream, FUNDED, epoch_of(START) + 1, 1));
    events.push(consent(stream, account(10), terms));
    book.apply(block(2), &events).unwrap();
    book
}

fn stream(book: &Book) -> StreamBook<'_> {
    book.rewards().next().unwrap()
}

/// Applies a later block that ends with an inconsistent event, and returns the reason for its rejection. The consistent
/// events before it must leave no trace.
fn rejection(make: impl FnOnce(StreamBook<'_>) -> Vec<Event>) -> EventError {
    let mut book = book();
    let before = snapshot(&book);
    let mut events = make(stream(&book));
    let last = events.len() - 1;
    events.insert(0, create(&params(7)));
    let error = book.apply(later(), &events).unwrap_err();
    assert_eq!((snapshot(&book), book.tip()), (before, Some(2)), "the book is unchanged");
    match error {
        ApplyError::InconsistentEvent { block: 3, position, problem, .. } if position == last + 1 => problem,
        other => panic!("{other}"),
    }
}

/// The same, with the stream accrued before the inconsistent event.
fn rejection_after_accrual(make: impl FnOnce(StreamBook<'_>) -> Event) -> EventError {
    rejection(|stream| {
        let mut events = updates(stream, later().timestamp);
        events.push(make(stream));
        events
    })
}

#[test]
fn a_pool_is_created_once_and_under_its_own_id() {
    let twice = create_pool(0);
    let id = twice.pool;
    assert_eq!(rejection(|_| vec![rewards(IRewardsEvents::CreatePool(twice))]), EventError::DuplicatePool(id));
    let (stated, computed) = (create_pool(1).pool, create_pool(2).pool);
    let event = IRewards::CreatePool { pool: stated, ..create_pool(2) };
    let problem = rejection(|_| vec![rewards(IRewardsEvents::CreatePool(event))]);
    assert_eq!(problem, EventError::WrongPoolId { stated, computed });
}

#[test]
fn events_of_unknown_pools_and_reward_tokens_are_rejected() {
    let unknown = create_pool(5).pool;
    assert_eq!(rejection(|_| vec![stake(unknown, account(10), 1)]), EventError::UnknownPool(unknown));
    let (pool, reward_token) = (create_pool(0).pool, account(77));
    let unknown_token = IRewards::Accrue { pool, rewardToken: reward_token, ..IRewards::Accrue::default() };
    let problem = rejection(|_| vec![rewards(IRewardsEvents::Accrue(unknown_token))]);
    assert_eq!(problem, EventError::UnknownRewardToken { pool, reward_token });
}

#[test]
fn a_missed_stake_is_detected_at_the_next_accrual() {
    let mut book = book();
    let mut complete = self::book();
    let same_second = Block { number: 3, timestamp: block(2).timestamp };
    let other_stream = updates(complete.rewards().nth(1).unwrap(), same_second.timestamp);
    let missed: Vec<_> = other_stream.into_iter().chain([stake(create_pool(0).pool, account(11), 500)]).collect();
    complete.apply(same_second, &missed).unwrap();
    let events = updates(stream(&complete), later().timestamp);
    complete.apply(Block { number: 4, ..later() }, &events).unwrap();
    let error = book.apply(Block { number: 4, ..later() }, &events).unwrap_err();
    let problem = EventError::Mismatch {
        figure: Figure::AccumulatorIncrease,
        stated: complete.rewards().next().unwrap().state().accumulator,
        computed: stream(&book).accumulator_at(later().timestamp),
    };
    assert!(matches!(error, ApplyError::InconsistentEvent { problem: found, .. } if found == problem));
}

#[test]
fn an_event_of_a_stream_that_was_not_accrued_in_its_block_is_rejected() {
    let not_accrued = EventError::StreamNotAccrued { last_update: block(2).timestamp, block: later().timestamp };
    let epoch = epoch_of(later().timestamp) + 1;
    assert_eq!(rejection(|stream| vec![fund(stream, 5, epoch, 1)]), not_accrued);
    assert_eq!(rejection(|stream| vec![claim(stream, account(10), 5)]), not_accrued);
    assert_eq!(rejection(|stream| vec![stake(stream.pool().id(), account(10), 5)]), not_accrued);
}

#[test]
fn a_wrong_or_missing_deferral_is_rejected() {
    let deferral = |amount| {
        move |stream: StreamBook<'_>| {
            let defer = IRewards::Defer {
                pool: stream.pool().id(),
                rewardToken: stream.reward_token(),
                epoch: U256::from(epoch_of(later().timestamp)),
                amount: U256::from(amount),
            };
            let mut events = vec![rewards(IRewardsEvents::Defer(defer))];
            if amount == 0 {
                events.extend(updates(stream, later().timestamp));
            }
            events
        }
    };
    let (epoch, figure) = (epoch_of(later().timestamp), Figure::Deferrals);
    let differs = |figure, stated, computed| EventError::Mismatch { figure, stated, computed };
    assert_eq!(rejection(deferral(7)), differs(Figure::Deferred(epoch), U256::from(7), U256::ZERO));
    assert_eq!(rejection(deferral(0)), differs(figure, U256::ONE, U256::ZERO));
}

#[test]
fn a_payment_of_other_than_the_claimable_amount_is_rejected() {
    let claimable = stream(&book()).claimable(account(10), later().timestamp);
    assert!(claimable > 0);
    for stated in [claimable + 1, claimable - 1] {
        let computed = U256::from(claimable);
        let differs =
            EventError::Mismatch { figure: Figure::Reward(account(10)), stated: U256::from(stated), computed };
        assert_eq!(rejection_after_accrual(|stream| claim(stream, account(10), stated)), differs);
    }
}

#[test]
fn a_harvest_on_other_terms_than_the_accounts_is_rejected() {
    let found = stream(&book()).harvestable(later().timestamp)[0];
    let with = |change: fn(&mut HarvestConsent)| {
        let mut found = found;
        change(&mut found.consent);
        rejection_after_accrual(|stream| harvest(stream, found))
    };
    let tip = |tip_bps: u16| U256::from(found.claimable) * U256::from(tip_bps) / U256::from(10_000);
    let (stated, computed) = (tip(TIP_BPS + 1), tip(TIP_BPS));
    assert_eq!(
        with(|terms| terms.tip_bps += 1),
        EventError::Mismatch { figure: Figure::Tip(account(10)), stated, computed }
    );
    assert_eq!(with(|terms| terms.compounds = true), EventError::NoHarvestConsent(account(10)));
    let problem = rejection(|stream| {
        let mut events = updates(stream, later().timestamp);
        events.push(consent(stream, account(10), HarvestConsent { enabled: false, ..found.consent }));
        events.push(harvest(stream, found));
        events
    });
    assert_eq!(problem, EventError::NoHarvestConsent(account(10)));
}

#[test]
fn an_unstake_of_more_than_the_stake_is_rejected() {
    let unstake = |amount: u64| {
        let (pool, user, amount) = (create_pool(0).pool, account(10), U256::from(amount));
        rewards(IRewardsEvents::Unstake(IRewards::Unstake {
            pool,
            caller: user,
            onBehalf: user,
            receiver: user,
            amount,
        }))
    };
    let problem = rejection(|stream| {
        let mut events: Vec<_> = stream.pool().streams().flat_map(|each| updates(each, later().timestamp)).collect();
        events.push(unstake(1_001));
        events
    });
    let (has, takes) = (U256::from(1_000), U256::from(1_001));
    assert_eq!(problem, EventError::Underflow { quantity: Quantity::Stake(account(10)), has, takes });
}

#[test]
fn funding_of_epochs_or_amounts_that_the_contract_rejects_is_rejected() {
    let earliest = epoch_of(later().timestamp) + 1;
    for (first, epochs) in [(earliest - 1, 1), (earliest, 0), (earliest, 27), (earliest + 25, 2), (u64::MAX, 1)] {
        let rejected = EventError::EpochsOutOfRange { first: U256::from(first), epochs: U256::from(epochs), earliest };
        assert_eq!(rejection_after_accrual(|stream| fund(stream, 5, first, epochs)), rejected);
    }
    let most = (1 << 96) - 1 - FUNDED;
    let rejected =
        EventError::Overflow { quantity: Quantity::Funded, has: U256::from(FUNDED), adds: U256::from(most + 1) };
    assert_eq!(rejection_after_accrual(|stream| fund(stream, most + 1, earliest, 26)), rejected);
    let mut book = book();
    let mut events = updates(stream(&book), later().timestamp);
    events.push(fund(stream(&book), most, earliest, 26));
    book.apply(later(), &events).unwrap();
}
