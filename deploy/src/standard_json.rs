//! The compiler's complete input for a contract as one JSON document, from which block explorers compile it again.

use std::{fs, path::PathBuf};

use foundry_compilers::{Graph, artifacts::Source, resolver::parse::SolParser};
use serde_json::{Map, Value, json};

use crate::{
    compile::{Artifact, CompileError, project, solc_settings},
    foundry::{CodeSettings, FoundrySettings},
    toolchain::tools::{Tool, ToolError, Tools},
};

/// All that an explorer needs to compile a contract.
#[derive(Debug, Clone, PartialEq)]
pub struct CompilerInput {
    /// Standard JSON input of the compiler.
    pub json: Value,
    /// File and contract, such as `contracts/src/Lens.sol:Lens`.
    pub identifier: String,
    /// Version of the compiler in the explorers' notation, such as `v0.8.37+commit.f401782d`.
    pub compiler: String,
}

/// Returns the compiler's input for a contract. Fails when a source or the settings cannot be read.
pub fn standard_json(tools: &Tools, artifact: &Artifact) -> Result<CompilerInput, CompileError> {
    let root = tools.workspace().root();
    let settings = FoundrySettings::read(root)?;
    let project = project(tools, &settings)?;
    let file = root.join(&artifact.source);
    let sources = Source::read_all([&file]).map_err(|error| CompileError::Compiler(error.into()))?;
    let graph = Graph::<SolParser>::resolve_sources(&project.paths, sources)?;
    let mut contents = Map::new();
    for index in graph.files().values() {
        let (path, source) = graph.node(*index).unpack();
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        contents.insert(name, json!({ "content": source.content.as_str() }));
    }

    let own = settings.implementations.iter().find(|implementation| implementation.path == file);
    let code = own.map_or(settings.default, |own| CodeSettings {
        via_ir: own.via_ir,
        optimizer_runs: own.optimizer_runs,
        ..settings.default
    });
    let as_json = |value: Result<Value, serde_json::Error>| {
        value.map_err(|error| CompileError::Solidity(format!("the settings cannot be written: {error}")))
    };
    let mut compiler_settings = as_json(serde_json::to_value(&solc_settings(&settings, code).settings))?;
    let remappings = project.paths.remappings.iter().map(|remapping| {
        let relative = remapping.clone().into_relative(root).to_relative_remapping();
        relative.to_string()
    });
    compiler_settings["remappings"] = remappings.collect();
    let identifier = format!("{}:{}", artifact.source.display(), artifact.name);
    let json = json!({ "language": "Solidity", "sources": contents, "settings": compiler_settings });
    Ok(CompilerInput { json, identifier, compiler: compiler_version(tools)? })
}

/// Returns the compiler's version without its platform, which explorers do not expect.
fn compiler_version(tools: &Tools) -> Result<String, CompileError> {
    let path: PathBuf = tools.path(Tool::Solc)?;
    let output = tools.command(Tool::Solc)?.arg("--version").output();
    let output = output.map_err(|source| ToolError::Io { path: path.clone(), source })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    version_in(&said).ok_or_else(|| ToolError::NoVersion { tool: Tool::Solc, path, said }.into())
}

fn version_in(said: &str) -> Option<String> {
    let version = said.split_once("Version: ")?.1.split_whitespace().next()?;
    let (number, build) = version.split_once("+commit.")?;
    let commit = build.split('.').next()?;
    Some(format!("v{number}+commit.{commit}"))
}

/// Writes the input to a folder, under a name such as `Lens.json`, and returns its path.
pub fn write(input: &CompilerInput, contract: &str, folder: &std::path::Path) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{contract}.json"));
    fs::write(&path, serde_json::to_string(&input.json)?)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_version_is_in_the_explorers_notation() {
        let said = "solc, the solidity compiler\nVersion: 0.8.37+commit.f401782d.Emscripten.clang\n";
        assert_eq!(version_in(said).unwrap(), "v0.8.37+commit.f401782d");
        assert_eq!(version_in("solc"), None);
    }
}
