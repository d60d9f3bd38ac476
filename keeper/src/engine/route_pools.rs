//! The pools of the configured routes, read from the swap adapters before anything begins.

use std::{collections::HashMap, sync::Arc};

use alloy::{
    primitives::{Address, Bytes},
    sol_types::SolCall,
};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_contracts::IUniswapV3Swapper::{factoryCall, poolInitCodeHashCall};
use tracing::info;

use super::{protocol_follower::read_newest_by, start::until_answered};
use crate::{
    prices::{Call, CallResult},
    routing::{
        pool::{Venue, VenueKind},
        spot_price::SpotRoute,
    },
    strategies::liquidate::LiquidateSettings,
};

/// Gas of a view of an adapter.
const VIEW_GAS: u64 = 100_000;

/// A route, by its adapter and its path.
type RouteKey = (Address, Bytes);

/// Sets the pools of every route, as soon as a node answers. A route of which they are not known is sold by all the same.
pub(super) async fn find(settings: &mut LiquidateSettings, nodes: &[Arc<Endpoint>]) {
    // Without the contract that swaps there is no use for a route.
    if settings.liquidator.is_none() {
        return;
    }
    let routes = settings.markets.values().flat_map(|market| &market.routes);
    let routes: Vec<RouteKey> = routes.map(|route| (route.swapper, route.path.clone())).collect();
    let found = until_answered(nodes, async |node| read_pools(settings.keeper, &routes, node).await).await;
    for route in settings.markets.values_mut().flat_map(|market| &mut market.routes) {
        route.spot = found.get(&(route.swapper, route.path.clone())).cloned();
        if route.spot.is_none() {
            info!(swapper = %route.swapper, path = %route.path, "no price at the margin: decisions take two requests");
        }
    }
}

/// Returns the pools of the routes whose adapter names its venue and whose pools all have a price, by calls from an account.
async fn read_pools(
    account: Address,
    routes: &[RouteKey],
    node: &Arc<Endpoint>,
) -> Result<HashMap<RouteKey, SpotRoute>, ChainError> {
    let view = |to: Address, data: Vec<u8>| Call::view(to, data, VIEW_GAS);
    let of_adapter = |(swapper, _): &RouteKey| {
        [view(*swapper, factoryCall {}.abi_encode()), view(*swapper, poolInitCodeHashCall {}.abi_encode())]
    };
    let calls: Vec<_> = routes.iter().flat_map(of_adapter).collect();
    if calls.is_empty() {
        return Ok(HashMap::new());
    }
    let answers = read_newest_by(account, node, &calls).await?;
    let place = |(route, answers): (&RouteKey, &[CallResult])| {
        let [factory, hash] = answers else { return None };
        let venue = Venue {
            kind: VenueKind::UniswapV3,
            deployer: factoryCall::abi_decode_returns(factory.as_ref().ok()?).ok()?,
            pool_init_code_hash: poolInitCodeHashCall::abi_decode_returns(hash.as_ref().ok()?).ok()?,
            keys: Vec::new(),
        };
        Some((route.clone(), SpotRoute::along(&route.1, &venue)?))
    };
    let placed: Vec<_> = routes.iter().zip(answers.chunks_exact(2)).filter_map(place).collect();
    let reads: Vec<_> = placed.iter().flat_map(|(_, spot)| spot.calls()).collect();
    let mut states =
        if reads.is_empty() { Vec::new() } else { read_newest_by(account, node, &reads).await? }.into_iter();
    let has_price = |(_, spot): &(RouteKey, SpotRoute)| {
        let of_route: Vec<_> = states.by_ref().take(spot.calls().count()).collect();
        spot.price(of_route).is_some()
    };
    Ok(placed.into_iter().filter(has_price).collect())
}
