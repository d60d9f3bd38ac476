//! What an `Executor` contract lists: the protocols that it liquidates on, and the venues that it sells at. Both are fixed
//! when it is deployed, so they are read once.

use std::{collections::BTreeMap, sync::Arc};

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use eyre::{ContextCompat, ensure};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_contracts::IExecutor::{self, TargetKind};
use plimsoll_protocols::{Deployment, ProtocolKind};

use super::protocol_follower::read_newest;
use crate::{
    config::Executor,
    prices::Call,
    routing::pool::{Venue, VenueKind},
};

/// Gas of a view of the contract.
const VIEW_GAS: u64 = 100_000;
/// Most protocols and most venues of an executor.
const MAX_LISTED: u8 = 8;

/// What an executor lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecutorListing {
    /// Address of the contract.
    pub(crate) address: Address,
    /// The token that it takes for the wrapped coin.
    pub(crate) wrapped_coin: Address,
    /// Index and kind of each protocol's main contract.
    pub(crate) targets: BTreeMap<Address, (u8, TargetKind)>,
    /// Venues by their index.
    pub(crate) venues: Vec<Venue>,
}

/// Why an executor cannot liquidate on a protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotServed {
    #[error("the executor {executor} does not list {protocol} at {address}")]
    NotListed { executor: Address, protocol: ProtocolKind, address: Address },
    #[error("the executor {executor} takes {address} for another protocol than {protocol}")]
    OtherKind { executor: Address, protocol: ProtocolKind, address: Address },
    #[error("the executor {executor} does not list {factory}, the factory of pre-liquidation contracts, as one")]
    NoFactory { executor: Address, factory: Address },
}

impl ExecutorListing {
    /// Reads the lists of the executor of a configuration, which says what fees its venues' pools have.
    ///
    /// # Errors
    /// When no node answers, or when the contract is no executor.
    pub(crate) async fn read(nodes: &[Arc<Endpoint>], executor: &Executor) -> eyre::Result<Self> {
        let address = executor.address;
        let call = |data: Vec<u8>| Call::view(address, data, VIEW_GAS);
        let targets = (0..MAX_LISTED).map(|index| IExecutor::targetAtCall { index: U256::from(index) }.abi_encode());
        let venues = (0..MAX_LISTED).map(|index| IExecutor::venueAtCall { index: U256::from(index) }.abi_encode());
        let coin = IExecutor::wrappedCoinCall {}.abi_encode();
        let calls: Vec<_> = targets.chain(venues).chain([coin]).map(call).collect();
        let answers = read_newest(nodes, &calls).await?;
        let (coin, listed) = answers.split_last().wrap_err("too few answers")?;
        let (targets, venues) = listed.split_at_checked(MAX_LISTED.into()).wrap_err("too few answers")?;
        let targets: BTreeMap<_, _> = (0..MAX_LISTED)
            .zip(targets)
            .map_while(|(index, answer)| {
                let target = IExecutor::targetAtCall::abi_decode_returns(answer.as_ref().ok()?).ok()?;
                Some((target.account, (index, target.kind)))
            })
            .collect();
        ensure!(!targets.is_empty(), "{address} is no Executor, or one that lists no protocol");
        let coin = coin.as_ref().ok().and_then(|data| IExecutor::wrappedCoinCall::abi_decode_returns(data).ok());
        let wrapped_coin = coin.wrap_err_with(|| format!("{address} is no Executor: it has no wrapped coin"))?;
        let venue = |venue: IExecutor::Venue| {
            let (kind, keys) = match venue.kind {
                IExecutor::VenueKind::UniswapV2 => (VenueKind::UniswapV2, &executor.pair_fees),
                IExecutor::VenueKind::UniswapV3 => (VenueKind::UniswapV3, &executor.pool_fees),
                IExecutor::VenueKind::__Invalid => return None,
            };
            let IExecutor::Venue { deployer, poolInitCodeHash: pool_init_code_hash, .. } = venue;
            Some(Venue { kind, deployer, pool_init_code_hash, keys: keys.clone() })
        };
        let venues = venues
            .iter()
            .map_while(|answer| venue(IExecutor::venueAtCall::abi_decode_returns(answer.as_ref().ok()?).ok()?));
        Ok(Self { address, wrapped_coin, targets, venues: venues.collect() })
    }

    /// Checks that the executor liquidates on a protocol.
    ///
    /// # Errors
    /// When it does not list the protocol's main contract, or as one of another kind.
    pub(crate) fn serves(&self, deployment: &Deployment) -> Result<(), NotServed> {
        let (executor, &Deployment { protocol, address, .. }) = (self.address, deployment);
        let kind = match protocol {
            ProtocolKind::MorphoBlue => TargetKind::MorphoBlue,
            ProtocolKind::AaveV3 => TargetKind::AaveV3,
            ProtocolKind::CompoundV2 => TargetKind::CompoundV2,
        };
        match self.targets.get(&address) {
            None => Err(NotServed::NotListed { executor, protocol, address }),
            Some((_, listed)) if *listed != kind => Err(NotServed::OtherKind { executor, protocol, address }),
            Some(_) => Ok(()),
        }
    }

    /// Checks that the executor makes the pre-liquidations of a protocol that has some.
    ///
    /// # Errors
    /// When it does not list the factory of their contracts.
    pub(crate) fn pre_liquidates(&self, deployment: &Deployment) -> Result<(), NotServed> {
        let (executor, Some(factory)) = (self.address, deployment.pre_liquidation_factory) else { return Ok(()) };
        match self.targets.get(&factory) {
            Some((_, TargetKind::MorphoPreLiquidation)) => Ok(()),
            _ => Err(NotServed::NoFactory { executor, factory }),
        }
    }
}
