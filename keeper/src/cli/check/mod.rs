//! `plimsoll-keeper check`: checks nodes, contracts, keys, files and prices, so that faults are found before the keeper
//! runs.

mod contracts;
mod endpoints;
mod files;
mod keys;
mod prices;

use alloy::{
    primitives::B256,
    rpc::{
        client::RpcClient,
        json_rpc::{RpcRecv, RpcSend},
    },
};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError, local::LocalChain};
use tokio::time::{Duration, timeout};

use crate::{chain::Header, config::Config, report::check::CheckReport};

/// Time limit of a request to a node.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A node that responds.
struct Node {
    endpoint: Endpoint,
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

fn timed_out(endpoint: &Endpoint) -> ChainError {
    let problem = format!("no response within {} s", TIMEOUT.as_secs());
    ChainError::Unreachable { endpoint: endpoint.to_string(), problem }
}

/// Runs all checks. Those on contracts, keys and prices need a node that responds.
pub(super) async fn run_checks(mut config: Config) -> CheckReport {
    let mut report = CheckReport::default();
    let node = endpoints::check(&mut report, &mut config).await;
    if let Some(node) = &node {
        contracts::check(&mut report, &config, node).await;
        keys::check(&mut report, &config, node).await;
    }
    let genesis = config.deployed.genesis.or_else(|| node.as_ref().map(|node| node.genesis));
    files::check(&mut report, &config, genesis);
    if let Some(node) = node {
        prices::check(&mut report, &config, node).await;
    }
    report
}
