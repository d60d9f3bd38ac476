//! "Range too large", in the words of those who say it: a caller has to understand all of them.

use serde_json::Value;

use super::{
    rpc::{self, Request},
    upstream::Upstream,
};

/// The code of a refusal that comes with HTTP status 413, so that clients may take it for a broken connection.
pub(super) const PAYLOAD_TOO_LARGE: i64 = -32614;

/// Whose words. Code and text are what each is known to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcProvider {
    /// Names a range that would work.
    Alchemy,
    /// Names no range at all.
    Ankr,
    /// Through its gateway.
    Cloudflare,
    /// With a code of its own.
    Drpc,
    /// Names both what was asked and what is allowed.
    Infura,
    /// Free nodes for everybody.
    PublicNode,
    /// Writes thousands with a comma, and answers with HTTP status 413.
    QuickNode,
}

impl RpcProvider {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Alchemy, Self::Ankr, Self::Cloudflare, Self::Drpc, Self::Infura, Self::PublicNode, Self::QuickNode];

    fn refusal(self, first: u64, last: u64, most: u64) -> Value {
        match self {
            Self::Alchemy => {
                let works = first + most.saturating_sub(1);
                let text = format!(
                    "You can make eth_getLogs requests with up to a {most} block range. Based on your parameters, this \
                     block range should work: [{first:#x}, {works:#x}]"
                );
                rpc::error(-32600, text)
            }
            Self::Ankr => rpc::error(-32600, "block range is too wide"),
            Self::Cloudflare => {
                let text =
                    format!("Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: {most}");
                rpc::error(-32047, text)
            }
            Self::Drpc => rpc::error(35, format!("ranges over {most} blocks are not supported on free plan")),
            Self::Infura => rpc::error(-32602, format!("range {} exceeds limit of {most}", last - first + 1)),
            Self::PublicNode => rpc::error(-32701, format!("exceed maximum block range: {most}")),
            Self::QuickNode => {
                rpc::error(PAYLOAD_TOO_LARGE, format!("eth_getLogs is limited to a {} range", with_thousands(most)))
            }
        }
    }
}

/// The error for a request whose range is too long. Fails when the node does not say where `latest` is.
pub(super) async fn refusal(
    upstream: &Upstream,
    request: &Request,
    most_blocks: u64,
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
    let is_too_long = last.checked_sub(first).is_some_and(|further| further >= most_blocks);
    Ok(is_too_long.then(|| provider.refusal(first, last, most_blocks)))
}

fn with_thousands(number: u64) -> String {
    let rest = format!("{:03}", number % 1_000);
    if number < 1_000 { number.to_string() } else { format!("{},{rest}", with_thousands(number / 1_000)) }
}
