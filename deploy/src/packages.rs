//! All code that a manifest may name: the project's implementations, what only local chains get, and the real bytecode
//! of others from the npm packages.

use std::{fs, path::PathBuf};

use alloy::{json_abi::JsonAbi, primitives::Bytes};
use serde::Deserialize;

use crate::{
    compile::{Artifact, Artifacts, CompileError},
    toolchain::tools::Tools,
};

/// Besides the implementations: tokens for local chains, and OpenZeppelin's timelock.
const FURTHER_SOURCES: [&str; 2] =
    ["contracts/test/support/TestToken.sol", "node_modules/@openzeppelin/contracts/governance/TimelockController.sol"];
/// Compiled by Uniswap.
const UNISWAP_V3_FACTORY: &str =
    "node_modules/@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json";

/// Why the code is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// It does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A package does not hold what it should.
    #[error("{}: {problem}: run `npm ci --ignore-scripts`", .path.display())]
    Package {
        /// The file.
        path: PathBuf,
        /// What is wrong.
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

/// Everything that can be deployed. Compiles what changed since the last time.
pub fn all_artifacts(tools: &Tools) -> Result<Artifacts, CodeError> {
    let mut artifacts = Artifacts::compile_with(tools, &FURTHER_SOURCES)?;
    let path = tools.workspace().root().join(UNISWAP_V3_FACTORY);
    let wrong = |problem: String| CodeError::Package { path: path.clone(), problem };
    let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let factory: HardhatArtifact = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    artifacts.insert(Artifact {
        name: factory.contract_name,
        source: PathBuf::from(UNISWAP_V3_FACTORY),
        abi: factory.abi,
        creation_code: factory.bytecode,
        // Its artifact does not say where its immutables are; the address that its creation code leads to vouches for
        // it.
        runtime_code: Bytes::new(),
        immutable_references: Vec::new(),
    })?;
    Ok(artifacts)
}
