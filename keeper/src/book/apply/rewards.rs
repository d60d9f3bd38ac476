//! What the events of staking programmes change.
//!
//! Every accrual is computed here as well, and so is every payment: a pool of which an event was missed is noticed at
//! the next of either.

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};
use plimsoll_contracts::{
    IRewards::{self, IRewardsEvents},
    market::BPS,
};

use super::{Application, add, take};
use crate::{
    book::{
        at,
        error::{Figure, Problem, Quantity},
        rewards::{Account, HarvestConsent, Ledger, PoolBook, PoolState},
        undo::Change,
    },
    math::rewards::{
        Accrual, EPOCHS_AHEAD, FUNDING_LIMIT, Stream, claimable_down, epoch_of, offset_after_payment,
        offset_after_stake_up, offset_after_unstake_up,
    },
};

impl Application<'_> {
    pub(super) fn rewards(&mut self, event: &IRewardsEvents) -> Result<(), Problem> {
        match event {
            IRewardsEvents::CreatePool(event) => self.create_pool(event),
            IRewardsEvents::Fund(event) => self.fund(event),
            IRewardsEvents::Defer(event) => self.defer(event),
            IRewardsEvents::Accrue(event) => self.accrue_stream(event),
            IRewardsEvents::Stake(IRewards::Stake { pool, onBehalf, amount, .. }) => {
                self.stake(self.pool(*pool)?, *onBehalf, *amount)
            }
            IRewardsEvents::Unstake(IRewards::Unstake { pool, onBehalf, amount, .. }) => {
                self.unstake(self.pool(*pool)?, *onBehalf, *amount)
            }
            IRewardsEvents::Claim(event) => {
                let stream = self.stream(event.pool, event.rewardToken)?;
                self.pay(stream, event.onBehalf, event.amount)
            }
            IRewardsEvents::Harvest(event) => self.harvest(event),
            IRewardsEvents::SetHarvestConsent(event) => self.set_harvest_consent(event),
            // Who may act for whom is not in the book.
            IRewardsEvents::SetAuthorization(_) => Ok(()),
        }
    }

    fn create_pool(&mut self, event: &IRewards::CreatePool) -> Result<(), Problem> {
        let IRewards::CreatePool { pool: stated, stakeToken, rewardTokens, salt, .. } = event;
        let computed = keccak256((*stakeToken, rewardTokens.clone(), *salt).abi_encode_params());
        if *stated != computed {
            return Err(Problem::WrongPoolId { stated: *stated, computed });
        }
        if self.book.pool_by_id.contains_key(stated) {
            return Err(Problem::PoolTwice(*stated));
        }
        let pool = u32::try_from(self.book.pools.len()).map_err(|_| Problem::Full)?;
        let stream = Stream { last_update: self.block.timestamp, ..Stream::default() };
        let state = PoolState { total_staked: 0, streams: vec![stream; rewardTokens.len()] };
        self.book.pool_by_id.insert(*stated, pool);
        self.book.pools.push(PoolBook::new(*stated, *stakeToken, rewardTokens.clone(), state));
        self.changes.push(Change::PoolCreated { pool });
        Ok(())
    }

    /// What earlier seconds could not pay was added to an epoch. The accrual that follows does it.
    fn defer(&mut self, event: &IRewards::Defer) -> Result<(), Problem> {
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        let Accrual { epoch, joined, deferred, .. } = self.projected(pool, stream);
        let stated: u64 = event.epoch.saturating_to();
        let computed = match stated.checked_sub(epoch) {
            Some(0) => joined,
            Some(1) => deferred,
            _ => 0,
        };
        self.deferrals += 1;
        agree(Figure::Deferred(stated), event.amount, U256::from(computed))
    }

    fn accrue_stream(&mut self, event: &IRewards::Accrue) -> Result<(), Problem> {
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        let timestamp = self.block.timestamp;
        let state = self.pool_state(pool);
        let accrual = state.streams[stream].accrue(state.total_staked, timestamp);
        agree(Figure::AccumulatorIncrease, event.accumulatorIncrease, accrual.accumulator_increase)?;
        agree(Figure::Remainder, event.remainder, U256::from(accrual.remainder))?;
        let deferrals = u64::from(accrual.joined != 0) + u64::from(accrual.deferred != 0);
        let stated = std::mem::take(&mut self.deferrals);
        agree(Figure::Deferrals, U256::from(stated), U256::from(deferrals))
    }

    fn fund(&mut self, event: &IRewards::Fund) -> Result<(), Problem> {
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        self.require_updated(pool, stream)?;
        let earliest = epoch_of(self.block.timestamp) + 1;
        let (first, epochs) = (u64::try_from(event.firstEpoch), u64::try_from(event.epochs));
        let within = match (first, epochs) {
            (Ok(first), Ok(epochs @ 1..=EPOCHS_AHEAD)) if (earliest..earliest + EPOCHS_AHEAD).contains(&first) => {
                (first - earliest + epochs <= EPOCHS_AHEAD).then_some((first, epochs))
            }
            _ => None,
        };
        let IRewards::Fund { firstEpoch, epochs, amount, .. } = event;
        let (first, epochs) =
            within.ok_or(Problem::EpochsOutOfRange { first: *firstEpoch, epochs: *epochs, earliest })?;
        let stream = &mut self.pool_state(pool).streams[stream];
        let mut funded = stream.funded;
        add(&mut funded, *amount, Quantity::Funded)?;
        if funded >= FUNDING_LIMIT {
            return Err(Problem::TooLarge {
                quantity: Quantity::Funded,
                has: U256::from(stream.funded),
                adds: *amount,
            });
        }
        stream.give(funded - stream.funded, first, epochs);
        Ok(())
    }

    /// All that the account could claim was paid or staked again, less a tip, on its terms.
    fn harvest(&mut self, event: &IRewards::Harvest) -> Result<(), Problem> {
        let IRewards::Harvest { account, amount, tip, compounded, .. } = event;
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        self.pay((pool, stream), *account, *amount)?;
        let slot = self.staker(pool, *account)?;
        let HarvestConsent { enabled, compounds, tip_bps, smallest } =
            self.book.pools[at(pool)].stakers.get(stream, slot).ledger.consent;
        if !enabled || compounds != *compounded || *amount < U256::from(smallest) {
            return Err(Problem::NotAgreed(*account));
        }
        // Below 2^121 × 2^16.
        let agreed = *amount * U256::from(tip_bps) / U256::from(BPS);
        agree(Figure::Tip(*account), *tip, agreed)?;
        if *compounded { self.stake(pool, *account, *amount - *tip) } else { Ok(()) }
    }

    fn set_harvest_consent(&mut self, event: &IRewards::SetHarvestConsent) -> Result<(), Problem> {
        let IRewards::SetHarvestConsent { account, enabled, compounds, tipBps, smallest, .. } = event;
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        let smallest = smallest.to();
        let consent = HarvestConsent { enabled: *enabled, compounds: *compounds, tip_bps: *tipBps, smallest };
        let slot = self.staker(pool, *account)?;
        self.change_ledger(pool, stream, slot, |ledger, _| Ledger { consent, ..ledger });
        Ok(())
    }

    /// Takes all that the account can claim, which has to be this much.
    fn pay(&mut self, (pool, stream): (u32, usize), account: Address, amount: U256) -> Result<(), Problem> {
        self.require_updated(pool, stream)?;
        let entry = &self.book.pools[at(pool)];
        let offset = entry.stakers.slot(account).map(|slot| entry.stakers.get(stream, slot).ledger.offset);
        let accumulator = entry.state.streams[stream].accumulator;
        let claimable = claimable_down(entry.stake(account), accumulator, offset.unwrap_or_default());
        agree(Figure::Reward(account), amount, U256::from(claimable))?;
        let slot = self.staker(pool, account)?;
        self.change_ledger(pool, stream, slot, |ledger, _| Ledger {
            offset: offset_after_payment(ledger.offset, claimable),
            ..ledger
        });
        Ok(())
    }

    fn stake(&mut self, pool: u32, account: Address, amount: U256) -> Result<(), Problem> {
        self.change_stake(pool, account, |staked, total| {
            add(total, amount, Quantity::TotalStaked)?;
            add(staked, amount, Quantity::Stake(account))
        })
    }

    fn unstake(&mut self, pool: u32, account: Address, amount: U256) -> Result<(), Problem> {
        self.change_stake(pool, account, |staked, total| {
            take(staked, amount, Quantity::Stake(account))?;
            take(total, amount, Quantity::TotalStaked)
        })
    }

    /// All streams have been brought to now, with the stakes as they were.
    fn change_stake(
        &mut self,
        pool: u32,
        account: Address,
        change: impl FnOnce(&mut u128, &mut u128) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let streams = self.book.pools[at(pool)].state.streams.len();
        for stream in 0..streams {
            self.require_updated(pool, stream)?;
        }
        let slot = self.staker(pool, account)?;
        let before = self.book.pools[at(pool)].stakers.staked(slot);
        let mut staked = before;
        change(&mut staked, &mut self.pool_state(pool).total_staked)?;
        self.book.pools[at(pool)].stakers.set_staked(slot, staked);
        self.changes.push(Change::Stake { pool, slot, before });
        for stream in 0..streams {
            self.change_ledger(pool, stream, slot, |ledger, accumulator| Ledger {
                offset: match staked.checked_sub(before) {
                    Some(more) => offset_after_stake_up(ledger.offset, more, accumulator),
                    None => offset_after_unstake_up(ledger.offset, before - staked, accumulator),
                },
                ..ledger
            });
        }
        Ok(())
    }

    /// Changes what an account has in a stream by the stream's accumulator, and keeps what it was.
    fn change_ledger(&mut self, pool: u32, stream: usize, slot: u32, change: impl FnOnce(Ledger, U256) -> Ledger) {
        let PoolBook { state, stakers, .. } = &mut self.book.pools[at(pool)];
        let accumulator = state.streams[stream].accumulator;
        let ledger = change(stakers.get(stream, slot).ledger, accumulator);
        let before = stakers.set(stream, slot, Account::new(ledger, stakers.staked(slot), accumulator));
        self.changes.push(Change::Ledger { pool, stream, slot, before: Box::new(before) });
    }

    fn pool(&self, id: B256) -> Result<u32, Problem> {
        self.book.pool_by_id.get(&id).copied().ok_or(Problem::UnknownPool(id))
    }

    /// A pool and where in its list a reward token stands.
    fn stream(&self, id: B256, reward_token: Address) -> Result<(u32, usize), Problem> {
        let pool = self.pool(id)?;
        let index = self.book.pools[at(pool)].index_of(reward_token);
        Ok((pool, index.ok_or(Problem::UnknownRewardToken { pool: id, reward_token })?))
    }

    /// The row of an account, made if there is none.
    fn staker(&mut self, pool: u32, account: Address) -> Result<u32, Problem> {
        let stakers = &mut self.book.pools[at(pool)].stakers;
        if let Some(slot) = stakers.slot(account) {
            return Ok(slot);
        }
        let slot = stakers.push(account).ok_or(Problem::Full)?;
        self.changes.push(Change::StakerCreated { pool, slot });
        Ok(slot)
    }

    /// A pool's state, to be changed: it is on record from the first time in a block on.
    fn pool_state(&mut self, pool: u32) -> &mut PoolState {
        let Self { book, changes, .. } = self;
        let applications = book.applications;
        let entry = &mut book.pools[at(pool)];
        if entry.recorded_in != applications {
            entry.recorded_in = applications;
            changes.push(Change::Pool { pool, before: Box::new(entry.state.clone()) });
        }
        &mut entry.state
    }

    fn projected(&self, pool: u32, stream: usize) -> Accrual {
        let state = &self.book.pools[at(pool)].state;
        state.streams[stream].project(state.total_staked, self.block.timestamp)
    }

    /// The contract brings a stream to now before it changes anything that rests on it.
    fn require_updated(&self, pool: u32, stream: usize) -> Result<(), Problem> {
        let last_update = self.book.pools[at(pool)].state.streams[stream].last_update;
        if last_update == self.block.timestamp {
            return Ok(());
        }
        Err(Problem::NotUpdated { last_update, block: self.block.timestamp })
    }
}

fn agree(figure: Figure, stated: U256, computed: U256) -> Result<(), Problem> {
    if stated == computed { Ok(()) } else { Err(Problem::Differs { figure, stated, computed }) }
}
