//! Compares the chain with the manifest and the compiled code: the code of every contract, without immutables, and every
//! parameter that a contract has a getter for.
//!
//! An address from the deterministic deployer proves the code and the arguments that a contract was created with. What may
//! have changed since – an owner, a curator – is read: the getter with the name of a constructor parameter is compared with
//! its argument, so a new contract needs no code here.

pub mod roles;

use std::ops::Range;

use alloy::{
    dyn_abi::{DynSolValue, JsonAbiExt, Specifier},
    json_abi::{Function, StateMutability},
    primitives::Bytes,
};
use plimsoll_chain::error::ChainError;

use crate::{
    compile::{Artifact, Artifacts},
    connection::Chain,
    design::{Creation, Design},
    reverts::format_value,
};

/// Constructor parameters whose getter has another name, as (contract, parameter, getter).
const RENAMED_GETTERS: [(&str, &str, &str); 4] = [
    ("Plimsoll", "firstOwner", "owner"),
    ("Backstop", "firstCurator", "curator"),
    ("ChainlinkOracle", "given", "setup"),
    ("TimelockController", "minDelay", "getMinDelay"),
];

/// Constructor parameters whose getter returns another value than the argument, as (contract, parameter).
const MODIFIED_PARAMETERS: [(&str, &str); 1] = [("SettableFeed", "description_")];

/// Result of the comparison of one contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name in the manifest.
    pub name: String,
    /// Name in Solidity.
    pub contract: String,
    /// Result of the comparison of its code.
    pub code: Code,
    /// Number of parameters that were compared.
    pub parameters: usize,
    /// Parameters without a getter, which only the address proves.
    pub unreadable: Vec<String>,
    /// Differences from the manifest, as messages.
    pub differences: Vec<String>,
}

/// Result of comparing the code on the chain with the compiled code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// There is no code at the address.
    Missing,
    /// The code is the same except for immutables.
    Same,
    /// The code was compiled by another project; only the address proves it.
    ByAddress,
    /// The code differs.
    Different,
}

impl Finding {
    /// Returns whether the contract matches the manifest.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self.code, Code::Same | Code::ByAddress) && self.differences.is_empty()
    }
}

/// Compares every contract of a design with the chain.
pub async fn contracts(chain: &Chain, design: &Design, artifacts: &Artifacts) -> Result<Vec<Finding>, ChainError> {
    let mut findings = Vec::new();
    for (name, creation) in design.creations() {
        let Ok(artifact) = artifacts.get(&creation.contract) else { continue };
        let mut finding = Finding {
            name: name.to_owned(),
            contract: creation.contract.clone(),
            code: compare_code(artifact, &chain.code(creation.address).await?),
            parameters: 0,
            unreadable: Vec::new(),
            differences: Vec::new(),
        };
        if finding.code != Code::Missing {
            parameters(chain, artifact, creation, &mut finding).await?;
        }
        findings.push(finding);
    }
    Ok(findings)
}

/// Returns messages about parameters that have changed since the contracts were created.
pub async fn drift(chain: &Chain, design: &Design, artifacts: &Artifacts) -> Result<Vec<String>, ChainError> {
    let findings = contracts(chain, design, artifacts).await?;
    let told = |finding: Finding| {
        finding.differences.into_iter().map(move |difference| format!("{}: {difference}", finding.name))
    };
    Ok(findings.into_iter().flat_map(told).collect())
}

/// Compares code byte by byte, except for immutables.
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
        if roles::is_list(creation, name) {
            roles::compare(chain, creation, name, finding).await?;
            continue;
        }
        let Some(getter) = getter(artifact, name, wanted) else {
            finding.unreadable.push(name.clone());
            continue;
        };
        let input = getter.abi_encode_input(&[]).unwrap_or_default();
        let answer = chain.read_raw(creation.address, input.into()).await?.unwrap_or_default();
        finding.parameters += 1;
        if answer[..] != DynSolValue::Tuple(vec![wanted.clone()]).abi_encode_params() {
            let found = wanted.as_type().and_then(|kind| kind.abi_decode_params(&answer).ok());
            let found = found.as_ref().map_or_else(|| "unreadable".to_owned(), format_value);
            finding.differences.push(format!(
                "{} is {found}, but the manifest says {}",
                getter.name,
                format_value(wanted)
            ));
        }
    }
    Ok(())
}

/// Returns the getter of a constructor parameter, if the contract has one of the same type.
fn getter<'a>(artifact: &'a Artifact, parameter: &str, wanted: &DynSolValue) -> Option<&'a Function> {
    if MODIFIED_PARAMETERS.contains(&(artifact.name.as_str(), parameter)) {
        return None;
    }
    let other = RENAMED_GETTERS.iter().find(|(contract, name, _)| *contract == artifact.name && *name == parameter);
    let name = other.map_or_else(|| parameter.trim_end_matches('_'), |(_, _, getter)| getter);
    artifact.abi.function(name)?.iter().find(|function| {
        let reads = matches!(function.state_mutability, StateMutability::View | StateMutability::Pure);
        let [output] = function.outputs.as_slice() else { return false };
        reads && function.inputs.is_empty() && output.resolve().is_ok_and(|kind| kind.matches(wanted))
    })
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
    fn code_may_differ_from_the_compiled_code_in_immutables_only() {
        let compiled = artifact(&[1, 0, 0, 4], vec![1..2, 2..3]);
        assert_eq!(compare_code(&compiled, &Bytes::from_static(&[1, 9, 9, 4])), Code::Same);
        assert_eq!(compare_code(&compiled, &Bytes::from_static(&[1, 9, 9, 5])), Code::Different);
        assert_eq!(compare_code(&compiled, &Bytes::from_static(&[1, 9])), Code::Different);
        assert_eq!(compare_code(&compiled, &Bytes::from_static(&[1, 9, 9, 4, 0])), Code::Different);
        assert_eq!(compare_code(&compiled, &Bytes::new()), Code::Missing);
    }
}
