//! The page's sources against the contracts: its ABIs are the compiled ones.

use std::{collections::BTreeSet, path::Path};

use alloy::json_abi::JsonAbi;
use eyre::ensure;
use plimsoll_deploy::compile::Artifacts;
use serde_json::Value;
use tempfile::TempDir;

use crate::support;

/// OpenZeppelin's manager, as its package has it.
const MANAGER: &str = "node_modules/@openzeppelin/contracts/build/contracts/AccessManager.json";

/// Bundles a script of the page's tests and runs it in Node.js. Returns its output.
pub(crate) fn run_script(name: &str, arguments: &[&Path]) -> eyre::Result<String> {
    let (tools, folder) = (support::tools()?, TempDir::new()?);
    let bundled = folder.path().join("script.mjs");
    let status = tools
        .node_script("node_modules/esbuild/bin/esbuild")?
        .arg(format!("app/test/{name}"))
        .args(["--bundle", "--platform=node", "--format=esm", "--log-level=warning"])
        .arg(format!("--outfile={}", bundled.display()))
        .status()?;
    ensure!(status.success(), "{name} cannot be bundled");
    let output = tools.node_script(&bundled.display().to_string())?.args(arguments).output()?;
    let (said, errors) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr).into_owned());
    ensure!(output.status.success(), "{name}:\n{said}{errors}");
    Ok(said)
}

#[test]
fn every_signature_of_the_page_is_one_of_the_contracts() -> eyre::Result<()> {
    let tools = support::tools()?;
    let artifacts = Artifacts::compile_with(&tools, &["contracts/test/support/TestToken.sol"])?;
    let manager = std::fs::read_to_string(tools.workspace().root().join(MANAGER))?;
    let manager: Value = serde_json::from_str(&manager)?;
    let manager: JsonAbi = serde_json::from_value(manager["abi"].clone())?;
    let mut known = BTreeSet::new();
    for abi in artifacts.iter().map(|artifact| &artifact.abi).chain([&manager]) {
        known.extend(abi.functions().map(|function| format!("function {}", function.signature_with_outputs())));
        known.extend(abi.events().map(|event| {
            let indexed = event.inputs.iter().enumerate().filter(|(_, input)| input.indexed);
            let indexed: Vec<_> = indexed.map(|(at, _)| at.to_string()).collect();
            format!("event {} indexed {}", event.signature(), indexed.join(","))
        }));
        known.extend(abi.errors().map(|error| format!("error {}", error.signature())));
    }
    let said = run_script("signatures.ts", &[])?;
    assert!(said.lines().count() > 80, "{said}");
    let unknown: Vec<_> = said.lines().filter(|line| !known.contains(*line)).collect();
    assert!(unknown.is_empty(), "no contract has {unknown:#?}");
    Ok(())
}
