//! Random actions of stakers, which the contract may refuse.

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::IRewards;
use plimsoll_keeper::math::rewards::epoch_of;

use super::simulation::{LocalPool, Simulation};

const LARGEST_STAKE: u128 = 1 << 80;
/// Largest amount of a funding: a stream accepts 2^96 in its lifetime.
const LARGEST_FUNDING: u128 = 1 << 70;
const LARGEST_TIP_BPS: u64 = 2_000;

impl Simulation<'_> {
    /// Sends a random action of a random actor in a random pool.
    pub(super) async fn random_staking_action(&mut self) -> eyre::Result<()> {
        let index = self.below(self.pools.len());
        let LocalPool { id: pool, stake_token, reward_tokens, stakers } = self.pools[index].clone();
        let reward = self.below(reward_tokens.len());
        let reward_token = reward_tokens[reward];
        let (who, other) = (self.one_of(stakers), self.one_of(stakers));
        let call = match self.random.below(12) {
            0..3 => {
                let amount = U256::from(self.random.amount_to(LARGEST_STAKE));
                IRewards::stakeCall { pool, amount, onBehalf: other }.abi_encode()
            }
            3 => {
                let all_amounts = IRewards::new(self.rewards, self.provider());
                let staked = all_amounts.staked(pool, who).call().await?;
                let amount = staked * U256::from(1 + self.random.below(4)) / U256::from(4);
                IRewards::unstakeCall { pool, amount, onBehalf: who, receiver: other }.abi_encode()
            }
            4 => IRewards::unstakeCall { pool, amount: U256::MAX, onBehalf: who, receiver: who }.abi_encode(),
            5 => IRewards::claimCall { pool, rewardToken: reward_token, onBehalf: who, receiver: other }.abi_encode(),
            6 | 7 => self.fund(index, reward),
            8..10 => self.consent(index, reward, reward_token == stake_token),
            10 => {
                let accounts = (0..1 + self.below(8)).map(|_| self.anybody()).collect();
                IRewards::harvestCall { pool, rewardToken: reward_token, accounts }.abi_encode()
            }
            _ => {
                let claims = reward_tokens.iter().map(|token| {
                    IRewards::claimCall { pool, rewardToken: *token, onBehalf: who, receiver: who }.abi_encode()
                });
                let exit = IRewards::unstakeCall { pool, amount: U256::MAX, onBehalf: who, receiver: who };
                let calls = claims.chain([exit.abi_encode()]).map(Into::into).collect();
                IRewards::multicallCall { calls }.abi_encode()
            }
        };
        self.enqueue(who, self.rewards, call).await
    }

    fn fund(&mut self, pool: usize, reward: usize) -> Vec<u8> {
        let LocalPool { id: pool, reward_tokens, .. } = self.pools[pool].clone();
        let amount = U256::from(self.random.amount_to(LARGEST_FUNDING));
        let first = epoch_of(self.timestamp) + 1 + self.random.below(3);
        let (first_epoch, epochs) = (U256::from(first), U256::from(1 + self.random.below(4)));
        IRewards::fundCall { pool, rewardToken: reward_tokens[reward], amount, firstEpoch: first_epoch, epochs }
            .abi_encode()
    }

    fn consent(&mut self, pool: usize, reward: usize, may_compound: bool) -> Vec<u8> {
        let LocalPool { id: pool, reward_tokens, .. } = self.pools[pool].clone();
        let consent = IRewards::HarvestConsent {
            enabled: self.below(8) != 0,
            compounds: may_compound && self.below(2) == 0,
            tipBps: u16::try_from(self.random.below(LARGEST_TIP_BPS + 1)).unwrap_or_default(),
            smallest: alloy::primitives::Uint::from(self.random.amount_to(LARGEST_FUNDING)),
        };
        IRewards::setHarvestConsentCall { pool, rewardToken: reward_tokens[reward], consent }.abi_encode()
    }

    fn one_of(&mut self, first_actors: usize) -> Address {
        let index = self.below(first_actors);
        self.actors[index]
    }
}
