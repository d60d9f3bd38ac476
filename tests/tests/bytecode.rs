//! The deployed bytecode is the tested one: forge and foundry-compilers produce the same bytes.

use std::{env, fs, path::Path};

use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::compile::{Artifact, Artifacts};
use serde_json::Value;

use crate::support;

#[test]
fn every_implementation_has_the_bytes_that_forge_tests() -> eyre::Result<()> {
    let tools = support::tools()?;
    let artifacts = Artifacts::compile(&tools)?;
    ensure!(artifacts.iter().next().is_some(), "foundry.toml names no implementation");
    support::forge(&["build"], &[])?;
    for artifact in artifacts.iter() {
        let forges = forge_artifact(tools.workspace().root(), artifact)?;
        let same = |what, ours: String, pointer: &str| {
            let theirs = forges.pointer(pointer).and_then(Value::as_str);
            ensure!(theirs == Some(&ours), "{}: forge makes another {what} than foundry-compilers", artifact.name);
            Ok(())
        };
        same("creation code", artifact.creation_code.to_string(), "/bytecode/object")?;
        same("runtime code", artifact.runtime_code.to_string(), "/deployedBytecode/object")?;
    }
    Ok(())
}

/// The simulator is never deployed: whoever uses it brings its code along.
#[test]
fn the_code_of_the_simulator_in_rust_is_that_of_its_source() -> eyre::Result<()> {
    let tools = support::tools()?;
    let code = Artifacts::compile(&tools)?.get("Simulator")?.runtime_code.clone();
    let path = tools.workspace().root().join("contracts/rust/simulator.rs");
    let kept = fs::read_to_string(&path)?;
    let start = kept.find("\"0x").wrap_err("no code")? + 1;
    let end = start + kept[start..].find('"').wrap_err("no end of the code")?;
    let with_code = format!("{}{code}{}", &kept[..start], &kept[end..]);
    if env::var("PLIMSOLL_UPDATE").is_ok() {
        fs::write(&path, with_code)?;
    } else {
        ensure!(kept == with_code, "Simulator.sol has changed: run this test with PLIMSOLL_UPDATE=1");
    }
    Ok(())
}

fn forge_artifact(root: &Path, artifact: &Artifact) -> eyre::Result<Value> {
    let file = artifact.source.file_name().wrap_err("a source without a name")?;
    let path = root.join("target/forge/out").join(file).join(format!("{}.json", artifact.name));
    let text = fs::read_to_string(&path).wrap_err_with(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}
