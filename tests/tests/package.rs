//! The npm package as another project gets it: packed, installed into a folder outside the repository, and used by a
//! Foundry project that has nothing else of ours.

use std::{fs, path::Path, process::Command};

use eyre::{WrapErr, ensure};
use plimsoll_deploy::toolchain::tools::Tool;
use plimsoll_lab::package;

use crate::support;

const EXAMPLE: &str = "examples/foundry";
/// What of the example is kept in git.
const PARTS: [&str; 4] = ["foundry.toml", "package.json", "src/Treasury.sol", "test/Treasury.t.sol"];

#[test]
fn a_foundry_project_outside_the_repository_needs_nothing_but_the_package() -> eyre::Result<()> {
    let tools = support::tools()?;
    let root = tools.workspace().root();
    let outside = tempfile::tempdir()?;
    let (folder, project) = (outside.path().join("package"), outside.path().join("project"));
    let report = package::write(tools.workspace(), &folder)?;
    ensure!(report.contracts.iter().any(|name| name == "Plimsoll"), "{report}");

    let file = run(Command::new("npm").args(["pack", "--silent", "--pack-destination"]).arg(outside.path()), &folder)?;
    for part in PARTS {
        let to = project.join(part);
        fs::create_dir_all(to.parent().unwrap_or(&project))?;
        fs::copy(root.join(EXAMPLE).join(part), to)?;
    }
    let tarball = outside.path().join(file.trim());
    run(Command::new("npm").args(["install", "--offline", "--no-audit", "--no-fund"]).arg(tarball), &project)?;

    let mut forge = tools.command(Tool::Forge)?;
    forge.arg("test").arg("--root").arg(&project).env("FOUNDRY_SOLC", tools.path(Tool::Solc)?);
    let said = run(&mut forge, &project)?;
    ensure!(said.contains("4 passed; 0 failed"), "{said}");
    Ok(())
}

/// Runs a command in a folder and returns what it wrote to stdout. Fails with all that it said.
fn run(command: &mut Command, folder: &Path) -> eyre::Result<String> {
    let output = command.current_dir(folder).output().wrap_err_with(|| format!("{command:?} cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{command:?} failed\n{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
