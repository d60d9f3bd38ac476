//! `keeper check`: asks every node, looks at every contract, key and file, and finds what is wrong before it matters.

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

/// How long a node may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node that answered, and what it said.
struct Node {
    endpoint: Endpoint,
    client: RpcClient,
    genesis: B256,
    head: Header,
    local: Option<LocalChain>,
}

impl Node {
    /// Asks, and loses patience.
    async fn ask<P: RpcSend, R: RpcRecv>(&self, method: &'static str, parameters: P) -> Result<R, ChainError> {
        ask(&self.endpoint, &self.client, method, parameters).await
    }
}

async fn ask<P: RpcSend, R: RpcRecv>(
    endpoint: &Endpoint,
    client: &RpcClient,
    method: &'static str,
    parameters: P,
) -> Result<R, ChainError> {
    match timeout(PATIENCE, client.request::<P, R>(method, parameters)).await {
        Ok(answer) => answer.map_err(|error| ChainError::of_transport(endpoint, &error)),
        Err(_) => Err(silent(endpoint)),
    }
}

fn silent(endpoint: &Endpoint) -> ChainError {
    let problem = format!("no answer within {} s", PATIENCE.as_secs());
    ChainError::Unreachable { endpoint: endpoint.to_string(), problem }
}

/// Looks at everything.
pub(super) async fn look(mut config: Config) -> CheckReport {
    let mut report = CheckReport::default();
    let node = endpoints::look(&mut report, &mut config).await;
    if let Some(node) = &node {
        contracts::look(&mut report, &config, node).await;
        keys::look(&mut report, &config, node).await;
    }
    let genesis = config.deployed.genesis.or_else(|| node.as_ref().map(|node| node.genesis));
    files::look(&mut report, &config, genesis);
    if let Some(node) = node {
        prices::look(&mut report, &config, node).await;
    }
    report
}
