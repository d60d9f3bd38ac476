//! All contracts that a manifest may name: the implementations, contracts for local chains, and bytecode of other projects
//! from npm packages.

use std::{fs, path::PathBuf};

use alloy::{json_abi::JsonAbi, primitives::Bytes};
use serde::Deserialize;

use crate::{
    compile::{Artifact, Artifacts, CompileError},
    toolchain::tools::Tools,
};

/// Sources compiled besides the implementations: tokens and liquidity for local chains, and OpenZeppelin's timelock.
const FURTHER_SOURCES: [&str; 3] = [
    "contracts/test/support/TestToken.sol",
    "contracts/test/support/MarketMaker.sol",
    "node_modules/@openzeppelin/contracts/governance/TimelockController.sol",
];
/// Artifacts that others compiled: Uniswap V3's factory and OpenZeppelin's manager of roles.
const PACKAGES: [&str; 2] = [
    "node_modules/@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
    "node_modules/@openzeppelin/contracts/build/contracts/AccessManager.json",
];

/// Why the code of a contract is not available.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The contracts do not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// An npm package lacks an artifact, or the artifact cannot be read.
    #[error("{}: {problem}: run `npm ci --ignore-scripts`", .path.display())]
    Package {
        /// Path of the artifact.
        path: PathBuf,
        /// Reason that it cannot be read.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HardhatArtifact {
    contract_name: String,
    abi: JsonAbi,
    bytecode: Bytes,
}

/// Returns all contracts that can be deployed, after compiling those that have changed. Fails when they do not compile or
/// an npm package is incomplete.
pub fn all_artifacts(tools: &Tools) -> Result<Artifacts, CodeError> {
    let mut artifacts = Artifacts::compile_with(tools, &FURTHER_SOURCES)?;
    for package in PACKAGES {
        artifacts.insert(of_package(tools, package)?)?;
    }
    Ok(artifacts)
}

/// Reads the artifact of an npm package.
fn of_package(tools: &Tools, package: &str) -> Result<Artifact, CodeError> {
    let path = tools.workspace().root().join(package);
    let wrong = |problem: String| CodeError::Package { path: path.clone(), problem };
    let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let artifact: HardhatArtifact = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    Ok(Artifact {
        name: artifact.contract_name,
        source: PathBuf::from(package),
        abi: artifact.abi,
        creation_code: artifact.bytecode,
        // The artifact lacks the positions of immutables. The address, which follows from the creation code, proves the
        // code instead.
        runtime_code: Bytes::new(),
        immutable_references: Vec::new(),
    })
}
