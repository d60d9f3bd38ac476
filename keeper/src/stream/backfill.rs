//! Backfill: the events of many final blocks at once. Logs are fetched by range, several ranges at the same time, each
//! from an endpoint whose own head is past the range's end, and checked against the headers at both ends of the range.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use alloy::{
    eips::{BlockNumHash, BlockNumberOrTag},
    primitives::B256,
    rpc::types::Log,
};
use futures_util::{StreamExt, TryStreamExt, stream, try_join};
use tokio::time::Instant;

use super::{
    BlockEvents, ResyncReason,
    block_logs::{FetchError, RpcHeader, decode},
    endpoint_client::{EndpointClient, MAX_CONCURRENT_REQUESTS, RequestError},
    failover::EndpointPool,
    rpc_error::RpcErrorKind,
};

/// Number of ranges that are fetched before their blocks are handed out.
const MAX_RANGES: usize = 64;
/// Number of blocks with events after which no further range is begun before they are handed out.
const MAX_BLOCKS_WITH_EVENTS: usize = 50_000;

/// The reason why an endpoint did not supply a range.
enum BackfillError {
    /// The endpoint failed to answer, or its answer is not consistent.
    Failed,
    /// The endpoint refuses a range of this length.
    RangeTooLarge,
    /// The endpoint does not give the logs of a range of this length in time.
    TooSlow,
    /// The endpoint's chain does not have the newest applied block.
    OtherBranch,
    /// A log in this block is none of our contracts' events.
    ForeignEvent(u64, String),
}

impl From<RequestError> for BackfillError {
    fn from(error: RequestError) -> Self {
        match error.kind {
            RpcErrorKind::RangeTooLarge => Self::RangeTooLarge,
            _ => Self::Failed,
        }
    }
}

/// A block of a backfill, with the index of the endpoint that supplied it.
pub(super) type SuppliedBlock = (BlockEvents, usize);

/// Consecutive blocks to fetch.
#[derive(Debug, Clone, Copy)]
struct BlockRange {
    first: u64,
    last: u64,
    /// Hash of the block before the first, if it is known.
    parent: Option<B256>,
}

/// The blocks of a range with events, and the last one whether or not it has any.
struct FetchedRange {
    /// Hash of the block before the first.
    parent: B256,
    blocks: Vec<SuppliedBlock>,
}

