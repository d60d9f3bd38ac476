//! The audit as the engine runs it: totals with every block, samples of positions in the background, each difference
//! reported once for its market.

use std::collections::HashSet;

use plimsoll_contracts::MarketId;
use tracing::error;

use super::pricing::PricedBlock;
use crate::{
    audit::{Auditor, Mismatch, Sample, compare_totals},
    book::Book,
    chain::Header,
    config,
    telemetry::{AlertKind, AlertSender, Notice},
    view::AuditView,
};

/// Compares the book with the chain.
#[derive(Debug)]
pub(super) struct BookAudit {
    settings: config::Audit,
    auditor: Auditor,
    status: AuditView,
    /// Markets for which an alert was raised, until all totals agree again.
    reported_mismatches: HashSet<MarketId>,
    alerts: AlertSender,
}

impl BookAudit {
    pub(super) fn new(settings: config::Audit, alerts: AlertSender) -> Self {
        Self {
            settings,
            auditor: Auditor::default(),
            status: AuditView::default(),
            reported_mismatches: HashSet::new(),
            alerts,
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
        let differs = !differences.is_empty();
        if !differs {
            self.reported_mismatches.clear();
        }
        self.report(differences);
        differs
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
        self.report(differences);
    }

    /// Counts and logs every difference, and raises an alert for the first of a market.
    fn report(&mut self, differences: Vec<Mismatch>) {
        for difference in differences {
            let text = difference.to_string();
            error!(market = %difference.market, difference = text, "book differs from chain");
            self.status.mismatches += 1;
            self.status.last = Some(text.clone());
            if self.reported_mismatches.insert(difference.market) {
                let subject = difference.market.to_string();
                self.alerts.send(Notice { kind: AlertKind::AuditMismatch, subject, resolved: false, text });
            }
        }
    }
}
