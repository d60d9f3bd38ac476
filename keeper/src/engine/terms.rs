//! From the configuration to what each part of the keeper takes.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, U256};
use plimsoll_chain::endpoint::Endpoint;

use crate::{
    config::{Config, EndpointSettings, GasSource, Role},
    sender::Nodes,
    strategies::{gas::GasTable, harvest, liquidate},
    stream,
};

/// How long a transaction is good for: as many blocks, and no less than this.
const DEADLINE_BLOCKS: u32 = 10;
const SHORTEST_DEADLINE: Duration = Duration::from_secs(60);
/// For so long tips may gather where the rule says that waiting pays.
const PATIENCE_SECS: u64 = 86_400;
/// Rewards take days: looking more often than this finds nothing new.
const LOOK_EVERY_SECS: u64 = 60;
/// Addresses in a swap's path, and what stands between two of them.
const PATH_TOKEN_BYTES: usize = 20;
const PATH_STEP_BYTES: usize = 23;

/// How the chain is followed.
pub(super) fn stream(config: &Config) -> stream::Settings {
    let genesis = config.deployed.genesis;
    stream::Settings { genesis, ..stream::Settings::new(config.deployed.chain_id, config.chain.block_time) }
}

/// Who is read, who is shown transactions, and who keeps them to itself.
pub(super) struct Roles {
    pub(super) read: Vec<Arc<Endpoint>>,
    pub(super) send: Vec<Arc<Endpoint>>,
    pub(super) private: Vec<Arc<Endpoint>>,
}

impl Roles {
    pub(super) fn of(endpoints: Vec<EndpointSettings>) -> Self {
        let mut roles = Self { read: Vec::new(), send: Vec::new(), private: Vec::new() };
        for EndpointSettings { endpoint, role, .. } in endpoints {
            let endpoint = Arc::new(endpoint);
            if role.reads() {
                roles.read.push(Arc::clone(&endpoint));
            }
            match role {
                Role::Both | Role::Send => roles.send.push(endpoint),
                Role::Private => roles.private.push(endpoint),
                Role::Read => {}
            }
        }
        roles
    }

    pub(super) fn nodes(&self) -> Nodes {
        Nodes::new(self.read.clone(), self.send.clone(), self.private.clone())
    }
}

/// How loans are liquidated.
pub(super) fn liquidate(config: &Config, keeper: Address) -> liquidate::Settings {
    let enabled = config.liquidate.markets.iter().filter(|(_, market)| config.liquidate.enabled && market.enabled);
    let market = |market: &crate::config::MarketSettings| liquidate::MarketSettings {
        routes: market.route.iter().map(route).collect(),
        from_inventory: market.from_inventory,
        largest_repay: market.largest_repay.map(U256::from),
    };
    liquidate::Settings {
        keeper,
        receiver: keeper,
        core: config.deployed.core,
        liquidator: config.deployed.liquidator,
        markets: enabled.map(|(id, settings)| (id.0, market(settings))).collect(),
        gas: gas(config),
        slack_bps: config.liquidate.slack_bps,
        deadline_secs: deadline_secs(config),
    }
}

/// How rewards are harvested; `None` where they are not.
pub(super) fn harvest(config: &Config, keeper: Address) -> Option<harvest::Settings> {
    let Config { harvest: settings, deployed, .. } = config;
    let rewards = deployed.rewards.filter(|_| settings.enabled)?;
    Some(harvest::Settings {
        keeper,
        rewards,
        gas: gas(config),
        patience: harvest::Patience {
            patience_secs: PATIENCE_SECS,
            longest_wait_secs: settings.longest_wait.as_secs(),
        },
        largest_batch: usize::try_from(settings.largest_batch).unwrap_or(usize::MAX),
        look_every_secs: LOOK_EVERY_SECS,
        own: match settings.own {
            crate::config::OwnRewards::Leave => harvest::OwnRewards::Leave,
            crate::config::OwnRewards::Claim => harvest::OwnRewards::Claim,
            crate::config::OwnRewards::Compound => harvest::OwnRewards::Compound,
        },
        own_every_secs: settings.own_every.as_secs(),
        deadline_secs: deadline_secs(config),
    })
}

/// What transactions use.
fn gas(config: &Config) -> GasTable {
    GasTable { as_tried: config.chain.gas == GasSource::Estimate, ..GasTable::default() }
}

fn deadline_secs(config: &Config) -> u64 {
    (config.chain.block_time * DEADLINE_BLOCKS).max(SHORTEST_DEADLINE).as_secs()
}

fn route(route: &crate::config::Route) -> liquidate::Route {
    liquidate::Route {
        swapper: route.swapper,
        path: route.path.clone(),
        pools: route.path.len().saturating_sub(PATH_TOKEN_BYTES).div_ceil(PATH_STEP_BYTES),
        profit_in_collateral: false,
    }
}
