//! What a proxy was asked, and what befell it: the figures of "calls per idle block", and the conditions tests wait
//! for.

use std::collections::BTreeMap;

use super::rules::RuleId;

/// What was asked since the proxy started or was last told to count from zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    calls: BTreeMap<String, u64>,
    blocks: u64,
    acted: BTreeMap<RuleId, u64>,
}

impl Counts {
    /// Requests of one method, each of a batch by itself. Faults change nothing: what was asked counts.
    #[must_use]
    pub fn of(&self, method: &str) -> u64 {
        self.calls.get(method).copied().unwrap_or_default()
    }

    /// Requests by method.
    #[must_use]
    pub const fn by_method(&self) -> &BTreeMap<String, u64> {
        &self.calls
    }

    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    /// HeadFault that the node announced, whatever became of them on the way. When one is counted, the pool of
    /// [`Fault::GethPool`](super::Fault::GethPool) has already taken notice.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Requests per block, for a report. None before the first block.
    #[must_use]
    pub fn per_block(&self) -> Option<f64> {
        let calls = f64::from(u32::try_from(self.total()).ok()?);
        let blocks = f64::from(u32::try_from(self.blocks).ok()?);
        (self.blocks > 0).then(|| calls / blocks)
    }

    /// How often a rule has acted: on an HTTP request or WebSocket message, however many calls that holds, or on a
    /// head.
    #[must_use]
    pub fn acted(&self, rule: RuleId) -> u64 {
        self.acted.get(&rule).copied().unwrap_or_default()
    }

    pub(super) fn asked(&mut self, method: &str) {
        *self.calls.entry(method.to_owned()).or_default() += 1;
    }

    pub(super) const fn mined(&mut self) {
        self.blocks += 1;
    }

    pub(super) fn act(&mut self, rule: RuleId) {
        *self.acted.entry(rule).or_default() += 1;
    }
}
