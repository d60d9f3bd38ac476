//! Roles in a timelock: that the accounts of the manifest have them, and that nobody else does.

use std::collections::BTreeSet;

use alloy::{
    dyn_abi::DynSolValue,
    primitives::{Address, B256, keccak256},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::deployment::Deployment;

use super::{Code, Finding};
use crate::{
    abi::IAccessControl,
    connection::Chain,
    design::{Creation, Design},
    inspect::creation_block,
};

/// Name of OpenZeppelin's timelock contract, whose roles are checked.
pub(crate) const TIMELOCK: &str = "TimelockController";

/// Returns whether a constructor parameter lists the holders of a role.
pub(crate) fn is_list(creation: &Creation, parameter: &str) -> bool {
    creation.contract == TIMELOCK && role_of(parameter).is_some()
}

fn role_of(parameter: &str) -> Option<B256> {
    match parameter {
        "proposers" => Some(keccak256("PROPOSER_ROLE")),
        "executors" => Some(keccak256("EXECUTOR_ROLE")),
        "admin" => Some(B256::ZERO),
        _ => None,
    }
}

/// Checks that all accounts that were given to a timelock's constructor in this parameter still have their role.
pub(crate) async fn compare(
    chain: &Chain,
    creation: &Creation,
    parameter: &str,
    finding: &mut Finding,
) -> Result<(), ChainError> {
    let Some(role) = role_of(parameter) else { return Ok(()) };
    for account in accounts(creation, parameter) {
        finding.parameters += 1;
        let has = chain.read(creation.address, IAccessControl::hasRoleCall { role, account }).await?;
        if has != Some(true) {
            finding.differences.push(format!("{account} is not among the {parameter}, as the manifest says"));
        }
    }
    Ok(())
}

/// Returns the accounts that a parameter of the constructor gives a role to.
fn accounts(creation: &Creation, parameter: &str) -> Vec<Address> {
    match creation.arguments.iter().find(|(name, _)| name == parameter) {
        Some((_, DynSolValue::Array(accounts))) => accounts.iter().filter_map(DynSolValue::as_address).collect(),
        Some((_, DynSolValue::Address(account))) if !account.is_zero() => vec![*account],
        _ => Vec::new(),
    }
}

/// Adds to the findings who else has a role in a timelock, as its events and its present state show. A node that cannot
/// search its log makes the finding negative, because then nobody can tell. Fails only if a request cannot be made.
pub async fn further_holders(
    chain: &Chain,
    design: &Design,
    record: &Deployment,
    findings: &mut [Finding],
) -> Result<(), ChainError> {
    for (name, creation) in design.creations().filter(|(_, creation)| creation.contract == TIMELOCK) {
        let exists = |finding: &&mut Finding| finding.name == name && finding.code != Code::Missing;
        let Some(finding) = findings.iter_mut().find(exists) else { continue };
        let filter =
            Filter::new().address(creation.address).event_signature(IAccessControl::RoleGranted::SIGNATURE_HASH);
        let logs = match chain.logs(&filter, creation_block(record, creation.address)).await {
            Ok(logs) => logs,
            Err(error @ ChainError::Refused { .. }) => {
                finding.differences.push(format!(
                    "whether others have roles is unknown, because the node cannot search its log ({error}): use an \
                     endpoint that does"
                ));
                continue;
            }
            Err(error) => return Err(error),
        };
        let granted = logs.iter().filter_map(|log| IAccessControl::RoleGranted::decode_log(&log.inner).ok());
        let mut holders: BTreeSet<(B256, Address)> = granted.map(|event| (event.role, event.account)).collect();
        for expected in expected_holders(creation) {
            holders.remove(&expected);
        }
        for (role, account) in holders {
            if chain.read(creation.address, IAccessControl::hasRoleCall { role, account }).await? == Some(true) {
                let holders = name_of(role);
                finding.differences.push(format!("{account} is among the {holders}, which the manifest does not say"));
            }
        }
    }
    Ok(())
}

/// Returns the roles that the constructor grants: proposers may cancel, too, and the timelock administers itself.
fn expected_holders(creation: &Creation) -> impl Iterator<Item = (B256, Address)> {
    let listed = ["proposers", "executors", "admin"].into_iter().flat_map(|parameter| {
        let role = role_of(parameter).unwrap_or_default();
        accounts(creation, parameter).into_iter().map(move |account| (role, account))
    });
    let cancellers = accounts(creation, "proposers").into_iter().map(|account| (keccak256("CANCELLER_ROLE"), account));
    listed.chain(cancellers).chain([(B256::ZERO, creation.address)])
}

fn name_of(role: B256) -> String {
    let known = ["proposers", "executors"].into_iter().find(|parameter| role_of(parameter) == Some(role));
    match known {
        Some(name) => name.to_owned(),
        None if role.is_zero() => "administrators".to_owned(),
        None if role == keccak256("CANCELLER_ROLE") => "cancellers".to_owned(),
        None => format!("holders of the role {role}"),
    }
}
