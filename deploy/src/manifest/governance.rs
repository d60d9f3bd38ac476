//! Section `[governance]`: OpenZeppelin's `AccessManager`, its roles and who cancels what they schedule.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Named, Parsed,
    units::{BasisPoints, Decimal, Reference, Seconds},
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
    /// A governor, which is the account `governor` wherever the manifest names one.
    pub governor: Option<Spanned<Governor>>,
    /// The token whose holders vote, which is the account `votes`.
    pub token: Option<Spanned<VotesToken>>,
}

/// A token of fixed supply whose holders vote. It has 18 decimals.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VotesToken {
    /// Name of the token.
    pub name: String,
    /// Symbol of the token.
    pub symbol: String,
    /// Whole tokens that there are.
    pub supply: Parsed<Decimal>,
    /// Account that gets all of them.
    pub receiver: Parsed<Reference>,
}

/// A governor whose proposals wait in the manager.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Governor {
    /// Name, which signatures of votes contain.
    pub name: String,
    /// Existing token whose holders vote; without it that of `[governance.token]`.
    pub token: Option<Parsed<Reference>>,
    /// Time from a proposal to the moment whose votes count.
    pub voting_delay: Parsed<Seconds>,
    /// Time from then to the end of the vote.
    pub voting_period: Parsed<Seconds>,
    /// Time for which a vote goes on at least after the quorum was reached.
    pub late_quorum_extension: Parsed<Seconds>,
    /// Whole votes that a proposer needs.
    pub proposal_threshold: Parsed<Decimal>,
    /// Part of all votes that must be cast for a proposal or abstain.
    pub quorum: Parsed<BasisPoints>,
    /// Time that everything waits at least after its vote.
    pub base_delay: Parsed<Seconds>,
    /// Account that may cancel proposals in its term of a year.
    pub guardian: Option<Parsed<Reference>>,
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
