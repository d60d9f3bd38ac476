//! The testkit as projects outside the repository use it.

use std::{fs, path::Path};

use alloy::providers::Provider;
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_testkit::{
    cargo::cargo,
    devnet::{Devnet, ITestToken},
    market::{LOAN_DECIMALS, LocalMarket, units},
    workspace::workspace,
};

/// The example project, from the root of the repository.
const EXAMPLE: &str = "examples/testkit";
/// The example's dependency on the testkit, as its manifest has it.
const DEPENDENCY: &str = "path = \"../../testkit\"";

#[test]
fn the_example_project_passes_in_a_folder_outside_the_repository() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let folder = tempfile::tempdir()?;
    copy(&root.join(EXAMPLE), folder.path())?;
    let manifest = folder.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    ensure!(text.contains(DEPENDENCY), "the example does not have the dependency {DEPENDENCY}");
    fs::write(&manifest, text.replace(DEPENDENCY, &format!("path = {:?}", root.join("testkit"))))?;
    // The versions of this workspace, so that its compiled dependencies are used. Packages that the example does not
    // need are dropped from the file.
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock"))?;

    let mut command = cargo();
    command.current_dir(folder.path()).args(["test", "--offline", "--quiet"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    Ok(())
}

#[test]
fn the_example_project_has_the_profiles_of_the_workspace() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let profiles = |manifest: &str| -> eyre::Result<toml::Value> {
        let table: toml::Table = fs::read_to_string(root.join(manifest))?.parse()?;
        table.get("profile").cloned().wrap_err_with(|| format!("{manifest} has no profiles"))
    };
    assert_eq!(profiles("examples/testkit/Cargo.toml")?, profiles("Cargo.toml")?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_has_the_state_of_its_block_and_takes_the_suite() -> eyre::Result<()> {
    let upstream = Devnet::start().await?;
    let market = LocalMarket::deploy(&upstream).await?;
    let supplier = upstream.account(1)?;
    market.supply(&upstream, supplier, 10_000).await?;
    let block = upstream.provider().get_block_number().await?;
    market.supply(&upstream, supplier, 5_000).await?;

    let fork = Devnet::start_forked(&upstream.node.http_url(), block).await?;
    let token = ITestToken::new(market.params.loanToken, fork.provider());
    assert_eq!(token.balanceOf(market.core).call().await?, units(10_000, LOAN_DECIMALS));
    let suite = fork.deploy_suite().await?;
    suite.supply(&suite.market("weth-usdc")?, units(1_000, LOAN_DECIMALS)).await?;
    Ok(())
}

/// Copies a folder without what cargo makes in it.
fn copy(from: &Path, to: &Path) -> eyre::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).wrap_err_with(|| from.display().to_string())? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_file() {
            fs::copy(&path, to.join(&name))?;
        } else if name != "target" {
            copy(&path, &to.join(&name))?;
        }
    }
    Ok(())
}
