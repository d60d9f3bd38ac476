//! Jobs, which creates the registry of nodes, and the pool of the emission for bonds.

use std::ops::Range;

use alloy::{
    dyn_abi::DynSolValue,
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};

use super::{
    Programme, Work,
    build::{Builder, REWARDS},
    section::Section,
};
use crate::manifest::{self, Parsed, units::Seconds};

/// Contract that draws nodes.
pub(super) const JOBS: &str = "Jobs";
/// Name of the emission among staking programmes.
pub(super) const EMISSION: &str = "nodes";
/// Nonce of the first contract that a contract creates.
const FIRST_NONCE: u64 = 1;
/// Chains whose `prevrandao` is no RANDAO mix: Arbitrum One, Nova and Sepolia; zkSync Era and its Sepolia. `preflight` finds
/// others by asking them.
const WITHOUT_RANDOMNESS: [u64; 5] = [42_161, 42_170, 421_614, 324, 300];

impl Builder<'_> {
    /// Adds the steps of `[nodes]` but for payments of emission. Returns the emission's programme.
    pub(super) fn nodes(&mut self, span: &Range<usize>, entry: &manifest::Nodes) -> Option<Programme> {
        let chain_id = self.manifest.tables.network.chain_id;
        if WITHOUT_RANDOMNESS.contains(&chain_id) {
            return self.reject(
                span,
                format!(
                    "chain {chain_id} has no randomness in its blocks, so anybody would know draws beforehand: leave out \
                     [nodes], or use another chain"
                ),
            );
        }
        if let Some(other) = self.manifest.tables.rewards.get(EMISSION) {
            let message =
                format!("the emission of [nodes] is the programme \"{EMISSION}\": give this one another name");
            return self.reject(&other.span(), message);
        }
        let rewards = self.singleton(REWARDS, span);
        let token = self.token(&entry.token);
        let sink = self.address(&entry.sink, &[Section::Accounts]);
        let durations =
            [&entry.cooldown, &entry.commit, &entry.reveal, &entry.challenge].map(|said| self.seconds(said));
        let (rewards, token, sink) = (rewards?, token?, sink?);
        let (min_bond, min_fee) = (self.units(&entry.min_bond, &token), self.units(&entry.min_fee, &token));
        let [cooldown, commit, reveal, challenge] = durations;
        let config = DynSolValue::Tuple(vec![
            DynSolValue::Address(token.place.address),
            DynSolValue::Address(rewards.address),
            DynSolValue::Address(sink.address),
            DynSolValue::Uint(min_bond?, 256),
            cooldown?,
            DynSolValue::Uint(U256::from(entry.draw_delay), 256),
            commit?,
            reveal?,
            challenge?,
            DynSolValue::Uint(min_fee?, 256),
        ]);
        let (contract, token_address) = (rewards.address, token.place.address);
        let values = vec![("c", config)];
        let jobs = self.create("nodes.jobs".to_owned(), JOBS, values, span, [rewards, token.place, sink])?;
        let programme = emission(contract, jobs.address.create(FIRST_NONCE), token_address);
        self.step(format!("rewards.{EMISSION}"), Work::CreateProgramme(programme.clone()));
        Some(programme)
    }

    fn seconds(&mut self, said: &Parsed<Seconds>) -> Option<DynSolValue> {
        Some(DynSolValue::Uint(U256::from(self.value(said)?.0), 256))
    }
}

/// The one pool that the registry stakes in.
fn emission(contract: Address, registry: Address, token: Address) -> Programme {
    let (reward_tokens, salt) = (vec![token], B256::ZERO);
    let id = keccak256((registry, reward_tokens.clone(), salt).abi_encode_params());
    Programme { contract, id, stake_token: registry, reward_tokens, salt }
}
