//! Checks that nodes respond, are of the deployment's chain, and support what the keeper needs.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{Address, Bytes, U64, U256},
    rpc::types::{Block, Log},
};
use plimsoll_chain::{endpoint::Transport, local::LocalChain};
use serde_json::json;
use tokio::time::timeout;

use super::{Node, TIMEOUT, request, timed_out};
use crate::{
    chain::Header,
    config::{Config, EndpointSettings, Role},
    prices::{Call, ChainReader, EndpointReader, UNSIGNED_ACCOUNT},
    report::check::CheckReport,
};

const AREA: &str = "endpoints";
/// Gas that the smallest request needs.
const SMALL_TRIAL_GAS: u64 = 1_000_000;
/// Gas that leaves room for the largest transaction in a request.
const LARGE_TRIAL_GAS: u64 = 20_000_000;

/// Checks every node and returns the first that can be read.
pub(super) async fn check(report: &mut CheckReport, config: &mut Config) -> Option<Node> {
    let endpoints = std::mem::take(&mut config.endpoints);
    let mut best = None;
    let announces = |settings: &EndpointSettings| settings.endpoint.transport() != Transport::Http;
    let has_announcer = endpoints.iter().any(|settings| settings.role.reads() && announces(settings));
    for settings in endpoints {
        let reads = settings.role.reads();
        let node = one(report, config, settings).await;
        if best.is_none() && reads {
            best = node;
        }
    }
    if !has_announcer {
        report.warn(
            AREA,
            "WebSocket",
            "no node that is read announces new blocks, so they are polled",
            "name one that begins with ws:// or wss://, or an IPC socket, in [[endpoints]]",
        );
    }
    if best.is_none() {
        report.fail(
            AREA,
            "nodes",
            "no node can be read, so nothing on the chain was checked",
            "repair one of the nodes above, or name another in [[endpoints]]",
        );
    }
    best
}

async fn one(report: &mut CheckReport, config: &Config, settings: EndpointSettings) -> Option<Node> {
    let EndpointSettings { name, endpoint, role } = settings;
    if role == Role::Bundle {
        report.ok(AREA, name, format!("{role}, which answers when a bundle is sent"));
        return None;
    }
    let away = "is the node running, and is its URL right?";
    let client = match timeout(TIMEOUT, endpoint.client()).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            report.fail(AREA, name, error.to_string(), away);
            return None;
        }
        Err(_) => {
            report.fail(AREA, name, timed_out(&endpoint).to_string(), away);
            return None;
        }
    };
    let responses = async {
        let id: U64 = request(&endpoint, &client, "eth_chainId", ()).await?;
        let first: Option<Block> = request(&endpoint, &client, "eth_getBlockByNumber", ("0x0", false)).await?;
        let newest: Option<Block> = request(&endpoint, &client, "eth_getBlockByNumber", ("latest", false)).await?;
        Ok::<_, plimsoll_chain::error::ChainError>((id.to::<u64>(), first, newest))
    };
    let (id, first, newest) = match responses.await {
        Ok(responses) => responses,
        Err(error) => {
            report.fail(AREA, name, error.to_string(), away);
            return None;
        }
    };
    let wanted = config.deployed.chain_id;
    if id != wanted {
        let remedy = "name a node of the deployment's chain, or the record of this one";
        report.fail(AREA, name, format!("it is of chain {id}, and the deployment is on chain {wanted}"), remedy);
        return None;
    }
    let genesis = first.map(|block| block.header.hash).unwrap_or_default();
    if let Some(wanted) = config.deployed.genesis.filter(|wanted| *wanted != genesis) {
        let what = format!("its first block is {genesis}, and that of the deployment's chain {wanted}");
        report.fail(AREA, name, what, "it is another chain of the same id: deploy on it, or name another node");
        return None;
    }
    let Some(newest) = newest else {
        report.fail(AREA, name, "it has no newest block", "wait until it is synced");
        return None;
    };
    let head = header(&newest);
    let local = LocalChain::detect(&endpoint, &client).await.ok().flatten();
    let node = Node { endpoint: Arc::new(endpoint), client, genesis, head, local };
    let mut found = vec![format!("{role}, block {}, {}", head.number, age(head.timestamp))];
    if role.reads() {
        capabilities(report, config, &node, &name, &mut found).await;
    }
    report.ok(AREA, name, found.join(", "));
    Some(node)
}

