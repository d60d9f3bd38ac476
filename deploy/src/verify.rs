//! Holds the chain against the manifest and the compiled code: every contract's code, immutables masked, and every
//! parameter that a contract tells.
//!
//! An address made by the deterministic deployer vouches for the code and the arguments that it was created with. What
//! may have changed since – an owner, a curator – is read; what a contract tells under a constructor parameter's name
//! is compared, so that a new contract needs no code here.

use std::ops::Range;

use alloy::{
    dyn_abi::{DynSolValue, JsonAbiExt, Specifier},
    json_abi::{Function, StateMutability},
    primitives::{B256, Bytes, keccak256},
};
use plimsoll_chain::error::ChainError;

use crate::{
    abi::IAccessControl,
    compile::{Artifact, Artifacts},
    connection::Chain,
    design::{Creation, Design},
    reverts::format_value,
};

/// Constructor parameters that a contract tells under another name.
const OTHER_NAMES: [(&str, &str, &str); 4] = [
    ("Plimsoll", "firstOwner", "owner"),
    ("Backstop", "firstCurator", "curator"),
    ("ChainlinkOracle", "given", "setup"),
    ("TimelockController", "minDelay", "getMinDelay"),
];

/// Constructor parameters that a contract tells with something added.
const TOLD_OTHERWISE: [(&str, &str); 1] = [("SettableFeed", "description_")];

/// What was found about one contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name in the manifest.
    pub name: String,
    /// Its name in Solidity.
    pub contract: String,
    /// Whether its code is there, and ours.
    pub code: Code,
    /// How many parameters were read and compared.
    pub parameters: usize,
    /// Parameters that nothing tells: only the address vouches for them.
    pub untold: Vec<String>,
    /// What is otherwise than the manifest says.
    pub differences: Vec<String>,
}

/// How code on the chain compares with what was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Nothing is there.
    Missing,
    /// It is the same but for immutables.
    Same,
    /// It was compiled by somebody else, so the address alone vouches for it.
    ByAddress,
    /// It is another.
    Different,
}

impl Finding {
    /// Whether all is as it shall be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self.code, Code::Same | Code::ByAddress) && self.differences.is_empty()
    }
}

/// Looks at every contract of a design.
pub async fn contracts(chain: &Chain, design: &Design, artifacts: &Artifacts) -> Result<Vec<Finding>, ChainError> {
    let mut findings = Vec::new();
    for (name, creation) in design.creations() {
        let Ok(artifact) = artifacts.get(&creation.contract) else { continue };
        let mut finding = Finding {
            name: name.to_owned(),
            contract: creation.contract.clone(),
            code: compare_code(artifact, &chain.code(creation.address).await?),
            parameters: 0,
            untold: Vec::new(),
            differences: Vec::new(),
        };
        if finding.code != Code::Missing {
            parameters(chain, artifact, creation, &mut finding).await?;
        }
        findings.push(finding);
    }
    Ok(findings)
}

/// Parameters that changed since a contract was created, in words.
pub async fn drift(chain: &Chain, design: &Design, artifacts: &Artifacts) -> Result<Vec<String>, ChainError> {
    let findings = contracts(chain, design, artifacts).await?;
    let told = |finding: Finding| {
        finding.differences.into_iter().map(move |difference| format!("{}: {difference}", finding.name))
    };
    Ok(findings.into_iter().flat_map(told).collect())
}

/// Compares code byte by byte, except where the constructor writes immutables.
#[must_use]
pub fn compare_code(artifact: &Artifact, on_chain: &Bytes) -> Code {
    let compiled = &artifact.runtime_code;
    if on_chain.is_empty() {
        Code::Missing
    } else if compiled.is_empty() {
        Code::ByAddress
    } else if masked(compiled, &artifact.immutable_references) == masked(on_chain, &artifact.immutable_references) {
        Code::Same
    } else {
        Code::Different
    }
}

fn masked(code: &Bytes, immutables: &[Range<usize>]) -> Vec<u8> {
    let mut code = code.to_vec();
    for place in immutables {
        if let Some(bytes) = code.get_mut(place.clone()) {
            bytes.fill(0);
        }
    }
    code
}

