//! Refusals of block ranges that are too long, with the error codes and texts of real providers.

use serde_json::Value;

use super::{
    rpc::{self, Request},
    upstream::Upstream,
};

/// The error code that comes with HTTP status 413, which clients may take for a broken connection.
pub(super) const PAYLOAD_TOO_LARGE: i64 = -32614;

/// A provider, with the error code and text that it is known to refuse long ranges with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcProvider {
    /// Alchemy suggests a range that works.
    Alchemy,
    /// Ankr mentions no limit.
    Ankr,
    /// Cloudflare's gateway mentions the limit.
    Cloudflare,
    /// dRPC uses an error code of its own.
    Drpc,
    /// Infura mentions the requested range and the limit.
    Infura,
    /// PublicNode mentions the limit.
    PublicNode,
    /// QuickNode writes the limit with a thousands separator, and answers with HTTP status 413.
    QuickNode,
}

impl RpcProvider {
    /// All providers.
    pub const ALL: [Self; 7] =
        [Self::Alchemy, Self::Ankr, Self::Cloudflare, Self::Drpc, Self::Infura, Self::PublicNode, Self::QuickNode];

    fn refusal(self, first: u64, last: u64, max: u64) -> Value {
        match self {
            Self::Alchemy => {
                let works = first + max.saturating_sub(1);
                let text = format!(
                    "You can make eth_getLogs requests with up to a {max} block range. Based on your parameters, this \
                     block range should work: [{first:#x}, {works:#x}]"
                );
                rpc::error(-32600, text)
            }
            Self::Ankr => rpc::error(-32600, "block range is too wide"),
            Self::Cloudflare => {
                let text =
                    format!("Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: {max}");
                rpc::error(-32047, text)
            }
            Self::Drpc => rpc::error(35, format!("ranges over {max} blocks are not supported on free plan")),
            Self::Infura => rpc::error(-32602, format!("range {} exceeds limit of {max}", last - first + 1)),
            Self::PublicNode => rpc::error(-32701, format!("exceed maximum block range: {max}")),
            Self::QuickNode => {
                rpc::error(PAYLOAD_TOO_LARGE, format!("eth_getLogs is limited to a {} range", with_thousands(max)))
            }
        }
    }
}

/// Returns the error for a request whose range is too long. Fails when the node does not return its newest block.
pub(super) async fn refusal(
    upstream: &Upstream,
    request: &Request,
    max_blocks: u64,
    provider: RpcProvider,
) -> eyre::Result<Option<Value>> {
    let filter = request.param(0);
    if filter.get("blockHash").is_some_and(|hash| !hash.is_null()) {
        return Ok(None);
    }
    let head = upstream.head().await?;
    let bound = |name: &str| match filter.get(name) {
        Some(Value::String(tag)) if tag == "earliest" => 0,
        bound => bound.and_then(rpc::number).unwrap_or(head),
    };
    let (first, last) = (bound("fromBlock"), bound("toBlock"));
    let is_too_long = last.checked_sub(first).is_some_and(|further| further >= max_blocks);
    Ok(is_too_long.then(|| provider.refusal(first, last, max_blocks)))
}

fn with_thousands(number: u64) -> String {
    let rest = format!("{:03}", number % 1_000);
    if number < 1_000 { number.to_string() } else { format!("{},{rest}", with_thousands(number / 1_000)) }
}
