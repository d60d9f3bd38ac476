//! Backfill: the events of many final blocks at once. Logs are fetched by range from an endpoint whose own head is past
//! the range's end, and checked against the headers at both ends of the range.

use alloy::{
    eips::{BlockNumHash, BlockNumberOrTag},
    primitives::B256,
    rpc::types::Log,
};
use futures_util::{StreamExt, TryStreamExt, stream, try_join};

use super::{
    BlockEvents, ResyncReason,
    block_logs::{FetchError, RpcHeader, decode},
    endpoint_client::{EndpointClient, MAX_CONCURRENT_REQUESTS, RequestError},
    failover::EndpointPool,
    rpc_error::RpcErrorKind,
};

/// Number of blocks in the first range that an endpoint is asked for.
const INITIAL_RANGE: u64 = 2_000;

/// Number of answers after which a range beyond the known limit is tried again: providers' plans change.
const ANSWERS_UNTIL_LIMIT_IS_TESTED: u32 = 64;

/// The number of blocks to ask one endpoint for at once: it shrinks when the endpoint refuses, and grows slowly while
/// it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AdaptiveLogRange {
    blocks: u64,
    /// The longest range that was answered since that length was last refused; 0 if none was.
    answered: u64,
    /// The longest range that may be tried: one block less than was refused last.
    limit: u64,
    /// The longest range that is ever tried.
    max: u64,
    answers: u32,
}

impl AdaptiveLogRange {
    /// Creates a range that never exceeds `max` blocks.
    pub(super) fn with_max(max: u64) -> Self {
        let max = max.max(1);
        Self { blocks: INITIAL_RANGE.min(max), answered: 0, limit: max, max, answers: 0 }
    }

    /// Returns the number of blocks to ask for.
    pub(super) const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Records that a range of `blocks` was answered. The range grows by half of the distance to the limit, so that the
    /// limit is found in a few steps and then kept to.
    pub(super) fn record_answer(&mut self, blocks: u64) {
        if blocks < self.blocks {
            return;
        }
        self.answered = blocks;
        self.answers += 1;
        if self.answers >= ANSWERS_UNTIL_LIMIT_IS_TESTED {
            self.answers = 0;
            self.limit = self.limit.saturating_mul(2).min(self.max);
        }
        self.blocks += self.limit.saturating_sub(self.blocks).div_ceil(2).min(self.blocks);
    }

    /// Records that a range of `blocks` was refused. The range shrinks to the longest one that was answered, or to
    /// half. Returns false if nothing shorter can be asked for.
    pub(super) fn record_refusal(&mut self, blocks: u64) -> bool {
        if self.answered >= blocks {
            self.answered = 0;
        }
        self.answers = 0;
        self.limit = blocks.saturating_sub(1).max(1);
        self.blocks = if self.answered > 0 { self.answered } else { (blocks / 2).max(1) };
        blocks > 1
    }
}

/// The reason why an endpoint did not supply a range.
enum BackfillError {
    /// The endpoint failed to answer, or its answer is not consistent.
    Failed,
    /// The endpoint refuses a range of this length.
    RangeTooLarge,
    /// The endpoint's chain does not have the newest applied block.
    OtherBranch,
    /// A log in this block is none of our contracts' events.
    ForeignEvent(u64, String),
}

impl From<RequestError> for BackfillError {
    fn from(error: RequestError) -> Self {
        if error.kind == RpcErrorKind::RangeTooLarge { Self::RangeTooLarge } else { Self::Failed }
    }
}

/// Fetches the blocks with events after `tip` and up to `last`, or as far as an endpoint goes at once, from the first
/// endpoint that supplies them. The last block of the range is included whether or not it has events. Returns the
/// blocks with the endpoint's index. Fails with [`FetchError::Resync`] if no endpoint failed and none has the chain of
/// `tip`.
pub(super) async fn backfill(
    pool: &EndpointPool,
    tip: BlockNumHash,
    last: u64,
) -> Result<(Vec<BlockEvents>, usize), FetchError> {
    let (mut resync, mut failed) = (None, false);
    for index in pool.order(last, false) {
        let Some(client) = pool.clients.get(index) else { continue };
        match backfill_from(pool, client, tip, last).await {
            Ok(blocks) => {
                let to = blocks.last().map(|block| block.number);
                tracing::debug!(from = tip.number + 1, to, endpoint = %client.endpoint, "log range backfilled");
                return Ok((blocks, index));
            }
            Err(BackfillError::OtherBranch) => {
                resync = Some(ResyncReason::NotCanonical { number: tip.number, hash: tip.hash });
            }
            Err(BackfillError::ForeignEvent(number, problem)) => {
                resync = Some(ResyncReason::ForeignEvent { number, problem });
            }
            Err(BackfillError::Failed | BackfillError::RangeTooLarge) => failed = true,
        }
    }
    Err(resync.filter(|_| !failed).map_or(FetchError::Retryable, FetchError::Resync))
}