/// Fetches the blocks with events after `tip` and up to `last`, or as many as are handed out at once. The last block of
/// each range is included whether or not it has events. Fails with [`FetchError::Resync`] if no endpoint failed and none
/// has the chain of `tip`.
pub(super) async fn backfill(
    pool: &EndpointPool,
    tip: BlockNumHash,
    last: u64,
) -> Result<Vec<SuppliedBlock>, FetchError> {
    pool.progress().start(tip.number, last, Instant::now());
    let with_events = AtomicUsize::new(0);
    let mut first = tip.number + 1;
    // Each range is as long as the endpoint allows when its turn comes.
    let ranges = std::iter::from_fn(|| {
        let is_full = with_events.load(Ordering::Relaxed) > MAX_BLOCKS_WITH_EVENTS;
        let parent = (first == tip.number + 1).then_some(tip.hash);
        let range = BlockRange { first, last: first.saturating_add(pool.log_range(last) - 1).min(last), parent };
        (first <= last && !is_full).then(|| {
            first = range.last + 1;
            range
        })
    });
    let ranges = stream::iter(ranges.take(MAX_RANGES)).map(|range| fetch_range(pool, range));
    let mut fetched = pin!(ranges.buffered(pool.settings.concurrent_ranges.max(1)));
    let (mut blocks, mut parent) = (Vec::new(), tip.hash);
    while let Some(range) = fetched.next().await {
        match range {
            // Ranges that do not join are fetched again, the later one as the first of the next batch.
            Ok(range) if range.parent != parent => break,
            Ok(range) => {
                with_events.fetch_add(range.blocks.len(), Ordering::Relaxed);
                blocks.extend(range.blocks);
                let Some((block, _)) = blocks.last() else { break };
                parent = block.hash;
                if let Some(progress) = pool.progress().record(block.number, Instant::now()) {
                    tracing::info!(%progress, "reading events");
                }
            }
            Err(_) if !blocks.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    if blocks.is_empty() { Err(FetchError::Retryable) } else { Ok(blocks) }
}

/// Fetches a range from the first endpoint that supplies it. Fails with [`FetchError::Resync`] if no endpoint failed and
/// none has its parent.
async fn fetch_range(pool: &EndpointPool, range: BlockRange) -> Result<FetchedRange, FetchError> {
    let (mut resync, mut failed) = (None, false);
    for (index, client) in pool.clients_for(range.last) {
        match fetch_from(pool, client, range).await {
            Ok((parent, blocks)) => {
                tracing::debug!(first = range.first, last = range.last, endpoint = %client.endpoint, "log range backfilled");
                return Ok(FetchedRange { parent, blocks: blocks.into_iter().map(|block| (block, index)).collect() });
            }
            Err(BackfillError::OtherBranch) => {
                let hash = range.parent.unwrap_or_default();
                resync = range.parent.map(|_| ResyncReason::NotCanonical { number: range.first - 1, hash });
            }
            Err(BackfillError::ForeignEvent(number, problem)) => {
                resync = Some(ResyncReason::ForeignEvent { number, problem });
            }
            Err(BackfillError::Failed | BackfillError::RangeTooLarge | BackfillError::TooSlow) => failed = true,
        }
    }
    Err(resync.filter(|_| !failed).map_or(FetchError::Retryable, FetchError::Resync))
}

/// Fetches a range from one endpoint, in parts as long as the endpoint allows. Returns the hash of the block before it,
/// and its blocks.
async fn fetch_from(
    pool: &EndpointPool,
    client: &EndpointClient,
    range: BlockRange,
) -> Result<(B256, Vec<BlockEvents>), BackfillError> {
    let head = client.state().head.map_or(0, |head| head.header.number);
    if head < range.last {
        return Err(BackfillError::Failed);
    }
    let (mut first, mut parent) = (range.first, range.parent);
    let (mut parent_of_all, mut blocks) = (None, Vec::<BlockEvents>::new());
    while first <= range.last {
        let length = client.state().log_range.blocks().min(range.last - first + 1);
        match fetch_part(pool, client, BlockRange { first, last: first + length - 1, parent }).await {
            Ok((part_parent, part)) => {
                client.state().log_range.record_answer(length);
                parent_of_all.get_or_insert(part_parent);
                blocks.extend(part);
                (first, parent) = (first + length, blocks.last().map(|block| block.hash));
            }
            Err(BackfillError::RangeTooLarge) if client.state().log_range.record_refusal(length) => {}
            Err(BackfillError::RangeTooLarge) => {
                let error = client.error("it refuses to give the logs of a single block");
                client.record_failure(RpcErrorKind::Rejected, error);
                return Err(BackfillError::Failed);
            }
            // Its parts are not of one chain.
            Err(BackfillError::OtherBranch) if first > range.first => return Err(BackfillError::Failed),
            Err(BackfillError::TooSlow) => {
                // The next time a shorter range is asked for, with which it may be quicker.
                client.state().log_range.record_refusal(length);
                return Err(BackfillError::TooSlow);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((parent_of_all.unwrap_or_default(), blocks))
}

/// Fetches a range from one endpoint, in one request for logs. Returns the hash of the block before it, and its blocks.
async fn fetch_part(
    pool: &EndpointPool,
    client: &EndpointClient,
    range: BlockRange,
) -> Result<(B256, Vec<BlockEvents>), BackfillError> {
    let BlockRange { first, last, parent } = range;
    // The last header's hash commits to all blocks before it: if it is the same afterwards, the logs are of one chain.
    let last_header = header(client, last).await?;
    let (first_header, logs) =
        try_join!(async { if last == first { Ok(last_header) } else { header(client, first).await } }, async {
            client.logs_between(&pool.sources, first, last).await.map_err(|error| match error.kind {
                RpcErrorKind::TimedOut => BackfillError::TooSlow,
                _ => error.into(),
            })
        },)?;
    if header(client, last).await? != last_header {
        return Err(BackfillError::Failed);
    }
    let found_parent = first_header.header.parent_hash;
    if parent.is_some_and(|parent| parent != found_parent) {
        return Err(BackfillError::OtherBranch);
    }
    let known = [&first_header, &last_header]
        .map(|header| BlockNumHash { number: header.header.number, hash: header.header.hash });
    let blocks = match group_by_block(logs, [first, last], known) {
        Ok(blocks) => blocks,
        Err(reason) => {
            client.report_false_answer(reason);
            return Err(BackfillError::Failed);
        }
    };
    let blocks = stream::iter(blocks).map(|block| decode_block(pool, client, block)).buffered(MAX_CONCURRENT_REQUESTS);
    let mut blocks: Vec<BlockEvents> = blocks.try_collect().await?;
    if blocks.last().is_none_or(|block| block.number < last) {
        blocks.push(BlockEvents {
            number: last,
            hash: last_header.header.hash,
            timestamp: last_header.header.timestamp,
            tip: None,
            events: Vec::new(),
            unconfirmed: false,
        });
    }
    Ok((found_parent, blocks))
}

async fn header(client: &EndpointClient, number: u64) -> Result<RpcHeader, BackfillError> {
    client.header(BlockNumberOrTag::Number(number)).await?.ok_or(BackfillError::Failed)
}

/// The logs of one block.
struct BlockLogs {
    number: u64,
    hash: B256,
    /// Timestamp, if the logs state it.
    timestamp: Option<u64>,
    logs: Vec<Log>,
}

/// Groups logs by block. Fails if they are not in order, not within the range from `first` to `last`, or not of one
/// chain that has the `known` blocks.
fn group_by_block(
    logs: Vec<Log>,
    [first, last]: [u64; 2],
    known: [BlockNumHash; 2],
) -> Result<Vec<BlockLogs>, &'static str> {
    let mut blocks: Vec<BlockLogs> = Vec::new();
    let mut before = None;
    for log in logs {
        let (Some(number), Some(hash), Some(index)) = (log.block_number, log.block_hash, log.log_index) else {
            return Err("it gave logs without saying of which block");
        };
        if log.removed || number < first || number > last || before.is_some_and(|before| before >= (number, index)) {
            return Err("it gave logs out of order, or of blocks that were not asked for");
        }
        before = Some((number, index));
        if known.iter().any(|known| known.number == number && known.hash != hash) {
            return Err("it gave logs and a header that are not of the same block");
        }
        match blocks.last_mut().filter(|block| block.number == number) {
            Some(block) if block.hash != hash => return Err("it gave logs of two blocks of one height"),
            Some(block) => block.logs.push(log),
            None => blocks.push(BlockLogs { number, hash, timestamp: log.block_timestamp, logs: vec![log] }),
        }
    }
    Ok(blocks)
}

/// Decodes a block's logs, and fetches its timestamp if the logs do not state it.
async fn decode_block(
    pool: &EndpointPool,
    client: &EndpointClient,
    block: BlockLogs,
) -> Result<BlockEvents, BackfillError> {
    let BlockLogs { number, hash, timestamp, logs } = block;
    let events = decode(pool, logs.iter().map(|log| &log.inner))
        .map_err(|problem| BackfillError::ForeignEvent(number, problem))?;
    let timestamp = match timestamp {
        Some(timestamp) => timestamp,
        None => client.header_by_hash(hash).await?.ok_or(BackfillError::Failed)?.header.timestamp,
    };
    Ok(BlockEvents { number, hash, timestamp, tip: None, events, unconfirmed: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(number: u64, index: u64, hash: u8) -> Log {
        Log {
            block_number: Some(number),
            block_hash: Some(B256::repeat_byte(hash)),
            log_index: Some(index),
            ..Log::default()
        }
    }

    /// Returns the number and the count of logs of each block.
    fn grouped(logs: Vec<Log>) -> Result<Vec<(u64, usize)>, &'static str> {
        let known = |number, hash| BlockNumHash { number, hash: B256::repeat_byte(hash) };
        let blocks = group_by_block(logs, [10, 20], [known(10, 10), known(20, 20)])?;
        Ok(blocks.into_iter().map(|block| (block.number, block.logs.len())).collect())
    }

    #[test]
    fn logs_are_grouped_by_block() {
        let logs = vec![log(10, 0, 10), log(10, 4, 10), log(13, 0, 1), log(20, 1, 20)];
        assert_eq!(grouped(logs), Ok(vec![(10, 2), (13, 1), (20, 1)]));
    }

    #[test]
    fn logs_that_cannot_be_of_one_chain_are_rejected() {
        for logs in [
            vec![log(9, 0, 1)],
            vec![log(21, 0, 1)],
            vec![log(12, 0, 1), log(11, 0, 2)],
            vec![log(11, 0, 1), log(11, 0, 1)],
            vec![log(11, 0, 1), log(11, 1, 2)],
            vec![log(20, 0, 1)],
            vec![log(10, 0, 20)],
            vec![Log { removed: true, ..log(11, 0, 1) }],
            vec![Log { block_hash: None, ..log(11, 0, 1) }],
        ] {
            assert!(grouped(logs.clone()).is_err(), "{logs:?}");
        }
    }
}
