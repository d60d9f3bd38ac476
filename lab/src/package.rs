//! The npm package `plimsoll-contracts`: what other projects need of the contracts, without this repository.
//!
//! Its fixed part is in `contracts/npm`; added are the interfaces and types as they are, and for every contract that can
//! be deployed its ABI and the very creation bytecode that the tests run. `npm pack` makes a file of the folder.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use eyre::{WrapErr, ensure};
use plimsoll_deploy::{compile::Artifact, packages, toolchain::tools::Tools, toolchain::workspace::Workspace};
use serde::Serialize;
use serde_json::{Value, json};

/// The fixed part of the package, below the root of the project.
const FIXED: &str = "contracts/npm";
/// Solidity that needs nothing else, below `contracts/`.
const SOURCES: [&str; 2] = ["src/interfaces", "src/types"];
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];
const NAME: &str = "plimsoll-contracts";

/// What was written.
#[derive(Debug, Serialize)]
pub struct PackageReport {
    /// The package's folder.
    pub folder: PathBuf,
    /// The package's version, that of the workspace.
    pub version: &'static str,
    /// Contracts with ABI and creation bytecode, by name.
    pub contracts: Vec<String>,
}

/// Writes the package to a folder that is missing or empty. Fails before anything is written where it is neither.
pub fn write(workspace: &Workspace, folder: &Path) -> eyre::Result<PackageReport> {
    let empty = !folder.exists() || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(empty, "{} is not an empty folder: choose another, or remove what is in it", folder.display());
    let artifacts = packages::all_artifacts(&Tools::ready(workspace)?)?;
    let root = workspace.root();
    copy(&root.join(FIXED), folder)?;
    for source in SOURCES {
        copy(&root.join("contracts").join(source), &folder.join(source))?;
    }
    for licence in LICENCES {
        copy(&root.join(licence), &folder.join(licence))?;
    }
    let mut contracts = Vec::new();
    for artifact in artifacts.iter().filter(|artifact| artifact.source.starts_with("contracts")) {
        save(&folder.join("abi").join(format!("{}.json", artifact.name)), &serde_json::to_value(&artifact.abi)?)?;
        save(&folder.join("artifacts").join(format!("{}.json", artifact.name)), &foundry_artifact(artifact)?)?;
        contracts.push(artifact.name.clone());
    }
    save(&folder.join("package.json"), &manifest())?;
    Ok(PackageReport { folder: folder.to_owned(), version: env!("CARGO_PKG_VERSION"), contracts })
}

/// `package.json`, whose version is the workspace's.
fn manifest() -> Value {
    json!({
        "name": NAME,
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Interfaces, ABIs and creation bytecode of Plimsoll, and a base contract for Foundry tests",
        "license": env!("CARGO_PKG_LICENSE"),
        "keywords": ["solidity", "lending", "foundry", "abi"],
        "files": ["abi", "artifacts", "foundry", "src", "addresses.json", "remappings.txt"],
        "exports": { "./*": "./*" },
    })
}

/// An artifact in the form that forge writes, which `vm.getCode`, `deployCode` and most libraries read.
fn foundry_artifact(artifact: &Artifact) -> eyre::Result<Value> {
    Ok(json!({
        "contractName": artifact.name,
        "abi": serde_json::to_value(&artifact.abi)?,
        "bytecode": { "object": artifact.creation_code, "linkReferences": {} },
        "deployedBytecode": { "object": artifact.runtime_code, "linkReferences": {} },
    }))
}

fn save(file: &Path, value: &Value) -> eyre::Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).wrap_err_with(|| format!("{} cannot be made", folder.display()))?;
    fs::write(file, format!("{value:#}\n")).wrap_err_with(|| format!("{} cannot be written", file.display()))
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> eyre::Result<()> {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::copy(from, to).wrap_err_with(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
        return Ok(());
    }
    for entry in fs::read_dir(from).wrap_err_with(|| format!("{} cannot be read", from.display()))? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

impl fmt::Display for PackageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{NAME} {} in {}", self.version, self.folder.display())?;
        write!(f, "{} contracts: {}", self.contracts.len(), self.contracts.join(", "))
    }
}
