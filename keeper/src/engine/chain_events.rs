//! What the operator is told of the chain's events: liquidations by others, and losses that were realised. Each is told of
//! once, although a block may come again in a reorg or when the book is rebuilt.

use std::collections::VecDeque;

use plimsoll_contracts::{
    IPlimsoll::{IPlimsollEvents, RealiseLoss},
    MarketId,
};

use super::Engine;
use crate::{
    book::{Block, MAX_REORG_DEPTH},
    chain::Event,
    intent::Subject,
    stream::BlockEvents,
    telemetry::{AlertKind, Notice},
    view::Denomination,
};

/// The events that were told of.
#[derive(Debug, Default)]
pub(super) struct ReportedEvents {
    /// Number of the newest block whose events were told of.
    until: u64,
    /// Losses in the blocks that can be reverted, with the block's number, the oldest first.
    losses: VecDeque<(u64, RealiseLoss)>,
    /// Losses in blocks that were reverted, with the block's number. Their transactions mostly come again.
    reverted: VecDeque<(u64, RealiseLoss)>,
}

impl ReportedEvents {
    /// Begins with a block. Returns false if its events were told of already.
    fn begin(&mut self, block: u64) -> bool {
        if block <= self.until {
            return false;
        }
        self.until = block;
        for losses in [&mut self.losses, &mut self.reverted] {
            losses.retain(|(number, _)| number.saturating_add(MAX_REORG_DEPTH) >= block);
        }
        true
    }

    /// Records a loss. Returns false if it was told of before its block was reverted.
    fn record_loss(&mut self, block: u64, loss: &RealiseLoss) -> bool {
        self.losses.push_back((block, loss.clone()));
        let known = self.reverted.iter().position(|(_, reverted)| reverted == loss);
        known.and_then(|index| self.reverted.remove(index)).is_none()
    }

    /// Expects the events of every block after `block` again.
    fn revert_to(&mut self, block: u64) {
        self.until = self.until.min(block);
        let kept = self.losses.partition_point(|(number, _)| *number <= block);
        self.reverted.extend(self.losses.split_off(kept));
    }
}

impl Engine {
    /// Tells of what happened in a block since the book was at the head. History that is read at the start is not told of.
    /// To be called before the sender is told of the block, since it forgets then what was in flight.
    pub(super) fn record_chain_events(&mut self, block: &BlockEvents) {
        let is_history = self.latest.is_none() && block.tip.is_none();
        if !is_history && self.reported.begin(block.number) {
            self.record_liquidations(block);
            self.report_losses(block);
        }
    }

    /// Takes back what was told of the blocks after `block`.
    pub(super) fn revert_chain_events(&mut self, block: u64) {
        self.reported.revert_to(block);
        self.view.revert_liquidations(block);
    }

    /// Records whose the liquidations in a block are.
    fn record_liquidations(&mut self, block: &BlockEvents) {
        let is_liquidation = |event: &Event| matches!(event, Event::Core(IPlimsollEvents::Liquidate(_)));
        if block.events.iter().any(is_liquidation) {
            let in_flight = self.submissions.exclusion(block.number, &self.pauses.active).in_flight;
            let is_in_flight = |subject: &Subject| in_flight.contains_key(subject);
            let id = Block { number: block.number, timestamp: block.timestamp };
            self.view.record_liquidations(self.follower.book(), id, &block.events, is_in_flight);
        }
    }

    /// Raises an alert for every loss that was realised in a block, in a market that the configuration names.
    fn report_losses(&mut self, block: &BlockEvents) {
        for event in &block.events {
            let Event::Core(IPlimsollEvents::RealiseLoss(loss)) = event else { continue };
            let (id, book) = (MarketId(loss.id), self.follower.book());
            let Some(market) = book.market(id).filter(|_| self.config.liquidate.markets.contains_key(&id)) else {
                continue;
            };
            if !self.reported.record_loss(block.number, loss) {
                continue;
            }
            let token = Denomination::of(&self.config, market.params().loanToken);
            let name = self.config.deployed.market_name(id);
            let text = format!(
                "in block {} a loss of {} was realised in {name}: {} came from its reserve, {} from its backstop, the \
                 rest from its suppliers",
                block.number,
                token.amount(loss.loss),
                token.amount(loss.fromReserve),
                token.amount(loss.fromCover)
            );
            self.alerts.send(Notice { kind: AlertKind::BadDebt, subject: name, resolved: false, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;

    fn loss(units: u64) -> RealiseLoss {
        let zero = U256::ZERO;
        RealiseLoss {
            loss: U256::from(units),
            id: Default::default(),
            backstop: Default::default(),
            reserveShares: zero,
            fromReserve: zero,
            fromCover: zero,
        }
    }

    #[test]
    fn a_loss_whose_block_is_reorged_is_told_of_once() {
        let mut reported = ReportedEvents::default();
        assert!(reported.begin(10) && reported.record_loss(10, &loss(1)));
        assert!(reported.begin(11) && reported.record_loss(11, &loss(2)));
        reported.revert_to(9);
        assert!(reported.begin(10) && !reported.record_loss(10, &loss(2)), "it comes again in another block");
        assert!(reported.begin(11) && !reported.record_loss(11, &loss(1)));
        assert!(reported.begin(12) && reported.record_loss(12, &loss(1)), "another loss of the same size");
    }

    #[test]
    fn the_blocks_of_a_book_that_is_rebuilt_are_not_told_of_again() {
        let mut reported = ReportedEvents::default();
        assert!(reported.begin(10));
        assert!(!reported.begin(9) && !reported.begin(10) && reported.begin(11));
    }
}
