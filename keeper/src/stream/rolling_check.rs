//! The rolling check: every 32 blocks the logs of the last 32 are requested once more, by range, and compared with the
//! events that were handed out.
//!
//! An endpoint may leave out the logs of its newest block, because its index is behind or broken. Where the totals of a
//! market depend on them, they are missed in the same block; no total depends on those of staking programmes, nor on some
//! of collateral. Those are missed here, by another endpoint than supplied the blocks where there is one. Blocks with
//! negative blooms have no logs, so that nothing is requested while nothing happens.

use std::{collections::VecDeque, sync::Arc};

use super::{BlockEvents, block_logs::decode, failover::EndpointPool};
use crate::chain::Event;

/// Number of blocks that are checked at once.
const CHECKED_BLOCKS: usize = 32;

/// A block that was accepted, with the index of the endpoint that supplied its events; `None` if its bloom is negative.
type SuppliedBlock = (Arc<BlockEvents>, Option<usize>);

/// The newest accepted blocks, without a gap.
#[derive(Debug, Default)]
pub(super) struct RecentBlocks {
    blocks: VecDeque<SuppliedBlock>,
    /// Number of the newest of them that have not been checked.
    unchecked: usize,
}

/// A block of which an endpoint gives events that were not handed out.
#[derive(Debug)]
pub(super) struct Omission {
    pub(super) block: Arc<BlockEvents>,
    /// Index of the endpoint that supplied the block.
    pub(super) supplier: Option<usize>,
    /// Index of the endpoint that gives more.
    pub(super) accuser: usize,
}

impl RecentBlocks {
    /// Adds a block. Forgets the others if some are missing between.
    pub(super) fn push(&mut self, block: Arc<BlockEvents>, supplier: Option<usize>) {
        if self.blocks.back().is_some_and(|(last, _)| last.number + 1 != block.number) {
            *self = Self::default();
        }
        self.blocks.push_back((block, supplier));
        if self.blocks.len() > CHECKED_BLOCKS {
            self.blocks.pop_front();
        }
        self.unchecked += 1;
    }

    /// Forgets every block after the one with this number.
    pub(super) fn revert_to(&mut self, number: u64) {
        while self.blocks.pop_back_if(|(last, _)| last.number > number).is_some() {
            self.unchecked = self.unchecked.saturating_sub(1);
        }
    }

    /// Returns the blocks to check if a check is due and any of them may have logs. They then count as checked.
    pub(super) fn take_due(&mut self) -> Option<Vec<SuppliedBlock>> {
        if self.unchecked < CHECKED_BLOCKS {
            return None;
        }
        self.unchecked = 0;
        let may_have_logs = self.blocks.iter().any(|(_, supplier)| supplier.is_some());
        may_have_logs.then(|| self.blocks.iter().cloned().collect())
    }
}

/// Requests the logs of consecutive blocks once more, and compares them with their events. Returns the first block of
/// which there are others. An endpoint that has fewer is behind, and says nothing.
pub(super) async fn find_omission(pool: Arc<EndpointPool>, blocks: Vec<SuppliedBlock>) -> Option<Omission> {
    let (first, last) = (blocks.first()?.0.number, blocks.last()?.0.number);
    let mut clients: Vec<_> = pool.clients_for(last).collect();
    clients.sort_by_key(|(index, _)| blocks.iter().any(|(_, supplier)| *supplier == Some(*index)));
    for (accuser, client) in clients {
        let Ok(logs) = client.logs_between(&pool.sources, first, last).await else { continue };
        for (block, supplier) in blocks {
            let logs: Vec<_> = logs.iter().filter(|log| log.block_number == Some(block.number)).collect();
            if logs.iter().any(|log| log.block_hash != Some(block.hash)) {
                tracing::debug!(endpoint = %client.endpoint, "its blocks are of another branch: not checked");
                return None;
            }
            let Ok(events) = decode(&pool, logs.iter().map(|log| &log.inner)) else { return None };
            if !is_subsequence(&events, &block.events) {
                return Some(Omission { block, supplier, accuser });
            }
        }
        return None;
    }
    None
}

/// Whether all of `events` are among `all`, in this order.
fn is_subsequence(events: &[Event], all: &[Event]) -> bool {
    let mut rest = all.iter();
    events.iter().all(|event| rest.any(|other| other == event))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256, U256};
    use plimsoll_contracts::IPlimsoll::{DepositCover, IPlimsollEvents};

    use super::*;

    fn event(units: u64) -> Event {
        let (backstop, token) = (Address::repeat_byte(1), Address::repeat_byte(2));
        Event::Core(IPlimsollEvents::DepositCover(DepositCover { backstop, token, assets: U256::from(units) }))
    }

    fn block(number: u64) -> Arc<BlockEvents> {
        let hash = B256::left_padding_from(&number.to_be_bytes());
        Arc::new(BlockEvents { number, hash, timestamp: 0, tip: None, events: Vec::new(), unconfirmed: false })
    }

    /// Adds blocks, with a positive bloom if they have a supplier. Returns the first and last of each range to check.
    fn due(
        recent: &mut RecentBlocks,
        numbers: impl IntoIterator<Item = u64>,
        supplier: Option<usize>,
    ) -> Vec<[u64; 2]> {
        let push = |number| {
            recent.push(block(number), supplier);
            let blocks = recent.take_due()?;
            Some([blocks.first()?.0.number, blocks.last()?.0.number])
        };
        numbers.into_iter().filter_map(push).collect()
    }

    #[test]
    fn every_block_is_checked_once_within_32_blocks() {
        let mut recent = RecentBlocks::default();
        assert_eq!(due(&mut recent, 1..=100, Some(0)), [[1, 32], [33, 64], [65, 96]]);
        recent.revert_to(98);
        assert_eq!(due(&mut recent, 99..=128, Some(0)), [[97, 128]]);
        assert_eq!(due(&mut recent, 200..=231, Some(0)), [[200, 231]], "without the blocks before a gap");
    }

    #[test]
    fn blocks_with_negative_blooms_cost_no_check() {
        let mut recent = RecentBlocks::default();
        assert_eq!(due(&mut recent, 1..=40, None), [[0; 2]; 0]);
        assert_eq!(due(&mut recent, [41], Some(0)), [[0; 2]; 0]);
        assert_eq!(due(&mut recent, 42..=64, None), [[33, 64]]);
    }

    #[test]
    fn fewer_events_say_nothing_and_others_do() {
        let ours = [event(1), event(2), event(2)];
        for fewer in [&[][..], &[event(2)], &[event(1), event(2)], &ours] {
            assert!(is_subsequence(fewer, &ours), "{fewer:?}");
        }
        for other in [&[event(3)][..], &[event(2), event(1)], &[event(1), event(2), event(2), event(2)]] {
            assert!(!is_subsequence(other, &ours), "{other:?}");
        }
    }
}