/// Checks which methods a node that is read supports, and adds those to `found`.
async fn capabilities(report: &mut CheckReport, config: &Config, node: &Node, name: &str, found: &mut Vec<String>) {
    let others = config.protocols.deployments.iter().map(|deployment| deployment.address);
    let contracts: Vec<_> = config.deployed.core().into_iter().chain(others).collect();
    let filter = json!({ "blockHash": node.head.hash, "address": contracts });
    match node.request::<_, Vec<Log>>("eth_getLogs", (filter,)).await {
        Ok(_) => found.push("logs by block hash".to_owned()),
        Err(error) => report.fail(
            AREA,
            name.to_owned(),
            format!("it does not return a block's logs by its hash: {error}"),
            "give it the role \"send\", and read another node",
        ),
    }
    simulation(report, node, name, found).await;
    if node.endpoint.transport() != Transport::Http {
        match node.request::<_, U256>("eth_subscribe", ("newHeads",)).await {
            Ok(_) => found.push("announces blocks".to_owned()),
            Err(error) => report.fail(
                AREA,
                name.to_owned(),
                format!("it does not announce new blocks: {error}"),
                "name another WebSocket in [[endpoints]]",
            ),
        }
    }
}

/// Checks that a node that is read can try calls, and with how much gas.
async fn simulation(report: &mut CheckReport, node: &Node, name: &str, found: &mut Vec<String>) {
    let reader = EndpointReader::new(Arc::clone(&node.endpoint), node.client.clone(), UNSIGNED_ACCOUNT);
    let call = |gas| Call::trial(Address::ZERO, Bytes::new(), gas);
    let outcome =
        match timeout(TIMEOUT, reader.run_each(&node.head, [call(SMALL_TRIAL_GAS), call(LARGE_TRIAL_GAS)])).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(timed_out(&node.endpoint).to_string()),
        };
    match outcome.as_deref() {
        Ok([small, _]) if small.result.is_err() => report.fail(
            AREA,
            name.to_owned(),
            format!("it gives eth_call less than {SMALL_TRIAL_GAS} gas"),
            "give it the role \"send\", and read another node",
        ),
        Ok([_, large]) if large.result.is_err() => {
            found.push("simulation".to_owned());
            report.warn(
                AREA,
                name.to_owned(),
                format!(
                    "it gives eth_call less than {LARGE_TRIAL_GAS} gas, so that several requests may be needed for one"
                ),
                "raise its gas cap for calls (geth: --rpc.gascap), or name another node first",
            );
        }
        Ok(_) => found.push("simulation".to_owned()),
        Err(problem) => report.fail(
            AREA,
            name.to_owned(),
            format!("calls cannot be tried on it: {problem}"),
            "give it the role \"send\", and read a node whose eth_call takes state overrides",
        ),
    }
}

fn header(block: &Block) -> Header {
    let header = &block.header;
    Header {
        number: header.number,
        hash: header.hash,
        parent_hash: header.parent_hash,
        timestamp: header.timestamp,
        base_fee: header.base_fee_per_gas.unwrap_or_default(),
        gas_limit: header.gas_limit,
        gas_used: header.gas_used,
    }
}

/// Formats the age of a block by its timestamp and this machine's clock.
fn age(timestamp: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    match now.checked_sub(timestamp) {
        Some(seconds) => format!("{seconds} s old"),
        None => format!("{} s ahead of this machine's clock", timestamp - now),
    }
}
