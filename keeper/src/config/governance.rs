//! Whether governance is followed, and whether what is due is executed: `[governance]`.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{deployment::Deployment, governance::CallReader};
use serde::Deserialize;

use super::{tree::Tree, units};
use crate::chain::GovernanceContracts;

/// Contract that keeps roles and delays, in a deployment's record.
const MANAGER: &str = "AccessManager";
/// Contract whose proposals are followed.
const GOVERNOR: &str = "PlimsollGovernor";
/// Contract by which depositors cancel what is scheduled.
const BRAKE: &str = "Brake";

/// Terms on which governance is followed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Governance {
    enabled: bool,
    /// Whether what is due is executed.
    pub execute: bool,
    /// Most that is spent on executions within a UTC day, in wei.
    #[serde(deserialize_with = "units::wad")]
    pub budget_per_day: U256,
    /// The contracts of the record; `None` where it has no manager, or governance is not followed.
    #[serde(skip)]
    pub contracts: Option<GovernanceContracts>,
    /// Puts calls into words, with the names of the record; `None` where `contracts` is.
    #[serde(skip)]
    pub calls: Option<CallReader>,
}

impl Governance {
    /// Reads `[governance]`, with the contracts of the record. A manager that is not in the record is never followed.
    pub(super) fn read(root: &Tree, record: &Deployment) -> Option<Self> {
        let mut governance: Self = root.read("governance")?;
        let all = |contract: &'static str| -> BTreeSet<Address> {
            record.contracts.values().filter(|found| found.contract == contract).map(|found| found.address).collect()
        };
        let manager = record.only(MANAGER).map(|found| found.address).filter(|_| governance.enabled);
        governance.calls = manager.map(|_| CallReader::new(record));
        governance.contracts =
            manager.map(|manager| GovernanceContracts { manager, governors: all(GOVERNOR), brakes: all(BRAKE) });
        Some(governance)
    }
}