async fn parameters(
    chain: &Chain,
    artifact: &Artifact,
    creation: &Creation,
    finding: &mut Finding,
) -> Result<(), ChainError> {
    for (name, wanted) in &creation.arguments {
        if creation.contract == "TimelockController" && name != "minDelay" {
            roles(chain, creation, name, wanted, finding).await?;
            continue;
        }
        let Some(getter) = getter(artifact, name, wanted) else {
            finding.untold.push(name.clone());
            continue;
        };
        let input = getter.abi_encode_input(&[]).unwrap_or_default();
        let answer = chain.read_raw(creation.address, input.into()).await?.unwrap_or_default();
        finding.parameters += 1;
        if answer[..] != DynSolValue::Tuple(vec![wanted.clone()]).abi_encode_params() {
            let found = wanted.as_type().and_then(|kind| kind.abi_decode_params(&answer).ok());
            let found = found.as_ref().map_or_else(|| "no answer".to_owned(), format_value);
            finding.differences.push(format!(
                "{} is {found}, but the manifest says {}",
                getter.name,
                format_value(wanted)
            ));
        }
    }
    Ok(())
}

/// The function without parameters that tells what a constructor was given, if the contract has one of the same type.
fn getter<'a>(artifact: &'a Artifact, parameter: &str, wanted: &DynSolValue) -> Option<&'a Function> {
    if TOLD_OTHERWISE.contains(&(artifact.name.as_str(), parameter)) {
        return None;
    }
    let other = OTHER_NAMES.iter().find(|(contract, name, _)| *contract == artifact.name && *name == parameter);
    let name = other.map_or_else(|| parameter.trim_end_matches('_'), |(_, _, getter)| getter);
    artifact.abi.function(name)?.iter().find(|function| {
        let reads = matches!(function.state_mutability, StateMutability::View | StateMutability::Pure);
        let [output] = function.outputs.as_slice() else { return false };
        reads && function.inputs.is_empty() && output.resolve().is_ok_and(|kind| kind.matches(wanted))
    })
}

/// Whether everybody whom a timelock's constructor was given has the role.
async fn roles(
    chain: &Chain,
    creation: &Creation,
    parameter: &str,
    wanted: &DynSolValue,
    finding: &mut Finding,
) -> Result<(), ChainError> {
    let role = match parameter {
        "proposers" => keccak256("PROPOSER_ROLE"),
        "executors" => keccak256("EXECUTOR_ROLE"),
        _ => B256::ZERO,
    };
    let accounts = match wanted {
        DynSolValue::Array(accounts) => accounts.iter().filter_map(DynSolValue::as_address).collect(),
        // Without an administrator there is nobody to look for.
        _ => Vec::new(),
    };
    for account in accounts {
        finding.parameters += 1;
        let has = chain.read(creation.address, IAccessControl::hasRoleCall { role, account }).await?;
        if has != Some(true) {
            finding.differences.push(format!("{account} is not among the {parameter}, as the manifest says"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(runtime: &[u8], immutables: Vec<Range<usize>>) -> Artifact {
        Artifact {
            name: "A".into(),
            source: "A.sol".into(),
            abi: Default::default(),
            creation_code: Bytes::from_static(&[1]),
            runtime_code: Bytes::copy_from_slice(runtime),
            immutable_references: immutables,
        }
    }

    #[test]
    fn only_immutables_may_differ_from_what_was_compiled() {
        let compiled = artifact(&[1, 0, 0, 4], vec![1..2, 2..3]);
        assert_eq!(compare_code(&compiled, &Bytes::from_static(&[1, 9, 9, 4])), Code::Same);
        assert_eq!(compare_code(&compiled, &Bytes::from_static(&[1, 9, 9, 5])), Code::Different);
        assert_eq!(compare_code(&compiled, &Bytes::from_static(&[1, 9])), Code::Different);
        assert_eq!(compare_code(&compiled, &Bytes::from_static(&[1, 9, 9, 4, 0])), Code::Different);
        assert_eq!(compare_code(&compiled, &Bytes::new()), Code::Missing);
    }
}
