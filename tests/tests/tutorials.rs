//! The commands of tutorials and recipes, run as they stand in the documents: by bash, in order, on a chain of their own.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use eyre::{ContextCompat, ensure};
use plimsoll_testkit::{devnet::Devnet, workspace::workspace};

/// Stands before a block that is run. Other blocks are for another terminal, or show what is printed.
const MARK: &str = "<!-- run -->\n```sh\n";
/// The node's address in the documents, and the record of what is deployed there.
const ADDRESS: &str = "127.0.0.1:8545";
const RECORD: &str = "target/deployments/31337.json";
/// Files that a tutorial makes, below the project's target folder.
const SCRATCH: &str = "target/tutorial";
/// Ends a run that waits for something that does not happen, and what it started.
const PATIENCE: &str = "300";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_liquidation_happens_as_the_tutorial_says() -> eyre::Result<()> {
    let said = run("docs/tutorials/first-liquidation.md").await?;
    // The keeper was given no collateral: what it has in the end was seized.
    let seized = said.lines().last().and_then(|line| line.split(' ').next()).wrap_err("nothing was printed")?;
    ensure!(seized.len() == 19, "not a few WETH were seized, but {seized} units: {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_for_cast_works() -> eyre::Result<()> {
    run("docs/how-to/cast.md").await.map(drop)
}

/// Runs the marked blocks of a document on a fresh chain with everything on it, and returns what they print.
async fn run(document: &str) -> eyre::Result<String> {
    let root = workspace()?.root().to_path_buf();
    let suite = Devnet::start().await?.deploy_suite().await?;
    let (address, record) = (suite.devnet.node.address().to_owned(), suite.record().to_owned());
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path();

    let text = fs::read_to_string(root.join(document))?;
    let blocks: Vec<_> = text.split(MARK).skip(1).filter_map(|rest| rest.split("```").next()).collect();
    ensure!(!blocks.is_empty(), "{document} marks no block to run");
    let script = blocks.concat().replace(ADDRESS, &address);
    let script = script.replace(RECORD, &path(&record)).replace(SCRATCH, &path(&folder.join("tutorial")));

    let programs = programs(folder)?;
    let output = tokio::process::Command::from(Command::new("timeout"))
        .args(["--kill-after=10", PATIENCE, "bash", "-euo", "pipefail", "-c", &script])
        .current_dir(&root)
        .env("PATH", format!("{programs}:{}", std::env::var("PATH")?))
        .env("PLIMSOLL_KEEPER__DEPLOYMENT__RECORD", &record)
        .env("PLIMSOLL_KEEPER__HTTP__LISTEN", "127.0.0.1:0")
        .env("XDG_STATE_HOME", folder)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{document}: {said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

/// A folder with a `cargo` that runs the binaries under test: `cargo --quiet deploy …` needs no second build.
fn programs(folder: &Path) -> eyre::Result<String> {
    let programs = folder.join("bin");
    fs::create_dir(&programs)?;
    let cargo = programs.join("cargo");
    let (deploy, keeper) = (env!("CARGO_BIN_EXE_deploy_bin"), env!("CARGO_BIN_EXE_keeper_bin"));
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --quiet ] && shift\nprogram=$1\nshift\ncase $program in\ndeploy) exec {deploy} \"$@\" ;;\n\
         keeper) exec {keeper} \"$@\" ;;\n*) echo \"cargo $program\" >&2; exit 2 ;;\nesac\n"
    );
    fs::write(&cargo, script)?;
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755))?;
    Ok(path(&programs))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
