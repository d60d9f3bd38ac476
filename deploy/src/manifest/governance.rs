//! Section `[governance]`: OpenZeppelin's `AccessManager`, its roles and who cancels what they schedule.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Named, Parsed,
    units::{Decimal, Reference, Seconds},
};

/// Section `[governance]`. The manager is the account `manager` wherever the manifest names an owner, curator or guardian.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Governance {
    /// Accounts that may change roles, delays and guardians.
    pub administrators: Vec<Parsed<Reference>>,
    /// Time that what an administrator schedules waits.
    pub administrators_delay: Parsed<Seconds>,
    /// Accounts that may cancel whatever is scheduled, and nothing else.
    #[serde(default)]
    pub guardians: Vec<Parsed<Reference>>,
    /// Vaults and backstops whose depositors have a brake, with the whole shares below which it stops nothing.
    #[serde(default)]
    pub brakes: BTreeMap<String, Spanned<Parsed<Decimal>>>,
    /// Roles by name.
    pub roles: Named<Role>,
}

/// A role: who may call which functions after which delay.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Accounts that have the role.
    pub members: Vec<Parsed<Reference>>,
    /// Time that a call waits once it is scheduled; without it, calls need no schedule.
    pub delay: Option<Parsed<Seconds>>,
    /// Functions as in `Plimsoll.setFee`, each of all contracts of this kind that the manager has a role in.
    pub functions: Vec<Spanned<String>>,
}
