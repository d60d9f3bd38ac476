//! Nodes: whether they answer, of which chain, and whether they can do what is asked of them.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy::{
    primitives::{U64, U256},
    rpc::types::{Block, Log},
};
use plimsoll_chain::{endpoint::Transport, local::LocalChain};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Node, PATIENCE, ask, silent};
use crate::{
    chain::Header,
    config::{Config, EndpointSettings},
    report::check::CheckReport,
};

const AREA: &str = "endpoints";

/// Looks at every node, and returns the first that can be read.
pub(super) async fn look(report: &mut CheckReport, config: &mut Config) -> Option<Node> {
    let endpoints = std::mem::take(&mut config.endpoints);
    let mut best = None;
    let has_websocket =
        endpoints.iter().any(|settings| settings.role.reads() && settings.endpoint.transport() == Transport::WebSocket);
    for settings in endpoints {
        let reads = settings.role.reads();
        let node = one(report, config, settings).await;
        if best.is_none() && reads {
            best = node;
        }
    }
    if !has_websocket {
        report.note(
            AREA,
            "WebSocket",
            "no node that is read announces new blocks, so they are asked for",
            "name one that begins with ws:// or wss:// in [[endpoints]]",
        );
    }
    if best.is_none() {
        report.wrong(
            AREA,
            "nodes",
            "no node can be read, so nothing on the chain was looked at",
            "see to one of the nodes above, or name another in [[endpoints]]",
        );
    }
    best
}

async fn one(report: &mut CheckReport, config: &Config, settings: EndpointSettings) -> Option<Node> {
    let EndpointSettings { name, endpoint, role } = settings;
    let away = "is the node running, and is its URL right?";
    let client = match timeout(PATIENCE, endpoint.client()).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            report.wrong(AREA, name, error.to_string(), away);
            return None;
        }
        Err(_) => {
            report.wrong(AREA, name, silent(&endpoint).to_string(), away);
            return None;
        }
    };
    let asked = async {
        let id: U64 = ask(&endpoint, &client, "eth_chainId", ()).await?;
        let first: Option<Block> = ask(&endpoint, &client, "eth_getBlockByNumber", ("0x0", false)).await?;
        let newest: Option<Block> = ask(&endpoint, &client, "eth_getBlockByNumber", ("latest", false)).await?;
        Ok::<_, plimsoll_chain::error::ChainError>((id.to::<u64>(), first, newest))
    };
    let (id, first, newest) = match asked.await {
        Ok(answers) => answers,
        Err(error) => {
            report.wrong(AREA, name, error.to_string(), away);
            return None;
        }
    };
    let wanted = config.deployed.chain_id;
    if id != wanted {
        let remedy = "name a node of the deployment's chain, or the record of this one";
        report.wrong(AREA, name, format!("it is of chain {id}, and the deployment is on chain {wanted}"), remedy);
        return None;
    }
    let genesis = first.map(|block| block.header.hash).unwrap_or_default();
    if let Some(wanted) = config.deployed.genesis.filter(|wanted| *wanted != genesis) {
        let what = format!("its first block is {genesis}, and that of the deployment's chain {wanted}");
        report.wrong(AREA, name, what, "it is another chain of the same id: deploy on it, or name another node");
        return None;
    }
    let Some(newest) = newest else {
        report.wrong(AREA, name, "it has no newest block", "wait until it has caught up");
        return None;
    };
    let head = header(&newest);
    let local = LocalChain::detect(&endpoint, &client).await.ok().flatten();
    let node = Node { endpoint, client, genesis, head, local };
    let mut able = vec![format!("{role}, block {}, {}", head.number, age(head.timestamp))];
    if role.reads() {
        abilities(report, config, &node, &name, &mut able).await;
    }
    report.right(AREA, name, able.join(", "));
    Some(node)
}

/// What it can do beyond the simplest; what it cannot is noted.
async fn abilities(report: &mut CheckReport, config: &Config, node: &Node, name: &str, able: &mut Vec<String>) {
    let filter = json!({ "blockHash": node.head.hash, "address": config.deployed.core });
    match node.ask::<_, Vec<Log>>("eth_getLogs", (filter,)).await {
        Ok(_) => able.push("logs by block hash".to_owned()),
        Err(error) => report.wrong(
            AREA,
            name.to_owned(),
            format!("it does not give a block's logs by its hash: {error}"),
            "give it the role \"send\", and read another node",
        ),
    }
    let nothing = json!({ "blockStateCalls": [{ "calls": [] }] });
    match node.ask::<_, Value>("eth_simulateV1", (nothing, node.head.hash)).await {
        Ok(_) => able.push("simulation".to_owned()),
        Err(_) => report.note(
            AREA,
            name.to_owned(),
            "it has no eth_simulateV1, so a swap is tried without what comes before it",
            "name a node that has it, if there is one",
        ),
    }
    if node.endpoint.transport() == Transport::WebSocket {
        match node.ask::<_, U256>("eth_subscribe", ("newHeads",)).await {
            Ok(_) => able.push("announces blocks".to_owned()),
            Err(error) => report.wrong(
                AREA,
                name.to_owned(),
                format!("it does not announce new blocks: {error}"),
                "name another WebSocket in [[endpoints]]",
            ),
        }
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

/// How old a block says it is, by this machine's clock.
fn age(timestamp: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    match now.checked_sub(timestamp) {
        Some(seconds) => format!("{seconds} s old"),
        None => format!("{} s ahead of this machine's clock", timestamp - now),
    }
}
