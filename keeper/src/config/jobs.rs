//! Whether jobs of nodes are followed and brought on, and which nodes' emission is claimed: `[jobs]`.

use std::{collections::BTreeSet, time::Duration};

use alloy::primitives::{Address, U256};
use plimsoll_contracts::deployment::Deployment;
use serde::Deserialize;

use super::{tree::Tree, units};
use crate::chain::NodesContracts;

/// Contract of jobs, in a deployment's record.
const JOBS: &str = "Jobs";
/// Nonce of the first contract that a contract creates: Jobs creates the registry.
const FIRST_NONCE: u64 = 1;

/// Terms on which jobs are brought on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jobs {
    enabled: bool,
    /// Whether jobs are brought on and emission is claimed.
    pub execute: bool,
    /// By how much a tip must exceed the gas cost, in basis points of that.
    #[serde(rename = "min_margin", deserialize_with = "units::percent")]
    pub min_margin_bps: u32,
    /// Accounts whose jobs are brought on though their tips do not pay for the gas.
    pub posters: BTreeSet<Address>,
    /// Nodes whose emission is claimed.
    pub harvest: BTreeSet<u32>,
    /// Time between two claims of a node's emission.
    #[serde(deserialize_with = "units::time")]
    pub harvest_every: Duration,
    /// Most that is spent within a UTC day on what no tip pays for, in wei.
    #[serde(deserialize_with = "units::wad")]
    pub budget_per_day: U256,
    /// URL of a node daemon that computes results again, so that false ones are challenged.
    #[serde(default, deserialize_with = "units::web_address")]
    pub verify_with: Option<String>,
    /// The contracts of the record; `None` where it has none, or jobs are not followed.
    #[serde(skip)]
    pub contracts: Option<NodesContracts>,
}

impl Jobs {
    /// Reads `[jobs]`, with the contracts of the record. Jobs that are not in the record are never followed.
    pub(super) fn read(root: &Tree, record: &Deployment) -> Option<Self> {
        let mut jobs: Self = root.read("jobs")?;
        let found = record.only(JOBS).map(|found| found.address).filter(|_| jobs.enabled);
        jobs.contracts = found.map(|address| NodesContracts { jobs: address, registry: address.create(FIRST_NONCE) });
        Some(jobs)
    }
}
