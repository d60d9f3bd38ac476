//! The deployed bytecode is the tested one: forge and foundry-compilers produce the same bytes.

use std::{fs, path::Path};

use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::compile::{Artifact, Artifacts};
use serde_json::Value;

use crate::support;

#[test]
fn every_implementation_has_the_bytes_that_forge_tests() -> eyre::Result<()> {
    let tools = support::tools()?;
    let artifacts = Artifacts::compile(&tools)?;
    ensure!(artifacts.iter().next().is_some(), "foundry.toml names no implementation");
    support::forge(&["build"], &[], "Error")?;
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

fn forge_artifact(root: &Path, artifact: &Artifact) -> eyre::Result<Value> {
    let file = artifact.source.file_name().wrap_err("a source without a name")?;
    let path = root.join("target/forge/out").join(file).join(format!("{}.json", artifact.name));
    let text = fs::read_to_string(&path).wrap_err_with(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}
