//! Applying the rewards contract's events.
//!
//! Every accrual and every payment is computed and compared with the event: a missed event of a pool shows at the next
//! of either.

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};
use plimsoll_contracts::{
    IRewards::{self, IRewardsEvents},
    market::BPS,
};

use super::{Application, add, subtract};
use crate::{
    book::{
        at,
        error::{EventError, Figure, Quantity},
        rewards::{HarvestConsent, IndexedLedger, PoolBook, PoolState, RewardLedger},
        undo_log::Change,
    },
    math::rewards::{
        Accrual, EPOCHS_AHEAD, FUNDING_LIMIT, Stream, claimable_down, epoch_of, offset_after_payment,
        offset_after_stake_up, offset_after_unstake_up,
    },
};

impl Application<'_> {
    pub(super) fn apply_reward_event(&mut self, event: &IRewardsEvents) -> Result<(), EventError> {
        match event {
            IRewardsEvents::CreatePool(event) => self.create_pool(event),
            IRewardsEvents::Fund(event) => self.fund(event),
            IRewardsEvents::Defer(event) => self.defer(event),
            IRewardsEvents::Accrue(event) => self.accrue_stream(event),
            IRewardsEvents::Stake(IRewards::Stake { pool, onBehalf, amount, .. }) => {
                self.add_stake(self.pool(*pool)?, *onBehalf, *amount)
            }
            IRewardsEvents::Unstake(IRewards::Unstake { pool, onBehalf, amount, .. }) => {
                self.remove_stake(self.pool(*pool)?, *onBehalf, *amount)
            }
            IRewardsEvents::Claim(event) => {
                let stream = self.stream(event.pool, event.rewardToken)?;
                self.record_payment(stream, event.onBehalf, event.amount)
            }
            IRewardsEvents::Harvest(event) => self.harvest(event),
            IRewardsEvents::SetHarvestConsent(event) => self.set_harvest_consent(event),
            // Authorisations are not in the book.
            IRewardsEvents::SetAuthorization(_) => Ok(()),
        }
    }

    fn create_pool(&mut self, event: &IRewards::CreatePool) -> Result<(), EventError> {
        let IRewards::CreatePool { pool: stated, stakeToken, rewardTokens, salt, .. } = event;
        let computed = keccak256((*stakeToken, rewardTokens.clone(), *salt).abi_encode_params());
        if *stated != computed {
            return Err(EventError::WrongPoolId { stated: *stated, computed });
        }
        if self.book.pool_by_id.contains_key(stated) {
            return Err(EventError::DuplicatePool(*stated));
        }
        let pool = u32::try_from(self.book.pools.len()).map_err(|_| EventError::CapacityExceeded)?;
        let stream = Stream { last_update: self.block.timestamp, ..Stream::default() };
        let state = PoolState { total_staked: 0, streams: vec![stream; rewardTokens.len()] };
        self.book.pool_by_id.insert(*stated, pool);
        let number = self.book.coverage.next_pool;
        self.book.pools.push(PoolBook::new(number, *stated, *stakeToken, rewardTokens.clone(), state));
        self.book.coverage.next_pool = number.checked_add(1).ok_or(EventError::CapacityExceeded)?;
        self.changes.push(Change::PoolCreated { pool });
        Ok(())
    }

    /// Checks a deferral: an amount that could not be paid because nothing was staked moves to a later epoch. The
    /// accrual that follows carries it out.
    fn defer(&mut self, event: &IRewards::Defer) -> Result<(), EventError> {
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        let Accrual { epoch, joined, deferred, .. } = self.projected(pool, stream);
        let stated: u64 = event.epoch.saturating_to();
        let computed = match stated.checked_sub(epoch) {
            Some(0) => joined,
            Some(1) => deferred,
            _ => 0,
        };
        self.deferrals += 1;
        require_equal(Figure::Deferred(stated), event.amount, U256::from(computed))
    }

    fn accrue_stream(&mut self, event: &IRewards::Accrue) -> Result<(), EventError> {
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        let timestamp = self.block.timestamp;
        let state = self.pool_state(pool);
        let accrual = state.streams[stream].accrue(state.total_staked, timestamp);
        require_equal(Figure::AccumulatorIncrease, event.accumulatorIncrease, accrual.accumulator_increase)?;
        require_equal(Figure::Remainder, event.remainder, U256::from(accrual.remainder))?;
        let deferrals = u64::from(accrual.joined != 0) + u64::from(accrual.deferred != 0);
        let stated = std::mem::take(&mut self.deferrals);
        require_equal(Figure::Deferrals, U256::from(stated), U256::from(deferrals))
    }

    fn fund(&mut self, event: &IRewards::Fund) -> Result<(), EventError> {
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        self.require_accrued(pool, stream)?;
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
            within.ok_or(EventError::EpochsOutOfRange { first: *firstEpoch, epochs: *epochs, earliest })?;
        let stream = &mut self.pool_state(pool).streams[stream];
        let mut funded = stream.funded;
        add(&mut funded, *amount, Quantity::Funded)?;
        if funded >= FUNDING_LIMIT {
            return Err(EventError::Overflow {
                quantity: Quantity::Funded,
                has: U256::from(stream.funded),
                adds: *amount,
            });
        }
        stream.give(funded - stream.funded, first, epochs);
        Ok(())
    }

    /// Applies a harvest: all that the account can claim is paid, or staked again, less a tip, on the account's terms.
    fn harvest(&mut self, event: &IRewards::Harvest) -> Result<(), EventError> {
        let IRewards::Harvest { account, amount, tip, compounded, .. } = event;
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        self.record_payment((pool, stream), *account, *amount)?;
        let slot = self.staker(pool, *account)?;
        let HarvestConsent { enabled, compounds, tip_bps, smallest } =
            self.book.pools[at(pool)].stakers.get(stream, slot).ledger.consent;
        if !enabled || compounds != *compounded || *amount < U256::from(smallest) {
            return Err(EventError::NoHarvestConsent(*account));
        }
        // Below 2^121 × 2^16.
        let agreed = *amount * U256::from(tip_bps) / U256::from(BPS);
        require_equal(Figure::Tip(*account), *tip, agreed)?;
        if *compounded { self.add_stake(pool, *account, *amount - *tip) } else { Ok(()) }
    }

    fn set_harvest_consent(&mut self, event: &IRewards::SetHarvestConsent) -> Result<(), EventError> {
        let IRewards::SetHarvestConsent { account, enabled, compounds, tipBps, smallest, .. } = event;
        let (pool, stream) = self.stream(event.pool, event.rewardToken)?;
        let smallest = smallest.to();
        let consent = HarvestConsent { enabled: *enabled, compounds: *compounds, tip_bps: *tipBps, smallest };
        let slot = self.staker(pool, *account)?;
        self.change_ledger(pool, stream, slot, |ledger, _| RewardLedger { consent, ..ledger });
        Ok(())
    }

    /// Records a payment of all that the account can claim, which must be this much.
    fn record_payment(
        &mut self,
        (pool, stream): (u32, usize),
        account: Address,
        amount: U256,
    ) -> Result<(), EventError> {
        self.require_accrued(pool, stream)?;
        let entry = &self.book.pools[at(pool)];
        let offset = entry.stakers.slot(account).map(|slot| entry.stakers.get(stream, slot).ledger.offset);
        let accumulator = entry.state.streams[stream].accumulator;
        let claimable = claimable_down(entry.stake(account), accumulator, offset.unwrap_or_default());
        require_equal(Figure::Reward(account), amount, U256::from(claimable))?;
        let slot = self.staker(pool, account)?;
        self.change_ledger(pool, stream, slot, |ledger, _| RewardLedger {
            offset: offset_after_payment(ledger.offset, claimable),
            ..ledger
        });
        Ok(())
    }

    fn add_stake(&mut self, pool: u32, account: Address, amount: U256) -> Result<(), EventError> {
        self.change_stake(pool, account, |staked, total| {
            add(total, amount, Quantity::TotalStaked)?;
            add(staked, amount, Quantity::Stake(account))
        })
    }

    fn remove_stake(&mut self, pool: u32, account: Address, amount: U256) -> Result<(), EventError> {
        self.change_stake(pool, account, |staked, total| {
            subtract(staked, amount, Quantity::Stake(account))?;
            subtract(total, amount, Quantity::TotalStaked)
        })
    }

    /// Changes an account's stake. Fails if a stream of the pool has not been accrued with the previous stakes.
    fn change_stake(
        &mut self,
        pool: u32,
        account: Address,
        change: impl FnOnce(&mut u128, &mut u128) -> Result<(), EventError>,
    ) -> Result<(), EventError> {
        let streams = self.book.pools[at(pool)].state.streams.len();
        for stream in 0..streams {
            self.require_accrued(pool, stream)?;
        }
        let slot = self.staker(pool, account)?;
        let before = self.book.pools[at(pool)].stakers.staked(slot);
        let mut staked = before;
        change(&mut staked, &mut self.pool_state(pool).total_staked)?;
        self.book.pools[at(pool)].stakers.set_staked(slot, staked);
        self.changes.push(Change::Stake { pool, slot, before });
        for stream in 0..streams {
            self.change_ledger(pool, stream, slot, |ledger, accumulator| RewardLedger {
                offset: match staked.checked_sub(before) {
                    Some(more) => offset_after_stake_up(ledger.offset, more, accumulator),
                    None => offset_after_unstake_up(ledger.offset, before - staked, accumulator),
                },
                ..ledger
            });
        }
        Ok(())
    }

    /// Changes an account's ledger in a stream, given the stream's accumulator, and records the previous one.
    fn change_ledger(
        &mut self,
        pool: u32,
        stream: usize,
        slot: u32,
        change: impl FnOnce(RewardLedger, U256) -> RewardLedger,
    ) {
        let PoolBook { state, stakers, .. } = &mut self.book.pools[at(pool)];
        let accumulator = state.streams[stream].accumulator;
        let ledger = change(stakers.get(stream, slot).ledger, accumulator);
        let before = stakers.set(stream, slot, IndexedLedger::new(ledger, stakers.staked(slot), accumulator));
        self.changes.push(Change::Ledger { pool, stream, slot, before: Box::new(before) });
    }

    /// Returns the number of a pool.
    fn pool(&self, id: B256) -> Result<u32, EventError> {
        self.book.pool_by_id.get(&id).copied().ok_or(EventError::UnknownPool(id))
    }

    /// Returns the number of a pool, and the position of a reward token in its list.
    fn stream(&self, id: B256, reward_token: Address) -> Result<(u32, usize), EventError> {
        let pool = self.pool(id)?;
        let index = self.book.pools[at(pool)].index_of(reward_token);
        Ok((pool, index.ok_or(EventError::UnknownRewardToken { pool: id, reward_token })?))
    }

    /// Returns the row of an account, which is created if there is none.
    fn staker(&mut self, pool: u32, account: Address) -> Result<u32, EventError> {
        let stakers = &mut self.book.pools[at(pool)].stakers;
        if let Some(slot) = stakers.slot(account) {
            return Ok(slot);
        }
        let slot = stakers.push(account).ok_or(EventError::CapacityExceeded)?;
        self.changes.push(Change::StakerCreated { pool, slot });
        Ok(slot)
    }

    /// Returns a pool's state for a change. The first call of an application records the previous state.
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

    /// Returns the change of a stream up to the block's time.
    fn projected(&self, pool: u32, stream: usize) -> Accrual {
        let state = &self.book.pools[at(pool)].state;
        state.streams[stream].project(state.total_staked, self.block.timestamp)
    }

    /// Fails if a stream has not been accrued up to the block's time, which the contract does before it changes
    /// anything that depends on the stream.
    fn require_accrued(&self, pool: u32, stream: usize) -> Result<(), EventError> {
        let last_update = self.book.pools[at(pool)].state.streams[stream].last_update;
        if last_update == self.block.timestamp {
            return Ok(());
        }
        Err(EventError::StreamNotAccrued { last_update, block: self.block.timestamp })
    }
}

/// Fails if a figure that an event states is not what the book computes.
fn require_equal(figure: Figure, stated: U256, computed: U256) -> Result<(), EventError> {
    if stated == computed { Ok(()) } else { Err(EventError::Mismatch { figure, stated, computed }) }
}
