//! The events of one block, fetched by the block's hash and checked against its header.
//!
//! A negative bloom needs no request. An empty answer to a positive bloom may be true, because blooms have false
//! positives. In the newest block it is believed at first: the totals of the markets, which are read in the same block,
//! confirm or refute it. For earlier blocks, of which nothing is read, it needs a second endpoint's opinion; if there is no
//! second endpoint, all logs of the block, of whatever contract, are requested, and they must account for the whole bloom.
//! What no total confirms is found by the rolling check.
//! A block that was rejected or refuted is read from its receipts, whose root is in the header.

use std::sync::Arc;

use alloy::{
    consensus::{TxReceipt, proofs::calculate_receipt_root},
    eips::BlockNumberOrTag,
    primitives::{self, B256, Bloom, BloomInput, U64, U256, logs_bloom},
    rpc::types::{Filter, Log, TransactionReceipt},
};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use serde::Deserialize;
use serde_json::Value;

use super::{
    BlockEvents, ResyncReason,
    endpoint_client::{EndpointClient, RequestError},
    failover::EndpointPool,
    rpc_error::RpcErrorKind,
};
use crate::chain::{Event, Header, Sources};

/// A block header as a node's RPC states it, with what its logs can be checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "HeaderJson")]
pub(super) struct RpcHeader {
    pub(super) header: Header,
    /// Bloom of the block's logs; all ones if the node does not state it.
    pub(super) bloom: Bloom,
    /// Root of the block's receipts, if the node states it.
    pub(super) receipts_root: Option<B256>,
}

/// The fields of a header in JSON, as far as they are used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeaderJson {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    base_fee_per_gas: Option<U256>,
    gas_limit: U64,
    gas_used: U64,
    logs_bloom: Option<Bloom>,
    receipts_root: Option<B256>,
}

impl From<HeaderJson> for RpcHeader {
    fn from(json: HeaderJson) -> Self {
        let header = Header {
            number: json.number.to(),
            hash: json.hash,
            parent_hash: json.parent_hash,
            timestamp: json.timestamp.to(),
            base_fee: json.base_fee_per_gas.unwrap_or_default().saturating_to(),
            gas_limit: json.gas_limit.to(),
            gas_used: json.gas_used.to(),
        };
        // Without a bloom anything may have been logged.
        let bloom = json.logs_bloom.unwrap_or(Bloom::repeat_byte(0xff));
        Self { header, bloom, receipts_root: json.receipts_root }
    }
}

/// Reads the newest block's header from an endpoint, for a part that follows no events.
pub async fn newest_header(endpoint: &Endpoint) -> Result<Header, ChainError> {
    let client = endpoint.client().await?;
    let newest = client.request::<_, RpcHeader>("eth_getBlockByNumber", (BlockNumberOrTag::Latest, false)).await;
    Ok(newest.map_err(|error| ChainError::of_transport(endpoint, &error))?.header)
}

impl RpcHeader {
    /// Returns true if something that is followed may have logged in this block; false is certain.
    pub(super) fn may_contain_logs_of(&self, sources: &Sources) -> bool {
        sources.may_match(|bytes| self.bloom.contains(&Bloom::from(BloomInput::Raw(bytes))))
    }

    /// Returns true if the block's bloom has bits that the bloom of the given logs does not have, so that logs are
    /// missing among them.
    fn has_more_than(&self, logs_bloom: &Bloom) -> bool {
        !logs_bloom.contains(&self.bloom)
    }
}

/// A block that the book has rejected.
#[derive(Debug, Clone, Default)]
pub(super) struct DisputedBlock {
    /// The book's reason for the last rejection.
    pub(super) reason: String,
    /// The block as it was each time that it was rejected.
    pub(super) rejected: Vec<Arc<BlockEvents>>,
    /// Indices of the endpoints that supplied it.
    pub(super) suppliers: Vec<usize>,
    /// Whether it was applied with too few events, by the totals that were read in it or by another endpoint.
    pub(super) is_refuted: bool,
    /// Index of the endpoint on whose word alone it was refuted.
    pub(super) accuser: Option<usize>,
}

/// The events of a block.
pub(super) struct FetchedEvents {
    pub(super) events: Vec<Event>,
    /// Index of the endpoint that supplied them; `None` if the bloom is negative.
    pub(super) supplier: Option<usize>,
    /// Whether only that endpoint's word says that there are none.
    pub(super) unconfirmed: bool,
}

impl FetchedEvents {
    const fn of(events: Vec<Event>, supplier: Option<usize>) -> Self {
        Self { events, supplier, unconfirmed: false }
    }
}

/// The reason why events could not be fetched.
#[derive(Debug)]
pub(super) enum FetchError {
    /// A later attempt may succeed.
    Retryable,
    /// No later attempt can succeed; the state must be rebuilt.
    Resync(ResyncReason),
}

