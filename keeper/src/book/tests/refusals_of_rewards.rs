//! Events of staking programmes that cannot be true are refused with their values, and the book stays as it was.

use plimsoll_contracts::IRewards::{self, IRewardsEvents};

use super::{
    programmes::{claim, consent, create_pool, fund, harvest, rewards, stake, updates},
    *,
};
use crate::math::rewards::{EPOCH_SECONDS, epoch_of, start_of};

const FUNDED: u128 = 1_000_000_000;
const TIP_BPS: u16 = 100;

/// A second in the middle of what is paid.
const fn later() -> Block {
    Block { number: 3, timestamp: start_of(epoch_of(START) + 1) + EPOCH_SECONDS / 2 }
}

/// A pool with a single staker, who agrees to be harvested and gets rewards from the next epoch on.
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

/// What is wrong with the last of these events of a later block; those before it must leave no trace.
fn refusal(make: impl FnOnce(StreamBook<'_>) -> Vec<Event>) -> Problem {
    let mut book = book();
    let before = seen(&book);
    let mut events = make(stream(&book));
    let last = events.len() - 1;
    events.insert(0, create(&params(7)));
    let error = book.apply(later(), &events).unwrap_err();
    assert_eq!((seen(&book), book.tip()), (before, Some(2)), "the book is as it was");
    match error {
        ApplyError::DoesNotAddUp { block: 3, position, problem, .. } if position == last + 1 => problem,
        other => panic!("{other}"),
    }
}

/// The stream brought to the block's time, and then this.
fn refusal_after_update(make: impl FnOnce(StreamBook<'_>) -> Event) -> Problem {
    refusal(|stream| {
        let mut events = updates(stream, later().timestamp);
        events.push(make(stream));
        events
    })
}

#[test]
fn a_pool_is_created_once_and_under_its_own_id() {
    let twice = create_pool(0);
    let id = twice.pool;
    assert_eq!(refusal(|_| vec![rewards(IRewardsEvents::CreatePool(twice))]), Problem::PoolTwice(id));
    let (stated, computed) = (create_pool(1).pool, create_pool(2).pool);
    let event = IRewards::CreatePool { pool: stated, ..create_pool(2) };
    let problem = refusal(|_| vec![rewards(IRewardsEvents::CreatePool(event))]);
    assert_eq!(problem, Problem::WrongPoolId { stated, computed });
}

#[test]
fn pools_and_reward_tokens_that_are_not_there_are_refused() {
    let unknown = create_pool(5).pool;
    assert_eq!(refusal(|_| vec![stake(unknown, account(10), 1)]), Problem::UnknownPool(unknown));
    let (pool, reward_token) = (create_pool(0).pool, account(77));
    let nobodys = IRewards::Accrue { pool, rewardToken: reward_token, ..IRewards::Accrue::default() };
    let problem = refusal(|_| vec![rewards(IRewardsEvents::Accrue(nobodys))]);
    assert_eq!(problem, Problem::UnknownRewardToken { pool, reward_token });
}

#[test]
fn a_stake_that_was_missed_is_noticed_at_the_next_accrual() {
    let mut book = book();
    let mut seeing = self::book();
    let same_second = Block { number: 3, timestamp: block(2).timestamp };
    let other_stream = updates(seeing.rewards().nth(1).unwrap(), same_second.timestamp);
    let missed: Vec<_> = other_stream.into_iter().chain([stake(create_pool(0).pool, account(11), 500)]).collect();
    seeing.apply(same_second, &missed).unwrap();
    let events = updates(stream(&seeing), later().timestamp);
    seeing.apply(Block { number: 4, ..later() }, &events).unwrap();
    let error = book.apply(Block { number: 4, ..later() }, &events).unwrap_err();
    let problem = Problem::Differs {
        figure: Figure::AccumulatorIncrease,
        stated: seeing.rewards().next().unwrap().state().accumulator,
        computed: stream(&book).accumulator_at(later().timestamp),
    };
    assert!(matches!(error, ApplyError::DoesNotAddUp { problem: found, .. } if found == problem));
}

#[test]
fn nothing_happens_to_a_stream_that_was_not_brought_to_the_blocks_time() {
    let not_updated = Problem::NotUpdated { last_update: block(2).timestamp, block: later().timestamp };
    let epoch = epoch_of(later().timestamp) + 1;
    assert_eq!(refusal(|stream| vec![fund(stream, 5, epoch, 1)]), not_updated);
    assert_eq!(refusal(|stream| vec![claim(stream, account(10), 5)]), not_updated);
    assert_eq!(refusal(|stream| vec![stake(stream.pool().id(), account(10), 5)]), not_updated);
}

#[test]
fn rewards_put_off_are_counted_and_named() {
    let put_off = |amount| {
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
    let differs = |figure, stated, computed| Problem::Differs { figure, stated, computed };
    assert_eq!(refusal(put_off(7)), differs(Figure::Deferred(epoch), U256::from(7), U256::ZERO));
    assert_eq!(refusal(put_off(0)), differs(figure, U256::ONE, U256::ZERO));
}

#[test]
fn a_payment_is_all_that_could_be_claimed() {
    let claimable = stream(&book()).claimable(account(10), later().timestamp);
    assert!(claimable > 0);
    for stated in [claimable + 1, claimable - 1] {
        let computed = U256::from(claimable);
        let differs = Problem::Differs { figure: Figure::Reward(account(10)), stated: U256::from(stated), computed };
        assert_eq!(refusal_after_update(|stream| claim(stream, account(10), stated)), differs);
    }
}

#[test]
fn a_harvest_is_on_the_accounts_terms() {
    let found = stream(&book()).harvestable(later().timestamp)[0];
    let with = |change: fn(&mut HarvestConsent)| {
        let mut found = found;
        change(&mut found.consent);
        refusal_after_update(|stream| harvest(stream, found))
    };
    let tip = |tip_bps: u16| U256::from(found.claimable) * U256::from(tip_bps) / U256::from(10_000);
    let (stated, computed) = (tip(TIP_BPS + 1), tip(TIP_BPS));
    assert_eq!(
        with(|terms| terms.tip_bps += 1),
        Problem::Differs { figure: Figure::Tip(account(10)), stated, computed }
    );
    assert_eq!(with(|terms| terms.compounds = true), Problem::NotAgreed(account(10)));
    let problem = refusal(|stream| {
        let mut events = updates(stream, later().timestamp);
        events.push(consent(stream, account(10), HarvestConsent { enabled: false, ..found.consent }));
        events.push(harvest(stream, found));
        events
    });
    assert_eq!(problem, Problem::NotAgreed(account(10)));
}

#[test]
fn nobody_takes_out_more_than_he_has_staked() {
    let unstake = |amount: u64| {
        let (pool, who, amount) = (create_pool(0).pool, account(10), U256::from(amount));
        rewards(IRewardsEvents::Unstake(IRewards::Unstake { pool, caller: who, onBehalf: who, receiver: who, amount }))
    };
    let problem = refusal(|stream| {
        let mut events: Vec<_> = stream.pool().streams().flat_map(|each| updates(each, later().timestamp)).collect();
        events.push(unstake(1_001));
        events
    });
    let (has, takes) = (U256::from(1_000), U256::from(1_001));
    assert_eq!(problem, Problem::Overdrawn { quantity: Quantity::Stake(account(10)), has, takes });
}

#[test]
fn only_epochs_and_amounts_that_the_contract_takes_are_funded() {
    let earliest = epoch_of(later().timestamp) + 1;
    for (first, epochs) in [(earliest - 1, 1), (earliest, 0), (earliest, 27), (earliest + 25, 2), (u64::MAX, 1)] {
        let refused = Problem::EpochsOutOfRange { first: U256::from(first), epochs: U256::from(epochs), earliest };
        assert_eq!(refusal_after_update(|stream| fund(stream, 5, first, epochs)), refused);
    }
    let most = (1 << 96) - 1 - FUNDED;
    let refused = Problem::TooLarge { quantity: Quantity::Funded, has: U256::from(FUNDED), adds: U256::from(most + 1) };
    assert_eq!(refusal_after_update(|stream| fund(stream, most + 1, earliest, 26)), refused);
    let mut book = book();
    let mut events = updates(stream(&book), later().timestamp);
    events.push(fund(stream(&book), most, earliest, 26));
    book.apply(later(), &events).unwrap();
}
