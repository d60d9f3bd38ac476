//! `plimsoll-keeper check`: checks nodes, contracts, keys, files and prices, so that faults are found before the keeper
//! runs.

mod contracts;
mod endpoints;
mod files;
mod inventory;
mod keys;
mod prices;
mod protocols;
mod quotes;

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::{
        client::RpcClient,
        json_rpc::{RpcRecv, RpcSend},
    },
    sol_types::SolCall,
};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError, local::LocalChain};
use serde_json::json;
use tokio::time::{Duration, timeout};

use crate::{
    chain::Header,
    config::{Config, Role},
    report::check::CheckReport,
};

/// Time limit of a request to a node.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A node that responds.
struct Node {
    endpoint: Arc<Endpoint>,
    client: RpcClient,
    /// Hash of its block 0.
    genesis: B256,
    /// Its newest block.
    head: Header,
    /// Proof that the chain is a local Anvil, if it is.
    local: Option<LocalChain>,
}

impl Node {
    /// Sends a request. Fails if the node returns an error or does not respond within [`TIMEOUT`].
    async fn request<P: RpcSend, R: RpcRecv>(&self, method: &'static str, parameters: P) -> Result<R, ChainError> {
        request(&self.endpoint, &self.client, method, parameters).await
    }
}

async fn request<P: RpcSend, R: RpcRecv>(
    endpoint: &Endpoint,
    client: &RpcClient,
    method: &'static str,
    parameters: P,
) -> Result<R, ChainError> {
    match timeout(TIMEOUT, client.request::<P, R>(method, parameters)).await {
        Ok(response) => response.map_err(|error| ChainError::of_transport(endpoint, &error)),
        Err(_) => Err(timed_out(endpoint)),
    }
}

/// Calls a contract; `None` if the call reverts or returns something else. Fails if the node does not respond.
async fn read<C: SolCall>(node: &Node, to: Address, call: C) -> Result<Option<C::Return>, ChainError> {
    let request = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
    match node.request::<_, Bytes>("eth_call", (request, node.head.hash)).await {
        Ok(output) => Ok(C::abi_decode_returns(&output).ok()),
        Err(ChainError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn timed_out(endpoint: &Endpoint) -> ChainError {
    let problem = format!("no response within {} s", TIMEOUT.as_secs());
    ChainError::Unreachable { endpoint: endpoint.to_string(), problem }
}

/// Runs all checks. Those on contracts, keys and prices need a node that responds.
pub(super) async fn run_checks(mut config: Config) -> CheckReport {
    let mut report = CheckReport::default();
    let sends_bundles = config.endpoints.iter().any(|endpoint| endpoint.role == Role::Bundle);
    let node = endpoints::check(&mut report, &mut config).await;
    if let Some(node) = &node {
        contracts::check(&mut report, &config, node).await;
        protocols::check(&mut report, &config, node).await;
        if sends_bundles {
            contracts::builder_payment(&mut report, &config, node).await;
        }
        let keeper = keys::check(&mut report, &config, node).await;
        inventory::check(&mut report, &config, node, keeper).await;
    }
    if sends_bundles {
        quotes::bids(&mut report, &config);
    }
    let genesis = config.deployed.genesis.or_else(|| node.as_ref().map(|node| node.genesis));
    files::check(&mut report, &config, genesis).await;
    if let Some(node) = &node {
        prices::check(&mut report, &config, node).await;
    }
    report
}