/// Fetches the events of a block, from the endpoint with the index `first` if possible. Of the newest block an endpoint's
/// word that there are none is returned as unconfirmed. Fails with [`FetchError::Resync`] if the only logs to be had are
/// none of our contracts' events.
pub(super) async fn fetch_events(
    pool: &EndpointPool,
    header: &RpcHeader,
    first: usize,
    is_newest: bool,
) -> Result<FetchedEvents, FetchError> {
    if !pool.may_contain_our_logs(header) {
        return Ok(FetchedEvents::of(Vec::new(), None));
    }
    let (mut empty, mut foreign) = (None, None);
    for (index, client) in endpoints_with(pool, header, first) {
        let Ok(logs) = our_logs(pool, client, header).await else { continue };
        let events = match decode(pool, logs.iter().map(|log| &log.inner)) {
            Ok(events) => events,
            Err(problem) => {
                foreign = Some(problem);
                continue;
            }
        };
        match empty {
            None if logs.is_empty() && is_newest => {
                return Ok(FetchedEvents { unconfirmed: true, ..FetchedEvents::of(events, Some(index)) });
            }
            None if logs.is_empty() && pool.settings.blooms => empty = Some((index, client)),
            Some((_, wrong)) if !logs.is_empty() => {
                EndpointClient::report_false_answer(wrong, "it left out every log of a block");
                return Ok(FetchedEvents::of(events, Some(index)));
            }
            _ => return Ok(FetchedEvents::of(events, Some(index))),
        }
    }
    if let Some((index, client)) = empty {
        return if is_certainly_empty(pool, client, header).await {
            Ok(FetchedEvents::of(Vec::new(), Some(index)))
        } else {
            Err(FetchError::Retryable)
        };
    }
    Err(foreign.map_or(FetchError::Retryable, |problem| {
        FetchError::Resync(ResyncReason::ForeignEvent { number: header.header.number, problem })
    }))
}

/// Fetches the events of a block that the book has rejected, or that was refuted. Returns other events than before; once
/// it is proven that there are no others, or every endpoint says so, those of a refuted block, and fails with
/// [`FetchError::Resync`] for one that was rejected.
pub(super) async fn fetch_disputed(
    pool: &EndpointPool,
    header: &RpcHeader,
    disputed: &DisputedBlock,
) -> Result<FetchedEvents, FetchError> {
    let number = header.header.number;
    let was_rejected = |events: &[Event]| {
        disputed.rejected.iter().any(|rejected| rejected.hash == header.header.hash && rejected.events == events)
    };
    let unchanged = || {
        if disputed.is_refuted {
            // What refuted it was not true.
            for client in disputed.suppliers.iter().filter_map(|index| pool.clients.get(*index)) {
                client.state().health.clear_false_answer();
            }
            if let Some(accuser) = disputed.accuser.and_then(|index| pool.clients.get(index)) {
                accuser.report_false_answer(&format!("it gave logs that block {number} does not have"));
            }
            let events = disputed.rejected.last().map(|block| block.events.clone()).unwrap_or_default();
            return Ok(FetchedEvents::of(events, disputed.suppliers.first().copied()));
        }
        let reason = disputed.reason.clone();
        Err(FetchError::Resync(ResyncReason::InconsistentEvents { number, reason, untried_endpoint: false }))
    };
    let mut clients = endpoints_with(pool, header, usize::MAX);
    clients.sort_by_key(|(index, _)| disputed.suppliers.contains(index));
    let mut agreeing = 0;
    for (index, client) in &clients {
        let supplier = Some(*index);
        match events_by_receipts(pool, client, header).await {
            Some(events) if was_rejected(&events) => return unchanged(),
            Some(events) => return Ok(FetchedEvents::of(events, supplier)),
            None => {}
        }
        let Ok(logs) = our_logs(pool, client, header).await else { continue };
        match decode(pool, logs.iter().map(|log| &log.inner)) {
            Ok(events) if !was_rejected(&events) => return Ok(FetchedEvents::of(events, supplier)),
            _ => agreeing += 1,
        }
    }
    // Without a proof, what every endpoint says is taken for the truth.
    if agreeing > 0 && agreeing == clients.len() { unchanged() } else { Err(FetchError::Retryable) }
}

/// Decodes the logs of our contracts, and skips others. Fails with a description of the first log that is none of its
/// contract's events.
pub(super) fn decode<'a>(
    pool: &EndpointPool,
    logs: impl IntoIterator<Item = &'a primitives::Log>,
) -> Result<Vec<Event>, String> {
    let events = logs.into_iter().filter_map(|log| {
        let problem = |error| format!("a log of {} is none of the contract's events: {error}", log.address);
        pool.sources.decode(log).map_err(problem).transpose()
    });
    events.collect()
}

/// Returns the endpoints that have a block, in the failover order but for `first`, which comes first whether or not its
/// own head is past the block.
fn endpoints_with<'a>(pool: &'a EndpointPool, header: &RpcHeader, first: usize) -> Vec<(usize, &'a EndpointClient)> {
    let number = header.header.number;
    let has_block = |(index, client): &(usize, &EndpointClient)| {
        *index == first || client.state().head.is_some_and(|head| head.header.number >= number)
    };
    let mut order: Vec<_> = pool.clients_for(number).filter(has_block).collect();
    order.sort_by_key(|(index, _)| *index != first);
    order
}

