//! The keeper's own rewards: claimed, or claimed and compounded (staked again), when that is profitable.
//!
//! No rival can take them, so waiting costs nothing but time: they accrue for a configured interval, and then until they
//! exceed the gas.

use alloy::{primitives::U256, sol_types::SolCall};
use plimsoll_contracts::IRewards;

use super::{BlockContext, Exclusion, Harvest, HarvestCall, OwnRewards, RewardId, SelectedAccount, id_of};
use crate::{book::StreamBook, intent::Purpose, prices::Values};

/// How long the keeper's own reward in a stream has been accruing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnAccrual {
    /// Time since which it accrues: of the last claim, or of the first run, in seconds.
    since: u64,
    /// Units that were claimable at the last run; fewer now mean that they were claimed.
    claimable: u128,
}

impl Harvest {
    /// Returns the calls that claim the keeper's own reward in a stream, the preferred one first; none before the interval
    /// is over, or where it is not profitable.
    pub(super) fn calls_for_own(
        &mut self,
        stream: &StreamBook<'_>,
        values: &Values,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, RewardId>,
    ) -> Vec<HarvestCall> {
        let (id, now, keeper) = (id_of(stream), context.header.timestamp, self.settings.keeper);
        let claimable = stream.claimable(keeper, now);
        let accrual = self.own.entry(id).or_insert(OwnAccrual { since: now, claimable });
        if claimable < accrual.claimable || claimable == 0 {
            accrual.since = now;
        }
        accrual.claimable = claimable;
        let is_due = now.saturating_sub(accrual.since) >= self.settings.own_interval_secs;
        let Ok(rate) = values.of(id.reward_token) else { return Vec::new() };
        let is_excluded = || exclusion(RewardId { stream: id, account: keeper }).is_some();
        if self.settings.own == OwnRewards::Leave || !is_due || claimable == 0 || is_excluded() {
            return Vec::new();
        }
        let gain_wei = rate.value_down(U256::from(claimable));
        let table = self.settings.gas;
        let (pool, token) = (id.pool, id.reward_token);
        let claim = IRewards::claimCall { pool, rewardToken: token, onBehalf: keeper, receiver: keeper }.abi_encode();
        let mut variants = Vec::new();
        if self.settings.own == OwnRewards::Compound && stream.pool().stake_token() == token {
            let consent = stream.consent(keeper);
            if consent.enabled && consent.compounds && claimable >= consent.smallest {
                let call = IRewards::harvestCall { pool, rewardToken: token, accounts: vec![keeper] };
                variants.push((call.abi_encode(), table.harvest_gas(1, 1)));
            } else {
                let stake = IRewards::stakeCall { pool, amount: U256::from(claimable), onBehalf: keeper }.abi_encode();
                let both = IRewards::multicallCall { calls: vec![claim.clone().into(), stake.into()] };
                variants.push((both.abi_encode(), table.claim.saturating_add(table.restake)));
            }
        }
        variants.push((claim, table.claim));
        let harvest_call = |(data, gas): (Vec<u8>, u64)| {
            let gas_wei = context.costs.transaction_cost(gas, data.len());
            let call = self.call(data, self.simulated_gas_limit(gas, 1, context));
            let purpose = Purpose::ClaimOwn { pool, reward_token: token };
            let fits = table.harvest_gas_limit(gas, 1) <= context.room;
            (fits && context.costs.is_profitable(gain_wei, gas_wei)).then(|| HarvestCall {
                stream: id,
                purpose,
                accounts: vec![SelectedAccount { account: keeper, tip_wei: gain_wei, compounds: false }],
                call,
                gas,
                gain_wei,
                gas_wei,
                rate,
            })
        };
        variants.into_iter().filter_map(harvest_call).collect()
    }
}
