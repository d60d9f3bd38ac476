//! Reorg handling: tells a head that extends the applied blocks from one on another branch, finds the common ancestor
//! of the two, and tells a reorg that can be reverted from one that is too deep.

use std::collections::{BTreeMap, VecDeque};

use alloy::eips::{BlockNumHash, BlockNumberOrTag};
use futures_util::{StreamExt, stream};

use super::{
    block_logs::RpcHeader,
    endpoint_client::{EndpointClient, MAX_CONCURRENT_REQUESTS},
};
use crate::{book::MAX_REORG_DEPTH, chain::Header};

/// The applied blocks that can be reverted to, the newest last. Never empty; numbers may have gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppliedBlocks(VecDeque<BlockNumHash>);

/// The relation of a header to the applied blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// The block is one of them.
    Applied,
    /// Its parent is this one of them.
    ChildOf(BlockNumHash),
    /// Its parent is none of them; an earlier ancestor may be.
    Unknown,
    /// Its branch left the chain before the oldest of them.
    TooDeep,
}

/// The branch that leads to a head.
pub(super) enum Branch {
    /// It leaves the applied blocks at one that can be reverted to.
    From {
        /// The newest block that it has in common with the applied ones.
        ancestor: BlockNumHash,
        /// The headers after the ancestor, the head last.
        headers: Vec<RpcHeader>,
    },
    /// It leaves the applied blocks further back than can be reverted.
    TooDeep,
}

impl AppliedBlocks {
    pub(super) fn starting_at(block: BlockNumHash) -> Self {
        Self(VecDeque::from([block]))
    }

    /// Returns the newest applied block.
    pub(super) fn tip(&self) -> BlockNumHash {
        self.0.back().copied().unwrap_or_default()
    }

    /// Returns the oldest block that can be reverted to.
    pub(super) fn oldest(&self) -> BlockNumHash {
        self.0.front().copied().unwrap_or_default()
    }

    /// Returns the applied block before one of them; `None` if there is none, or if `block` is not applied.
    pub(super) fn before(&self, block: BlockNumHash) -> Option<BlockNumHash> {
        let index = self.0.iter().position(|applied| *applied == block)?;
        self.0.get(index.checked_sub(1)?).copied()
    }

    /// Returns how a header is related to the applied blocks.
    pub(super) fn relation(&self, header: &Header) -> Relation {
        let has = |number: u64, hash| self.0.contains(&BlockNumHash { number, hash });
        if has(header.number, header.hash) {
            return Relation::Applied;
        }
        let before = header.number.saturating_sub(1);
        if has(before, header.parent_hash) {
            return Relation::ChildOf(BlockNumHash { number: before, hash: header.parent_hash });
        }
        if before <= self.oldest().number { Relation::TooDeep } else { Relation::Unknown }
    }

    /// Adds an applied block, and drops those that cannot be reverted to any more.
    pub(super) fn push(&mut self, block: BlockNumHash) {
        self.0.push_back(block);
        let oldest = block.number.saturating_sub(MAX_REORG_DEPTH);
        self.0.retain(|kept| kept.number >= oldest);
    }

    /// Drops every block after `block`.
    pub(super) fn revert_to(&mut self, block: BlockNumHash) {
        while self.0.len() > 1 && self.0.back().is_some_and(|last| last.number > block.number) {
            self.0.pop_back();
        }
    }
}

/// Finds the branch from the applied blocks to a head by following parent hashes. Headers between the newest applied
/// block and the head are fetched by number at once beforehand, because on the same branch these are all that is
/// needed. Returns `None` if the endpoint does not give a header.
pub(super) async fn branch_to(client: &EndpointClient, applied: &AppliedBlocks, head: RpcHeader) -> Option<Branch> {
    let mut prefetched = BTreeMap::new();
    let between = applied.tip().number.saturating_add(1)..head.header.number;
    let mut requests = stream::iter(between)
        .map(|number| client.header(BlockNumberOrTag::Number(number)))
        .buffered(MAX_CONCURRENT_REQUESTS);
    while let Some(Ok(Some(header))) = requests.next().await {
        prefetched.insert(header.header.hash, header);
    }
    let mut headers = vec![head];
    let mut lowest = head;
    loop {
        match applied.relation(&lowest.header) {
            Relation::ChildOf(ancestor) => {
                headers.reverse();
                return Some(Branch::From { ancestor, headers });
            }
            Relation::TooDeep => return Some(Branch::TooDeep),
            Relation::Unknown | Relation::Applied => {}
        }
        let parent = lowest.header.parent_hash;
        let header = match prefetched.remove(&parent) {
            Some(header) => Some(header),
            None => client.header_by_hash(parent).await.ok()?,
        };
        // If the endpoint does not have the parent any more, the head has been reorged, too.
        lowest = header.filter(|header| header.header.number < lowest.header.number)?;
        headers.push(lowest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::failover::tests::{hash, header};

    fn block(number: u64, fork: u8) -> BlockNumHash {
        BlockNumHash { number, hash: hash(number, fork) }
    }

    /// Returns blocks 100 to 200 of fork 0.
    fn applied() -> AppliedBlocks {
        let mut applied = AppliedBlocks::starting_at(block(100, 0));
        (101..=200).for_each(|number| applied.push(block(number, 0)));
        applied
    }

    #[test]
    fn a_header_is_applied_a_child_of_an_applied_block_or_unknown() {
        let applied = applied();
        assert_eq!(applied.relation(&header(201, 0, 0)), Relation::ChildOf(block(200, 0)));
        assert_eq!(applied.relation(&header(190, 0, 0)), Relation::Applied);
        assert_eq!(applied.relation(&header(191, 1, 0)), Relation::ChildOf(block(190, 0)));
        assert_eq!(applied.relation(&header(192, 1, 1)), Relation::Unknown);
        assert_eq!(applied.relation(&header(300, 0, 0)), Relation::Unknown);
    }

    #[test]
    fn a_reorg_of_64_blocks_can_be_reverted_and_one_of_65_cannot() {
        let applied = applied();
        assert_eq!(applied.oldest(), block(136, 0));
        assert_eq!(applied.relation(&header(137, 1, 0)), Relation::ChildOf(block(136, 0)));
        assert_eq!(applied.relation(&header(137, 1, 1)), Relation::TooDeep);
        assert_eq!(applied.relation(&header(136, 1, 0)), Relation::TooDeep);
    }

    #[test]
    fn reverting_does_not_make_older_blocks_revertible() {
        let mut applied = applied();
        applied.revert_to(block(150, 0));
        assert_eq!((applied.tip(), applied.oldest()), (block(150, 0), block(136, 0)));
        applied.push(block(151, 1));
        assert_eq!(applied.relation(&header(136, 1, 0)), Relation::TooDeep);
    }

    #[test]
    fn a_stream_that_begins_at_genesis_can_revert_to_it() {
        let applied = AppliedBlocks::starting_at(block(0, 0));
        assert_eq!(applied.relation(&header(1, 0, 0)), Relation::ChildOf(block(0, 0)));
        assert_eq!(applied.relation(&header(1, 0, 1)), Relation::TooDeep);
    }
}