/// Fetches a range from one endpoint, and shorter ones as long as the endpoint refuses.
async fn backfill_from(
    pool: &EndpointPool,
    client: &EndpointClient,
    tip: BlockNumHash,
    last: u64,
) -> Result<Vec<BlockEvents>, BackfillError> {
    let first = tip.number + 1;
    loop {
        let head = client.state().head.map_or(0, |head| head.header.number);
        let range = client.state().log_range.blocks();
        let last = last.min(head).min(tip.number.saturating_add(range));
        if last < first {
            return Err(BackfillError::Failed);
        }
        let blocks = last - tip.number;
        match fetch_range(pool, client, tip, last).await {
            Ok(answer) => {
                client.state().log_range.record_answer(blocks);
                return Ok(answer);
            }
            Err(BackfillError::RangeTooLarge) if client.state().log_range.record_refusal(blocks) => {}
            Err(BackfillError::RangeTooLarge) => {
                let error = client.error("it refuses to give the logs of a single block");
                client.record_failure(RpcErrorKind::Rejected, error);
                return Err(BackfillError::Failed);
            }
            Err(error) => {
                // A node that is slow with a long range may be quick with a shorter one.
                client.state().log_range.record_refusal(blocks);
                return Err(error);
            }
        }
    }
}

/// Fetches the blocks after `tip` up to `last` from one endpoint, in one request for logs.
async fn fetch_range(
    pool: &EndpointPool,
    client: &EndpointClient,
    tip: BlockNumHash,
    last: u64,
) -> Result<Vec<BlockEvents>, BackfillError> {
    let first = tip.number + 1;
    let filter = pool.sources.filter().from_block(first).to_block(last);
    // The last header's hash commits to all blocks before it: if it is the same afterwards, the logs are of one chain.
    let last_header = header(client, last).await?;
    let (first_header, logs) =
        try_join!(async { if last == first { Ok(last_header) } else { header(client, first).await } }, async {
            Ok(client.logs(filter).await?)
        },)?;
    if header(client, last).await? != last_header {
        return Err(BackfillError::Failed);
    }
    if first_header.header.parent_hash != tip.hash {
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
        });
    }
    Ok(blocks)
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
    Ok(BlockEvents { number, hash, timestamp, tip: None, events })
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

    /// Asks a provider with a limit for ranges until it has answered `answers` of them. Returns the lengths that were
    /// answered, and the number of refusals.
    fn asked(limit: u64, answers: usize) -> (Vec<u64>, usize) {
        let mut range = AdaptiveLogRange::with_max(10_000);
        let (mut answered, mut refused) = (Vec::new(), 0);
        while answered.len() < answers {
            let blocks = range.blocks();
            if blocks <= limit {
                range.record_answer(blocks);
                answered.push(blocks);
            } else {
                assert!(range.record_refusal(blocks));
                refused += 1;
            }
        }
        (answered, refused)
    }

    #[test]
    fn a_providers_range_limit_is_found_and_kept_to() {
        for limit in [1, 7, 500, 1_999, 2_000, 9_999, 20_000] {
            let (answered, refused) = asked(limit, 60);
            assert_eq!(answered.last(), Some(&limit.min(10_000)), "of {limit}: {answered:?}");
            assert!(refused <= 24, "{refused} refusals to find {limit}");
        }
    }

    #[test]
    fn the_range_grows_again_after_a_limit_is_lifted() {
        let mut range = AdaptiveLogRange::with_max(10_000);
        assert!(range.record_refusal(2_000));
        for _ in 0..300 {
            let blocks = range.blocks();
            range.record_answer(blocks);
        }
        assert_eq!(range.blocks(), 10_000);
    }

    #[test]
    fn a_range_of_a_single_block_cannot_shrink() {
        let mut range = AdaptiveLogRange::with_max(10);
        assert!(!range.record_refusal(1));
        assert_eq!(range.blocks(), 1);
    }

    #[test]
    fn an_answer_to_a_short_last_range_does_not_change_the_range() {
        let mut range = AdaptiveLogRange::with_max(10_000);
        range.record_answer(3);
        assert_eq!(range.blocks(), INITIAL_RANGE);
    }
}
