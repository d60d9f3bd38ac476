//! A node that has stopped following the chain. Its answers were correct when `head` was the newest block, and nothing
//! in them shows that they are outdated but the newest block, which does not change.

use serde_json::Value;

use super::{
    rpc::{self, Reply, Request},
    upstream::Upstream,
};

/// Distance of Anvil's `safe` block from the head.
const SAFE_DEPTH: u64 = 32;
/// Distance of Anvil's `finalized` block from the head.
const FINALIZED_DEPTH: u64 = 64;

/// Answers as a node whose newest block is `head`. Fails when the real node does not answer.
pub(super) async fn answer(upstream: &Upstream, request: &Request, head: u64) -> eyre::Result<Reply> {
    let mut request = request.clone();
    match request.method.as_str() {
        "eth_blockNumber" => return Ok(Ok(rpc::quantity(head))),
        "eth_getLogs" => {
            if let Some(reply) = pin_filter(upstream, &mut request, head).await? {
                return Ok(reply);
            }
        }
        method => {
            if let Some(position) = block_parameter(method) {
                let Some(pinned) = pin(upstream, request.param(position), head).await? else {
                    let asks_for_block = position == 0;
                    return Ok(if asks_for_block { Ok(Value::Null) } else { Err(unknown("header not found")) });
                };
                request.set_param(position, pinned);
            }
        }
    }
    Ok(upstream.ask(&request).await?.map(|result| without_future(&request.method, result, head)))
}

/// Returns the position of a method's block parameter.
fn block_parameter(method: &str) -> Option<usize> {
    match method {
        "eth_getBlockByNumber"
        | "eth_getBlockReceipts"
        | "eth_getBlockTransactionCountByNumber"
        | "eth_getTransactionByBlockNumberAndIndex" => Some(0),
        "eth_call"
        | "eth_estimateGas"
        | "eth_createAccessList"
        | "eth_getBalance"
        | "eth_getCode"
        | "eth_getTransactionCount"
        | "eth_feeHistory" => Some(1),
        "eth_getStorageAt" | "eth_getProof" => Some(2),
        _ => None,
    }
}

/// Resolves a block parameter; none where the node does not have that block.
async fn pin(upstream: &Upstream, block: &Value, head: u64) -> eyre::Result<Option<Value>> {
    let hash = block.get("blockHash").or(Some(block)).and_then(Value::as_str).filter(|text| text.len() == 66);
    if let Some(hash) = hash {
        return Ok(is_known(upstream, hash, head).await?.then(|| block.clone()));
    }
    let number = match block.get("blockNumber").unwrap_or(block) {
        Value::String(tag) if tag == "earliest" => 0,
        Value::String(tag) if tag == "safe" => head.saturating_sub(SAFE_DEPTH),
        Value::String(tag) if tag == "finalized" => head.saturating_sub(FINALIZED_DEPTH),
        named => rpc::number(named).unwrap_or(head),
    };
    Ok((number <= head).then(|| rpc::quantity(number)))
}

/// Restricts a log filter to the blocks that the node has; returns an answer where it has none of them.
async fn pin_filter(upstream: &Upstream, request: &mut Request, head: u64) -> eyre::Result<Option<Reply>> {
    let mut filter = request.param(0).clone();
    if !filter.is_object() {
        // The node refuses it with an error of its own.
        return Ok(None);
    }
    if let Some(hash) = filter.get("blockHash").and_then(Value::as_str) {
        return Ok((!is_known(upstream, hash, head).await?).then(|| Err(unknown("unknown block"))));
    }
    for (name, beyond_is_nothing) in [("fromBlock", true), ("toBlock", false)] {
        match pin(upstream, &filter[name], head).await? {
            Some(pinned) => filter[name] = pinned,
            None if beyond_is_nothing => return Ok(Some(Ok(Value::Array(Vec::new())))),
            // Nodes cut such a range at their head and do not report it.
            None => filter[name] = rpc::quantity(head),
        }
    }
    request.set_param(0, filter);
    Ok(None)
}

async fn is_known(upstream: &Upstream, hash: &str, head: u64) -> eyre::Result<bool> {
    let request = Request::new("eth_getBlockByHash", vec![hash.into(), false.into()]);
    let block = upstream.ask(&request).await?.unwrap_or_default();
    Ok(block.get("number").and_then(rpc::number).is_some_and(|number| number <= head))
}

fn unknown(message: &str) -> Value {
    rpc::error(rpc::SERVER_ERROR, message)
}

/// Returns a block, receipt or transaction, which was requested by hash, as it was at `head`: unknown or still pending.
fn without_future(method: &str, mut result: Value, head: u64) -> Value {
    let number = |name: &str| result.get(name).and_then(rpc::number);
    match method {
        "eth_getBlockByHash" if number("number") > Some(head) => Value::Null,
        "eth_getTransactionReceipt" if number("blockNumber") > Some(head) => Value::Null,
        "eth_getTransactionByHash" if number("blockNumber") > Some(head) => {
            for name in ["blockHash", "blockNumber", "transactionIndex"] {
                result[name] = Value::Null;
            }
            result
        }
        _ => result,
    }
}
