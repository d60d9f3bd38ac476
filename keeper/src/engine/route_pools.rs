//! The pools of the configured routes, read from the swap adapters before anything begins.

use std::{collections::HashMap, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, Bytes},
    sol_types::SolCall,
};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_contracts::IUniswapV3Swapper::{factoryCall, poolInitCodeHashCall};
use tokio::time;
use tracing::{info, warn};

use super::protocol_follower::read_newest_from;
use crate::{
    prices::{Call, CallResult},
    routing::{
        pool::{Venue, VenueKind},
        spot_price::SpotRoute,
    },
    strategies::liquidate::{LiquidateSettings, SwapRoute},
};

/// Gas for reading.
const VIEW_GAS: u64 = 100_000;
/// Pause between two attempts to reach a node.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// A route, by its adapter and its path.
type RouteKey = (Address, Bytes);

/// Sets the pools of every route, as soon as a node answers. A route of which they are not known is sold by all the same.
pub(super) async fn find(settings: &mut LiquidateSettings, nodes: &[Arc<Endpoint>]) {
    let routes = || settings.markets.values().flat_map(|market| &market.routes);
    let found = loop {
        match find_once(settings.keeper, routes(), nodes).await {
            Ok(found) => break found,
            Err(problem) => warn!(%problem, "waiting for a node"),
        }
        time::sleep(RETRY_INTERVAL).await;
    };
    for route in settings.markets.values_mut().flat_map(|market| &mut market.routes) {
        route.spot = found.get(&(route.swapper, route.path.clone())).cloned();
        if route.spot.is_none() {
            info!(swapper = %route.swapper, path = %route.path, "no price at the margin: decisions take two requests");
        }
    }
}

/// Returns the pools of the routes whose adapter names its venue and whose pools all have a price.
async fn find_once(
    account: Address,
    routes: impl Iterator<Item = &SwapRoute>,
    nodes: &[Arc<Endpoint>],
) -> eyre::Result<HashMap<RouteKey, SpotRoute>> {
    let routes: Vec<_> = routes.map(|route| (route.swapper, route.path.clone())).collect();
    let view = |to: Address, data: Vec<u8>| Call { to, data: data.into(), gas: VIEW_GAS };
    let of_adapter = |(swapper, _): &RouteKey| {
        [view(*swapper, factoryCall {}.abi_encode()), view(*swapper, poolInitCodeHashCall {}.abi_encode())]
    };
    let calls: Vec<_> = routes.iter().flat_map(of_adapter).collect();
    if calls.is_empty() {
        return Ok(HashMap::new());
    }
    let answers = read_newest_from(account, nodes, &calls).await?;
    let place = |((swapper, path), answers): (RouteKey, &[CallResult])| {
        let [factory, hash] = answers else { return None };
        let venue = Venue {
            kind: VenueKind::UniswapV3,
            deployer: factoryCall::abi_decode_returns(factory.as_ref().ok()?).ok()?,
            pool_init_code_hash: poolInitCodeHashCall::abi_decode_returns(hash.as_ref().ok()?).ok()?,
            keys: Vec::new(),
        };
        let spot = SpotRoute::along(&path, &venue)?;
        Some(((swapper, path), spot))
    };
    let placed: Vec<_> = routes.into_iter().zip(answers.chunks_exact(2)).filter_map(place).collect();
    let reads: Vec<_> = placed.iter().flat_map(|(_, spot)| spot.calls()).collect();
    let mut states =
        if reads.is_empty() { Vec::new() } else { read_newest_from(account, nodes, &reads).await? }.into_iter();
    let has_price = |(_, spot): &(RouteKey, SpotRoute)| {
        let of_route: Vec<_> = states.by_ref().take(spot.calls().count()).collect();
        spot.price(of_route).is_some()
    };
    Ok(placed.into_iter().filter(has_price).collect())
}
