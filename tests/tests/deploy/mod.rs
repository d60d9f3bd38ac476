//! Deployment on real nodes: from a manifest to a chain and back.

mod changes;
mod crashes;
mod explorers;
mod fixture;
mod governance;
mod governance_proposals;
mod http;
mod nodes;
mod payments;
mod public_chains;
mod refusals;
mod remote_signer;
mod safe;
mod vaults;
