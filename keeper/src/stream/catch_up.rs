//! Many blocks at once, where they are deep enough not to change: logs by range from an endpoint whose own head is past
//! the range's end, held against the headers at both ends.

use alloy::{
    eips::{BlockNumHash, BlockNumberOrTag},
    primitives::B256,
    rpc::types::{Filter, Log},
};
use futures_util::{StreamExt, TryStreamExt, stream, try_join};

use super::{
    BlockEvents, Rebuild,
    fetch::{Trouble, decode},
    head::Head,
    node::{Failure, Node},
    pool::Pool,
    refusal::Refusal,
};

/// How many headers are asked for at once.
pub(super) const AT_ONCE: usize = 8;

/// Why a range was not fetched.
enum Obstacle {
    /// The endpoint did not answer, or not truly.
    Failed,
    /// It wants to be asked for less.
    TooLarge,
    /// Its chain does not have our newest block.
    OtherBranch,
    /// What it says is none of our contract's.
    Foreign(u64, String),
}

impl From<Failure> for Obstacle {
    fn from(failure: Failure) -> Self {
        if failure.refusal == Refusal::TooLarge { Self::TooLarge } else { Self::Failed }
    }
}

/// The blocks with events after `tip` and up to `last` or as far as an endpoint goes at once, and the last of these
/// blocks, whatever is in it; with whose word that is.
pub(super) async fn range(pool: &Pool, tip: BlockNumHash, last: u64) -> Result<(Vec<BlockEvents>, usize), Trouble> {
    let (mut hopeless, mut failed) = (None, false);
    for index in pool.order(last) {
        let Some(node) = pool.nodes.get(index) else { continue };
        match range_from(pool, node, tip, last).await {
            Ok(blocks) => return Ok((blocks, index)),
            Err(Obstacle::OtherBranch) => hopeless = Some(Rebuild::NotCanonical { number: tip.number, hash: tip.hash }),
            Err(Obstacle::Foreign(number, problem)) => hopeless = Some(Rebuild::Foreign { number, problem }),
            Err(Obstacle::Failed | Obstacle::TooLarge) => failed = true,
        }
    }
    Err(hopeless.filter(|_| !failed).map_or(Trouble::Failed, Trouble::Rebuild))
}

/// From one endpoint, with shorter ranges as long as it objects.
async fn range_from(pool: &Pool, node: &Node, tip: BlockNumHash, last: u64) -> Result<Vec<BlockEvents>, Obstacle> {
    let first = tip.number + 1;
    loop {
        let head = node.state().head.map_or(0, |head| head.header.number);
        let size = node.state().range.blocks();
        let last = last.min(head).min(tip.number.saturating_add(size));
        if last < first {
            return Err(Obstacle::Failed);
        }
        let blocks = last - tip.number;
        match ask(pool, node, tip, last).await {
            Ok(answer) => {
                node.state().range.answered(blocks);
                return Ok(answer);
            }
            Err(Obstacle::TooLarge) if node.state().range.refused(blocks) => {}
            Err(Obstacle::TooLarge) => {
                node.failed(Refusal::Other, node.problem("it refuses to give the logs of a single block"));
                return Err(Obstacle::Failed);
            }
            Err(obstacle) => {
                // A node that is slow with much may be quick with less.
                node.state().range.refused(blocks);
                return Err(obstacle);
            }
        }
    }
}

async fn ask(pool: &Pool, node: &Node, tip: BlockNumHash, last: u64) -> Result<Vec<BlockEvents>, Obstacle> {
    let first = tip.number + 1;
    let addresses: Vec<_> = pool.sources.addresses().collect();
    let filter = Filter::new().address(addresses).from_block(first).to_block(last);
    // Its hash speaks for all blocks before it: where it is the same afterwards, everything in between is of one chain.
    let ends = header(node, last).await?;
    let (begins, logs) =
        try_join!(async { if last == first { Ok(ends) } else { header(node, first).await } }, async {
            Ok(node.logs(filter).await?)
        },)?;
    if header(node, last).await? != ends {
        return Err(Obstacle::Failed);
    }
    if begins.header.parent_hash != tip.hash {
        return Err(Obstacle::OtherBranch);
    }
    let known = [&begins, &ends].map(|head| BlockNumHash { number: head.header.number, hash: head.header.hash });
    let blocks = match by_block(logs, [first, last], known) {
        Ok(blocks) => blocks,
        Err(reason) => {
            node.lied(reason);
            return Err(Obstacle::Failed);
        }
    };
    let blocks = stream::iter(blocks).map(|block| with_events(pool, node, block)).buffered(AT_ONCE);
    let mut blocks: Vec<BlockEvents> = blocks.try_collect().await?;
    if blocks.last().is_none_or(|block| block.number < last) {
        blocks.push(BlockEvents {
            number: last,
            hash: ends.header.hash,
            timestamp: ends.header.timestamp,
            tip: None,
            events: Vec::new(),
        });
    }
    Ok(blocks)
}

async fn header(node: &Node, number: u64) -> Result<Head, Obstacle> {
    node.header(BlockNumberOrTag::Number(number)).await?.ok_or(Obstacle::Failed)
}

/// A block's logs.
struct BlockLogs {
    number: u64,
    hash: B256,
    timestamp: Option<u64>,
    logs: Vec<Log>,
}

/// Takes logs apart by block. Fails where they are not those of one chain's blocks from the first to the last, in their
/// order, with the hashes that are known.
fn by_block(logs: Vec<Log>, [first, last]: [u64; 2], known: [BlockNumHash; 2]) -> Result<Vec<BlockLogs>, &'static str> {
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

/// Reads a block's logs, and asks for its time where they do not say.
async fn with_events(pool: &Pool, node: &Node, block: BlockLogs) -> Result<BlockEvents, Obstacle> {
    let BlockLogs { number, hash, timestamp, logs } = block;
    let events =
        decode(pool, logs.iter().map(|log| &log.inner)).map_err(|problem| Obstacle::Foreign(number, problem))?;
    let timestamp = match timestamp {
        Some(timestamp) => timestamp,
        None => node.header_by_hash(hash).await?.ok_or(Obstacle::Failed)?.header.timestamp,
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

    fn taken_apart(logs: Vec<Log>) -> Result<Vec<(u64, usize)>, &'static str> {
        let known = |number, hash| BlockNumHash { number, hash: B256::repeat_byte(hash) };
        let blocks = by_block(logs, [10, 20], [known(10, 10), known(20, 20)])?;
        Ok(blocks.into_iter().map(|block| (block.number, block.logs.len())).collect())
    }

    #[test]
    fn logs_are_taken_apart_by_block() {
        let logs = vec![log(10, 0, 10), log(10, 4, 10), log(13, 0, 1), log(20, 1, 20)];
        assert_eq!(taken_apart(logs), Ok(vec![(10, 2), (13, 1), (20, 1)]));
    }

    #[test]
    fn logs_that_cannot_be_of_one_chain_are_refused() {
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
            assert!(taken_apart(logs.clone()).is_err(), "{logs:?}");
        }
    }
}