/// Requests the logs of our contracts in a block.
async fn our_logs(pool: &EndpointPool, client: &EndpointClient, header: &RpcHeader) -> Result<Vec<Log>, RequestError> {
    logs_of_block(client, header.header.hash, pool.sources.filter_of_block()).await
}

/// Checks an endpoint's answer that a block with a positive bloom has no logs of ours: all logs of the block must
/// account for the whole bloom. If the endpoint does not give them all, it must repeat its answer.
async fn is_certainly_empty(pool: &EndpointPool, client: &EndpointClient, header: &RpcHeader) -> bool {
    let Ok(all) = logs_of_block(client, header.header.hash, Filter::new()).await else {
        return our_logs(pool, client, header).await.is_ok_and(|logs| logs.is_empty());
    };
    let filter = pool.sources.filter_of_block();
    let is_ours = |log: &Log| filter.matches_address(log.address()) && filter.matches_topics(log.topics());
    let left_out = header.has_more_than(&logs_bloom(all.iter().map(|log| &log.inner))) || all.iter().any(is_ours);
    if left_out {
        client.report_false_answer("it left out logs of a block");
    }
    !left_out
}

/// Fetches our events from a block's receipts. Returns `None` if these do not hash to the header's root, or are of a
/// kind that only that chain knows.
async fn events_by_receipts(pool: &EndpointPool, client: &EndpointClient, header: &RpcHeader) -> Option<Vec<Event>> {
    let answer: Value = client.request("eth_getBlockReceipts", (header.header.hash,)).await.ok()?;
    let receipts: Vec<TransactionReceipt> = serde_json::from_value(answer).ok()?;
    let receipts: Vec<_> = receipts.into_iter().map(|receipt| receipt.into_primitives_receipt().inner).collect();
    let is_proven = header.receipts_root == Some(calculate_receipt_root(&receipts));
    decode(pool, receipts.iter().flat_map(TxReceipt::logs)).ok().filter(|_| is_proven)
}

/// Requests logs of one block. Fails if there are logs of another among them.
async fn logs_of_block(client: &EndpointClient, hash: B256, filter: Filter) -> Result<Vec<Log>, RequestError> {
    let logs = client.logs(filter.at_block_hash(hash)).await?;
    if logs.iter().all(|log| log.block_hash == Some(hash) && !log.removed) {
        return Ok(logs);
    }
    let reason = "it gave logs of another block than was asked for";
    client.report_false_answer(reason);
    Err(RequestError { kind: RpcErrorKind::Rejected, error: client.error(reason) })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, address};
    use serde_json::json;

    use super::*;
    use crate::chain::Followed;

    const CORE: Address = address!("0x00000000000000000000000000000000000000c0");

    fn announced(bloom: Option<Bloom>) -> RpcHeader {
        let hash = B256::repeat_byte(1);
        serde_json::from_value(json!({
            "number": "0x10", "hash": hash, "parentHash": B256::ZERO, "timestamp": "0x64", "baseFeePerGas": "0x7",
            "gasLimit": "0x1c9c380", "gasUsed": "0x5208", "logsBloom": bloom, "miner": Address::ZERO,
        }))
        .unwrap()
    }

    fn bloom_of(address: Address) -> Bloom {
        Bloom::from(BloomInput::Raw(address.as_slice()))
    }

    #[test]
    fn a_header_is_read_from_a_nodes_json() {
        let Header { number, timestamp, base_fee, gas_limit, gas_used, .. } = announced(None).header;
        assert_eq!((number, timestamp, base_fee, gas_limit, gas_used), (16, 100, 7, 30_000_000, 21_000));
    }

    #[test]
    fn only_a_bloom_without_our_contracts_excludes_logs_of_ours() {
        let sources = Sources::all(Address::repeat_byte(9), Some(CORE));
        let may_contain = |bloom| announced(bloom).may_contain_logs_of(&sources);
        assert!(!may_contain(Some(Bloom::ZERO)));
        assert!(!may_contain(Some(bloom_of(Address::ZERO))));
        assert!(may_contain(Some(bloom_of(CORE) | bloom_of(Address::ZERO))));
        assert!(may_contain(None), "a node that states no bloom");
    }

    #[test]
    fn a_bloom_without_what_is_followed_excludes_logs_although_the_contract_logged() {
        let (ours, others) = (B256::repeat_byte(5), B256::repeat_byte(6));
        let sources = Sources { followed: Followed::only([ours]), ..Sources::all(CORE, None) };
        let topic = |id: B256| Bloom::from(BloomInput::Raw(id.as_slice()));
        let may_contain = |id| announced(Some(bloom_of(CORE) | topic(id))).may_contain_logs_of(&sources);
        assert!(may_contain(ours) && !may_contain(others));
    }

    #[test]
    fn a_bloom_shows_that_logs_are_missing() {
        let header = announced(Some(bloom_of(CORE) | bloom_of(Address::ZERO)));
        assert!(header.has_more_than(&bloom_of(CORE)));
        let more = bloom_of(CORE) | bloom_of(Address::ZERO) | bloom_of(Address::repeat_byte(3));
        assert!(!header.has_more_than(&more));
    }
}
