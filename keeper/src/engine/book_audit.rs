//! The audit as the engine runs it: totals with every block, samples of positions in the background.

use std::collections::BTreeMap;

use plimsoll_contracts::MarketId;
use tracing::error;

use super::pricing::PricedBlock;
use crate::{
    audit::{Auditor, Mismatch, Sample, compare_totals},
    book::Book,
    chain::Header,
    config,
    view::AuditView,
};

/// Compares the book with the chain.
#[derive(Debug)]
pub(super) struct BookAudit {
    settings: config::Audit,
    auditor: Auditor,
    status: AuditView,
    /// Markets whose totals differ from the chain's in the newest block.
    totals: BTreeMap<MarketId, Mismatch>,
    /// Markets in which a position was found to differ, until the book is reset.
    positions: BTreeMap<MarketId, Mismatch>,
}

impl BookAudit {
    pub(super) fn new(settings: config::Audit) -> Self {
        Self {
            settings,
            auditor: Auditor::default(),
            status: AuditView::default(),
            totals: BTreeMap::new(),
            positions: BTreeMap::new(),
        }
    }

    /// Result of all comparisons since the start.
    pub(super) const fn status(&self) -> &AuditView {
        &self.status
    }

    /// Compares every market's totals with those that were read with the prices of the block. Returns true if any
    /// differ.
    pub(super) fn compare_totals(&mut self, book: &Book, block: &PricedBlock) -> bool {
        let PricedBlock { header, prices } = block;
        let compare = |market| compare_totals(header.number, market, prices.stored(market.id())?);
        let differences: Vec<_> = book.markets().filter_map(compare).collect();
        self.report(&differences);
        self.totals = by_market(differences);
        self.refresh_differing();
        !self.totals.is_empty()
    }

    /// Tells whether totals have differed for so many blocks that the book must be rebuilt. To be called once a block.
    pub(super) fn must_rebuild(&mut self, block: u64, differs: bool) -> bool {
        self.auditor.must_rebuild(block, differs)
    }

    /// Takes the next sample of positions, in blocks in which one is due.
    pub(super) fn sample(&mut self, book: &Book, header: &Header) -> Option<Sample> {
        let config::Audit { every, positions } = self.settings;
        if every == 0 || !header.number.is_multiple_of(every) {
            return None;
        }
        self.auditor.sample(book, *header, usize::try_from(positions).unwrap_or(usize::MAX))
    }

    /// Records the comparison of a sample.
    pub(super) fn on_compared(&mut self, block: u64, positions: u64, differences: Vec<Mismatch>) {
        self.status.compared += positions;
        self.status.last_block = Some(block);
        self.report(&differences);
        self.positions.extend(by_market(differences));
        self.refresh_differing();
    }

    /// Forgets the differences of a book that is rebuilt.
    pub(super) fn on_reset(&mut self) {
        self.totals.clear();
        self.positions.clear();
        self.refresh_differing();
    }

    /// Counts and logs every difference.
    fn report(&mut self, differences: &[Mismatch]) {
        for difference in differences {
            let text = difference.to_string();
            error!(market = %difference.market, difference = text, "book differs from chain");
            self.status.mismatches += 1;
            self.status.last = Some(text);
        }
    }

    fn refresh_differing(&mut self) {
        let differing = self.totals.iter().chain(&self.positions);
        self.status.differing = differing.map(|(market, difference)| (*market, difference.to_string())).collect();
    }
}

fn by_market(differences: Vec<Mismatch>) -> BTreeMap<MarketId, Mismatch> {
    differences.into_iter().map(|difference| (difference.market, difference)).collect()
}
