//! What a command makes sure of before it reads or writes anything: that a node is of the deployment's chain, and that the
//! deployment is there. A keeper of another chain, or of an address that is no core, would follow nothing and look healthy.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{B256, Bytes, U64},
    sol_types::SolCall,
};
use eyre::ensure;
use futures_util::{StreamExt, stream::FuturesUnordered};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_contracts::IPlimsoll;
use serde_json::json;
use tokio::time;

use super::wait_log::WaitLog;
use crate::{
    config::{Config, Deployed},
    record,
    stream::newest_header,
};

/// Pause between two rounds of questions.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Time that a node has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a node said of the deployment.
enum Site {
    /// It is there.
    Found,
    /// The node has not reached the deployment's first block.
    NotYet,
    /// The node is of another chain; says which.
    OtherChain(String),
    /// Something else is at the core's address, or nothing.
    OtherContract,
}

/// Returns as soon as a node is of the deployment's chain and has the core where the configuration says. Waits for nodes that
/// do not answer, or are behind. Fails where every node is of another chain, or those of the right chain have no core there.
pub(crate) async fn confirm_deployment(config: &Config, nodes: &[Arc<Endpoint>]) -> eyre::Result<()> {
    let Deployed { core, chain_id, first_block, .. } = config.deployed;
    let mut log = WaitLog::default();
    loop {
        let ask = |node: &Arc<Endpoint>| {
            let node = Arc::clone(node);
            async move { (time::timeout(PATIENCE, ask(config, &node)).await, node) }
        };
        let mut answers: FuturesUnordered<_> = nodes.iter().map(ask).collect();
        let (mut others, mut without) = (Vec::new(), 0);
        while let Some((answer, node)) = answers.next().await {
            match answer {
                Ok(Ok(Site::Found)) => return Ok(()),
                Ok(Ok(Site::NotYet)) => {
                    log.warn(&node, &format!("it has not synced up to the deployment's first block {first_block}"));
                }
                Ok(Ok(Site::OtherChain(problem))) => others.push(format!("{node}: {problem}")),
                Ok(Ok(Site::OtherContract)) => without += 1,
                Ok(Err(error)) => log.warn(&node, &error),
                Err(_) => log.warn(&node, &"it does not answer"),
            }
        }
        ensure!(
            others.len() < nodes.len(),
            "no endpoint is of the deployment's chain: {}. Name a node of chain {chain_id} in [[endpoints]], or the record of \
             this chain in [deployment]",
            others.join("; ")
        );
        ensure!(
            without == 0,
            "what is at {core} on chain {chain_id} does not answer as Plimsoll does: correct `core` in [deployment], or name \
             the deployment's `record` there"
        );
        time::sleep(RETRY_INTERVAL).await;
    }
}

/// Asks a node for its chain and what is at the core's address.
async fn ask(config: &Config, node: &Endpoint) -> Result<Site, ChainError> {
    let deployed = &config.deployed;
    let client = node.client().await?;
    let refused = |error| ChainError::of_transport(node, &error);
    let id: U64 = record::rpc("eth_chainId", client.request_noparams("eth_chainId")).await.map_err(refused)?;
    if id != U64::from(deployed.chain_id) {
        return Ok(Site::OtherChain(format!("its chain id is {id}, not {}", deployed.chain_id)));
    }
    // Some nodes have pruned the first blocks.
    if let (Some(expected), Some(first)) = (deployed.genesis, node.block_hash(0).await?)
        && first != expected
    {
        return Ok(Site::OtherChain(format!(
            "its first block is {first}, not {expected}: another chain of the same id"
        )));
    }
    let Some(core) = deployed.core() else { return Ok(Site::Found) };
    // What no market has is zero in the core, and there is no such function elsewhere.
    let data = Bytes::from(IPlimsoll::marketParamsCall { id: B256::ZERO }.abi_encode());
    let called = client.request::<_, Bytes>("eth_call", (json!({ "to": core, "data": data }), "latest"));
    let answered = match record::rpc("eth_call", called).await.map_err(|error| ChainError::of_transport(node, &error)) {
        Ok(answer) => IPlimsoll::marketParamsCall::abi_decode_returns(&answer).is_ok(),
        Err(error) if error.is_revert() => false,
        Err(error) => return Err(error),
    };
    if answered {
        return Ok(Site::Found);
    }
    let is_behind = newest_header(node).await?.number < deployed.first_block;
    Ok(if is_behind { Site::NotYet } else { Site::OtherContract })
}
