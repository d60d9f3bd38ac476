//! The keeper as a whole: its page, API and command line; under faults, kills and reorgs; and idle.

mod api;
mod bundles;
mod bursts;
mod cli;
mod commands;
mod crashes;
mod endpoints;
pub(crate) mod fixture;
mod governance;
mod guard;
mod idle;
mod jobs;
mod kills;
mod metrics;
mod obsolete;
mod op_stack;
mod open_page;
mod page;
mod pre_liquidations;
mod protocols;
mod recovery;
mod remote_signer;
mod sample;
mod schema;
mod snapshots;
mod vaults;
mod vouchers;
