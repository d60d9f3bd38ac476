//! The work on a block that follows when its liquidations are decided: decisions of low priority, the comparison of the book with
//! the chain, the plan of the next block's request, the view.
//!
//! It takes some milliseconds of a core, and may wait for nodes. So it comes after the decisions about other protocols in the same
//! block, and after what was submitted is signed and broadcast; and before the next block, since it belongs to this one's book.

use std::{collections::BTreeSet, future, time::Duration};

use alloy::primitives::B256;
use tokio::time::{self, Instant};
use tracing::error;

use super::{
    Engine,
    pricing::PricedBlock,
    protocols::Protocols,
    second_opinion::{self, Opinion},
};
use crate::{
    audit::Mismatch,
    intent::Priority,
    strategies::{BlockContext, gas::Costs},
};

/// How long it waits for other protocols' blocks, and for the sender: longer than their answers differ by, and a small part of
/// the time between blocks.
const DELAY: Duration = Duration::from_millis(20);

/// What was decided about the liquidations of a block.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) costs: Costs,
    /// Gas room of a transaction, before it is known which signer pays for it.
    pub(super) room: u64,
    /// Markets in which a liquidation is sent.
    pub(super) busy: BTreeSet<B256>,
    pub(super) sends_nothing: bool,
}

/// Work on the newest block that follows its liquidations.
#[derive(Debug)]
pub(super) struct Upkeep {
    pub(super) block: PricedBlock,
    pub(super) decided: Decided,
    /// When the block's decisions became possible.
    pub(super) head_at: Instant,
    /// Where the book's totals differ from the chain's; `None` if these were not read.
    pub(super) differences: Option<Vec<Mismatch>>,
    /// When the liquidations were decided.
    pub(super) decided_at: Instant,
}

impl Upkeep {
    /// Returns when it is to be done.
    pub(super) fn due(&self, protocols: &Protocols) -> Instant {
        let waits = !self.decided.sends_nothing || protocols.are_behind(self.block.header.number);
        if waits { self.decided_at + DELAY } else { self.decided_at }
    }
}

/// Waits until it is time; for ever where there is no time. May be dropped at any point.
pub(super) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => time::sleep_until(due).await,
        None => future::pending().await,
    }
}

impl Engine {
    /// Does the work on the newest block that follows its liquidations, unless it is done.
    pub(super) async fn run_upkeep(&mut self) {
        let Some(Upkeep { block, decided, head_at, differences, .. }) = self.upkeep.take() else { return };
        self.decide_rest(&block, decided, head_at).await;
        let header = block.header;
        let opinion = match &differences {
            Some(differences) => {
                let (reader, core) = (self.follower.stream().reader(), self.config.deployed.core);
                let book = self.follower.book();
                Some(second_opinion::on_totals(&reader, core, book, &header, differences).await)
            }
            None => None,
        };
        if matches!(opinion, Some(Opinion::Agreed | Opinion::BookIsRight)) {
            self.follower.confirm();
        }
        let contracts = self.audited_contracts();
        let book = self.follower.book();
        self.audit.compare_sample(&self.pricing.reader, contracts, book, &header);
        let differs =
            opinion != Some(Opinion::BookIsRight) && self.audit.record_totals(differences.unwrap_or_default());
        self.plan_next_request(&block).await;
        if self.audit.must_rebuild(header.number, differs) {
            let is_rebuilt = match opinion {
                Some(Opinion::BookIsWrong) => {
                    self.follower.rebuild().await;
                    true
                }
                // What nobody confirms is no reason to discard anything.
                _ => self.follower.restore().await,
            };
            error!(
                reason = "its totals have differed from the chain's for too many blocks",
                is_rebuilt, "book differs"
            );
            if is_rebuilt {
                self.audit.on_rebuilt(header.number);
                self.on_reset();
                return;
            }
        }
        self.refresh_view_unless_deferred();
    }

    /// Decides about everything that is less urgent than liquidations.
    pub(super) async fn decide_rest(&mut self, block: &PricedBlock, decided: Decided, head_at: Instant) {
        let Decided { costs, room, busy, sends_nothing } = decided;
        let room = self.affordable_room(Priority::Low, costs, room);
        let context = BlockContext { header: &block.header, prices: &block.prices, costs, room };
        self.decide_low_priority(context, head_at, &busy, sends_nothing).await;
    }
}
