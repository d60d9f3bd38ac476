//! The keeper's own rewards: claimed, or claimed and staked again, when they have gathered long enough to pay for it.
//!
//! No rival can take them, so there is no cost of waiting but time: they gather for a given while, and then until they
//! are worth the gas.

use alloy::{primitives::U256, sol_types::SolCall};
use plimsoll_contracts::IRewards;

use super::{Harvest, Moment, Obstacle, Offer, OwnRewards, id_of};
use crate::{book::StreamBook, intent::Purpose, prices::Values};

/// Own rewards since they were claimed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gathering {
    since: u64,
    claimable: u128,
}

impl Harvest {
    /// The ways to claim what is the keeper's own in a stream, the preferred one first; none where it is not time.
    pub(super) fn own_rewards(
        &mut self,
        stream: &StreamBook<'_>,
        values: &Values,
        moment: Moment<'_>,
        obstacle: Obstacle<'_>,
    ) -> Vec<Offer> {
        let (id, now, keeper) = (id_of(stream), moment.header.timestamp, self.settings.keeper);
        let claimable = stream.claimable(keeper, now);
        let gathering = self.own.entry(id).or_insert(Gathering { since: now, claimable });
        if claimable < gathering.claimable || claimable == 0 {
            gathering.since = now;
        }
        gathering.claimable = claimable;
        let is_time = now.saturating_sub(gathering.since) >= self.settings.own_every_secs;
        let Ok(rate) = values.of(id.reward_token) else { return Vec::new() };
        if self.settings.own == OwnRewards::Leave || !is_time || claimable == 0 || obstacle(id, keeper).is_some() {
            return Vec::new();
        }
        let gain_wei = rate.value_down(U256::from(claimable));
        let table = self.settings.gas;
        let (pool, token) = (id.pool, id.reward_token);
        let claim = IRewards::claimCall { pool, rewardToken: token, onBehalf: keeper, receiver: keeper }.abi_encode();
        let mut ways = Vec::new();
        if self.settings.own == OwnRewards::Compound && stream.pool().stake_token() == token {
            let consent = stream.consent(keeper);
            if consent.enabled && consent.compounds && claimable >= consent.smallest {
                let call = IRewards::harvestCall { pool, rewardToken: token, accounts: vec![keeper] };
                ways.push((call.abi_encode(), table.of_harvest(1, 1)));
            } else {
                let stake = IRewards::stakeCall { pool, amount: U256::from(claimable), onBehalf: keeper }.abi_encode();
                let both = IRewards::multicallCall { calls: vec![claim.clone().into(), stake.into()] };
                ways.push((both.abi_encode(), table.claim.saturating_add(table.restake)));
            }
        }
        ways.push((claim, table.claim));
        let offer = |(data, gas): (Vec<u8>, u64)| {
            let gas_wei = moment.costs.of(gas, data.len());
            let limit = if table.as_tried { moment.room } else { table.harvest_limit(gas, 1) };
            let call = self.call(data, limit);
            let purpose = Purpose::ClaimOwn { pool, reward_token: token };
            moment.costs.are_worth(gain_wei, gas_wei).then(|| Offer {
                stream: id,
                purpose,
                accounts: vec![keeper],
                call,
                gas,
                gain_wei,
                gas_wei,
            })
        };
        ways.into_iter().filter_map(offer).collect()
    }
}
