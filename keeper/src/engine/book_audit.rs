//! The audit as the engine runs it: totals with every block, positions in samples, both read with the block's own request.

use std::{collections::BTreeMap, fmt::Display};

use alloy::primitives::{Address, U256};
use plimsoll_contracts::MarketId;
use tracing::error;

use super::pricing::PricedBlock;
use crate::{
    audit::{Auditor, Mismatch, Sample, compare_job, compare_totals, compare_vault, job_call, vault_calls},
    book::Book,
    chain::Header,
    config,
    prices::{Call, ChainReader},
    view::{AuditView, count},
};

/// Number of jobs that are compared with each sample of positions.
const SAMPLED_JOBS: usize = 8;

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
    /// Positions that are compared as soon as a block's request has read them.
    sample: Option<Sample>,
    /// Whether the vaults are compared as soon as a block's request has read them.
    compares_vaults: bool,
    /// Vaults that differed from the chain when they were compared last.
    vaults: BTreeMap<MarketId, Mismatch>,
    /// Jobs that are compared as soon as a block's request has read them.
    jobs: Vec<u64>,
    /// First job of the next sample.
    next_job: u64,
    /// Jobs that differed from the chain when they were compared last.
    differing_jobs: BTreeMap<MarketId, Mismatch>,
    /// First block in which another sample is due.
    next_sample: u64,
    /// Markets and pools that the book goes on without, until it is reset.
    quarantined: BTreeMap<MarketId, String>,
}

impl BookAudit {
    pub(super) fn new(settings: config::Audit) -> Self {
        Self {
            settings,
            auditor: Auditor::default(),
            status: AuditView::default(),
            totals: BTreeMap::new(),
            positions: BTreeMap::new(),
            sample: None,
            compares_vaults: false,
            vaults: BTreeMap::new(),
            jobs: Vec::new(),
            next_job: 0,
            differing_jobs: BTreeMap::new(),
            next_sample: 0,
            quarantined: BTreeMap::new(),
        }
    }

    /// Result of all comparisons since the start.
    pub(super) const fn status(&self) -> &AuditView {
        &self.status
    }

    /// Compares every market's totals with those that were read with the prices of the block; `None` if none were read.
    pub(super) fn compare_totals(book: &Book, block: &PricedBlock) -> Option<Vec<Mismatch>> {
        let PricedBlock { header, prices } = block;
        let read: Vec<_> = book.markets().filter_map(|market| Some((market, prices.stored(market.id())?))).collect();
        let compare = |(market, stored): &(&_, &_)| compare_totals(header.number, market, stored);
        (!read.is_empty()).then(|| read.iter().filter_map(compare).collect())
    }

    /// Records the markets whose totals differ from the chain's after the newest block. Returns true if any do.
    pub(super) fn record_totals(&mut self, differences: Vec<Mismatch>) -> bool {
        self.report(&differences);
        self.totals = by_market(differences);
        self.refresh_differing();
        !self.totals.is_empty()
    }

    /// Counts, logs and shows that the book goes on without a market or pool, because its events do not add up.
    pub(super) fn on_quarantined(&mut self, id: MarketId, name: &str, reason: &impl Display) {
        error!(market = name, %reason, "quarantined");
        let text = format!(
            "{name} is quarantined: nothing is done in it, and all else goes on. {reason}. `plimsoll-keeper resume {name}` \
             reads everything again"
        );
        self.status.mismatches += 1;
        self.status.last = Some(text.clone());
        // A sample of a market that is left out would wait for ever.
        self.sample.take_if(|sample| sample.market == id);
        self.quarantined.insert(id, text);
        self.refresh_differing();
    }

    /// Tells whether totals have differed for so many blocks that the book must be rebuilt. To be called once a block.
    pub(super) fn must_rebuild(&mut self, block: u64, differs: bool) -> bool {
        self.auditor.must_rebuild(block, differs)
    }

    /// Records that the book is rebuilt because its totals differed.
    pub(super) const fn on_rebuilt(&mut self, block: u64) {
        self.auditor.on_rebuilt(block);
    }

    /// Returns the calls that read a sample of positions, all vaults, and a sample of jobs, in the block after `block`, where
    /// that is due.
    pub(super) fn calls_ahead(
        &mut self,
        (core, jobs): (Address, Option<Address>),
        book: &Book,
        block: u64,
    ) -> Vec<Call> {
        let config::Audit { every, positions } = self.settings;
        if self.sample.is_none() && every != 0 && block >= self.next_sample {
            self.sample = self.auditor.sample(book, usize::try_from(positions).unwrap_or(usize::MAX));
            self.compares_vaults = true;
            self.jobs = book.jobs().jobs_from(self.next_job).map(|(id, _)| id).take(SAMPLED_JOBS).collect();
            self.next_job = self.jobs.last().map_or(0, |last| last.saturating_add(1));
            self.next_sample = block.saturating_add(every);
        }
        let vaults = book.vaults().filter(|_| self.compares_vaults).flat_map(|vault| vault_calls(vault.address()));
        let read = jobs.into_iter().flat_map(|jobs| self.jobs.iter().map(move |id| job_call(jobs, *id)));
        self.sample.iter().flat_map(|sample| sample.calls(core)).chain(vaults).chain(read).collect()
    }

    /// Compares the sample, the vaults and jobs with the book, if the block's request has read them.
    pub(super) fn compare_sample<R: ChainReader>(
        &mut self,
        reader: &R,
        (core, jobs): (Address, Option<Address>),
        book: &Book,
        block: &Header,
    ) {
        let sampled = std::mem::take(&mut self.jobs);
        if let Some(jobs) = jobs.filter(|_| !sampled.is_empty()) {
            // One that has ended meanwhile is in the book no more.
            let kept = sampled.iter().filter_map(|id| Some((*id, book.jobs().job(*id)?)));
            let differences: Vec<_> = kept.filter_map(|job| compare_job(reader, jobs, job, block)).collect();
            self.report(&differences);
            self.differing_jobs.retain(|id, _| !sampled.contains(&U256::from_be_bytes(id.0.0).saturating_to()));
            self.differing_jobs.extend(by_market(differences));
            self.refresh_differing();
        }
        if std::mem::take(&mut self.compares_vaults) {
            let differences: Vec<_> = book.vaults().filter_map(|vault| compare_vault(reader, vault, block)).collect();
            self.report(&differences);
            self.vaults = by_market(differences);
            self.refresh_differing();
        }
        let compared = self.sample.as_ref().and_then(|sample| sample.compare(reader, core, book, block));
        let Some(differences) = compared else { return };
        let positions = self.sample.take().map_or(0, |sample| count(sample.accounts.len()));
        self.on_compared(block.number, positions, differences);
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
        self.vaults.clear();
        self.differing_jobs.clear();
        self.quarantined.clear();
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
        let differing = self.totals.iter().chain(&self.positions).chain(&self.vaults).chain(&self.differing_jobs);
        self.status.differing = differing.map(|(market, difference)| (*market, difference.to_string())).collect();
        self.status.differing.extend(self.quarantined.clone());
    }
}

fn by_market(differences: Vec<Mismatch>) -> BTreeMap<MarketId, Mismatch> {
    differences.into_iter().map(|difference| (difference.market, difference)).collect()
}
